"""The constants of a problem that rates are stated in."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike
from scipy.sparse import linalg

from jaxdec._module import cast
from jaxdec.problems.finite_sums import FiniteSum
from jaxdec.problems.linear import LeastSquares, Logistic, Softmax
from jaxdec.problems.quadratics import Quadratic


class Constants(NamedTuple):
    """What rates are stated in; see `constants`."""

    L: float
    mu: float
    zeta: float
    sigma: float


def constants(problem: Any, x: ArrayLike | None = None, *, draws: int = 1000, seed: int = 0) -> Constants:
    r"""The constants of a problem, those that depend on a point at x.

    ::

        L        the largest smoothness among the f_i
        mu       the strong convexity of the mean, f
        zeta²    (1/n) Σ_i ‖∇f_i(x) - ∇f(x)‖²: how different the f_i are
        sigma²   (1/n) Σ_i E‖g_i - ∇f_i(x)‖²: the noise of the stochastic gradients

    How each is found:

    - Quadratics and least squares: L, mu from the matrices, exact everywhere.
    - Logistic and softmax regression: L = c max_i λ_max(A_i'A_i / m_i) + l2 with c = 1/4 and 1/2, and mu = l2: bounds
      that hold everywhere. The non-convex regularizer bends by between -1/2 and 2 times its weight, which is added.
    - Anything else: the fields L and mu of the problem where it has them; else the curvature at x, the largest
      |eigenvalue| of the nodes' Hessians and the least one of the mean's, by iterations on Hessian-vector products. It
      may be larger, or less, elsewhere.
    - sigma of a quadratic is its noise; of a finite sum it is exact, from the gradients of all samples and the way that
      minibatches are drawn; of anything else, and of epochs and losses that are random themselves, it is the mean over
      `draws` minibatches of `seed` (Monte Carlo).

    Args:
        problem: any problem.
        x: (d,), or None for the problem's minimizer.
        draws: minibatches for a sigma that has to be estimated.
        seed: of those minibatches.

    Raises:
        ValueError: if x is None and the problem does not know its minimizer.

    >>> from jaxdec import problems
    >>> found = constants(problems.Quadratic(A=np.ones((2, 1)), b=np.array([[1.0], [-1.0]]), noise=0.5))
    >>> found.L, found.mu, found.zeta, found.sigma
    (1.0, 1.0, 1.0, 0.5)
    """
    with jax.enable_x64(True):
        problem = cast(problem, jnp.float64)
        x = problem.minimizer if x is None else x
        if x is None:
            raise ValueError(
                "zeta and sigma depend on the point, and this problem does not know its minimizer; give x, or the "
                "problem that problems.solve(problem) returns"
            )
        x = jnp.broadcast_to(jnp.asarray(x, jnp.float64), (problem.n, problem.d))
        L, mu = _curvature(problem, x)
        zeta, sigma = _deviations(problem, x, jax.random.key(seed), draws)
        return Constants(float(L), float(mu), float(zeta), float(sigma))


_BENDS = {LeastSquares: 1.0, Logistic: 1 / 4, Softmax: 1 / 2}  # bounds on the loss's curvature in its scores


def _curvature(problem: Any, x: Any) -> tuple[Any, Any]:
    """L and mu."""
    bend = _BENDS.get(type(problem.model)) if isinstance(problem, FiniteSum) else None
    if bend is not None:
        grams = _grams(problem)
        exact = isinstance(problem.model, LeastSquares)
        least = np.linalg.eigvalsh(grams.mean(axis=0))[0] if exact else 0.0
        nonconvex = 0.0 if problem.nonconvex is None else problem.nonconvex
        L = bend * np.linalg.eigvalsh(grams)[:, -1].max() + problem.l2 + 2 * nonconvex
        return L, max(least, 0.0) + problem.l2 - nonconvex / 2
    if problem.L is not None and problem.mu is not None:
        return problem.L, problem.mu
    return _largest_curvature(problem, x), _least_curvature(problem, x)


def _grams(problem: FiniteSum) -> np.ndarray:
    """A_i'A_i / m_i of the nodes' inputs, (n, features, features)."""
    inputs, indices, counts = (np.asarray(a) for a in (problem.inputs, problem.indices, problem.counts))
    held = [inputs[row[:m]].astype(np.float64) for row, m in zip(indices, counts, strict=True)]
    return np.stack([A.T @ A / len(A) for A in held])


@jax.jit
def _hvp(problem: Any, x: Any, v: Any) -> Any:
    return problem.hvp(x, v)


def _largest_curvature(problem: Any, x: Any, steps: int = 1000, tolerance: float = 1e-9) -> Any:
    """The largest |eigenvalue| among the nodes' Hessians at x: power iterations, all nodes at once."""
    v = np.random.default_rng(0).standard_normal(x.shape)
    largest = np.zeros(len(v))
    for _ in range(steps):
        v = np.asarray(_hvp(problem, x, v / np.linalg.norm(v, axis=1, keepdims=True)))
        before, largest = largest, np.linalg.norm(v, axis=1)
        v = np.where(largest[:, None] > 0, v, 1.0)
        if np.all(np.abs(largest - before) <= tolerance * largest):
            break
    return largest.max()


def _least_curvature(problem: Any, x: Any) -> float:
    """The least eigenvalue of the mean's Hessian at x, by Lanczos iterations."""
    d = problem.d
    product = lambda v: np.asarray(_hvp(problem, x, np.broadcast_to(v.ravel(), x.shape))).mean(axis=0)
    if d <= 20:
        return float(np.linalg.eigvalsh(np.stack([product(v) for v in np.eye(d)]))[0])
    H = linalg.LinearOperator((d, d), matvec=product, dtype=float)  # pyrefly: ignore
    v0 = np.random.default_rng(0).standard_normal(d)
    return float(linalg.eigsh(H, k=1, which="SA", v0=v0, tol=1e-6, return_eigenvectors=False)[0])


@partial(jax.jit, static_argnames="draws")
def _deviations(problem: Any, x: Any, key: Any, draws: int) -> tuple[Any, Any]:
    """Zeta and sigma at x."""
    g = problem.grad(x)
    variance = _variance(problem, x, g, key, draws)
    return jnp.sqrt(jnp.mean(jnp.sum((g - jnp.mean(g, axis=0)) ** 2, axis=1))), jnp.sqrt(variance)


def _variance(problem: Any, x: Any, g: Any, key: Any, draws: int) -> Any:
    """sigma² at x, where g are the exact gradients."""
    if isinstance(problem, Quadratic):
        return 0.0 if problem.noise is None else problem.noise**2
    squared = lambda batch: jnp.sum((problem.grad(x, batch) - g) ** 2, axis=1)
    b = problem.minibatch if isinstance(problem, FiniteSum) else 1
    if b is None:
        return 0.0
    if isinstance(problem, FiniteSum) and not problem.random and problem.sampling != "epochs":
        column = jnp.zeros((problem.n, 1), jnp.int32)
        each = jax.lax.map(lambda j: squared(column + j), jnp.arange(problem.indices.shape[1]))  # (m_max, n)
        m = problem.counts
        of_one = jnp.sum(jnp.where(jnp.arange(len(each))[:, None] < m, each, 0.0), axis=0) / m
        return jnp.mean(of_one if problem.sampling == "replacement" else of_one * (m - b) / jnp.maximum(m - 1, 1)) / b
    return jnp.mean(jax.lax.map(lambda i: squared(problem.sample(key, i)), jnp.arange(draws)))
