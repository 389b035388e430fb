"""Files that are there whole or not at all: JSON, and arrays as raw numbers."""

import errno
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

__all__ = ["Arrays", "pack", "read_json", "readable", "unpack", "write"]

Arrays = dict[str, np.ndarray]


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


def pack(arrays: Mapping[str, Any]) -> bytes:
    """Arrays with their names: a line of JSON that says name, dtype and shape of each, and then their numbers.

    >>> unpack(pack({"loss": np.arange(3.0)}))
    {'loss': array([0., 1., 2.])}
    """
    found = {name: np.asarray(a) for name, a in arrays.items()}
    if wrong := [name for name, a in found.items() if a.dtype.hasobject]:
        raise ValueError(f"{', '.join(wrong)} cannot be stored: arrays of numbers can")
    head = json.dumps({name: [a.dtype.name, list(a.shape)] for name, a in found.items()})
    little = (a.astype(a.dtype.newbyteorder("<"), order="C", copy=False).tobytes() for a in found.values())
    return head.encode() + b"\n" + b"".join(little)


def unpack(data: bytes) -> Arrays:
    """The arrays that `pack` got. Nothing is unpickled or run."""
    head, _, numbers = data.partition(b"\n")
    found, offset = {}, 0
    for name, (kind, shape) in json.loads(head).items():
        dtype = jnp.dtype(kind).newbyteorder("<")
        size = int(np.prod(shape)) * dtype.itemsize
        found[name] = np.frombuffer(numbers[offset : offset + size], dtype).reshape(shape)
        offset += size
    return found
