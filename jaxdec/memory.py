"""Compression with a memory, and with error feedback: the parts that server methods are put together from.

Sender and receiver remember the same h. What is sent is the compressed difference to it, so that messages become small
as v settles, and both move h a share alpha towards what was received::

    D = C(v - h);   the receiver has h + D;   h = h + alpha D            `difference`

    E‖v - h - alpha D‖² = ((1 - alpha)² + alpha² omega) ‖v - h‖² ≤ (1 - alpha) ‖v - h‖²   if alpha (1 + omega) ≤ 1

Error feedback sends what earlier messages left out::

    u = v + e;   the receiver has C(u);   e = u - C(u)                   `corrected`

`aggregate` is a server's estimate of the mean gradient from such differences.
"""

import warnings
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec.compressors import Identity, Message, require_compressor  # noqa: F401
from jaxdec.server import kept, rows, share
from jaxdec.types import Iterates, PRNGKey, Round, ScalarLike

Memories = Literal["n", "one"]
Start = Literal["gradient", "zero"] | None


class Sent(NamedTuple):
    """A compressed vector, as sender and receiver have it."""

    message: Iterates  # D, what is decoded
    value: Iterates  # h + D, the receiver's estimate of what was sent
    memory: Iterates  # h + alpha D, what both remember
    bits: ScalarLike | Float[Array, " n"]

    @property
    def mean_bits(self) -> ScalarLike:
        """The mean length over the rows."""
        return Message(self.message, self.bits).mean_bits


def difference(compressor: Any, key: PRNGKey, v: Iterates, h: Any, alpha: Any, blocks: tuple[int, ...]) -> Sent:
    """Send v against the memory h, which moves by alpha."""
    D, bits = compressor(key, v - h, blocks)
    return Sent(D, h + D, h + alpha * D, bits)


def corrected(compressor: Any, key: PRNGKey, v: Iterates, e: Iterates, blocks: tuple[int, ...]) -> tuple[Message, Any]:
    """Send v with the error e of the messages before; the message, and the error that is left."""
    u = v + e
    c = compressor(key, u, blocks)
    return c, u - c.value


class Memory(NamedTuple):
    """What n clients remember, and their server."""

    h: Iterates  # (n, d), the clients' memories; the server has them too, unless it has a single one
    hbar: Float[Array, "1 d"]  # the server's single memory; where it has n, their mean


def start(problem: Any, x0: Iterates, alpha: Any, r: Round, at: str | None) -> tuple[Memory, int]:
    """Memories of gradients that start at the first gradients, or at zero, and how many vectors were sent for it.

    Without a choice (None) it is the gradients where every client takes part in every round and memories are used.
    """
    unused = isinstance(alpha, int | float) and alpha == 0
    if unused or at == "zero" or (at is None and not isinstance(r.p, int)):
        return Memory(jnp.zeros_like(x0), jnp.zeros_like(x0[:1])), 0
    x = jnp.broadcast_to(jnp.mean(x0, axis=0, keepdims=True), x0.shape)
    g = problem.grad(x, problem.sample(r.key_data, 0))
    h = jnp.where(jnp.asarray(alpha) > 0, g, 0)
    return Memory(h, jnp.mean(h, axis=0, keepdims=True) / r.p), 1


def aggregate(
    compressor: Any, key: PRNGKey, g: Iterates, s: Memory, alpha: Any, r: Round, problem: Any, memories: Memories = "n"
) -> tuple[Float[Array, "1 d"], Memory, ScalarLike]:
    """The server's estimate of the mean gradient from differences to memories, the memories, and the mean bits sent.

    With S those who take part, each with probability p::

        D_i = C(g_i - h_i)                                               i in S
        memories = "n":    ghat = (1/pn) Σ_S (h_i + D_i)                  the server knows every h_i
        memories = "one":  ghat = hbar + (1/pn) Σ_S D_i;   hbar = hbar + (alpha/pn) Σ_S D_i
        h_i = h_i + alpha D_i                                            i in S

    The two are the same where everybody takes part.
    """
    sent = difference(compressor, key, g, rows(s.h, r), alpha, problem.blocks)
    h = kept(s.h, sent.memory, r)
    if memories == "n":
        ghat, hbar = mean(sent.value, r), jnp.mean(h, axis=0, keepdims=True)
    else:
        D = mean(sent.message, r)
        ghat, hbar = s.hbar + D, s.hbar + alpha * D
    return ghat, Memory(h, hbar), mean_bits(sent.bits, r)


