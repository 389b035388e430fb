"""Files that are there whole or not at all: JSON, and arrays as raw numbers."""

import errno
import hashlib
import itertools
import json
import os
import re
import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdec.storage.processes import this

__all__ = [
    "MISSING",
    "Arrays",
    "Damaged",
    "OtherFormat",
    "copy_of",
    "pack",
    "read_format",
    "read_json",
    "read_sealed",
    "readable",
    "seal",
    "sealed",
    "unpack",
    "unwritten",
    "write",
    "write_twice",
]

Arrays = dict[str, np.ndarray]
MISSING = (FileNotFoundError, NotADirectoryError, IsADirectoryError)  # what is no file where one should be
_COUNT = itertools.count()


class Damaged(ValueError):
    """A file that is not what was written, in a directory that `jaxdec repair` makes whole."""

    def __init__(self, file: Path, what: str, directory: Path):
        super().__init__(
            f"{file} {what}; `jaxdec repair {shlex.quote(str(directory))}` removes what is damaged, and the next call "
            "runs it again"
        )


class OtherFormat(ValueError):
    """A directory that another version wrote."""


def write(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, whatever happens."""
    temporary = path.with_name(f".{path.name}.{this()}.{next(_COUNT)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise unwritten(path, error) from error


def unwritten(path: Path, error: OSError) -> OSError:
    """What a file that could not be written is reported as."""
    what = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else os.strerror(error.errno or 0)
    said = f"{what}: {path.name} was not written. What is stored is unharmed: call again to go on"
    return OSError(error.errno, said, str(path))


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """JSON with its own digest, which does not depend on the order of keys."""
    return {**content, "sha256": _digest(content)}


def sealed(found: Mapping[str, Any]) -> bool:
    """Whether JSON has the digest that it had when it was sealed."""
    return found.get("sha256") == _digest({key: value for key, value in found.items() if key != "sha256"})


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_sealed(path: Path, directory: Path) -> dict[str, Any]:
    """JSON that was sealed.

    Raises:
        Damaged: if it cannot be read or is not what was written.
    """
    try:
        found = read_json(path)
    except ValueError as error:
        raise Damaged(path, "is missing" if not path.exists() else "cannot be read", directory) from error
    if not sealed(found):
        raise Damaged(path, "is damaged: its digest is not that of when it was written", directory)
    return found


def read_format(path: Path, expected: str, directory: Path) -> dict[str, Any]:
    """JSON that was sealed, of a format.

    Raises:
        Damaged: if it is not what was written.
        OtherFormat: if it is whole, and of another format.
    """
    try:
        found = read_json(path)
    except ValueError:  # said below
        found = {}
    if (format := found.get("format")) != expected and found and (sealed(found) or "sha256" not in found):
        raise OtherFormat(
            f"{path} is of format {format!r}; this version of jaxdec reads {expected!r}. Read it with the version that "
            "wrote it, or give another directory"
        )
    return read_sealed(path, directory)


def copy_of(path: Path) -> Path:
    """Where the second copy of a file is."""
    return path.with_name(f"{path.stem}.copy{path.suffix}")


def write_twice(path: Path, content: Mapping[str, Any]) -> None:
    """Seal and write what all else hangs on, and a copy of it, from which it is repaired."""
    data = readable(seal(content)).encode()
    write(path, data)
    write(copy_of(path), data)


def readable(content: Any) -> str:
    """JSON with a line for each field, but lists of numbers and texts on one."""
    on_one = lambda found: "[" + re.sub(r"\n\s+", " ", found[1]) + "]"
    return re.sub(r"\[\n\s+([^\[\]{}]*?)\n\s+\]", on_one, json.dumps(content, indent=1))


def read_json(path: Path) -> Any:
    try:
        found = json.loads(path.read_bytes())
    except (*MISSING, ValueError) as error:  # of a disk that does not answer the error is its own: nothing is damaged
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
