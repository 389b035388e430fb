"""How far a run is."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jaxdec.live.seen import Callback, Seen

__all__ = ["bar"]


@contextmanager
def bar(show: bool, label: str, rounds: int) -> Iterator[tuple[Callback, ...]]:
    """A bar over a run's rounds, in a terminal or in a notebook, and what moves it: nothing, if it is not shown."""
    if not show:
        yield ()
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} rounds"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[last]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(label, total=rounds, last="")

        def move(seen: Seen) -> None:
            name = "loss" if "loss" in seen.metrics else next(iter(seen.metrics), None)
            last = "" if name is None else f"{name} {seen.metrics[name][-1].mean():.4g}"
            shown.update(task, completed=int(seen.rounds[-1]), last=last)

        yield (move,)
