"""C-GT: gradient tracking whose messages are compressed differences to memories."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec._module import module, step_size
from jaxdec.algorithms._replicas import FOLLOWED, followed
from jaxdec.compressors import Compressor, memory, require_compressor
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["CGT", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    h: Iterates  # (n, d), what nodes and their neighbours remember of the iterates
    y: Iterates  # (n, d), trackers: their mean is the mean of g
    k: Iterates  # (n, d), what they remember of the trackers
    g: Iterates  # (n, d), the stochastic gradients at x


@module
class CGT:
    r"""C-GT, compressed gradient tracking: linear with biased and with unbiased compressors.

    With C the compressor, a draw for each node and message, G the stochastic gradients at X, and from X = x0, Y = G and
    H = K = 0::

        D = C(X - H);   Xhat = H + D;   H = H + alpha D
        E = C(Y - K);   Yhat = K + E;   K = K + alpha E
        X+ = X + consensus_lr (W Xhat - Xhat) - lr Y
        Y+ = Y + consensus_lr (W Yhat - Yhat) + G(X+) - G

    Symbols: X, Y and G are `x`, `y` and `g`, H and K, the paper's H_x and H_y, `h` and `k`, (n, d) each; eta is `lr`,
    gamma is `consensus_lr`; alpha_x and alpha_y are both `alpha`, None being 1/(2(omega + 1)) for an unbiased
    compressor, 0 without compression and 1 for a biased one.
    Cost per round: one minibatch gradient per node, two compressed d-vectors to each neighbour, sent together; init
    takes the first gradient.
    W: doubly stochastic. If it changes over time, whoever may ever hear node j must follow all of its messages, and pay
    for them: the cost counts two messages to each neighbour. No message may be lost.
    Guarantee: mean(Y) = mean(G), and xbar moves by -lr mean(Y), in every round and for any C. With exact gradients the
    only fixed point is the minimizer, however different the f_i, and for strongly convex smooth f_i and both steps
    small enough convergence to it is linear. With C = I it is `GradientTracking` ("cta") on
    (1 - consensus_lr) I + consensus_lr W. With alpha = 1 it is `BEER` that sends before its first round.
    Reference: Liao, Li, Huang, Pu (2021), arXiv:2103.13748, C-GT.
    Ambiguities: the listing is recalled.

    >>> from jaxdec import compressors, networks, problems, run
    >>> method = CGT(lr=0.1, consensus_lr=0.4, compressor=compressors.TopK(k=1))
    >>> result = run(method, problems.quadratic(8, 3, zeta=10.0), networks.ring(8), rounds=800)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    wants: ClassVar[Mapping[str, str]] = FOLLOWED
    replicas: ClassVar[bool] = True
    lr: StepSize = step_size()
    consensus_lr: StepSize = step_size()
    compressor: Compressor
    alpha: Any = None

    def check(self) -> None:
        require_compressor(self.compressor, "CGT")

    def advise(self, problem) -> None:
        memory.advise("CGT.alpha", self.alpha, self.compressor, problem.blocks)

    def init(self, problem, x0, r):
        g = problem.grad(x0, r.draw(problem))
        return State(x0, jnp.zeros_like(x0), g, jnp.zeros_like(x0), g), Cost(grads=problem.batch_size)

    def step(self, problem, s, r):
        xhat, h, bits = followed(self, problem, s.x, s.h, r.fold("x"))
        yhat, k, more = followed(self, problem, s.y, s.k, r.fold("y"))
        x = s.x + self.consensus_lr * (r.W @ xhat - xhat) - self.lr * s.y
        g = problem.grad(x, r.draw(problem, 1))
        y = s.y + self.consensus_lr * (r.W @ yhat - yhat) + g - s.g
        return State(x, h, y, k, g), Cost(grads=problem.batch_size, vectors=2, bits=bits + more)