def mean(v: Iterates, r: Round) -> Float[Array, "1 d"]:
    """(1/pn) Σ_S v_i, which is the mean over all clients in expectation if each takes part with probability p."""
    if isinstance(r.p, int | float):  # everybody, or a cohort: |S| = pn
        return r.W @ v
    return (share(r) / r.p) * (r.W @ v)


def mean_bits(bits: Any, r: Round) -> ScalarLike:
    """Bits sent in the mean over all clients, of whom those absent send nothing; a number where known in advance."""
    if isinstance(bits, int | float) or jnp.ndim(bits) == 0:
        return share(r) * bits
    return share(r) * (r.W @ bits[:, None])[0, 0]


def rate(alpha: Any, compressor: Any, blocks: tuple[int, ...]) -> Any:
    """The share of a difference by which its memory moves; None is 1/(2(omega + 1)), and 0 if nothing is lost."""
    if alpha is not None:
        return alpha
    if isinstance(compressor, Identity):
        return 0.0
    omega = compressor.omega(blocks)
    return jnp.where(jnp.asarray(omega) > 0, 1 / (2 * (omega + 1)), 0)


def check(name: str, algorithm: Any) -> None:
    """Refuse a kind of memory that there is not."""
    checks.choice(f"{name}.memories", algorithm.memories, ("n", "one"))
    if algorithm.start is not None:
        checks.choice(f"{name}.start", algorithm.start, ("gradient", "zero"))


def advise(name: str, alpha: Any, compressor: Any, blocks: tuple[int, ...], *, zero: str | None = None):
    """Warn of a memory's rate that the theory forbids, 1/(1 + omega) being its limit, and say what will happen.

    `zero` says it of the rate 0; None is for a memory without which there is still a method.
    """
    if alpha is None or not hasattr(compressor, "omega"):
        return
    rates, omega = np.asarray(alpha, float), float(np.max(np.asarray(compressor.omega(blocks))))
    if omega == 0:
        return
    if zero and np.any(rates == 0):
        warnings.warn(f"{name} = 0: {zero}", stacklevel=2)
    if np.any(rates < 0) or np.any(rates > 1 / (1 + omega)):
        worst = float(np.max(rates) if np.max(rates) > 1 / (1 + omega) else np.min(rates))
        factor = (1 - worst) ** 2 + worst**2 * omega
        grows = "its error grows until the run diverges" if factor > 1 else "no bound covers it"
        warnings.warn(
            f"{name} = {worst:.3g} is outside [0, 1/(1 + omega)] = [0, {1 / (1 + omega):.3g}]: in each round the "
            f"memory's squared error is multiplied by (1 - alpha)² + alpha² omega = {factor:.3g} in the mean, so that "
            f"{grows}. None takes half of the limit",
            stacklevel=2,
        )


def advise_feedback(name: str, feedback: Any, compressor: Any, blocks: tuple[int, ...]) -> None:
    """Warn of error feedback through a compressor that may add more than it sends."""
    if feedback is None or not hasattr(compressor, "omega"):
        return
    omega = float(np.max(np.asarray(compressor.omega(blocks))))
    factor = float(np.max(np.abs(np.asarray(feedback, float)))) ** 2 * omega
    if factor >= 1:
        kind = type(compressor).__name__
        warnings.warn(
            f"{name} = {feedback} with a {kind} of omega = {omega:.3g}: in each round an error's square may be "
            f"multiplied by feedback² omega = {factor:.3g}, so that the run may diverge. Use Scaled({kind}(...)), "
            "which is contractive, or a smaller feedback",
            stacklevel=2,
        )
