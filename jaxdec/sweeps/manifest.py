"""From what units of a sweep computed to one labelled array.

A manifest is what JSON can hold of a sweep: its dimensions and coordinates, where its cells stand, and in units of
which shape they are run. With it the results of units become a dataset, whether they come from memory or from a store.
"""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import xarray as xr

from jaxdec.describe import brief, describe
from jaxdec.results.summary import diverged, primary
from jaxdec.sweeps.axes import Axis, Objects
from jaxdec.sweeps.plan import Group
from jaxdec.types import Cost

Manifest = dict[str, Any]
Arrays = dict[str, np.ndarray]  # of a unit: (seeds, cells, records), or (records,) where the same for all


class Unit(NamedTuple):
    """What is run, stored and resumed as a whole: a chunk of a group's cells by a block of seeds, over some rounds."""

    group: int
    segment: int  # which stretch of rounds: 0 unless a stored sweep was extended
    chunk: int
    block: int


def manifest(dimensions: list[Axis], groups: list[Group], seeds: list[int], rounds: int, every: int) -> Manifest:
    """The manifest of a sweep that is about to begin; the shapes of its groups come later."""
    names = [axis.name for axis in dimensions]
    return {
        "dimensions": {axis.name: axis.size for axis in dimensions},
        "coordinates": {k: v for axis in dimensions for k, v in _coordinates(axis, dimensions, names).items()},
        "every": every,
        "rounds": [rounds],  # where each segment ends
        "seeds": seeds,
        "groups": [
            {"program": g.label, "shape": None, "cells": {cell.name: cell.places for cell in g.cells}} for g in groups
        ],
    }


def specification(known: Objects, dimensions: list[Axis], x0: Any, metrics: Any, *, every: int, paired: bool) -> Any:
    """All that decides what a sweep computes, but for how many seeds and rounds: those may grow."""
    return {
        **{f"{kind}s": describe(of_kind) for kind, of_kind in known.items()},
        "over": {axis.name: [_position(axis, i) for i in range(axis.size)] for axis in dimensions if not axis.objects},
        "dimensions": sorted(axis.name for axis in dimensions),
        "x0": describe(x0),
        "metrics": {m.name: describe(m.metric) for m in metrics},
        "every": every,
        "paired": paired,
        "x64": bool(jnp.result_type(float) == jnp.float64),
    }


def _position(axis: Axis, i: int) -> Any:
    if axis.given:
        return {label: describe(v) for t, v in axis.positions[i].items() for label in t.labels}
    return {t.name: describe(v) for t, v in axis.positions[i].items()}


def _coordinates(axis: Axis, dimensions: list[Axis], names: list[str]) -> dict[str, Any]:
    if axis.objects is not None:
        return {axis.name: {"dims": [axis.name], "values": axis.objects}}
    if axis.given:
        labels = sorted({label for position in axis.positions for t in position for label in t.labels})
        if "algorithm" not in names:
            return {axis.name: {"dims": [axis.name], "values": [brief(v) for p in axis.positions for v in p.values()]}}
        order = next(a.objects for a in dimensions if a.name == "algorithm") or labels
        table = [
            [next((brief(v) for t, v in position.items() if label in t.labels), None) for position in axis.positions]
            for label in order
        ]
        return {axis.name: {"dims": ["algorithm", axis.name], "values": _plain(table)}}
    fields = dict.fromkeys(t.name for position in axis.positions for t in position)
    columns = {
        field: [next((brief(v) for t, v in p.items() if t.name == field), None) for p in axis.positions]
        for field in fields
    }
    found = {field: {"dims": [axis.name], "values": _plain(column)} for field, column in columns.items()}
    return {axis.name: {"dims": [axis.name], "values": list(range(axis.size))}, **found}


def _plain(values: list[Any]) -> list[Any]:
    """Values of one kind: numbers, with None where there is none, or else texts."""
    flat = [v for row in values for v in (row if isinstance(row, list) else [row])]
    if all(v is None or (isinstance(v, int | float) and not isinstance(v, bool)) for v in flat):
        return values
    return [[*map(str, row)] if isinstance(row, list) else str(row) for row in values]


def seeds_of(facts: Manifest, unit: Unit) -> slice:
    """The seeds of a unit, among the manifest's."""
    size = facts["groups"][unit.group]["shape"][1]
    return slice(unit.block * size, min((unit.block + 1) * size, len(facts["seeds"])))


def cells_of(facts: Manifest, unit: Unit) -> slice:
    """The cells of a unit, among its group's."""
    size, total = facts["groups"][unit.group]["shape"][0], len(facts["groups"][unit.group]["cells"])
    return slice(unit.chunk * size, min((unit.chunk + 1) * size, total))


