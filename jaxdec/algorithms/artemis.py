"""Artemis and DORE: DIANA whose server compresses the step as well, without and with error feedback."""

from typing import Any, ClassVar, Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.algorithms import _clients
from jaxdec.compressors import memory, require_compressor, require_unbiased
from jaxdec.types import Cost, ScalarLike, StepSize

__all__ = ["DORE", "Artemis", "DOREState", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the model, the server's and the clients'
    v: Float[Array, "1 d"]  # its momentum
    up: _clients.Memory  # of the clients' gradients


@module
class Artemis:
    r"""Artemis: compressed differences of gradients up, a compressed step down.

    With S the clients that take part, each with probability p, C_up the `compressor` and C_dwn `down_compressor`::

        D_i = C_up(g_i(x) - h_i),                       i in S
        ghat = (1/pn) Σ_{i in S} (h_i + D_i)            memories = "n"
        ghat = hbar + (1/pn) Σ_{i in S} D_i             memories = "one";  hbar = hbar + (alpha/n) Σ_{i in S} D_i
        h_i = h_i + alpha D_i,                          i in S
        v = momentum v + C_dwn(ghat)
        x = x - lr v                                    at the server and at all clients

    Symbols: x and v are `x` and `v`, (1, d) each; h (n, d) and hbar (1, d) are in `up`; gamma is `lr`. `memories`,
    `alpha` and `start` as in `DIANA`.
    Cost per round: one minibatch gradient and one compressed d-vector up for each client that takes part; one
    compressed d-vector down for each client, those who are absent receiving it later.
    Network: a server, `networks.server(n)`.
    Guarantee: with exact gradients and everybody present it converges to the minimizer, however different the f_i,
    since C_dwn(0) = 0. But the model itself takes the compressed step: the noise of the gradients at rest is multiplied
    by 1 + omega_dwn, which `MCM` avoids. With an uncompressed downlink it is `DIANA`; with alpha = 0 and start = "zero"
    it is `BiQSGD`.
    Reference: Philippenko, Dieuleveut (2020), arXiv:2006.14591, both kinds of partial participation; the downlink
    without memory as in the code of Philippenko, Dieuleveut (2021), arXiv:2102.12528.

    >>> from jaxdec import compressors, networks, problems, run
    >>> C = compressors.Quantization(levels=1)
    >>> algorithm = Artemis(lr=0.1, compressor=C, down_compressor=C)
    >>> result = run(algorithm, problems.quadratic(8, 3), networks.server(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    compressor: Any
    down_compressor: Any
    alpha: Any = None
    momentum: ScalarLike = 0.0
    memories: _clients.Memories = static(default="n")
    start: _clients.Start = static(default=None)

    def check(self) -> None:
        for compressor in (self.compressor, self.down_compressor):
            require_unbiased(compressor, "Artemis")
        checks.fraction("Artemis.momentum", self.momentum)
        _clients.check("Artemis", self)

    def advise(self, problem) -> None:
        memory.advise("Artemis.alpha", self.alpha, self.compressor, problem.blocks)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        up, sent = _clients.start(self, problem, x0, r)
        return State(x, jnp.zeros_like(x), up), Cost(vectors=sent)

    def step(self, problem, s, r):
        clients = r.of(problem)
        g = clients.grad(r.spread(s.x), r.draw(clients))
        D = self.compressor(r.fold("up"), g - r.rows(s.up.h), problem.blocks)
        ghat, up = _clients.estimate(self, problem, s.up, D.value, r)
        c = self.down_compressor(r.fold("down"), ghat, problem.blocks)
        v = self.momentum * s.v + c.value
        x = s.x - self.lr * v
        return State(x, v, up), r.cost(clients.batch_size, 1, D.bits, c.mean_bits, missed=True)


class DOREState(NamedTuple):
    x: Float[Array, "1 d"]  # the model, the server's and the clients'
    v: Float[Array, "1 d"]  # its momentum
    e: Float[Array, "1 d"]  # what the server's messages left out
    up: _clients.Memory  # of the clients' gradients


@module
class DORE:
    r"""DORE: Artemis with error feedback on the server's messages.

    With ghat as in `Artemis`, and C_dwn the `down_compressor`::

        form = "code":                             form = "original":
        u = ghat + feedback e                      v = momentum v + ghat
        c = C_dwn(u)                               u = -lr v + feedback e
        e = u - c                                  c = C_dwn(u)
        v = momentum v + c                         e = u - c
        x = x - lr v                               x = x + outer_lr c

    Symbols: x, v and e are `x`, `v` and `e`, (1, d) each; h (n, d) and hbar (1, d) are in `up`; gamma is `lr`, eta is
    `feedback`, beta is `outer_lr`. feedback=None is the step size lr in "code" and 1 in "original". `memories`, `alpha`
    and `start` as in `DIANA`.
    Cost per round: as `Artemis`.
    Network: a server, `networks.server(n)`.
    Guarantee: with feedback = 0 it is `Artemis`. The error has E‖e‖² ≤ omega_dwn ‖u‖², so that with a feedback of 1 it
    may grow without end unless omega_dwn is below 1; a compressor of such noise is made contractive by
    `compressors.Scaled`. With the small feedback of "code" it hardly differs from Artemis.
    Reference: Liu, Li, Tang, Yan (2019), arXiv:1910.07561; "code" is what the code of Philippenko, Dieuleveut (2021),
    arXiv:2102.12528, compares with, where feedback is the first round's step size throughout.
    Ambiguities: "original" without its proximal step; the paper's listing was not read, and its constants for memory
    and feedback are not defaults here. The momentum is not part of it.

    >>> from jaxdec import compressors, networks, problems, run
    >>> C = compressors.Quantization(levels=1)
    >>> algorithm = DORE(lr=0.1, compressor=C, down_compressor=C)
    >>> result = run(algorithm, problems.quadratic(8, 3), networks.server(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    compressor: Any
    down_compressor: Any
    alpha: Any = None
    feedback: Any = None
    outer_lr: StepSize = step_size(default=1.0)
    momentum: ScalarLike = 0.0
    form: Literal["code", "original"] = static(default="code")
    memories: _clients.Memories = static(default="n")
    start: _clients.Start = static(default=None)

    def check(self) -> None:
        require_unbiased(self.compressor, "DORE")
        require_compressor(self.down_compressor, "DORE")
        checks.choice("DORE.form", self.form, ("code", "original"))
        checks.fraction("DORE.momentum", self.momentum)
        _clients.check("DORE", self)

    def advise(self, problem) -> None:
        memory.advise("DORE.alpha", self.alpha, self.compressor, problem.blocks)
        feedback = 1.0 if self.feedback is None and self.form == "original" else self.feedback
        memory.advise_feedback("DORE.feedback", feedback, self.down_compressor, problem.blocks)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        up, sent = _clients.start(self, problem, x0, r)
        return DOREState(x, jnp.zeros_like(x), jnp.zeros_like(x), up), Cost(vectors=sent)

    def step(self, problem, s, r):
        clients = r.of(problem)
        g = clients.grad(r.spread(s.x), r.draw(clients))
        D = self.compressor(r.fold("up"), g - r.rows(s.up.h), problem.blocks)
        ghat, up = _clients.estimate(self, problem, s.up, D.value, r)
        if self.form == "code":
            eta = self.lr if self.feedback is None else self.feedback
            u = ghat + eta * s.e
            c = self.down_compressor(r.fold("down"), u, problem.blocks)
            e = u - c.value
            v = self.momentum * s.v + c.value
            x = s.x - self.lr * v
        else:
            eta = 1 if self.feedback is None else self.feedback
            v = self.momentum * s.v + ghat
            u = -self.lr * v + eta * s.e
            c = self.down_compressor(r.fold("down"), u, problem.blocks)
            e = u - c.value
            x = s.x + self.outer_lr * c.value
        return DOREState(x, v, e, up), r.cost(clients.batch_size, 1, D.bits, c.mean_bits, missed=True)
