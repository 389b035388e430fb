"""An equation of a jaxpr at its values, some of which are mapped: the one thing that all rules are about."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jax import lax

__all__ = ["Equation", "widened"]


def widened(a: Any, size: int) -> Any:
    """A shared value with a trailing axis of cells."""
    return lax.broadcast_in_dim(a, (*np.shape(a), size), range(np.ndim(a)))


class Equation(NamedTuple):
    """An equation at its values: a mapped one has a trailing axis of `size` cells."""

    eqn: Any
    values: Sequence[Any]
    mapped: Sequence[bool]
    size: int

    @property
    def name(self) -> str:
        return self.eqn.primitive.name

    @property
    def params(self) -> dict[str, Any]:
        return self.eqn.params

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the first result, in one cell."""
        return self.eqn.outvars[0].aval.shape

    def ndim(self, k: int) -> int:
        """Of an operand, in one cell."""
        return self.eqn.invars[k].aval.ndim

    def wide(self, k: int) -> Any:
        """An operand with its axis of cells, if it is shared too."""
        return self.values[k] if self.mapped[k] else widened(self.values[k], self.size)

    def full(self, k: int) -> Any:
        """Likewise, in the shape of the result."""
        shape, ndim = (*self.shape, self.size), self.ndim(k)
        if np.shape(self.values[k]) == shape:
            return self.values[k]
        at = [*range(ndim), len(self.shape)] if self.mapped[k] else range(ndim)
        return lax.broadcast_in_dim(self.values[k], shape, at)

    def bind(self, *values: Any, **changed: Any) -> list[Any]:
        """The results of the equation's primitive, with some of its parameters changed."""
        outs = self.eqn.primitive.bind(*values, **self.eqn.primitive.get_bind_params(self.params | changed))
        return list(outs) if self.eqn.primitive.multiple_results else [outs]
