"""DIANA: compressed differences of gradients."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.algorithms import _clients
from jaxdec.compressors import memory, require_unbiased
from jaxdec.types import Cost, ScalarLike, StepSize

__all__ = ["DIANA", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    v: Float[Array, "1 d"]  # its momentum
    up: _clients.Memory  # of the clients' gradients


@module
class DIANA:
    r"""DIANA: clients send the compressed difference of their gradient to a memory, which learns the gradient.

    With S the clients that take part, each with probability p, and C the `compressor`, a draw for each::

        D_i = C(g_i(x) - h_i),                          i in S
        ghat = (1/pn) Σ_{i in S} (h_i + D_i)            memories = "n"
        ghat = hbar + (1/pn) Σ_{i in S} D_i             memories = "one";  hbar = hbar + (alpha/n) Σ_{i in S} D_i
        h_i = h_i + alpha D_i,                          i in S
        v = momentum v + ghat
        x = x - lr v

    Symbols: x and v are `x` and `v`, (1, d) each; h (n, d) and hbar (1, d) are in `up`; gamma is `lr`. `memories` says
    whether the server keeps all h_i ("PP1") or their mean alone, the same where everybody takes part; "authors" moves
    hbar by (alpha/pn) Σ_{i in S} D_i instead ("PP2"). alpha=None is 1/(2(omega + 1)), and 0 without compression.
    Cost per round: one minibatch gradient and one compressed d-vector up for each client that takes part; the model
    down, uncompressed.
    Network: a server, `networks.server(n)`.
    Guarantee: at the minimizer h_i = ∇f_i(x*) makes all messages zero, so that with exact gradients and everybody
    present it converges to it, however different the f_i, where `QSGD` stalls. With absent clients memories = "n"
    leaves (1/pn) Σ_S ∇f_i(x*), which is not zero; under memories = "one" hbar = mean h, ghat is unbiased everywhere and
    zero at the minimizer; under "authors" hbar goes to mean h / p, and ghat is unbiased at the minimizer alone. With
    alpha = 0 and start = "zero" it is `QSGD`.
    Reference: Mishchenko, Gorbunov, Takáč, Richtárik (2019), arXiv:1901.09269; partial participation after
    Philippenko, Dieuleveut (2020), arXiv:2006.14591, whose single memory is that of "authors".
    Deviations: start=None takes the first gradients for h where everybody takes part, and zero otherwise, as the code
    of arXiv:2102.12528 does; that code does not count the vectors sent for it, which are counted here.

    >>> from jaxdec import compressors, networks, problems, run
    >>> algorithm = DIANA(lr=0.1, compressor=compressors.Quantization(levels=1))
    >>> result = run(algorithm, problems.quadratic(8, 3), networks.server(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    compressor: Any
    alpha: Any = None
    momentum: ScalarLike = 0.0
    memories: _clients.Memories = static(default="n")
    start: _clients.Start = static(default=None)

    def check(self) -> None:
        require_unbiased(self.compressor, "DIANA")
        checks.fraction("DIANA.momentum", self.momentum)
        _clients.check("DIANA", self)

    def advise(self, problem) -> None:
        memory.advise("DIANA.alpha", self.alpha, self.compressor, problem.blocks)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        up, sent = _clients.start(self, problem, x0, r)
        return State(x, jnp.zeros_like(x), up), Cost(vectors=sent)

    def step(self, problem, s, r):
        clients = r.of(problem)
        g = clients.grad(r.spread(s.x), r.draw(clients))
        D = self.compressor(r.fold("up"), g - r.rows(s.up.h), problem.blocks)
        ghat, up = _clients.estimate(self, problem, s.up, D.value, r)
        v = self.momentum * s.v + ghat
        x = s.x - self.lr * v
        return State(x, v, up), r.cost(clients.batch_size, 1, D.bits, 32 * problem.d)
