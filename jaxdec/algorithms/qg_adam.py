"""QG-DAdam: Adam whose moments follow what the models did after mixing."""

from typing import ClassVar, Literal, NamedTuple

import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["QGAdam", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    m: Iterates  # (n, d), first moments, of the directions in which the models moved
    v: Iterates  # (n, d), second moments of these


@module
class QGAdam:
    r"""QG-DAdam, quasi-global Adam: moments of `DAdam` are those of the models' moves, not of the local gradients.

    With G the stochastic gradients at X, t the round, from 0, and M = V = 0 at the start, entry by entry, and ‖ ‖ the
    norm of a node's vector::

        P = b1 M + (1 - b1) G
        Q = b2 V + (1 - b2) G²
        X+ = W (X - lr P / (1 - b1^(t+1)) / (√(Q / (1 - b2^(t+1))) + eps))
        D = (X - X+) / (‖X - X+‖ + eps)
        M = P                                           moments = "second"
        M = b1 M + (1 - b1) D                           moments = "both"
        V = b2 V + (1 - b2) D²

    Symbols: X, M, V are `x`, `m`, `v`, (n, d) each; beta_1 and beta_2 are `b1` and `b2`.
    Cost per round: one minibatch gradient per node, one d-vector to each neighbour.
    W: doubly stochastic.
    Guarantee: none that is checked here. With "both" a move begets the next one however small the gradients are, since
    D has length 1: with exact gradients the models wander off.
    Reference: Lin, Karimireddy, Stich, Jaggi (2021), arXiv:2102.04761, the method of this name of its appendix; as in
    the authors' code github.com/epfml/quasi-global-momentum: "second" is decentralized_qg_adam_v2.py, the one that its
    experiments import, and "both" decentralized_qg_adam.py.
    Deviations: the latter adds G to M with weight 1 and not 1 - b1.

    >>> from jaxdec import networks, problems, run
    >>> result = run(QGAdam(lr=0.01), problems.quadratic(8, 3, zeta=1.0), networks.ring(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 0.2)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size()
    b1: ScalarLike = 0.9
    b2: ScalarLike = 0.999
    eps: ScalarLike = 1e-8
    moments: Literal["second", "both"] = static(default="second")

    def check(self) -> None:
        checks.fraction("QGAdam.b1", self.b1)
        checks.fraction("QGAdam.b2", self.b2)
        checks.positive("QGAdam.eps", self.eps)
        checks.choice("QGAdam.moments", self.moments, ("second", "both"))

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0), jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        g = problem.grad(s.x, r.draw(problem))
        p = self.b1 * s.m + (1 - self.b1) * g
        q = (self.b2 * s.v + (1 - self.b2) * g**2) / (1 - self.b2 ** (r.t + 1))
        x = r.W @ (s.x - self.lr * p / (1 - self.b1 ** (r.t + 1)) / (jnp.sqrt(q) + self.eps))
        d = (s.x - x) / (jnp.linalg.norm(s.x - x, axis=1, keepdims=True) + self.eps)
        m = p if self.moments == "second" else self.b1 * s.m + (1 - self.b1) * d
        v = self.b2 * s.v + (1 - self.b2) * d**2
        return State(x, m, v), Cost(grads=problem.batch_size, vectors=1)
