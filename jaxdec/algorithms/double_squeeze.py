"""DoubleSqueeze and Dist-EF-SGD: error feedback at the clients and at the server."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.compressors import memory, require_compressor, require_contractive
from jaxdec.types import Cost, Iterates, Scalar, ScalarLike, StepSize

__all__ = ["DistEFSGD", "DoubleSqueeze", "EFState", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the model, the server's and the clients'
    v: Float[Array, "1 d"]  # its momentum
    e: Iterates  # (n, d), what the clients' messages left out
    E: Float[Array, "1 d"]  # what the server's messages left out


@module
class DoubleSqueeze:
    r"""DoubleSqueeze: error feedback at every client and at the server.

    With C_up the `compressor`, a draw for each client, and C_dwn `down_compressor`::

        P = G(x) + feedback e;      D = C_up(P);   e = P - D
        u = mean D + feedback E;    c = C_dwn(u);  E = u - c
        v = momentum v + c
        x = x - lr v                               at the server and at all clients

    Symbols: x, v and E are `x`, `v` and `E`, (1, d) each; e is `e` (n, d); gamma is `lr`. feedback = 1 is error
    feedback proper; the code of Philippenko, Dieuleveut (2021), arXiv:2102.12528, takes the first step size for it.
    Cost per round: one minibatch gradient and one compressed d-vector up per client, one compressed d-vector down.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: with feedback = 1, momentum = 0 and a constant lr, x - lr (mean e + E) moves by -lr mean g exactly: what
    compression leaves out is only delayed. The errors stay bounded if both compressors are contractive.
    Reference: Tang, Yu, Lian, Zhang, Liu (2019), arXiv:1905.05957; for a constant lr it is `DistEFSGD`.
    Ambiguities: the papers' listings were not read.

    >>> from jaxdec import compressors, networks, problems, run
    >>> C = compressors.TopK(k=1)
    >>> algorithm = DoubleSqueeze(lr=0.05, compressor=C, down_compressor=C)
    >>> result = run(algorithm, problems.quadratic(8, 3), networks.server(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 0.1)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    compressor: Any
    down_compressor: Any
    feedback: ScalarLike = 1.0
    momentum: ScalarLike = 0.0

    def check(self) -> None:
        for compressor in (self.compressor, self.down_compressor):
            require_compressor(compressor, "DoubleSqueeze")
        checks.fraction("DoubleSqueeze.momentum", self.momentum)

    def advise(self, problem) -> None:
        for compressor in (self.compressor, self.down_compressor):
            memory.advise_feedback("DoubleSqueeze.feedback", self.feedback, compressor, problem.blocks)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        return State(x, jnp.zeros_like(x), jnp.zeros_like(x0), jnp.zeros_like(x)), Cost()

    def step(self, problem, s, r):
        P = problem.grad(r.spread(s.x), r.draw(problem)) + self.feedback * s.e
        D = self.compressor(r.fold("up"), P, problem.blocks)
        e = P - D.value
        u = r.W @ D.value + self.feedback * s.E
        c = self.down_compressor(r.fold("down"), u, problem.blocks)
        E = u - c.value
        v = self.momentum * s.v + c.value
        x = s.x - self.lr * v
        return State(x, v, e, E), r.cost(problem.batch_size, 1, D.mean_bits, c.mean_bits)


class EFState(NamedTuple):
    x: Float[Array, "1 d"]  # the model, the server's and the clients'
    v: Float[Array, "1 d"]  # its momentum
    e: Iterates  # (n, d), what the clients' messages left out
    E: Float[Array, "1 d"]  # what the server's messages left out
    lr: Scalar  # the step size of the round before


@module
class DistEFSGD:
    r"""Dist-EF-SGD: error feedback at every client and at the server, for step sizes that vary.

    With C_up the `compressor`, a draw for each client, C_dwn `down_compressor`, and r = lr_{t-1} / lr_t::

        P = G(x) + r e;      D = C_up(P);   e = P - D
        u = mean D + r E;    c = C_dwn(u);  E = u - c
        v = momentum v + c
        x = x - lr_t v                             at the server and at all clients

    Symbols: x, v and E are `x`, `v` and `E`, (1, d) each; e is `e` (n, d); eta_t is `lr`, a number or a schedule.
    Cost per round: one minibatch gradient and one compressed d-vector up per client, one compressed d-vector down.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: with momentum = 0, x - lr_t (mean e + E) moves by -lr_t mean g exactly: what compression leaves out is
    only delayed, whatever the schedule. With a constant lr it is `DoubleSqueeze`.
    Reference: Zheng, Huang, Kwok (2019), arXiv:1905.10936.
    Ambiguities: the paper's listing was not read; r is what the guarantee needs. The paper's momentum is another.

    >>> from jaxdec import compressors, networks, problems, run
    >>> C = compressors.ScaledSign()
    >>> algorithm = DistEFSGD(lr=0.05, compressor=C, down_compressor=C)
    >>> result = run(algorithm, problems.quadratic(8, 3), networks.server(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 0.1)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    compressor: Any
    down_compressor: Any
    momentum: ScalarLike = 0.0

    def check(self) -> None:
        for compressor in (self.compressor, self.down_compressor):
            require_contractive(compressor, "DistEFSGD")
        checks.fraction("DistEFSGD.momentum", self.momentum)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        return EFState(x, jnp.zeros_like(x), jnp.zeros_like(x0), jnp.zeros_like(x), jnp.asarray(self.lr)), Cost()

    def step(self, problem, s, r):
        ratio = s.lr / self.lr
        P = problem.grad(r.spread(s.x), r.draw(problem)) + ratio * s.e
        D = self.compressor(r.fold("up"), P, problem.blocks)
        e = P - D.value
        u = r.W @ D.value + ratio * s.E
        c = self.down_compressor(r.fold("down"), u, problem.blocks)
        E = u - c.value
        v = self.momentum * s.v + c.value
        x = s.x - self.lr * v
        return EFState(x, v, e, E, jnp.asarray(self.lr)), r.cost(problem.batch_size, 1, D.mean_bits, c.mean_bits)
