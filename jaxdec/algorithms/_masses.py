"""What push-sum methods that take steps share: masses that sink where messages are lost for long."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from jaxdec import checks

__all__ = ["floored", "sinking"]


def floored(y, floor):
    """min(1, y / floor), (n, 1): by what the steps of nodes are multiplied whose masses are low."""
    return jnp.where(y < floor, y / floor, 1)[:, None]


def sinking(floor: Any) -> Mapping[str, str]:
    """What is wanted of the network, and what is not promised without."""
    if checks.bounded(floor, lambda floor: floor > 0):
        return {}
    return {
        "reliable or doubly stochastic": "masses y sink while a node hears nobody, and steps of lr / y explode; give "
        "floor, about lr times the curvature, under which steps shrink with y"
    }
