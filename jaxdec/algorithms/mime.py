"""Mime and MimeLite: local steps that mimic a centralized method with momentum."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, ScalarLike, StepSize

__all__ = ["Mime", "MimeLite", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    m: Float[Array, "1 d"]  # the server's momentum, which local steps use and do not change


@module
class Mime:
    r"""Mime with momentum SGD: the server's momentum in every local step, and gradients corrected as in SVRG.

    With K = local_steps, beta = momentum, F the exact gradients of those who take part, G(Y), G(1 x) the stochastic
    ones on one minibatch, fresh in every local step, mean over those who take part, and m = 0 at the start::

        c = mean F(1 x)
        Y = 1 x;  repeat K times:  Y = Y - lr ((1 - beta) (G(Y) - G(1 x) + c) + beta m)
        x = x + outer_lr mean(Y - 1 x)
        m = (1 - beta) c + beta m

    Symbols: x and m are `x` and `m`, (1, d) each, m being the state s of the paper; K is `local_steps`.
    Cost per round: an exact gradient and 2 K - 1 minibatch gradients, of which the two of the first step are one, and
    two d-vectors up per client that takes part; three down, x and m, and then c.
    Network: a server, `networks.server(n)`; absent clients neither compute nor send.
    Guarantee: with exact gradients and everybody present x = x*, m = 0 is a fixed point for every K, however different
    the f_i: there G(1 x) = F(1 x), and all that is left of a local gradient is c = 0.
    Reference: Karimireddy, Jaggi, Kale, Mohri, Reddi, Stich, Suresh (2020), arXiv:2008.03606, Algorithm 1, with SGD
    with momentum as the base method; recalled, the page could not be read.
    Deviations: outer_lr, which is 1 there.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=1.0), networks.server(8)
    >>> result = run(Mime(lr=0.1, local_steps=5, momentum=0.5), problem, network, rounds=300)
    >>> bool(result.metrics["distance"][-1] < 1e-4)  # where LocalSGD stalls
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    local_steps: int = static()
    momentum: ScalarLike = 0.9
    outer_lr: StepSize = step_size(default=1.0)

    def check(self) -> None:
        checks.integer("Mime.local_steps", self.local_steps)
        checks.fraction("Mime.momentum", self.momentum)

    def init(self, problem, x0, r):
        x = x0.mean(axis=0, keepdims=True)
        return State(x, jnp.zeros_like(x)), Cost()

    def step(self, problem, s, r):
        K, beta, clients, start = self.local_steps, self.momentum, r.of(problem), r.spread(s.x)
        c = r.W @ clients.grad(start)

        def local(k, y):
            batch = r.draw(clients, k, K)
            g = clients.grad(y, batch) - clients.grad(start, batch) + c
            return y - self.lr * ((1 - beta) * g + beta * s.m)

        y = jax.lax.fori_loop(0, K, local, start)
        x = s.x + self.outer_lr * (r.W @ (y - s.x))
        m = (1 - beta) * c + beta * s.m
        cost = r.cost((2 * K - 1) * clients.batch_size + clients.data_size, 2, bits_down=96 * problem.d)
        return State(x, m), cost._replace(messages=2)


@module
class MimeLite:
    r"""MimeLite with momentum SGD: `Mime` without the correction of gradients.

    With K = local_steps, beta = momentum, F the exact gradients, G the stochastic ones, fresh in every local step, mean
    over those who take part, and m = 0 at the start::

        Y = 1 x;  repeat K times:  Y = Y - lr ((1 - beta) G(Y) + beta m)
        x = x + outer_lr mean(Y - 1 x)
        m = (1 - beta) mean F(1 x) + beta m                   at the x before

    Symbols: x and m are `x` and `m`, (1, d) each, m being the state s of the paper; K is `local_steps`.
    Cost per round: an exact gradient and K minibatch gradients, and two d-vectors up per client that takes part; two
    down.
    Network: a server, `networks.server(n)`; absent clients neither compute nor send.
    Guarantee: with momentum = 0 it is `LocalSGD`, whose bias it has.
    Reference: Karimireddy, Jaggi, Kale, Mohri, Reddi, Stich, Suresh (2020), arXiv:2008.03606, Algorithm 1; recalled,
    the page could not be read.
    Deviations: outer_lr, which is 1 there.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3), networks.server(8)
    >>> result = run(MimeLite(lr=0.1, local_steps=5, momentum=0.5), problem, network, rounds=300)
    >>> bool(1e-3 < result.metrics["distance"][-1] < 0.1)  # the bias of local steps
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    local_steps: int = static()
    momentum: ScalarLike = 0.9
    outer_lr: StepSize = step_size(default=1.0)

    def check(self) -> None:
        checks.integer("MimeLite.local_steps", self.local_steps)
        checks.fraction("MimeLite.momentum", self.momentum)

    def init(self, problem, x0, r):
        x = x0.mean(axis=0, keepdims=True)
        return State(x, jnp.zeros_like(x)), Cost()

    def step(self, problem, s, r):
        K, beta, clients, start = self.local_steps, self.momentum, r.of(problem), r.spread(s.x)

        def local(k, y):
            return y - self.lr * ((1 - beta) * clients.grad(y, r.draw(clients, k, K)) + beta * s.m)

        y = jax.lax.fori_loop(0, K, local, start)
        x = s.x + self.outer_lr * (r.W @ (y - s.x))
        m = (1 - beta) * (r.W @ clients.grad(start)) + beta * s.m
        return State(x, m), r.cost(K * clients.batch_size + clients.data_size, 2, bits_down=64 * problem.d)
