"""A stored unit under way: what it has is kept where it takes long."""

import time
from pathlib import Path
from typing import Any

from jaxdec.storage.segments import Segments, SoFar

__all__ = ["PATIENCE", "Partial"]

PATIENCE = 20.0  # seconds that a unit runs before what it has is kept


class Partial:
    """The segments of a unit under way, kept where it takes long."""

    def __init__(self, path: Path, about: Any, directory: Path):
        self.path, self.about, self.directory = path, about, directory
        self.segments: Segments | None = None  # no file is written before there is something to keep
        self.since = time.monotonic()

    def last(self) -> SoFar | None:
        if not self.path.exists():
            return None
        self.segments = Segments(self.path, self.about, self.directory)
        return self.segments.last()

    def due(self) -> bool:
        return time.monotonic() - self.since >= PATIENCE

    def add(self, begin: int, new: SoFar) -> None:
        self.segments = self.segments or Segments(self.path, self.about, self.directory)
        self.segments.add(begin, new)
        self.since = time.monotonic()
