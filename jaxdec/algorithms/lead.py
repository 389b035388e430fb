"""LEAD: NIDS whose one vector a round is sent as a compressed difference to a memory."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec._module import module, step_size
from jaxdec.algorithms._replicas import FOLLOWED, followed
from jaxdec.compressors import Compressor, memory, require_unbiased
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["LEAD", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    c: Iterates  # (n, d), what is added to each gradient; sums to zero over the nodes
    h: Iterates  # (n, d), what nodes and their neighbours remember of what was sent


@module
class LEAD:
    r"""LEAD: a primal-dual method with one compressed vector a round, linear however different the f_i.

    With Q the compressor, G the stochastic gradients at X, and C = H = 0 at the start::

        P = X - lr (G + C)
        D = Q(P - H);   Phat = H + D;   H = H + alpha D
        C+ = C + consensus_lr / (2 lr) (Phat - W Phat)
        X+ = X - lr (G + C+)

    Symbols: X, C (D of the paper) and H are `x`, `c` and `h`, (n, d) each, P is the paper's Y; eta is `lr`, gamma is
    `consensus_lr`. alpha=None is 1/(2(omega + 1)), and 0 without compression.
    Cost per round: one minibatch gradient per node, one compressed d-vector to each neighbour.
    W: symmetric and doubly stochastic. If it changes over time, whoever may ever hear node j must follow all of its
    messages, and pay for them; and convergence is not promised, as of `NIDS`. No message may be lost.
    Guarantee: Σ c_i = 0 in every round, for any Q. With exact gradients the fixed point is x_i = x*, c_i = -∇f_i(x*),
    h_i = x*, for any lr, and there all messages are zero: for unbiased Q, strongly convex smooth f_i and consensus_lr
    and alpha small enough convergence to it is linear, where `ChocoSGD` stalls. With Q = I and consensus_lr = 1 it is
    `NIDS`.
    Reference: Liu, Li, Wang, Tang, Yan (2021), arXiv:2007.00232, Algorithm 1.
    Deviations: the paper starts from a gradient step without communication, here from C = 0 and H = 0.
    Ambiguities: the listing is recalled.

    >>> from jaxdec import compressors, networks, problems, run
    >>> two_bits = compressors.Quantization(levels=compressors.levels_for_bits(2), norm="linf")
    >>> method = LEAD(lr=0.3, compressor=two_bits, consensus_lr=0.5)
    >>> result = run(method, problems.quadratic(8, 3, zeta=10.0), networks.ring(8), rounds=800)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "symmetric"
    wants: ClassVar[Mapping[str, str]] = FOLLOWED
    replicas: ClassVar[bool] = True
    lr: StepSize = step_size()
    compressor: Compressor
    consensus_lr: StepSize = step_size(default=1.0)
    alpha: Any = None

    def check(self) -> None:
        require_unbiased(self.compressor, "LEAD")

    def advise(self, problem) -> None:
        memory.advise("LEAD.alpha", self.alpha, self.compressor, problem.blocks)

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0), jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        g = problem.grad(s.x, r.draw(problem))
        p = s.x - self.lr * (g + s.c)
        phat, h, bits = followed(self, problem, p, s.h, r.fold("message"))
        c = s.c + self.consensus_lr / (2 * self.lr) * (phat - r.W @ phat)
        x = s.x - self.lr * (g + c)
        return State(x, c, h), Cost(grads=problem.batch_size, vectors=1, bits=bits)
