"""GTAdam: Adam along tracked gradients."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["GTAdam", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    m: Iterates  # (n, d), first moments of the tracked gradients
    v: Iterates  # (n, d), second moments of these
    s: Iterates  # (n, d), trackers: their mean is the mean of g
    g: Iterates  # (n, d), the stochastic gradients at x


@module
class GTAdam:
    r"""GTAdam: gradient tracking whose trackers, not the local gradients, go into Adam.

    With G the stochastic gradients, S = G and M = V = 0 at the start, entry by entry::

        M = b1 M + (1 - b1) S
        V = min(b2 V + (1 - b2) S², cap)
        X+ = W X - lr M / (√V + eps)
        S+ = W S + G(X+) - G(X)

    Symbols: X, M, V, S, G are `x`, `m`, `v`, `s`, `g`, (n, d) each; alpha is `lr`, beta_1 and beta_2 are `b1` and `b2`,
    G of the paper is `cap`.
    Cost per round: one minibatch gradient per node, two d-vectors to each neighbour; init takes the first gradient.
    W: doubly stochastic.
    Guarantee: mean(S) = mean(G) in every round. With exact gradients the minimizer is a fixed point, with M = V = S =
    0, however different the f_i. It reaches it where lr / eps is a step at which gradient tracking does.
    Reference: Carnevale, Farina, Notarnicola, Notarstefano (2020), arXiv:2009.01745, Algorithm 1; recalled, the page
    could not be read.

    >>> from jaxdec import networks, problems, run
    >>> method = GTAdam(lr=0.02, eps=0.1)
    >>> result = run(method, problems.quadratic(8, 3, zeta=1.0), networks.ring(8), rounds=1000)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size()
    b1: ScalarLike = 0.9
    b2: ScalarLike = 0.999
    eps: ScalarLike = 1e-8
    cap: ScalarLike | None = None

    def check(self) -> None:
        checks.fraction("GTAdam.b1", self.b1)
        checks.fraction("GTAdam.b2", self.b2)
        checks.positive("GTAdam.eps", self.eps)
        if self.cap is not None:
            checks.positive("GTAdam.cap", self.cap)

    def init(self, problem, x0, r):
        g = problem.grad(x0, r.draw(problem))
        return State(x0, jnp.zeros_like(x0), jnp.zeros_like(x0), g, g), Cost(grads=problem.batch_size)

    def step(self, problem, s, r):
        m = self.b1 * s.m + (1 - self.b1) * s.s
        v = self.b2 * s.v + (1 - self.b2) * s.s**2
        v = v if self.cap is None else jnp.minimum(v, self.cap)
        x = r.W @ s.x - self.lr * m / (jnp.sqrt(v) + self.eps)
        g = problem.grad(x, r.draw(problem, 1))
        return State(x, m, v, r.W @ s.s + g - s.g, g), Cost(grads=problem.batch_size, vectors=2)
