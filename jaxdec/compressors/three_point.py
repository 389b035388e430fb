"""Three-point compressors, 3PC: what becomes of a memory where the sender knows what it sent and what it had before.

A sender and its receiver remember the same h. The sender had the gradient y before and has x now; what it sends makes
of h a new memory C_hy(x), which is near x where h was near y and x has not moved far from y::

    E‖C_hy(x) - x‖² ≤ (1 - a) ‖h - y‖² + b ‖x - y‖²

Such maps are made of one another: `Difference` and `Change` send a compressed vector, `Then` sends what is still
missing after another map, `Lazy` sends nothing while the memory is young, `Reset` sends all by chance. `ThreePC` is the
method for all of them.

| map | C_hy(x) | made by |
|---|---|---|
| EF21 | h + C(x - h) | `Difference(C)` |
| LAG | x if ‖x - h‖² > trigger ‖x - y‖², else h | `lag(trigger)` |
| CLAG | h + C(x - h) if ‖x - h‖² > trigger ‖x - y‖², else h | `Lazy(Difference(C), trigger)` |
| 3PCv2 | b + C(x - b), b = h + Q(x - y) | `Then(Change(Q), C)` |
| 3PCv3 | b + C(x - b), b of any other | `Then(other, C)` |
| 3PCv4 | b + C1(x - b), b = h + C2(x - h) | `Then(Difference(C2), C1)` |
| 3PCv5 | x with probability p, else h + C(x - y) | `Reset(Change(C), p)` |

Reference: Richtárik, Sokolov, Fatkhullin, Gasanov, Li, Gorbunov (2022), arXiv:2202.00998; recalled, the page could not
be read. 3PCv1, y + C(x - y), needs y at the receiver, which would have to be sent, and is left out.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module
from jaxdec.compressors.maps import Identity, require_compressor, require_contractive, require_three_point
from jaxdec.types import Iterates, PRNGKey, ScalarLike

__all__ = ["Change", "Difference", "Lazy", "Reset", "Then", "Update", "lag"]


class Update(NamedTuple):
    """What becomes of the memories, and what was sent for it."""

    value: Iterates  # (n, d), the memories after it
    bits: ScalarLike | Float[Array, " n"]  # of a row's messages
    vectors: ScalarLike | Float[Array, " n"]  # how many compressed vectors that are


@module
class Difference:
    """EF21: h + C(x - h), for a contractive C.

    >>> from jaxdec.compressors import TopK
    >>> h, y, x = jnp.zeros((1, 2)), jnp.ones((1, 2)), jnp.array([[1.0, 3.0]])
    >>> Difference(TopK(k=1))(jax.random.key(0), h, y, x).value
    Array([[0., 3.]], dtype=float...)
    """

    compressor: Any

    def check(self) -> None:
        require_contractive(self.compressor, "Difference")

    def __call__(self, key: PRNGKey, h: Iterates, y: Iterates, x: Iterates, blocks: Any = None) -> Update:
        message = self.compressor(key, x - h, blocks)
        return Update(h + message.value, message.bits, 1)


@module
class Change:
    """h + C(x - y): the memory keeps its distance, to which the error of C is added. A part of 3PCv2 and 3PCv5.

    >>> from jaxdec.compressors import TopK
    >>> h, y, x = jnp.zeros((1, 2)), jnp.ones((1, 2)), jnp.array([[1.0, 3.0]])
    >>> Change(TopK(k=1))(jax.random.key(0), h, y, x).value
    Array([[0., 2.]], dtype=float...)
    """

    compressor: Any

    def check(self) -> None:
        require_compressor(self.compressor, "Change")

    def __call__(self, key: PRNGKey, h: Iterates, y: Iterates, x: Iterates, blocks: Any = None) -> Update:
        message = self.compressor(key, x - y, blocks)
        return Update(h + message.value, message.bits, 1)


@module
class Then:
    """b + C(x - b) with b the memory that another map makes, for a contractive C: both messages are sent.

    >>> from jaxdec.compressors import TopK
    >>> h, y, x = jnp.zeros((1, 2)), jnp.ones((1, 2)), jnp.array([[1.0, 3.0]])
    >>> Then(Change(TopK(k=1)), TopK(k=1))(jax.random.key(0), h, y, x).value
    Array([[1., 2.]], dtype=float...)
    """

    first: Any
    compressor: Any

    def check(self) -> None:
        require_three_point(self.first, "Then")
        require_contractive(self.compressor, "Then")

    def __call__(self, key: PRNGKey, h: Iterates, y: Iterates, x: Iterates, blocks: Any = None) -> Update:
        second = jax.random.fold_in(key, 1)
        b = self.first(key, h, y, x, blocks)
        message = self.compressor(second, x - b.value, blocks)
        return Update(b.value + message.value, b.bits + message.bits, b.vectors + 1)


@module
class Lazy:
    """Another map where ‖x - h‖² > trigger ‖x - y‖², and h where the memory is younger: then nothing is sent.

    >>> from jaxdec.compressors import TopK
    >>> h, y, x = jnp.zeros((1, 2)), jnp.ones((1, 2)), jnp.array([[1.0, 3.0]])
    >>> sent = Lazy(Difference(TopK(k=1)), trigger=4.0)(jax.random.key(0), h, y, x)
    >>> sent.value, sent.bits
    (Array([[0., 0.]], dtype=float...), Array([0.], dtype=float...))
    """

    other: Any
    trigger: ScalarLike

    def check(self) -> None:
        require_three_point(self.other, "Lazy")
        checks.weight("Lazy.trigger", self.trigger, "a factor")

    def __call__(self, key: PRNGKey, h: Iterates, y: Iterates, x: Iterates, blocks: Any = None) -> Update:
        sends = jnp.sum((x - h) ** 2, axis=1) > self.trigger * jnp.sum((x - y) ** 2, axis=1)
        sent, nothing = self.other(key, h, y, x, blocks), jnp.zeros_like(x[:, 0])
        bits, vectors = (jnp.where(sends, a, nothing) for a in (sent.bits, sent.vectors))
        return Update(jnp.where(sends[:, None], sent.value, h), bits, vectors)


@module
class Reset:
    """With a probability x itself, for all senders alike; else another map.

    >>> from jaxdec.compressors import TopK
    >>> h, y, x = jnp.zeros((1, 2)), jnp.ones((1, 2)), jnp.array([[1.0, 3.0]])
    >>> Reset(Change(TopK(k=1)), probability=1.0)(jax.random.key(0), h, y, x).value
    Array([[1., 3.]], dtype=float...)
    """

    other: Any
    probability: ScalarLike

    def check(self) -> None:
        require_three_point(self.other, "Reset")
        if not checks.bounded(self.probability, lambda p: (p > 0) & (p <= 1)):
            raise ValueError(f"Reset.probability is a probability in (0, 1]; got {self.probability}")

    def __call__(self, key: PRNGKey, h: Iterates, y: Iterates, x: Iterates, blocks: Any = None) -> Update:
        coin = jax.random.bernoulli(jax.random.fold_in(key, 2), self.probability)
        sent, one = self.other(key, h, y, x, blocks), jnp.ones((), x.dtype)
        bits, vectors = jnp.where(coin, 32 * x.shape[1] * one, sent.bits), jnp.where(coin, one, sent.vectors)
        return Update(jnp.where(coin, x, sent.value), bits, vectors)


def lag(trigger: ScalarLike) -> Lazy:
    """LAG: x where ‖x - h‖² > trigger ‖x - y‖², else h, and nothing is sent.

    >>> lag(4.0)
    Lazy(other=Difference(compressor=Identity()), trigger=4.0)
    """
    return Lazy(Difference(Identity()), trigger)
