"""What a sweep consists of: cells, and the groups of cells that share one compiled program."""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from jaxdec import checks
from jaxdec.describe import replace, unique
from jaxdec.loop import catalogue, fitted, start
from jaxdec.networks.stacking import alike
from jaxdec.sweeps.axes import Axis, Objects, Target
from jaxdec.sweeps.layout import Index

__all__ = ["Cell", "Group", "cells", "groups"]


class Cell(NamedTuple):
    """One configuration: what is run once per seed."""

    name: str  # the same wherever it stands in the lists that were given
    places: list[Index]  # along the axes; several where an axis does not concern its algorithm
    experiment: tuple[Any, Any, Any, Any]  # algorithm, problem, network and x0, ready to run
    labels: dict[str, str]  # of its algorithm, problem and network
    broken: frozenset[str]  # laws that its algorithm needs and its network does not have


class Group(NamedTuple):
    """Cells that differ in traced values alone: one program."""

    cells: list[Cell]
    structure: PyTree  # of an experiment; holds the static fields
    columns: list[list[Any]]  # the values of each leaf: one where all cells share it, else one per cell

    @property
    def batched(self) -> tuple[bool, ...]:
        """Which leaves differ among the cells."""
        return tuple(len(column) > 1 for column in self.columns)

    @property
    def shares_memory(self) -> bool:
        """Whether what the network remembers is the same for all cells: none of its leaves differs among them."""
        return not any(jax.tree.leaves(jax.tree.unflatten(self.structure, self.batched)[2]))

    @property
    def label(self) -> str:
        """What the group is called while it runs."""
        return type(self.cells[0].experiment[0]).__name__

    def leaves(self, which: Sequence[int]) -> list[Any]:
        """The leaves of some cells; one that differs has them on its leading axis."""
        return [np.stack([column[i] for i in which]) if len(column) > 1 else column[0] for column in self.columns]


def cells(
    known: Objects, dimensions: list[Axis], x0: Any, *, rounds: int, every: int, strict: bool = True
) -> list[Cell]:
    """Every configuration, checked: all errors of a sweep come before its first compilation."""
    checks.horizon(rounds, every)
    build = _Builder(known, x0, rounds, strict)
    places: dict[Any, list[Index]] = {}
    for index in product(*(range(axis.size) for axis in dimensions)):
        labels = {kind: next(iter(of_kind)) for kind, of_kind in known.items()}
        labels |= {a.name: a.objects[i] for a, i in zip(dimensions, index, strict=True) if a.objects is not None}
        settings: dict[str, dict[int, int]] = {kind: {} for kind in known}
        missing = False
        for k, (axis, i) in enumerate(zip(dimensions, index, strict=True)):
            if axis.objects is not None:
                continue
            kinds = {t.kind for t in axis.positions[i] if labels[t.kind] in t.labels}
            missing |= axis.given and not kinds
            for kind in kinds:
                settings[kind][k] = i
        if not missing:
            key = tuple((kind, labels[kind], tuple(settings[kind].items())) for kind in known)
            places.setdefault(key, []).append(index)
    names: Counter[str] = Counter()
    parts = cache(lambda of_kind: _parts(of_kind, dimensions))
    found = []
    order = sorted(range(len(dimensions)), key=lambda k: dimensions[k].name)  # however they are named
    for key, where in sorted(places.items(), key=lambda item: [item[1][0][k] for k in order]):
        name = " ".join(sorted(part for of_kind in key for part in parts(of_kind)))
        names[name] += 1
        if names[name] > 1:  # the same configuration, which was asked for more than once
            name += f" #{names[name]}"
        experiment, broken = build(key, dimensions)
        found.append(Cell(name, where, experiment, {kind: label for kind, label, _ in key}, broken))
    return found


def _settings(of_kind: Any, dimensions: list[Axis]) -> dict[Target, Any]:
    kind, label, positions = of_kind
    chosen = [item for k, i in positions for item in dimensions[k].positions[i].items()]
    chosen.sort(key=lambda item: item[0].path.count("."))  # an object before what is in it
    return {t: value for t, value in chosen if t.kind == kind and label in t.labels}


