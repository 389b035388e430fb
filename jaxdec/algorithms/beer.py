"""BEER: gradient tracking whose iterates and trackers are sent as compressed differences."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec._module import module, step_size
from jaxdec.algorithms._replicas import FOLLOWED
from jaxdec.compressors import Compressor, require_contractive
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["BEER", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    xhat: Iterates  # (n, d), what the neighbours hold of the iterates
    y: Iterates  # (n, d), trackers: their mean is the mean of g
    yhat: Iterates  # (n, d), what the neighbours hold of the trackers
    g: Iterates  # (n, d), the stochastic gradients at x


@module
class BEER:
    r"""BEER: gradient tracking with compressed differences, linear however different the f_i.

    With C the compressor, a draw for each node and message, G the stochastic gradients at X, and from X = x0, Y = G and
    Xhat = Yhat = 0::

        X+ = X + consensus_lr (W Xhat - Xhat) - lr Y
        Xhat+ = Xhat + C(X+ - Xhat)
        Y+ = Y + consensus_lr (W Yhat - Yhat) + G(X+) - G
        Yhat+ = Yhat + C(Y+ - Yhat)

    Symbols: X, Y and G are `x`, `y` (V of the paper) and `g`, Xhat (H) and Yhat (G) are `xhat` and `yhat`, (n, d) each;
    eta is `lr`, gamma is `consensus_lr`.
    Cost per round: one minibatch gradient per node, two compressed d-vectors to each neighbour, sent together; init
    takes the first gradient.
    W: symmetric and doubly stochastic. If it changes over time, whoever may ever hear node j must follow all of its
    messages, and pay for them: the cost counts two messages to each neighbour. No message may be lost.
    Guarantee: mean(Y) = mean(G), and xbar moves by -lr mean(Y), in every round and for any C. With exact gradients the
    only fixed point is the minimizer, however different the f_i, and for contractive C, strongly convex smooth f_i and
    both steps small enough convergence to it is linear, where `ChocoSGD` stalls. With C = I it is from the second round
    on `GradientTracking` ("cta") on (1 - consensus_lr) I + consensus_lr W; the first round mixes nothing, since
    nothing was sent before.
    Reference: Zhao, Li, Li, Richtárik, Chi (2022), arXiv:2201.13320, Algorithm 1, in the order of the authors' code
    github.com/liboyue/beer, experiments/BEER.py.
    Deviations: that code starts Y at the exact gradients and subtracts them in the first round; here both are of the
    first minibatch, which keeps the invariant as well.

    >>> from jaxdec import compressors, networks, problems, run
    >>> method = BEER(lr=0.1, consensus_lr=0.4, compressor=compressors.TopK(k=1))
    >>> result = run(method, problems.quadratic(8, 3, zeta=10.0), networks.ring(8), rounds=800)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "symmetric"
    wants: ClassVar[Mapping[str, str]] = FOLLOWED
    replicas: ClassVar[bool] = True
    lr: StepSize = step_size()
    consensus_lr: StepSize = step_size()
    compressor: Compressor

    def check(self) -> None:
        require_contractive(self.compressor, "BEER")

    def init(self, problem, x0, r):
        g = problem.grad(x0, r.draw(problem))
        return State(x0, jnp.zeros_like(x0), g, jnp.zeros_like(x0), g), Cost(grads=problem.batch_size)

    def step(self, problem, s, r):
        x = s.x + self.consensus_lr * (r.W @ s.xhat - s.xhat) - self.lr * s.y
        q = self.compressor(r.fold("x"), x - s.xhat, problem.blocks)
        g = problem.grad(x, r.draw(problem, 1))
        y = s.y + self.consensus_lr * (r.W @ s.yhat - s.yhat) + g - s.g
        c = self.compressor(r.fold("y"), y - s.yhat, problem.blocks)
        cost = Cost(grads=problem.batch_size, vectors=2, bits=q.mean_bits + c.mean_bits)
        return State(x, s.xhat + q.value, y, s.yhat + c.value, g), cost
