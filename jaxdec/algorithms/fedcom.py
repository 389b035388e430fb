"""FedPAQ, FedCOM and FedCOMGATE: federated averaging of compressed moves, and its gradient tracking."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.compressors import require_unbiased
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["FedCOM", "FedCOMGATE", "FedPAQ", "GATEState", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model


@module
class FedPAQ:
    r"""FedPAQ: federated averaging in which clients send their compressed move.

    With S the clients that take part, K = local_steps, G the stochastic gradients, fresh in every local step, and C the
    `compressor`, a draw for each of them::

        Y = 1 x;  repeat K times:  Y = Y - lr G(Y)
        x = x + mean_S C(Y - 1 x)

    Symbols: x is `x` (1, d), Y is (n, d); tau is `local_steps`, eta is `lr`.
    Cost per round: K minibatch gradients and one compressed d-vector up for each client that takes part; the model
    down.
    Network: a server, `networks.server(n)`; absent clients neither compute nor send.
    Guarantee: it stalls where `LocalSGD` does, and at a distance that the compressor's noise adds: moves do not vanish
    where the f_i differ. Without compression it is `LocalSGD`.
    Reference: Reisizadeh, Mokhtari, Hassani, Jadbabaie, Pedarsani (2020), arXiv:1909.13014, Algorithm 1.
    Ambiguities: the listing is recalled.

    >>> from jaxdec import compressors, networks, problems, run
    >>> algorithm = FedPAQ(lr=0.02, local_steps=3, compressor=compressors.Quantization(levels=4))
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
        _check("FedPAQ", self)

    def init(self, problem, x0, r):
        return State(x0.mean(axis=0, keepdims=True)), Cost()

    def step(self, problem, s, r):
        y, grads = _local(self, problem, s.x, r, 0)
        D = self.compressor(r.fold("up"), y - s.x, problem.blocks)
        return State(s.x + r.W @ D.value), r.cost(grads, 1, D.bits, 32 * problem.d)


@module
class FedCOM:
    r"""FedCOM: FedPAQ with a step of the server's.

    With S, K, G and C as in `FedPAQ`::

        Y = 1 x;  repeat K times:  Y = Y - lr G(Y)
        x = x - outer_lr lr mean_S C((1 x - Y) / lr)

    Symbols: x is `x` (1, d), Y is (n, d); tau is `local_steps`, eta is `lr`, gamma is `outer_lr`.
    Cost per round: K minibatch gradients and one compressed d-vector up for each client that takes part; the model
    down.
    Network: a server, `networks.server(n)`; absent clients neither compute nor send.
    Guarantee: as `FedPAQ`, which it is with outer_lr = 1 if C commutes with positive factors, as all compressors here
    do.
    Reference: Haddadpour, Kamani, Mokhtari, Mahdavi (2021), arXiv:2007.01154, FedCOM, as implemented in
    github.com/IgorSokoloff/rr_with_compression_experiments_source_code, logistic_regression/fedcom.py.

    >>> from jaxdec import compressors, networks, problems, run
    >>> algorithm = FedCOM(lr=0.02, local_steps=3, compressor=compressors.Quantization(levels=4), outer_lr=0.5)
    >>> result = run(algorithm, problems.quadratic(8, 3), networks.server(8), rounds=600)
    >>> bool(result.metrics["distance"][-1] < 0.2)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    local_steps: int = static()
    compressor: Any
    outer_lr: StepSize = step_size(default=1.0)

    def check(self) -> None:
        _check("FedCOM", self)

    def init(self, problem, x0, r):
        return State(x0.mean(axis=0, keepdims=True)), Cost()

    def step(self, problem, s, r):
        y, grads = _local(self, problem, s.x, r, 0)
        D = self.compressor(r.fold("up"), (s.x - y) / self.lr, problem.blocks)
        return State(s.x - self.outer_lr * self.lr * (r.W @ D.value)), r.cost(grads, 1, D.bits, 32 * problem.d)


class GATEState(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    c: Iterates  # (n, d), what clients subtract from each gradient; it sums to zero over them


@module
class FedCOMGATE:
    r"""FedCOMGATE: FedCOM along gradients that clients correct by what their messages said of the others' steps.

    With S, K, G and C as in `FedPAQ`, and c_i = 0 at the start::

        Y = 1 x;  repeat K times:  Y = Y - lr (G(Y) - c)
        D_i = C((x - y_i) / lr),                         i in S
        c_i = c_i + (D_i - mean_S D) / K,                i in S
        x = x - outer_lr lr mean_S D

    Symbols: x is `x` (1, d), c_i, the paper's delta, are the rows of `c` (n, d); tau is `local_steps`, eta is `lr`,
    gamma is `outer_lr`. Without compression it is the paper's FedGATE.
    Cost per round: K minibatch gradients and one compressed d-vector up for each client that takes part; the model
    down, from which a client has mean_S D.
    Network: a server, `networks.server(n)`; absent clients keep c_i.
    Guarantee: Σ c_i = 0 in every round. With exact gradients x = x*, c_i = ∇f_i(x*) is a fixed point, however different
    the f_i, at which all messages are zero, where `FedCOM` stalls: it converges to it if lr and outer_lr are small
    enough for the compressor. Without compression and with everybody present it is `SCAFFOLD` with option = "II".
    Reference: Haddadpour, Kamani, Mokhtari, Mahdavi (2021), arXiv:2007.01154, FedCOMGATE.
    Ambiguities: the listing is recalled. In the authors' code, github.com/MLOPTPSU/FedTorch, c_i moves by the client's
    own step and not by its message, so that the sum of the c_i is not zero.

    >>> from jaxdec import compressors, networks, problems, run
    >>> algorithm = FedCOMGATE(lr=0.05, local_steps=3, compressor=compressors.Quantization(levels=4), outer_lr=0.5)
    >>> result = run(algorithm, problems.quadratic(8, 3, zeta=10.0), networks.server(8), rounds=800)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    local_steps: int = static()
    compressor: Any
    outer_lr: StepSize = step_size(default=1.0)

    def check(self) -> None:
        _check("FedCOMGATE", self)

    def init(self, problem, x0, r):
        return GATEState(x0.mean(axis=0, keepdims=True), jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        c = r.rows(s.c)
        y, grads = _local(self, problem, s.x, r, c)
        D = self.compressor(r.fold("up"), (s.x - y) / self.lr, problem.blocks)
        mean = r.W @ D.value
        x = s.x - self.outer_lr * self.lr * mean
        c = r.kept(s.c, c + (D.value - mean) / self.local_steps)
        return GATEState(x, c), r.cost(grads, 1, D.bits, 32 * problem.d)


def _local(method, problem, x, r, correction) -> tuple[Iterates, Any]:
    """The clients' models after their local steps, and what these cost."""
    K, clients = method.local_steps, r.of(problem)
    local = lambda k, y: y - method.lr * (clients.grad(y, r.draw(clients, k, K)) - correction)
    return jax.lax.fori_loop(0, K, local, r.spread(x)), K * clients.batch_size


def _check(name: str, method: Any) -> None:
    checks.integer(f"{name}.local_steps", method.local_steps)
    require_unbiased(method.compressor, name)
