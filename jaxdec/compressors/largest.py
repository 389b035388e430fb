"""Which entries of a row are its k largest, on a CPU by bisection where that takes less than sorting."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

__all__ = ["largest"]


def largest(score: Float[Array, "n d"], k: int) -> Bool[Array, "n d"]:
    """The k largest entries of each row, exactly k of them; of equal ones the first.

    Scores are at least 0: their bits, read as an integer, are then in the order of the numbers.
    """
    d = score.shape[1]
    if jax.default_backend() == "cpu" and (score.dtype == jnp.float64 or (d >= 1000 and 12 * k >= d)):
        return _by_bisection(score, k)
    rows = jnp.arange(score.shape[0])[:, None]
    return jnp.zeros(score.shape, bool).at[rows, jax.lax.top_k(score, k)[1]].set(True)


def _by_bisection(score: Float[Array, "n d"], k: int) -> Bool[Array, "n d"]:
    """The k-th largest, one bit after another, and then the place up to which those equal to it are among the k.

    Of 20 rows of 7850 it takes 0.45 times as long as `top_k` for a tenth of them in float32, and a tenth in float64.
    """
    width = jnp.finfo(score.dtype).bits
    bits = jax.lax.bitcast_convert_type(score, jnp.dtype(f"uint{width}"))
    start = jnp.zeros((len(bits), 1), bits.dtype)
    value = _greatest(lambda least: _count(bits >= least) >= k, start, width - 1)  # whose sign is 0
    above, equal = bits > value, bits == value
    place = jnp.arange(score.shape[1], dtype=jnp.int32)[None]
    fits = lambda end: _count(equal & (place < end)) <= k - _count(above)
    end = _greatest(fits, jnp.zeros((len(bits), 1), jnp.int32), score.shape[1].bit_length())
    return above | (equal & (place < end))


def _greatest(holds, start: Array, width: int) -> Array:
    """The greatest integers of so many bits for which it holds, as it does for 0 and for all that are less."""

    def with_bit(b, found):
        larger = found | jnp.left_shift(jnp.asarray(1, start.dtype), jnp.asarray(width - 1 - b, start.dtype))
        return jnp.where(holds(larger), larger, found)

    return jax.lax.fori_loop(0, width, with_bit, start)


def _count(which: Bool[Array, "n d"]) -> Array:
    return jnp.sum(which, axis=1, keepdims=True, dtype=jnp.int32)
