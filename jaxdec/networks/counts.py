"""How many of some nodes are awake, and with what probability a node takes part: laws of independent coins.

They are computed once for a run, in 32 bits whatever its dtype: the failures of a seed are the same.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

__all__ = ["binomial", "inclusion", "shares", "tails"]


def tails(a: Float[Array, " n"], k: int) -> Float[Array, "n1 k1"]:
    """P(at least j of the nodes i, ..., n - 1 are awake), (n + 1, k + 1), of awake with probability a_i.

    >>> tails(jnp.array([0.5, 0.5]), 1)
    Array([[1.  , 0.75],
           [1.  , 0.5 ],
           [1.  , 0.  ]], dtype=float32)
    """
    none = jnp.zeros(k + 1, jnp.float32).at[0].set(1)

    def with_node(later, a):
        found = a * jnp.concatenate([later[:1], later[:-1]]) + (1 - a) * later
        return found, found

    rows = jax.lax.scan(with_node, none, a.astype(jnp.float32), reverse=True)[1]
    return jnp.concatenate([rows, none[None]])


def binomial(n: int, a: Any) -> Float[Array, " n1"]:
    """P(A = 0), ..., P(A = n) of the number A of n nodes that are awake, each with probability 0 < a < 1.

    It goes from the mode outwards, so that in 32 bits it is right for many nodes too.
    """
    a = jnp.asarray(a, jnp.float32)
    c = jnp.arange(n, dtype=jnp.float32)
    ratio = jnp.log((n - c) / (c + 1)) + jnp.log(a) - jnp.log1p(-a)  # of P(A = c + 1) to P(A = c)
    above = jnp.cumsum(jnp.where(ratio > 0, 0, ratio))
    below = jnp.cumsum(jnp.where(ratio > 0, ratio, 0)[::-1])[::-1]
    zero = jnp.zeros(1, jnp.float32)
    return jax.nn.softmax(jnp.concatenate([-below, zero]) + jnp.concatenate([zero, above]))


def shares(a: Any, n: int, w: Float[Array, " n1"] | None = None, k: int = 1) -> Any:
    """P(i is awake and takes part | at least k are awake), if of c who are awake each takes part with probability w_c.

    Args:
        a: of being awake, of all nodes or of each, (n,).
        n: nodes.
        w: (n + 1,), of c = 0, ..., n; None means 1.
        k: at least 1.

    >>> shares(0.5, 2, jnp.array([0.0, 1.0, 1.0])).item()  # a coin given that not both fail: (1/2) / (3/4)
    0.666666...
    """
    if w is None and k == 1:
        a = jnp.asarray(a)
        return a / -jnp.expm1(jnp.sum(jnp.log1p(-jnp.broadcast_to(a, (n,)))))
    counts = jnp.arange(n + 1)
    w = jnp.ones(n + 1) if w is None else w
    w = jnp.where(counts >= k, jnp.asarray(w, jnp.float32), 0)
    if jnp.ndim(a) == 0:
        law = binomial(n, jnp.clip(jnp.asarray(a, jnp.float32), 1e-30, 1 - 1e-7))
        law = jnp.where(jnp.asarray(a) >= 1, counts == n, law)
        return jnp.sum(law * counts * w) / n / jnp.sum(jnp.where(counts >= k, law, 0))
    a = jnp.asarray(a, jnp.float32)
    more = lambda f: jnp.concatenate([jnp.zeros(1, f.dtype), f[:-1]])
    fewer = lambda f: jnp.concatenate([f[1:], f[-1:]])
    first = jnp.zeros(n + 1, jnp.float32).at[0].set(1)
    # Of c awake before node i the law, and the mean of what is to come, with i awake: neither divides by a_i.
    law, before = jax.lax.scan(lambda f, a: ((1 - a) * f + a * more(f), f), first, a)
    _, after = jax.lax.scan(lambda f, a: ((1 - a) * f + a * fewer(f), f), fewer(w), a, reverse=True)
    return a * jnp.sum(before * after, axis=1) / jnp.sum(jnp.where(counts >= k, law, 0))


def inclusion(q: Float[Array, " n"], m: int) -> Float[Array, " n"]:
    """P(i is among the first m) of n that are drawn one after the other without replacement, in proportion to q.

    They come at exponential times of rates q, so that it is ∫ q_i exp(-q_i t) P(fewer than m others by t) dt, here by
    the trapezoidal rule in log t.

    >>> np.round(inclusion(jnp.array([0.5, 0.25, 0.25]), 2), 4).tolist()  # 1/2 + 2 (1/4) (1/2) / (3/4) = 5/6
    [0.833..., 0.583..., 0.583...]
    """
    q = jnp.asarray(q, jnp.float32)
    q = q / jnp.sum(q)
    step = min(0.4, 0.7 / np.sqrt(m))
    low, high = np.log(1e-7), jnp.log(25 / jnp.min(q))
    points = int(np.ceil(45 / step))
    times = jnp.exp(jnp.linspace(low, high, points, dtype=jnp.float32))
    width = (high - low) / (points - 1)
    first, all_ = jnp.zeros(m, jnp.float32).at[0].set(1), jnp.ones(m, jnp.float32)
    more = lambda f: jnp.concatenate([jnp.zeros(1, f.dtype), f[:-1]])

    def at(t):
        a = -jnp.expm1(-q * t)  # who has come
        _, before = jax.lax.scan(lambda f, a: ((1 - a) * f + a * more(f), f), first, a)  # law of their number
        _, after = jax.lax.scan(lambda f, a: ((1 - a) * f + a * more(f), f), all_, a, reverse=True)  # at most j come
        return q * t * jnp.exp(-q * t) * jnp.sum(before * after[:, ::-1], axis=1)

    found = width * jnp.sum(jax.lax.map(at, times, batch_size=16), axis=0)
    return m * found / jnp.sum(found)
