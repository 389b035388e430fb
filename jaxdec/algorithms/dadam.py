"""Decentralized Adam and AMSGrad: with second moments of each node's own, and with ones that are averaged."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["AMSGradState", "DAMSGrad", "DAdam", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    m: Iterates  # (n, d), first moments
    v: Iterates  # (n, d), second moments
    top: Iterates  # (n, d), the square of what is divided by: the corrected second moments, or the largest so far


@module
class DAdam:
    r"""Decentralized Adam: a step of Adam, or AMSGrad, at each node, then one gossip step.

    With G the stochastic gradients at X, t the round, from 0, and M = V = top = 0 at the start, entry by entry::

        M = b1 M + (1 - b1) G
        V = b2 V + (1 - b2) G²
        top = V / (1 - b2^(t+1))                        with amsgrad the larger of this and top
        X = W (X - lr M / (1 - b1^(t+1)) / (√top + eps))

    Symbols: X, M, V are `x`, `m`, `v`, (n, d) each; beta_1 and beta_2 are `b1` and `b2`.
    Cost per round: one minibatch gradient per node, one d-vector to each neighbour.
    W: doubly stochastic.
    Guarantee: none. Nodes that differ divide by different second moments, so that what they agree on need not be a
    stationary point, however small the step (Chen, Karimi, Zhao, Li 2021): `DAMSGrad` mends that.
    Reference: Nazari, Tarzanagh, Michailidis (2019), arXiv:1901.09109, where it is DADAM; in the form of the code of
    Lin, Karimireddy, Stich, Jaggi (2021), arXiv:2102.04761, decentralized_adam.py, with its corrections of the bias.
    Deviations: amsgrad takes the largest of the corrected moments.

    >>> from jaxdec import networks, problems, run
    >>> result = run(DAdam(lr=0.02), problems.quadratic(8, 3, zeta=0.1), networks.ring(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 0.2)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    mixes: ClassVar[str] = "iterates"
    lr: StepSize = step_size()
    b1: ScalarLike = 0.9
    b2: ScalarLike = 0.999
    eps: ScalarLike = 1e-8
    amsgrad: bool = static(default=False)

    def check(self) -> None:
        checks.fraction("DAdam.b1", self.b1)
        checks.fraction("DAdam.b2", self.b2)
        checks.positive("DAdam.eps", self.eps)

    def init(self, problem, x0, r):
        zero = jnp.zeros_like(x0)
        return State(x0, zero, zero, zero), Cost()

    def step(self, problem, s, r):
        g = problem.grad(s.x, r.draw(problem))
        m = self.b1 * s.m + (1 - self.b1) * g
        v = self.b2 * s.v + (1 - self.b2) * g**2
        top = v / (1 - self.b2 ** (r.t + 1))
        top = jnp.maximum(top, s.top) if self.amsgrad else top
        x = r.W @ (s.x - self.lr * m / (1 - self.b1 ** (r.t + 1)) / (jnp.sqrt(top) + self.eps))
        return State(x, m, v, top), Cost(grads=problem.batch_size, vectors=1)


class AMSGradState(NamedTuple):
    x: Iterates  # (n, d), iterates
    m: Iterates  # (n, d), first moments
    v: Iterates  # (n, d), second moments
    top: Iterates  # (n, d), the largest second moments so far
    u: Iterates  # (n, d), averages of these: their mean is the mean of top


@module
class DAMSGrad:
    r"""Decentralized AMSGrad that converges: nodes divide by averages of their second moments, which are tracked.

    With G the stochastic gradients at X, M = V = 0 and top = U = eps at the start, entry by entry::

        M = b1 M + (1 - b1) G
        V = b2 V + (1 - b2) G²
        U = W U
        X = W X - lr M / √max(U, eps)
        U = U + max(top, V) - top;  top = max(top, V)

    Symbols: X, M, V, U are `x`, `m`, `v`, `u`, (n, d) each, top is vhat of the paper and U its u tilde; beta_1 and
    beta_2 are `b1` and `b2`.
    Cost per round: one minibatch gradient per node, two d-vectors to each neighbour.
    W: doubly stochastic.
    Guarantee: mean(U) = mean(top) in every round. With noise it reaches a stationary point where `DAdam` may not.
    Reference: Chen, Karimi, Zhao, Li (2021), On the convergence of decentralized adaptive gradient methods,
    arXiv:2109.03194, Algorithm 3; recalled, the page could not be read.

    >>> from jaxdec import networks, problems, run
    >>> result = run(DAMSGrad(lr=0.02), problems.quadratic(8, 3, zeta=0.1), networks.ring(8), rounds=600)
    >>> bool(result.metrics["distance"][-1] < 0.1)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size()
    b1: ScalarLike = 0.9
    b2: ScalarLike = 0.999
    eps: ScalarLike = 1e-6

    def check(self) -> None:
        checks.fraction("DAMSGrad.b1", self.b1)
        checks.fraction("DAMSGrad.b2", self.b2)
        checks.positive("DAMSGrad.eps", self.eps)

    def init(self, problem, x0, r):
        zero, least = jnp.zeros_like(x0), jnp.full_like(x0, self.eps)
        return AMSGradState(x0, zero, zero, least, least), Cost()

    def step(self, problem, s, r):
        g = problem.grad(s.x, r.draw(problem))
        m = self.b1 * s.m + (1 - self.b1) * g
        v = self.b2 * s.v + (1 - self.b2) * g**2
        u = r.W @ s.u
        x = r.W @ s.x - self.lr * m / jnp.sqrt(jnp.maximum(u, self.eps))
        top = jnp.maximum(s.top, v)
        return AMSGradState(x, m, v, top, u + top - s.top), Cost(grads=problem.batch_size, vectors=2)
