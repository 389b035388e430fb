"""What a sweep consists of: cells, and the groups of cells that share one compiled program."""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from jaxdec import checks
from jaxdec.run import cast, prepare


class Axis(NamedTuple):
    """One dimension of the result that is not `seed` or `round`."""

    name: str
    labels: list[Any]  # what the coordinate shows
    values: list[Any]  # what a cell gets


class Cell(NamedTuple):
    """One configuration."""

    index: tuple[int, ...]  # its place along the axes
    label: str
    experiment: tuple[Any, Any, Any, Any]  # algorithm, problem, network and x0, ready to run


class Group(NamedTuple):
    """Cells that differ in traced values alone: one program."""

    cells: list[Cell]
    structure: PyTree  # of an experiment; holds the static fields
    batched: tuple[bool, ...]  # which leaves differ among the cells
    leaves: list[Any]  # a batched leaf has the cells on its leading axis


def axes(algorithms: Any, problems: Any, networks: Any, over: Mapping[str, Sequence[Any]]) -> list[Axis]:
    """The dimensions of a sweep: what was given in plural, then what is swept, in the order given."""
    named = {"algorithm": algorithms, "problem": problems, "network": networks}
    plural = [_plural(kind, value) for kind, value in named.items() if isinstance(value, Mapping | list | tuple)]
    swept = []
    for name, values in over.items():
        if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray | jax.Array) or len(values) == 0:
            raise ValueError(f"over[{name!r}] is a list of values to sweep; got {values!r}")
        values = [v.item() if isinstance(v, np.generic | jax.Array | np.ndarray) and v.ndim == 0 else v for v in values]
        swept.append(Axis(name, [v if isinstance(v, int | float | str) else str(v) for v in values], values))
    return plural + swept


def _plural(kind: str, objects: Any) -> Axis:
    if isinstance(objects, Mapping):
        labels, values = list(objects), list(objects.values())
    else:
        labels, values = [type(o).__name__ for o in objects], list(objects)
    if not values:
        raise ValueError(f"a sweep needs at least one {kind}; got an empty list")
    if len(set(labels)) < len(labels):
        twice = sorted({label for label in labels if labels.count(label) > 1})
        raise ValueError(
            f"two {kind}s are called {', '.join(twice)}; give a mapping of labels to {kind}s, such as "
            f"{{'{twice[0]} A': ..., '{twice[0]} B': ...}}"
        )
    return Axis(kind, labels, values)


def cells(algorithms, problems, networks, dimensions: list[Axis], x0, *, rounds: int, every: int) -> list[Cell]:
    """Every configuration, checked: all errors of a sweep come before its first compilation."""
    given = {"algorithm": algorithms, "problem": problems, "network": networks}
    prepared: dict[Any, Any] = {}
    found = []
    for index in product(*(range(len(axis.values)) for axis in dimensions)):
        chosen = {axis.name: axis.values[i] for axis, i in zip(dimensions, index, strict=True)}
        algorithm, problem, network = (chosen.pop(kind, value) for kind, value in given.items())
        for name, value in chosen.items():
            algorithm = replace(algorithm, name, value)
        experiment = _prepare_once(prepared, algorithm, problem, network, x0, rounds=rounds, every=every)
        label = [type(algorithm).__name__]
        label += [f"{a.name}={a.labels[i]}" for a, i in zip(dimensions, index, strict=True) if a.name in chosen]
        found.append(Cell(index, " ".join(label), experiment))
    return found


def _prepare_once(prepared, algorithm, problem, network, x0, **horizon):
    """`prepare`, but a problem and a network that cells share are checked once, and stay shared."""
    pair = (id(problem), id(network))
    if pair not in prepared:
        _, *prepared[pair], start = prepare(algorithm, problem, network, x0, **horizon)
        dtype = jax.eval_shape(problem.init, jax.random.key(0)).dtype if start is None else start.dtype
        prepared[pair] += [start, dtype]
    *rest, start, dtype = prepared[pair]
    checks.algorithm(algorithm, network, problem)
    return cast(algorithm, dtype), *rest, start


def replace(algorithm: Any, path: str, value: Any) -> Any:
    """`algorithm` with the field at a dotted path replaced.

    Raises:
        ValueError: if there is no such field, with the names that come nearest.
    """
    head, _, rest = path.partition(".")
    names = [f.name for f in dataclasses.fields(algorithm)] if dataclasses.is_dataclass(algorithm) else []
    if head not in names:
        near = difflib.get_close_matches(head, names, n=3, cutoff=0.4) or names
        raise ValueError(
            f"{type(algorithm).__name__} has no field {head!r} to sweep; "
            f"did you mean {' or '.join(map(repr, near))}? Its fields are {', '.join(names)}"
        )
    if rest:
        value = replace(getattr(algorithm, head), rest, value)
    return dataclasses.replace(algorithm, **{head: value})


def groups(cells: list[Cell]) -> list[Group]:
    """The cells by program. Static fields are part of an object's tree structure, so equal structure is enough."""
    by_program: dict[Any, list[Cell]] = {}
    for cell in cells:
        leaves, structure = jax.tree.flatten(cell.experiment)
        shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        by_program.setdefault((structure, shapes), []).append(cell)
    return [_stack(structure, members) for (structure, _), members in by_program.items()]


def _stack(structure: PyTree, members: list[Cell]) -> Group:
    columns = list(zip(*(jax.tree.leaves(cell.experiment) for cell in members), strict=True))
    batched = tuple(not all(_same(column[0], leaf) for leaf in column[1:]) for column in columns)
    stacked = [np.stack(c) if differ else c[0] for c, differ in zip(columns, batched, strict=True)]
    return Group(members, structure, batched, stacked)


def _same(a: jax.Array, b: jax.Array) -> bool:
    return a is b or (a.ndim == 0 and bool(a == b))
