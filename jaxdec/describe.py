"""What an object is: its fields, as JSON that equal objects share, as a short text; and what computes: versions."""

import dataclasses
import difflib
import hashlib
import inspect
import json
import re
import subprocess
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import jax
import jaxlib
import numpy as np

__all__ = ["brief", "commit", "describe", "differences", "fields", "get", "replace", "versions"]


def describe(obj: Any) -> Any:
    """Numbers and texts as they are; arrays by shape, dtype and digest; objects by class and fields, functions by name.

    >>> from jaxdec import algorithms
    >>> describe(algorithms.DSGD(lr=0.1))
    {'class': 'jaxdec.algorithms.dsgd.DSGD', 'lr': 0.1, 'form': 'atc'}
    """
    if obj is None or isinstance(obj, bool | int | str):
        return obj
    if isinstance(obj, float):
        return obj if np.isfinite(obj) else str(obj)
    if isinstance(obj, np.ndarray | np.generic | jax.Array):
        return _array(np.asarray(obj))
    if isinstance(obj, Mapping):
        return {str(key): describe(value) for key, value in obj.items()}
    if not isinstance(obj, type) and (names := fields(obj)):
        shown = {name: describe(getattr(obj, name)) for name in names if name != "parent"}
        return {"class": _name(type(obj)), **shown}
    if isinstance(obj, list | tuple):
        return [describe(value) for value in obj]
    if isinstance(obj, set | frozenset):
        return sorted((describe(value) for value in obj), key=_canonical)
    if isinstance(obj, partial):  # of functools or JAX
        return {"partial": describe(obj.func), "arguments": describe(list(obj.args)), **describe(obj.keywords)}
    if callable(obj):
        inside = _inside(obj)
        return {"function": _name(obj), **describe(inside)} if inside else _name(obj)
    return re.sub(r" at 0x[0-9a-f]+", "", repr(obj))


def _array(a: np.ndarray) -> Any:
    if a.ndim == 0:
        return describe(a.item())
    digest = hashlib.sha256(np.ascontiguousarray(a).data).hexdigest()
    return {"shape": list(a.shape), "dtype": str(a.dtype), "sha256": digest}


def _name(obj: Any) -> str:
    named = obj if hasattr(obj, "__qualname__") else type(obj)
    return f"{named.__module__}.{named.__qualname__}"


def _inside(function: Any) -> dict[str, Any]:
    """What tells a function made inside another from its like: what it holds, and the code of one without a name."""
    code, name = getattr(function, "__code__", None), getattr(function, "__qualname__", "")
    if code is None or "<" not in name:
        return {}
    held = {k: p.default for k, p in inspect.signature(function).parameters.items() if p.default is not p.empty}
    held |= dict(_closure(function))
    # Whole numbers are integers: schedules of optax make theirs floats when they are first called.
    held = {k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in held.items()}
    return {**held, "code": _digest(code)} if name.endswith("<lambda>") else held


def _closure(function: Any) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:  # a branch that was not taken left it empty
            continue
        if value is not function:
            yield name, value


def _digest(code: types.CodeType) -> str:
    consts = [_digest(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts]
    return hashlib.sha256(repr((code.co_code, consts, code.co_names)).encode()).hexdigest()[:8]


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def get(obj: Any, path: str) -> Any:
    """The field of `obj` at a dotted path."""
    for name in path.split("."):
        if name not in (names := fields(obj)):
            raise ValueError(
                f"{type(obj).__name__} has no field {name!r} to sweep{_near(name, names, names)}"
                + (f" Its fields are {', '.join(names)}" if names else "")
            )
        obj = getattr(obj, name)
    return obj


def replace(obj: Any, path: str, value: Any) -> Any:
    """`obj` with the field at a dotted path replaced.

    Raises:
        ValueError: if there is no such field, with the names that come nearest.

    >>> from jaxdec import algorithms
    >>> replace(algorithms.KGT(lr=0.1, local_steps=2), "local_steps", 5).local_steps
    5
    """
    head, _, rest = path.partition(".")
    inner = get(obj, head)
    value = replace(inner, rest, value) if rest else value
    return obj._replace(**{head: value}) if hasattr(obj, "_replace") else dataclasses.replace(obj, **{head: value})


def fields(obj: Any) -> list[str]:
    """The names of the fields of a dataclass or a named tuple."""
    if dataclasses.is_dataclass(obj):
        return [f.name for f in dataclasses.fields(obj) if f.init]
    return list(getattr(obj, "_fields", ()))


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
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return f"({', '.join(str(brief(v)) for v in value)})"
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        if value.ndim == 0:
            return np.asarray(value).item() if value.dtype.kind != "f" else float(str(np.asarray(value)))
        return f"{value.dtype}{list(value.shape)}"
    if names := fields(value):
        shown = [(n, brief(getattr(value, n))) for n in names if n not in ("parent", "name")]
        shown = [f"{n}={v!r}" if isinstance(getattr(value, n), str) else f"{n}={v}" for n, v in shown if v is not None]
        return f"{type(value).__name__}({', '.join(shown)})"
    if isinstance(value, partial):
        return _called(brief(value.func), value.args, value.keywords)
    if callable(value) and (inside := _inside(value)):
        *outer, name = value.__qualname__.split(".<locals>.")
        code = inside.pop("code", None) if name.endswith("<lambda>") else None
        return _called(f"<lambda {code}>" if code else outer[-1], (), inside)
    return getattr(value, "__name__", type(value).__name__)


def _called(name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> str:
    shown = [str(brief(v)) for v in arguments] + [f"{k}={brief(v)}" for k, v in keywords.items()]
    return f"{name}({', '.join(shown)})" if shown else name


def differences(stored: Any, asked: Any, where: str = "") -> list[str]:
    """In what two specifications differ. The order of swept values and of named things does not matter."""
    if isinstance(stored, dict) and isinstance(asked, dict):
        keys = [*stored, *(key for key in asked if key not in stored)]
        inside = [differences(stored.get(k, "nothing"), asked.get(k, "nothing"), f"{where}.{k}") for k in keys]
        return [line for lines in inside for line in lines]
    swept = where.startswith(".over.") and isinstance(stored, list) and isinstance(asked, list)
    if swept and sorted(map(_canonical, stored)) == sorted(map(_canonical, asked)):
        return []
    if stored == asked:
        return []
    return [f"{where.removeprefix('.')} is {_short(stored)} there and {_short(asked)} here"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "..."


def versions() -> dict[str, str]:
    """What computes: versions of Python and of the libraries, and the device."""
    libraries = {
        "jaxdec": version("jaxdec"),
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
