"""What rounds cost: each as a method says it and as it was, and their sums from record to record."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdec._module import Constant
from jaxdec.types import Cost, Round, Tally

__all__ = ["opaque", "plain", "priced", "total"]


def priced(cost: Cost, r: Round, *, scaled: bool) -> Cost:
    """The cost of a round per node, over all nodes.

    `scaled` is for a graph method, which says what it costs with everybody present: an absent node computes nothing, a
    silent arc carries nothing.
    """
    if not isinstance(cost.grads, Tally) and (scaled or jnp.ndim(cost.grads)):
        cost = cost._replace(grads=r.per_node(cost.grads))
    if scaled and not isinstance(r.sent, int):
        vectors: Any = cost.vectors
        bits: Any = cost.bits
        cost = cost._replace(vectors=r.sent * vectors, bits=None if bits is None else r.sent * bits)
    messages = 1 if cost.messages is None else cost.messages
    if r.hops > 1:  # each product with W is as many messages
        sent: Any = cost.vectors, cost.bits
        cost = cost._replace(vectors=r.hops * sent[0], bits=None if cost.bits is None else r.hops * sent[1])
        messages = r.hops * messages
    return cost._replace(rounds_present=r.per_node(1), messages=messages, lost=r.lost)


def opaque(values: Any) -> Any:
    """Python numbers as constants, which stay out of the program and come out as they were."""
    return type(values)._make(Constant(v) if isinstance(v, int | float | np.number) else v for v in values)


def plain(values: Any) -> Any:
    """The same with its numbers as they were."""
    return type(values)._make(v.value if isinstance(v, Constant) else v for v in values)


def total(start: Cost, spent: Cost, rounds: int, every: int, d: int, since: tuple[int, Cost] | None = None) -> Cost:
    """What was spent up to each record, in float64 on the host; bits that an algorithm does not count are 32 d vectors.

    Args:
        start: of `init`.
        spent: of one round where an entry is a Constant, else (..., records - 1), summed from record to record.
        rounds: how many there were, a multiple of `every`.
        every: the stride of the records.
        d: the length of a vector.
        since: the round at which a run was taken up again, and what had been spent at its records until then.

    Returns:
        Entries of shape (..., records); with `since` the records are those after it.
    """
    start, spent = (c if c.bits is not None else c._replace(bits=_times(c.vectors, 32 * d)) for c in (start, spent))
    t, past = since or (0, Cost._make([None] * len(Cost._fields)))
    records = np.arange(t, t + rounds + 1, every, dtype=np.float64)

    def entry(a, b, before):
        if before is None and isinstance(a, Constant) and isinstance(b, Constant):
            return a.value + b.value * records
        if before is None:
            before = np.asarray([a.value], np.float64) if isinstance(a, Constant) else _numbers(a)[..., None]
        if isinstance(b, Constant):
            total = before[..., :1] + b.value * records
        else:
            b = _numbers(b)
            total = np.cumsum(np.concatenate([np.broadcast_to(before[..., -1:], (*b.shape[:-1], 1)), b], -1), -1)
        return total if since is None else total[..., 1:]

    return Cost._make(entry(*parts) for parts in zip(start, spent, past, strict=True))


def _numbers(a: Any) -> np.ndarray:
    return a.value if isinstance(a, Tally) else np.asarray(a, np.float64)


def _times(a, factor) -> Any:
    return Constant(a.value * factor) if isinstance(a, Constant) else _numbers(a) * factor
