"""What has an identity by what it is: an object as JSON that equal objects share, its digest, and that of code."""

import dataclasses
import dis
import hashlib
import inspect
import json
import re
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping
from functools import cache, cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["canonical", "describe", "fields", "identity", "inside_of", "installed", "scalar", "source"]

# Code of these is named and not looked into: of jaxdec `source` is a digest, and the others change the last bits alone.
NAMED = frozenset({"jaxdec", "jax", "jaxlib", "numpy", "scipy", "optax", "flax", "chex"})
ASIDE = frozenset(
    {"catalogue.py", "checks", "cli.py", "describe.py", "identity.py", "jobs.py", "networks/drawing.py", "results"}
    | {"papers", "spec.py", "storage", "testing", "theory.py"}
)
PYTHON = f"Python {sys.version_info.major}.{sys.version_info.minor}"
PLAIN = bool | int | float | complex | str | bytes
DATA = np.ndarray | np.generic | jax.Array | list | tuple | set | frozenset | Mapping | partial
GENERATED = (
    "__init__",
    "__repr__",
    "__eq__",
    "__setattr__",
    "__delattr__",
    "__hash__",
    "__replace__",
)  # by dataclasses


def describe(obj: Any) -> Any:
    """What an object is, as JSON: equal for objects that compute the same, different for those that may not.

    Numbers and texts are as they are, arrays by shape, dtype and digest, objects by class and fields. A function of
    one's own, and a class, have a digest of their code besides: of bytecode, constants and what they call in modules of
    one's own. It depends on the version of Python, which stands beside it. Comments and line numbers do not count.

    >>> from jaxdec import algorithms
    >>> describe(algorithms.DSGD(lr=0.1))
    {'class': 'jaxdec.algorithms.dsgd.DSGD', 'lr': 0.1, 'form': 'atc'}
    """
    return _described(obj, frozenset())


def identity(obj: Any) -> str:
    """A digest of what an object is: numbers that are equal have one, however they are written.

    >>> identity(1) == identity(1.0) == identity(np.float64(1)) != identity("1")
    True
    """
    return hashlib.sha256(canonical(describe(obj)).encode()).hexdigest()


def _described(obj: Any, within: frozenset[int]) -> Any:
    """The description of an object that is met within others; one that holds itself is named there."""
    if obj is None or isinstance(obj, bool | int | str):
        return obj
    if isinstance(obj, float):
        return obj if np.isfinite(obj) else str(obj)
    if isinstance(obj, np.ndarray | np.generic | jax.Array):
        return _array(obj)
    if id(obj) in within:
        return f"itself, {_name(type(obj))}"
    within |= {id(obj)}
    inside = lambda value: _described(value, within)
    if isinstance(obj, Mapping):
        if all(isinstance(key, str) for key in obj):
            return {key: inside(value) for key, value in obj.items()}
        return {"mapping": sorted(([inside(key), inside(value)] for key, value in obj.items()), key=canonical)}
    if not isinstance(obj, type) and (names := fields(obj)):
        shown = {name: inside(getattr(obj, name)) for name in names if name != "parent"}
        return {"class": _name(type(obj)), **_code(type(obj), within), **shown}
    if isinstance(obj, list | tuple):
        return [inside(value) for value in obj]
    if isinstance(obj, set | frozenset):
        return sorted((inside(value) for value in obj), key=canonical)
    if isinstance(obj, partial):  # of functools or JAX
        return {"partial": inside(obj.func), "arguments": inside(list(obj.args)), "keywords": inside(obj.keywords)}
    if isinstance(obj, types.MethodType):
        return {"method": inside(obj.__func__), "of": inside(obj.__self__)}
    if isinstance(obj, types.ModuleType):
        return obj.__name__
    if hasattr(obj, "__qualname__") and callable(obj):
        if _around(obj):
            return {"function": _name(obj), **inside(dict(_wrapped(obj)))} if _own(obj) else _name(obj)
        held = {f"{k}_" if k in ("function", "code") else k: inside(v) for k, v in _held(obj).items()}
        code = _code(obj, within)
        return {"function": _name(obj), **held, **code} if held or code else _name(obj)
    held = _attributes(obj)
    shown = {"holds": inside(held)} if held else {"shown": re.sub(r" at 0x[0-9a-f]+", "", repr(obj))}
    return (
        {"class": _name(type(obj)), **_code(type(obj), within), **shown} if held or _own(type(obj)) else shown["shown"]
    )


def _attributes(obj: Any) -> dict[str, Any]:
    """What an object holds in attributes, but for what it has computed and kept."""
    slots = [name for kind in type(obj).__mro__ if _own(kind) for name in vars(kind).get("__slots__", ())]
    held = {name: getattr(obj, name) for name in slots if hasattr(obj, name)} | getattr(obj, "__dict__", {})
    kept = lambda name: isinstance(inspect.getattr_static(type(obj), name, None), cached_property)
    return {name: value for name, value in held.items() if not kept(name)}


