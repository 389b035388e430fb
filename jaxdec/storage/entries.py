"""Entries of a directory that are there whole or not at all, written so that a kill harms none, read without trust."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from jaxdec.storage.files import MISSING, Damaged, read_sealed, readable, seal, write
from jaxdec.storage.processes import ended

__all__ = ["Entries", "Files"]

Files = dict[str, list[Any]]  # sizes and digests by name

DAY = 86_400.0


class Entries:
    """The entries of a directory: first the files of one are written, then its mark, done/ENTRY.json.

    An entry counts once its mark is there. The mark has the sizes and digests of its files, and its own; they are
    checked when they are read.
    """

    def __init__(self, path: Path, directory: Path | None = None):
        """`directory` is what is repaired where `path` is a part of it."""
        self.path, self.directory = path, directory or path

    def clean(self) -> None:
        """Remove what processes left over that were killed while they wrote; what others are writing stays."""
        for left_over in self.path.rglob(".*.tmp"):
            with suppress(OSError):  # gone meanwhile, or the directory is not to be written
                if ended(left_over.name.split(".")[-3]) or time.time() - left_over.stat().st_mtime > DAY:
                    left_over.unlink(missing_ok=True)

    def put(self, name: str, data: bytes, *, shared: bool = False) -> Files:
        """Write a file of an entry; one that entries share only where it is not there."""
        if not (shared and (self.path / name).is_file() and (self.path / name).read_bytes() == data):
            write(self.path / name, data)
        return {name: [len(data), hashlib.sha256(data).hexdigest()]}

    def close(self, entry: str, files: Files, **facts: Any) -> None:
        """From now on the entry is there, with these files."""
        write(self.mark(entry), readable(seal({**facts, "files": files})).encode())

    def reopen(self, entry: str) -> None:
        """From now on the entry is not there, so that its files may be written again."""
        self.mark(entry).unlink(missing_ok=True)

    def drop(self, entry: str, name: str) -> None:
        """Remove a file of an entry that stays without it, if the entry is there."""
        if (facts := self.there(entry)) is None:
            return
        files = {k: v for k, v in facts["files"].items() if k != name}
        self.close(entry, files, **{k: v for k, v in facts.items() if k not in ("files", "sha256")})
        (self.path / name).unlink(missing_ok=True)

    def found(self, entry: str) -> dict[str, Any] | None:
        """The facts and files of an entry; None where it is not there.

        Raises:
            Damaged: if its mark cannot be read, or one of its files is missing or truncated; with its name.
        """
        if (found := self.there(entry)) is None:
            return None
        try:
            self._check(entry, found)
        except Damaged:
            if self.there(entry) != found:  # another process has just changed it
                return self.found(entry)
            raise
        return found

    def _check(self, entry: str, found: dict[str, Any]) -> None:
        for name, (size, _) in found["files"].items():
            file = self._inside(entry, name)
            try:
                actual = file.stat().st_size
            except MISSING as error:
                raise Damaged(file, "is missing", self.directory) from error
            if actual != size:
                raise Damaged(file, f"is truncated: {actual} bytes of {size}", self.directory)

    def there(self, entry: str) -> dict[str, Any] | None:
        """What the mark of an entry says, of which its files may be damaged; None where it is not there.

        Raises:
            Damaged: if it cannot be read.
        """
        try:
            return self.facts(entry)
        except Damaged:
            if not self.mark(entry).exists():
                return None
            raise

    def facts(self, entry: str) -> dict[str, Any]:
        """What a mark says, of which its files may be damaged."""
        return read_sealed(self.mark(entry), self.directory)

    def bytes(self, entry: str, name: str, found: dict[str, Any] | None = None) -> bytes:
        """What is in a file of an entry, of which `found` may be known already.

        Raises:
            Damaged: if it is not what was written.
        """
        found = found or self.found(entry)
        file = self.path / name
        if found is None or name not in found["files"]:
            raise ValueError(f"{file} is gone, or its mark is; call again to run it again")
        try:
            data = self._inside(entry, name).read_bytes()
        except MISSING as error:
            raise Damaged(file, "is missing", self.directory) from error
        size, digest = found["files"][name]
        if len(data) < size:
            raise Damaged(file, f"is truncated: {len(data)} bytes of {size}", self.directory)
        if hashlib.sha256(data).hexdigest() != digest:
            raise Damaged(file, "is damaged: its digest is not that of when it was written", self.directory)
        return data

    def marks(self) -> Iterator[dict[str, Any]]:
        """The facts of all entries; of those that another process is writing anew nothing."""
        for path in sorted((self.path / "done").glob("*.json")):
            if (found := self.there(path.stem)) is not None:
                yield found

    def mark(self, entry: str) -> Path:
        """Where the mark of an entry is."""
        return self.path / "done" / f"{entry}.json"

    def _inside(self, entry: str, name: str) -> Path:
        """A file of an entry: none that a mark made by hand names elsewhere."""
        if name.startswith("/") or ".." in name.split("/") or "\\" in name:
            raise Damaged(self.mark(entry), f"names a file outside of {self.path}: {name}", self.directory)
        return self.path / name
