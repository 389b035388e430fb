"""The dimensions of a sweep: objects given in plural, and the values of `over` with the fields they go to."""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdec import checks
from jaxdec.describe import brief, get, scalar
from jaxdec.results.texts import legible

__all__ = ["KINDS", "Axis", "Objects", "Target", "axes", "counted", "log_uniform", "objects", "resolve", "uniform"]

KINDS = ("algorithm", "problem", "network")


class Target(NamedTuple):
    """A field of the objects of one kind."""

    name: str  # as it was given, such as "lr" or "KGT.local_steps": the coordinate's
    kind: str
    path: str  # dotted
    labels: frozenset[str]  # of those objects that get the value


class Axis(NamedTuple):
    """One dimension of the result that is not `seed` or `round`."""

    name: str
    positions: list[dict[Target, Any]]  # what a cell at each position gets; empty where `objects`
    objects: list[str] | None = None  # the labels of one kind of objects, the dimension's name
    given: bool = False  # a grid of each algorithm's own: where an algorithm has no value, there is no cell

    @property
    def size(self) -> int:
        return len(self.positions if self.objects is None else self.objects)


Objects = dict[str, dict[str, Any]]  # kind -> label -> object


def objects(algorithms: Any, problems: Any, networks: Any) -> Objects:
    """What was given of each kind by its label, which is the class where none was given."""
    return {kind: _labelled(kind, given) for kind, given in zip(KINDS, (algorithms, problems, networks), strict=True)}


def _labelled(kind: str, given: Any) -> dict[str, Any]:
    if isinstance(given, Mapping):
        found = {str(label): value for label, value in given.items()}
        if len(found) < len(given):
            labels = [str(label) for label in given]
            twice = sorted({label for label in labels if labels.count(label) > 1})
            raise ValueError(
                f"two {kind}s are labelled {', '.join(twice)}; give each a label that is a text of its own"
            )
    else:
        listed = list(given) if isinstance(given, list | tuple) else [given]
        labels = [type(o).__name__ for o in listed]
        if len(set(labels)) < len(labels):
            twice = sorted({label for label in labels if labels.count(label) > 1})
            raise ValueError(
                f"two {kind}s are called {', '.join(twice)}; give a mapping of labels to {kind}s, such as "
                f"{{'{twice[0]} A': ..., '{twice[0]} B': ...}}"
            )
        found = dict(zip(labels, listed, strict=True))
    if not found:
        raise ValueError(f"a sweep needs at least one {kind}; got an empty list")
    for label in found:
        legible(f"the label of {kind}", label)
    return found


def axes(algorithms: Any, problems: Any, networks: Any, over: Any) -> list[Axis]:
    """The dimensions of a sweep: what was given in plural, then what is swept, in the order given.

    Raises:
        ValueError: if a field does not exist, or values are not as `sweep` describes them.
    """
    known = objects(algorithms, problems, networks)
    plural = [
        Axis(kind, [], list(known[kind]))
        for kind, given in zip(KINDS, (algorithms, problems, networks), strict=True)
        if isinstance(given, Mapping | list | tuple)
    ]
    swept = [_configurations(over, known)] if isinstance(over, list | tuple) else _grids(over or {}, known)
    names = [axis.name for axis in plural]
    for axis in swept:
        names += {axis.name} | {t.name for position in axis.positions for t in position}
    for name in names:
        if names.count(name) > 1 or name in ("seed", "round"):
            raise ValueError(f"{name!r} is the name of another dimension too; sweep each field once")
    _once(swept)
    _parts(swept, known)
    return plural + swept