def _parts(of_kind: Any, dimensions: list[Axis]) -> list[str]:
    kind, label, _ = of_kind
    prefix = "" if kind == "algorithm" else f"{kind}."
    swept = [f"{prefix}{t.path}={unique(value)}" for t, value in _settings(of_kind, dimensions).items()]
    plain = not re.search(r"[\s\"]", label)
    return [f"{kind}={label if plain else json.dumps(label)}", *swept]


class _Builder:
    """Builds and checks experiments; what cells share is checked and cast once, and stays shared."""

    def __init__(self, known: Objects, x0: Any, rounds: int, strict: bool):
        self.known, self.x0, self.rounds, self.strict = known, x0, rounds, strict
        self.objects: dict[Any, Any] = {}
        self.right: set[Any] = set()  # what has been checked, of parts and of pairs
        self.starts: dict[Any, Any] = {}
        self.casts: dict[Any, Any] = {}

    def __call__(self, key: Any, dimensions: list[Axis]) -> tuple[tuple[Any, Any, Any, Any], frozenset[str]]:
        parts = algorithm, problem, network = [self._object(of_kind, dimensions) for of_kind in key]
        for of_kind, part in zip(key, parts, strict=True):
            self._once(of_kind, checks.part, of_kind[0], part)
        self._once(key[1:], checks.parts, problem, network, self.rounds)
        self._once((key[0], "settings"), checks.settings, algorithm, self.rounds)
        broken = checks.suits(algorithm, network, problem, among=catalogue(), strict=self.strict)
        if key[1] not in self.starts:
            self.starts[key[1]] = start(problem, self.x0)
        x0, dtype = self.starts[key[1]]
        algorithm, problem, network = (
            self._cast(of_kind, part, dtype) for of_kind, part in zip(key, parts, strict=True)
        )
        return (algorithm, problem, network, x0), broken

    def _once(self, what: Any, check: Callable[..., None], *arguments: Any) -> None:
        """Check what has not been checked for a cell before; what is wrong ends the plan."""
        if what not in self.right:
            check(*arguments)
            self.right.add(what)

    def _object(self, of_kind: Any, dimensions: list[Axis]) -> Any:
        if of_kind not in self.objects:
            kind, label, _ = of_kind
            obj = self.known[kind][label]
            for target, value in _settings(of_kind, dimensions).items():
                obj = replace(obj, target.path, value)
            self.objects[of_kind] = obj
        return self.objects[of_kind]

    def _cast(self, of_kind: Any, obj: Any, dtype: Any) -> Any:
        if (of_kind, dtype) not in self.casts:
            self.casts[of_kind, dtype] = fitted(of_kind[0], obj, dtype, self.rounds)
        return self.casts[of_kind, dtype]


def groups(cells: list[Cell]) -> list[Group]:
    """The cells by program. Static fields are part of an object's tree structure, so equal structure is enough.

    The order is that of the cells' names, so that nothing depends on the order in which they were given.
    """
    networks = alike([cell.experiment[2] for cell in cells])
    by_program: dict[Any, list[tuple[Cell, list[Any]]]] = {}
    for cell, network in sorted(zip(cells, networks, strict=True), key=lambda pair: pair[0].name):
        algorithm, problem, _, x0 = cell.experiment
        leaves, structure = jax.tree.flatten((algorithm, problem, network, x0))
        shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        by_program.setdefault((structure, shapes), []).append((cell, leaves))
    return [
        Group(
            [cell for cell, _ in members],
            structure,
            [_column(c) for c in zip(*(leaves for _, leaves in members), strict=True)],
        )
        for (structure, _), members in by_program.items()
    ]


def _column(column: Sequence[Any]) -> list[Any]:
    """One value where all are equal, so that the program does with it once what it does."""
    distinct = {id(leaf): leaf for leaf in column}
    first, *others = distinct.values()
    if others and all(isinstance(leaf, np.ndarray) and not leaf.ndim for leaf in distinct.values()):  # numbers, at once
        values = np.stack([*distinct.values()])
        return [first] if _same(np.broadcast_to(first, values.shape), values) else list(column)
    if all(_same(first, leaf) for leaf in others):
        return [first]
    arrays = {key: np.asarray(leaf) for key, leaf in distinct.items()}
    return [arrays[id(leaf)] for leaf in column]


def _same(a: Any, b: Any) -> bool:
    return np.array_equal(a, b, equal_nan=np.issubdtype(a.dtype, np.inexact))
