"""What a test of a law says: broken, not tested; and by how much two states differ."""

from typing import Any
from unittest import SkipTest

import jax
import numpy as np
from jaxtyping import Array

__all__ = ["CLOSE", "LawBroken", "NotTested", "expect", "gap", "leaves"]

CLOSE = 1e-12  # in float64, relative to the size of what is compared where that is above 1


class LawBroken(AssertionError):
    """A law that a method does not obey: what was expected, what was seen, where to look."""


def gap(a: Any, b: Any) -> float:
    """The largest difference, relative to the largest entry where that is above 1; infinite where one is NaN."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if not (np.all(np.isfinite(a)) and np.all(np.isfinite(b))):
        return 0.0 if np.array_equal(a, b, equal_nan=True) else np.inf
    return float(np.max(np.abs(a - b), initial=0.0) / max(1.0, np.max(np.abs(b), initial=0.0)))


def expect(holds: bool, broken: str) -> None:
    if not holds:
        raise LawBroken(broken)


class NotTested(SkipTest):
    """A law that cannot be tested on this method, and why; pytest takes it for a skipped test."""


def leaves(state: Any) -> dict[str, Array]:
    """The arrays of a state by their paths, such as ".x"."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(state)}
