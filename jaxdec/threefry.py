"""The random bits of JAX's default generator, computed on a CPU without a loop over their rounds.

JAX lowers threefry2x32 for CPUs as a loop over whole arrays, which is quick to compile and reads and writes all bits
five times. Written out the rounds are one pass. Bits are equal in every use.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import random
from jaxtyping import Array, UInt32

__all__ = ["FEW", "unrolled"]

# Numbers, below which a loop is as fast and is compiled sooner.
FEW = 1024

_ROTATIONS = (13, 15, 26, 6), (17, 29, 16, 24)
_PARITY = 0x1BD11BDA


def unrolled(key: Any) -> Any:
    """The same key, for draws that are written out where that pays; another generator's key, as it is.

    >>> key = jax.random.key(3)
    >>> bool(jnp.all(jax.random.normal(unrolled(key), (64, 64)) == jax.random.normal(key, (64, 64))))
    True
    """
    if jax.default_backend() != "cpu" or not jax.config.jax_threefry_partitionable:  # type: ignore[attr-defined]
        return key
    if jax.random.key_impl(key) != "threefry2x32":
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=_IMPLEMENTATION)


def _bits(key: UInt32[Array, "2"], width: int, shape: Sequence[int]) -> Array:
    size = math.prod(shape)
    if width != 32 or not FEW <= size < 2**32:
        return random.threefry_prng_impl.random_bits(key, width, shape)
    first, second = _hashed(key, jnp.uint32(0), lax.iota(jnp.uint32, size))
    return (first ^ second).reshape(shape)


def _hashed(key: Any, first: Any, second: Any) -> tuple[Array, Array]:
    """Threefry-2x32 with 20 rounds: Salmon, Moraes, Dror, Shaw (2011), doi:10.1145/2063384.2063405."""
    words = key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(_PARITY)
    first, second = first + words[0], second + words[1]
    for k in range(5):
        for turn in _ROTATIONS[k % 2]:
            first = first + second
            second = first ^ ((second << turn) | (second >> (32 - turn)))
        first, second = first + words[(k + 1) % 3], second + words[(k + 2) % 3] + jnp.uint32(k + 1)
    return first, second


_JAX = random.threefry_prng_impl
_IMPLEMENTATION = random.define_prng_impl(
    key_shape=_JAX.key_shape,
    seed=_JAX.seed,
    split=_JAX.split,
    random_bits=_bits,
    fold_in=_JAX.fold_in,
    name="threefry2x32_unrolled",
    tag="fryu",
)