def _array(a: Any) -> Any:
    if isinstance(a, jax.Array) and jnp.issubdtype(a.dtype, jax.dtypes.extended):  # keys
        return {"dtype": str(a.dtype), **_array(jax.random.key_data(a))}
    if a.ndim == 0:
        return describe(scalar(a)) if a.dtype.kind in "biufVSU" and not a.dtype.names else repr(a)
    a = np.asarray(a)
    data = repr(a.tolist()).encode() if a.dtype.hasobject else np.ascontiguousarray(a).data
    return {"shape": list(a.shape), "dtype": str(a.dtype), "sha256": hashlib.sha256(data).hexdigest()}


def scalar(a: Any) -> Any:
    """The Python number that a NumPy or JAX number is.

    One of float32 is the shortest decimal that rounds to it where all runs are of float32: what was typed.

    >>> scalar(np.float64(0.2)), scalar(np.asarray(3))
    (0.2, 3)
    """
    short = str(a.dtype) == "float32" and not jax.config.jax_enable_x64  # type: ignore[attr-defined]
    return float(str(np.asarray(a))) if short else np.asarray(a).item()


def _name(obj: Any) -> str:
    named = obj if hasattr(obj, "__qualname__") else type(obj)
    return f"{named.__module__}.{named.__qualname__}"


def inside_of(function: Any) -> dict[str, Any]:
    """What tells a function made inside another from its like: what it holds, and the code of one without a name."""
    code, name = getattr(function, "__code__", None), getattr(function, "__qualname__", "")
    if code is None or "<" not in name:
        return {}
    held = _held(function)
    return {**held, "code": _bytecode(code)[:8]} if name.endswith("<lambda>") else held


def _held(function: Any) -> dict[str, Any]:
    """The defaults of a function's arguments, and what it closes over; nothing of one that its name says all of."""
    if getattr(function, "__code__", None) is None or not (_own(function) or "<" in function.__qualname__):
        return {}
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    defaults = function.__defaults__ or ()
    held = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True)) | (function.__kwdefaults__ or {})
    held |= dict(_closure(function))
    # Whole numbers are integers: schedules of optax make theirs floats when they are first called.
    return {k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in held.items()}


def _closure(function: Any) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:  # a branch that was not taken left it empty
            continue
        if value is not function:
            yield name, value


def _around(function: Any) -> bool:
    """Whether a decorator of a package made it around a function, as `jax.jit` and a checker of types do."""
    namespace = getattr(function, "__globals__", None)
    return hasattr(function, "__wrapped__") and (namespace is None or _installed(namespace.get("__name__")))


def _wrapped(function: Any) -> Iterator[tuple[str, Any]]:
    """The function inside, and what of one's own the decorator was given; of its code its package tells."""
    yield "wrapped", function.__wrapped__
    for name, value in _closure(function) if hasattr(function, "__code__") else ():
        mine = isinstance(value, types.FunctionType) and not _installed(value.__module__)
        if mine or isinstance(value, PLAIN | DATA) or (not isinstance(value, type) and fields(value)):
            yield name, value


def _installed(module: str | None) -> bool:
    """Whether a module is of the standard library or of a package that is installed, and no one's own."""
    file = getattr(sys.modules.get(module or ""), "__file__", None) or ""
    return "site-packages" in file or not _own(types.SimpleNamespace(__module__=module))


def _own(obj: Any) -> bool:
    """Whether a function or class is of a module whose code may change between two calls."""
    module = getattr(obj, "__module__", None) or "builtins"
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:  # but for a module of one's own of such a name, as code.py
        file = getattr(sys.modules.get(module), "__file__", None)
        return file is not None and not file.startswith(sysconfig.get_path("stdlib"))
    return top not in NAMED or module.startswith("jaxdec.papers.")  # which are as a user's: not in `source`


def _code(obj: Any, within: frozenset[int]) -> dict[str, str]:
    """The digest of a function's code, or of a class's: of that of all functions and classes of one's own it leads to.

    Nothing for those that are named alone; a lambda always has one, since it has no name of its own.
    """
    if isinstance(obj, type):
        if not any(map(_own, obj.__mro__)):
            return {}
    elif not hasattr(obj, "__code__") or not (_own(obj) or obj.__qualname__.endswith("<lambda>")):
        return {}
    met, texts, queue = {id(obj)}, [], [obj]
    while queue:
        here = queue.pop()
        found = _of_class(here) if isinstance(here, type) else _of_function(here, outermost=here is obj)
        text = [] if isinstance(here, type) or _around(here) else [_bytecode(here.__code__, here.__doc__)]
        for name, value in found:
            if isinstance(value, type | types.FunctionType) and _leads(here, value):
                if id(value) not in met and id(value) not in within:
                    met.add(id(value))
                    queue.append(value)
                text.append(f"{name}: {_name(value)}")
            else:
                text.append(f"{name}: {canonical(_described(value, within | met))}")
        texts.append("\n".join([_name(here), *text]))
    return {"code": f"{hashlib.sha256(repr(sorted(texts)).encode()).hexdigest()[:16]}, {PYTHON}"}