def _parts(swept: list[Axis], known: Objects) -> None:
    """A part of an object, such as a law of losses, is not replaced by a number, which is one of its own."""
    for target, value in (pair for axis in swept for position in axis.positions for pair in position.items()):
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        for label in target.labels:
            part = get(known[target.kind][label], target.path)
            if not dataclasses.is_dataclass(part) or callable(part):
                continue
            own = [f.name for f in dataclasses.fields(part) if isinstance(get(part, f.name), int | float | jax.Array)]
            advice = f"sweep {f'{target.name}.{own[0]}'!r}, or give whole ones" if own else "give whole ones"
            raise ValueError(f"{target.name!r} is {brief(part)} and no number; got {value!r}: {advice}")


def _once(swept: list[Axis]) -> None:
    """No field of an object gets a value from two dimensions, nor two values at one position, under two names."""
    of = lambda targets: [((t.kind, label, t.path), t.name) for t in targets for label in t.labels]
    dimensions = [dict(of(t for position in axis.positions for t in position)).items() for axis in swept]
    together = [[pair for dimension in dimensions for pair in dimension]]
    for pairs in together + [of(position) for axis in swept for position in axis.positions]:
        names: dict[Any, str] = {}
        for field, name in pairs:
            if (other := names.setdefault(field, name)) != name:
                raise ValueError(f"{other!r} and {name!r} are both {field[2]!r} of {field[1]}; sweep each field once")


def _grids(over: Mapping[Any, Any], known: Objects) -> list[Axis]:
    if not isinstance(over, Mapping):
        raise ValueError(f"over is a mapping of fields to values, or a list of such mappings; got {over!r}")
    return [_grid(name, values, known) for name, values in over.items()]


def _grid(name: Any, values: Any, known: Objects) -> Axis:
    if isinstance(values, Mapping):
        return _own_grids(name, values, known)
    values = _values(f"over[{name!r}]", values)
    if not isinstance(name, tuple):
        targets = resolve(name, known)
        return Axis(name, [dict.fromkeys(targets, value) for value in values])
    rows = [_values(f"over[{name!r}]", row) for row in values]
    for row in rows:
        if len(row) != len(name):
            raise ValueError(f"over[{name!r}] is a list of {len(name)} values each; got {row!r}")
    columns = [resolve(field, known) for field in name]
    positions = [{t: v for ts, v in zip(columns, row, strict=True) for t in ts} for row in rows]
    return Axis("_".join(name), positions)


def _own_grids(name: str, grids: Mapping[str, Any], known: Objects) -> Axis:
    """Each algorithm over its own values of one field."""
    own: dict[str, list[Any]] = {}
    for key, values in grids.items():
        for label in _named(key, known):
            if label in own:
                raise ValueError(f"over[{name!r}] has values for {label} twice; name each algorithm once")
            own[label] = _values(f"over[{name!r}][{key!r}]", values)
    if missing := sorted(set(known["algorithm"]) - set(own)):
        raise ValueError(f"over[{name!r}] has no values for {', '.join(missing)}; give every algorithm its own")
    for label in own:
        _require({label: known["algorithm"][label]}, name, known)
    targets = {label: Target(name, "algorithm", name, frozenset({label})) for label in own}
    longest = max(map(len, own.values()))
    positions = [{targets[k]: values[i] for k, values in own.items() if i < len(values)} for i in range(longest)]
    return Axis(name, positions, given=True)


def _configurations(over: Sequence[Any], known: Objects) -> Axis:
    """A list of configurations, each a mapping of fields to values."""
    if not over or not all(isinstance(entry, Mapping) and entry for entry in over):
        raise ValueError(f"over is a mapping of fields to values, or a list of such mappings; got {over!r}")
    return Axis("config", [{t: _plain(v) for f, v in entry.items() for t in resolve(f, known)} for entry in over])


def _values(what: str, values: Any) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray | jax.Array) or len(values) == 0:
        raise ValueError(f"{what} is a list of values to sweep; got {values!r}")
    checks.affordable(f"{what}, of {len(values)} values,", checks.CELL * len(values), "sweep over fewer")
    return [_plain(v) for v in values]


