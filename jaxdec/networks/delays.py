"""Delays: how many rounds a message is on its way, by a law for each arc.

A message that is 0 rounds on its way arrives in the round in which it is sent, as all do without delays. No network
sees what is sent: these are for `algorithms.delayed`.
"""

from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.networks.arcs import Arcs
from jaxdec.types import PRNGKey, ScalarLike

__all__ = ["Bandwidth", "Constant", "Delays", "Uniform", "delays"]


class Delays:
    """What laws have in common."""

    by_bits: ClassVar[bool] = False  # whether longer messages take longer

    @property
    def by_arc(self) -> bool:
        """Whether what is drawn is drawn once for each arc."""
        return False

    def of(self, arcs: Arcs, keys: UInt32[Array, "n ..."], key: PRNGKey, bits: int) -> Int[Array, "n k"]:
        """How many rounds the messages of this round take.

        Args:
            arcs: those of W.
            keys: for a law `by_arc`, the data of a key for each node, the same in all rounds of a seed.
            key: of the round.
            bits: the length of a message.
        """
        raise NotImplementedError

    def longest(self, bits: int) -> int:
        """The most rounds that a message of so many bits may take, on the host."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise what is wrong with the numbers."""


@module
class Constant(Delays):
    """All messages of an arc take as many rounds.

    Args:
        rounds: of all arcs, or (n, n): of what node i hears of j in row i and column j.
    """

    rounds: ScalarLike | Float[Array | np.ndarray, "n n"]

    def of(self, arcs, keys, key, bits):
        return jnp.rint(_on(arcs, self.rounds)).astype(int)

    def longest(self, bits):
        return int(np.max(np.asarray(self.rounds)))

    def check(self):
        _whole("Constant.rounds", self.rounds)


@module
class Uniform(Delays):
    """Delays are drawn uniformly from the whole numbers from `least` to `most`.

    Args:
        least: at least 0.
        most: at least `least`.
        per: "arc": once for each arc, so that all of its messages take as many rounds; each way of a link has its own.
            "message": anew for each message, so that one may overtake another.
    """

    least: ScalarLike
    most: ScalarLike
    per: Literal["arc", "message"] = static(default="arc")

    @property
    def by_arc(self):
        return self.per == "arc"

    def of(self, arcs, keys, key, bits):
        # Of 32 bits whatever the run's dtype: the delays of a seed are the same.
        one = lambda key: jax.random.uniform(key, (), jnp.float32)
        if self.per == "arc":  # by node and sender, and so whatever the order of a node's slots
            of = lambda key, sender: one(jax.random.fold_in(jax.random.wrap_key_data(key), sender))
            u = jax.vmap(jax.vmap(of, (None, 0)))(keys, jnp.asarray(arcs.sender))
        else:
            u = jax.random.uniform(key, arcs.weight.shape, jnp.float32)
        return jnp.minimum(self.least + jnp.floor(u * (self.most - self.least + 1)), self.most).astype(int)

    def longest(self, bits):
        return int(np.max(np.asarray(self.most)))

    def check(self):
        checks.choice("Uniform.per", self.per, ("arc", "message"))
        _whole("Uniform.least", self.least)
        _whole("Uniform.most", self.most)
        if np.any(np.asarray(self.least) > np.asarray(self.most)):
            raise ValueError(f"Uniform.least is at most Uniform.most; got {self.least} and {self.most}")


@module
class Bandwidth(Delays):
    """Longer messages take longer: ceil(latency + bits / bandwidth) rounds.

    Where that is less than 1e-5 above a whole number it is that number, so that it is the same in every precision.

    Args:
        bandwidth: how many bits go over an arc in a round: one number, or (n, n) for what row i hears of column j.
        latency: of a message without length, in rounds, one number or (n, n).
    """

    by_bits: ClassVar[bool] = True
    bandwidth: ScalarLike | Float[Array | np.ndarray, "n n"]
    latency: ScalarLike | Float[Array | np.ndarray, "n n"] = 0.0

    def of(self, arcs, keys, key, bits):
        taken = _on(arcs, self.latency) + bits / _on(arcs, self.bandwidth)
        return jnp.ceil(taken - 1e-5).astype(int)

    def longest(self, bits):
        return int(np.max(np.ceil(np.asarray(self.latency) + bits / np.asarray(self.bandwidth) - 1e-5)))

    def check(self):
        checks.weight("Bandwidth.latency", self.latency, "how many rounds a message without length takes")
        if not checks.bounded(self.bandwidth, lambda a: np.isfinite(a) & (a > 0)):
            raise ValueError(
                f"Bandwidth.bandwidth is how many bits go over an arc in a round, positive; got {self.bandwidth}"
            )


def delays(delay: Any) -> Delays:
    """A law of delays; numbers are of messages that always take as many rounds.

    Raises:
        TypeError: if it is neither.
        ValueError: if its numbers are wrong.
    """
    if isinstance(delay, list | tuple):
        delay = np.asarray(delay, float)
    if isinstance(delay, int | float | np.number | np.ndarray | jax.Array) and not isinstance(delay, bool):
        delay = Constant(float(delay) if isinstance(delay, np.number) else delay)
    if not isinstance(delay, Delays):
        raise TypeError(
            "delay is how many rounds messages take, a number or (n, n) of them, or a law, such as "
            f"delays.Uniform(least=0, most=3); got {delay!r}"
        )
    delay.check()
    return delay


def _on(arcs: Arcs, numbers: Any) -> Any:
    """On arcs, (n, k), numbers of all of them or of pairs of nodes."""
    n = arcs.weight.shape[0]
    if jnp.ndim(numbers) == 0:
        return jnp.broadcast_to(numbers, arcs.weight.shape)
    return jnp.asarray(numbers)[np.arange(n)[:, None], arcs.sender]


def _whole(name: str, value: Any) -> None:
    if not checks.bounded(value, lambda a: np.isfinite(a) & (a >= 0) & (a == np.round(a))):
        raise ValueError(f"{name} is a whole number of rounds, at least 0; got {value}")
