"""What methods that follow their neighbours by compressed differences say of themselves, and how they follow."""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Array, Float

from jaxdec.compressors import memory
from jaxdec.types import Iterates, PRNGKey, ScalarLike

__all__ = ["FOLLOWED", "followed"]

FOLLOWED: Mapping[str, str] = {
    "fixed": "whoever may ever hear a node must follow all of its messages, and the cost counts neighbours alone"
}


def followed(
    method: Any, problem: Any, z: Iterates, h: Iterates, key: PRNGKey
) -> tuple[Iterates, Iterates, ScalarLike | Float[Array, ""]]:
    """What neighbours make of Z when they remember H, what all then remember, and the bits of the message.

    ::

        Q = C(Z - H);   Zhat = H + Q;   H = H + alpha Q

    Args:
        method: with fields `compressor` and `alpha`, None being `memory.rate`'s choice.
        problem: whose tensors are compressed.
        z: (n, d), what is to be sent.
        h: (n, d), what is remembered of it.
        key: of the message.
    """
    q = method.compressor(key, z - h, problem.blocks)
    return h + q.value, h + memory.rate(method.alpha, method.compressor, problem.blocks) * q.value, q.mean_bits
