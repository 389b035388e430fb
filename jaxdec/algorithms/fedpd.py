"""FedPD: a primal-dual method whose clients go on by themselves where communication is skipped."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["FedPD", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    y: Iterates  # (n, d), the clients' models
    u: Iterates  # (n, d), the clients' dual variables
    c: Iterates  # (n, d), what each client takes for the global model


@module
class FedPD:
    r"""FedPD, federated primal-dual: an augmented Lagrangian at each client, and an average in some of the rounds.

    With K = local_steps, eta = penalty, G the stochastic gradients, fresh in every local step, and U = 0, C = 1 x,
    Y = 1 x at the start::

        repeat K times:  Y = Y - lr (G(Y) + U + (Y - C) / eta)
        U = U + (Y - C) / eta
        C = Y + eta U
        with probability 1 - skip:  x = mean C;  C = 1 x

    Symbols: x is `x` (1, d); Y, U, C are `y`, `u`, `c`, (n, d) each, the x_i, lambda_i and x_(0,i) of the paper; K is
    `local_steps`, eta is `penalty`, skip is `skip`, the p of the paper.
    Cost per round: K minibatch gradients per client; one d-vector up and one down in the rounds that communicate.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: with skip = 0 and exact gradients x = y_i = c_i = x*, u_i = -∇f_i(x*) is a fixed point for every K,
    however different the f_i; Σ u_i = 0 there. In a round without communication c_i = x* + eta u_i instead, which draws
    a client to its own minimizer: then x stays near x*, and nearer the smaller eta is.
    Reference: Zhang, Hong, Dhople, Yin, Liu (2020), arXiv:2005.11418, Algorithms 1 and 2; recalled, the page could not
    be read.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=1.0), networks.server(8)
    >>> result = run(FedPD(lr=0.1, local_steps=5, penalty=1.0), problem, network, rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-4)  # where LocalSGD stalls
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    local_steps: int = static()
    penalty: ScalarLike
    skip: ScalarLike = 0.0

    def check(self) -> None:
        checks.integer("FedPD.local_steps", self.local_steps)
        checks.positive("FedPD.penalty", self.penalty)
        checks.fraction("FedPD.skip, the probability of a round without communication,", self.skip)

    def init(self, problem, x0, r):
        x = x0.mean(axis=0, keepdims=True)
        y = jnp.broadcast_to(x, x0.shape)
        return State(x, y, jnp.zeros_like(x0), y), Cost()

    def step(self, problem, s, r):
        K = self.local_steps

        def local(k, y):
            return y - self.lr * (problem.grad(y, r.draw(problem, k, K)) + s.u + (y - s.c) / self.penalty)

        y = jax.lax.fori_loop(0, K, local, s.y)
        u = s.u + (y - s.c) / self.penalty
        c = y + self.penalty * u
        talks = jax.random.bernoulli(r.fold("coin"), 1 - jnp.asarray(self.skip, r.dtype))
        x = jnp.where(talks, r.W @ c, s.x)
        c = jnp.where(talks, r.spread(x), c)
        sent = talks.astype(int)
        return State(x, y, u, c), r.cost(K * problem.batch_size, sent, bits_down=32 * problem.d * sent)
