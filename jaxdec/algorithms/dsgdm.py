"""DSGDm: decentralized SGD with local momentum."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["DSGDm", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    u: Iterates  # (n, d), momenta


@module
class DSGDm:
    r"""Decentralized SGD with heavy-ball momentum, each node keeping its own.

    With G the stochastic gradients at X, and U = 0 at the start::

        U = momentum U + G + weight_decay X
        X = W (X - lr U)

    Symbols: X and U are `x` and `u`, (n, d) each; eta is `lr`, beta is `momentum`.
    Cost per round: one minibatch gradient per node, one d-vector to each neighbour.
    W: doubly stochastic.
    Guarantee: the effective step is lr / (1 - momentum), and so is the bias: with exact gradients the fixed point is
    that of `DSGD` ("atc") with this step, the further from the minimizer the larger the momentum and the more
    different the f_i. `QGDSGDm` and `DecentLaM` have the bias of lr itself, `MomentumTracking` none. On quadratics of
    equal curvature a with symmetric W and without weight decay, z² - (l (1 - lr a) + beta) z + l beta has its roots
    inside the unit circle for every eigenvalue l of W if and only if lr a < 2 (1 + beta) and, where the least
    eigenvalue λ is negative, lr a < (1 + |λ|) (1 - beta) / |λ|.
    Reference: the baseline of this name in Takezawa, Bao, Niwa, Sato, Yamada (2023), arXiv:2209.15505, as in the
    authors' code: no dampening, and the momenta are never mixed.
    Deviations: weight_decay is 0 unless given (that code has 1e-3).

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=1.0), networks.ring(8)
    >>> slow = run(DSGDm(lr=0.01, momentum=0.9), problem, network, rounds=1000)
    >>> fast = run(DSGDm(lr=0.1, momentum=0.0), problem, network, rounds=1000)
    >>> float(slow.metrics["distance"][-1] - fast.metrics["distance"][-1])
    0.0000
    """

    requires: ClassVar[str] = "doubly stochastic"
    mixes: ClassVar[str] = "iterates"
    lr: StepSize = step_size()
    momentum: ScalarLike = 0.9
    weight_decay: ScalarLike = 0.0

    def check(self) -> None:
        checks.fraction("DSGDm.momentum", self.momentum)
        checks.weight("DSGDm.weight_decay", self.weight_decay)

    def limit(self, eigenvalue: float) -> float:
        """The largest lr a that is stable; `eigenvalue` is λ."""
        l, beta = eigenvalue, float(self.momentum)
        return min(2 * (1 + beta), (1 - l) * (1 - beta) / -l) if l < 0 else 2 * (1 + beta)

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        g = problem.grad(s.x, r.draw(problem))
        u = self.momentum * s.u + g + self.weight_decay * s.x
        x = r.W @ (s.x - self.lr * u)
        return State(x, u), Cost(grads=problem.batch_size, vectors=1)
