"""Outages: what fails in a round, of links, arcs or nodes, independently, in bursts, in turn, or as it was observed.

A model is started with the shape of what may fail, remembers what it needs, and says of each round what fails in it.
"""

import dataclasses
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree, UInt32

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.networks import counts
from jaxdec.types import PRNGKey, ScalarLike

__all__ = ["AtLeast", "Block", "Cyclic", "GilbertElliott", "Independent", "Markov", "Outages", "Poisson", "Trace"]
__all__ += ["outages"]

# Coins are drawn for so many rounds at once where they are few: a ring of 16 then takes half the time. Of more than
# COINS together a block gains nothing, and would have to be kept.
ROUNDS, COINS = 64, 2**14

Failing: TypeAlias = Literal["node", "link", "arc"]  # what fails


class Block(NamedTuple):
    """What is remembered: a block of rounds, so that a round draws nothing."""

    key: UInt32[Array, "..."]  # the data of the seed's key: what is stored are numbers
    failed: Bool[Array, "rounds *shape"]


class Outages:
    """What models have in common: rounds are drawn in blocks, each from the last round before it."""

    of_nodes: ClassVar[bool] = False  # whether it is a model of nodes alone

    @property
    def lasts(self) -> int | None:
        """For how many rounds it says what fails; None for all."""
        return None

    def init(self, key: PRNGKey, shape: tuple[int, ...]) -> Any:
        """Before round 0, of coins of this shape: the state before it is of the stationary law."""
        size = max(1, int(np.prod(shape)))
        rounds = min(ROUNDS, max(1, COINS // size))
        first, later = jax.random.split(key)
        return Block(jax.random.key_data(later), jnp.broadcast_to(self._coins(first, shape), (rounds, *shape)))

    def at(self, memory: Any, t: Int[Array, ""]) -> tuple[Any, Bool[Array, "*shape"]]:
        """What is remembered after round t, and what fails in it."""
        rounds = memory.failed.shape[0]

        def drawn(failed):
            key = jax.random.fold_in(jax.random.wrap_key_data(memory.key), t)
            # Of 32 bits whatever the run's dtype: the failures of a seed are the same.
            return self.rounds(jax.random.uniform(key, failed.shape, jnp.float32), failed[-1])

        failed = memory.failed
        failed = drawn(failed) if rounds == 1 else jax.lax.cond(t % rounds == 0, drawn, lambda a: a, failed)
        return memory._replace(failed=failed), jax.lax.dynamic_index_in_dim(failed, t % rounds, keepdims=False)

    def _coins(self, key: PRNGKey, shape: tuple[int, ...]):
        return jax.random.uniform(key, shape, jnp.float32) < self.probability  # pyrefly: ignore[missing-attribute]

    def rounds(self, u: Any, before: Any) -> Any:
        """What fails in each of some rounds, from uniform numbers (rounds, ...) and what failed in the last before."""
        raise NotImplementedError

    def shares(self, memory: PyTree, n: int, w: Float[Array, " n1"] | None = None, *, some: bool = False) -> Any:
        """The probability that a node is awake and takes part in a round, of all nodes or of each, (n,).

        Args:
            memory: before round 0.
            n: nodes.
            w: the probability that one who is awake takes part if c are awake, (n + 1,), c = 0, ..., n; None means 1.
            some: whether it is that given that somebody is awake.
        """
        awake = 1 - self.probability  # pyrefly: ignore[missing-attribute]
        return counts.shares(awake, n, w) if some else awake

    def check(self, n: int, of: Failing) -> None:
        """Raise what is wrong with the numbers, for what fails on a network of n nodes."""
        if self.of_nodes and of != "node":
            raise ValueError(
                f"outages.{type(self).__name__} is of nodes that sleep; for messages that are lost take a probability, "
                "outages.GilbertElliott(probability=0.1, burst=5) or outages.Trace(failed)"
            )


@module
class Independent(Outages):
    """Everything fails by itself and in every round anew.

    Args:
        probability: of failing in a round: of a message's loss, or of a node's being asleep; of nodes it may be that of
            each, (n,).
    """

    probability: ScalarLike | Float[Array | np.ndarray, " n"]

    def rounds(self, u, before):
        return u < _along(jnp.asarray(self.probability), u)

    def check(self, n: int, of: Failing) -> None:
        _fraction(self.probability, n, of)


@module
class GilbertElliott(Outages):
    """Everything fails in bursts, by a chain of two states: a link or a node is down or up, and stays so for a while.

    It goes down with probability p / ((1 - p) burst) and comes up with 1 / burst. It starts from its stationary law.
    The correlation of rounds t and t + 1 is 1 - 1 / ((1 - p) burst). With burst = 1 / (1 - p) it is `Independent`.

    Gilbert (1960), Capacity of a burst-noise channel; Elliott (1963): here every message is lost while a link is down.

    Args:
        probability: p, of being down in a round, in the long run; of nodes it may be that of each, (n,).
        burst: how many rounds it stays down on average; at least 1, and at least p / (1 - p). Likewise.
    """

    probability: ScalarLike | Float[Array | np.ndarray, " n"]
    burst: ScalarLike | Float[Array | np.ndarray, " n"]

    def rounds(self, u, before):
        p, burst = (jnp.asarray(a, u.dtype) for a in (self.probability, self.burst))
        stay, fall = 1 - 1 / burst, p / (1 - p) / burst

        def step(failed, u):
            failed = u < jnp.where(failed, stay, fall)
            return failed, failed

        return jax.lax.scan(step, before, u)[1]

    def check(self, n: int, of: Failing) -> None:
        _fraction(self.probability, n, of)
        _each("burst", self.burst, n, of)
        p, burst = np.asarray(self.probability), self.burst
        least = np.maximum(1, p / (1 - p))
        if not checks.bounded(burst, lambda burst: np.isfinite(burst) & (burst >= least * (1 - 1e-6))):
            raise ValueError(
                f"burst is how many rounds an outage lasts on average, here at least {np.max(least):.4g}: at least 1 "
                f"and p / (1 - p), else what is down with probability p={p} cannot come up often enough; got {burst}"
            )


Markov = GilbertElliott  # the same chain under its name for nodes


@module
class Poisson(Outages):
    """A node is awake in a round in which something arrives: at least one event of its Poisson process falls in it.

    It is `Independent`, asleep with probability exp(-rate).

    Args:
        rate: how many events there are in a round on average, for all nodes or for each, (n,).
    """

    of_nodes: ClassVar[bool] = True
    rate: ScalarLike | Float[Array | np.ndarray, " n"]

    @property
    def probability(self):
        """Of being asleep."""
        return jnp.exp(-jnp.asarray(self.rate))

    def rounds(self, u, before):
        return u < _along(jnp.exp(-jnp.asarray(self.rate, u.dtype)), u)

    def check(self, n: int, of: Failing) -> None:
        super().check(n, of)
        checks.speeds("the rate of arrivals, in events per round,", self.rate, n)


@module
class AtLeast(Outages):
    """Nodes sleep independently, given that at least k of them are awake: as if others were drawn again.

    Node after node is awake with its probability given who was before: exactly that law, in every round anew. Other
    models have none here: what is a burst given that k are awake depends on all rounds at once.

    Args:
        k: how many are awake at least, 1 to n.
        probability: of being asleep, if k were 0; of all nodes or of each, (n,).
    """

    of_nodes: ClassVar[bool] = True
    k: int = static()
    probability: ScalarLike | Float[Array | np.ndarray, " n"]

    def rounds(self, u, before):
        n = u.shape[-1]
        awake = 1 - jnp.broadcast_to(jnp.asarray(self.probability, u.dtype), (n,))
        tail = counts.tails(awake, self.k)

        def node(need, now):
            u, a, i, here, later = now
            # Of those who are awake in the node's place, as many as leave enough to the nodes after it.
            up = (need >= n - i) | (u < a * later[jnp.maximum(need - 1, 0)] / here[need])
            return jnp.where(up, jnp.maximum(need - 1, 0), need), ~up

        nodes = (jnp.moveaxis(u, -1, 0), awake, jnp.arange(n), tail[:-1], tail[1:])
        return jnp.moveaxis(jax.lax.scan(node, jnp.full(u.shape[:-1], self.k), nodes)[1], 0, -1)

    def shares(self, memory, n, w=None, *, some=False):
        return counts.shares(1 - jnp.asarray(self.probability), n, w, self.k)

    def check(self, n: int, of: Failing) -> None:
        super().check(n, of)
        checks.integer("k, how many nodes are awake at least,", self.k)
        if self.k > n:
            raise ValueError(f"at least k={self.k} nodes cannot be awake of n={n}; take k from 1 to {n}")
        if isinstance(self.probability, Outages):
            raise ValueError(
                "outages.AtLeast is of nodes that sleep independently: give the probability of being asleep, and not "
                f"{type(self.probability).__name__}, which has no law of its own given that k are awake"
            )
        _fraction(self.probability, n, of)


@module
class Cyclic(Outages):
    """A node is awake in the first rounds of every period, and sleeps in the others: round t is t + offset for it.

    Args:
        period: how many rounds there are in a period.
        awake: in how many of them a node is awake, 1 to `period`.
        offset: by how many rounds a node is ahead, an integer for all or for each, (n,); None draws each of them from
            0, ..., period - 1 for every seed.
    """

    of_nodes: ClassVar[bool] = True
    period: int = static()
    awake: int = static()
    offset: Any = None

    def init(self, key, shape):
        if self.offset is None:
            return jax.random.randint(key, shape, 0, self.period, jnp.int32)
        return jnp.broadcast_to(jnp.asarray(self.offset).astype(jnp.int32) % self.period, shape)

    def at(self, memory, t):
        return memory, (t % self.period + memory) % self.period >= self.awake

    def shares(self, memory, n, w=None, *, some=False):
        asleep = jax.vmap(lambda t: self.at(memory, t)[1])(jnp.arange(self.period))
        return _observed(asleep, w, some)

    def check(self, n: int, of: Failing) -> None:
        super().check(n, of)
        checks.integer("the period, in rounds,", self.period, most=2**30)
        checks.integer("the rounds of a period in which a node is awake", self.awake)
        if self.awake > self.period:
            raise ValueError(
                f"awake={self.awake} rounds of a period of {self.period} cannot be: take awake from 1 to {self.period}"
            )
        if self.offset is None:
            return
        _each("offset", self.offset, n, of)
        if not checks.bounded(self.offset, lambda a: (a == np.round(a)) & (np.abs(a) < 2**24)):
            raise ValueError(f"offset is an integer for all nodes, or one for each; got {self.offset}")


@module
class Trace(Outages):
    """What failed in round t as it was observed, or as it is to be.

    Args:
        failed: of nodes (T, n): whether node i is asleep in round t. Of messages (T, n, n): whether what node i is sent
            by node j is lost, indexed as W; what it says of pairs without a link does not matter. Where a link fails
            both ways, under the rule "link", each of the T matrices is symmetric.
        repeat: whether after the last round comes the first again; if not, a run has at most T rounds.
    """

    failed: Bool[Array | np.ndarray, "rounds *shape"]
    repeat: bool = static(default=False)

    @property
    def lasts(self) -> int | None:
        return None if self.repeat else np.shape(self.failed)[0]

    def init(self, key, shape):
        return ()

    def at(self, memory, t):
        failed = jnp.asarray(self.failed)
        return memory, failed[t % failed.shape[0]]

    def shares(self, memory, n, w=None, *, some=False):
        return _observed(jnp.asarray(self.failed), w, some)

    def check(self, n: int, of: Failing) -> None:
        failed = np.asarray(self.failed)
        shape = failed.shape
        expected = (n,) if of == "node" else (n, n)
        if len(shape) != 1 + len(expected) or shape[1:] != expected or shape[0] == 0:
            told = {"node": "whether a node is asleep", "link": "whether what i is sent by j is lost"}
            raise ValueError(
                f"a trace says of each of T rounds {told.get(of, told['link'])}, (T, {', '.join(map(str, expected))}) "
                f"for {n} nodes; got an array of shape {shape}"
            )
        if failed.dtype.kind != "b":
            raise ValueError(f"a trace is an array of True and False, or of 1 and 0; got one of {failed.dtype}")
        if of == "link" and not np.array_equal(failed, failed.swapaxes(1, 2)):
            raise ValueError(
                'under the rule "link" a link fails both ways, and this trace is not symmetric; take failed | '
                'failed.swapaxes(1, 2), or another rule, such as "sender"'
            )


def _observed(asleep: Bool[Array, "rounds n"], w: Any, some: bool) -> Float[Array, " n"]:
    """The shares of the rounds of a trace, see `Outages.shares`."""
    awake = ~asleep
    many = jnp.sum(awake, axis=1)
    part = awake if w is None else awake * w[many][:, None]
    rounds = jnp.maximum(1, jnp.sum(many > 0)) if some else len(asleep)
    return jnp.sum(part, axis=0) / rounds


def _along(p: Any, u: Any) -> Any:
    """Numbers of all or of each, (n,), to compare (rounds, n) with."""
    return p.reshape(*(1,) * (u.ndim - p.ndim), *p.shape)


def _fraction(probability: Any, n: int, of: Failing) -> None:
    checks.fraction("the probability of failing", probability)
    _each("the probability of failing", probability, n, of)


def _each(name: str, value: Any, n: int, of: Failing) -> None:
    """Refuse what is neither one number nor, of nodes, one for each."""
    shape = np.shape(value)
    if shape and (of != "node" or shape != (n,)):
        each = f", or one for each of {n} nodes" if of == "node" else f" for all {of}s"
        raise ValueError(f"{name} is one number{each}; got an array of shape {shape}")


def outages(name: str, model: Any) -> Outages:
    """A model of outages; a number is the probability of independent ones.

    Raises:
        TypeError: if it is neither.
    """
    if isinstance(model, Outages):
        given: Any = model
        lists = {k: _array(k, v) for k, v in vars(model).items() if k == "failed" or isinstance(v, list | tuple)}
        return dataclasses.replace(given, **lists)
    if isinstance(model, list | tuple):
        return Independent(_array(name, model))
    if isinstance(model, int | float | np.number | np.ndarray | jax.Array) and not isinstance(model, bool):
        return Independent(float(model) if isinstance(model, np.number) else model)
    raise TypeError(
        f"{name} is the probability of independent outages or a model of them, such as "
        f"outages.GilbertElliott(probability=0.1, burst=5); got {model!r}"
    )


def _array(name: str, given: Any) -> Any:
    """Numbers or truth values that are given in a list; the truth values of a trace that are given as 1 and 0."""
    try:
        found = given if isinstance(given, np.ndarray | jax.Array) else np.asarray(given)
    except ValueError:
        raise ValueError(f"{name} is a list of numbers, or of rows of equally many; got {given!r}") from None
    binary = name == "failed" and np.issubdtype(found.dtype, np.number) and bool(np.all((found == 0) | (found == 1)))
    return found.astype(bool) if binary else found
