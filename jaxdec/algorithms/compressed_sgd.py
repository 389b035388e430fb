"""SGD of a server and its clients, with compression but no memory: SGD, QSGD, BiQSGD."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.compressors import require_unbiased
from jaxdec.types import Cost, ScalarLike, StepSize

__all__ = ["QSGD", "SGD", "BiQSGD", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    v: Float[Array, "1 d"]  # its momentum


@module
class SGD:
    r"""Distributed SGD: the server steps along the mean of its clients' gradients.

    With S the clients that take part, each with probability p::

        v = momentum v + (1/pn) Σ_{i in S} g_i(x)
        x = x - lr v

    Symbols: x and v are `x` and `v`, (1, d) each; gamma is `lr`.
    Cost per round: one minibatch gradient and one d-vector up for each client that takes part; the model down.
    Network: a server, `networks.server(n)`.
    Guarantee: with momentum = 0 and p = 1 it is SGD on the mean of the f_i with n minibatches together.
    Reference: the baseline of Philippenko, Dieuleveut (2021), arXiv:2102.12528.
    Deviations: a client that was absent is sent the model; the paper's code has it sent all steps that it has missed.

    >>> from jaxdec import networks, problems, run
    >>> result = run(SGD(lr=0.5), problems.quadratic(8, 3), networks.server(8), rounds=100)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    momentum: ScalarLike = 0.0

    def check(self) -> None:
        checks.fraction("SGD.momentum", self.momentum)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        return State(x, jnp.zeros_like(x)), Cost()

    def step(self, problem, s, r):
        clients = r.of(problem)
        g = clients.grad(r.spread(s.x), r.draw(clients))
        v = self.momentum * s.v + r.mean(g)
        x = s.x - self.lr * v
        return State(x, v), r.cost(clients.batch_size, 1, bits_down=32 * problem.d)


@module
class QSGD:
    r"""QSGD: SGD whose clients send compressed gradients.

    With S the clients that take part, each with probability p, and C the `compressor`, a draw for each::

        v = momentum v + (1/pn) Σ_{i in S} C(g_i(x))
        x = x - lr v

    Symbols: x and v are `x` and `v`, (1, d) each; gamma is `lr`.
    Cost per round: one minibatch gradient and one compressed d-vector up for each client that takes part; the model
    down, uncompressed.
    Network: a server, `networks.server(n)`.
    Guarantee: unbiased. The noise of compression is omega times the squared gradients of the single clients, which do
    not vanish at the minimizer of heterogeneous problems: with a constant lr it stalls there even with exact gradients.
    Reference: Alistarh, Grubic, Li, Tomioka, Vojnovic (2017), arXiv:1610.02132, with any unbiased compressor.

    >>> from jaxdec import compressors, networks, problems, run
    >>> algorithm = QSGD(lr=0.1, compressor=compressors.Quantization(levels=1))
    >>> result = run(algorithm, problems.quadratic(8, 3), networks.server(8), rounds=200)
    >>> bool(result.metrics["distance"][-1] > 1e-2)  # where DIANA converges
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    compressor: Any
    momentum: ScalarLike = 0.0

    def check(self) -> None:
        require_unbiased(self.compressor, "QSGD")
        checks.fraction("QSGD.momentum", self.momentum)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        return State(x, jnp.zeros_like(x)), Cost()

    def step(self, problem, s, r):
        clients = r.of(problem)
        g = clients.grad(r.spread(s.x), r.draw(clients))
        D = self.compressor(r.fold("up"), g, problem.blocks)
        v = self.momentum * s.v + r.mean(D.value)
        x = s.x - self.lr * v
        return State(x, v), r.cost(clients.batch_size, 1, D.bits, 32 * problem.d)


@module
class BiQSGD:
    r"""Bidirectional QSGD: clients send compressed gradients, the server the compressed mean of what it received.

    With S the clients that take part, each with probability p, C_up the `compressor` and C_dwn `down_compressor`::

        ghat = (1/pn) Σ_{i in S} C_up(g_i(x))
        v = momentum v + C_dwn(ghat)
        x = x - lr v                               at the server and at all clients

    Symbols: x and v are `x` and `v`, (1, d) each; gamma is `lr`.
    Cost per round: one minibatch gradient and one compressed d-vector up for each client that takes part; one
    compressed d-vector down for each client, those who are absent receiving it later.
    Network: a server, `networks.server(n)`.
    Guarantee: unbiased; the noise of compression does not vanish at the minimizer of heterogeneous problems, as for
    `QSGD`, and is multiplied by 1 + omega_dwn.
    Reference: the variant of Artemis without memory, Philippenko, Dieuleveut (2020), arXiv:2006.14591.

    >>> from jaxdec import compressors, networks, problems, run
    >>> C = compressors.Quantization(levels=4)
    >>> algorithm = BiQSGD(lr=0.1, compressor=C, down_compressor=C)
    >>> result = run(algorithm, problems.quadratic(8, 3), networks.server(8), rounds=200)
    >>> bool(result.metrics["distance"][-1] < 0.1)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    compressor: Any
    down_compressor: Any
    momentum: ScalarLike = 0.0

    def check(self) -> None:
        for compressor in (self.compressor, self.down_compressor):
            require_unbiased(compressor, "BiQSGD")
        checks.fraction("BiQSGD.momentum", self.momentum)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        return State(x, jnp.zeros_like(x)), Cost()

    def step(self, problem, s, r):
        clients = r.of(problem)
        g = clients.grad(r.spread(s.x), r.draw(clients))
        D = self.compressor(r.fold("up"), g, problem.blocks)
        ghat = r.mean(D.value)
        c = self.down_compressor(r.fold("down"), ghat, problem.blocks)
        v = self.momentum * s.v + c.value
        x = s.x - self.lr * v
        return State(x, v), r.cost(clients.batch_size, 1, D.bits, c.mean_bits, missed=True)
