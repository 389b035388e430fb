"""A sweep on disk: written unit by unit, so that a kill loses at most the one in flight, and read without trust.

::

    DIR/manifest.json            what was asked (specification), its dimensions and units, versions and commit
    DIR/data.zarr/G/K/NAME       one Zarr array for each program G, stretch of rounds K and metric: (seed, cell, round)
    DIR/done/G.K.C.B.json        a unit that is there whole: the sizes and digests of its files, and what it took
    DIR/states/G.K.C.B           the last states of its runs, raw, from which more rounds go on

`data.zarr` is Zarr version 3, uncompressed, with one chunk per unit, which any reader of Zarr opens; what is not there
yet reads as NaN. A file appears under its name when it is whole and on disk, and a unit counts once its `done` file is
there. Reading takes JSON and raw numbers of known dtypes, checked against their digests: nothing is unpickled or run.

The states cost n d numbers for each vector that an algorithm keeps, per run, until more rounds have replaced them:
2000 runs of two vectors of 16 nodes and 650 parameters take 170 MB in float32.
"""

import datetime
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from jaxdec.describe import differences
from jaxdec.sweeps import manifest
from jaxdec.sweeps.files import NUMBERS, array_metadata, read_json, readable, write
from jaxdec.sweeps.manifest import Arrays, Manifest, Unit

FORMAT = "jaxdec sweep, version 1"


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
    dataset = manifest.assemble(store.facts, store.read())
    return dataset.assign_attrs(manifest.attributes(store.facts, dataset, store.seconds()))


