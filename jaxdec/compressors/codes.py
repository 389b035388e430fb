"""How long messages are in a code that takes fewer bits for what is frequent."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

__all__ = ["elias", "sparse"]


def elias(k: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
    """The bits of positive integers in Elias' omega code: of a number, of its length less one, of that, and so on.

    >>> elias(jnp.array([1, 2, 4, 16, 1000]))
    Array([ 1,  3,  6, 11, 17], dtype=int...)
    """
    bits = jnp.ones_like(k)
    for _ in range(4):  # enough for numbers of 64 bits
        length = jnp.iinfo(k.dtype).bits - 1 - jax.lax.clz(k)  # ⌊log2 k⌋
        bits = bits + jnp.where(k > 1, length + 1, 0)
        k = jnp.where(k > 1, length, 1)
    return bits


def sparse(levels: Float[Array, "n d"]) -> Float[Array, " n"]:
    """The bits of whole numbers with signs: of each that is not zero its distance from the one before, sign and size.

    Distances and sizes are in Elias' omega code. Trailing zeros are not sent: the receiver knows d.
    Reference: Alistarh, Grubic, Li, Tomioka, Vojnovic (2017), arXiv:1610.02132, Appendix A.2.

    >>> sparse(jnp.array([[0.0, 0.0, 4.0, -1.0, 0.0]]))  # 3, +, 4 and 1, -, 1
    Array([13.], dtype=float...)
    """
    there, places = levels != 0, jnp.arange(1, levels.shape[1] + 1)
    last = jnp.maximum.accumulate(jnp.where(there, places[None], 0), axis=1)
    before = jnp.concatenate([jnp.zeros_like(last[:, :1]), last[:, :-1]], axis=1)
    sizes = jnp.maximum(jnp.abs(levels), 1).astype(places.dtype)
    each = elias(jnp.maximum(places[None] - before, 1)) + 1 + elias(sizes)
    return jnp.sum(jnp.where(there, each, 0), axis=1).astype(levels.dtype)
