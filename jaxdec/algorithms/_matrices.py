"""What methods that see parameter tensors as matrices share: which are compressed, their factors, orthonormal columns.

A tensor of shape (a, ...) is a matrix of a rows and b columns, all other axes being columns. It is compressed to rank r
where two factors are smaller than it, r (a + b) < a b; all others, and vectors, are sent as they are.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["Matrix", "factors", "matrices", "orthonormal", "product", "rest"]


class Matrix(NamedTuple):
    """Where a compressed tensor is."""

    begin: int  # its first entry among the d
    rows: int
    columns: int
    rank: int

    @property
    def end(self) -> int:
        return self.begin + self.rows * self.columns

    def of(self, x: Array) -> Array:
        """The matrices in vectors of d entries, (..., rows, columns)."""
        return x[..., self.begin : self.end].reshape(*x.shape[:-1], self.rows, self.columns)


def matrices(shapes: tuple[tuple[int, ...], ...], rank: int) -> tuple[Matrix, ...]:
    """Those of the tensors that are compressed.

    >>> matrices(((5, 4), (4,), (2, 2)), rank=1)
    (Matrix(begin=0, rows=5, columns=4, rank=1),)
    """
    found, begin = [], 0
    for shape in shapes:
        a, b = (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, math.prod(shape))
        r = min(rank, a, b)
        if r * (a + b) < a * b:
            found.append(Matrix(begin, a, b, r))
        begin += a * b
    return tuple(found)


def rest(found: tuple[Matrix, ...], d: int) -> int:
    """How many of the d entries are not in one of those matrices."""
    return d - sum(m.rows * m.columns for m in found)


def factors(found: tuple[Matrix, ...], normal: Float[Array, " d"], *, left: bool = False) -> tuple[Array, ...]:
    """The right factors to begin with, (columns, rank) each, or the left ones, from d normal numbers."""
    sizes = [m.rows if left else m.columns for m in found]
    many = zip(found, sizes, strict=True)
    return tuple(m.of(normal).reshape(-1)[: size * m.rank].reshape(size, m.rank) for m, size in many)


def orthonormal(p: Float[Array, "*many k r"]) -> Float[Array, "*many k r"]:
    """Orthonormal columns that span what those of p do; of nothing they are some."""
    return jnp.linalg.qr(p)[0]


def product(a: Any, b: Any) -> Any:
    """A @ b, in the precision of the run."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
