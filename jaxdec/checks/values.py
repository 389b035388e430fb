"""Names and shapes that a user gives."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec.checks.numbers import holds, integer, real
from jaxdec.types import Cost

__all__ = [
    "NUMBERS",
    "TAKEN",
    "called",
    "checkpoints",
    "choice",
    "free",
    "measured",
    "multiple",
    "speeds",
    "start",
    "storable",
]


def checkpoints(path: Any, stretch: int | None, every: int) -> int | None:
    """How many rounds from one checkpoint to the next, or None where that is to be chosen."""
    if stretch is None:
        return None
    if path is None:
        raise ValueError(f"checkpoint_every={stretch} says when to save, and checkpoint not where; give a directory")
    return multiple("checkpoint_every", stretch, every)


def multiple(name: str, value: Any, of: int, called: str = "every") -> int:
    """A positive integer that is a multiple of another one."""
    found = integer(name, value)
    if found % of:
        raise ValueError(f"{name}={found} is not a multiple of {called}={of}; take {of * (found // of + 1)}")
    return found


NUMBERS = ("bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)))

NUMBERS += ("float16", "float32", "float64")  # the dtypes of metrics, in results and on disk

# What else the results, their tables and their statistics have by name.
TAKEN = ("algorithm", "problem", "network", "seed", "round", "node", "config", "done", "cell", "bound", "quantile")
TAKEN += ("seconds", "score", "low", "high", "edge", "runs", "diverged", *Cost._fields)

STORED = 200  # bytes of a name, which a file system takes


def measured(found: Mapping[str, Any], n: int) -> None:
    """Refuse metrics, by their shapes and dtypes at one record, that results cannot have."""
    for name, of in found.items():
        if of.shape not in ((), (n,)):
            raise ValueError(
                f"the metric {name!r} gives an array of shape {of.shape}; a metric gives a number, or (n,) = ({n},) "
                "with one for each node, or a dict of such. Give a norm or a mean of it, or each part a name"
            )
        if of.dtype.name not in NUMBERS:
            raise ValueError(f"the metric {name!r} is of dtype {of.dtype}; give real numbers, of {', '.join(NUMBERS)}")


def called(name: Any) -> None:
    """Refuse what cannot be the name of a metric."""
    if not isinstance(name, str) or not name:
        raise TypeError(f"a metric is called by a text that is not empty; got {name!r}")
    free([name], TAKEN)


def free(names: Iterable[str], taken: Iterable[str]) -> None:
    """Refuse metrics that are called as something else in the results is."""
    if clash := sorted(set(names) & set(taken)):
        raise ValueError(
            f"a metric cannot be called {', '.join(map(repr, clash))}, which is the name of a dimension or a "
            f"coordinate of the results; give a mapping of other names to the functions"
        )


def storable(names: Iterable[str]) -> None:
    """Refuse metrics that cannot be the names of files."""
    for name in names:
        plain = name.isprintable() and not re.search(r"[/\\\\]", name) and not name.startswith((".", "__"))
        if not plain or name == "zarr.json" or len(name.encode()) > STORED:
            raise ValueError(
                f"a metric that is stored is named as a file can be; got {name!r}. Take a printable text of at most "
                f"{STORED} bytes, without / and \\, which does not begin with . or __"
            )


def start(x0: Any, problem: Any):
    """x0 as an (n, d) array of a floating-point type."""
    numbers = real(x0)
    if numbers is None:
        raise ValueError(f"x0 is an array of real numbers, (d,) or (n, d); got {_told(x0)}")
    n, d = problem.n, problem.d
    if numbers.shape not in ((d,), (n, d)):
        raise ValueError(f"x0 has shape {numbers.shape}; expected (d,) = ({d},) for all nodes or (n, d) = ({n}, {d})")
    if wrong := int(np.sum(~np.isfinite(numbers))):
        raise ValueError(f"x0 has {wrong} entries that are NaN or infinite")
    given = x0 if isinstance(x0, jax.Array) else np.asarray(x0)
    given = given if jnp.issubdtype(given.dtype, jnp.floating) else numbers
    holds("x0", given, jnp.result_type(given))
    return jnp.broadcast_to(jnp.asarray(given), (n, d))


def _told(value: Any) -> str:
    dtype = value.dtype if isinstance(value, np.ndarray | jax.Array) else None
    return repr(value) if dtype is None else f"one of {dtype}"


def choice(name: str, value: Any, options: tuple[str, ...]) -> None:
    """Refuse a name that is not among the options."""
    if value not in options:
        raise ValueError(f"{name} is one of {', '.join(map(repr, options))}; got {value!r}")


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
