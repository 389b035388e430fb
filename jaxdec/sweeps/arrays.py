"""The numbers of a stored sweep as Zarr arrays of version 3: raw numbers, and a zarr.json for each array.

What is written is the plainest form of the format, version 3 with the one codec `bytes`, so that every file is there
whole or not at all and no library comes between. An array grows along its seeds; it never shrinks.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdec.storage.entries import Entries, Files
from jaxdec.storage.files import Damaged, read_json, readable, seal, sealed, write

__all__ = ["DIMS", "FOLDER", "Arrays", "Chunk", "file_of", "values_of"]

FOLDER = "data.zarr"
DIMS = ("seed", "cell", "round", "node")


class Chunk(NamedTuple):
    """A chunk of an array."""

    dtype: str
    shape: tuple[int, ...]  # of the array
    size: tuple[int, ...]  # of all of its chunks
    at: tuple[int, ...]  # which one

    def document(self) -> dict[str, Any]:
        """The array's zarr.json, with its own digest among the attributes."""
        dtype = np.dtype(self.dtype)
        one_byte = {} if dtype.itemsize == 1 else {"configuration": {"endian": "little"}}
        return _sealed(
            {
                "zarr_format": 3,
                "node_type": "array",
                "shape": list(self.shape),
                "data_type": self.dtype,
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(self.size)}},
                "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
                "fill_value": {"f": "NaN", "b": False}.get(dtype.kind, 0),
                "codecs": [{"name": "bytes", **one_byte}],
                "attributes": {},
                "dimension_names": list(DIMS[: len(self.size)] if len(self.size) > 1 else ("round",)),
                "storage_transformers": [],
            }
        )


def file_of(name: str, at: tuple[int, ...]) -> str:
    """The file of a chunk of an array, in the store."""
    return f"{FOLDER}/{name}/c/{'/'.join(map(str, at))}"


def values_of(data: bytes, dtype: str, size: tuple[int, ...]) -> np.ndarray:
    """What is in a chunk."""
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).astype(dtype).reshape(size)


class Arrays:
    """The arrays of a store."""

    def __init__(self, entries: Entries):
        self.entries, self.path = entries, entries.path / FOLDER
        self._known: dict[str, dict[str, Any]] = {}  # documents that are there

    def write(self, name: str, values: np.ndarray, chunk: Chunk, alone: AbstractContextManager[Any]) -> Files:
        """Write a chunk, or less where the array ends in it. The array is made, or extended, where it is not so large.

        `alone` is held while it is.

        Returns:
            The files of the chunk.
        """
        if not self._fits(name, chunk):
            with alone:
                self.describe(name, chunk)
        whole = np.full(chunk.size, np.nan if values.dtype.kind == "f" else 0, values.dtype)
        whole[tuple(map(slice, values.shape))] = values
        little = whole.astype(whole.dtype.newbyteorder("<"), copy=False)
        return self.entries.put(file_of(name, chunk.at), little.tobytes(), shared=len(chunk.size) == 1)

    def describe(self, name: str, chunk: Chunk) -> None:
        """Write an array's zarr.json, and those of the groups that it is in, unless they are there."""
        *groups, _ = name.split("/")
        for k in range(len(groups) + 1):
            path = self.path.joinpath(*groups[:k], "zarr.json")
            if (found := _read(path)) is None or found.get("node_type") != "group":
                write(path, readable(_sealed({"zarr_format": 3, "node_type": "group", "attributes": {}})).encode())
        path = self.path / name / "zarr.json"
        there, asked = _read(path), chunk.document()
        if there is None or not _alike(there, asked) or there["shape"] < asked["shape"]:
            write(path, readable(asked).encode())
            there = asked
        self._known[name] = there

    def _fits(self, name: str, chunk: Chunk) -> bool:
        known = self._known.get(name)
        return known is not None and _alike(known, chunk.document()) and known["shape"] >= list(chunk.shape)

    def whole(self, path: Path) -> bool:
        """Whether a zarr.json is what was written."""
        return _read(path) is not None

    def check(self, name: str, chunk: Chunk) -> None:
        """Refuse an array whose zarr.json is not what was written, or is not that of its chunks.

        Raises:
            Damaged: naming the file.
        """
        path = self.path / name / "zarr.json"
        found = _read(path)
        if found is None:
            what = "is damaged: its digest is not that of when it was written" if path.exists() else "is missing"
            raise Damaged(path, what, self.entries.directory)
        if not _alike(found, chunk.document()):
            raise Damaged(path, "does not fit the numbers of its array", self.entries.directory)


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two documents are of one array, which may have grown along its seeds."""
    apart = lambda found: {k: v for k, v in found.items() if k not in ("shape", "attributes")}
    return apart(one) == apart(other) and one.get("shape", [])[1:] == other.get("shape", [])[1:]


def _sealed(document: dict[str, Any]) -> dict[str, Any]:
    return document | {"attributes": {"sha256": seal(document)["sha256"]}}


def _read(path: Path) -> dict[str, Any] | None:
    """A zarr.json; None where it is not there or is not what was written."""
    try:
        found = read_json(path)
    except ValueError:
        return None
    attributes = found.get("attributes")
    kept = attributes.get("sha256") if isinstance(attributes, dict) and len(attributes) == 1 else None
    return found if sealed(found | {"attributes": {}, "sha256": kept}) else None
