"""From a sweep's dataset to what a table says: the best cell of each algorithm, its spread, what diverged."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from jaxdec.results.choices import Grids, marked, of_the_test_set
from jaxdec.results.labels import by_algorithm, labelled
from jaxdec.results.statistics import larger_is_better, median, quantiles

__all__ = [
    "KINDS",
    "NOT_SWEPT",
    "OWN",
    "SPENT",
    "best",
    "column",
    "diverged",
    "fields",
    "judge",
    "known",
    "masked",
    "others_at_best",
    "primary",
    "ran",
    "summarize",
    "swept",
    "wild",
]

KINDS = ("algorithm", "problem", "network")  # what is compared; the other dimensions are what is chosen
NOT_SWEPT = ("seed", "round", "node", "bound", "quantile")
OWN = ("low", "high", "diverged", "runs", "edge")  # columns of `summarize`
SPENT = ("grads", "vectors", "bits", "bits_down")


def diverged(results: Any, metric: str | None = None) -> xr.DataArray:
    """Which runs ended with a value that is not finite, in any metric, or worse than at round 0.

    It is decided once for a run, whatever it is judged by afterwards. A place of the grid at which nothing was run,
    since each algorithm had values of its own, has not diverged.

    Args:
        results: of a sweep, or of a run.
        metric: the one that is not to end worse than it began; None is the loss, or else the first metric.

    >>> import xarray as xr
    >>> runs = xr.Dataset({"loss": (("seed", "round"), [[1.0, 0.1], [1.0, 3.0], [1.0, np.nan]])})
    >>> diverged(runs).values.tolist()
    [False, True, True]
    """
    dataset = labelled(results)
    metric = known(dataset, metric)
    values = dataset[metric]
    values = values.mean("node", skipna=False) if "node" in values.dims else values
    first, last = values.isel(round=0), values.isel(round=-1)
    worse = last < first if larger_is_better(metric) else last > first
    return xr.ufuncs.logical_and(ran(dataset), xr.ufuncs.logical_or(_lost(dataset).isel(round=-1), worse))


def wild(values: Mapping[str, np.ndarray], at: int, main: str) -> np.ndarray:
    """Which runs `diverged`, from arrays that have rounds on axis `at`, behind it nodes or nothing, and runs before.

    Args:
        values: of each metric.
        at: the axis of rounds, that of all.
        main: the `primary` one, which is not to end worse than it began.

    >>> wild({"loss": np.asarray([[1.0, 0.1], [1.0, 3.0], [1.0, np.nan]])}, 1, "loss").tolist()
    [False, True, True]
    """
    ends = {name: (array.take(0, at), array.take(-1, at)) for name, array in values.items()}
    gone = lambda name, first, last: ~np.isfinite(last) & (np.isfinite(first) | (name == main))
    lost = [gone(name, *both).reshape(*both[0].shape[:at], -1).any(-1) for name, both in ends.items()]
    with np.errstate(invalid="ignore"):
        first, last = (a.mean(-1) if a.ndim > at else a for a in ends[main])
    return np.logical_or.reduce([*lost, last < first if larger_is_better(main) else last > first])


def masked(results: Any) -> xr.Dataset:
    """The dataset where no metric of a run is a number at a round at which one has ceased to be.

    >>> import xarray as xr
    >>> losses, accuracies = [[1.0, np.inf]], [[0.1, 0.85]]
    >>> runs = xr.Dataset({"loss": (("seed", "round"), losses), "accuracy": (("seed", "round"), accuracies)})
    >>> masked(runs).accuracy.values.tolist()
    [[0.1, nan]]
    """
    dataset = labelled(results)
    lost = _lost(dataset).reset_coords(drop=True)
    if not lost.any():
        return dataset
    numbers = lambda values: values if np.issubdtype(values.dtype, np.inexact) else values.astype(float)
    return dataset.assign({k: numbers(v).where(~lost).transpose(*v.dims) for k, v in dataset.data_vars.items()})


def _lost(dataset: xr.Dataset) -> xr.DataArray:
    """At which rounds of a run a metric that was finite is so no longer, or the primary one is not."""
    main = primary(dataset)
    found = None
    for name, values in dataset.data_vars.items():
        finite = xr.ufuncs.isfinite(values)
        lost = ~finite if name == main else ~finite & finite.isel(round=0, drop=True)
        lost = lost.any("node") if "node" in lost.dims else lost
        found = lost if found is None else found | lost
    return found.transpose(..., "round")  # type: ignore[union-attr]


def ran(dataset: xr.Dataset) -> xr.DataArray:
    """Where the dataset has a whole run: the coordinate `done`, or else where anything was measured at round 0.

    What is not of a grid was run, be it that nothing it measured is a number.
    """
    if "done" in dataset.coords:
        return dataset["done"]
    there = dataset.isel(round=0).notnull().to_dataarray("metric")
    there = there.any([dim for dim in ("metric", "node") if dim in there.dims])
    return there if set(there.dims) - {*NOT_SWEPT} else xr.ones_like(there)


def best(results: Any, metric: str = "loss", *, largest: bool | None = None, at: int | None = None) -> xr.Dataset:
    """The dataset at the best swept values of each algorithm, problem and network: those with the best median run.

    Args:
        results: of a sweep, with or without the dimensions `algorithm`, `problem` and `network`; or of a run.
        metric: the variable to judge by. A cell whose median run diverged counts as the worst.
        largest: whether more is better; None means that it is for an accuracy.
        at: the round to judge at; None is the last.

    Returns:
        The dataset without the swept dimensions, which become coordinates over those that are left; `masked`. Figures
        of it name the chosen values, with a star at the edge of the grid, and the metric.
    """
    dataset = masked(results)
    largest = larger_is_better(metric) if largest is None else largest
    final = dataset[metric].isel(round=-1) if at is None else dataset[metric].sel(round=at)
    final = final.where(np.isfinite(final), -np.inf if largest else np.inf).median("seed")
    dims = swept(dataset)
    if not dims:
        return dataset
    final = final.reset_coords(drop=True)
    grids = {name: _grids(dataset, metric, dim, name) for dim in dims for name in fields(dataset, dim)}
    return marked(dataset.isel(final.argmax(dims) if largest else final.argmin(dims)), grids, metric)


def _grids(dataset: xr.Dataset, metric: str, dim: str, name: str) -> Grids:
    """The ends of the values of each algorithm that had any to choose from."""
    found: dict[str, list[float] | None] = {}
    for label, one in by_algorithm(dataset):
        values = one[name].values
        if not np.issubdtype(values.dtype, np.number):
            chosen, ends = len({*values.tolist()}) > 1, None
        else:
            there = values[np.isfinite(values)]
            chosen, ends = bool(there.size and np.ptp(there) > 0), [float(there.min()), float(there.max())]
        if chosen and not _idle(one[metric], dim):
            found[label] = ends
    return found


def judge(dataset: xr.Dataset, metric: str, by: str | None = None) -> str:
    """The metric that values are chosen by: the one that is asked for, or else the one that is shown.

    One of the test set is so where it is asked for, and else the primary one: what is shown of it is then no choice.
    """
    if by is not None:
        return known(dataset, by)
    return primary(dataset) if of_the_test_set(metric) else metric


def others_at_best(dataset: xr.Dataset, metric: str, over: str) -> xr.Dataset:
    """The dataset of an algorithm along one swept dimension, the other swept values at their best."""
    others = [dim for dim in swept(dataset) if dim != over]
    if not others:
        return dataset
    sign = -1 if larger_is_better(metric) else 1
    final = dataset[metric].isel(round=-1).reset_coords(drop=True)
    chosen = (sign * final.where(np.isfinite(final), sign * np.inf)).median("seed").argmin([over, *others])
    return dataset.isel({dim: chosen[dim] for dim in others})


def swept(dataset: xr.Dataset) -> list[str]:
    """The dimensions of swept values."""
    return [str(dim) for dim in dataset.dims if dim not in (*KINDS, *NOT_SWEPT)]


def fields(dataset: xr.Dataset, dim: str) -> list[str]:
    """The coordinates that say what was swept along a dimension: its own, unless others say more."""
    along = [str(k) for k, c in dataset.coords.items() if dim in c.dims and not {"round", "seed"} & set(c.dims)]
    return [k for k in along if k != dim] or along


def primary(dataset: xr.Dataset) -> str:
    """The metric that results are judged by if none is named: the loss, or else the first there is."""
    if not dataset.data_vars:
        raise ValueError("these results have no metric")
    names = [str(k) for k in dataset.data_vars if "node" not in dataset[k].dims] or list(map(str, dataset.data_vars))
    return "loss" if "loss" in names else names[0]


def known(dataset: xr.Dataset, metric: str | None) -> str:
    """The metric, or the primary one for None; an error with those there are if it is none of them."""
    if metric is not None and metric not in dataset.data_vars:
        raise ValueError(f"there is no metric {metric!r}; there are {', '.join(map(str, dataset.data_vars))}")
    return metric or primary(dataset)


def column(metric: str) -> str:
    """What a metric is called among the columns of `summarize`, of which some have names of their own.

    >>> column("loss"), column("low")
    ('loss', 'low (metric)')
    """
    return f"{metric} (metric)" if metric in OWN else metric


def summarize(results: Any, metric: str | None = None, others: Sequence[str] | None = None) -> pd.DataFrame:
    """A row for each algorithm, problem and network at its best swept values.

    Args:
        results: of a sweep, or of a run.
        metric: what to judge by, at the last round; None is the loss, or else the first metric.
        others: further metrics to show; None chooses two.

    Returns:
        The columns: those of algorithm, problem and network that are dimensions; the best swept values; the metric as
        its median, `low` and `high` (10 and 90 %) over seeds; the medians of the others; what was spent, means over
        seeds; `diverged` and `runs`, how many runs of the whole grid; `edge`, the names of those best values that are
        the least or the largest of their grid. A value that is swept for other algorithms alone is a dash.

    >>> import xarray as xr
    >>> losses = [[[[1.0, 0.5], [1.0, 0.7]], [[1.0, 0.2], [1.0, 0.3]], [[1.0, 9.0], [1.0, np.nan]]]]
    >>> runs = xr.Dataset(
    ...     {"loss": (("algorithm", "lr", "seed", "round"), losses)},
    ...     {"algorithm": ["DSGD"], "lr": [0.1, 1.0, 10.0], "seed": [0, 1], "round": [0, 50]},
    ... )
    >>> summarize(runs)[["algorithm", "lr", "loss", "diverged", "runs", "edge"]]
      algorithm   lr  loss  diverged  runs edge
    0      DSGD  1.0  0.25         2     6   ()
    """
    lost, there = diverged(results), ran(labelled(results))
    dataset = masked(results)
    metric = known(dataset, metric)
    names = [k for k in SPENT if k in dataset.coords]
    chosen = best(dataset, metric).isel(round=-1)
    others = _others(dataset, metric) if others is None else [known(dataset, name) for name in others]
    kinds = [kind for kind in KINDS if kind in dataset.dims]
    bands, middles = quantiles(chosen[metric]), {name: median(chosen[name]) for name in others}
    rows = []
    for index in np.ndindex(*(dataset.sizes[kind] for kind in kinds)):
        place = dict(zip(kinds, index, strict=True))
        cell, grid = chosen.isel(place), dataset.isel(place)
        row: dict[str, Any] = {kind: str(cell[kind].item()) for kind in kinds}
        idle = {dim: 0 for dim in swept(dataset) if _idle(grid[metric], dim)}
        named = {name: dim for dim in swept(dataset) for name in fields(dataset, dim)}
        values = {name: "–" if dim in idle else cell[name].item() for name, dim in named.items()}
        low, middle, high = bands.isel(place).values
        runs = int(there.isel(place | idle).sum())
        if runs == 0:  # a stored sweep that is not done
            values, low, middle, high = dict.fromkeys(values, "–"), np.nan, np.nan, np.nan
        row |= values | {column(metric): middle, "low": low, "high": high}
        row |= {column(name): float(middles[name].isel(place)) if runs else np.nan for name in others}
        row |= {name: float(cell[name].mean()) for name in names}
        row |= {"diverged": int(lost.isel(place | idle).sum()), "runs": runs}
        row["edge"] = tuple(name for name, value in values.items() if _at_edge(value, grid[name].values))
        rows.append(row)
    return pd.DataFrame(rows)


def _idle(values: xr.DataArray, dim: str) -> bool:
    """Whether a dimension such as "KGT.local_steps" says nothing of these runs: then they were run once, and copied."""
    first = values.isel({dim: 0}, drop=True).values
    return (
        "." in dim
        and values.sizes[dim] > 1
        and all(
            np.array_equal(values.isel({dim: k}, drop=True).values, first, equal_nan=True)
            for k in range(values.sizes[dim])
        )
    )


def _others(dataset: xr.Dataset, metric: str) -> list[str]:
    """The test accuracy or the distance, and the consensus, where there are; else whatever there is."""
    names = ["test_accuracy", "distance", "consensus", *map(str, dataset.data_vars)]
    there = [name for name in dict.fromkeys(names) if name in dataset and name != metric]
    return [name for name in there if "node" not in dataset[name].dims][:2]


def _at_edge(value: object, grid: np.ndarray) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool) or not np.issubdtype(grid.dtype, np.number):
        return False
    grid = grid[np.isfinite(grid)]
    return bool(np.ptp(grid) > 0 and value in (grid.min(), grid.max()))
