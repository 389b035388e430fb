"""A server and its n clients, of whom everybody takes part in a round, each with a probability, or a cohort.

`r.W @ x` is then the mean over those who take part, a (1, d) array: the server's. With a cohort of m, `r.clients` are
their indices and x has their m rows, so that 10 of 200 clients cost as much as 10; without, x has all n rows, of which
those absent are ignored. What a method does with a round is in `types.Round`.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.types import PRNGKey, ScalarLike, World

__all__ = ["Mean", "Server", "server"]


@module
class Mean:
    """The mean over those who take part, W = 1_S'/|S|, one row: (n, ...) to (1, ...), or (m, ...) to (1, ...)."""

    n: int = static()
    active: Bool[Array, " n"] | None = None  # None means all rows that come

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
    participation: ScalarLike | None = None  # the probability of each client's coin; None means that there are none
    cohort: int | None = static(default=None)  # how many take part in each round; None means no fixed number
    once: bool = static(default=False)  # whether a broadcast is counted once, and not for each who hears it

    @property
    def provides(self) -> frozenset[str]:
        everybody = self.participation is None and self.cohort is None
        return frozenset({"server", "fixed", "reliable"} if everybody else {"server"})

    def init(self, key: PRNGKey) -> tuple[()]:
        return ()

    def at(self, memory: tuple[()], t: Int[Array, ""], key: PRNGKey) -> tuple[tuple[()], World]:
        """The mean over those who take part in round t; a cohort's indices are in increasing order."""
        if self.cohort is not None:
            clients = jnp.sort(jax.random.permutation(key, self.n)[: self.cohort])
            return memory, World(Mean(self.cohort), clients=clients, p=self.cohort / self.n, once=self.once)
        if self.participation is not None:
            p = jnp.asarray(self.participation)
            active = _some(key, self.n, p)
            present = p / -jnp.expm1(self.n * jnp.log1p(-p))  # given that not all are absent
            return memory, World(Mean(self.n, active), active, p=present, once=self.once)
        return memory, World(Mean(self.n), once=self.once)

    def check(self) -> None:
        checks.integer("the number n of a server's clients", self.n)
        if self.participation is not None:
            if self.cohort is not None:
                raise ValueError("who takes part is random or a cohort of fixed size: give participation or cohort")
            if jnp.ndim(self.participation) or not checks.bounded(self.participation, lambda p: (p > 0) & (p <= 1)):
                raise ValueError(
                    f"participation is the probability that a client takes part, one for all in (0, 1]; got "
                    f"{self.participation}. For a fixed number of clients pass cohort"
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
        participation: p, the probability with which each client takes part, independently; a round in which nobody
            would is drawn again, so that a client takes part with probability p / (1 - (1 - p)^n), which is the p that
            methods divide by. 1 means that everybody does.
        cohort: how many clients take part in each round, drawn uniformly without replacement; None for no fixed number.
        broadcast: whether the bits of one message for all clients count for "each" who hears it or "once".

    Raises:
        ValueError: if the participation is outside (0, 1], or the cohort is not one of 1, ..., n.

    >>> _, world = server(200, cohort=10).at((), jnp.asarray(0), jax.random.key(0))
    >>> world.p, world.clients.shape, (world.W @ jnp.ones((10, 3))).shape
    (0.05, (10,), (1, 3))
    >>> sorted(server(8, participation=0.5).provides), sorted(server(8).provides)
    (['server'], ['fixed', 'reliable', 'server'])
    """
    everybody = isinstance(participation, int | float) and participation == 1 and participation is not True
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
