"""What an object is: its fields, as JSON that equal objects share, as a short text; and what computes: versions."""

import dataclasses
import difflib
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jaxlib
import numpy as np


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
        inside = {name: cell.cell_contents for name, cell in _closure(obj)}
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


def _closure(function: Any) -> list[tuple[str, Any]]:
    code = getattr(function, "__code__", None)
    return [] if code is None else list(zip(code.co_freevars, function.__closure__ or (), strict=True))


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

    >>> from jaxdec import algorithms
    >>> brief(0.5), brief(algorithms.DSGD(lr=0.1))
    (0.5, "DSGD(lr=0.1, form='atc')")
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return f"({', '.join(str(brief(v)) for v in value)})"
    if isinstance(value, np.ndarray | jax.Array):
        return f"{value.dtype}{list(value.shape)}"
    if names := fields(value):
        shown = [(n, brief(getattr(value, n))) for n in names if n not in ("parent", "name")]
        shown = [f"{n}={v!r}" if isinstance(getattr(value, n), str) else f"{n}={v}" for n, v in shown if v is not None]
        return f"{type(value).__name__}({', '.join(shown)})"
    return getattr(value, "__name__", type(value).__name__)


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
    from jaxdec import __version__

    libraries = {"jaxdec": __version__, "jax": jax.__version__, "jaxlib": jaxlib.__version__, "numpy": np.__version__}
    return {**libraries, "python": sys.version.split()[0], "device": jax.devices()[0].device_kind}


def commit() -> str | None:
    """The commit of the git repository that this is called in; None where there is none."""
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except OSError:  # git is not installed
        return None
    return found.stdout.strip() if found.returncode == 0 else None
