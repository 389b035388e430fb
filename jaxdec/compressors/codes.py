"""How long messages are in a code that takes fewer bits for what is frequent."""

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Array, Float, Int

from jaxdec.types import ScalarLike

__all__ = ["arithmetic", "elias", "sparse"]


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


def arithmetic(sizes: Float[Array, "n d"], most: ScalarLike) -> Float[Array, " n"]:
    """The bits of whole numbers from 0 to `most` in an adaptive arithmetic code, and a sign for each that is not 0.

    A size is coded as if its probability were (1 + how often it came before) / (most + 1 + how many came before): what
    sender and receiver both know, so that no table is sent. A message of probability P takes ⌈-log2 P⌉ + 1 bits, and P
    is a matter of how often each size is there::

        P = most! Π_k c_k! / (d + most)!

    Reference: Witten, Neal, Cleary (1987), Arithmetic coding for data compression, for the code; recalled.

    >>> arithmetic(jnp.array([[0.0, 0.0, 0.0, 1.0]]), 1)  # P = 1/2 2/3 3/4 1/5 = 1/20, and a sign
    Array([7.], dtype=float...)
    """
    d, sizes = sizes.shape[1], jnp.sort(sizes, axis=1)
    where = lambda side: jax.vmap(lambda row: jnp.searchsorted(row, row, side=side))(sizes)
    count = (where("right") - where("left")).astype(sizes.dtype)  # of each entry's size
    most = jnp.asarray(most, sizes.dtype)
    nats = gammaln(d + most + 1) - gammaln(most + 1) - jnp.sum(gammaln(count + 1) / count, axis=1)
    return jnp.ceil(nats / jnp.log(jnp.asarray(2, sizes.dtype))) + 1 + jnp.sum(sizes > 0, axis=1)
