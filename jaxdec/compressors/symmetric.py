"""Symmetric matrices as vectors, for all compressors, and one of them that knows what they are.

A vector holds the lower triangle, row by row, with the entries off the diagonal times √2: its l2 norm is the Frobenius
norm of the matrix. So what a compressor promises of vectors it promises of matrices, and what it makes of them is
symmetric.
"""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.compressors.maps import Blocks, Message
from jaxdec.types import Iterates, PRNGKey

__all__ = ["RankR", "packed", "side", "unpacked"]


def side(size: int) -> int:
    """The d of the symmetric (d, d) matrices whose vectors have d (d + 1) / 2 entries.

    Raises:
        ValueError: if there is none.

    >>> side(6)
    3
    """
    d = (math.isqrt(8 * size + 1) - 1) // 2
    if d * (d + 1) // 2 != size:
        raise ValueError(
            f"symmetric matrices of d rows are vectors of d (d + 1) / 2 entries, and these have {size}; this is for "
            "methods that send Hessians, such as FedNL"
        )
    return d


def _triangle(d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows and columns of the lower triangle, and what its entries are multiplied with."""
    rows, columns = np.tril_indices(d)
    return rows, columns, np.where(rows == columns, 1, math.sqrt(2))


def packed(H: Float[Array, "n d d"]) -> Float[Array, "n k"]:
    """Symmetric matrices as vectors of their norms.

    >>> packed(jnp.array([[[1.0, 2.0], [2.0, 4.0]]])).round(3)
    Array([[1.   , 2.828, 4.   ]], dtype=float...)
    """
    rows, columns, scale = _triangle(H.shape[1])
    return H[:, rows, columns] * jnp.asarray(scale, H.dtype)[None]


def unpacked(h: Float[Array, "n k"]) -> Float[Array, "n d d"]:
    """The matrices again.

    >>> unpacked(packed(jnp.array([[[1.0, 2.0], [2.0, 4.0]]]))).round(3)
    Array([[[1., 2.],
            [2., 4.]]], dtype=float...)
    """
    d = side(h.shape[1])
    rows, columns, scale = _triangle(d)
    entries = h / jnp.asarray(scale, h.dtype)[None]
    lower = jnp.zeros((h.shape[0], d, d), h.dtype).at[:, rows, columns].set(entries)
    return lower.at[:, columns, rows].set(entries)


@module
class RankR:
    """Rank-R of symmetric matrices: the R eigenvalues that are largest in magnitude, with their eigenvectors. Biased.

    For the methods that send Hessians, as `FedNL` does: what is compressed are vectors of d (d + 1) / 2 entries, each a
    symmetric (d, d) matrix. R is `rank`.
    ‖C(H) - H‖² ≤ (1 - R / d) ‖H‖² in the Frobenius norm, since the eigenvalues that are left out are the smallest.
    Bits: R vectors, each an eigenvector times the root of the eigenvalue's magnitude, and a sign for each.
    Reference: Safaryan, Islamov, Qian, Richtárik (2022), arXiv:2106.02969, whose code counts 32 R d.

    >>> message = RankR(rank=1)(jax.random.key(0), packed(jnp.diag(jnp.array([1.0, -3.0]))[None]))
    >>> float(jnp.trace(unpacked(message.value)[0])), message.bits
    (-3.0, 65)
    """

    unbiased: ClassVar[bool] = False
    rank: int = static()

    def check(self) -> None:
        checks.integer("RankR.rank", self.rank)

    def __call__(self, key: PRNGKey, x: Iterates, blocks: Blocks | None = None) -> Message:
        d = self._fits(x.shape[1])
        values, vectors = jnp.linalg.eigh(unpacked(x))
        largest = jnp.argsort(-jnp.abs(values), axis=1)[:, : self.rank]
        kept = jnp.take_along_axis(values, largest, axis=1)
        along = jnp.take_along_axis(vectors, largest[:, None, :], axis=2)
        H = jnp.einsum("nir,nr,njr->nij", along, kept, along, precision=jax.lax.Precision.HIGHEST)
        return Message(packed(H), self.rank * (32 * d + 1))

    def delta(self, blocks: Blocks) -> float:
        return self.rank / self._fits(sum(blocks))

    def _fits(self, size: int) -> int:
        d = side(size)
        if self.rank > d:
            raise ValueError(f"RankR.rank = {self.rank} does not fit matrices of {d} rows: it is at most {d}")
        return d
