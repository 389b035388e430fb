"""A sweep on disk: written unit by unit, so that a kill harms nothing that is there, and read without trust.

::

    DIR/manifest.json            what was asked (specification), its dimensions and units, versions and commit; and a
                                 copy, manifest.copy.json
    DIR/data.zarr/G/K/NAME       one Zarr array for each program G, stretch K and metric: (seed, cell, round[, node])
    DIR/done/G.K.C.B.json        a unit that is there whole: its runs, the sizes and digests of its files, what it took
    DIR/states/G.K.C.B           what its runs carry from round to round, raw, from which more rounds go on
    DIR/partial/G.K.C.B/         the segments of a unit under way, see `jaxdec.storage.segments`; gone when it is whole
    DIR/claims/G.K.C.B.0         a unit that a process is running now, see `jaxdec.storage.claims`

`data.zarr` is Zarr version 3, uncompressed, with one chunk per unit, which any reader of Zarr opens; what is not there
yet reads as NaN. A file appears under its name when it is whole and on disk, and a unit counts once its `done` file is
there. Reading takes JSON and raw numbers of known dtypes, checked against their digests, JSON against its own: nothing
is unpickled or run. `jaxdec repair DIR` removes what is not what was written.

Several processes may sweep into one store: each unit is run by the one that has claimed it, and the manifest is changed
by one at a time. A process works with the seeds that are stored, and with the rounds that it was asked for.

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
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from jaxdec.checks import NUMBERS
from jaxdec.describe import differences
from jaxdec.storage.claims import Claims
from jaxdec.storage.entries import Entries
from jaxdec.storage.files import Arrays as Numbers
from jaxdec.storage.files import Damaged, copy_of, pack, read_json, unpack, write, write_twice
from jaxdec.storage.places import located
from jaxdec.sweeps.arrays import Arrays, Chunk, file_of, values_of
from jaxdec.sweeps.layout import Layout, Shape, Unit
from jaxdec.sweeps.manifest import Manifest, assemble, attributes, read_manifest
from jaxdec.sweeps.partial import Partial

__all__ = ["Store", "load"]

MANIFEST = "manifest"  # the claim of those who change it


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
    store = Store(located(path))
    dataset = assemble(store.layout, store.read())
    return dataset.assign_attrs(attributes(store.manifest, dataset, *store.took()))


class Store:
    """A directory with a stored sweep."""

    def __init__(self, path: Path, asked: Manifest | None = None):
        """Open what is there; with the manifest of a sweep about to begin, begin it if nothing is."""
        self.path, self.entries = path, Entries(path)
        self.claims, self.arrays = Claims(path / "claims"), Arrays(self.entries)
        self.file = path / "manifest.json"
        if not self.file.exists():
            refusal = self._refusal(asked)
            if refusal is not None and not self.file.exists():  # nor has another process begun it just now
                raise refusal
            with self.claims.alone(MANIFEST):
                if asked is not None and not self.file.exists():  # else another process has begun it just now
                    self._save(replace(asked, created=datetime.datetime.now().isoformat("T", "seconds")))
        self.stretches: int | None = None  # that are looked at; all
        self._version: Any = None  # of the manifest that was read
        self.look()
        if asked is not None:
            self._clean()

    def _refusal(self, asked: Manifest | None) -> ValueError | None:
        """Why no sweep can be begun or read in a directory without a manifest."""
        path = self.path
        if copy_of(self.file).exists() or (path / "done").exists():
            return Damaged(self.file, "is missing", path)
        if asked is None:
            return ValueError(f"{path} holds no sweep: there is no manifest.json")
        if path.exists() and (not path.is_dir() or any(not _begun(file) for file in path.iterdir())):
            return ValueError(f"{path} is not empty and holds no sweep; give a directory of its own to the store")
        return None

    def look(self) -> None:
        """Take note of what other processes have changed in the manifest."""
        about = os.stat(self.file)
        version = about.st_ino, about.st_mtime_ns, about.st_size
        if version != self._version:
            self.manifest, self._version = read_manifest(self.file, self.path), version
        self.layout = self.manifest.layout.until(self.stretches or len(self.manifest.layout.rounds))

    def _save(self, manifest: Manifest) -> None:
        write_twice(self.file, manifest.to_json())

    def _clean(self) -> None:
        """Remove what killed processes left over, where the store lets itself be written."""
        self.entries.clean()
        with suppress(OSError):
            if copy_of(self.file).read_bytes() != self.file.read_bytes():
                with self.claims.alone(MANIFEST):
                    write(copy_of(self.file), self.file.read_bytes())
        for partial in (self.path / "partial").glob("*"):
            unit = Unit.parse(partial.name)
            with suppress(OSError, Damaged), self.claims.tried(partial.name) as held:  # damage is named when it is met
                if held and unit is not None and self.done(unit) is not None:  # killed just before this was removed
                    shutil.rmtree(partial, ignore_errors=True)

    def extend(self, asked: Manifest) -> Manifest:
        """Make room for more seeds and rounds, and return the manifest of the sweep that is asked for, as it is stored.

        Raises:
            ValueError: if what is asked for is another sweep, or less than what is stored; nothing is changed.
        """
        if self._extended(asked) != self.manifest.layout:
            with self.claims.alone(MANIFEST):
                self.look()
                if (extended := self._extended(asked)) != self.manifest.layout:
                    self._save(replace(self.manifest, layout=extended))
            self.look()
        self.stretches = self.manifest.layout.rounds.index(asked.layout.rounds[-1]) + 1
        self.look()
        return self.of_sweep(asked)

    def of_sweep(self, asked: Manifest) -> Manifest:
        """The manifest of the sweep that is asked for, as it is stored."""
        return replace(self.manifest, layout=self.layout.arranged(asked.layout))

    def _extended(self, asked: Manifest) -> Layout:
        there, new = self.manifest.layout, asked.layout
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
        cells = lambda of: [(p.label, list(p.cells)) for p in of.programs]
        if cells(there) != cells(new):
            raise ValueError(f"{self.path} was begun by a version of jaxdec that groups cells otherwise; use a new one")
        if new.rounds[-1] > there.rounds[-1] and not self.manifest.states:
            raise ValueError(
                f"{self.path} was stored with states=False, so that its runs cannot go on from round "
                f"{there.rounds[-1]}; give a directory of its own to the longer sweep"
            )
        return there.extended(new)

    def shaped(self, group: int, shape: Shape, at_once: Shape) -> tuple[Shape, Shape]:
        """Keep in which units a group is run, unless that is known already, and how much of one at once."""

        def kept() -> tuple[Shape, Shape]:
            there = self.manifest.layout.programs[group]
            return there.shape or shape, Shape(*map(min, there.at_once or at_once, at_once))

        program = self.manifest.layout.programs[group]
        if kept() != (program.shape, program.at_once):
            with self.claims.alone(MANIFEST):
                self.look()
                layout = self.manifest.layout.with_shape(group, *kept())
                if layout != self.manifest.layout:
                    self._save(replace(self.manifest, layout=layout))
            self.look()
        return kept()

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

    def begin(self, unit: Unit) -> bool:
        """Claim a unit, if it is still to be run, what it goes on from is there and no other process has claimed it."""
        if not self.claims.take(unit.name):
            return False
        self.look()
        column = [unit._replace(stretch=k) for k in range(unit.stretch, len(self.layout.rounds))]
        if unit in self._open(column) and (not unit.stretch or self._goes_on(unit._replace(stretch=unit.stretch - 1))):
            return True
        self.end(unit)
        return False

    def _open(self, column: list[Unit]) -> set[Unit]:
        """The units of some stretches that are to be run, of one chunk and block."""
        unit, *after = column
        later = self._open(after) if after else set()
        needed = self.done(unit) is None or (bool(after) and after[0] in later and not self._goes_on(unit))
        return later | ({unit} if needed else set())

    def _goes_on(self, unit: Unit) -> bool:
        """Whether a unit is there with the states that the next one goes on from."""
        return (mark := self.done(unit)) is not None and _state(unit) in mark["files"]

    def end(self, unit: Unit) -> None:
        """Give up the claim of a unit."""
        self.claims.free(unit.name)

    def close(self) -> None:
        """Give up all claims, and remove those of the dead."""
        self.claims.free_all()
        self.claims.clean()

    def mine(self, unit: Unit) -> bool:
        """Whether a unit is still claimed by this process: one that slept for long has lost it."""
        return self.claims.mine(unit.name)

    def done(self, unit: Unit) -> dict[str, Any] | None:
        """What is known of a unit that is there whole, for all of its seeds; else None.

        Raises:
            Damaged: if one of its files is missing or damaged.
        """
        found = self.entries.found(unit.name)
        return found if found is not None and self._is(unit, found) else None

    def holds(self, unit: Unit) -> bool:
        """Whether there is such a unit in the layout."""
        programs = self.layout.programs
        return (
            0 <= unit.group < len(programs)
            and bool(programs[unit.group].shape)
            and unit in self.layout.units(unit.group)
        )

    def _is(self, unit: Unit, mark: dict[str, Any]) -> bool:
        """Whether a mark is that of a unit's runs: one of other seeds, or of fewer, is not."""
        return all(mark[name] == value for name, value in self.layout.runs(unit).items())

    def write(
        self,
        unit: Unit,
        runs: dict[str, Any],
        arrays: Numbers,
        state: list[np.ndarray] | None,
        seconds: tuple[float, float],
        how: str,
    ) -> None:
        """Store a unit: its files, then its mark, with how it was run, and what runs it had when it was begun.

        Raises:
            OSError: if the disk is full or does not let itself be written; nothing that was stored is harmed.
        """
        files, kinds = {}, {}
        self.entries.reopen(unit.name)
        for name, values in arrays.items():
            chunk, place = self.chunk(unit, values.dtype.name, values.shape), self._place(unit, name)
            files |= self.arrays.write(place, values, chunk, self.claims.alone(MANIFEST))
            kinds[name] = [chunk.dtype, list(chunk.size)]
        if state is not None:
            files |= self.entries.put(_state(unit), pack({str(k): leaf for k, leaf in enumerate(state)}))
        facts = {"arrays": kinds, "at_once": how, "compile": seconds[0], "run": seconds[1]}
        self.entries.close(unit.name, files, **runs, **facts)
        if unit.stretch and state is not None:  # the states before are no longer needed
            before = unit._replace(stretch=unit.stretch - 1)
            with self.claims.tried(before.name) as held:  # unless another process runs that one again
                if held:
                    self.entries.drop(before.name, _state(before))
        shutil.rmtree(self.path / "partial" / unit.name, ignore_errors=True)

    def _place(self, unit: Unit, name: str) -> str:
        return f"{unit.group}/{unit.stretch}/{name}"

    def chunk(self, unit: Unit, dtype: str, shape: tuple[int, ...]) -> Chunk:
        """Which chunk of its Zarr array a unit's values of some shape are."""
        program, when = self.layout.programs[unit.group], self.layout.records(unit.stretch)
        records, node = when.stop - when.start, shape[3:]
        if len(shape) == 1:
            return Chunk(dtype, (records,), (records,), (0,))
        size = program.shape or self.layout.size(unit)
        return Chunk(
            dtype,
            (len(self.layout.seeds), len(program.cells), records, *node),
            (size.seeds, size.cells, records, *node),
            (unit.block, unit.chunk, 0, *(0 for _ in node)),
        )

    def read(self) -> Iterator[tuple[Unit, Numbers]]:
        """The units that are there, with their arrays."""
        known: dict[Any, Any] = {}
        for g, program in enumerate(self.layout.programs):
            for unit in self.layout.units(g) if program.shape else []:
                if (arrays := self.of(unit, known)) is not None:
                    yield unit, arrays

    def of(self, unit: Unit, known: dict[Any, Any] | None = None) -> Numbers | None:
        """The arrays of a unit by name; None where it is not there. `known` is what units have in common.

        Raises:
            Damaged: naming the file.
        """
        if (mark := self._mark(unit)) is None:
            return None
        known = {} if known is None else known
        try:
            return {name: self._values(unit, name, kind, mark, known) for name, kind in mark["arrays"].items()}
        except Damaged:
            if self._mark(unit) != mark:  # another process has just begun to write it anew, with more seeds
                return None
            raise

    def marked(self, unit: Unit) -> bool:
        """Whether a unit has a mark, be it damaged or of other seeds."""
        return self.entries.mark(unit.name).exists()

    def _mark(self, unit: Unit) -> dict[str, Any] | None:
        """The mark of a unit that is there; its files may be damaged."""
        found = self.entries.there(unit.name)
        return found if found is not None and self._is(unit, found) else None

    def _values(self, unit: Unit, name: str, kind: list[Any], mark: Any, known: dict[Any, Any]) -> np.ndarray:
        place, (dtype, size) = self._place(unit, name), kind
        if dtype not in NUMBERS:
            found = f"says that {name} is of dtype {dtype!r}: a stored sweep holds numbers alone"
            raise Damaged(self.entries.mark(unit.name), found, self.path)
        chunk = self.chunk(unit, dtype, tuple(size))
        if place not in known:
            self.arrays.check(place, chunk)
            known[place] = True
        file = file_of(place, chunk.at)
        if len(size) > 1:
            actual = self.layout.size(unit)
            array = values_of(self.entries.bytes(unit.name, file, mark), dtype, chunk.size)
            return array[: actual.seeds, : actual.cells]
        version = file, str(mark["files"].get(file))  # one file for all units of a program
        if version not in known:
            known[version] = values_of(self.entries.bytes(unit.name, file, mark), dtype, chunk.size)
        return known[version]

    def state(self, unit: Unit) -> Numbers:
        """What the runs of a unit carry, as `write` got it."""
        return unpack(self.entries.bytes(unit.name, _state(unit)))

    def partial(self, unit: Unit, about: Any) -> Partial:
        """Where the segments of a unit under way are kept; those of a unit that has become another are removed."""
        path = self.path / "partial" / unit.name
        if path.exists() and not any(file.exists() for file in (path / "run.json", copy_of(path / "run.json"))):
            shutil.rmtree(path)  # its removal was cut short
        with suppress(ValueError):  # what is damaged is named when it is read
            if path.exists() and differences(read_json(path / "run.json").get("run"), about):
                shutil.rmtree(path)
        return Partial(path, about, self.path)

    def took(self) -> tuple[tuple[float, float], set[str]]:
        """What compiling and running took over all sessions; how many runs were side by side, on which devices."""
        marks = list(self.entries.marks())
        seconds = sum(m["compile"] for m in marks), sum(m["run"] for m in marks)
        return seconds, {mark["at_once"] for mark in marks}


def _state(unit: Unit) -> str:
    return f"states/{unit.name}"


def _begun(file: Path) -> bool:
    """Whether a file is of a process that is about to begin a store, or what `jaxdec sweep` drew in one."""
    return file.name in ("claims", "figure.png") or file.name.endswith(".tmp")
