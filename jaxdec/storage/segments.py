"""Rounds in segments: what is run, kept and gone on from, for a single run as for the runs of a sweep.

::

    DIR/run.json          what is run, and a copy of it, run.copy.json
    DIR/segments/K        the records of segment K, raw
    DIR/states/K          the state at its end; that of the last segment alone is kept
    DIR/done/K.json       segment K is there whole: its rounds, and the sizes and digests of its files
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from jaxdec.describe import differences
from jaxdec.storage.entries import Entries
from jaxdec.storage.files import Arrays, Damaged, copy_of, pack, read_format, unpack, write_twice

__all__ = ["FORMAT", "Kept", "Piece", "Segments", "SoFar", "advance", "joined", "length"]

FORMAT = "jaxdec run, version 3"


class SoFar(NamedTuple):
    """A run, or the runs of a unit, until some round."""

    t: int
    records: Arrays  # (records, ...) of one run, or (seeds, cells, records, ...)
    state: list[np.ndarray]  # the leaves of what goes from round to round


Piece = Callable[[int, int, SoFar | None], tuple[Arrays, list[np.ndarray]]]


class Kept(Protocol):
    """Where segments are kept."""

    def last(self) -> SoFar | None:
        """What there is until the end of the last segment."""
        ...

    def due(self, t: int) -> bool:
        """Whether to keep what there is, at round t."""
        ...

    def add(self, begin: int, new: SoFar) -> None:
        """Keep a segment that begins at a round: its records alone, and the state at its end."""
        ...


def advance(
    piece: Piece, kept: Kept | None, *, begin: int, end: int, length: int, tell: Callable[[SoFar], Any] = lambda _: None
) -> tuple[SoFar, Any]:
    """Go on to a round from what is kept, segment by segment; what there is then, and why it is not the whole.

    Args:
        piece: maps a round, how many more to run and what there is until then, to the records of these rounds alone and
            the state after them.
        kept: where segments are kept; None for nowhere.
        begin: where there is nothing, the round to begin at.
        end: the last round.
        length: the rounds of a segment; the last one may have fewer.
        tell: is told of what was kept, and then of each segment, whose records alone it gets; it ends here where that
            gives a reason.
    """
    so_far = kept.last() if kept else None
    since, unkept = begin if so_far is None else so_far.t, None
    t, over = since, None if so_far is None else tell(so_far)
    while t < end and not over:
        more = min(length, end - t)
        records, state = piece(t, more, so_far)
        t += more
        so_far = SoFar(t, records if so_far is None else joined(so_far.records, records), state)
        unkept = records if unkept is None else joined(unkept, records)
        if kept and kept.due(t):
            kept.add(since, SoFar(t, unkept, state))
            since, unkept = t, None
        over = tell(SoFar(t, records, state))
    return so_far, over  # type: ignore[return-value]


def joined(before: Arrays, after: Arrays) -> Arrays:
    """The records of one segment and those of the next."""
    return {name: np.concatenate([a, after[name]], axis=2 if np.ndim(a) > 2 else 0) for name, a in before.items()}


def length(rounds: int, every: int) -> int:
    """How long to make segments: at most ten of equal length, of two records or more, and one where that is not to be.

    Equal segments share a compiled program. XLA puts what a loop of a single record computes into its surroundings, and
    may then round it otherwise.

    >>> length(1000, 10), length(70, 10), length(20, 10)
    (100, 20, 20)
    """
    records = rounds // every
    equal = [k for k in range(10, 4, -1) if records % k == 0 and records // k > 1]
    return every * (records // equal[0] if equal else max(2, -(-records // 10)))


class Segments:
    """The segments of one run in a directory."""

    def __init__(self, path: Path, about: Any, directory: Path | None = None, *, stretch: int = 1, end: int = 0):
        """Open a directory, or begin one; `about` is what is run, as JSON, but for the number of rounds.

        `directory` is what is repaired where `path` is a part of it. Segments are kept at multiples of `stretch` and at
        the `end`.

        Raises:
            ValueError: if it holds another run, or other things.
        """
        self.path, self.entries, self.stretch, self.end = path, Entries(path, directory), stretch, end
        file = path / "run.json"
        if not file.exists():
            if copy_of(file).exists() or (path / "done").exists():
                raise Damaged(file, "is missing", self.entries.directory)
            if path.exists() and (not path.is_dir() or any(not f.name.endswith(".tmp") for f in path.iterdir())):
                raise ValueError(
                    f"{path} is not empty and holds no checkpoints; give a directory of its own to the run"
                )
            write_twice(file, {"format": FORMAT, "run": about})
        found = read_format(file, FORMAT, self.entries.directory)
        if lines := differences(found.get("run"), about):
            raise ValueError(f"{path} holds checkpoints of another run; give it its own:\n  " + "\n  ".join(lines))
        self.entries.clean()
        self.count = 0  # segments that follow on each other from the beginning

    def rounds(self) -> int:
        """How many rounds there are; 0 where nothing is."""
        found = self._chain()
        return found[-1]["end"] if found else 0

    def _chain(self) -> list[dict[str, Any]]:
        """The segments that follow on each other from the beginning, the last of which can be gone on from."""
        chain: list[dict[str, Any]] = []
        while (found := self.entries.found(str(len(chain)))) is not None:
            if chain and found["begin"] != chain[-1]["end"]:
                break
            chain.append(found)
        while chain and _state(len(chain) - 1) not in chain[-1]["files"]:
            chain.pop()
        return chain

    def last(self) -> SoFar | None:
        chain = self._chain()
        self.count = len(chain)
        if not chain:
            return None
        read = lambda k, name: unpack(self.entries.bytes(str(k), name))
        records = read(0, _records(0))
        for k in range(1, len(chain)):
            records = joined(records, read(k, _records(k)))
        state = read(len(chain) - 1, _state(len(chain) - 1))
        return SoFar(chain[-1]["end"], records, list(state.values()))

    def due(self, t: int) -> bool:
        return t % self.stretch == 0 or t == self.end

    def add(self, begin: int, new: SoFar) -> None:
        k = self.count
        files = self.entries.put(_records(k), pack(new.records))
        files |= self.entries.put(_state(k), pack({str(i): leaf for i, leaf in enumerate(new.state)}))
        self.entries.close(str(k), files, begin=begin, end=new.t)
        self.count += 1
        if k:  # the state before is no longer needed
            self.entries.drop(str(k - 1), _state(k - 1))


def _records(k: int) -> str:
    return f"segments/{k}"


def _state(k: int) -> str:
    return f"states/{k}"
