"""What methods of a server share: memories of the clients' gradients, and the mean gradient estimated with them."""

from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec.compressors.memory import difference
from jaxdec.types import Iterates, PRNGKey, Round

Memories = Literal["n", "one"]
Start = Literal["gradient", "zero"] | None


class Memory(NamedTuple):
    """What n clients remember, and their server."""

    h: Iterates  # (n, d), the clients' memories; the server has them too, unless it has a single one
    hbar: Float[Array, "1 d"]  # the server's single memory; where it has n, their mean


def start(problem: Any, x0: Iterates, alpha: Any, r: Round, at: str | None) -> tuple[Memory, int]:
    """Memories of gradients that start at the first gradients, or at zero, and how many vectors were sent for it.

    Without a choice (None) it is the gradients where every client takes part in every round and memories are used.
    """
    unused = isinstance(alpha, int | float) and alpha == 0
    if unused or at == "zero" or (at is None and not r.everybody):
        return Memory(jnp.zeros_like(x0), jnp.zeros_like(x0[:1])), 0
    x = jnp.broadcast_to(jnp.mean(x0, axis=0, keepdims=True), x0.shape)
    g = problem.grad(x, problem.sample(r.key_data, 0))
    h = jnp.where(jnp.asarray(alpha) > 0, g, 0)
    return Memory(h, jnp.mean(h, axis=0, keepdims=True) / r.p), 1


def aggregate(
    compressor: Any, key: PRNGKey, g: Iterates, s: Memory, alpha: Any, r: Round, problem: Any, memories: Memories = "n"
) -> tuple[Float[Array, "1 d"], Memory, Any]:
    """The server's estimate of the mean gradient from differences to memories, the memories, and the messages' bits.

    With S those who take part, each with probability p::

        D_i = C(g_i - h_i)                                               i in S
        memories = "n":    ghat = (1/pn) Σ_S (h_i + D_i)                  the server knows every h_i
        memories = "one":  ghat = hbar + (1/pn) Σ_S D_i;   hbar = hbar + (alpha/pn) Σ_S D_i
        h_i = h_i + alpha D_i                                            i in S

    The two are the same where everybody takes part.
    """
    sent = difference(compressor, key, g, r.rows(s.h), alpha, problem.blocks)
    h = r.kept(s.h, sent.memory)
    if memories == "n":
        ghat, hbar = r.mean(sent.value), jnp.mean(h, axis=0, keepdims=True)
    else:
        D = r.mean(sent.message)
        ghat, hbar = s.hbar + D, s.hbar + alpha * D
    return ghat, Memory(h, hbar), sent.bits


def check(name: str, algorithm: Any) -> None:
    """Refuse a kind of memory that there is not."""
    checks.choice(f"{name}.memories", algorithm.memories, ("n", "one"))
    if algorithm.start is not None:
        checks.choice(f"{name}.start", algorithm.start, ("gradient", "zero"))
