"""Numbers that a user gives: each is refused, or taken exactly as it is. None is rounded, cut or read from a text."""

import operator
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec.checks.room import affordable

__all__ = [
    "LARGEST",
    "SEEDS",
    "bounded",
    "count",
    "finite",
    "flag",
    "fraction",
    "holds",
    "horizon",
    "integer",
    "kept",
    "positive",
    "real",
    "seed",
    "seeds",
    "weight",
    "whole",
]

LARGEST = 2**31 - 1  # what a program counts to: its integers are of 32 bits
SEEDS = 2**63  # as many as the integers of a coordinate can tell apart


def whole(value: Any) -> int | None:
    """The integer, or None for what is none: a truth value, a text, 2.0, an array."""
    if isinstance(value, bool | np.ndarray | jax.Array):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def integer(name: str, value: Any, least: int = 1, most: int = LARGEST) -> int:
    """The count that was given; refuse what is not an integer from `least` to `most`."""
    found = whole(value)
    if found is None or found < least:
        raise ValueError(f"{name} is an integer of at least {least}; got {value!r}")
    if found > most:
        raise ValueError(f"{name} is an integer of at most {most}; got {value!r}")
    return found


def count(name: str, value: Any, least: int = 1) -> int:
    """The count that a traced field holds: an integer, or the number that it has become in the run's dtype."""
    if isinstance(value, jax.Array | np.ndarray) and value.ndim == 0 and float(value).is_integer():
        value = int(value)
    return integer(name, value, least)


def seed(name: str, value: Any) -> int:
    """The seed that was given: an integer from 0 to 2^63 - 1. Negative ones would be the same as large ones."""
    found = whole(value)
    if found is None or not 0 <= found < SEEDS:
        raise ValueError(f"{name} is an integer from 0 to 2**63 - 1; got {value!r}")
    return found


def seeds(value: Any) -> list[int]:
    """The seeds of a sweep: as many as a number says, from 0, or those of a list, which differ."""
    if whole(value) is not None:
        count = integer("seeds", value)
        affordable(f"seeds={count}", 64 * count, "take fewer")
        return list(range(count))
    if isinstance(value, np.ndarray | jax.Array):
        value = np.asarray(value).tolist()
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise ValueError(f"seeds is a number of seeds or a list of different ones; got {value!r}")
    found = [seed("each of seeds", one) for one in value]
    if not found or len(set(found)) < len(found):
        raise ValueError(f"seeds is a number of seeds or a list of different ones; got {found}")
    return found


def horizon(rounds: Any, every: Any) -> tuple[int, int]:
    """The number of rounds and the stride; refuse rounds that are not a positive multiple of it, or too many."""
    for name, value in (("rounds", rounds), ("every", every)):
        found = whole(value)
        if found is None or found < 1:
            raise ValueError(f"{name} is a positive integer; got {value!r}")
        if found > LARGEST:
            raise ValueError(f"{name} is an integer of at most {LARGEST}, which a program counts to; got {value!r}")
    rounds, every = operator.index(rounds), operator.index(every)
    if rounds % every:
        lower = rounds - rounds % every
        raise ValueError(
            f"rounds={rounds} is not a multiple of every={every}; take rounds={lower + every}"
            + (f" or {lower}" if lower else "")
        )
    return rounds, every


