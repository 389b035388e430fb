"""What methods of a server share: memories of the clients' gradients, and the mean gradient estimated with them.

A message has one key for all rows that are computed, `r.fold("up")`: with a cohort a compressor's draws belong to the
places in the cohort and not to the clients, unlike minibatches and `r.keys`, which follow the client.
"""

from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec.compressors import Identity, memory
from jaxdec.types import Iterates, Round

Memories = Literal["n", "one", "authors"]
Start = Literal["gradient", "zero"] | None


class Memory(NamedTuple):
    """What n clients remember, and their server."""

    h: Iterates  # (n, d), the clients' memories; the server has them too, unless it has a single one
    hbar: Float[Array, "1 d"]  # the server's: the mean of h, but for memories = "authors"


def start(method: Any, problem: Any, x0: Iterates, r: Round) -> tuple[Memory, int]:
    """Memories of gradients that start at the first gradients, or at zero, and how many vectors were sent for it.

    Without a choice (None) it is the gradients where every client takes part in every round and memories are used.

    Args:
        method: with fields `compressor`, `alpha` and `start`.
        problem: of all clients.
        x0: (n, d), whose mean is the model.
        r: round 0.
    """
    unused = method.alpha is None and isinstance(method.compressor, Identity)
    if unused or method.start == "zero" or (method.start is None and not r.everybody):
        return Memory(jnp.zeros_like(x0), jnp.zeros_like(x0[:1])), 0
    x = jnp.broadcast_to(jnp.mean(x0, axis=0, keepdims=True), x0.shape)
    g = problem.grad(x, r.draw(problem))
    h = jnp.where(jnp.asarray(_alpha(method, problem)) > 0, g, 0)
    return Memory(h, jnp.mean(h, axis=0, keepdims=True)), 1


def estimate(method: Any, problem: Any, s: Memory, D: Float[Array, "m d"], r: Round) -> tuple[Any, Memory]:
    """The server's estimate of the mean gradient, and the memories, from the decoded messages D_i = C(g_i - h_i).

    With S those who take part, each with probability p::

        memories = "n":        ghat = (1/pn) Σ_S (h_i + D_i)                  the server knows every h_i
        memories = "one":      ghat = hbar + (1/pn) Σ_S D_i;   hbar = hbar + (alpha/n) Σ_S D_i
        memories = "authors":  ghat = hbar + (1/pn) Σ_S D_i;   hbar = hbar + (alpha/pn) Σ_S D_i
        h_i = h_i + alpha D_i                                                i in S

    All are the same where everybody takes part. The first and the second are unbiased at every point; the third, of
    arXiv:2006.14591, where the gradients in the memories sum to zero: its hbar goes to mean h / p.

    Args:
        method: with fields `compressor`, `alpha` and `memories`.
        problem: of all clients.
        s: the memories before.
        D: of those who take part.
        r: the round.
    """
    alpha = _alpha(method, problem)
    h = r.kept(s.h, r.rows(s.h) + alpha * D)
    if method.memories == "n":
        return r.mean(r.rows(s.h) + D), Memory(h, jnp.mean(h, axis=0, keepdims=True))
    mean = r.mean(D)
    moved = mean if method.memories == "authors" else r.share * (r.W @ D)
    return s.hbar + mean, Memory(h, s.hbar + alpha * moved)


def check(name: str, method: Any) -> None:
    """Refuse a kind of memory that there is not."""
    checks.choice(f"{name}.memories", method.memories, ("n", "one", "authors"))
    if method.start is not None:
        checks.choice(f"{name}.start", method.start, ("gradient", "zero"))


def _alpha(method: Any, problem: Any) -> Any:
    return memory.rate(method.alpha, method.compressor, problem.blocks)
