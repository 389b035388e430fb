"""Records as lines of JSON."""

import json
import os
from typing import Any

import numpy as np

from jaxdec.live.seen import Seen
from jaxdec.storage.places import located, writable

__all__ = ["JSONLines"]


class JSONLines:
    """A file with a line of JSON for each record of each run: its labels, the round, metrics, and what was spent.

    It is written after each segment: `tail -f` follows a run, and `pandas.read_json(path, lines=True)` reads what there
    is. What is NaN or infinite is null, for which JSON has no numbers.

    Args:
        path: the file, which is begun anew. Give one writer to several runs, and their lines are in one file.
        append: leave what the file holds, and write behind it.

    Raises:
        OSError: if the file cannot be written, before anything is run.

    >>> import tempfile
    >>> from jaxdec import algorithms, live, networks, problems, run
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     writer = live.JSONLines(f"{folder}/run.jsonl")
    ...     _ = run(algorithms.DSGD(lr=0.1), problems.quadratic(8, 3), networks.ring(8), rounds=20, callback=writer)
    ...     lines = writer.path.read_text().splitlines()
    >>> len(lines), json.loads(lines[-1])["round"]
    (21, 20)
    """

    def __init__(self, path: str | os.PathLike[str], *, append: bool = False):
        self.path = writable(located(path))
        if not append:
            self.path.write_text("", encoding="utf-8")

    def __call__(self, seen: Seen) -> None:
        """Write the records."""
        with self.path.open("a", encoding="utf-8") as file:
            for one in seen.runs():
                values = one.metrics | one.cost
                for k, t in enumerate(one.rounds.tolist()):
                    row = one.labels | {"round": t} | {name: _plain(a[k]) for name, a in values.items()}
                    file.write(json.dumps(row, allow_nan=False) + "\n")

    def __repr__(self) -> str:
        return f"JSONLines({str(self.path)!r})"


def _plain(value: Any) -> Any:
    """A number, or a list of numbers, as JSON has it."""
    if np.ndim(value):
        return list(map(_plain, value))
    return value.item() if np.isfinite(value) else None
