"""A server and its n clients, of whom everybody takes part in a round, each with a probability, or a cohort.

`r.W @ x` is then the mean over those who take part, a (1, d) array: the server's. With a cohort of m, `r.clients` are
their indices and x has their m rows, so that 10 of 200 clients cost as much as 10; without, x has all n rows. Of the
rows those absent are ignored. What a method does with a round is in `types.Round`.
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.networks.selection import BySize, Selection, Uniform
from jaxdec.networks.selection import selection as _selection
from jaxdec.types import PRNGKey, ScalarLike, World

__all__ = ["Mean", "Server", "server"]


@module
class Mean:
    """The mean over those who take part, W = 1_S'/|S|, one row: (n, ...) to (1, ...), or (m, ...) to (1, ...)."""

    n: int = static()
    active: Bool[Array, " n"] | None = None  # None means all rows that come
    weight: Float[Array, " n"] | None = None  # up to a factor, where they do not weigh the same; 0 where not active

    def __matmul__(self, x: Float[Array, "n *d"]) -> Float[Array, "1 *d"]:
        if self.active is None:
            return jnp.mean(x, axis=0, keepdims=True)
        among = lambda a: a.reshape(-1, *(1,) * (x.ndim - 1))
        if self.weight is not None:
            w = (self.weight / jnp.sum(self.weight)).astype(x.dtype)
            return jnp.sum(jnp.where(among(self.active), among(w) * x, 0), axis=0, keepdims=True)
        several = jnp.maximum(1, jnp.sum(self.active, dtype=x.dtype))  # where nobody takes part it is 0
        return jnp.sum(jnp.where(among(self.active), x, 0), axis=0, keepdims=True) / several

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
    selection: Selection = Uniform()  # of a cohort

    @property
    def provides(self) -> frozenset[str]:
        everybody = self.participation is None and self.cohort is None
        return frozenset({"server", "fixed", "reliable"} if everybody else {"server"})

    def init(self, key: PRNGKey) -> PyTree:
        return () if self.cohort is None else self.selection.init(key, self.n, self.cohort)

    def at(self, memory: PyTree, t: Int[Array, ""], key: PRNGKey) -> tuple[PyTree, World]:
        """The mean over those who take part in round t; a cohort's indices are in increasing order."""
        return self.among(memory, key)

    def among(self, memory: PyTree, key: PRNGKey, awake: Bool[Array, " n"] | None = None) -> tuple[PyTree, World]:
        """The same, of those who are awake: coins of theirs, not all of which fail, or as many as there are up to m.

        Who takes part is as it would be with everybody awake where everybody is. `World.p` is that of everybody awake.
        """
        if self.cohort is not None:
            memory, found = self.selection.chosen(memory, key, self.n, self.cohort, awake)
            W, weighted = Mean(self.cohort, found.active, found.weight), found.weight is not None
            several = {"active": found.active, "clients": found.clients, "p": found.p, "weighted": weighted}
            return memory, World(W, once=self.once, **several)
        if self.participation is not None:
            p = jnp.asarray(self.participation)
            active = _some(key, self.n, p, awake)
            return memory, World(Mean(self.n, active), active, p=_present(p, self.n), once=self.once)
        return memory, World(Mean(self.n, awake), awake, once=self.once)

    def chances(self) -> Any:
        """With what probability one who is awake takes part if c are, (n + 1,), c = 0, ..., n; None: they all do."""
        c = jnp.maximum(1, jnp.arange(self.n + 1))
        if self.cohort is not None:
            return jnp.minimum(1, self.cohort / c)
        return None if self.participation is None else _present(jnp.asarray(self.participation), c)

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
            self.selection.check(self.n, self.cohort)
        elif not isinstance(self.selection, Uniform):
            raise ValueError(
                f"selection={self.selection} is of a cohort: pass cohort, how many clients take part in a round"
            )


def server(
    n: int,
    *,
    participation: float = 1.0,
    cohort: int | None = None,
    selection: Any = "uniform",
    broadcast: Literal["each", "once"] = "each",
) -> Server:
    """A server and n clients, of whom everybody or some take part in a round.

    Args:
        n: the number of clients.
        participation: p, the probability with which each client takes part, independently; a round in which nobody
            would is drawn again, so that a client takes part with probability p / (1 - (1 - p)^n), which is the p that
            methods divide by. 1 means that everybody does.
        cohort: how many clients take part in each round; None for no fixed number.
        selection: who is in a cohort: "uniform", all subsets being equally likely; "round robin", the clients in turn;
            or one of `networks.selection`, such as BySize(sizes). By their losses: `algorithms.PowerOfChoice`.
        broadcast: whether the bits of one message for all clients count for "each" who hears it or "once".

    Raises:
        TypeError: if the selection is none.
        ValueError: if the participation is outside (0, 1], the cohort is not one of 1, ..., n, or the selection is not
            of a cohort or has not n sizes.

    >>> _, world = server(200, cohort=10).at((), jnp.asarray(0), jax.random.key(0))
    >>> world.p, world.clients.shape, (world.W @ jnp.ones((10, 3))).shape
    (0.05, (10,), (1, 3))
    >>> sorted(server(8, participation=0.5).provides), sorted(server(8).provides)
    (['server'], ['fixed', 'reliable', 'server'])
    """
    everybody = isinstance(participation, int | float) and participation == 1 and participation is not True
    checks.choice("broadcast", broadcast, ("each", "once"))
    network = Server(n, None if everybody else participation, cohort, broadcast == "once", _selection(selection))
    network.check()
    replaced = isinstance(network.selection, BySize) and network.selection.replace
    if cohort != n or replaced:
        return network
    return dataclasses.replace(network, cohort=None, selection=Uniform())


def _present(p: Array, n: Any) -> Array:
    """The probability of a coin of n, given that not all fail."""
    return p / -jnp.expm1(n * jnp.log1p(-p))


def _some(key: PRNGKey, n: int, p: Array, awake: Bool[Array, " n"] | None = None) -> Bool[Array, " n"]:
    """Independent coins of probability p, given that not all fail: exactly the law of drawing until one succeeds.

    The first success is at k with probability p (1 - p)^k / (1 - (1 - p)^n), by inversion; later coins are free. Of
    those who are awake it is the k-th, and n is their number.
    """
    key_first, key_later = jax.random.split(key)
    failure = jnp.log1p(-p)
    u = jax.random.uniform(key_first, (), p.dtype)
    several = n if awake is None else jnp.sum(awake)
    first = jnp.floor(jnp.log1p(u * jnp.expm1(several * failure)) / failure)
    client = jnp.arange(n) if awake is None else jnp.cumsum(awake) - 1
    first = jnp.clip(first, 0, jnp.maximum(0, several - 1)).astype(client.dtype)
    found = (client == first) | (client > first) & jax.random.bernoulli(key_later, p, (n,))
    return found if awake is None else found & awake
