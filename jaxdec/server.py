"""A server and its n clients: who takes part in a round, and what algorithms do with those who do.

Everybody, each client with a probability, or a cohort of fixed size. `r.W @ x` is then the mean over those who take
part, a (1, d) array: the server's. With a cohort of m, `r.clients` are their indices and x has their m rows, so that 10
of 200 clients cost as much as 10; without, x has all n rows, of which those absent are ignored.

An algorithm that honours absence, in terms of the functions of this module (h are memories of the clients, (n, d))::

    x = jnp.broadcast_to(s.x, (count(r), problem.d))
    g = working(problem, r).grad(x, working(problem, r).sample(r.key_data, r.t))
    new = rows(s.h, r) + g                  # those of a cohort alone
    return State(s.x - lr * (r.W @ g), kept(s.h, new, r)), Cost(grads=share(r) * problem.batch_size)
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.types import PRNGKey, Round, ScalarLike


@module
class Mean:
    """The mean over those who take part, W = 1_S'/|S|, one row: (n, ...) to (1, ...), or (m, ...) to (1, ...)."""

    n: int = static()
    active: Bool[Array, " n"] | None = None  # None means all rows that come
    once: bool = static(default=False)  # whether a broadcast is counted once: see `broadcast`

    def __matmul__(self, x: Float[Array, "n *d"]) -> Float[Array, "1 *d"]:
        if self.active is None:
            return jnp.mean(x, axis=0, keepdims=True)
        present = self.active.reshape(-1, *(1,) * (x.ndim - 1))
        return jnp.sum(jnp.where(present, x, 0), axis=0, keepdims=True) / jnp.sum(self.active, dtype=x.dtype)

    def dense(self) -> Float[Array, "1 n"]:
        """The row itself, (1, n)."""
        return self @ jnp.eye(self.n)


@module
class Server:
    """A server and n clients. Made by `server`."""

    n: int = static()
    participation: ScalarLike | None = None  # the probability of each client; None means that it is not random
    cohort: int | None = static(default=None)  # how many take part in each round; None means no fixed number
    once: bool = static(default=False)  # whether a broadcast is counted once, and not for each who hears it

    @property
    def provides(self) -> frozenset[str]:
        return frozenset({"server"})

    @property
    def partial(self) -> bool:
        """Whether some clients may be absent."""
        return self.participation is not None or self.cohort is not None

    def at(self, t: Int[Array, ""], key: PRNGKey) -> tuple[Any, ...]:
        """W, active and p of round t, and with cohorts the indices of the clients, in increasing order."""
        if self.cohort is not None:
            clients = jnp.sort(jax.random.permutation(key, self.n)[: self.cohort])
            active = jnp.zeros(self.n, bool).at[clients].set(True)
            return Mean(self.cohort, None, self.once), active, self.cohort / self.n, clients
        if self.participation is not None:
            active = _some(key, self.n, jnp.asarray(self.participation))
            return Mean(self.n, active, self.once), active, jnp.asarray(self.participation)
        return Mean(self.n, None, self.once), jnp.ones(self.n, bool), 1

    def check(self) -> None:
        checks.integer("the number n of a server's clients", self.n)
        if self.participation is not None:
            if self.cohort is not None:
                raise ValueError("who takes part is random or a cohort of fixed size: give participation or cohort")
            p = np.asarray(self.participation)
            if not (np.issubdtype(p.dtype, np.number) and np.all((p > 0) & (p <= 1))):
                raise ValueError(
                    f"participation is the probability that a client takes part, in (0, 1]; got {self.participation}. "
                    "For a fixed number of clients pass cohort"
                )
        if self.cohort is not None:
            checks.integer("the size of a cohort", self.cohort)
            if self.cohort > self.n:
                raise ValueError(f"a cohort is drawn from the clients: at most n={self.n} take part; got {self.cohort}")


def server(
    n: int, *, participation: float = 1.0, cohort: int | None = None, broadcast: Literal["each", "once"] = "each"
) -> Server:
    """A server and n clients, of whom everybody or some take part in a round.

    Args:
        n: the number of clients.
        participation: the probability with which each client takes part, independently; a round in which nobody would
            is drawn again. 1 means that everybody does.
        cohort: how many clients take part in each round, drawn uniformly without replacement; None for no fixed number.
        broadcast: whether the bits of one message for all clients count for "each" who hears it or "once".

    Raises:
        ValueError: if the participation is outside (0, 1], or the cohort is not one of 1, ..., n.

    >>> W, active, p, clients = server(200, cohort=10).at(0, jax.random.key(0))
    >>> p, clients.shape, int(active.sum()), (W @ jnp.ones((10, 3))).shape
    (0.05, (10,), 10, (1, 3))
    >>> server(8, participation=0.5).partial, server(8).partial
    (True, False)
    """
    everybody = isinstance(participation, int | float) and participation == 1
    checks.choice("broadcast", broadcast, ("each", "once"))
    network = Server(n, None if everybody else participation, cohort, broadcast == "once")
    network.check()
    return dataclasses.replace(network, cohort=None) if cohort == n else network


def _some(key: PRNGKey, n: int, p: Array) -> Bool[Array, " n"]:
    """Independent coins of probability p, given that not all fail: exactly the law of drawing until one succeeds.

    The first success is at k with probability p (1 - p)^k / (1 - (1 - p)^n), by inversion; later coins are free.
    """
    key_first, key_later = jax.random.split(key)
    failure = jnp.log1p(-p)
    u = jax.random.uniform(key_first, (), p.dtype)
    first = jnp.floor(jnp.log1p(u * jnp.expm1(n * failure)) / failure)
    client = jnp.arange(n)
    first = jnp.clip(first, 0, n - 1).astype(client.dtype)
    return (client == first) | (client > first) & jax.random.bernoulli(key_later, p, (n,))


# What algorithms need of a round.


def count(r: Round) -> int:
    """How many rows there are to compute: a cohort's size, or n."""
    return r.active.shape[0] if r.clients is None else r.clients.shape[0]


def working(problem: Any, r: Round) -> Any:
    """The problem of those rows: of the cohort alone, or the whole."""
    return problem if r.clients is None else problem.take(r.clients)


def rows(a: Float[Array, "n *d"], r: Round) -> Float[Array, "m *d"]:
    """Those rows of what each of the n clients has."""
    return a if r.clients is None else a[r.clients]


def kept(a: Float[Array, "n *d"], new: Float[Array, "m *d"], r: Round) -> Float[Array, "n *d"]:
    """What each client has, `new` for those who take part and unchanged for the others."""
    if r.clients is not None:
        return a.at[r.clients].set(new)
    if isinstance(r.p, int):
        return new
    return jnp.where(r.active.reshape(-1, *(1,) * (a.ndim - 1)), new, a)


def share(r: Round) -> ScalarLike:
    """The share of the clients that takes part in this round; a Python number where it is known in advance."""
    return r.p if isinstance(r.p, int | float) else jnp.mean(r.active, dtype=r.p.dtype)


def broadcast(bits: ScalarLike, r: Round, *, missed: bool = False) -> ScalarLike:
    """`Cost.bits_down` of one message for all clients: its bits for each who hears it, or its part of one message.

    Where every message counts, a client that was absent is sent those that it has missed: with missed=True one for each
    of the n clients is divided among those who take part.
    """
    if r.W.once:
        return bits / (share(r) * r.active.shape[0])
    return bits / share(r) if missed else bits