def _plain(v: Any) -> Any:
    return scalar(v) if isinstance(v, np.generic | jax.Array | np.ndarray) and v.ndim == 0 else v


def resolve(name: Any, known: Objects) -> list[Target]:
    """The fields that a name means, such as 'lr', 'compressor.levels', 'KGT.local_steps' or 'problem.l2'.

    Raises:
        ValueError: if one of the objects it means has no such field, with the names that come nearest.
    """
    if not isinstance(name, str):
        raise ValueError(f"over takes names of fields, such as 'lr'; got {name!r}")
    head, _, rest = name.partition(".")
    if head in ("problem", "network"):
        kind, path, meant = head, rest, known[head]
    else:
        kind, path, meant = "algorithm", name, known["algorithm"]
        qualifier = max((q for q in _qualifiers(known) if name.startswith(q + ".")), key=len, default=None)
        if qualifier is not None:
            path = name[len(qualifier) + 1 :]
            meant = {label: meant[label] for label in _named(qualifier, known)}
    _require(meant, path, known)
    return [Target(name, kind, path, frozenset(meant))]


def _qualifiers(known: Objects) -> list[str]:
    return [q for label, a in known["algorithm"].items() for q in (label, type(a).__name__)]


def _named(key: Any, known: Objects) -> list[str]:
    """The labels of the algorithms that a label or a class means."""
    labels = [label for label in known["algorithm"] if label == key]
    labels = labels or [label for label, a in known["algorithm"].items() if type(a).__name__ == key]
    if not labels:
        raise ValueError(f"there is no algorithm {key!r}; there are {', '.join(known['algorithm'])}")
    return labels


def _require(meant: Mapping[str, Any], path: str, known: Objects) -> None:
    """Every object has the field, or an error says which does."""
    errors = {}
    for label, obj in meant.items():
        try:
            get(obj, path)
        except ValueError as error:
            errors[label] = error
    if errors:
        (label, error), *_ = errors.items()
        having = sorted(set(meant) - set(errors))
        advice = f". {', '.join(having)} would have it: sweep {having[0] + '.' + path!r}" if having else ""
        if not having and (near := difflib.get_close_matches(path.partition(".")[0], _qualifiers(known), n=1)):
            advice = f". Is it of {near[0]}?"
        raise ValueError(f"{error}{advice}")


def uniform(low: float, high: float, count: int, seed: int = 0) -> list[float]:
    """`count` draws, uniform in [low, high], in the order drawn.

    >>> uniform(0.0, 1.0, 3)
    [0.63696, 0.26978, 0.04097]
    """
    return _draws(low, high, count, seed, lambda x: x)


def log_uniform(low: float, high: float, count: int, seed: int = 0) -> list[float]:
    """`count` draws whose logarithm is uniform in [log low, log high]: for step sizes.

    >>> log_uniform(1e-3, 1.0, 3)
    [0.08144, 0.00644, 0.00132]
    """
    if not checks.bounded(low, lambda low: low > 0) or not checks.bounded(high, lambda high: high > 0):
        raise ValueError(f"log_uniform draws from positive numbers; got {low}, {high}")
    return [float(np.exp(v)) for v in _draws(np.log(low), np.log(high), count, seed, np.exp)]


def _draws(low: float, high: float, count: int, seed: int, shown: Any) -> list[float]:
    if not (checks.bounded([low, high], np.isfinite) and low < high):
        raise ValueError(f"a draw takes low < high and a count of at least 1; got {shown(low)}, {shown(high)}, {count}")
    count = counted("a draw", count)
    return np.random.default_rng(checks.seed("seed", seed)).uniform(low, high, count).tolist()


def counted(what: str, count: Any) -> int:
    """How many values there are to be of one swept name; refuse what is no count, or more than memory takes."""
    found = checks.integer(f"the count of {what}", count)
    checks.affordable(f"a sweep over the {found} values of {what}", checks.CELL * found, "take fewer")
    return found
