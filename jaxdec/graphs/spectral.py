"""What a weight matrix promises: its spectrum, in float64."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.sparse import linalg

from jaxdec.graphs._matrix import as_matrix

__all__ = ["DENSE", "Spectrum", "mixing_parameter", "properties", "spectral_gap", "spectrum"]

DENSE = 2000  # nodes up to which a spectrum comes from a dense eigensolver


# What a matrix promises.


class Spectrum(NamedTuple):
    """How fast W mixes; see `spectrum`."""

    gap: float
    p: float
    lambda_2: float
    lambda_min: float


def properties(W: Any, atol: float = 1e-8) -> frozenset[str]:
    """What holds of W, dense or sparse (n, n), up to `atol` per entry and per sum.

    Among "row stochastic", "column stochastic" (non-negative, sums of one), "doubly stochastic" (both) and "symmetric",
    which is what papers on tracking assume of W: symmetric and doubly stochastic. Entries of a symmetric W may be
    negative, as in weights that were optimized, if no multiplication by W takes nodes apart: no eigenvalue is outside
    [-1, 1].

    >>> from jaxdec.graphs import column_stochastic, directed_ring
    >>> sorted(properties(column_stochastic(directed_ring(4))))
    ['column stochastic', 'doubly stochastic', 'row stochastic']
    """
    W = as_matrix(W)
    rows, columns, symmetric = _facts(W, atol)
    if W.min() < -atol and not (rows and symmetric and max(map(abs, _extremes(W))) <= 1 + atol):
        return frozenset()
    holds = {
        "row stochastic": rows,
        "column stochastic": columns,
        "doubly stochastic": rows and columns,
        "symmetric": rows and columns and symmetric,
    }
    return frozenset(name for name, true in holds.items() if true)


def spectrum(W: Any) -> Spectrum:
    """The spectral gap, the mixing parameter and the extreme eigenvalues of a weight matrix.

    gap = 1 - max |lambda_i| over all eigenvalues but the 1 of consensus. p is the largest number such that
    ||W X - J X||_F^2 <= (1 - p) ||X - J X||_F^2 for every X, with J = 11'/n; it is 1 - max(|lambda_2|, |lambda_n|)^2
    for a symmetric W and 1 - sigma_2(W)^2 for other W whose rows and columns sum to one (Koloskova, Lin, Stich 2021, An
    improved analysis of gradient tracking for decentralized machine learning, arXiv 2202.03836), and nan where only the
    rows or the columns do. lambda_2 and lambda_min are nan unless W is symmetric. Entries may be negative, as in
    weights that were optimized. A single node has Spectrum(1, 1, 0, 0).

    Cost: a dense eigensolver up to 2000 nodes, above that Lanczos and Arnoldi iterations on the sparse matrix.

    Raises:
        ValueError: if neither the rows nor the columns sum to one, or the iterations do not converge.

    >>> from jaxdec.graphs import hypercube, metropolis
    >>> spectrum(metropolis(hypercube(8)))
    Spectrum(gap=0.5, p=0.75, lambda_2=0.5, lambda_min=-0.5)
    """
    W = as_matrix(W)
    n, nan = W.shape[0], float("nan")
    rows, columns, symmetric = _facts(W, atol=1e-6)  # admits float32 weights
    if not (rows or columns):
        sums = W.sum(axis=1)
        raise ValueError(
            f"W must have row or column sums of one; got row sums from {sums.min():.6g} to {sums.max():.6g}"
        )
    if n == 1:
        return Spectrum(1.0, 1.0, 0.0, 0.0)
    if symmetric:
        smallest, second = _extremes(W)
        largest = max(abs(second), abs(smallest))
        return Spectrum(_clean(1 - largest), _clean(1 - largest**2), second, smallest)
    p = _clean(1 - _second_singular(W) ** 2) if rows and columns else nan
    return Spectrum(_clean(1 - _second_modulus(W if rows else W.T)), p, nan, nan)


def mixing_parameter(W: Any) -> float:
    """The p of `spectrum`: one multiplication by W shrinks the squared distance to consensus by 1 - p or better."""
    return spectrum(W).p


def spectral_gap(W: Any) -> float:
    """The gap of `spectrum`: 1 - max |lambda_i|, i >= 2."""
    return spectrum(W).gap


def _extremes(W: Any) -> tuple[float, float]:
    """The smallest and the largest eigenvalue of a symmetric W with W 1 = 1, on the vectors that sum to zero."""
    if W.shape[0] > DENSE:
        return -_largest(-sp.csr_array(W)), _largest(sp.csr_array(W))
    values = np.linalg.eigvalsh(_dense(W))
    others = np.delete(values, np.argmin(np.abs(values - 1)))
    return float(others[0]), float(others[-1])


def _largest(A: Any) -> float:
    """The largest eigenvalue of a symmetric A with A 1 = ±1, on the vectors that sum to zero."""
    n = A.shape[0]
    v0 = np.random.default_rng(0).standard_normal(n)
    # Minus 3 J puts the eigenvalue of 1 below all others.
    deflated = _operator(n, lambda x: A @ x - 3 * x.mean())
    try:
        # A basis of 40 and 150 restarts are enough for random regular graphs of 100 000 nodes.
        options = {"ncv": 40, "maxiter": 150, "tol": 1e-10}
        return float(linalg.eigsh(deflated, k=1, which="LA", v0=v0, return_eigenvectors=False, **options)[0])
    except linalg.ArpackNoConvergence:
        # A graph that mixes slowly has small separators, so a sparse factorization is cheap where Lanczos is not.
        above = float((A.diagonal() + abs(A - sp.diags_array(A.diagonal())).sum(axis=1)).max()) + 1e-9  # Gershgorin
        solve = linalg.splu((above * sp.eye_array(n) - A).tocsc()).solve
        centre = lambda x: x - x.mean()
        inverse = _operator(n, lambda x: centre(solve(centre(x))))
        return above - 1 / float(linalg.eigsh(inverse, k=1, which="LA", v0=v0, return_eigenvectors=False)[0])


def _second_modulus(W: Any) -> float:
    """The largest |eigenvalue| of W with W 1 = 1 when one eigenvalue 1 is left out."""
    n = W.shape[0]
    if n <= DENSE:
        # Wielandt deflation: W - 1 1'/n has the eigenvalues of W with that 1 replaced by 0.
        return float(np.abs(np.linalg.eigvals(_dense(W) - 1 / n)).max())
    deflated = _operator(n, lambda x: W @ x - x.mean())
    v0 = np.random.default_rng(0).standard_normal(n)
    try:
        return float(np.abs(linalg.eigs(deflated, k=1, v0=v0, maxiter=1000, return_eigenvectors=False)).max())
    except linalg.ArpackNoConvergence:
        raise ValueError(
            f"the second eigenvalue of this non-symmetric {n} x {n} matrix did not converge;"
            f" take at most {DENSE} nodes, where the eigensolver is dense"
        ) from None


def _second_singular(W: Any) -> float:
    """The largest ||W x|| / ||x|| over vectors that sum to zero, of W with W 1 = 1 and 1'W = 1'."""
    n = W.shape[0]
    if n <= DENSE:
        return float(np.linalg.norm(_dense(W) - 1 / n, 2))
    W = sp.csr_array(W)
    return max(_largest(W.T @ W), 0.0) ** 0.5


def _operator(n: int, product: Callable) -> Any:
    return linalg.LinearOperator((n, n), matvec=product, dtype=float)  # type: ignore


def _dense(W: Any) -> np.ndarray:
    return W.toarray() if sp.issparse(W) else W


def _clean(gap: float) -> float:
    """A gap of rounding errors is none: the graph is disconnected, or periodic."""
    return 0.0 if abs(gap) < 1e-12 else float(gap)


def _facts(W: Any, atol: float) -> tuple[bool, bool, bool]:
    """Whether the rows sum to one, the columns do, and W is symmetric."""
    rows, columns = (bool(abs(W.sum(axis=axis) - 1).max() <= atol) for axis in (1, 0))
    return rows, columns, bool(abs(W - W.T).max() <= atol)
