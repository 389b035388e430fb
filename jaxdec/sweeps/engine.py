"""`sweep`: many experiments as few programs, and one labelled array back."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import xarray as xr
from jaxtyping import ArrayLike

from jaxdec import checks, live
from jaxdec.describe import commit, versions
from jaxdec.live.watch import watch
from jaxdec.loop import outline
from jaxdec.metrics import DEFAULT, named
from jaxdec.sweeps import axes, manifest, plan
from jaxdec.sweeps import devices as _devices
from jaxdec.sweeps.session import Session
from jaxdec.types import Metric

__all__ = ["sweep"]


def sweep(
    algorithms: Any,
    problems: Any,
    networks: Any,
    *,
    over: Mapping[Any, Any] | Sequence[Mapping[str, Any]] | None = None,
    seeds: int | Sequence[int] = 10,
    rounds: int,
    every: int = 1,
    x0: ArrayLike | None = None,
    metrics: Iterable[Metric | str] | Mapping[str, Metric | str] = DEFAULT,
    paired: bool = True,
    progress: bool | None = None,
    memory: int | float | str | None = None,
    chunk: int | None = None,
    store: str | os.PathLike[str] | None = None,
    states: bool = True,
    devices: int | Sequence[Any] | None = None,
    callback: live.Callback | Sequence[live.Callback] | None = None,
    callback_every: int | None = None,
    strict: bool = True,
) -> xr.Dataset:
    """Run every combination of algorithm, problem, network, swept values and seed.

    Combinations that differ in traced fields alone, such as step sizes, run side by side in one compiled program; each
    value of a static field, such as local_steps, is a program of its own.

    `over` names what is swept besides::

        {"lr": [0.01, 0.1], "compressor.levels": [1, 4]}   a grid; dots lead to nested fields
        {("lr", "momentum"): [(0.1, 0.9), (0.3, 0.5)]}     zipped: one dimension, lr_momentum
        {"lr": {"DSGD": [0.1, 1.0], "KGT": [0.01, 0.1]}}   each algorithm its own values: lr(algorithm, lr) is a table
        {"KGT.local_steps": [1, 5]}                        of one algorithm, by its label or class; others run once
        {"problem.l2": [...], "network.participation": [...]}
        [{"lr": 0.1, "momentum": 0.9}, {"lr": 0.3}]        a list of configurations: the dimension config

    Values may be whole objects, and come from `uniform` and `log_uniform`.

    Args:
        algorithms: one algorithm, a list of them (labelled by their class) or a mapping of labels to them.
        problems: likewise.
        networks: likewise.
        over: what is swept, as above.
        seeds: how many seeds, 0, 1, ..., or a list of them, integers from 0 to 2**63 - 1.
        rounds: communication rounds; a multiple of `every`.
        every: the stride of the records.
        x0: the start, (d,) or (n, d); None takes the problem's own, which may depend on the seed.
        metrics: as for `run`, where each new function is compiled and kept: functions of (problem, state) or (problem,
            state, world), names of those in `jaxdec.metrics`, or a mapping of names to either, which give numbers or
            (n,).
        paired: all configurations of a seed see the same minibatches and noise (common random numbers), which makes
            their comparison paired and the sweep faster. False draws afresh for each.
        progress: whether to show a progress bar; None shows it on a terminal.
        memory: how much a program may take on each device (on a CPU, all together), in bytes or as "2GB"; None takes
            most of what is free, on a CPU at most 400 MB: more is slower. Configurations are run in chunks that fit.
        chunk: how many configurations to run at once, in place of what `memory` allows.
        store: a directory that receives the results chunk by chunk. Where it holds a part of this sweep, only the rest
            is run; more seeds and more rounds extend it, rounds going on from the last states. A chunk that takes long
            is kept every 20 seconds or so, and gone on with. One of other values or other code is refused. See `load`.
            The same call may be made by several processes at once, on machines that share the directory: they share
            the chunks, take over those of one that has died, and each returns the whole. `~` and `$NAME` are put in.
        states: whether the store keeps the last states, n d numbers for each vector of a run's state. Without, it takes
            no more rounds.
        devices: how many devices, or which, the configurations are spread over; None takes all, of all hosts that
            `jax.distributed.initialize()` has joined.
        callback: as for `run`, called with the records of runs that went side by side, whose arrays have the axes
            (seeds, configurations) in front. Chunks that a store already has are not shown again. One that asks to stop
            ends the sweep with `live.Stopped`; what is stored is kept.
        callback_every: how many rounds from one call to the next, a multiple of `every`; None makes ten calls.
        strict: as for `run`: False makes most broken laws warnings, and attributes of the results.

    Returns:
        A dataset over the dimensions `algorithm`, `problem`, `network` (those given in plural), the swept names, `seed`
        and `round`, and `node` for metrics that are numbers per node: a variable per metric, and what was spent (grads,
        vectors, bits, bits_down;
        rounds_present where not everybody always takes part) as coordinates. A run that diverged holds NaN or infinity
        from there on and harms no
        other. Where an algorithm has fewer values than another, what is missing is NaN and the coordinate `done` False.
        The attributes hold the specification, how many programs there were, how long they took to compile and to run,
        how many runs diverged, what laws are broken, and how many runs were side by side on which devices (`at_once`):
        the last bits depend on it, and differ within a store that was gone on with elsewhere.

    Raises:
        TypeError: if something is not what belongs in its place.
        ValueError: before anything is compiled, if any combination is not valid, a metric has a shape or a name that
            results cannot have, or the store holds another sweep.
        OSError: if the store cannot be written; what is stored is unharmed.
        MemoryError: if not even a single run fits.
        live.Stopped: if a callback asks to stop.

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
    rounds, every = checks.horizon(rounds, every)
    seeds, strict = checks.seeds(seeds), checks.flag("strict", strict)
    paired, states = checks.flag("paired", paired), checks.flag("states", states)
    if progress is not None:
        progress = checks.flag("progress", progress)
    given = algorithms, problems, networks
    known = axes.objects(*given)
    for kind, of_kind in known.items():
        for value in of_kind.values():
            checks.part(kind, value)
    dimensions = axes.axes(*given, over)
    cells, records = math.prod(axis.size for axis in dimensions), rounds // every + 1
    checks.affordable(f"a sweep of {cells} configurations", checks.CELL * cells, "sweep over fewer values")
    _affordable(cells, len(seeds), records, 8)
    if chunk is not None:
        chunk = checks.integer("chunk", chunk)
    mesh = _devices.mesh(devices)
    limit = None if memory is None else _devices.per_device(_devices.parse_bytes(memory), mesh)
    measured = named(metrics)
    planned = plan.cells(known, dimensions, x0, rounds=rounds, every=every, strict=strict)
    groups = plan.groups(planned)
    layout = manifest.layout(dimensions, groups, seeds, rounds, every)
    size, recorded = _check_metrics(
        groups, measured, [*layout.dimensions, *layout.coordinates], stored=store is not None
    )
    _affordable(cells, len(seeds), records, size)
    asked = manifest.Manifest(
        manifest.specification(known, dimensions, x0, measured, groups, every=every, paired=paired),
        layout,
        states=states and store is not None,
        versions=versions(),
        commit=commit() if store is not None else None,
    )
    seers = watch(callback, callback_every, every, recorded)
    session = Session(groups, asked, mesh, measured, paired, store, seers)
    return session.run(progress, limit, chunk)


def _affordable(cells: int, seeds: int, records: int, size: int) -> None:
    """Refuse results that do not fit into the memory, of so many bytes a record."""
    what = f"the results of {cells} configurations, {seeds} seeds and {records} records"
    checks.affordable(what, size * cells * seeds * records, "take fewer, or a larger every")


def _check_metrics(groups: list[plan.Group], metrics: Any, taken: list[str], *, stored: bool) -> tuple[int, list[str]]:
    """Refuse metrics whose shapes or names the results cannot have, before anything is compiled; the bytes of one.

    With the names that they have.
    """
    shapes: dict[str, Any] = {}
    for group in groups:
        found = outline(group.cells[0].experiment, metrics).metrics
        checks.free(found, taken)
        if stored:
            checks.storable(found)
        for name, of in found.items():
            if shapes.setdefault(name, of.shape) != of.shape:
                raise ValueError(f"the metric {name!r} is one number in some cells and one per node in others")
    return 8 * sum(math.prod(shape) for shape in shapes.values()), list(shapes)
