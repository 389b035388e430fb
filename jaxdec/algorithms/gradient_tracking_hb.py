"""Gradient tracking with heavy ball: a moving average of the trackers."""

from typing import ClassVar, Literal, NamedTuple

import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["GradientTrackingHB", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    u: Iterates  # (n, d), moving averages of the trackers, as the last step used them
    y: Iterates  # (n, d), trackers: their mean is the mean of g
    g: Iterates  # (n, d), the stochastic gradients at x


@module
class GradientTrackingHB:
    r"""DSGT-HB: gradient tracking ("atc") along a moving average of its trackers.

    With G the stochastic gradients at X, and U = Y = G at the start::

        U = momentum U + (1 - momentum) Y
        X+ = W (X - lr U)
        Y = W (Y + G(X+) - G)

    Symbols: X, U, Y, G are `x`, `u`, `y`, `g`, (n, d) each; beta is `momentum`.
    Cost per round: one minibatch gradient per node, two d-vectors to each neighbour, the second once the first has
    come; init takes the first gradient.
    W: doubly stochastic.
    Guarantee: mean(Y) = mean(G) in every round. With exact gradients the only fixed point is the minimizer, however
    different the f_i. With momentum = 0 it is `GradientTracking` ("atc"). The average is dampened: the effective step
    is lr, not lr / (1 - momentum). This is not `MomentumTracking`, where momentum comes before tracking.
    Reference: DSGT-HB of Gao, Liu, Dai, Huang, Gu (2023), doi:10.1007/s10589-022-00432-5, as in the code of Huang, Pu,
    Nedić (2024), arXiv:2402.09714, github.com/Kun73/DSMT, which runs it on (I + W)/2.
    Deviations: start="zero" takes U = 0 instead, whose first step is shorter by the factor 1 - momentum.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=10.0), networks.ring(8)
    >>> result = run(GradientTrackingHB(lr=0.1, momentum=0.8), problem, network, rounds=600)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size()
    momentum: ScalarLike = 0.9
    start: Literal["authors", "zero"] = static(default="authors")

    def check(self) -> None:
        checks.fraction("GradientTrackingHB.momentum", self.momentum)
        checks.choice("GradientTrackingHB.start", self.start, ("authors", "zero"))

    def init(self, problem, x0, r):
        g = problem.grad(x0, r.draw(problem))
        u = g if self.start == "authors" else jnp.zeros_like(g)
        return State(x0, u, g, g), Cost(grads=problem.batch_size)

    def step(self, problem, s, r):
        u = self.momentum * s.u + (1 - self.momentum) * s.y
        x = r.W @ (s.x - self.lr * u)
        g = problem.grad(x, r.draw(problem, 1))
        y = r.W @ (s.y + g - s.g)
        return State(x, u, y, g), Cost(grads=problem.batch_size, vectors=2, messages=2)
