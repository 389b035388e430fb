"""OPAPC: an accelerated primal-dual method, optimal together with Chebyshev gossip."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["OPAPC", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    f: Iterates  # (n, d), the iterates that gradients are taken near
    y: Iterates  # (n, d), dual variables; they sum to zero over the nodes


@module
class OPAPC:
    r"""OPAPC, the optimal proximal alternating predictor-corrector: Nesterov's momentum over a primal-dual method.

    With mu = curvature, G the stochastic gradients, F = X and Y = 0 at the start::

        E = momentum X + (1 - momentum) F
        H = (X - lr (G(E) - mu E + Y)) / (1 + lr mu)
        Y = Y + (consensus_lr / lr) (H - W H)
        X+ = (X - lr (G(E) - mu E + Y)) / (1 + lr mu)
        F = E + 2 momentum / (2 - momentum) (X+ - X)

    Symbols: X, F, Y are `x`, `f`, `y`, (n, d) each, the x, x_f and y of the paper, E its x_g; eta is `lr`, tau is
    `momentum`, alpha is `curvature`, theta eta is `consensus_lr`, with I - W as the paper's gossip matrix.
    Cost per round: one minibatch gradient per node, one d-vector to each neighbour.
    W: symmetric. consensus_lr is at most 1 / (1 - λ) with λ its least eigenvalue, and so 1/2 always is right. Where W
    changes, sums and fixed point stay, but convergence is not promised.
    Guarantee: Σ y_i = 0 in every round. With exact gradients the fixed point is x_i = f_i = x*, y_i = -∇f_i(x*),
    however different the f_i. For mu-strongly convex and L-smooth f_i, with kappa = L / mu, chi the condition number of
    I - W, momentum = min(1, √(chi / kappa) / 2), lr = 1 / (4 momentum L) and curvature = mu it needs about √(kappa chi)
    + chi rounds to each digit; on `networks.chebyshev(network, rounds)` with about √chi gossip steps a round chi is a
    small number there, and √kappa gradients and √(kappa chi) gossip steps are as few as any method can do with.
    Reference: Kovalev, Salim, Richtárik (2020), arXiv:2006.11773, Algorithm 2; the steps as in the code of
    github.com/ctycty361/Acceleration-in-Distributed-Optimization-Under-Similarity, OPAPC.m; the rates are recalled.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=1.0), networks.ring(8)
    >>> result = run(OPAPC(lr=0.5, momentum=0.5, curvature=0.1), problem, network, rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "symmetric"
    wants: ClassVar[Mapping[str, str]] = {"fixed": "convergence is not promised"}
    lr: StepSize = step_size()
    momentum: ScalarLike
    curvature: ScalarLike
    consensus_lr: StepSize = step_size(default=0.5)

    def check(self) -> None:
        checks.weight("OPAPC.curvature", self.curvature, "the strong convexity of the f_i, or a bound below it")
        if not checks.bounded(self.momentum, lambda tau: (tau > 0) & (tau <= 1)):
            raise ValueError(f"OPAPC.momentum is the weight tau of x, in (0, 1]; got {self.momentum}")

    def init(self, problem, x0, r):
        return State(x0, x0, jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        tau, mu = self.momentum, self.curvature
        e = tau * s.x + (1 - tau) * s.f
        g = problem.grad(e, r.draw(problem)) - mu * e
        half = (s.x - self.lr * (g + s.y)) / (1 + self.lr * mu)
        y = s.y + self.consensus_lr / self.lr * (half - r.W @ half)
        x = (s.x - self.lr * (g + y)) / (1 + self.lr * mu)
        f = e + 2 * tau / (2 - tau) * (x - s.x)
        return State(x, f, y), Cost(grads=problem.batch_size, vectors=1)
