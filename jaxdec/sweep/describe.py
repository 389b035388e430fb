"""What a sweep was asked to do, as JSON that people can read and that two sweeps share if they are the same."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np

from jaxdec.sweep.axes import Axis, Objects, fields


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


def specification(known: Objects, dimensions: list[Axis], x0: Any, metrics: Any, *, every: int, paired: bool) -> Any:
    """All that decides what a sweep computes, but for how many seeds and rounds: those may grow."""
    return {
        **{f"{kind}s": describe(of_kind) for kind, of_kind in known.items()},
        "over": {axis.name: [_position(axis, i) for i in range(axis.size)] for axis in dimensions if not axis.objects},
        "dimensions": sorted(axis.name for axis in dimensions),
        "x0": describe(x0),
        "metrics": {name: describe(metric) for name, metric in metrics},
        "every": every,
        "paired": paired,
        "x64": bool(jnp.result_type(float) == jnp.float64),
    }


def _position(axis: Axis, i: int) -> Any:
    if axis.given:
        return {label: describe(v) for t, v in axis.positions[i].items() for label in t.labels}
    return {t.name: describe(v) for t, v in axis.positions[i].items()}


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
