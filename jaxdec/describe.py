"""An object in short: its fields, its label, in what two differ; and what computes: versions."""

import dataclasses
import difflib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jaxlib
import numpy as np
from jax.tree_util import Partial

from jaxdec.identity import canonical, describe, fields, identity, inside_of, scalar, source

SHORT, LONG = 8, 16  # hexadecimal digits of a digest that is shown, and of one that tells values apart

__all__ = [
    "brief",
    "commit",
    "describe",
    "differences",
    "distinct",
    "fields",
    "get",
    "identity",
    "replace",
    "scalar",
    "source",
    "unique",
    "versions",
]


def get(obj: Any, path: str) -> Any:
    """The field of `obj` at a dotted path."""
    for name in path.split("."):
        if name not in (names := _named(obj)):
            raise ValueError(
                f"{type(obj).__name__} has no field {name!r} to sweep{_near(name, names, names)}"
                + (f" Its fields are {', '.join(names)}" if names else "")
            )
        obj = obj.keywords[name] if isinstance(obj, Partial) else getattr(obj, name)
    return obj


def _named(obj: Any) -> list[str]:
    """The fields that a path may name; of an optimizer, its numbers by their names."""
    return list(obj.keywords) if isinstance(obj, Partial) else fields(obj)


def replace(obj: Any, path: str, value: Any) -> Any:
    """`obj` with the field at a dotted path replaced.

    Raises:
        ValueError: if there is no such field, with the names that come nearest.

    >>> from jaxdec import algorithms
    >>> replace(algorithms.KGT(lr=0.1, local_steps=2), "local_steps", 5).local_steps
    5
    >>> import optax
    >>> from jax.tree_util import Partial
    >>> sgd = Partial(optax.sgd, learning_rate=1.0)
    >>> method = algorithms.FedOpt(sgd, sgd, local_steps=5)
    >>> replace(method, "client_optimizer.learning_rate", 0.1).client_optimizer.keywords
    {'learning_rate': 0.1}
    """
    head, _, rest = path.partition(".")
    inner = get(obj, head)
    value = replace(inner, rest, value) if rest else value
    if isinstance(obj, Partial):
        return Partial(obj.func, *obj.args, **obj.keywords | {head: value})
    return obj._replace(**{head: value}) if hasattr(obj, "_replace") else dataclasses.replace(obj, **{head: value})


def _near(name: str, names: Sequence[str], otherwise: Sequence[str] = ()) -> str:
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or otherwise
    return f"; did you mean {' or '.join(map(repr, dict.fromkeys(near)))}?" if near else ";"


def brief(value: Any) -> Any:
    """A value as the coordinate shows it: numbers and texts as they are, objects by their class and plain fields.

    A function that another made is called after that and what it holds, as a schedule of optax; a lambda by its code.

    >>> from jaxdec import algorithms
    >>> brief(0.5), brief(algorithms.DSGD(lr=0.1))
    (0.5, "DSGD(lr=0.1, form='atc')")
    >>> brief(partial(pow, 0.5, exp=2))
    'pow(0.5, exp=2)'
    >>> brief(np.arange(3))
    'int64[3]~826bc9a0'
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return f"({', '.join(str(brief(v)) for v in value)})"
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        if value.ndim == 0:
            return np.asarray(value).item() if value.dtype.kind != "f" else float(str(np.asarray(value)))
        return f"{value.dtype}{list(value.shape)}~{identity(value)[:SHORT]}"
    if names := fields(value):
        shown = [(n, brief(getattr(value, n))) for n in names if n not in ("parent", "name")]
        shown = [f"{n}={v!r}" if isinstance(getattr(value, n), str) else f"{n}={v}" for n, v in shown if v is not None]
        return f"{type(value).__name__}({', '.join(shown)})"
    if isinstance(value, partial):
        return _called(brief(value.func), value.args, value.keywords)
    if callable(value) and (inside := inside_of(value)):
        *outer, name = value.__qualname__.split(".<locals>.")
        code = inside.pop("code", None) if name.endswith("<lambda>") else None
        return _called(f"<lambda {code}>" if code else outer[-1], (), inside)
    return getattr(value, "__name__", type(value).__name__)


def _called(name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> str:
    shown = [str(brief(v)) for v in arguments] + [f"{k}={brief(v)}" for k, v in keywords.items()]
    return f"{name}({', '.join(shown)})" if shown else name


def unique(value: Any) -> str:
    """A value as the names of cells have it: no two values share one, and equal numbers do.

    >>> unique(1.0), unique("atc"), unique(partial(pow, 0.5)).partition("~")[0]
    ('1', '"atc"', 'pow(0.5)')
    """
    described = describe(value)
    if described is None or isinstance(described, bool | int | float | str):
        return canonical(described)
    return f"{brief(value)}~{identity(value)[:LONG]}"


def distinct(values: Sequence[Any]) -> list[Any]:
    """The labels of values along a dimension: `brief`, with a digest where that does not tell two of them apart.

    >>> distinct([0.1, "0.1", "b"])
    [0.1, '0.1~5a4747fc', 'b']
    """
    labels = [brief(value) for value in values]
    meant: dict[str, set[str]] = {}
    for label, value in zip(labels, values, strict=True):
        meant.setdefault(str(label), set()).add(identity(value))
    return [
        f"{label}~{identity(value)[:SHORT]}" if len(meant[str(label)]) > 1 and not _plain(value) else label
        for label, value in zip(labels, values, strict=True)
    ]


def _plain(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def differences(stored: Any, asked: Any, where: str = "") -> list[str]:
    """In what two specifications differ. The order of swept values and of named things does not matter."""
    if isinstance(stored, dict) and isinstance(asked, dict):
        keys = [*stored, *(key for key in asked if key not in stored)]
        inside = [differences(stored.get(k, "nothing"), asked.get(k, "nothing"), f"{where}.{k}") for k in keys]
        return [line for lines in inside for line in lines]
    if canonical(stored) == canonical(asked):
        return []
    if where.startswith(".over.") and isinstance(stored, list) and isinstance(asked, list):
        there, here = _without(stored, asked), _without(asked, stored)
        if not there and not here:
            return []
        if len(there) == len(here) and len(stored) == len(asked):
            inside = [differences(a, b, where) for a, b in zip(there, here, strict=True)]
            return [line for lines in inside for line in lines]
    return [f"{where.removeprefix('.')} is {_short(stored)} there and {_short(asked)} here"]


def _without(some: list[Any], others: list[Any]) -> list[Any]:
    """Those of some that are not among the others, as often as they are not."""
    left, found = Counter(map(canonical, others)), []
    for value in some:
        key = canonical(value)
        if left[key]:
            left[key] -= 1
        else:
            found.append(value)
    return found


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "..."


def versions() -> dict[str, str]:
    """What computes: versions of Python and of the libraries, and the device."""
    libraries = {
        "jaxdec": source()["version"],
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "numpy": np.__version__,
    }
    return {**libraries, "python": sys.version.split()[0], "device": jax.devices()[0].device_kind}


def commit() -> str | None:
    """The commit of the git repository that this is called in; None where there is none."""
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except OSError:  # git is not installed
        return None
    return found.stdout.strip() if found.returncode == 0 else None
