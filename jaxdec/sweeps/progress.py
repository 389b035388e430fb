"""What is shown while a sweep runs."""

from collections.abc import Iterable
from types import TracebackType

import numpy as np
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from jaxdec.results.statistics import larger_is_better
from jaxdec.storage.files import Arrays
from jaxdec.types import Cost

__all__ = ["Display"]


class _Bar(Progress):
    """A bar with a line of text below it."""

    below = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        yield Text(self.below, style="dim")


class Display:
    """A bar over all rounds of all runs, and below it what has come out so far."""

    def __init__(self, show: bool | None, runs: int, programs: int, rounds: int):
        """`show` is None for a terminal alone."""
        console = Console(stderr=True)
        self.bar = _Bar(
            TextColumn("{task.description:>20}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[runs]} runs · program {task.fields[program]} · chunk {task.fields[chunk]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not (console.is_terminal if show is None else show),
        )
        self.runs, self.programs, self.rounds = runs, programs, rounds
        self.stored: dict[int, int] = {}  # rounds by program
        self.compiling = self.running = 0.0
        self.diverged = 0
        self.best: tuple[float, str] = (np.inf, "")
        self.metric, self.sign = "", 1
        self.task = self.bar.add_task("sweep", total=runs * rounds, runs=f"0/{runs}", program=f"0/{programs}", chunk="")

    def __enter__(self) -> "Display":
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def program(self, number: int, label: str) -> None:
        """A program begins."""
        self.bar.update(self.task, description=label, program=f"{number}/{self.programs}")
        self._refresh()

    def there(self, number: int, rounds: int) -> None:
        """Of all runs of a program together so many rounds are there, whoever ran them."""
        self.stored[number] = rounds
        self.bar.update(self.task, completed=sum(self.stored.values()))
        self._refresh()

    def waiting(self, units: int) -> None:
        """Other processes run what is left."""
        self.bar.update(self.task, description="others are running", chunk=f"{units} left")
        self._refresh()

    def chunk(self, number: int, total: int) -> None:
        """A chunk begins."""
        self.bar.update(self.task, chunk=f"{number}/{total}")
        self._refresh()

    def rounds_done(self, count: int) -> None:
        """So many rounds, of all runs together, are there."""
        self.bar.update(self.task, advance=count)
        self._refresh()

    def done(self, names: list[str], arrays: Arrays, metric: str, seconds: tuple[float, float]) -> None:
        """A chunk is there: cells of these names, and what compiling and running it took."""
        self.compiling, self.running = self.compiling + seconds[0], self.running + seconds[1]
        self.metric, values = metric, arrays[metric]
        values = values.mean(axis=3) if values.ndim > 3 else values  # of each node
        self.sign = sign = -1 if larger_is_better(metric) else 1
        first, last = sign * values[..., 0], sign * values[..., -1]
        lost = ~np.isfinite(last) | (last > first)
        for other in (a[:, :, -1] for name, a in arrays.items() if a.ndim > 2 and name not in Cost._fields):
            lost |= ~np.isfinite(other).reshape(*lost.shape, -1).all(-1)
        self.diverged += int(lost.sum())
        mean = np.mean(last, axis=0)
        mean = np.where(np.isfinite(mean), mean, np.inf)
        if mean.min() < self.best[0]:
            self.best = float(mean.min()), names[int(mean.argmin())]
        self._refresh()

    def _refresh(self) -> None:
        completed = self.bar.tasks[0].completed
        self.bar.update(self.task, runs=f"{int(completed // self.rounds)}/{self.runs}")
        self.bar.below = (
            f"{completed:.3g} of {self.runs * self.rounds:.3g} rounds · compiling {self.compiling:.1f} s, running "
            f"{self.running:.1f} s · {self.diverged} runs diverged"
            + (f" · best {self.metric} {self.sign * self.best[0]:.4g}: {self.best[1]}" if self.best[1] else "")
        )
