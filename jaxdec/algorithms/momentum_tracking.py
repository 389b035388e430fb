"""Momentum Tracking: momentum that stands up to heterogeneous data."""

from typing import ClassVar, Literal, NamedTuple

import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["MomentumTracking", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    u: Iterates  # (n, d), momenta
    c: Iterates  # (n, d), what is subtracted from each momentum; sums to zero over the nodes


@module
class MomentumTracking:
    r"""Momentum Tracking: gradient tracking applied to heavy-ball momenta.

    With G the stochastic gradients at X::

        U = momentum U + G + weight_decay X
        X = W X - lr (U - C)
        C = W (C - U) + U

    where all three lines read the old X and C. In tracking form, Y = U - C follows the mean momentum.

    Symbols: X, U, C are `x`, `u`, `c`, (n, d) each; eta is `lr`, beta is `momentum`.
    Cost per round: one minibatch gradient per node, two d-vectors to each neighbour.
    W: doubly stochastic.
    Guarantee: Σ c_i = 0 in every round, and xbar follows heavy ball on the mean gradient. With exact gradients the
    fixed point is x_i = x*, u_i = c_i = ∇f_i(x*)/(1 - beta), however different the f_i. The effective step
    is lr / (1 - beta). On quadratics of equal curvature a with symmetric W and without weight decay,
    (z - l)² (z - beta) + lr a z (z - 1) has its roots inside the unit circle for every eigenvalue l of W, but for l = 1
    the root 1 of what is conserved, if and only if lr a < (1 + λ)² (1 + beta) / 2, with λ the least eigenvalue.
    Reference: Takezawa, Bao, Niwa, Sato, Yamada (2023), arXiv:2209.15505; the update and its start follow the authors'
    code, whose mixing is combine-then-adapt.
    Deviations: weight_decay is 0 unless given (the authors' code has 1e-3). start="zero" takes u = c = 0 instead of
    u_i = c_i = (g_i - mean_j g_j)/(1 - beta), which costs one global average; that gradient is reused by the first
    step, and counted there.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=10.0), networks.ring(8)
    >>> result = run(MomentumTracking(lr=0.02, momentum=0.8), problem, network, rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size()
    momentum: ScalarLike = 0.9
    weight_decay: ScalarLike = 0.0
    start: Literal["authors", "zero"] = static(default="authors")

    def check(self) -> None:
        checks.fraction("MomentumTracking.momentum", self.momentum)
        checks.weight("MomentumTracking.weight_decay", self.weight_decay)
        checks.choice("MomentumTracking.start", self.start, ("authors", "zero"))

    def limit(self, eigenvalue: float) -> float:
        """The largest lr a that is stable; `eigenvalue` is λ."""
        return (1 + eigenvalue) ** 2 * (1 + float(self.momentum)) / 2

    def init(self, problem, x0, r):
        if self.start == "zero":
            return State(x0, jnp.zeros_like(x0), jnp.zeros_like(x0)), Cost()
        g = problem.grad(x0, r.draw(problem))
        u = (g - jnp.mean(g, axis=0, keepdims=True)) / (1 - self.momentum)
        return State(x0, u, u), Cost(vectors=1)

    def step(self, problem, s, r):
        g = problem.grad(s.x, r.draw(problem))
        u = self.momentum * s.u + g + self.weight_decay * s.x
        x = r.W @ s.x - self.lr * (u - s.c)
        c = r.W @ (s.c - u) + u
        return State(x, u, c), Cost(grads=problem.batch_size, vectors=2)
