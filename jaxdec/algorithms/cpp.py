"""CPP: Push-Pull on directed graphs whose messages are compressed differences to memories."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec._module import module, step_size
from jaxdec.algorithms._replicas import FOLLOWED, followed
from jaxdec.compressors import Compressor, memory, require_compressor
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["CPP", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    h: Iterates  # (n, d), what nodes and those who hear them remember of the iterates
    y: Iterates  # (n, d), trackers: their mean is the mean of g
    k: Iterates  # (n, d), what they remember of the trackers
    g: Iterates  # (n, d), the stochastic gradients at x


@module
class CPP:
    r"""CPP, compressed Push-Pull: `CGT` on directed graphs, with a row-stochastic R and a column-stochastic C.

    With Q the compressor, a draw for each node and message, G the stochastic gradients at X, and from X = x0, Y = G and
    H = K = 0::

        D = Q(X - H);   Xhat = H + D;   H = H + alpha D
        E = Q(Y - K);   Yhat = K + E;   K = K + alpha E
        X+ = X + consensus_lr (R Xhat - Xhat) - lr Y
        Y+ = Y + consensus_lr (C Yhat - Yhat) + G(X+) - G

    Symbols: X, Y and G are `x`, `y` and `g`, H and K are `h` and `k`, (n, d) each; R and C are the pair `r.W`; `alpha`
    as in `CGT`.
    Cost per round: one minibatch gradient per node, one compressed d-vector along each arc of R and one along each arc
    of C, sent together; init takes the first gradient.
    W: the pair (R, C) that `networks.push_pull` makes. If it changes over time, whoever may ever hear node j must
    follow all of its messages, and pay for them. No message may be lost.
    Guarantee: Σ y_i = Σ g_i in every round, for any Q. With exact gradients the only fixed point is the minimizer,
    however different the f_i, and for strongly convex smooth f_i and both steps small enough convergence is linear.
    With Q = I and consensus_lr = 1 it is `AB` ("cta").
    Reference: Song, Shi, Pu, Yan (2021), arXiv:2106.07243, CPP.
    Ambiguities: the listing was not read; this is `CGT`, of which it is the directed form, with the pair of `AB`. Where
    the paper has a mixing step for each of R and C, and a step size for each node, here are one each. It is for
    unbiased compressors; biased ones are taken here as in `CGT`.

    >>> from jaxdec import compressors, graphs, networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=10.0), networks.push_pull(graphs.random_digraph(8, 0.2))
    >>> method = CPP(lr=0.05, consensus_lr=0.4, compressor=compressors.Quantization(levels=1, norm="linf"))
    >>> result = run(method, problem, network, rounds=1500)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "push-pull"
    wants: ClassVar[Mapping[str, str]] = FOLLOWED
    replicas: ClassVar[bool] = True
    lr: StepSize = step_size()
    consensus_lr: StepSize = step_size()
    compressor: Compressor
    alpha: Any = None

    def check(self) -> None:
        require_compressor(self.compressor, "CPP")

    def advise(self, problem) -> None:
        memory.advise("CPP.alpha", self.alpha, self.compressor, problem.blocks)

    def init(self, problem, x0, r):
        g = problem.grad(x0, r.draw(problem))
        return State(x0, jnp.zeros_like(x0), g, jnp.zeros_like(x0), g), Cost(grads=problem.batch_size)

    def step(self, problem, s, r):
        R, C = r.W
        xhat, h, bits = followed(self, problem, s.x, s.h, r.fold("x"))
        yhat, k, more = followed(self, problem, s.y, s.k, r.fold("y"))
        x = s.x + self.consensus_lr * (R @ xhat - xhat) - self.lr * s.y
        g = problem.grad(x, r.draw(problem, 1))
        y = s.y + self.consensus_lr * (C @ yhat - yhat) + g - s.g
        return State(x, h, y, k, g), Cost(grads=problem.batch_size, vectors=2, bits=bits + more)
