"""MemSGD and Qsparse-local-SGD: error feedback of steps, and of local steps."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.compressors import require_contractive
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["EF14", "MemSGD", "QsparseLocalSGD", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    e: Iterates  # (n, d), what the clients' messages left out


@module
class MemSGD:
    r"""MemSGD, the error feedback called EF14: what compression leaves out of a step is added to the next.

    With S the clients that take part and C the `compressor`, a draw for each of them::

        U_i = e_i + lr g_i(x);      D_i = C(U_i);   e_i = U_i - D_i,      i in S
        x = x - (1/n) Σ_{i in S} D_i

    Symbols: x is `x` (1, d), e_i, the paper's m, are the rows of `e` (n, d); eta is `lr`.
    Cost per round: one minibatch gradient and one compressed d-vector up for each client that takes part; the model
    down.
    Network: a server, `networks.server(n)`; absent clients keep what they left out.
    Guarantee: x - mean e moves by -(lr/n) Σ_{i in S} g_i(x) exactly, whatever the schedule: what compression leaves out
    is only delayed. The e_i stay bounded if C is contractive. Where the f_i differ it stalls at a distance that goes
    with lr, at which `EF21` does not. Without compression and with everybody present it is `SGD`. `DoubleSqueeze`
    compresses what the server sends as well.
    Reference: Stich, Cordonnier, Jaggi (2018), arXiv:1809.07599, Algorithm 1, its parallel form; the idea is Seide, Fu,
    Droppo, Li, Yu (2014), hence EF14.
    Ambiguities: the listing is recalled. Absent clients, who are not in the paper, are those of `QsparseLocalSGD`.

    >>> from jaxdec import compressors, networks, problems, run
    >>> algorithm = MemSGD(lr=0.05, compressor=compressors.TopK(k=1))
    >>> result = run(algorithm, problems.quadratic(8, 3), networks.server(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 0.1)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    compressor: Any

    def check(self) -> None:
        require_contractive(self.compressor, "MemSGD")

    def init(self, problem, x0, r):
        return _start(x0)

    def step(self, problem, s, r):
        clients = r.of(problem)
        return _sent(self, s, r, self.lr * clients.grad(r.spread(s.x), r.draw(clients)), clients.batch_size, problem)


EF14 = MemSGD  # the same method under the name that compares it with EF21


@module
class QsparseLocalSGD:
    r"""Qsparse-local-SGD: error feedback of the moves that clients make in K local steps.

    With S the clients that take part, K = local_steps, G the stochastic gradients, fresh in every local step, and C the
    `compressor`, a draw for each of them::

        Y = 1 x;  repeat K times:  Y = Y - lr G(Y)
        U_i = e_i + x - y_i;        D_i = C(U_i);   e_i = U_i - D_i,      i in S
        x = x - (1/n) Σ_{i in S} D_i

    Symbols: x is `x` (1, d), e_i, the paper's m, are the rows of `e` (n, d); eta is `lr`, H is `local_steps`. The
    paper's compressors are compositions: a quantization of the entries that top-k or rand-k keeps.
    Cost per round: K minibatch gradients and one compressed d-vector up for each client that takes part; the model
    down.
    Network: a server, `networks.server(n)`; absent clients keep what they left out, as in the paper's asynchronous
    form do those who do not communicate, but here they make no steps meanwhile.
    Guarantee: x - mean e moves by the moves of those who take part over n, exactly. With heterogeneous f_i it stalls at
    a distance that goes with lr. With K = 1 it is `MemSGD`; without compression and with everybody present `LocalSGD`.
    Reference: Basu, Data, Karakus, Diggavi (2019), arXiv:1906.02367, Algorithm 1, in rounds of one communication.
    Ambiguities: the listing was read in a summary.

    >>> from jaxdec import compressors, networks, problems, run
    >>> algorithm = QsparseLocalSGD(lr=0.05, local_steps=3, compressor=compressors.TopK(k=1))
    >>> result = run(algorithm, problems.quadratic(8, 3), networks.server(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 0.2)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    local_steps: int = static()
    compressor: Any

    def check(self) -> None:
        checks.integer("QsparseLocalSGD.local_steps", self.local_steps)
        require_contractive(self.compressor, "QsparseLocalSGD")

    def init(self, problem, x0, r):
        return _start(x0)

    def step(self, problem, s, r):
        K, clients = self.local_steps, r.of(problem)
        local = lambda k, y: y - self.lr * clients.grad(y, r.draw(clients, k, K))
        y = jax.lax.fori_loop(0, K, local, r.spread(s.x))
        return _sent(self, s, r, s.x - y, K * clients.batch_size, problem)


def _start(x0) -> tuple[State, Cost]:
    return State(jnp.mean(x0, axis=0, keepdims=True), jnp.zeros_like(x0)), Cost()


def _sent(method, s, r, moves, grads, problem) -> tuple[State, Cost]:
    """The model and what is left out, once these moves have been sent."""
    u = r.rows(s.e) + moves
    D = method.compressor(r.fold("up"), u, problem.blocks)
    x = s.x - r.share * (r.W @ D.value)
    return State(x, r.kept(s.e, u - D.value)), r.cost(grads, 1, D.bits, 32 * problem.d)
