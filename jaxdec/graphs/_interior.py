"""An interior-point method for small semidefinite programs over the weights of a graph's edges."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy import linalg

STEPS = 100
SHIFTS, REFINED = (0, 1e-15, 1e-14, 1e-13, 1e-12), 3  # of the diagonal of a system, where rounding spoils it


class Block(NamedTuple):
    """constant + sign B diag(C v) B' + scalar s I, to be positive definite; the variables are (v, s)."""

    constant: np.ndarray  # (r, r)
    B: np.ndarray  # (r, m), a column for each edge
    C: sp.csr_array  # (m, k), which variable is the weight of an edge
    sign: float
    scalar: float

    def change(self, y: np.ndarray) -> np.ndarray:
        """The linear part."""
        return self.sign * (self.B * (self.C @ y[:-1])) @ self.B.T + self.scalar * y[-1] * np.eye(len(self.B))

    def adjoint(self, Z: np.ndarray) -> np.ndarray:
        """The products of Z with the matrices of the variables, (k + 1,)."""
        return np.r_[self.sign * (self.C.T @ np.sum(self.B * (Z @ self.B), axis=0)), self.scalar * np.trace(Z)]

    def curvature(self, X: np.ndarray, Z: np.ndarray) -> np.ndarray:
        """Tr M_i X M_j Z over the matrices of the variables, (k + 1, k + 1)."""
        pairs = self.C.T @ (self.C.T @ ((self.B.T @ X @ self.B) * (self.B.T @ Z @ self.B))).T
        mixed = self.scalar * self.adjoint(X @ Z)
        return np.block([[pairs, mixed[:-1, None]], [mixed]])


class Dual(NamedTuple):
    """Multipliers, which meet the linear equations of the dual up to a residual that goes to rounding."""

    blocks: list[np.ndarray]  # positive definite, of each block
    linear: np.ndarray  # of each inequality, positive


def minimize(
    objective: np.ndarray,
    blocks: list[Block],
    G: sp.csr_array,
    h: np.ndarray,
    y: np.ndarray,
    enough: Callable[[np.ndarray, Dual], bool],
) -> bool:
    """Minimize objective'y where all blocks are positive definite and G y < h, from a y inside.

    The primal-dual method of Helmberg, Rendl, Vanderbei, Wolkowicz 1996 with Mehrotra's corrector. Every iterate is
    handed to `enough` with its multipliers, until that is true; False where the arithmetic ends before.
    """
    try:
        return _minimize(objective, blocks, G, h, y, enough)
    except np.linalg.LinAlgError:  # rounding has made a matrix indefinite
        return False


def _minimize(objective, blocks, G, h, y, enough) -> bool:
    S = [block.constant + block.change(y) for block in blocks]
    Z, slack = [np.linalg.inv(A) for A in S], h - G @ y
    z, size = 1 / slack, len(h) + sum(map(len, S))
    for _ in range(STEPS):
        if enough(y, Dual(Z, z)):
            return True
        X = [_inverse(A) for A in S]
        H = (G.T @ sp.diags_array(z / slack) @ G).toarray()
        H += sum(b.curvature(A, D) for b, A, D in zip(blocks, X, Z, strict=True))
        factor = _factored(H)
        if factor is None:
            return False

        def toward(mu: float, second: list[np.ndarray], linear: np.ndarray):
            """The steps to complementarity mu; `second` and `linear` are products of changes, left out by Newton."""
            want = [mu * A - _sym(E @ A) for A, E in zip(X, second, strict=True)]  # noqa: B023
            wanted = (mu + linear) / slack  # noqa: B023
            residual = objective + G.T @ wanted - sum(b.adjoint(A) for b, A in zip(blocks, want, strict=True))
            dy = factor(-residual)  # noqa: B023
            dS = [b.change(dy) for b in blocks]
            dZ = [A - D - _sym(D @ d @ V) for A, D, d, V in zip(want, Z, dS, X, strict=True)]  # noqa: B023
            return dy, dS, dZ, wanted - z + z * (G @ dy) / slack  # noqa: B023

        mu = (sum(np.sum(D * A) for D, A in zip(Z, S, strict=True)) + z @ slack) / size
        dy, dS, dZ, dz = toward(0.0, [np.zeros_like(D) for D in Z], np.zeros_like(z))
        inside, dual = _length(S, dS, slack, -G @ dy), _length(Z, dZ, z, dz)
        ahead = sum(np.sum((D + dual * d) * (A + inside * e)) for D, d, A, e in zip(Z, dZ, S, dS, strict=True))
        ahead = (ahead + (z + dual * dz) @ (slack - inside * (G @ dy))) / size
        centring = min(1.0, max(ahead / mu, 0.0)) ** 3
        dy, dS, dZ, dz = toward(centring * mu, [d @ e for d, e in zip(dZ, dS, strict=True)], dz * (G @ dy))
        inside, dual = 0.95 * _length(S, dS, slack, -G @ dy), 0.95 * _length(Z, dZ, z, dz)
        if not max(inside, dual) > 1e-8:
            return False
        y = y + inside * dy
        S, slack = [block.constant + block.change(y) for block in blocks], h - G @ y
        Z, z = [D + dual * d for D, d in zip(Z, dZ, strict=True)], z + dual * dz
    return False


def _sym(A: np.ndarray) -> np.ndarray:
    return (A + A.T) / 2


def _inverse(A: np.ndarray) -> np.ndarray:
    root = _below(np.linalg.cholesky(A), np.eye(len(A)))
    return root.T @ root


def _below(L: np.ndarray, A: np.ndarray) -> np.ndarray:
    return np.asarray(linalg.solve_triangular(L, A, lower=True))


def _length(of: list[np.ndarray], by: list[np.ndarray], also: np.ndarray, rate: np.ndarray) -> float:
    """How far all stay positive definite, and the numbers positive, at most 1 / 0.95."""
    least = min(0.0, float(np.min(rate / also, initial=0.0)))
    for A, d in zip(of, by, strict=True):
        L = np.linalg.cholesky(A)
        scaled = _below(L, _below(L, d).T)
        least = min(least, float(np.linalg.eigvalsh(_sym(scaled))[0]))
    return min(1 / 0.95, -1 / least) if least < 0 else 1 / 0.95


def _factored(H: np.ndarray) -> Callable[[np.ndarray], np.ndarray] | None:
    """The solution of a system that is positive definite but for rounding, refined; None where it is far from it."""
    scale = 1 / np.sqrt(np.diagonal(H))
    scaled = _sym(H) * scale * scale[:, None]
    for shift in SHIFTS:
        try:
            L = np.linalg.cholesky(scaled + shift * np.eye(len(H)))
        except np.linalg.LinAlgError:
            continue

        def solve(v: np.ndarray) -> np.ndarray:
            x = np.zeros_like(v)
            for _ in range(REFINED):
                x = x + linalg.cho_solve((L, True), scale * v - scaled @ x)  # noqa: B023
            return scale * x

        return solve
    return None
