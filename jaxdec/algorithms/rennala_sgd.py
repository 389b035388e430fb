"""Rennala SGD: minibatches of gradients at one model, from whoever is there first."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.types import Cost, ScalarLike, StepSize

__all__ = ["RennalaSGD", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    k: Int[Array, ""]  # how often it was updated
    began: Int[Array, " n"]  # the k of the model at which each client's current gradient is taken
    since: Float[Array, " n"]  # when it was sent
    g: Float[Array, "1 d"]  # the sum of the gradients at x that have come
    filled: Int[Array, ""]  # how many these are


@module
class RennalaSGD:
    r"""Rennala SGD: the server gathers B gradients at its model, and forgets those at older ones.

    In an event client i sends its stochastic gradient at the model that it was sent, of number k_i; with
    B = batch_size::

        if k_i = k:  g = g + G_i(x)
        with the B-th since:  x = x - lr g / B;   k = k + 1;   g = 0

    and is sent x. A client may add several gradients to a batch, and a slow one none.

    Symbols: x is `x` (1, d), the k_i are `began` (n,); gamma is `lr`, S is `batch_size`.
    Cost per event: one minibatch gradient and one d-vector up for one client, whether it is used or not; the model down
    to it.
    Network: an asynchronous server, `networks.asynchronous(networks.server(n), speed=...)`.
    Guarantee: minibatch SGD, whose batch is made of what the fast clients compute; optimal in time where the f_i are
    one and each client's speed is fixed. With equal fixed speeds and B = n it is `SGD`, a step for n events, wherever
    the f_i are; else fast clients weigh more.
    Reference: Tyurin, Richtárik (2023), arXiv:2305.12387, Method 4, as it is recalled: the page could not be read.
    Ambiguities: clients that deliver at the very time at which a batch is complete are all sent the new model, as those
    are that wait for each other; a queue that worked through them one by one would have all but the last compute one
    more gradient at the old one, for nothing.

    >>> from jaxdec import networks, problems, run
    >>> network = networks.asynchronous(networks.server(8), speed=1.0)
    >>> result = run(RennalaSGD(lr=0.5, batch_size=8), problems.quadratic(8, 3), network, rounds=800)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"asynchronous", "server"})
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    batch_size: ScalarLike

    def check(self) -> None:
        checks.count("RennalaSGD.batch_size", self.batch_size)

    def init(self, problem, x0, r):
        x, none = x0.mean(axis=0, keepdims=True), jnp.asarray(0)
        return State(x, none, jnp.zeros(r.n, int), jnp.zeros(r.n, x.dtype), jnp.zeros_like(x), none), Cost()

    def step(self, problem, s, r):
        clients = r.of(problem)
        fresh = r.rows(s.began)[0] == s.k
        g = s.g + jnp.where(fresh, r.mean(clients.grad(r.spread(s.x), r.draw(clients))), 0)
        filled = s.filled + fresh
        full = filled >= self.batch_size
        x, k = jnp.where(full, s.x - self.lr * g / self.batch_size, s.x), s.k + full
        g, filled = jnp.where(full, 0, g), jnp.where(full, 0, filled)
        since = r.kept(s.since, r.seconds)
        began = jnp.where(since == r.seconds, k, s.began)
        return State(x, k, began, since, g, filled), r.cost(clients.batch_size, 1, bits_down=32 * problem.d)
