"""What is known of a sweep, and from what its units computed to one labelled array.

A manifest is what JSON can hold of a sweep: what was asked and how it is laid out. With it the results of units become
a dataset, whether they come from memory or from a store.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

from jaxdec.describe import describe, distinct, source
from jaxdec.results.labels import usual
from jaxdec.results.summary import primary, wild
from jaxdec.storage.files import Arrays, Damaged, read_format
from jaxdec.sweeps.axes import Axis, Objects
from jaxdec.sweeps.layout import Layout, Program, Unit
from jaxdec.sweeps.plan import Group
from jaxdec.types import Cost

__all__ = ["FORMAT", "Manifest", "assemble", "attributes", "count", "layout", "read_manifest", "specification"]

FORMAT = "jaxdec sweep, version 3"


@dataclass(frozen=True)
class Manifest:
    """What is known of a sweep besides its numbers."""

    specification: Mapping[str, Any]
    layout: Layout
    states: bool  # whether the last states are stored
    versions: Mapping[str, str]
    commit: str | None
    created: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What JSON can hold of it, which is all."""
        about = {"versions": self.versions, "commit": self.commit, "created": self.created}
        asked = {"specification": self.specification, "states": self.states}
        return {"format": FORMAT, **asked, **self.layout.to_json(), **about}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Manifest":
        """The manifest that `to_json` gave.

        Raises:
            KeyError: if something is missing.
        """
        names = ("specification", "states", "versions", "commit", "created")
        return cls(layout=Layout.from_json(found), **{name: found[name] for name in names})


def layout(dimensions: list[Axis], groups: list[Group], seeds: list[int], rounds: int, every: int) -> Layout:
    """The layout of a sweep that is about to begin; the shapes of its units come later."""
    names = [axis.name for axis in dimensions]
    return Layout(
        dimensions={axis.name: axis.size for axis in dimensions},
        coordinates={k: v for axis in dimensions for k, v in _coordinates(axis, dimensions, names).items()},
        every=every,
        rounds=(rounds,),
        seeds=tuple(seeds),
        programs=tuple(Program(g.label, {cell.name: tuple(cell.places) for cell in g.cells}) for g in groups),
    )


def specification(
    known: Objects, dimensions: list[Axis], x0: Any, metrics: Any, groups: list[Group], *, every: int, paired: bool
) -> dict[str, Any]:
    """All that decides what a sweep computes, but for how many seeds and rounds: those may grow."""
    return {
        **{f"{kind}s": describe(of_kind) for kind, of_kind in known.items()},
        "over": {axis.name: _swept(axis) for axis in dimensions if not axis.objects},
        "dimensions": sorted(axis.name for axis in dimensions),
        "x0": describe(x0),
        "metrics": {m.name: describe(m.metric) for m in metrics},
        "every": every,
        "paired": paired,
        "broken_laws": _broken(groups),
        "jaxdec": source(),
        "x64": bool(jnp.result_type(float) == jnp.float64),
    }


def _broken(groups: list[Group]) -> dict[str, list[str]]:
    """The laws that do not hold, by algorithm and network."""
    found: dict[str, set[str]] = {}
    for cell in (cell for group in groups for cell in group.cells if cell.broken):
        found.setdefault(f"{cell.labels['algorithm']} on {cell.labels['network']}", set()).update(cell.broken)
    return {name: sorted(found[name]) for name in sorted(found)}


def _swept(axis: Axis) -> Any:
    """The values of a dimension; those of each algorithm where each has its own, whose orders have nothing to do."""
    if not axis.given:
        return [{t.name: describe(v) for t, v in position.items()} for position in axis.positions]
    own: dict[str, list[Any]] = {}
    for target, value in (item for position in axis.positions for item in position.items()):
        for label in target.labels:
            own.setdefault(label, []).append(describe(value))
    return own


def _coordinates(axis: Axis, dimensions: list[Axis], names: list[str]) -> dict[str, Any]:
    if axis.objects is not None:
        return {axis.name: {"dims": [axis.name], "values": axis.objects}}
    if axis.given:
        labels = sorted({label for position in axis.positions for t in position for label in t.labels})
        order = next((a.objects for a in dimensions if a.name == "algorithm"), None) or labels
        value = lambda position, label: next((v for t, v in position.items() if label in t.labels), None)
        table = [distinct([value(position, label) for position in axis.positions]) for label in order]
        if "algorithm" not in names:
            return {axis.name: {"dims": [axis.name], "values": _plain(table[0])}}
        return {axis.name: {"dims": ["algorithm", axis.name], "values": _plain(table)}}
    fields = dict.fromkeys(t.name for position in axis.positions for t in position)
    value = lambda position, field: next((v for t, v in position.items() if t.name == field), None)
    found = {
        field: {"dims": [axis.name], "values": _plain(distinct([value(p, field) for p in axis.positions]))}
        for field in fields
    }
    return {axis.name: {"dims": [axis.name], "values": list(range(axis.size))}, **found}