def flag(name: str, value: Any) -> bool:
    """The truth value that was given; refuse what only counts as one, such as "no", which counts as true."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} is True or False; got {value!r}")
    return bool(value)


def real(value: Any) -> np.ndarray | None:
    """Real numbers of any dtype in float64; None for what are none: texts, truth values, complex numbers."""
    try:
        found = np.asarray(float(value) if isinstance(value, int) and not isinstance(value, bool) else value)
    except (TypeError, ValueError, OverflowError):  # what is traced, a ragged list, an integer above all floats
        return None
    known = found.dtype.kind in "fiu"  # others are of JAX
    if not (known or jnp.issubdtype(found.dtype, jnp.floating) or jnp.issubdtype(found.dtype, jnp.integer)):
        return None
    return found.astype(np.float64)


def finite(name: str, value: Any) -> np.ndarray:
    """The numbers; refuse what are not finite real ones."""
    found = real(value)
    if found is None or not np.all(np.isfinite(found)):
        raise ValueError(f"{name} is a finite real number; got {value!r}")
    return found


def weight(name: str, value: Any, what: str = "a weight") -> None:
    """Refuse a weight that is not finite, or is negative."""
    found = real(value)
    if found is None or not np.all(np.isfinite(found) & (found >= 0)):
        raise ValueError(f"{name} is {what}, which is finite and cannot be negative; got {value}")


def fraction(name: str, value: Any) -> None:
    """Refuse what is not in [0, 1), such as a momentum of 1."""
    if not bounded(value, lambda a: (a >= 0) & (a < 1)):
        raise ValueError(f"{name} lies in [0, 1); got {value}")


def bounded(value: Any, inside: Any) -> bool:
    """Whether these are real numbers that are all inside of an interval."""
    found = real(value)
    return found is not None and bool(np.all(inside(found)))


def positive(name: str, value: Any, rounds: int | None = None, dtype: Any = np.float64) -> None:
    """Refuse a step size that is neither positive and finite nor a schedule, which may also be zero.

    Args:
        name: of the step size.
        value: a number or a schedule.
        rounds: a schedule is looked at in the first and the last of so many.
        dtype: in which it has to be so.
    """
    if isinstance(value, float) and 0 < value < np.inf and dtype is np.float64:
        return
    if isinstance(value, np.ndarray) and value.dtype == dtype and not value.ndim and 0 < value < np.inf:
        return
    if callable(value):
        for t in () if rounds is None else dict.fromkeys((0, rounds - 1)):
            _scheduled(name, np.asarray(value(jnp.asarray(t))), t, dtype)
        return
    found = real(value)
    found = None if found is None else _as(found, dtype)
    if found is None or not np.all(np.isfinite(found) & (found > 0)):
        raise ValueError(f"{name} is a step size, which is positive and finite; got {value}")


def _as(found: np.ndarray, dtype: Any) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):
        return found.astype(dtype)


def _scheduled(name: str, lr: np.ndarray, t: int, dtype: Any) -> None:
    found = real(lr)
    if found is None or found.shape != ():
        raise ValueError(
            f"{name} is a function of the round that returns a number; at round {t} it returns {lr.dtype}{[*lr.shape]}"
        )
    found = _as(found, dtype)
    if not (np.isfinite(found) and found >= 0):
        raise ValueError(f"{name} is a schedule of step sizes, finite and not negative; at round {t} it is {found}")


def holds(name: str, tree: Any, dtype: Any) -> None:
    """Refuse finite numbers that are infinite in a dtype, with their place in the tree."""
    most = float(jnp.finfo(dtype).max)
    if not any(_above(leaf, most) for leaf in jax.tree.leaves(tree)):
        return
    for where, leaf in jax.tree.leaves_with_path(tree):
        if largest := _above(leaf, most):
            entries = f"has entries of {largest:.3g}" if np.ndim(leaf) else f"is {largest:.3g}"
            raise ValueError(
                f"{name}{jax.tree_util.keystr(where)} {entries}, and {jnp.dtype(dtype).name}, in which this is "
                f'computed, ends at {most:.3g}: scale it, or call jax.config.update("jax_enable_x64", True)'
            )


def _above(leaf: Any, most: float) -> float:
    """The largest finite absolute value of a leaf that will be a floating-point number, if it exceeds a bound, or 0."""
    if isinstance(leaf, float):
        return abs(leaf) if most < abs(leaf) < np.inf else 0.0
    if callable(leaf) or isinstance(leaf, bool | str | bytes):
        return 0.0
    kind = leaf.dtype if isinstance(leaf, jax.Array | np.ndarray | np.generic) else np.asarray(leaf).dtype
    if jnp.issubdtype(kind, jnp.floating):
        if float(jnp.finfo(kind).max) <= most:
            return 0.0
    elif not isinstance(leaf, int | np.integer):  # integers of arrays stay integers
        return 0.0
    largest = _largest(leaf)
    return largest if largest > most else 0.0


def _largest(leaf: Any) -> float:
    """The largest finite absolute value."""
    found = np.asarray(leaf)
    if found.dtype == object:  # an integer of more than 64 bits
        return float(np.max(np.abs(np.asarray(found.tolist(), np.float64)), initial=0.0))
    if found.size == 0:
        return 0.0
    largest = max(float(found.max()), -float(found.min()))
    if np.isfinite(largest):
        return largest
    return float(np.max(np.abs(found), initial=0.0, where=np.isfinite(found)))


def kept(name: str, value: Any) -> jax.Array:
    """A value as an array of JAX; refuse a known number that would become another one, by more than rounding."""
    if isinstance(value, jax.Array):
        return value
    given = np.asarray(value)
    dtype = jnp.result_type(given) if given.dtype != object else None
    if dtype is not None and given.dtype.kind in "iu":
        room = jnp.iinfo(dtype)
        if given.size and not (room.min <= int(given.min()) and int(given.max()) <= room.max):
            dtype = None
    if dtype is None:
        raise ValueError(f"{name} gives {value!r}, which has no room in this precision's integers; give a float")
    holds(name, value, jnp.result_type(float))
    return jnp.asarray(value)
