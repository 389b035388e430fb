"""A sweep on disk: written unit by unit, so that a kill harms nothing that is there, and read without trust.

::

    DIR/manifest.json            what was asked (specification), its dimensions and units, versions and commit
    DIR/data.zarr/G/K/NAME       one Zarr array for each program G, stretch K and metric: (seed, cell, round[, node])
    DIR/done/G.K.C.B.json        a unit that is there whole: its seeds, the sizes and digests of its files, what it took
    DIR/states/G.K.C.B           what its runs carry from round to round, raw, from which more rounds go on
    DIR/partial/G.K.C.B/         the segments of a unit under way, see `jaxdec.storage.segments`; gone when it is whole

`data.zarr` is Zarr version 3, uncompressed, with one chunk per unit, which any reader of Zarr opens; what is not there
yet reads as NaN. A file appears under its name when it is whole and on disk, and a unit counts once its `done` file is
there. Reading takes JSON and raw numbers of known dtypes, checked against their digests: nothing is unpickled or run.

What is asked for is compared by what it is: values by their contents, numbers by their size, runs by their seeds, and
functions and classes of one's own by a digest of their code. That of bytecode differs between versions of Python, which
the manifest names. A store of other code, or of a jaxdec that computes otherwise, is refused: its numbers are the old.

The states cost n d numbers for each vector that an algorithm keeps, per run, until more rounds have replaced them:
2000 runs of two vectors of 16 nodes and 650 parameters take 170 MB in float32. What a network remembers is stored once
for each seed, unless it is swept.
"""

import datetime
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from jaxdec.checks import NUMBERS
from jaxdec.describe import differences
from jaxdec.storage.entries import Entries
from jaxdec.storage.files import Arrays, pack, read_json, readable, unpack, write
from jaxdec.storage.segments import Segments, SoFar
from jaxdec.sweeps.arrays import Chunk, Durable, write_chunk
from jaxdec.sweeps.layout import Layout, Shape, Unit
from jaxdec.sweeps.manifest import FORMAT, Manifest, assemble, attributes

__all__ = ["PATIENCE", "Partial", "Store", "load"]

PATIENCE = 20.0  # seconds that a unit runs before what it has is kept


def load(path: str | os.PathLike[str]) -> xr.Dataset:
    """The dataset of a stored sweep, complete or not: what has not been run yet is NaN, and not `done`.

    Its attributes are those of a sweep's result: rounds, every, programs, runs and runs_done, compile_seconds and
    run_seconds over all its sessions, the specification and the versions.

    Raises:
        ValueError: if the directory holds no sweep, one of another version, or a file that is damaged; with its name.

    >>> import tempfile
    >>> from jaxdec import algorithms, networks, problems, sweep
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     method, problem = algorithms.DSGD(lr=0.1), problems.quadratic(4, 2)
    ...     results = sweep(method, problem, networks.ring(4), seeds=2, rounds=4, store=directory)
    ...     load(directory).equals(results)
    True
    """
    store = Store(Path(path))
    dataset = assemble(store.layout, store.read())
    return dataset.assign_attrs(attributes(store.manifest, dataset, store.seconds()))


