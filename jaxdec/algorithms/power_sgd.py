"""PowerSGD: gradients as matrices of low rank, by a step of the power method that goes on from round to round."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.algorithms._matrices import factors, matrices, orthonormal, product, rest
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["PowerSGD", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the model
    m: Float[Array, "1 d"]  # its momentum
    e: Iterates  # (n, d), what the clients' messages left out
    q: tuple[Array, ...]  # of each matrix the right factor, (b, r), which all know


@module
class PowerSGD:
    r"""PowerSGD: what is sent of each tensor's gradient are two thin factors, and what they leave out is sent later.

    With U_i = g_i(x) + e_i, each tensor of it a matrix, and Q from the round before, random in the first::

        P = mean_i U_i Q                     is sent, and averaged
        P^ = orthonormal columns of P
        Q = mean_i U_i' P^                   is sent, and averaged
        e_i = U_i - P^ (U_i' P^)'
        m = momentum m + P^ Q'
        x = x - lr m

    Tensors for which r (a + b) numbers, r being `rank`, are no fewer than a b, and vectors, are sent as they are.

    Symbols: x and m are `x` and `m`, (1, d) each; e_i are the rows of `e` (n, d); Q is `q`, (b, r) for each matrix of
    a rows and b columns; gamma is `lr`, lambda is `momentum`.
    Cost per round: one minibatch gradient; one compressed d-vector up per client, r (a + b) numbers of a matrix, the
    second factor once the first is averaged; as much down.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: all that is sent is linear in the gradients, so that the model is that of one client with the mean
    gradient, which no other compressor is. With exact gradients it converges to the minimizer, however different the
    f_i, if lr is small enough. Where all tensors are sent as they are it is `SGD` with momentum.
    Reference: Vogels, Karimireddy, Jaggi (2019), arXiv:1905.13727, Algorithms 1 and 2, and the authors' code,
    github.com/epfml/powersgd; the paper could not be read.
    Deviations: e_i leaves out what client i sent; in that code it is what all sent, which has the same mean, and so the
    same model, but grows where the f_i differ. The step is lr m; in the paper it is lr (P^ Q' + m), as recalled.

    >>> import numpy as np
    >>> from jaxdec import data, networks, problems, run
    >>> digits = data.digits()
    >>> problem = problems.softmax(digits, data.iid(digits, n=8), bias=False, l2=1e-3)
    >>> result = run(PowerSGD(lr=0.5, rank=1), problem, networks.server(8), rounds=100)
    >>> bool(result.metrics["loss"][-1] < 0.2 * result.metrics["loss"][0])
    True
    >>> round(float(result.cost.bits[-1]) / (100 * 32 * problem.d), 3)  # of what SGD sends
    0.116
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    rank: int = static()
    momentum: ScalarLike = 0.0

    def check(self) -> None:
        checks.integer("PowerSGD.rank", self.rank)
        checks.fraction("PowerSGD.momentum", self.momentum)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        normal = jax.random.normal(r.fold("factors"), (problem.d,), x.dtype)
        q = factors(matrices(problem.shapes, self.rank), normal)
        return State(x, jnp.zeros_like(x), jnp.zeros_like(x0), q), Cost()

    def step(self, problem, s, r):
        found = matrices(problem.shapes, self.rank)
        u = problem.grad(r.spread(s.x), r.draw(problem)) + s.e
        sent, e, after = u, jnp.zeros_like(u), []  # as they are
        for m, q in zip(found, s.q, strict=True):
            U = m.of(u)
            P = orthonormal((r.W @ product(U, q))[0])
            Q = product(jnp.swapaxes(U, 1, 2), P)
            kept = product(P, jnp.swapaxes(Q, 1, 2)).reshape(u.shape[0], -1)
            sent = sent.at[:, m.begin : m.end].set(kept)
            e = e.at[:, m.begin : m.end].set(u[:, m.begin : m.end] - kept)
            after.append((r.W @ Q)[0])
        momentum = self.momentum * s.m + r.W @ sent
        numbers = rest(found, problem.d) + sum(m.rank * (m.rows + m.columns) for m in found)
        cost = r.cost(problem.batch_size, 1, 32 * numbers, 32 * numbers)._replace(messages=2 if found else 1)
        return State(s.x - self.lr * momentum, momentum, e, tuple(after)), cost
