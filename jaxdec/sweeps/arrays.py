"""The numbers of a stored sweep as Zarr arrays, which zarr writes through files that survive kills."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zarr
from zarr.storage import LocalStore

from jaxdec.storage.entries import Entries, Files

__all__ = ["Chunk", "Durable", "write_chunk"]


class Durable(LocalStore):
    """A store of Zarr whose files are there whole or not at all, and on disk: zarr's own are not synced."""

    def __init__(self, entries: Entries, folder: str):
        super().__init__(entries.path / folder)
        self.entries, self.folder = entries, folder
        self.written: Files = {}  # since it was last emptied

    async def set(self, key: str, value: Any) -> None:
        self.written |= self.entries.put(f"{self.folder}/{key}", value.to_bytes())

    async def set_if_not_exists(self, key: str, value: Any) -> None:
        if not (Path(self.root) / key).exists():
            await self.set(key, value)


class Chunk(NamedTuple):
    """A chunk of an array."""

    shape: tuple[int, ...]  # of the array
    size: tuple[int, ...]  # of all of its chunks
    at: tuple[int, ...]  # which one
    dims: tuple[str, ...]  # the names of the array's dimensions


def write_chunk(store: Durable, name: str, values: np.ndarray, chunk: Chunk) -> Files:
    """Write a chunk, or less where the array ends in it. The array is made, or extended, where it is not yet so large.

    Returns:
        The files of the chunk.
    """
    if (Path(store.root) / name / "zarr.json").exists():
        array = zarr.open_array(store, path=name, mode="r+")
        if array.shape != chunk.shape:
            array.resize(chunk.shape)
    else:
        array = zarr.create_array(
            store,
            name=name,
            shape=chunk.shape,
            chunks=chunk.size,
            dtype=values.dtype,
            compressors=None,
            filters=None,
            fill_value=np.nan if values.dtype.kind == "f" else 0,
            dimension_names=chunk.dims,
        )
    store.written.clear()
    with zarr.config.set({"array.write_empty_chunks": True}):  # one of NaN was run, and has diverged
        corner = [k * size for k, size in zip(chunk.at, chunk.size, strict=True)]
        array[tuple(slice(c, c + size) for c, size in zip(corner, values.shape, strict=True))] = values
    return dict(store.written)
