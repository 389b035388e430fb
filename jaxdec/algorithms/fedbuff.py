"""FedBuff: asynchronous clients, whose changes a server gathers in a buffer."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["FedBuff", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    k: Int[Array, ""]  # how often it was updated
    start: Iterates  # (n, d), the model that each client's local steps began with
    began: Int[Array, " n"]  # its k
    buffer: Float[Array, "1 d"]  # the sum of the changes that came since the last update
    filled: Int[Array, ""]  # how many these are


@module
class FedBuff:
    r"""FedBuff, federated learning with buffered asynchronous aggregation: the server steps with every B-th change.

    With K = local_steps, B = buffer_size and G the stochastic gradients, fresh in every local step; in an event client
    i, which was sent its model x_i tau updates ago, sends its change::

        y = x_i;  repeat K times:  y = y - lr G(y)
        buffer = buffer + (1 + tau)^(-a) (x_i - y)
        with the B-th since:  x = x - outer_lr buffer / B;   buffer = 0

    and is sent x.

    Symbols: x is `x` (1, d), the x_i are the rows of `start` (n, d); the paper's K is `buffer_size`, its Q is
    `local_steps`, eta_l is `lr`, eta_g is `outer_lr`; a is `exponent`.
    Cost per event: K minibatch gradients and one d-vector up for one client; the model down to it.
    Network: an asynchronous server, `networks.asynchronous(networks.server(n), speed=...)`.
    Guarantee: with local_steps = 1, buffer_size = 1 and a = 0 it is `AsynchronousSGD` with constant steps. Where the
    f_i differ it stays away from the minimizer, and fast clients weigh more.
    Reference: Nguyen, Malik, Zhan, Yousefpour, Rabbat, Malek, Huba (2021), arXiv:2106.06639, Algorithm 1, as it is
    recalled: the page could not be read. The experiments weigh late changes with exponent = 0.5; the analysis does not.
    Deviations: no secure aggregation and no noise for privacy; a client goes on at once with the model that is there.

    >>> from jaxdec import networks, problems, run
    >>> network = networks.asynchronous(networks.server(8), speed=[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 0.1])
    >>> method = FedBuff(lr=0.1, local_steps=3, buffer_size=4)
    >>> result = run(method, problems.quadratic(8, 3, zeta=0.0), network, rounds=800, x0=[1.0] * 3)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"asynchronous", "server"})
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    local_steps: int = static()
    buffer_size: ScalarLike = 10
    outer_lr: StepSize = step_size(default=1.0)
    exponent: ScalarLike = 0.0

    def check(self) -> None:
        checks.integer("FedBuff.local_steps", self.local_steps)
        checks.count("FedBuff.buffer_size", self.buffer_size)
        checks.weight("FedBuff.exponent", self.exponent, "that of 1 + tau")

    def init(self, problem, x0, r):
        x = x0.mean(axis=0, keepdims=True)
        start, began = jnp.repeat(x, r.n, axis=0), jnp.zeros(r.n, int)
        return State(x, jnp.asarray(0), start, began, jnp.zeros_like(x), jnp.asarray(0)), Cost()

    def step(self, problem, s, r):
        K, clients, start = self.local_steps, r.of(problem), r.rows(s.start)
        y = jax.lax.fori_loop(0, K, lambda k, y: y - self.lr * clients.grad(y, r.draw(clients, k, K)), start)
        tau = (s.k - r.rows(s.began)[0]).astype(y.dtype)
        buffer, filled = s.buffer + (1 + tau) ** -self.exponent * r.mean(start - y), s.filled + 1
        full = filled >= self.buffer_size
        x = jnp.where(full, s.x - self.outer_lr * buffer / self.buffer_size, s.x)
        buffer, filled, k = jnp.where(full, 0, buffer), jnp.where(full, 0, filled), s.k + full
        cost = r.cost(K * clients.batch_size, 1, bits_down=32 * problem.d)
        return State(x, k, r.kept(s.start, x), r.kept(s.began, k), buffer, filled), cost
