"""Clocks: how long a node computes, so that nodes differ in speed and from one computation to the next.

How long computation c of node i takes is a function of the seed, i and c, and not of the order of events: another speed
of one node leaves what the others draw as it was, and all methods of a seed meet the same.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxdec import checks
from jaxdec._module import module
from jaxdec.types import PRNGKey, Scalar, ScalarLike

__all__ = ["Clocks", "Exponential", "Fixed", "LogNormal", "Trace", "array", "clocks"]


class Clocks:
    """What models have in common."""

    def rates(self, n: int) -> Float[Array, " n"]:
        """Computations per second in the long run, of n nodes."""
        return jnp.broadcast_to(jnp.asarray(self.rate), (n,))  # pyrefly: ignore[missing-attribute]

    def seconds(self, key: PRNGKey, i: Int[Array, ""], c: Int[Array, ""], n: int) -> Scalar:
        """How long computation c of node i takes; `key` is of the seed."""
        return self.drawn(jax.random.fold_in(jax.random.fold_in(key, i), c)) / self.rates(n)[i]

    def drawn(self, key: PRNGKey) -> Any:
        """A number of mean 1, of 32 bits whatever the run's dtype: the events of a seed are the same."""
        raise NotImplementedError

    def check(self, n: int) -> None:
        """Raise what is wrong with the numbers."""
        checks.speeds("a node's speed, in computations per second,", self.rate, n)  # pyrefly: ignore[missing-attribute]


@module
class Fixed(Clocks):
    """Every computation of node i takes 1 / rate_i seconds."""

    rate: ScalarLike | Float[Array | np.ndarray, " n"]

    def drawn(self, key):
        return 1


@module
class Exponential(Clocks):
    """Computations take exponential times of mean 1 / rate_i: the events of a node are a Poisson process."""

    rate: ScalarLike | Float[Array | np.ndarray, " n"]

    def drawn(self, key):
        return jax.random.exponential(key, (), jnp.float32).astype(jnp.result_type(self.rate, jnp.float32))


@module
class LogNormal(Clocks):
    """Computations take log-normal times of mean 1 / rate_i, whose logarithm has the standard deviation `spread`."""

    rate: ScalarLike | Float[Array | np.ndarray, " n"]
    spread: ScalarLike = 0.5

    def drawn(self, key):
        z = jax.random.normal(key, (), jnp.float32).astype(jnp.result_type(self.rate, jnp.float32))
        return jnp.exp(self.spread * z - jnp.square(self.spread) / 2)

    def check(self, n: int) -> None:
        super().check(n)
        checks.weight("spread", self.spread, "a standard deviation")


@module
class Trace(Clocks):
    """Computation c of node i takes `times`[i, c] seconds, as was measured; after the last comes the first again."""

    times: Float[Array | np.ndarray, "n count"]

    def rates(self, n: int):
        return 1 / jnp.mean(jnp.asarray(self.times), axis=1)

    def seconds(self, key, i, c, n: int):
        return jnp.asarray(self.times)[i, c % self.times.shape[1]]

    def check(self, n: int) -> None:
        times = np.asarray(self.times)
        if times.ndim != 2 or times.shape[0] != n or not times.size:
            raise ValueError(
                f"a trace has the times of the computations of each node, ({n}, count) for {n} nodes; got an array of "
                f"shape {times.shape}"
            )
        checks.speeds("a time of a trace, in seconds,", times, n)


def clocks(speed: Any) -> Clocks:
    """A model of clocks; numbers are fixed speeds.

    Raises:
        TypeError: if it is neither.
    """
    if isinstance(speed, Clocks):
        lists: Any = {
            name: array(name, value) for name, value in vars(speed).items() if isinstance(value, list | tuple)
        }
        model: Any = speed
        return dataclasses.replace(model, **lists)
    if isinstance(speed, list | tuple | np.number):
        return Fixed(array("speed", speed))
    if isinstance(speed, int | float | np.ndarray | jax.Array) and not isinstance(speed, bool):
        return Fixed(speed)
    raise TypeError(
        "speed is how many computations a node ends in a second, a number or one for each node, or a model of it, such "
        f"as clocks.Exponential(rate=1.0); got {speed!r}"
    )


def array(name: str, numbers: Any) -> np.ndarray:
    """Numbers that are given in a list.

    Raises:
        ValueError: if they are none, or rows of different lengths.
    """
    try:
        return np.asarray(numbers, float)
    except (ValueError, TypeError):
        raise ValueError(f"{name} is a list of numbers, or of rows of equally many; got {numbers!r}") from None
