"""A sweep described by a TOML file, in the names of the Python calls that it stands for.

A table is a call: `type` names a class or a function of the public modules (algorithms, problems, networks, data,
graphs, compressors, scaling), the other keys are its arguments. ::

    rounds = 500
    seeds = 5

    [algorithms."K-GT, K=5"]                            # a label; without `type` it is the class's name as well
    type = "KGT"
    lr = 1.0
    local_steps = 5

    [problem]                                           # or several: [problems.even], [problems.uneven]
    type = "softmax"
    data = { type = "digits" }
    partition = { type = "dirichlet", n = 16, alpha = 0.1 }     # `data` is taken from the table around it

    [network]
    type = "ring"
    n = 16

    [over]
    lr = { geomspace = [0.01, 10, 10] }                 # or linspace; log_uniform, uniform (random); or a list
    "local_steps, outer_lr" = [[1, 1.0], [5, 0.5]]      # together: Python's ("local_steps", "outer_lr")
    compressor.levels = [2, 4]                          # Python's "compressor.levels"
    momentum = { "K-GT, K=5" = [0.0, 0.9] }             # a list by algorithm

A name that several modules have is qualified: `type = "graphs.ring"`. An optax optimizer is `type = "optax.adam"`.

A class or a function of your own is named with its module, `type = "mypackage.mymodule.MyAlgorithm"`, which is imported
as Python would from the current folder: a `@module` class of any module but those of Python itself, and a function of a
module that lies in the current folder. Metrics likewise: `metrics = ["loss", "mypackage.mymodule.gap"]`. Nothing else
in a file is looked up or executed.
"""

import dataclasses
import importlib
import inspect
import json
import re
import sys
import tomllib
import typing
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import optax
from jax.tree_util import Partial

from jaxdec import algorithms, checks, compressors, data, graphs, networks, problems, scaling
from jaxdec._module import step_sizes
from jaxdec.catalogue import MODULES, measures, nearest, public
from jaxdec.compressors import three_point
from jaxdec.networks import clocks, delays, outages, selection
from jaxdec.problems import regularizers
from jaxdec.storage.places import located
from jaxdec.sweeps.axes import counted, log_uniform, uniform
from jaxdec.sweeps.engine import sweep

__all__ = ["HOMES", "PATHS", "SINGULAR", "SPACES", "from_toml"]

SINGULAR = {"algorithm": "algorithms", "problem": "problems", "network": "networks"}
HOMES = (  # where an unqualified type of an argument is looked up, by the argument's name
    (r"algorithms?|method", algorithms),
    (r"problems?", problems),
    (r"networks?", networks),
    (r"data|dataset|partition", data),
    (r"(.*_)?compressor", compressors),
    (r"mechanism|first|other", three_point),
    (r"scaling", scaling),
    (r"regularizer", regularizers),
    (r"loss|activity", outages),
    (r"selection", selection),
    (r"speed", clocks),
    (r"delay", delays),
    (r"W|Ws|R|C|graph", graphs),
)
PATHS = ("store", "checkpoint")
SPACES: dict[str, Callable[..., Any]] = {
    "geomspace": np.geomspace,
    "linspace": np.linspace,
    "log_uniform": log_uniform,
    "uniform": uniform,
}


def from_toml(path: str | PathLike[str], **changes: Any) -> dict[str, Any]:
    """The keyword arguments of `sweep` that a TOML file describes: ``sweep(**from_toml("digits.toml"))``.

    Args:
        path: the file; what it may hold is above.
        changes: arguments of `sweep` that replace the file's.

    Raises:
        OSError: if there is no such file.
        ValueError: if it is not TOML, a name is not known (with the nearest that is), or a value is refused by what it
            is given to. The message begins with the file and the key.

    >>> import tempfile
    >>> text = '''
    ... rounds = 100
    ... [algorithms.DSGD]
    ... lr = 0.1
    ... [problem]
    ... type = "quadratic"
    ... n = 8
    ... d = 3
    ... [network]
    ... type = "ring"
    ... n = 8
    ... [over]
    ... lr = {geomspace = [0.01, 1, 3]}
    ... '''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "quadratic.toml"
    ...     _ = path.write_text(text)
    ...     arguments = from_toml(path)
    >>> arguments["algorithms"], arguments["over"]
    ({'DSGD': DSGD(lr=0.1)}, {'lr': [0.01, 0.1, 1.0]})
    """
    return _Reader(located(path)).arguments(changes)


