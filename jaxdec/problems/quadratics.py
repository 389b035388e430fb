"""Quadratics: everything about them is known exactly."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxdec import checks
from jaxdec._module import module
from jaxdec.problems import proximal, sampling
from jaxdec.problems.base import Problem
from jaxdec.types import PRNGKey, ScalarLike, Vector

__all__ = ["Quadratic", "quadratic"]


@module
class Quadratic(Problem):
    r"""f_i(x) = x'A_i x / 2 - b_i'x with stochastic gradients A_i x - b_i + N(0, noise² I / d).

    Fields: `A` (n, d, d), symmetric, or (n, d) for diagonal matrices; `b` (n, d); `noise` is sigma, the root of the
    expected squared norm of a gradient's noise.

    >>> problem = Quadratic(A=jnp.ones((4, 2)), b=jnp.arange(8.0).reshape(4, 2))
    >>> problem.minimizer
    Array([3., 4.], dtype=float...)
    """

    A: Float[Array, "n d d"] | Float[Array, "n d"]
    b: Float[Array, "n d"]
    noise: ScalarLike | None = None  # None is 0, known when compiling: nothing is drawn
    nodes: Int[Array, " n"] | None = None  # which nodes of the whole these are; None means all

    @property
    def n(self) -> int:
        return self.b.shape[0]

    @property
    def d(self) -> int:
        return self.b.shape[1]

    def sample(self, key_data: PRNGKey, i):
        """The noise of gradient number i: N(0, I / d) for each node, (n, d)."""
        if self.noise is None:
            return None
        shape, dtype = (self.n, self.d), self.dtype
        nodes = jnp.arange(self.n) if self.nodes is None else self.nodes

        def draw():
            keys = sampling.minibatch_keys(key_data, i, nodes)
            return jax.vmap(lambda key: jax.random.normal(key, (self.d,), dtype))(keys) / self.d**0.5

        # What is multiplied by zero need not be drawn: that would take most of a noiseless round.
        return jax.lax.cond(jnp.asarray(self.noise) > 0, draw, lambda: jnp.zeros(shape, dtype))

    def loss(self, x, batch=None):
        value = jnp.sum(x * (self._times(x) / 2 - self.b), axis=1)
        return value if batch is None or self.noise is None else value + self.noise * jnp.sum(batch * x, axis=1)

    def grad(self, x, batch=None):
        value = self._times(x) - self.b
        return value if batch is None or self.noise is None else value + self.noise * batch

    def hvp(self, x, v, batch=None):
        return self._times(v)

    def hessian(self, x, batch=None):
        """The A_i, wherever x is."""
        A = jnp.asarray(self.A, x.dtype)
        return A if A.ndim == 3 else A[:, :, None] * jnp.eye(self.d, dtype=x.dtype)[None]

    def prox(self, x, step):
        """Exact; it needs 1 + step a > 0 for all eigenvalues a of the A_i, without which there is no minimizer."""
        if self.A.ndim == 2:
            return x - step * self.grad(x) / (1 + step * self.A)
        return proximal.quadratic(self.A, self.grad(x), x, step)

    def variance(self, x):
        """The square of `noise`, wherever x is."""
        return 0.0 if self.noise is None else self.noise**2

    def _times(self, x):
        if self.A.ndim == 2:
            return self.A * x
        return jnp.einsum("nij,nj->ni", self.A, x, precision=jax.lax.Precision.HIGHEST)

    @property
    def minimizer(self) -> Vector:
        """The minimizer of the mean, (d,)."""
        A, b = jnp.mean(jnp.asarray(self.A), axis=0), jnp.mean(jnp.asarray(self.b), axis=0)
        return b / A if A.ndim == 1 else jnp.linalg.solve(A, b)

    @property
    def minimum(self) -> Float[Array, ""]:
        """The least value of the mean."""
        return -jnp.mean(jnp.asarray(self.b), axis=0) @ self.minimizer / 2

    def suboptimality(self, x: Vector) -> Float[Array, ""]:
        """(x - x*)'A (x - x*) / 2 with the mean's A: no difference of two large numbers."""
        e, A = x - self.minimizer, jnp.mean(jnp.asarray(self.A), axis=0)
        return e @ (A * e if A.ndim == 1 else A @ e) / 2

    @property
    def L(self) -> Float[Array, ""]:
        """The largest smoothness constant among the f_i."""
        return jnp.max(self._eigenvalues())

    @property
    def mu(self) -> Float[Array, ""]:
        """The strong convexity of the mean."""
        A = jnp.mean(jnp.asarray(self.A), axis=0)
        return jnp.min(A if A.ndim == 1 else jnp.linalg.eigvalsh(A))

    @property
    def convex(self) -> bool:
        """Whether the mean is: its least eigenvalue is not negative, to rounding."""
        return bool(self.mu >= -4 * self.d * jnp.finfo(self.dtype).eps * jnp.max(jnp.abs(self._eigenvalues())))

    def _eigenvalues(self):
        return self.A if self.A.ndim == 2 else jnp.linalg.eigvalsh(self.A)

    def take(self, clients):
        nodes = clients if self.nodes is None else self.nodes[clients]
        return Quadratic(self.A[clients], self.b[clients], self.noise, nodes)

    def check(self) -> None:
        """Shapes fit, A is symmetric, everything is finite, the noise is not negative."""
        A, b = np.asarray(self.A), np.asarray(self.b)
        if b.ndim != 2 or A.shape not in (b.shape, (*b.shape, b.shape[-1])):
            raise ValueError(
                f"Quadratic needs b of shape (n, d) and A of shape (n, d, d) or, if diagonal, (n, d); "
                f"got A {A.shape} and b {b.shape}"
            )
        for name, value in (("A", A), ("b", b)):
            if not np.all(np.isfinite(value)):
                node = int(np.argwhere(~np.isfinite(value))[0][0])
                raise ValueError(f"{name} of the Quadratic has NaN or infinite entries, first at node {node}")
        if A.ndim == 3 and (gap := np.abs(A - A.transpose(0, 2, 1)).max()) > 1e-5 * np.abs(A).max():
            raise ValueError(f"each A_i must be symmetric; here max|A - A'| = {gap:.2g}. Use (A + A') / 2")
        if self.noise is not None:
            checks.weight("noise", self.noise, "a standard deviation")


def quadratic(
    n: int, d: int, *, zeta: float = 1.0, noise: float = 0.0, mu: float = 0.5, L: float = 1.0, seed: int = 0
) -> Quadratic:
    """A random heterogeneous quadratic: equal curvatures within a node's coordinates would hide most differences.

    A_i = diag(a_i) with entries uniform in [mu, L], and b_i = A_i x_i* with x_i* ~ N(0, zeta² I / d): the nodes'
    minimizers are about zeta apart, and zeta = 0 makes the origin the minimizer of every f_i.

    >>> problem = quadratic(8, 5, zeta=10.0)
    >>> problem.n, problem.d
    (8, 5)
    """
    size = 40 * checks.integer("n", n, most=10**18) * checks.integer("d", d, most=10**18)
    checks.affordable(f"a quadratic of {n} nodes and {d} parameters", size, "take fewer nodes or parameters")
    n, d = checks.integer("n", n), checks.integer("d", d)
    for name, value in (("mu", mu), ("L", L)):
        checks.finite(name, value)
    checks.weight("zeta", zeta, "a distance")
    checks.weight("noise", noise, "a standard deviation")
    rng = np.random.default_rng(checks.seed("seed", seed))
    A = rng.uniform(mu, L, (n, d))
    return Quadratic(jnp.asarray(A), jnp.asarray(A * rng.standard_normal((n, d)) * zeta / np.sqrt(d)), noise or None)
