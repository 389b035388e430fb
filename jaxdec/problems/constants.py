"""The constants of a problem that rates are stated in."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike
from scipy.sparse import linalg

from jaxdec import checks
from jaxdec._module import cast, seed_key

__all__ = ["Constants", "constants"]


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
    - Anything else: what the problem's `curvature` says; where that is nothing, the curvature at x, the largest
      |eigenvalue| of the nodes' Hessians and the least one of the mean's, by iterations on Hessian-vector products. It
      may be larger, or less, elsewhere.
    - sigma is what the problem's `variance` says: of a quadratic its noise, of a finite sum the exact value, from the
      gradients of all samples and the way that minibatches are drawn. Where that is nothing, as for epochs and losses
      that are random themselves, it is the mean over `draws` minibatches of `seed` (Monte Carlo).

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
        L, mu = problem.curvature() or (_largest_curvature(problem, x), _least_curvature(problem, x))
        zeta, sigma = _deviations(problem, x, seed_key(checks.seed("seed", seed)), draws)
        return Constants(float(L), float(mu), float(zeta), float(sigma))


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
    g, variance = problem.grad(x), problem.variance(x)
    if variance is None:
        squared = lambda i: jnp.sum((problem.grad(x, problem.sample(key, i)) - g) ** 2, axis=1)
        variance = jnp.mean(jax.lax.map(squared, jnp.arange(draws)))
    return jnp.sqrt(jnp.mean(jnp.sum((g - jnp.mean(g, axis=0, keepdims=True)) ** 2, axis=1))), jnp.sqrt(variance)
