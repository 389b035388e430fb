"""Numbers, names and shapes that a user gives."""

import operator
from collections.abc import Iterable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdec.types import Cost

__all__ = [
    "NUMBERS",
    "TAKEN",
    "checkpoints",
    "choice",
    "fraction",
    "free",
    "horizon",
    "integer",
    "measured",
    "positive",
    "speeds",
    "start",
]


def horizon(rounds: int, every: int) -> None:
    """Refuse a number of rounds that is not a positive multiple of the stride."""
    for name, value in (("rounds", rounds), ("every", every)):
        if not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} is a positive integer; got {value!r}")
    if rounds % every:
        lower = rounds - rounds % every
        raise ValueError(
            f"rounds={rounds} is not a multiple of every={every}; take rounds={lower + every}"
            + (f" or {lower}" if lower else "")
        )


def checkpoints(path: Any, stretch: int | None, every: int) -> int | None:
    """How many rounds from one checkpoint to the next, or None where that is to be chosen."""
    if stretch is None:
        return None
    if path is None:
        raise ValueError(f"checkpoint_every={stretch} says when to save, and checkpoint not where; give a directory")
    integer("checkpoint_every", stretch)
    if stretch % every:
        raise ValueError(
            f"checkpoint_every={stretch} is not a multiple of every={every}; take {every * (stretch // every + 1)}"
        )
    return stretch


NUMBERS = ("bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)))

NUMBERS += ("float16", "float32", "float64")  # the dtypes of metrics, in results and on disk

TAKEN = (*("algorithm", "problem", "network", "seed", "round", "node", "config", "done"), *Cost._fields)


def measured(found: Mapping[str, Any], n: int) -> None:
    """Refuse metrics, by their shapes and dtypes at one record, that results cannot have."""
    free(found)
    for name, of in found.items():
        if of.shape not in ((), (n,)):
            raise ValueError(
                f"the metric {name!r} gives an array of shape {of.shape}; a metric gives a number, or (n,) = ({n},) "
                "with one for each node, or a dict of such. Give a norm or a mean of it, or each part a name"
            )
        if of.dtype.name not in NUMBERS:
            raise ValueError(f"the metric {name!r} is of dtype {of.dtype}; give real numbers, of {', '.join(NUMBERS)}")


def free(names: Iterable[str], taken: Iterable[str] = ()) -> None:
    """Refuse metrics that are called as something else in the results is, which has the names `taken` and others."""
    if clash := sorted(set(names) & {*TAKEN, *taken}):
        raise ValueError(
            f"a metric cannot be called {', '.join(map(repr, clash))}, which is the name of a dimension or a "
            f"coordinate of the results; give a mapping of other names to the functions"
        )


def positive(name: str, value: Any, rounds: int | None = None) -> None:
    """Refuse a step size that is neither positive and finite nor a schedule, which may also be zero."""
    if callable(value):
        for t in () if rounds is None else dict.fromkeys((0, rounds - 1)):
            _scheduled(name, np.asarray(value(jnp.asarray(t))), t)
        return
    value = np.asarray(value)
    if not (np.issubdtype(value.dtype, np.number) and np.all(np.isfinite(value)) and np.all(value > 0)):
        raise ValueError(f"{name} is a step size, which is positive and finite; got {value}")


def _scheduled(name: str, lr: np.ndarray, t: int) -> None:
    if lr.shape != () or not np.issubdtype(lr.dtype, np.number):
        raise ValueError(
            f"{name} is a function of the round that returns a number; at round {t} it returns {lr.dtype}{[*lr.shape]}"
        )
    if not (np.isfinite(lr) and lr >= 0):
        raise ValueError(f"{name} is a schedule of step sizes, finite and not negative; at round {t} it is {lr}")


def start(x0: Any, problem: Any):
    """x0 as an (n, d) array of a floating-point type."""
    x0 = jnp.asarray(x0)
    if not jnp.issubdtype(x0.dtype, jnp.floating):
        x0 = x0.astype(float)
    n, d = problem.n, problem.d
    if x0.shape not in ((d,), (n, d)):
        raise ValueError(f"x0 has shape {x0.shape}; expected (d,) = ({d},) for all nodes or (n, d) = ({n}, {d})")
    if not np.all(np.isfinite(x0)):
        raise ValueError(f"x0 has {int(np.sum(~np.isfinite(np.asarray(x0))))} entries that are NaN or infinite")
    return jnp.broadcast_to(x0, (n, d))


def integer(name: str, value: Any, least: int = 1) -> None:
    """Refuse a static count that is not an integer of at least `least`."""
    try:
        fits = operator.index(value) >= least
    except TypeError:
        fits = False
    if not fits:
        raise ValueError(f"{name} is an integer of at least {least}; got {value!r}")


def choice(name: str, value: Any, options: tuple[str, ...]) -> None:
    """Refuse a name that is not among the options."""
    if value not in options:
        raise ValueError(f"{name} is one of {', '.join(map(repr, options))}; got {value!r}")


def fraction(name: str, value: Any) -> None:
    """Refuse what is not in [0, 1), such as a momentum of 1."""
    value = np.asarray(value)
    if not (np.issubdtype(value.dtype, np.number) and np.all((value >= 0) & (value < 1))):
        raise ValueError(f"{name} lies in [0, 1); got {value}")


def speeds(name: str, value: Any, n: int, *, zero: bool = False) -> None:
    """Refuse what is not positive and finite (or zero), of all nodes or of each of the n."""
    found = np.asarray(value)
    if (found.ndim > 1 and found.shape[0] != n) or (found.ndim == 1 and found.shape != (n,)):
        raise ValueError(f"{name} is one number, or one for each of the {n} nodes; got an array of shape {found.shape}")
    fits = np.issubdtype(found.dtype, np.number) and np.isfinite(found) & (found >= 0 if zero else found > 0)
    if not np.all(fits):
        least = "not negative" if zero else "positive"
        wrong = f"; that of node {np.argwhere(~fits)[0][0]} is not" if np.ndim(fits) else ""
        raise ValueError(f"{name} is finite and {least}; got {found}{wrong}")
