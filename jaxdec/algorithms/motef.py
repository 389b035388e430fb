"""MoTEF: BEER that tracks momenta, in which the noise of the gradients averages out."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.algorithms._replicas import FOLLOWED
from jaxdec.compressors import Compressor, require_contractive
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["MoTEF", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    xhat: Iterates  # (n, d), what the neighbours hold of the iterates
    y: Iterates  # (n, d), trackers: their mean is the mean of m
    yhat: Iterates  # (n, d), what the neighbours hold of the trackers
    m: Iterates  # (n, d), momenta


@module
class MoTEF:
    r"""MoTEF, momentum tracking with error feedback: `BEER` of momenta in the place of gradients.

    With C the compressor, a draw for each node and message, G the stochastic gradients, and from X = x0,
    Y = M = G(x0) and Xhat = Yhat = 0::

        X+ = X + consensus_lr (W Xhat - Xhat) - lr Y
        Xhat+ = Xhat + C(X+ - Xhat)
        M+ = momentum M + (1 - momentum) G(X+)
        Y+ = Y + consensus_lr (W Yhat - Yhat) + M+ - M
        Yhat+ = Yhat + C(Y+ - Yhat)

    Symbols: X, Y and M are `x`, `y` (V of the paper) and `m`, Xhat (H) and Yhat (G) are `xhat` and `yhat`, (n, d) each;
    eta is `lr`, gamma is `consensus_lr`, lambda is 1 - `momentum`.
    Cost per round: one minibatch gradient per node, two compressed d-vectors to each neighbour, sent together; init
    takes the first gradient.
    W: as for `BEER`.
    Guarantee: mean(Y) = mean(M), and xbar moves by -lr mean(Y), in every round and for any C. With exact gradients the
    only fixed point is the minimizer, however different the f_i. With momentum = 0 it is `BEER`.
    Reference: Islamov, Gao, Stich (2024), arXiv:2405.20114, after the authors' code github.com/mlolab/MoTEF,
    synthetic/solvers.py.
    Deviations: there Y and M start at exact gradients, here at those of the first minibatch. MoTEF.py of the same code
    starts M at zero, with which mean(Y) = mean(M) does not hold.

    >>> from jaxdec import compressors, networks, problems, run
    >>> method = MoTEF(lr=0.1, consensus_lr=0.4, compressor=compressors.TopK(k=1), momentum=0.5)
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
    momentum: ScalarLike

    def check(self) -> None:
        require_contractive(self.compressor, "MoTEF")
        checks.fraction("MoTEF.momentum", self.momentum)

    def init(self, problem, x0, r):
        g = problem.grad(x0, r.draw(problem))
        return State(x0, jnp.zeros_like(x0), g, jnp.zeros_like(x0), g), Cost(grads=problem.batch_size)

    def step(self, problem, s, r):
        x = s.x + self.consensus_lr * (r.W @ s.xhat - s.xhat) - self.lr * s.y
        q = self.compressor(r.fold("x"), x - s.xhat, problem.blocks)
        m = self.momentum * s.m + (1 - self.momentum) * problem.grad(x, r.draw(problem, 1))
        y = s.y + self.consensus_lr * (r.W @ s.yhat - s.yhat) + m - s.m
        c = self.compressor(r.fold("y"), y - s.yhat, problem.blocks)
        cost = Cost(grads=problem.batch_size, vectors=2, bits=q.mean_bits + c.mean_bits)
        return State(x, s.xhat + q.value, y, s.yhat + c.value, m), cost
