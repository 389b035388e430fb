"""What methods of running sums share: mass that was sent and has not arrived is under way on its arc, and is not lost.

In the papers node j holds the running sum s_j of all that it ever had to share and sends that, and node i holds r_ij,
the last that it heard of it: what it takes in is W_ij (s_j - r_ij). Here that difference itself is held. It is the same
in exact arithmetic, stays of the size of what is sent, and so is no difference of large numbers in float32.
"""

import jax.numpy as jnp

__all__ = ["delivered", "empty"]


def empty(W, z):
    """Nothing under way, (n, k, ...), of what nodes send, (n, ...)."""
    return jnp.zeros((*W.arcs.weight.shape, *z.shape[1:]), z.dtype)


def delivered(W, z, flight):
    """What nodes keep of z and take in, (n, ...), and what is under way after that, (n, k, ...).

    All that is under way on an arc arrives with the next message that does. A node keeps what it does not send, which
    is W_ii z_i where columns sum to one: what is rounded away between the two would in float32 add up over 1e5 rounds.
    """
    sent = W.arcs.weight[..., None] * W.arcs.hear(z)
    flight = flight + sent
    got = jnp.where(W.arcs.arrived[..., None], flight, 0)
    return z - W.arcs.given(sent) + jnp.sum(got, axis=1), flight - got
