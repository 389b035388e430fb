"""DecentLaM: momentum on a gradient that includes the mixing."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["DecentLaM", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    m: Iterates  # (n, d), momenta


@module
class DecentLaM:
    r"""DecentLaM: heavy ball on the direction in which a round of decentralized SGD would go.

    With G the stochastic gradients at X plus weight_decay X, and M = 0 at the start::

        D = (X - W (X - lr G)) / lr
        M = momentum M + D
        X = X - lr M

    Symbols: X and M are `x` and `m`, (n, d) each; gamma is `lr`, beta is `momentum`.
    Cost per round: one minibatch gradient per node, one d-vector to each neighbour.
    W: doubly stochastic.
    Guarantee: xbar follows heavy ball on the mean gradient, of effective step lr / (1 - momentum). With exact gradients
    the fixed point is that of `DSGD` ("atc") of step lr, whatever the momentum: momentum costs no bias. On quadratics
    of equal curvature a with symmetric W and without weight decay, z² - (l (1 - lr a) + beta) z + beta has its roots
    inside the unit circle for every eigenvalue l of W if and only if lr a < 2 (1 + beta) and, where the least
    eigenvalue λ is negative, lr a < (1 + |λ|) / |λ|.
    Reference: Yuan, Chen, Huang, Zhang, Pan, Xu, Yin (2021), arXiv:2104.11981; the update follows the code of Takezawa
    et al. (2023), arXiv:2209.15505.
    Deviations: weight_decay is 0 unless given (that code has 1e-3). Under a schedule D divides by the current lr while
    M holds earlier ones.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=1.0), networks.ring(8)
    >>> result = run(DecentLaM(lr=0.02, momentum=0.9), problem, network, rounds=500)
    >>> bool(result.metrics["distance"][-1] < 1e-2)  # near the minimizer, not at it
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size()
    momentum: ScalarLike = 0.9
    weight_decay: ScalarLike = 0.0

    def check(self) -> None:
        checks.fraction("DecentLaM.momentum", self.momentum)
        checks.weight("DecentLaM.weight_decay", self.weight_decay)

    def limit(self, eigenvalue: float) -> float:
        """The largest lr a that is stable; `eigenvalue` is λ."""
        l, beta = eigenvalue, float(self.momentum)
        return min(2 * (1 + beta), (1 - l) / -l) if l < 0 else 2 * (1 + beta)

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        g = problem.grad(s.x, r.draw(problem)) + self.weight_decay * s.x
        d = (s.x - r.W @ (s.x - self.lr * g)) / self.lr
        m = self.momentum * s.m + d
        x = s.x - self.lr * m
        return State(x, m), Cost(grads=problem.batch_size, vectors=1)
