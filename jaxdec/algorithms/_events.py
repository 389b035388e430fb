"""What asynchronous methods of a server share: which model each client was sent, and when."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdec.types import Iterates, Round

__all__ = ["Sent", "first", "send"]


class Sent(NamedTuple):
    """The server's model, and those that its clients were sent: a gradient is as late as its client's is behind."""

    x: Float[Array, "1 d"]  # the server's model
    k: Int[Array, ""]  # how often it was updated
    start: Iterates  # (n, d), the model that each client was sent, from which its current computation began
    began: Int[Array, " n"]  # its k


def first(x0: Iterates, r: Round) -> Sent:
    """All clients are sent the first model."""
    x = x0.mean(axis=0, keepdims=True)
    return Sent(x, jnp.asarray(0), jnp.repeat(x, r.n, axis=0), jnp.zeros(r.n, int))


def send(s: Sent, x: Float[Array, "1 d"], k: Int[Array, ""], r: Round) -> Sent:
    """The server has x, of number k, and sends it to the client of this event."""
    return Sent(x, k, r.kept(s.start, x), r.kept(s.began, k))
