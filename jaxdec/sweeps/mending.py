"""`jaxdec repair`: what is damaged in a store, or among a run's checkpoints, is removed, so that it is run again."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxdec.storage import segments
from jaxdec.storage.entries import Entries
from jaxdec.storage.files import Damaged, copy_of, read_format, write
from jaxdec.storage.places import located
from jaxdec.sweeps.layout import Unit
from jaxdec.sweeps.manifest import read_manifest
from jaxdec.sweeps.store import MANIFEST, Store

__all__ = ["repair"]

PARTS = ("done", "data.zarr", "states", "segments", "partial", "claims")  # all that a directory of ours holds


def repair(path: str | os.PathLike[str]) -> list[str]:
    """Remove what is damaged in the store of a sweep, or among the checkpoints of a run, and mend what can be mended.

    Whatever is removed is run again by the next call; all else is kept. What other processes are running is left alone.

    Returns:
        What was done, a sentence for each; none where everything is whole.

    Raises:
        ValueError: if the directory holds neither, or what another version wrote.
        OSError: if it does not let itself be written.

    >>> import tempfile
    >>> from jaxdec import algorithms, networks, problems, sweep
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     method, problem = algorithms.DSGD(lr=0.1), problems.quadratic(4, 2)
    ...     results = sweep(method, problem, networks.ring(4), seeds=2, rounds=4, store=directory)
    ...     repair(directory)
    []
    """
    path = located(path)
    there = lambda file: file.exists() or copy_of(file).exists()
    if there(path / "run.json"):
        return list(_run(path, path))
    if there(path / "manifest.json") or (path / "done").is_dir():
        return list(_store(path))
    raise ValueError(f"{path} holds neither a stored sweep nor the checkpoints of a run; give the directory of one")


def _store(path: Path) -> Iterator[str]:
    yield from _document(path / "manifest.json", lambda file: read_manifest(file, path))
    if not (path / "manifest.json").exists():
        return
    store = Store(path)
    store.entries.clean()
    kinds: dict[str, Any] = {}
    for mark in sorted((path / "done").glob("*.json")):
        with store.claims.tried(mark.stem) as held:
            if held:
                yield from _entry(store, Unit.parse(mark.stem), mark, kinds)
            else:
                yield f"left {mark} as it is: another process has claimed that chunk"
    with store.claims.alone(MANIFEST):
        store.look()
        yield from _arrays(store, kinds)
    for partial in sorted((path / "partial").glob("*")):
        with store.claims.tried(partial.name) as held:
            if held and list(_run(partial, path)):
                shutil.rmtree(partial, ignore_errors=True)
                yield f"removed {partial}, what a chunk under way had"


def _document(file: Path, read: Callable[[Path], Any]) -> Iterator[str]:
    """Mend what all else hangs on, of which there are two copies; where both are damaged nothing else can be read."""
    try:
        read(file)
        whole = file
    except Damaged:
        try:
            read(copy_of(file))
            whole = copy_of(file)
        except Damaged:
            for one in (file, copy_of(file)):
                one.unlink(missing_ok=True)
            for name in PARTS:
                shutil.rmtree(file.parent / name, ignore_errors=True)
            yield f"removed all that {file.parent} held: {file.name} and its copy are both damaged"
            return
    other = file if whole != file else copy_of(file)
    if not other.exists() or other.read_bytes() != whole.read_bytes():
        write(other, whole.read_bytes())
        yield f"wrote {other} again, from {whole.name}"


def _entry(store: Store, unit: Unit | None, mark: Path, kinds: dict[str, Any]) -> Iterator[str]:
    """Remove the mark of a unit whose results are damaged; a damaged state is removed alone."""
    state, entries = f"states/{mark.stem}", store.entries
    try:
        if unit is None or not store.holds(unit):
            raise Damaged(mark, "is of no chunk of this sweep", store.path)
        found = entries.facts(mark.stem)
        for name in found["files"]:
            if name != state:
                entries.bytes(mark.stem, name, found)
        for name, kind in found["arrays"].items():
            kinds.setdefault(f"{unit.group}/{unit.stretch}/{name}", (unit, kind))
    except Damaged as error:
        mark.unlink(missing_ok=True)
        yield f"removed {mark}: {_what(error)}"
        return
    if state in found["files"]:
        try:
            entries.bytes(mark.stem, state, found)
        except Damaged as error:
            entries.drop(mark.stem, state)
            yield f"removed {store.path / state}: {_what(error)}"


def _what(error: Damaged) -> str:
    return str(error).partition("; `jaxdec repair")[0]


def _arrays(store: Store, kinds: dict[str, Any]) -> Iterator[str]:
    """Write each zarr.json again that is damaged: the marks and the layout say all that is in it."""
    for name, (unit, (dtype, size)) in kinds.items():
        chunk = store.chunk(unit, dtype, tuple(size))
        try:
            store.arrays.check(name, chunk)
        except Damaged as error:
            store.arrays.describe(name, chunk)
            yield f"wrote {store.arrays.path / name / 'zarr.json'} again: {_what(error)}"
        else:
            store.arrays.describe(name, chunk)  # the groups it is in
    for file in sorted(store.arrays.path.glob("*/*/*/zarr.json")):
        name = str(file.parent.relative_to(store.arrays.path))
        if name not in kinds and not store.arrays.whole(file):
            file.unlink()
            yield f"removed {file}"


def _run(path: Path, directory: Path) -> Iterator[str]:
    """Remove the marks of segments that are damaged."""
    file = path / "run.json"
    yield from _document(file, lambda file: read_format(file, segments.FORMAT, directory))
    if not file.exists():
        return
    entries = Entries(path, directory)
    entries.clean()
    for mark in sorted((path / "done").glob("*.json")):
        try:
            found = entries.found(mark.stem)
            for name in found["files"] if found else ():
                entries.bytes(mark.stem, name, found)
        except Damaged as error:
            mark.unlink(missing_ok=True)
            yield f"removed {mark}: {_what(error)}"