def stretch(facts: Manifest, segment: int) -> tuple[int, int]:
    """The rounds of a segment: after which it begins, and where it ends."""
    return (facts["rounds"][segment - 1] if segment else 0), facts["rounds"][segment]


def records_of(facts: Manifest, segment: int) -> slice:
    """The records of a segment, among all; round 0 belongs to the first."""
    begin, end = stretch(facts, segment)
    return slice(begin // facts["every"] + 1 if segment else 0, end // facts["every"] + 1)


def units(facts: Manifest, group: int) -> list[Unit]:
    """All units of a group, each after those it goes on from."""
    cells, seeds = facts["groups"][group]["shape"]
    chunks, blocks = -(-len(facts["groups"][group]["cells"]) // cells), -(-len(facts["seeds"]) // seeds)
    segments = range(len(facts["rounds"]))
    return [Unit(group, k, c, b) for k in segments for c in range(chunks) for b in range(blocks)]


def assemble(facts: Manifest, found: Iterable[tuple[Unit, Arrays]]) -> xr.Dataset:
    """The dataset of what units computed. What is missing is NaN; `done` then says which runs are there whole."""
    names, shape = tuple(facts["dimensions"]), tuple(facts["dimensions"].values())
    records = np.arange(0, facts["rounds"][-1] + 1, facts["every"])
    whole = (*shape, len(facts["seeds"]), len(records))
    full: dict[str, np.ndarray] = {}
    done = np.zeros(whole[:-1], bool)
    for unit, arrays in found:
        which, when = seeds_of(facts, unit), records_of(facts, unit.segment)
        places = list(facts["groups"][unit.group]["cells"].values())[cells_of(facts, unit)]
        for name, values in arrays.items():
            dtype = values.dtype if np.issubdtype(values.dtype, np.inexact) else np.dtype(np.float64)
            into = full.setdefault(name, np.full(whole, np.nan, dtype))
            values = np.broadcast_to(values, (which.stop - which.start, len(places), when.stop - when.start))
            for c, where in enumerate(places):
                for place in where:
                    into[(*place, which, when)] = values[:, c]
        if unit.segment == len(facts["rounds"]) - 1:
            for place in (place for where in places for place in where):
                done[(*place, which)] = True
    coordinates = {
        name: (tuple(c["dims"]), _array(c["values"])) for name, c in facts["coordinates"].items() if c["values"]
    }
    coordinates |= {"seed": facts["seeds"], "round": records}
    coordinates |= {name: _drop_seed(names, full.pop(name)) for name in Cost._fields if name in full}
    if not done.all():
        coordinates["done"] = ((*names, "seed"), done)
    return xr.Dataset({k: ((*names, "seed", "round"), v) for k, v in full.items()}, coordinates)


def _array(values: list[Any]) -> np.ndarray:
    array = np.asarray(values, object)
    if any(isinstance(v, str) for v in array.flat):
        return np.asarray(values, str)
    return np.asarray([np.nan if v is None else v for v in array.flat]).reshape(array.shape)


def _drop_seed(names: tuple[str, ...], values: np.ndarray) -> Any:
    """What was spent over the dimensions it depends on: mostly it is the same for all seeds."""
    any_seed = np.fmax.reduce(values, axis=-2, keepdims=True)
    if np.all(np.isnan(values) | (values == any_seed)):
        return ((*names, "round"), any_seed[..., 0, :])
    return ((*names, "seed", "round"), values)


def count(facts: Manifest, dataset: xr.Dataset) -> dict[str, int]:
    """How many runs there are to be, how many are there whole, and how many of those diverged."""
    shape = (*facts["dimensions"].values(), dataset.sizes["seed"])
    done = dataset["done"].values if "done" in dataset.coords else np.ones(shape, bool)
    wild = diverged(dataset, primary(dataset)).values & done if dataset.data_vars else np.zeros(shape, bool)
    cells = [tuple(places[0]) for group in facts["groups"] for places in group["cells"].values()]
    done, wild = (np.stack([values[place] for place in cells]) for values in (done, wild))
    return {"runs": done.size, "runs_done": int(done.sum()), "diverged": int(wild.sum())}


def attributes(facts: Manifest, dataset: xr.Dataset, seconds: tuple[float, float]) -> dict[str, Any]:
    """What is known of a sweep besides its numbers: texts and numbers alone."""
    asked = facts["specification"]
    return {
        **{kind: ", ".join(asked[kind]) for kind in ("algorithms", "problems", "networks")},
        "rounds": facts["rounds"][-1],
        "every": facts["every"],
        "paired": int(asked["paired"]),
        "programs": len(facts["groups"]),
        **count(facts, dataset),
        "compile_seconds": round(seconds[0], 4),
        "run_seconds": round(seconds[1], 4),
        "specification": json.dumps(asked),
        "versions": json.dumps(facts["versions"]),
        "commit": facts["commit"] or "",
    }