class Store:
    """A directory with a stored sweep."""

    def __init__(self, path: Path, asked: Manifest | None = None):
        """Open what is there; with the manifest of a sweep about to begin, begin it if nothing is."""
        self.path, self.entries = path, Entries(path, "the unit")
        self.arrays = Durable(self.entries, "data.zarr")
        if not (path / "manifest.json").exists():
            if asked is None:
                raise ValueError(f"{path} holds no sweep: there is no manifest.json")
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise ValueError(f"{path} is not empty and holds no sweep; give a directory of its own to the store")
            self._save(replace(asked, created=datetime.datetime.now().isoformat("T", "seconds")))
        self.manifest = _manifest(path / "manifest.json")
        if asked is not None:
            self.entries.clean()
            for mark in (path / "done").glob("*.json"):  # of units that are whole, where a process was killed just then
                shutil.rmtree(path / "partial" / mark.stem, ignore_errors=True)

    @property
    def layout(self) -> Layout:
        """The layout of what is stored."""
        return self.manifest.layout

    def _save(self, manifest: Manifest) -> None:
        write(self.path / "manifest.json", readable(manifest.to_json()).encode())
        self.manifest = manifest

    def extend(self, asked: Manifest) -> Manifest:
        """Make room for more seeds and rounds, and return the manifest of the sweep that is asked for, as it is stored.

        Raises:
            ValueError: if what is asked for is another sweep, or less than what is stored; nothing is changed.
        """
        there, new = self.layout, asked.layout
        lines = differences(self.manifest.specification, asked.specification)
        if lines:
            shown = "".join(f"\n  {line}" for line in lines[:8]) + (
                f"\n  and {len(lines) - 8} more" if lines[8:] else ""
            )
            raise ValueError(f"{self.path} holds another sweep; give a directory of its own to this one:{shown}")
        less = [f"seed {seed}" for seed in there.seeds if seed not in new.seeds]
        less += [f"rounds up to {there.rounds[-1]}"] if new.rounds[-1] < there.rounds[-1] else []
        if less:
            raise ValueError(
                f"{self.path} holds more than this sweep asks for: {', '.join(less)}. Ask for at least as much, or "
                "read what is there with jaxdec.load"
            )
        cells = lambda of: [(p.label, sorted(p.cells)) for p in of.programs]
        if cells(there) != cells(new):
            raise ValueError(f"{self.path} was begun by a version of jaxdec that groups cells otherwise; use a new one")
        if new.rounds[-1] > there.rounds[-1] and not self.manifest.states:
            raise ValueError(
                f"{self.path} was stored with states=False, so that its runs cannot go on from round "
                f"{there.rounds[-1]}; give a directory of its own to the longer sweep"
            )
        if (extended := there.extended(new)) != there:
            self._save(replace(self.manifest, layout=extended))
        return replace(self.manifest, layout=extended.arranged(new))

    def shaped(self, group: int, shape: Shape, at_once: Shape) -> None:
        """Keep in which units a group is run, and how much of one at once."""
        if (shaped := self.layout.with_shape(group, shape, at_once)) != self.layout:
            self._save(replace(self.manifest, layout=shaped))

    def todo(self, group: int) -> list[Unit]:
        """The units of a group that are still to be run, in order; what they go on from comes before them."""
        every = self.layout.units(group)
        marks = {unit: self.done(unit) for unit in every}
        todo = {unit for unit, mark in marks.items() if mark is None}
        for unit in reversed(every):
            before = unit._replace(stretch=unit.stretch - 1)
            if unit in todo and unit.stretch and _state(before) not in (marks[before] or {"files": ()})["files"]:
                todo.add(before)
        return [unit for unit in every if unit in todo]

    def done(self, unit: Unit) -> dict[str, Any] | None:
        """What is known of a unit that is there whole, for all of its seeds; else None.

        Raises:
            ValueError: if one of its files is missing or damaged.
        """
        found = self.entries.found(_name(unit))
        return found if found is not None and found["seeds"] == self._seeds(unit) else None

    def _seeds(self, unit: Unit) -> list[int]:
        """The seeds of a unit by name: a mark of other ones, or of fewer, is not its."""
        return list(self.layout.seeds[self.layout.seeds_of(unit)])

    def write(self, unit: Unit, arrays: Arrays, state: list[np.ndarray] | None, seconds: tuple[float, float]) -> None:
        """Store a unit: its files, then its mark.

        Raises:
            OSError: if the disk is full or does not let itself be written; nothing that was stored is harmed.
        """
        files = {}
        for name, values in arrays.items():
            files |= self._chunk(unit, name, values)
        if state is not None:
            files |= self.entries.put(_state(unit), pack({str(k): leaf for k, leaf in enumerate(state)}))
        facts = {"seeds": self._seeds(unit), "compile": seconds[0], "run": seconds[1]}
        self.entries.close(_name(unit), files, **facts)
        if unit.stretch and state is not None:  # the states before are no longer needed
            before = unit._replace(stretch=unit.stretch - 1)
            self.entries.drop(_name(before), _state(before))
        shutil.rmtree(self.path / "partial" / _name(unit), ignore_errors=True)

    def _chunk(self, unit: Unit, name: str, values: np.ndarray) -> dict[str, Any]:
        """Write what a unit has of one Zarr array."""
        program, when = self.layout.programs[unit.group], self.layout.records(unit.stretch)
        records, node = when.stop - when.start, values.shape[3:]
        if values.ndim == 1:
            chunk = Chunk((records,), (records,), (0,), ("round",))
        else:
            size = program.shape or self.layout.size(unit)
            chunk = Chunk(
                (len(self.layout.seeds), len(program.cells), records, *node),
                (size.seeds, size.cells, records, *node),
                (unit.block, unit.chunk, 0, *(0 for _ in node)),
                ("seed", "cell", "round", "node")[: values.ndim],
            )
        return write_chunk(self.arrays, f"{unit.group}/{unit.stretch}/{name}", values, chunk)

    def read(self) -> Iterator[tuple[Unit, Arrays]]:
        """The units that are there, with their arrays."""
        for g, program in enumerate(self.layout.programs):
            for unit in self.layout.units(g) if program.shape else []:
                if self.done(unit) is not None:
                    yield unit, self.of(unit)

    def of(self, unit: Unit) -> Arrays:
        """The arrays of a unit by name."""
        mark = self.entries.found(_name(unit))
        folder = f"data.zarr/{unit.group}/{unit.stretch}/"
        found = {}
        for name in mark["files"] if mark else ():
            if name.startswith(folder):
                path = self.path / folder / (variable := name.removeprefix(folder).partition("/")[0])
                found[variable] = self._values(path / "zarr.json", unit, self.entries.bytes(_name(unit), name, mark))
        return found

    def _values(self, metadata: Path, unit: Unit, data: bytes) -> np.ndarray:
        known = read_json(metadata)
        dtype, shape = known.get("data_type"), known.get("chunk_grid", {}).get("configuration", {}).get("chunk_shape")
        if dtype not in NUMBERS or not isinstance(shape, list):
            raise ValueError(f"{metadata} is of dtype {dtype!r}; a stored sweep holds numbers alone")
        array = np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).astype(dtype)
        if array.size != np.prod(shape):
            raise ValueError(f"{metadata} says that a chunk is {shape}, but one holds {array.size} numbers")
        array = array.reshape(shape)
        if array.ndim == 1:
            return array
        size = self.layout.size(unit)
        return array[: size.seeds, : size.cells]

    def state(self, unit: Unit) -> Arrays:
        """What the runs of a unit carry, as `write` got it."""
        return unpack(self.entries.bytes(_name(unit), _state(unit)))

    def partial(self, unit: Unit, about: Any) -> "Partial":
        """Where the segments of a unit under way are kept; those of a unit that has become another are removed."""
        path = self.path / "partial" / _name(unit)
        if (path / "run.json").exists() and differences(read_json(path / "run.json").get("run"), about):
            shutil.rmtree(path)
        return Partial(path, about)

    def seconds(self) -> tuple[float, float]:
        """What compiling and running have taken, over all sessions."""
        marks = list(self.entries.marks())
        return sum(m["compile"] for m in marks), sum(m["run"] for m in marks)


class Partial:
    """The segments of a unit under way, kept where it takes long."""

    def __init__(self, path: Path, about: Any):
        self.path, self.about = path, about
        self.segments: Segments | None = None  # no file is written before there is something to keep
        self.since = time.monotonic()

    def last(self) -> SoFar | None:
        if not self.path.exists():
            return None
        self.segments = Segments(self.path, self.about)
        return self.segments.last()

    def due(self) -> bool:
        return time.monotonic() - self.since >= PATIENCE

    def add(self, begin: int, new: SoFar) -> None:
        self.segments = self.segments or Segments(self.path, self.about)
        self.segments.add(begin, new)
        self.since = time.monotonic()


def _name(unit: Unit) -> str:
    return ".".join(map(str, unit))


def _state(unit: Unit) -> str:
    return f"states/{_name(unit)}"


def _manifest(path: Path) -> Manifest:
    found = read_json(path)
    if found.get("format") != FORMAT:
        raise ValueError(
            f"{path} is of format {found.get('format')!r}; this version of jaxdec reads {FORMAT!r}. Read it with the "
            "version that wrote it, or give another directory"
        )
    try:
        return Manifest.from_json(found)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {error!r} is missing, or not what it was") from error
