"""The search of `tune`: what is minimized, and which cells are run next."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.tree_util import Partial

from jaxdec import checks
from jaxdec.describe import LONG, brief, get, identity, replace
from jaxdec.live.seen import Callback, Seen
from jaxdec.live.watch import Watch, watch
from jaxdec.loop import outline, ready
from jaxdec.metrics import DEFAULT, named
from jaxdec.results.summary import diverged, masked
from jaxdec.results.time import Link, add_time
from jaxdec.sweeps.engine import sweep

__all__ = ["NEAR", "STEP", "Goal", "Moves", "Run", "Scale", "Search"]

STEP = 4  # cells in a move; always as many, so that all moves of a method share one compiled program
NEAR = (0.25, 0.5, 2.0, 4.0)  # multiples of the best step size that are run in the end


@dataclasses.dataclass(frozen=True)
class Goal:
    """What is minimized."""

    metric: str
    at: int | None
    target: float | None
    cost: str
    largest: bool
    rounds: int
    every: int
    link: Link | None
    timing: Mapping[str, Any]

    def check(self) -> None:
        checks.horizon(self.rounds, self.every)
        checks.choice("cost", self.cost, ("rounds", "grads", "vectors", "bits", "seconds"))
        if self.at is not None and self.target is not None:
            raise ValueError("give at, the round to judge at, or target, the value to reach; not both")
        if self.at is not None and (self.at not in range(0, self.rounds + 1, self.every) or self.at == 0):
            raise ValueError(
                f"at is a recorded round, a multiple of every={self.every} up to {self.rounds}; got {self.at}"
            )
        if self.target is None and self.cost != "rounds":
            raise ValueError(f"cost={self.cost!r} is what a target is reached at; give target, or leave cost out")
        if self.cost == "seconds" and (self.link is None or self.timing.get("degree") is None):
            missing = "link=results.Link(...)" if self.link is None else "timing={'degree': ...}"
            raise ValueError(f"seconds need a model of nodes and links; give {missing}")

    def measured(self, found: Mapping[str, Any]) -> None:
        """Refuse a metric that is not among the shapes of those that are measured, or is no number per run."""
        if self.metric not in found:
            raise ValueError(f"there is no metric {self.metric!r}; there are {', '.join(found)}")
        if found[self.metric].shape:
            raise ValueError(f"{self.metric!r} is a number for each node; judge by one that is a number for a run")

    def words(self) -> str:
        if self.target is None:
            return f"{self.metric} after {self.at or self.rounds} rounds"
        return f"{self.cost} until {self.metric} {'≥' if self.largest else '≤'} {self.target:g}"

    def scale(self, scores: list[float], problem: Any) -> "Scale":
        """In what the range around the best is measured: a loss below zero has no factors, but f - f* has them."""
        if self.target is not None or self.largest or not any(score < 0 for score in scores):
            return Scale("ratio", 0.0)
        if self.metric == "loss" and problem.minimizer is not None:
            return Scale("gap", float(problem.objective(jnp.asarray(problem.minimizer))))
        return Scale("descent", 0.0)

    def scores(self, dataset: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
        """What is minimized, (cells, 2), medians over seeds, the second for ties of the first; which cells diverged.

        As `summary.diverged` decides; where one metric of a run is not finite none counts.
        """
        sign = -1 if self.largest else 1
        lost = diverged(dataset).transpose("cell", "seed").values
        dataset = masked(dataset)
        values = sign * dataset[self.metric].transpose("cell", "seed", "round").values
        values = np.where(np.isfinite(values), values, np.inf)
        end = values[:, :, (self.at or self.rounds) // self.every]
        worst = np.median(lost, axis=1) > 0.5
        if self.target is None:
            return np.stack([np.median(end, axis=1), np.zeros(len(end))], axis=1), worst
        if self.cost == "seconds" and self.link is not None:
            dataset = add_time(dataset, self.link, **self.timing)
        spent = dataset["round" if self.cost == "rounds" else self.cost].broadcast_like(dataset[self.metric])
        spent = spent.transpose("cell", "seed", "round").values
        reached = values <= sign * self.target
        first = np.take_along_axis(spent, reached.argmax(axis=2)[:, :, None], axis=2)[:, :, 0]
        first = np.where(reached.any(axis=2) & np.isfinite(end), first, np.inf)
        return np.stack([np.median(first, axis=1), np.median(end, axis=1)], axis=1), worst


class Scale(NamedTuple):
    """What a score may be worse by, in units of `unit`."""

    kind: Literal["ratio", "gap", "descent"]
    least: float  # f*, of a gap

    def words(self, within: float) -> str:
        if self.kind == "descent":
            return f"within {within - 1:.0%} of the descent"
        return f"within {within:g}x" + " of f - f*" * (self.kind == "gap")

    def unit(self, best: float, start: float) -> float:
        return {"ratio": abs(best), "gap": max(best - self.least, 0.0), "descent": max(start - best, 0.0)}[self.kind]


@dataclasses.dataclass(frozen=True)
class Run:
    """A cell that was run. Cells are ordered by how good they are."""

    label: str
    algorithm: Any
    arm: int
    values: dict[str, Any]  # by field
    score: tuple[float, float]
    diverged: bool
    dataset: xr.Dataset

    def __lt__(self, other: "Run") -> bool:
        return self.score < other.score


@dataclasses.dataclass(frozen=True)
class Told:
    """A callback that hears of the values of an arm, too, of which the sweep of a move knows nothing."""

    callback: Callback
    fixed: Mapping[str, Any]

    def __call__(self, seen: Seen) -> bool | str | None:
        values = "".join(f" {field}={brief(value)}" for field, value in self.fixed.items())
        labels = tuple(one | {"configuration": one["configuration"] + values} for one in seen.labels)
        return self.callback(seen._replace(labels=labels))

    def __repr__(self) -> str:
        return repr(self.callback)


Moves = list[dict[str, Any]]  # the values that one swept name gives to fields, one after another


class Search:
    """The search for one algorithm. An arm is a choice of the values that are not searched between."""

    def __init__(self, label, algorithm, problem, network, grid: list[Moves], goal: Goal, arguments, store, watched):
        self.store: Path | None = store  # a folder for each move
        self.watched: tuple[Any, Any] = watched  # the callbacks as given, and how often
        self.label, self.problem, self.network, self.goal = label, problem, network, goal
        self.arguments = arguments
        lines = [moves for moves in grid if _between(algorithm, moves)]
        choices = [moves for moves in grid if not _between(algorithm, moves)]
        self.grid = {field: sorted({m[field] for m in moves}) for moves in lines for field in moves[0]}
        self.fixed = [{k: v for move in moves for k, v in move.items()} for moves in product(*choices)]
        self.arms = [_with(algorithm, fixed) for fixed in self.fixed]
        self.step_sizes = [field for field in self.grid if _is_step_size(algorithm, field)]
        ratio = lambda v: (v[-1] / v[0]) ** (1 / (len(v) - 1)) if len(v) > 1 else 2.0
        self.ratios = {field: ratio(self.grid[field]) for field in self.step_sizes}
        self.runs: list[Run] = []

    @property
    def best(self) -> Run:
        return min(self.runs)

    def check(self) -> None:
        """Refuse what can be known to be wrong before anything is compiled."""
        first = _with(self.arms[0], {field: values[0] for field, values in self.grid.items()})
        for kind, given in (("algorithm", first), ("problem", self.problem), ("network", self.network)):
            checks.part(kind, given)
        checks.parts(self.problem, self.network)
        parts = ready(first, self.problem, self.network, self.arguments.get("x0"))
        measured = outline(parts, named(self.arguments.get("metrics", DEFAULT))).metrics
        self.goal.measured(measured)
        self.seers: Watch = watch(*self.watched, self.goal.every, measured)

    def run(self, budget: int, resolution: float, show: Callable[["Search"], None]) -> None:
        self.show = show
        kept = STEP if self.step_sizes else 0
        for arm in range(len(self.arms)):
            self.evaluate(arm, self.grid)
        while len(self.runs) + STEP + kept <= budget and (move := self.wider() or self.finer(resolution)):
            self.evaluate(*move)
        if self.step_sizes and len(self.runs) + STEP <= budget:
            self.evaluate(self.best.arm, self.line(self.best, self.step_sizes[0], self.near()))

    def near(self) -> list[float]:
        return [float(self.best.values[self.step_sizes[0]] * factor) for factor in NEAR]

    def evaluate(self, arm: int, values: Mapping[str, list[Any]]) -> None:
        """Run all combinations of the values."""
        algorithm, told = self.arms[arm], [Told(one, self.fixed[arm]) for one in self.seers.callbacks]
        results = sweep({self.label: algorithm}, self.problem, self.network, over=dict(values) or None,
                        progress=False, store=self._folder(algorithm, values), callback=told or None,
                        callback_every=self.seers.stretch, **self.arguments)  # fmt: skip
        results = _stacked(results.isel(algorithm=0, drop=True), list(values))
        scores, diverged = self.goal.scores(results)
        for c, combination in enumerate(product(*values.values())):
            chosen = dict(zip(values, combination, strict=True))
            values_here, made = self.fixed[arm] | chosen, _with(algorithm, chosen)
            score = (float(scores[c, 0]), float(scores[c, 1]))
            run = Run(self.label, made, arm, values_here, score, bool(diverged[c]), results.isel(cell=c))
            self.runs.append(run)
        self.show(self)

    def _folder(self, algorithm: Any, values: Mapping[str, list[Any]]) -> Path | None:
        """Where a move is stored: by what it runs, so that the same search finds it again."""
        if self.store is None:
            return None
        name = re.sub(r"[^\w-]+", "_", self.label)
        return self.store / f"{name}~{identity([self.label, algorithm, dict(values)])[:LONG]}"

    def wider(self) -> Any:
        """Step sizes beyond the edge at which an arm is best, the best arm first."""
        for run in sorted(min(r for r in self.runs if r.arm == arm) for arm in range(len(self.arms))):
            for field in self.step_sizes:
                along = self.along(run, field)
                low, high, ratio = min(along), max(along), self.ratios[field]
                powers = ratio ** np.arange(1, STEP + 1)
                if low == high:
                    return run.arm, self.line(run, field, [float(low * factor) for factor in NEAR])
                if run.diverged or run.values[field] == low:
                    return run.arm, self.line(run, field, _rounded(low / powers[::-1]))
                if run.values[field] == high:
                    return run.arm, self.line(run, field, _rounded(high * powers))
        return None

    def finer(self, resolution: float) -> Any:
        """Values between the best and its neighbours, of the field where these are furthest apart."""
        run, widest = self.best, None
        for field in self.grid:
            along = sorted({*self.along(run, field)})
            k = along.index(run.values[field])
            low, high = along[max(k - 1, 0)], along[min(k + 1, len(along) - 1)]
            apart = max(_apart(low, along[k], along[-1]), _apart(along[k], high, along[-1]))
            if apart > resolution * (1 + 1e-9) and (widest is None or apart > widest[0]):
                widest = apart, field, low, along[k], high
        if widest is None:
            return None
        _, field, low, middle, high = widest
        below = STEP // 2 if low < middle < high else STEP if low < middle else 0
        values = [*_inside(low, middle, below), *_inside(middle, high, STEP - below)]
        return run.arm, self.line(run, field, values)

    def along(self, run: Run, field: str) -> list[float]:
        """The values of a field that were run with the other values as they are."""
        others = lambda r: [v for k, v in r.values.items() if k in self.grid and k != field]
        return [r.values[field] for r in self.runs if r.arm == run.arm and others(r) == others(run)]

    def line(self, run: Run, field: str, values: list[float]) -> dict[str, list[Any]]:
        return {k: values if k == field else [run.values[k]] for k in self.grid}

    def report(self, within: float, scale: Scale) -> dict[str, Any]:
        best, sign = self.best, -1 if self.goal.target is None and self.goal.largest else 1
        row: dict[str, Any] = {"algorithm": self.label, **{k: brief(v) for k, v in best.values.items()}}
        row |= {"score": sign * best.score[0], "half": np.nan, "double": np.nan, "low": np.nan, "high": np.nan}
        row |= {"open": (), "edge": tuple(f for f in self.grid if self._at_edge(best, f))}
        field = next(iter([*self.step_sizes, *self.grid]), None)
        if field is not None and np.isfinite(best.score[0]):
            at = {r.values[field]: r.score[0] for r in self.runs if r.arm == best.arm
                  and all(r.values[k] == best.values[k] for k in self.grid if k != field)}  # fmt: skip
            found = lambda v: next((s for k, s in at.items() if abs(k - v) <= 1e-6 * abs(v)), np.nan)
            if field in self.step_sizes:
                row |= {"half": sign * found(best.values[field] / 2), "double": sign * found(best.values[field] * 2)}
            places = sorted(at)
            start = sign * float(best.dataset[self.goal.metric].isel(round=0).median())
            fits = [at[v] <= best.score[0] + (within - 1) * scale.unit(best.score[0], start) for v in places]
            first = last = places.index(best.values[field])
            while first > 0 and fits[first - 1]:
                first -= 1
            while last + 1 < len(places) and fits[last + 1]:
                last += 1
            row |= {"low": places[first], "high": places[last]}
            row["open"] = ("low",) * (first == 0) + ("high",) * (last + 1 == len(places))
        return row | {"cells": len(self.runs), "diverged": sum(run.diverged for run in self.runs)}

    def _at_edge(self, run: Run, field: str) -> bool:
        along = self.along(run, field)
        return len(set(along)) > 1 and run.values[field] in (min(along), max(along))


def _between(algorithm: Any, moves: Moves) -> bool:
    """Whether values between those given make sense: numbers, some of them fractional or all of them step sizes."""
    fields = {field for move in moves for field in move}
    values = [v for move in moves for v in move.values()]
    if len(fields) > 1 or any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
        return False
    step_size = _is_step_size(algorithm, next(iter(fields)))
    return step_size or (len(set(values)) > 1 and any(isinstance(v, float) for v in values))


def _is_step_size(algorithm: Any, path: str) -> bool:
    *inside, name = path.split(".")
    owner = get(algorithm, ".".join(inside)) if inside else algorithm
    if isinstance(owner, Partial):
        return name == "learning_rate"  # an optimizer of optax
    return any(f.name == name and f.metadata.get("step_size") for f in dataclasses.fields(owner))


def _with(algorithm: Any, values: Mapping[str, Any]) -> Any:
    for path, value in values.items():
        algorithm = replace(algorithm, path, value)
    return algorithm


def _apart(low: float, high: float, largest: float) -> float:
    """The ratio of two values; where there is none, as of 0 and 0.1, what they differ by in units of the largest."""
    return high / low if low > 0 else 1 + (high - low) / max(abs(largest), abs(low))


def _inside(low: float, high: float, count: int) -> list[float]:
    space = np.geomspace if low > 0 else np.linspace
    return _rounded(space(low, high, count + 2)[1:-1])


def _rounded(values: Any) -> list[float]:
    """To four significant digits: far below the resolution, and numbers that can be read."""
    return [float(f"{v:.4g}") for v in values]


def _stacked(results: xr.Dataset, swept: list[str]) -> xr.Dataset:
    """The swept dimensions as one, `cell`, the last of them running fastest."""
    results = results.drop_vars(swept, errors="ignore")
    return results.stack(cell=swept, create_index=False) if swept else results.expand_dims("cell")