class _Reader:
    """Turns the tables of one file into objects; every error names the file and the key."""

    def __init__(self, path: Path):
        self.path = path

    def error(self, key: str, message: str) -> ValueError:
        return ValueError(f"{self.path}: {key}: {message}" if key else f"{self.path}: {message}")

    def arguments(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        try:
            table = tomllib.loads(self.path.read_text(encoding="utf-8-sig"))  # as editors of Windows write it
        except ValueError as error:  # of TOML, with its line and column, or of UTF-8
            advice = "; save it as UTF-8" if isinstance(error, UnicodeDecodeError) else ""
            raise self.error("", f"not a TOML file: {error}{advice}") from error
        known = [name for name in inspect.signature(sweep).parameters if name != "progress"]
        found: dict[str, Any] = {}
        for one, many in SINGULAR.items():
            if one in table and many in table:
                raise self.error(one, f"{one} and {many} exclude each other; keep one")
        for key, value in table.items():
            name = SINGULAR.get(key, key)
            if name not in known:
                raise self.error(key, f"a sweep has no {key!r}; {nearest(key, [*SINGULAR, *known])}")
            if name in SINGULAR.values():
                found[name] = self.part(key, value)
            else:
                value = self.path_of(key, value) if key in PATHS else value
                found[name] = self.metrics(value) if key == "metrics" else value
        if "over" in table:
            found["over"] = self.over(table["over"], found.get("algorithms"))
        found |= changes
        for name in ("algorithms", "problems", "networks", "rounds"):
            if name not in found:
                raise self.error("", f"{name} is missing; a sweep needs algorithms, a problem, a network and rounds")
        return found

    def path_of(self, key: str, value: Any) -> Any:
        """A path with `~` and variables filled in; a name without them, as of a data set, is what it is."""
        if not isinstance(value, str) or not re.search(r"\$|^~", value):
            return value
        try:
            return str(located(value))
        except ValueError as error:
            raise self.error(key, str(error)) from error

    def part(self, key: str, value: Any) -> Any:
        """One algorithm, problem or network, or all of them: a table of labels or a list."""
        if not isinstance(value, dict | list) or not value:
            raise self.error(key, f"expected a table with a type, such as [{key}]; got {value!r}")
        if key in SINGULAR:
            return self.one(value, key)
        if isinstance(value, list):
            return [self.one(table, f"{key}[{i}]") for i, table in enumerate(value)]
        if isinstance(value.get("type"), str):
            example = f"[{key}.{value['type']}]; one alone is [{key[:-1]}]"
            raise self.error(key, f"tables of {key} have a label, such as {example}")
        return {label: self.one(table, _join(key, label), label) for label, table in value.items()}

    def one(self, table: Any, key: str, label: str | None = None) -> Any:
        """An algorithm, problem or network, after the checks that `sweep` makes of it alone."""
        named = {"type": label} if label else {}
        head = re.split(r"[.[]", key)[0]
        thing = self.build(named | self.table(table, key), key, _home(head), {})
        try:
            checks.part(SINGULAR.get(head, head)[:-1], thing)
            if dataclasses.is_dataclass(thing):
                for field, value in step_sizes(thing):
                    checks.positive(f"{type(thing).__name__}.{field}", value)
            checks.own(thing)
        except (TypeError, ValueError) as error:
            raise self.error(key, str(error)) from error
        return thing

    def table(self, value: Any, key: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.error(key, f"expected a table, such as {{ type = ... }}; got {value!r}")
        return value

    def build(self, table: dict[str, Any], key: str, home: ModuleType | None, around: dict[str, Any]) -> Any:
        """The object of a table. Arguments that it lacks and needs are taken from those of the table around it."""
        if not isinstance(table.get("type"), str):
            names = f"; one of {', '.join(public(home))}" if home else ""
            raise self.error(_join(key, "type"), f"a table needs a type, the name of what to make{names}")
        make = self.find(table["type"], key, home)
        label, parameters = table["type"], inspect.signature(make).parameters
        for name in table:
            if name != "type" and name not in parameters:
                raise self.error(_join(key, name), f"{label} has no {name!r}; {nearest(name, list(parameters))}")
        arguments: dict[str, Any] = {}
        for name, parameter in parameters.items():
            if name in table:
                self.expect(parameter, table[name], _join(key, name), make)
                value = self.value(table[name], _join(key, name), name, arguments)
                arguments[name] = self.path_of(_join(key, name), value) if _takes_path(parameter) else value
            elif parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
                if name not in around:
                    raise self.error(key, f"{label} needs {name}; its arguments are {', '.join(parameters)}")
                arguments[name] = around[name]
        if make.__module__.partition(".")[0] == "optax":
            return Partial(make, **arguments)
        try:
            return make(**arguments)
        except (TypeError, ValueError, OSError) as error:
            raise self.error(key, str(error)) from error

    def find(self, name: str, key: str, home: ModuleType | None) -> Callable[..., Any]:
        """The public class or function of that name, `module.name` or alone."""
        at = _join(key, "type")
        module, _, short = name.rpartition(".")
        if module == "optax":
            return self.optimizer(short, at)
        if module and module not in MODULES:
            return self.own(module, short, at)
        looked = [MODULES[module]] if module else [home] if home else list(MODULES.values())
        found = {id(thing): thing for m in looked for thing in [public(m).get(short)] if thing is not None}
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            where = [m for m in MODULES if short in public(MODULES[m])]
            raise self.error(at, f"{short!r} is in {' and '.join(where)}; write {where[0]}.{short}")
        names = [n for m in looked for n in public(m)]
        where = f"jaxdec.{looked[0].__name__.split('.')[-1]} has" if len(looked) == 1 else "jaxdec's modules have"
        raise self.error(at, f"{where} no {short!r}; {nearest(short, names)}")

    def own(self, module: str, name: str, key: str, metric: bool = False) -> Callable[..., Any]:
        """The class or function of that name in a module of the user's own."""
        if not re.fullmatch(r"[A-Za-z_][\w.]*", module) or module.partition(".")[0] in sys.stdlib_module_names:
            raise self.error(key, f"no module {module!r}; {nearest(module, [*MODULES, 'optax'])}")
        folder = str(Path.cwd())
        sys.path.insert(0, folder)
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise self.error(key, f"{module} cannot be imported: {error}") from error
            options = nearest(module, [*MODULES, "optax"])
            raise self.error(key, f"no module {module!r} here, in {folder}, nor installed; {options}") from error
        except (ImportError, SyntaxError) as error:
            raise self.error(key, f"{module} cannot be imported: {error}") from error
        finally:
            sys.path.remove(folder)
        thing = vars(found).get(name)
        file = Path(getattr(found, "__file__", None) or "/").resolve()
        here = file.is_relative_to(folder) and "site-packages" not in file.parts  # of an environment in the folder
        if inspect.isclass(thing) and dataclasses.is_dataclass(thing) and not metric:
            return thing
        if inspect.isfunction(thing) and (here or metric):
            return thing
        names = [k for k, v in vars(found).items() if inspect.isclass(v) or inspect.isfunction(v)]
        if thing is None and not name.startswith("_"):
            raise self.error(key, f"{module} has no {name!r}; {nearest(name, [n for n in names if n[0] != '_'])}")
        kinds = "a function" if metric else "a @module class, or a function of a module in the current folder"
        raise self.error(key, f"{module}.{name} is not {kinds}")

    def optimizer(self, name: str, key: str) -> Callable[..., Any]:
        thing = getattr(optax, name, None)
        made = inspect.signature(thing).return_annotation if inspect.isfunction(thing) else None
        if made not in (optax.GradientTransformation, optax.GradientTransformationExtraArgs) or thing is None:
            raise self.error(key, f"optax.{name} is not an optimizer; take one such as optax.sgd or optax.adam")
        return thing

    def expect(self, parameter: inspect.Parameter, value: Any, key: str, make: Any) -> None:
        """Refuse what a file cannot hold or what is plainly of the wrong kind, with the key."""
        step_size = dataclasses.is_dataclass(make) and any(
            f.name == parameter.name and f.metadata.get("step_size") for f in dataclasses.fields(make)
        )
        if step_size and isinstance(value, dict):
            raise self.error(key, "a step size in a file is a number; a schedule is a Python object: call sweep itself")
        kinds = {parameter.annotation, *typing.get_args(parameter.annotation)}
        if kinds & {int, float} and not kinds & {str, bool, Any} and isinstance(value, str | bool):
            raise self.error(key, f"expected a number; got {value!r}")
        if make is problems.neural and parameter.name == "network":
            raise self.error(key, "a Flax module is a Python object, which a file cannot hold: call sweep itself")

    def value(self, value: Any, key: str, name: str, around: dict[str, Any]) -> Any:
        if isinstance(value, dict):
            return self.build(value, key, _home(name), around)
        if isinstance(value, list):  # a tuple can be a static field
            return tuple(self.value(one, f"{key}[{i}]", name, around) for i, one in enumerate(value))
        return value

    def metrics(self, value: Any) -> tuple[Any, ...]:
        return tuple(self.metric(name) for name in (value if isinstance(value, list) else [value]))

    def metric(self, name: Any) -> Any:
        known = measures()
        if isinstance(name, str) and "." in name:
            module, _, short = name.rpartition(".")
            return self.own(module, short, "metrics", metric=True)
        if name not in known:
            raise self.error("metrics", f"jaxdec.metrics has no {name!r}; {nearest(str(name), list(known))}")
        return known[name]

    def over(self, value: Any, algorithms: Any) -> dict[Any, Any] | list[dict[str, Any]]:
        if isinstance(value, list):
            tables = [self.table(one, f"over[{i}]") for i, one in enumerate(value)]
            each = lambda one, key: {k: self.value(v, _join(key, k), _leaf(k), {}) for k, v in one.items()}
            return [each(one, f"over[{i}]") for i, one in enumerate(tables)]
        labels = set(algorithms if isinstance(algorithms, dict) else [type(a).__name__ for a in algorithms or ()])
        swept = _flat(self.table(value, "over"), labels)
        return {_together(name): self.grid(v, _join("over", name), name, labels) for name, v in swept.items()}

    def grid(self, value: Any, key: str, name: str, labels: set[str]) -> Any:
        """The values of one swept name: a list, a space of numbers, or a table of them by algorithm."""
        if isinstance(value, list):
            return [self.value(one, f"{key}[{i}]", _leaf(name), {}) for i, one in enumerate(value)]
        table = self.table(value, key)
        if table and labels >= table.keys():
            return {label: self.grid(v, _join(key, label), name, set()) for label, v in table.items()}
        words = [*SPACES, "digits", "seed"]
        wrong = [word for word in table if word not in words]
        kinds = [word for word in table if word in SPACES]
        if len(kinds) == 1 and not wrong:
            return self.space(kinds[0], table, key)
        expected = f"expected a list, or one of {', '.join(SPACES)} = [low, high, count]; got {value!r}"
        raise self.error(key, f"{expected}. {nearest(wrong[0], words)}" if wrong else expected)

    def space(self, kind: str, table: dict[str, Any], key: str) -> list[float]:
        bounds = table[kind]
        if not (
            isinstance(bounds, list)
            and len(bounds) == 3
            and all(isinstance(b, int | float) for b in bounds)
            and isinstance(bounds[2], int)
            and bounds[2] >= 1
            and (kind != "geomspace" or min(bounds[:2]) > 0)
        ):
            rule = ", low and high positive" if kind == "geomspace" else ""
            raise self.error(_join(key, kind), f"expected [low, high, count]{rule}; got {bounds!r}")
        seed = {"seed": table["seed"]} if "seed" in table else {}
        try:
            counted(kind, bounds[2])
            values = SPACES[kind](*bounds, **seed)
        except (TypeError, ValueError) as error:
            raise self.error(_join(key, kind), str(error)) from error
        digits = table.get("digits", 12)  # significant ones: 0.1 rather than 0.10000000000000002
        return [float(f"{v:.{digits}g}") for v in values]


def _home(name: str) -> ModuleType | None:
    return next((module for pattern, module in HOMES if re.fullmatch(pattern, name)), None)


def _takes_path(parameter: inspect.Parameter) -> bool:
    kinds = (parameter.annotation, *typing.get_args(parameter.annotation))
    return any((typing.get_origin(kind) or kind) in (PathLike, Path) for kind in kinds)


def _leaf(name: str) -> str:
    return name.split(".")[-1].strip()


def _flat(table: dict[str, Any], labels: set[str], prefix: str = "") -> dict[str, Any]:
    """Swept names as Python writes them: TOML makes a table of a dotted key that is not quoted."""
    found = {}
    for name, value in table.items():
        inner = isinstance(value, dict) and value and not (value.keys() & (set(SPACES) | labels))
        if inner and all(isinstance(v, list | dict) for v in value.values()):
            found |= _flat(value, labels, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def _together(name: str) -> str | tuple[str, ...]:
    """Names that are swept together, such as "lr, outer_lr", as a tuple."""
    parts = tuple(part.strip() for part in name.split(","))
    return parts if len(parts) > 1 and all(re.fullmatch(r"[A-Za-z_][\w.]*", part) for part in parts) else name


def _join(key: str, name: str) -> str:
    return f"{key}.{name if re.fullmatch(r'[A-Za-z0-9_-]+', name) else json.dumps(name, ensure_ascii=False)}"
