"""What the loop draws and makes of a round, made by hand: keys, rounds, and who takes part."""

from functools import cache
from typing import Any
from zlib import crc32

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec.loop import Keys
from jaxdec.types import Round


def fold(key: Any, name: str) -> Any:
    """The key of a round for a purpose, as `Round.fold` makes it."""
    return jax.random.fold_in(key, crc32(name.encode()))


def keys(seed: int) -> Keys:
    """The streams of a seed."""
    return Keys.of(seed)


def keys_of(streams: Keys, t: Any) -> Any:
    """The keys of the network and of the step in round t."""
    return jax.random.split(jax.random.fold_in(streams.rounds, t))


def round_of(network: Any, n: int, t: Any = 0, *, key: Any = None, key_data: Any = None, dtype: Any = float) -> Round:
    """Round t of a network without memory: its world is drawn with `key`, which is also that of the step."""
    key = jax.random.key(0) if key is None else key
    _, world = network.at(network.init(key), jnp.asarray(t), key)
    return Round(n, jnp.dtype(dtype), jnp.asarray(t), key if key_data is None else key_data, key, **world._asdict())


def present(network: Any, n: int, t: Any, key: Any) -> Any:
    """Who takes part in round t, (n,)."""
    _, world = network.at(network.init(key), jnp.asarray(t), key)
    if world.clients is not None:
        return jnp.zeros(n, bool).at[world.clients].set(True)
    return jnp.ones(n, bool) if world.active is None else world.active


@cache
def presence(network: Any, n: int, seed: int, count: int) -> np.ndarray:
    """Who takes part in the first rounds of a run, (count, n)."""
    streams = keys(seed)
    at = lambda t: present(network, n, t, keys_of(streams, t)[0])
    return np.asarray(jax.jit(jax.vmap(at))(jnp.arange(count)))
