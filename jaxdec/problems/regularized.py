"""Composite problems: smooth objectives of the nodes and a regularizer that all of them share."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdec._module import cast, module
from jaxdec.problems.base import Problem

__all__ = ["Composite", "composite"]

STEPS = 100_000  # of the proximal gradient method, at most


@module
class Composite(Problem):
    """(1/n) Σ f_i(x) + r(x). Made by `composite`.

    `loss` and `grad` are those of the smooth f_i, `prox_regularizer` is the proximal step of r, and `objective` has
    both. Methods that do not know of r are refused: see `algorithms.find(composite=True)`.
    """

    smooth: Any  # a problem
    regularizer: Any
    minimizer: Float[Array, " d"] | None = None  # of the sum, where known
    minimum: Float[Array, ""] | None = None

    @property
    def n(self) -> int:
        return self.smooth.n

    @property
    def d(self) -> int:
        return self.smooth.d

    @property
    def shapes(self):
        return self.smooth.shapes

    @property
    def batch_size(self):
        return self.smooth.batch_size

    @property
    def data_size(self):
        return self.smooth.data_size

    @property
    def dtype(self):
        return self.smooth.dtype

    @property
    def L(self):
        return self.smooth.L

    @property
    def mu(self):
        return self.smooth.mu

    @property
    def convex(self):
        return self.smooth.convex

    def curvature(self):
        return self.smooth.curvature()

    def init(self, key):
        return self.smooth.init(key)

    def sample(self, key_data, i):
        return self.smooth.sample(key_data, i)

    def loss(self, x, batch=None):
        return self.smooth.loss(x, batch)

    def grad(self, x, batch=None):
        return self.smooth.grad(x, batch)

    def hvp(self, x, v, batch=None):
        return self.smooth.hvp(x, v, batch)

    def hessian(self, x, batch=None):
        return self.smooth.hessian(x, batch)

    def prox(self, x, step):
        return self.smooth.prox(x, step)

    def prox_regularizer(self, x, step):
        return self.regularizer.prox(x, step)

    def objective(self, x):
        return self.smooth.objective(x) + self.regularizer.value(x)

    def variance(self, x):
        return self.smooth.variance(x)

    def test(self, x):
        return self.smooth.test(x)

    def over_nodes(self, f):
        return self.smooth.over_nodes(f)

    def take(self, clients):
        return Composite(self.smooth.take(clients), self.regularizer)

    def check(self) -> None:
        self.smooth.check()
        self.regularizer.check(self.d)


def composite(problem: Any, regularizer: Any, *, tolerance: float = 1e-12) -> Composite:
    """The problem with a regularizer that all nodes share, and its minimizer where its smoothness is known.

    Args:
        problem: smooth.
        regularizer: one of `problems.regularizers`, such as L1(0.1), or with the same methods: `value(x)` of (d,),
            `prox(x, step)` of (n, d), row by row, and `check(d)`.
        tolerance: how far, in each entry, a proximal gradient step of the minimizer moves it.

    Raises:
        ValueError: if the regularizer does not fit, or the minimizer is not found.

    >>> from jaxdec import algorithms, networks, problems, run
    >>> problem = composite(problems.quadratic(8, 3, zeta=1.0), problems.regularizers.L1(0.1))
    >>> result = run(algorithms.PGEXTRA(lr=0.2), problem, networks.ring(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """
    regularizer.check(problem.d)
    found = Composite(problem, regularizer)
    known = problem.curvature()
    if known is None:
        return found
    with jax.enable_x64(True):
        exact = cast(found, np.float64)
        x, moved = _minimized(exact, float(known[0]))
        if not moved <= tolerance * max(1.0, float(jnp.max(jnp.abs(x)))):
            raise ValueError(
                f"after {STEPS} proximal gradient steps there is no minimizer: one more moves it by {moved:.2g}, above "
                f"the tolerance {tolerance:.2g}. Add strong convexity, or pass a larger tolerance"
            )
        minimum = exact.objective(x)
    dtype = problem.dtype
    return Composite(problem, regularizer, jnp.asarray(np.asarray(x), dtype), jnp.asarray(np.asarray(minimum), dtype))


def _minimized(problem: Composite, L: float) -> tuple[Any, float]:
    """By the accelerated proximal gradient method, which begins anew where it goes uphill; and what a step moves."""
    gradient = jax.grad(problem.smooth.objective)
    forward = lambda y: problem.regularizer.prox((y - gradient(y) / L)[None], 1 / L)[0]

    def iterate(at):
        x, y, momentum, _, k = at
        new = forward(y)
        uphill = (y - new) @ (new - x) > 0
        after = jnp.where(uphill, 1.0, (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2)
        ahead = jnp.where(uphill, 0.0, (momentum - 1) / after)
        return new, new + ahead * (new - x), after, jnp.max(jnp.abs(forward(new) - new)), k + 1

    start = forward(jnp.zeros(problem.d))
    enough = 1e-14 * (1 + jnp.max(jnp.abs(start)))
    state = start, start, jnp.asarray(1.0), jnp.asarray(jnp.inf), 0
    x, _, _, moved, _ = jax.jit(
        lambda state: jax.lax.while_loop(lambda at: (at[3] > enough) & (at[4] < STEPS), iterate, state)
    )(state)
    return x, float(moved)
