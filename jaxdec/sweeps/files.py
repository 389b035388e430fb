"""Files that are there whole or not at all: JSON, and arrays as Zarr keeps them."""

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

NUMBERS = ("bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)))
NUMBERS += ("float16", "float32", "float64")  # the dtypes that are stored and read


def write(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, whatever happens."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        what = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else os.strerror(error.errno or 0)
        raise OSError(
            error.errno,
            f"{what}: {path.name} was not written. What is stored is unharmed: call again to go on",
            str(path),
        ) from error


def readable(content: Any) -> str:
    """JSON with a line for each field, but lists of numbers and texts on one."""
    on_one = lambda found: "[" + re.sub(r"\n\s+", " ", found[1]) + "]"
    return re.sub(r"\[\n\s+([^\[\]{}]*?)\n\s+\]", on_one, json.dumps(content, indent=1))


def read_json(path: Path) -> Any:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} does not hold an object of JSON")
    return found


def array_metadata(shape: tuple[int, ...], chunk: tuple[int, ...], dtype: np.dtype, dims: list[str]) -> dict[str, Any]:
    """The metadata of an uncompressed array in Zarr's version 3, as zarr-python writes them."""
    if dtype.name not in NUMBERS:
        raise ValueError(f"a metric of dtype {dtype} cannot be stored; return numbers")
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN" if dtype.kind == "f" else False if dtype.kind == "b" else 0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "dimension_names": dims,
        "attributes": {},
    }
