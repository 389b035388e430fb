"""Outages: what fails in a round, of links, arcs or nodes, independently or in bursts.

A model is started with the shape of what may fail, remembers what it needs, and says of each round what fails in it.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, UInt32

from jaxdec import checks
from jaxdec._module import module
from jaxdec.types import PRNGKey, ScalarLike

__all__ = ["Block", "GilbertElliott", "Independent", "Markov", "Outages", "outages"]

# Coins are drawn for so many rounds at once where they are few: a ring of 16 then takes half the time. Of more than
# COINS together a block gains nothing, and would have to be kept.
ROUNDS, COINS = 64, 2**14


class Block(NamedTuple):
    """What is remembered: a block of rounds, so that a round draws nothing."""

    key: UInt32[Array, "..."]  # the data of the seed's key: what is stored are numbers
    failed: Bool[Array, "rounds *shape"]


class Outages:
    """What models have in common: rounds are drawn in blocks, each from the last round before it."""

    def init(self, key: PRNGKey, shape: tuple[int, ...]) -> Block:
        """Before round 0, of coins of this shape: the state before it is of the stationary law."""
        size = max(1, int(np.prod(shape)))
        rounds = min(ROUNDS, max(1, COINS // size))
        first, later = jax.random.split(key)
        return Block(jax.random.key_data(later), jnp.broadcast_to(self._coins(first, shape), (rounds, *shape)))

    def at(self, memory: Block, t: Int[Array, ""]) -> tuple[Block, Bool[Array, "*shape"]]:
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

    def check(self) -> None:
        """Raise what is wrong with the numbers."""


@module
class Independent(Outages):
    """Everything fails by itself and in every round anew.

    Args:
        probability: of failing in a round: of a message's loss, or of a node's being asleep.
    """

    probability: ScalarLike

    def rounds(self, u, before):
        return u < self.probability

    def check(self) -> None:
        checks.fraction("the probability of failing", self.probability)


@module
class GilbertElliott(Outages):
    """Everything fails in bursts, by a chain of two states: a link or a node is down or up, and stays so for a while.

    It goes down with probability p / ((1 - p) burst) and comes up with 1 / burst. It starts from its stationary law.
    The correlation of rounds t and t + 1 is 1 - 1 / ((1 - p) burst). With burst = 1 / (1 - p) it is `Independent`.

    Gilbert (1960), Capacity of a burst-noise channel; Elliott (1963): here every message is lost while a link is down.

    Args:
        probability: p, of being down in a round, in the long run.
        burst: how many rounds it stays down on average; at least 1, and at least p / (1 - p).
    """

    probability: ScalarLike
    burst: ScalarLike

    def rounds(self, u, before):
        stay, fall = 1 - 1 / self.burst, self.probability / (1 - self.probability) / self.burst

        def step(failed, u):
            failed = u < jnp.where(failed, stay, fall)
            return failed, failed

        return jax.lax.scan(step, before, u)[1]

    def check(self) -> None:
        checks.fraction("the probability of failing", self.probability)
        p, burst = np.asarray(self.probability), self.burst
        least = np.maximum(1, p / (1 - p))
        if not checks.bounded(burst, lambda burst: np.isfinite(burst) & (burst >= least * (1 - 1e-6))):
            raise ValueError(
                f"burst is how many rounds an outage lasts on average, here at least {np.max(least):.4g}: at least 1 "
                f"and p / (1 - p), else what is down with probability p={p} cannot come up often enough; got {burst}"
            )


Markov = GilbertElliott  # the same chain under its name for nodes


def outages(name: str, model: Any) -> Outages:
    """A model of outages; a number is the probability of independent ones.

    Raises:
        TypeError: if it is neither.
    """
    if isinstance(model, Outages):
        return model
    if isinstance(model, int | float | np.number | jax.Array) and not isinstance(model, bool):
        return Independent(float(model) if isinstance(model, np.number) else model)
    raise TypeError(
        f"{name} is the probability of independent outages or a model of them, such as "
        f"outages.GilbertElliott(probability=0.1, burst=5); got {model!r}"
    )
