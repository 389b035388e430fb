"""What methods of a graph's edges share: sums over the neighbours, whatever the weights of W are."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec.types import Iterates

__all__ = ["apart", "degrees"]


def apart(W: Any, x: Iterates) -> Iterates:
    """Σ_j (x_i - x_j) over the neighbours whose messages arrive; over the nodes of an undirected graph it sums to 0."""
    arcs = W.arcs
    return jnp.sum(jnp.where(arcs.arrived[..., None], x[:, None] - arcs.hear(x), 0), axis=1)


def degrees(W: Any, dtype: Any) -> Float[Array, "n 1"]:
    """How many neighbours each node has, at least 1: a node alone has itself."""
    return jnp.maximum(1, jnp.sum(W.arcs.exists, axis=1, dtype=dtype))[:, None]
