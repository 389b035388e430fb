"""Push-DIGing: gradient tracking on directed graphs, by push-sum."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.algorithms._masses import floored, sinking
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["PushDIGing", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), estimates: the ratios of numerators to masses
    u: Iterates  # (n, d), numerators
    v: Float[Array, " n"]  # masses; they sum to n
    y: Iterates  # (n, d), trackers: their mean is the mean of g
    g: Iterates  # (n, d), the stochastic gradients at x


@module
class PushDIGing:
    r"""Push-DIGing: gradient tracking whose mixing is push-sum, for directed graphs.

    With G the stochastic gradients at X, from U = X = x0, v = 1 and Y = G::

        U = W (U - lr Y)
        v = W v
        X+ = U / v
        Y = W Y + G(X+) - G

    and with a floor U = W (U - lr min(1, v / floor) Y), so that no X moves by more than lr / floor times Y.

    Symbols: X, U, Y, G are `x`, `u`, `y`, `g`, (n, d) each; v is `v` (n,), whose diagonal matrix is the paper's V;
    alpha is `lr`.
    Cost per round: one minibatch gradient per node; two d-vectors and one number to each neighbour, 32 (2 d + 1) bits;
    init takes the first gradient.
    W: column stochastic.
    Guarantee: Σ v_i = n and Σ y_i = Σ g_i in every round. With exact gradients the only fixed point is the minimizer,
    however different the f_i, and for strongly convex smooth f_i and lr small enough convergence is linear. If W is
    doubly stochastic it is `GradientTracking` ("semi-atc").
    Loss: v sinks while a node sends and hears nobody, and X moves by lr / v times Y: see `StochasticGradientPush`. On
    the networks named there it explodes at the same bursts, and with floor = lr L at none of up to 20 rounds. Y = 0 at
    the fixed point, which a floor so leaves what it is; floor = 0 is none. Without one there is a warning.
    Reference: Nedić, Olshevsky, Shi (2017), arXiv:1607.03218, Algorithm 2.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=10.0), networks.random_digraph(8, 0.2)
    >>> result = run(PushDIGing(lr=0.1), problem, network, rounds=600)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "column stochastic"
    lr: StepSize = step_size()
    floor: ScalarLike = 0.0

    @property
    def wants(self) -> Mapping[str, str]:
        return sinking(self.floor)

    def check(self) -> None:
        checks.weight("PushDIGing.floor", self.floor, "a mass")

    def init(self, problem, x0, r):
        g = problem.grad(x0, r.draw(problem))
        return State(x0, x0, jnp.ones_like(x0[:, 0]), g, g), Cost(grads=problem.batch_size)

    def step(self, problem, s, r):
        u = r.W @ (s.u - self.lr * floored(s.v, self.floor) * s.y)
        v = r.W @ s.v
        x = u / v[:, None]
        g = problem.grad(x, r.draw(problem, 1))
        y = r.W @ s.y + g - s.g
        return State(x, u, v, y, g), Cost(grads=problem.batch_size, vectors=2, bits=32 * (2 * problem.d + 1))