class Store:
    """A directory with a stored sweep."""

    def __init__(self, path: Path, facts: Manifest | None = None):
        """Open what is there; with `facts`, the manifest of a sweep about to begin, begin it if nothing is."""
        self.path = path
        if not (path / "manifest.json").exists():
            if facts is None:
                raise ValueError(f"{path} holds no sweep: there is no manifest.json")
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise ValueError(f"{path} is not empty and holds no sweep; give a directory of its own to the store")
            self.facts: Manifest = {
                "format": FORMAT,
                **facts,
                "created": datetime.datetime.now().isoformat("T", "seconds"),
            }
            self.save()
        self.facts = _manifest(path / "manifest.json")
        for left_over in path.rglob(".*.tmp") if facts is not None else ():
            left_over.unlink()  # by a process that was killed while it wrote

    def save(self) -> None:
        """Write the manifest."""
        write(self.path / "manifest.json", readable(self.facts).encode())

    def extend(self, facts: Manifest) -> Manifest:
        """Make room for more seeds and rounds, and return the manifest of the sweep that is asked for, as it is stored.

        Raises:
            ValueError: if what is asked for is another sweep, or less than what is stored; nothing is changed.
        """
        there = self.facts
        lines = differences(there["specification"], facts["specification"])
        if lines:
            shown = "".join(f"\n  {line}" for line in lines[:8]) + (
                f"\n  and {len(lines) - 8} more" if lines[8:] else ""
            )
            raise ValueError(f"{self.path} holds another sweep; give a directory of its own to this one:{shown}")
        less = [f"seed {seed}" for seed in there["seeds"] if seed not in facts["seeds"]]
        less += [f"rounds up to {there['rounds'][-1]}"] if facts["rounds"][-1] < there["rounds"][-1] else []
        if less:
            raise ValueError(
                f"{self.path} holds more than this sweep asks for: {', '.join(less)}. Ask for at least as much, or "
                "read what is there with jaxdec.load"
            )
        cells = lambda of: [(g["program"], sorted(g["cells"])) for g in of["groups"]]
        if cells(there) != cells(facts):
            raise ValueError(f"{self.path} was begun by a version of jaxdec that groups cells otherwise; use a new one")
        rounds, last = facts["rounds"][-1], there["rounds"][-1]
        if rounds > last and not there["states"]:
            raise ValueError(
                f"{self.path} was stored with states=False, so that its runs cannot go on from round {last}; give a "
                "directory of its own to the longer sweep"
            )
        seeds = there["seeds"] + [seed for seed in facts["seeds"] if seed not in there["seeds"]]
        if seeds != there["seeds"] or rounds > last:
            self.facts = {**there, "seeds": seeds, "rounds": there["rounds"] + [rounds] * (rounds > last)}
            self.save()
        groups = [
            group | {k: stored[k] for k in ("shape", "at_once") if k in stored}
            for group, stored in zip(facts["groups"], there["groups"], strict=True)
        ]
        return {**self.facts, **{k: facts[k] for k in ("dimensions", "coordinates")}, "groups": groups}

    def shaped(self, group: int, shape: list[int], at_once: list[int]) -> None:
        """Keep in which units a group is run, and how much of one at once."""
        self.facts["groups"][group] |= {"shape": shape, "at_once": at_once}
        self.save()

    def todo(self, group: int) -> list[Unit]:
        """The units of a group that are still to be run, in order; what they go on from comes before them."""
        every = manifest.units(self.facts, group)
        marks = {unit: self.done(unit) for unit in every}
        todo = {unit for unit, mark in marks.items() if mark is None}
        for unit in reversed(every):
            before = unit._replace(segment=unit.segment - 1)
            if (
                unit in todo
                and unit.segment
                and f"states/{_name(before)}" not in (marks[before] or {"files": ()})["files"]
            ):
                todo.add(before)
        return [unit for unit in every if unit in todo]

    def done(self, unit: Unit) -> dict[str, Any] | None:
        """What is known of a unit that is there whole, for all of its seeds; else None.

        Raises:
            ValueError: if one of its files is missing or damaged.
        """
        found = self._record(unit)
        seeds = manifest.seeds_of(self.facts, unit)
        return found if found is not None and found["seeds"] >= seeds.stop - seeds.start else None

    def _record(self, unit: Unit) -> dict[str, Any] | None:
        path = self._marker(unit)
        if not path.exists():
            return None
        found = read_json(path)
        if not isinstance(found.get("files"), dict) or not isinstance(found.get("seeds"), int):
            raise ValueError(f"{path} is damaged; delete it, and the unit is run again")
        for name, (size, _) in found["files"].items():
            file = self._inside(name)
            actual = file.stat().st_size if file.exists() else None
            if actual != size:
                what = "missing" if actual is None else f"truncated: {actual} bytes of {size}"
                raise ValueError(f"{file} is {what}; delete {path}, and the unit is run again. The others are whole")
        return found

    def _mark(self, unit: Unit) -> dict[str, Any]:
        found = self._record(unit)
        if found is None:
            raise ValueError(f"{self._marker(unit)} is gone; call again to run the unit again")
        return found

    def write(self, unit: Unit, arrays: Arrays, state: list[np.ndarray] | None, seconds: tuple[float, float]) -> None:
        """Store a unit: its files, then its mark.

        Raises:
            OSError: if the disk is full or does not let itself be written; nothing that was stored is harmed.
        """
        files = {}
        folder = f"data.zarr/{unit.group}/{unit.segment}"
        for name, values in arrays.items():
            files |= self._chunk(f"{folder}/{name}", unit, values)
        if state is not None:
            files |= self._put(f"states/{_name(unit)}", b"".join(np.ascontiguousarray(a).tobytes() for a in state))
        seeds = manifest.seeds_of(self.facts, unit)
        mark = {"seeds": seeds.stop - seeds.start, "compile": seconds[0], "run": seconds[1], "files": files}
        write(self._marker(unit), json.dumps(mark).encode())
        if unit.segment and state is not None:  # the states before are no longer needed
            self._forget(unit._replace(segment=unit.segment - 1))

    def _forget(self, unit: Unit) -> None:
        name, path = f"states/{_name(unit)}", self._marker(unit)
        mark = read_json(path)
        mark["files"].pop(name, None)
        write(path, json.dumps(mark).encode())
        (self.path / name).unlink(missing_ok=True)

    def _chunk(self, name: str, unit: Unit, values: np.ndarray) -> dict[str, Any]:
        """Write one chunk of a Zarr array, padded to its shape, and the array's metadata and those above it."""
        if Path(name).parent != Path(f"data.zarr/{unit.group}/{unit.segment}") or Path(name).name.startswith("."):
            raise ValueError(f"a metric that is stored is named as a file can be; got {name.split('/', 3)[-1]!r}")
        cells, seeds = self.facts["groups"][unit.group]["shape"]
        when = manifest.records_of(self.facts, unit.segment)
        if values.ndim == 1:
            shape = chunk = (len(values),)
            key, dims = "c/0", ["round"]
        else:
            total = len(self.facts["groups"][unit.group]["cells"])
            shape, chunk = (len(self.facts["seeds"]), total, when.stop - when.start), (seeds, cells, values.shape[-1])
            key, dims = f"c/{unit.block}/{unit.chunk}/0", ["seed", "cell", "round"]
            values = np.pad(values, [(0, full - size) for full, size in zip(chunk, values.shape, strict=True)])
        *above, _ = Path(name).parents
        for folder in above:
            self._metadata(str(folder), {"zarr_format": 3, "node_type": "group", "attributes": {}})
        self._metadata(name, array_metadata(shape, chunk, values.dtype, dims))
        return self._put(f"{name}/{key}", np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())

    def _metadata(self, name: str, content: dict[str, Any]) -> None:
        path, data = self.path / name / "zarr.json", json.dumps(content, indent=1).encode()
        if not path.exists() or path.read_bytes() != data:
            write(path, data)

    def _put(self, name: str, data: bytes) -> dict[str, Any]:
        write(self.path / name, data)
        return {name: [len(data), hashlib.sha256(data).hexdigest()]}

    def read(self) -> Iterator[tuple[Unit, Arrays]]:
        """The units that are there, with their arrays."""
        for g, group in enumerate(self.facts["groups"]):
            for unit in manifest.units(self.facts, g) if group["shape"] else []:
                found = self._record(unit)
                if found is not None and found["seeds"] >= (w := manifest.seeds_of(self.facts, unit)).stop - w.start:
                    yield unit, self.arrays(unit)

    def arrays(self, unit: Unit) -> Arrays:
        """The arrays of a unit by name."""
        mark = self._mark(unit)
        folder = f"data.zarr/{unit.group}/{unit.segment}/"
        found = {}
        for name in mark["files"]:
            if name.startswith(folder):
                path = self.path / folder / (variable := name.removeprefix(folder).partition("/")[0])
                found[variable] = self._values(path / "zarr.json", unit, self._bytes(name, unit, mark))
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
        seeds, cells = manifest.seeds_of(self.facts, unit), manifest.cells_of(self.facts, unit)
        return array[: seeds.stop - seeds.start, : cells.stop - cells.start]

    def state(self, unit: Unit) -> bytes:
        """The last states of a unit, as `write` got them."""
        return self._bytes(f"states/{_name(unit)}", unit, self._mark(unit))

    def _bytes(self, name: str, unit: Unit, mark: dict[str, Any]) -> bytes:
        data = self._inside(name).read_bytes()
        if hashlib.sha256(data).hexdigest() != mark["files"][name][1]:
            raise ValueError(
                f"{self.path / name} is damaged: its digest is not that of when it was written; delete "
                f"{self._marker(unit)}, and the unit is run again. The others are whole"
            )
        return data

    def seconds(self) -> tuple[float, float]:
        """What compiling and running have taken, over all sessions."""
        marks = [read_json(path) for path in sorted((self.path / "done").glob("*.json"))]
        return sum(m["compile"] for m in marks), sum(m["run"] for m in marks)

    def _marker(self, unit: Unit) -> Path:
        return self.path / "done" / f"{_name(unit)}.json"

    def _inside(self, name: str) -> Path:
        path = (self.path / name).resolve()
        if not path.is_relative_to(self.path.resolve()):
            raise ValueError(f"{self.path} names a file outside of it: {name}")
        return path


def _name(unit: Unit) -> str:
    return ".".join(map(str, unit))


def _manifest(path: Path) -> Manifest:
    found = read_json(path)
    if found.get("format") != FORMAT:
        raise ValueError(
            f"{path} is of format {found.get('format')!r}; this version of jaxdec reads {FORMAT!r}. Read it with the "
            "version that wrote it, or give another directory"
        )
    needed = ("specification", "dimensions", "coordinates", "every", "rounds", "seeds", "groups", "states", "versions")
    if missing := [key for key in needed if key not in found]:
        raise ValueError(f"{path} is damaged: it has no {', '.join(missing)}")
    return found
