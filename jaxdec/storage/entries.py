"""Entries of a directory that are there whole or not at all, written so that a kill harms none, read without trust."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxdec.storage.files import read_json, write

__all__ = ["Entries", "Files"]

Files = dict[str, list[Any]]  # sizes and digests by name


class Entries:
    """The entries of a directory: first the files of one are written, then its mark, done/ENTRY.json.

    An entry counts once its mark is there. The mark has the sizes and digests of its files, which are checked when they
    are read.
    """

    def __init__(self, path: Path, what: str):
        """`what` an entry is called in errors."""
        self.path, self.what = path, what

    def clean(self) -> None:
        """Remove what a process left over that was killed while it wrote."""
        for left_over in self.path.rglob(".*.tmp"):
            left_over.unlink()

    def put(self, name: str, data: bytes) -> Files:
        """Write a file of an entry."""
        write(self.path / name, data)
        return {name: [len(data), hashlib.sha256(data).hexdigest()]}

    def close(self, entry: str, files: Files, **facts: Any) -> None:
        """From now on the entry is there, with these files."""
        write(self.mark(entry), json.dumps({**facts, "files": files}).encode())

    def drop(self, entry: str, name: str) -> None:
        """Remove a file of an entry that stays without it."""
        found = read_json(self.mark(entry))
        found["files"].pop(name, None)
        write(self.mark(entry), json.dumps(found).encode())
        (self.path / name).unlink(missing_ok=True)

    def found(self, entry: str) -> dict[str, Any] | None:
        """The facts and files of an entry; None where it is not there.

        Raises:
            ValueError: if its mark cannot be read, or one of its files is missing or truncated; with its name.
        """
        path = self.mark(entry)
        if not path.exists():
            return None
        found = read_json(path)
        if not isinstance(found.get("files"), dict):
            raise ValueError(f"{path} is damaged; delete it, and {self.what} is run again")
        for name, (size, _) in found["files"].items():
            file = self._inside(name)
            actual = file.stat().st_size if file.exists() else None
            if actual != size:
                what = "missing" if actual is None else f"truncated: {actual} bytes of {size}"
                raise ValueError(f"{file} is {what}; delete {path}, and {self.what} is run again. The others are whole")
        return found

    def bytes(self, entry: str, name: str, found: dict[str, Any] | None = None) -> bytes:
        """What is in a file of an entry, of which `found` may be known already.

        Raises:
            ValueError: if it is not what was written.
        """
        found = found or self.found(entry)
        if found is None or name not in found["files"]:
            raise ValueError(f"{self.path / name} is gone, or its mark is; call again to run {self.what} again")
        data = self._inside(name).read_bytes()
        if hashlib.sha256(data).hexdigest() != found["files"][name][1]:
            raise ValueError(
                f"{self.path / name} is damaged: its digest is not that of when it was written; delete "
                f"{self.mark(entry)}, and {self.what} is run again. The others are whole"
            )
        return data

    def marks(self) -> Iterator[dict[str, Any]]:
        """The facts of all entries."""
        return (read_json(path) for path in sorted((self.path / "done").glob("*.json")))

    def mark(self, entry: str) -> Path:
        """Where the mark of an entry is."""
        return self.path / "done" / f"{entry}.json"

    def _inside(self, name: str) -> Path:
        path = (self.path / name).resolve()
        if not path.is_relative_to(self.path.resolve()):
            raise ValueError(f"{self.path} names a file outside of it: {name}")
        return path
