"""Sweeps: many experiments as few programs, and one labelled array back."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import ArrayLike
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jaxdec import checks
from jaxdec.metrics import DEFAULT, named
from jaxdec.run import Trace, total_cost
from jaxdec.sweep import plan
from jaxdec.sweep.execute import traces
from jaxdec.sweep.summary import best, diverged
from jaxdec.types import Metric

__all__ = ["best", "diverged", "sweep"]


def sweep(
    algorithms: Any,
    problems: Any,
    networks: Any,
    *,
    over: Mapping[str, Sequence[Any]] | None = None,
    seeds: int | Sequence[int] = 10,
    rounds: int,
    every: int = 1,
    x0: ArrayLike | None = None,
    metrics: Iterable[Metric] | Mapping[str, Metric] = DEFAULT,
    paired: bool = True,
    progress: bool | None = None,
) -> xr.Dataset:
    """Run every combination of algorithm, problem, network, swept values and seed.

    Combinations that differ in traced fields alone, such as step sizes, run side by side in one compiled program; each
    value of a static field, such as local_steps, is a program of its own.

    Args:
        algorithms: one algorithm, a list of them (labelled by their class) or a mapping of labels to them.
        problems: likewise.
        networks: likewise.
        over: values to sweep by the name of the algorithms' field, dotted for nested ones; all combinations are run.
        seeds: how many seeds, 0, 1, ..., or a list of them.
        rounds: communication rounds; a multiple of `every`.
        every: the stride of the records.
        x0: the start, (d,) or (n, d); None takes the problem's own, which may depend on the seed.
        metrics: as for `run`.
        paired: all configurations of a seed see the same minibatches and noise (common random numbers), which makes
            their comparison paired and the sweep faster. False draws afresh for each.
        progress: whether to show a progress bar; None shows it on a terminal.

    Returns:
        A dataset over the dimensions `algorithm`, `problem`, `network` (those given in plural), the swept names, `seed`
        and `round`: a variable per metric, and what was spent (grads, vectors, bits, bits_down) as coordinates. A run
        that diverged holds NaN or infinity from there on and harms no other.

    Raises:
        ValueError: before anything is compiled, if any combination is not valid.

    >>> from jaxdec import algorithms, networks, problems
    >>> results = sweep(
    ...     [algorithms.DSGD(lr=0.1), algorithms.GradientTracking(lr=0.1)],
    ...     problems.quadratic(8, 3, noise=0.1),
    ...     networks.ring(8),
    ...     over={"lr": [0.01, 0.1]},
    ...     seeds=3,
    ...     rounds=100,
    ...     every=10,
    ... )
    >>> results.loss.sizes
    Frozen({'algorithm': 2, 'lr': 2, 'seed': 3, 'round': 11})
    """
    dimensions = plan.axes(algorithms, problems, networks, over or {})
    seeds = _seeds(seeds)
    checks.horizon(rounds, every)
    groups = plan.groups(plan.cells(algorithms, problems, networks, dimensions, x0, rounds=rounds, every=every))
    shape = tuple(len(axis.values) for axis in dimensions)
    records = np.arange(0, rounds + 1, every)
    variables: dict[str, np.ndarray] = {}
    spent: dict[str, np.ndarray] = {}
    horizon = {"rounds": rounds, "every": every, "metrics": named(metrics)}

    def store(into: dict[str, np.ndarray], name: str, values: np.ndarray, places: list[tuple[int, ...]], which: slice):
        """Write values, (seeds, cells, records) or broadcast to it, to their places."""
        full = into.setdefault(name, np.full((*shape, len(seeds), len(records)), np.nan, values.dtype))
        values = np.broadcast_to(values, (len(seeds[which]), len(places), len(records)))
        for c, place in enumerate(places):
            full[(*place, which)] = values[:, c]

    with _bar(progress) as bar:
        task = bar.add_task("sweep", total=int(np.prod(shape, dtype=int)) * len(seeds), program=f"0/{len(groups)}")
        for k, group in enumerate(groups):
            bar.update(task, description=group.cells[0].label.split()[0], program=f"{k + 1}/{len(groups)}")
            places = [cell.index for cell in group.cells]
            tick = lambda runs: bar.advance(task, runs)
            for which, trace in traces(group, seeds, paired=paired, tick=tick, **horizon):
                for name, values in trace.metrics.items():
                    store(variables, name, np.asarray(values), places, which)
                for name, values in _spent(trace, group, rounds, every).items():
                    store(spent, name, values, places, which)
        bar.update(task, description="done")

    names = tuple(axis.name for axis in dimensions)
    coordinates: dict[str, Any] = {axis.name: axis.labels for axis in dimensions}
    coordinates |= {"seed": seeds, "round": records}
    coordinates |= {name: _drop_seed(names, values) for name, values in spent.items()}
    dataset = xr.Dataset({k: ((*names, "seed", "round"), v) for k, v in variables.items()}, coordinates)
    return dataset.assign_attrs(_provenance(algorithms, problems, networks, rounds, every, paired, len(groups)))


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    if isinstance(seeds, int | np.integer):
        checks.integer("seeds", seeds)
        return list(range(seeds))
    seeds = [int(seed) for seed in seeds]
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds is a number of seeds or a list of different ones; got {seeds}")
    return seeds


def _spent(trace: Trace, group: plan.Group, rounds: int, every: int) -> dict[str, np.ndarray]:
    return total_cost(trace, rounds, every, group.cells[0].experiment[1].d)._asdict()


def _drop_seed(names: tuple[str, ...], values: np.ndarray):
    """What was spent over the dimensions it depends on: mostly it is the same for all seeds."""
    if np.array_equal(values, np.broadcast_to(values[..., :1, :], values.shape), equal_nan=True):
        return ((*names, "round"), values[..., 0, :])
    return ((*names, "seed", "round"), values)


def _provenance(algorithms, problems, networks, rounds, every, paired, programs) -> dict[str, Any]:
    from jaxdec import __version__

    versions = {"jaxdec": __version__, "jax": jax.__version__, "python": sys.version.split()[0]}
    return {
        "algorithms": str(algorithms),
        "problems": _names(problems),
        "networks": _names(networks),
        "rounds": rounds,
        "every": every,
        "paired": int(paired),
        "programs": programs,
        "versions": json.dumps(versions),
    }


def _names(objects: Any) -> str:
    if isinstance(objects, Mapping):
        return ", ".join(objects)
    return ", ".join(type(o).__name__ for o in (objects if isinstance(objects, list | tuple) else [objects]))


def _bar(progress: bool | None) -> Progress:
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:>20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("runs · program {task.fields[program]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=not (console.is_terminal if progress is None else progress))