def _leads(here: Any, value: Any) -> bool:
    """Whether code is followed from one function or class into another: not into packages that are installed."""
    return _own(value) and (value.__module__ == here.__module__ or not _installed(value.__module__))


def _of_function(function: Any, *, outermost: bool) -> Iterator[tuple[str, Any]]:
    """What a function refers to by name, where that cannot change; and what it holds, unless that is shown."""
    if _around(function):
        yield from _wrapped(function)
        return
    if not outermost:
        yield from sorted(_held(function).items())
    for name in sorted(_globals(function.__code__)):
        value = function.__globals__.get(name)
        if isinstance(
            value, PLAIN | np.ndarray | np.generic | jax.Array | type | types.FunctionType | partial | tuple
        ) or fields(value):
            yield name, value


def _globals(code: types.CodeType) -> set[str]:
    here = {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return here.union(*(_globals(c) for c in code.co_consts if isinstance(c, types.CodeType)))


def _of_class(kind: type) -> Iterator[tuple[str, Any]]:
    """The methods and constants of a class, and of those it inherits from that are one's own."""
    for base in kind.__mro__:
        yield "base", _name(base)
        for name, value in sorted(vars(base).items()) if _own(base) else ():
            for part in _functions(value):
                if not (
                    name in GENERATED and part.__code__.co_filename == "<string>" and dataclasses.is_dataclass(base)
                ):
                    yield name, part
            if not (name.startswith("__") and name.endswith("__")) and isinstance(
                value, PLAIN | tuple | frozenset | np.ndarray | np.generic | jax.Array | partial | type
            ):
                yield name, value


def _functions(value: Any) -> list[types.FunctionType]:
    """The functions of what stands in a class: a method, a property or another that wraps some."""
    if isinstance(value, types.FunctionType):
        return [value]
    if isinstance(value, type):
        return []
    if isinstance(value, staticmethod | classmethod):
        inner = [value.__func__]
    elif isinstance(value, property):
        inner = [value.fget, value.fset]
    else:  # cached properties, jitted functions and the like
        inner = [getattr(value, "__wrapped__", None), *getattr(value, "__dict__", {}).values()]
    return [f for f in inner if isinstance(f, types.FunctionType)]


def _bytecode(code: types.CodeType, doc: str | None = None) -> str:
    """The digest of what code does. A docstring is no part of that."""
    consts = [None if k == 0 and c is not None and c == doc else c for k, c in enumerate(code.co_consts)]
    shown = [_bytecode(c) if isinstance(c, types.CodeType) else _constant(c) for c in consts]
    form = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags, code.co_exceptiontable)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return hashlib.sha256(repr((code.co_code, shown, names, form)).encode()).hexdigest()


def _constant(c: Any) -> str:
    return repr(sorted(map(repr, c))) if isinstance(c, frozenset) else repr(c)


@cache
def source() -> dict[str, str]:
    """Which jaxdec computes: its version, and a digest of the sources that decide numbers."""
    root, digest = Path(__file__).parent, hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        name = file.relative_to(root)
        aside = name.parts[0] in ASIDE or name.as_posix() in ASIDE
        decides = name.name in ("execute.py", "plan.py") or "lastmap" in name.parts
        if not aside and (name.parts[0] != "sweeps" or decides):
            digest.update(name.as_posix().encode() + b"\0" + file.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return {"version": installed(), "source": digest.hexdigest()[:16]}


def installed() -> str:
    """The version of jaxdec that is installed; of a checkout that is only on the path there is none."""
    try:
        return version("jaxdec")
    except PackageNotFoundError:
        return "not installed"


def canonical(value: Any) -> str:
    return json.dumps(_numbers(value), sort_keys=True)


def _numbers(value: Any) -> Any:
    """A description with one form for numbers that are equal."""
    if isinstance(value, dict):
        return {key: _numbers(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_numbers(v) for v in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def fields(obj: Any) -> list[str]:
    """The names of the fields of a dataclass or a named tuple."""
    if dataclasses.is_dataclass(obj):
        return [f.name for f in dataclasses.fields(obj) if f.init]
    return list(getattr(obj, "_fields", ()))
