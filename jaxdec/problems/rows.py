"""Sparse samples as arrays of fixed shape: in each row the columns that are not zero, and their values."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float, Int

from jaxdec._module import module

__all__ = ["Rows", "arrays", "largest_eigenvalue", "rows"]


@module
class Rows:
    """Rows of a sparse matrix, padded by zeros at column 0 to the longest. What indexes samples indexes both arrays."""

    columns: Int[Array, "*samples k"]
    values: Float[Array, "*samples k"]

    def __matmul__(self, x: Array) -> Array:
        """The scores of x, (features,) or (features, classes)."""
        picked = x[self.columns]
        if x.ndim == 1:
            return jnp.einsum("...k,...k->...", self.values, picked, precision=jax.lax.Precision.HIGHEST)
        return jnp.einsum("...k,...kc->...c", self.values, picked, precision=jax.lax.Precision.HIGHEST)


def rows(matrix: Any) -> Rows:
    """The rows of a SciPy sparse matrix (N, features).

    >>> found = rows(sp.csr_array(np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 5.0]])))
    >>> found.columns.tolist(), found.values.tolist()
    ([[1, 2], [2, 0]], [[2.0, 3.0], [5.0, 0.0]])
    """
    matrix = sp.csr_array(matrix)
    lengths = np.diff(matrix.indptr)
    held = np.arange(max(int(lengths.max(initial=0)), 1)) < lengths[:, None]
    columns, values = np.zeros(held.shape, np.int32), np.zeros(held.shape, matrix.dtype)
    columns[held], values[held] = matrix.indices, matrix.data
    return Rows(jnp.asarray(columns), jnp.asarray(values))


def arrays(inputs: Any) -> Any:
    """The inputs of a dataset on the device: an array, or the rows of a sparse matrix."""
    return rows(inputs) if sp.issparse(inputs) else jnp.asarray(inputs)


def largest_eigenvalue(inputs: Rows, features: int) -> float:
    """Of A'A / m, A being the (m, features) matrix of the rows, on the host in float64."""
    columns, values = np.asarray(inputs.columns), np.asarray(inputs.values, np.float64)
    m, k = values.shape
    if not np.any(values):
        return 0.0
    A: Any = sp.csr_array((values.ravel(), columns.ravel(), np.arange(m + 1) * k), shape=(m, features))
    if min(A.shape) <= 2:
        return float(np.linalg.eigvalsh((A @ A.T if m <= features else A.T @ A).toarray())[-1]) / m
    start = np.random.default_rng(0).standard_normal(min(A.shape))
    return float(sp.linalg.svds(A, k=1, v0=start, return_singular_vectors=False)[0]) ** 2 / m
