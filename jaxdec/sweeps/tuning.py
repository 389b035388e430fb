"""`tune`: for each algorithm, a budgeted search for its best step size and other fields."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from jaxdec import checks, live
from jaxdec.describe import brief
from jaxdec.networks.families import Static
from jaxdec.results.statistics import larger_is_better
from jaxdec.results.summary import SPENT
from jaxdec.results.terminal import Column, Grid
from jaxdec.results.texts import markdown
from jaxdec.results.time import Link
from jaxdec.storage.places import located
from jaxdec.sweeps.axes import axes, objects
from jaxdec.sweeps.search import Goal, Moves, Run, Search

__all__ = ["Spent", "Tuned", "tune"]

Spent = Literal["rounds", "grads", "vectors", "bits", "seconds"]


@dataclasses.dataclass(frozen=True)
class Tuned:
    """What `tune` found."""

    algorithms: dict[str, Any]  # each at its best values, ready to run
    rows: pd.DataFrame  # a row per algorithm
    cells: xr.Dataset  # everything that was run, over `cell`, `seed` and `round`; `score` is what was minimized
    goal: str  # what the score is, in words

    def to_dataframe(self) -> pd.DataFrame:
        """A row per algorithm: its best values, the score there, how sensitive it is, and what the search cost.

        `half` and `double` are the scores at half and at double the best step size; `low` and `high` the ends of the
        range around it within which the score stays within the stated factor, as far as cells were run: where `open`
        contains "low" or "high", the range may go on. `edge` are the fields whose best value is at the edge of what was
        run, `diverged` the cells most of whose runs diverged.
        """
        return self.rows.copy()

    def to_markdown(self) -> str:
        """The table, to be pasted."""
        header, *body = self._texts(markdown)
        lines = ["| " + " | ".join(row) + " |" for row in (header, *body)]
        return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]])

    def __rich__(self) -> Grid:
        header, *body = self._texts()
        columns = [Column(name, [row[k] for row in body], name != "algorithm") for k, name in enumerate(header)]
        return Grid(self.goal, columns, 1, "*: at the edge of what was run. ≤ and ≥: the range may go on.")

    def _texts(self, as_is: Callable[[str], str] = str) -> list[list[str]]:
        """The header and the rows; what users call things, `as_is`."""
        rows = self.rows
        numbers = ["score", "half", "double"]
        rest = ("algorithm", *numbers, "low", "high", "open", "edge", "cells", "diverged")
        named = [str(c) for c in rows if c not in rest]
        within = rows.attrs["within"]
        found = [["algorithm", *map(as_is, named), *numbers, within, "cells", "diverged"]]
        for row in rows.to_dict("records"):
            best = [as_is(_text(row[c])) + "*" * (c in row["edge"]) for c in named]
            ends = [("≤ " if "low" in row["open"] else "") + _text(row["low"]),
                    ("≥ " if "high" in row["open"] else "") + _text(row["high"])]  # fmt: skip
            between = " – ".join(ends) if pd.notna(row["low"]) else "–"
            counts = [str(row["cells"]), str(row["diverged"])]
            found.append([as_is(str(row["algorithm"])), *best, *(_text(row[c]) for c in numbers), between, *counts])
        return found


def tune(
    algorithms: Any,
    problem: Any,
    network: Any,
    *,
    over: Mapping[Any, Any],
    rounds: int,
    every: int = 1,
    seeds: Any = 5,
    metric: str = "loss",
    at: int | None = None,
    target: float | None = None,
    cost: Spent = "rounds",
    budget: int = 32,
    within: float = 1.2,
    resolution: float = 1.1,
    largest: bool | None = None,
    link: Link | None = None,
    timing: Mapping[str, Any] | None = None,
    progress: bool | None = None,
    store: str | os.PathLike[str] | None = None,
    callback: live.Callback | Sequence[live.Callback] | None = None,
    callback_every: int | None = None,
    **arguments: Any,
) -> Tuned:
    """Search each algorithm's best values: for the best metric at a round, or for the least cost to a target.

    All values of `over` are run first. While the best step size is the least or the largest of those run, or everything
    diverged, four more are run beyond it, in the ratio of the grid (those of other fields stay as they are, whose
    bounds are not known). Then four are run between the best and its neighbours, field by field, until these are within
    `resolution` of each other. A fraction of the budget is kept for a quarter, half, double and four times the best
    step size. A cell is judged by its median over seeds; a diverged run counts as the worst.

    The value at the best cell is that of a winner: run the algorithms found again, on other seeds, to report them.

    Args:
        algorithms: one, a list, or a mapping of labels to them.
        problem: one problem.
        network: one network.
        over: as for `sweep`, fields of the algorithms alone; each algorithm may have its own values. Fields with
            fractional values and step sizes are searched between the values given, others among them.
        rounds: how many; a multiple of `every`.
        every: the stride of the records, and so the resolution of rounds, and of costs, to a target.
        seeds: how many, or which.
        metric: what to judge by.
        at: the round to judge at; None is the last.
        target: instead, the value to be reached at the least cost.
        cost: "rounds", "grads", "vectors", "bits", or "seconds", for which `link` is given. Cells that do not reach the
            target are ordered by the metric at the end.
        budget: cells for each algorithm, the grid's included, each of them run on all seeds.
        within: the factor by which the score may be worse in the range that is reported around the best step size. Of a
            score below zero it is that of f - f*, where the metric is the loss and f* is known; else 1.2 allows to lose
            20 % of the descent from round 0.
        resolution: the ratio of neighbouring values at which the search is done.
        largest: whether more of the metric is better; None means that it is for an accuracy.
        link: latency, bandwidth and computing speed, for seconds.
        timing: further arguments of `results.add_time`; its `degree` is the network's largest where it is known.
        progress: whether to show a progress bar; None shows it on a terminal.
        store: a directory that receives what is run, a store of `sweep` for each move. The same call goes on from there
            if it was stopped, and one with a larger budget runs what is more.
        callback: as for `sweep`, called with the records of the runs of each move. The configuration that they are
            labelled with has the chosen values, too. One that asks to stop ends the search with `live.Stopped`.
        callback_every: how many rounds from one call to the next, a multiple of `every`; None makes ten calls a move.
        arguments: further ones of `sweep`: metrics, x0, paired, memory, ...

    Raises:
        TypeError: if a callback is none.
        ValueError: before anything is compiled, if an argument is out of its range or does not fit the others.
        live.Stopped: if a callback asks to stop.

    >>> from jaxdec import algorithms, networks, problems
    >>> found = tune(
    ...     algorithms.GradientTracking(lr=0.1), problems.quadratic(8, 3), networks.ring(8),
    ...     over={"lr": [0.01, 0.02, 0.04, 0.08]}, metric="distance", rounds=50, every=50, seeds=1, budget=16,
    ... )  # fmt: skip
    >>> 0.1 < found.algorithms["GradientTracking"].lr < 2  # far beyond the grid
    True
    """
    goal = Goal(metric, at, target, cost, larger_is_better(metric) if largest is None else largest, rounds, every,
                 link, {"degree": _degree(network)} | dict(timing or {}))  # fmt: skip
    goal.check()
    checks.integer("budget", budget)
    for name, factor in (("within", within), ("resolution", resolution)):
        if not factor > 1:
            raise ValueError(f"{name} is a factor above 1; got {factor}")
    grids = _grids(algorithms, problem, network, over)
    for label, grid in grids.items():
        if (size := int(np.prod([len(moves) for moves in grid]))) > budget:
            raise ValueError(f"the grid of {label} has {size} cells, more than budget={budget}; give at least {size}")
    known = objects(algorithms, problem, network)["algorithm"]
    arguments = {"seeds": seeds, "rounds": rounds, "every": every} | arguments
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:>20}", markup=False), BarColumn(), MofNCompleteColumn(),
               TextColumn("cells · best {task.fields[best]}"), TimeElapsedColumn())  # fmt: skip
    folder, watched = None if store is None else located(store), (callback, callback_every)
    searches = [
        Search(label, algorithm, problem, network, grids[label], goal, arguments, folder, watched)
        for label, algorithm in known.items()
    ]
    for search in searches:
        search.check()
    with Progress(
        *columns, console=console, disable=not (console.is_terminal if progress is None else progress)
    ) as bar:
        for search in searches:
            task = bar.add_task(search.label, total=budget, best="")
            show = lambda s, task=task: bar.update(task, completed=len(s.runs), best=_text(min(s.runs).score[0]))
            search.run(budget, resolution, show)
            bar.update(task, total=len(search.runs))
    scale = goal.scale([search.best.score[0] for search in searches], problem)
    rows = pd.DataFrame([search.report(within, scale) for search in searches])
    rows.attrs["within"] = scale.words(within)
    chosen = {search.label: search.best.algorithm for search in searches}
    cells = _cells([run for search in searches for run in search.runs])
    return Tuned(chosen, rows, cells.assign_attrs(goal=goal.words()), goal.words())


def _grids(algorithms: Any, problem: Any, network: Any, over: Any) -> dict[str, list[Moves]]:
    """For each algorithm, what `over` gives to its fields, one list of moves for each swept name."""
    if not isinstance(over, Mapping) or not over:
        raise ValueError(f"over is a mapping of fields to the values to begin with; got {over!r}")
    for name, things in (("problem", problem), ("network", network)):
        if isinstance(things, Mapping | list | tuple) and not hasattr(things, "_fields"):
            raise ValueError(f"tune takes one {name}; got {len(things)}. Call it for each")
    found: dict[str, list[Moves]] = {label: [] for label in objects(algorithms, problem, network)["algorithm"]}
    for axis in axes(algorithms, problem, network, over):
        if axis.objects is not None:
            continue
        for label, grid in found.items():
            if any(target.kind != "algorithm" for position in axis.positions for target in position):
                raise ValueError(f"tune searches fields of the algorithms; {axis.name!r} is not one. Call it for each")
            moves = [{t.path: v for t, v in p.items() if label in t.labels} for p in axis.positions]
            if any(moves):
                grid.append([move for move in moves if move])
    return found


def _cells(runs: list[Run]) -> xr.Dataset:
    """All runs in one dataset, the values as coordinates over `cell`."""
    spread = lambda d: d.assign_coords({k: d[k].broadcast_like(next(iter(d.data_vars.values()))) for k in SPENT})
    dataset = xr.concat([spread(run.dataset) for run in runs], "cell", combine_attrs="drop")
    records = [{k: brief(v) for k, v in run.values.items()} for run in runs]
    named = {}
    for field in dict.fromkeys(k for record in records for k in record):
        column = [record.get(field) for record in records]
        if all(v is None or (isinstance(v, int | float) and not isinstance(v, bool)) for v in column):
            named[field] = np.array([np.nan if v is None else v for v in column])
        else:
            named[field] = np.array(["" if v is None else str(v) for v in column])
    found = {"algorithm": np.array([run.label for run in runs]), **named, "score": np.array([r.score[0] for r in runs])}
    return dataset.assign_coords({k: ("cell", v) for k, v in found.items()})


def _degree(network: Any) -> float | None:
    """How many neighbours a node sends to at most, where the network says so."""
    if "server" in network.provides:
        return 1
    if not isinstance(network, Static) or "push-pull" in network.provides:
        return None
    return float(np.max(network.W.degrees()))


def _text(value: Any) -> str:
    if isinstance(value, float):
        return (
            "–"
            if np.isnan(value)
            else "∞"
            if np.isinf(value)
            else f"{value:.3g}"
            if abs(value) < 1e5
            else f"{value:.3e}"
        )
    return str(value)