def _plain(values: list[Any]) -> list[Any]:
    """Values of one kind: numbers, with None where there is none, or else texts."""
    flat = [v for row in values for v in (row if isinstance(row, list) else [row])]
    if all(v is None or (isinstance(v, int | float) and not isinstance(v, bool)) for v in flat):
        return values
    return [[*map(str, row)] if isinstance(row, list) else str(row) for row in values]


def assemble(layout: Layout, found: Iterable[tuple[Unit, Arrays]]) -> xr.Dataset:
    """The dataset of what units computed. What is missing is NaN; `done` then says which runs are there whole."""
    names, shape = tuple(layout.dimensions), tuple(layout.dimensions.values())
    records = np.arange(0, layout.rounds[-1] + 1, layout.every)
    whole = (*shape, len(layout.seeds), len(records))
    full: dict[str, np.ndarray] = {}
    stretches = np.zeros(whole[:-1], int)  # that are there, of each run
    for unit, arrays in found:
        which, when, size = layout.seeds_of(unit), layout.records(unit.stretch), layout.size(unit)
        places = layout.programs[unit.group].places[layout.cells_of(unit)]
        for name, values in arrays.items():
            node = values.shape[3:]
            dtype = values.dtype if np.issubdtype(values.dtype, np.inexact) else np.dtype(np.float64)
            into = full.setdefault(name, np.full((*whole, *node), np.nan, dtype))
            values = np.broadcast_to(values, (size.seeds, size.cells, when.stop - when.start, *node))
            for c, where in enumerate(places):
                for place in where:
                    into[(*place, which, when)] = values[:, c]
        for place in (place for where in places for place in where):
            stretches[(*place, which)] += 1
    done = stretches == len(layout.rounds)
    coordinates = {
        name: (tuple(c["dims"]), _array(c["values"])) for name, c in layout.coordinates.items() if c["values"]
    }
    coordinates |= {"seed": list(layout.seeds), "round": records}
    full = {name: values for name, values in full.items() if not usual(name, values, records)}
    coordinates |= {name: _drop_seed(names, full.pop(name)) for name in Cost._fields if name in full}
    measured = [np.isfinite(v[(*(slice(None) for _ in whole[:-1]), 0)]).reshape(*whole[:-1], -1) for v in full.values()]
    if not done.all() or (measured and not np.concatenate(measured, -1).any(-1).all()):  # it was run, and is NaN
        coordinates["done"] = ((*names, "seed"), done)
    dims = (*names, "seed", "round", "node")
    dataset = xr.Dataset({k: (dims[: v.ndim], v) for k, v in full.items()}, coordinates)
    return dataset.set_coords(dataset.data_vars.keys() & {"seconds"})  # when it was, where events have a time


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


def count(layout: Layout, dataset: xr.Dataset) -> dict[str, int]:
    """How many runs there are to be, how many are there whole, and how many of those diverged."""
    dims = (*layout.dimensions, "seed")
    shape = tuple(dataset.sizes[dim] for dim in dims)
    done = dataset["done"].values if "done" in dataset.coords else np.ones(shape, bool)
    lost = np.zeros(shape, bool)
    if dataset.data_vars:
        values = {str(k): v.transpose(*dims, "round", ...).values for k, v in dataset.data_vars.items()}
        lost = wild(values, len(dims), primary(dataset)) & done
    cells = [places[0] for program in layout.programs for places in program.places]
    done, lost = (np.stack([values[place] for place in cells]) for values in (done, lost))
    return {"runs": done.size, "runs_done": int(done.sum()), "diverged": int(lost.sum())}


def attributes(manifest: Manifest, dataset: xr.Dataset, seconds: tuple[float, float], how: set[str]) -> dict[str, Any]:
    """What is known of a sweep besides its numbers: texts and numbers alone.

    `at_once` says how many runs were side by side, on which devices: where it names several, as after a store was gone
    on with elsewhere, runs may differ in their last bits for that alone.
    """
    asked, layout = manifest.specification, manifest.layout
    return {
        **{kind: ", ".join(asked[kind]) for kind in ("algorithms", "problems", "networks")},
        "rounds": layout.rounds[-1],
        "every": layout.every,
        "paired": int(asked["paired"]),
        "broken_laws": "; ".join(f"{name}: {', '.join(laws)}" for name, laws in asked["broken_laws"].items()),
        "programs": len(layout.programs),
        **count(layout, dataset),
        "at_once": "; ".join(sorted(how)),
        "compile_seconds": round(seconds[0], 4),
        "run_seconds": round(seconds[1], 4),
        "specification": json.dumps(asked),
        "versions": json.dumps(manifest.versions),
        "commit": manifest.commit or "",
    }


def read_manifest(path: Path, directory: Path) -> Manifest:
    """The manifest of a store.

    Raises:
        Damaged: if it is not what was written.
        OtherFormat: if it is whole, and of another version.
    """
    found = read_format(path, FORMAT, directory)
    try:
        return Manifest.from_json(found)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Damaged(path, f"is damaged: {error!r}", directory) from error
