"""Figures from results and of partitions; nothing here runs an experiment."""

from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from jaxdec.data import Dataset, Partition, label_counts
from jaxdec.results.choices import beside, named, said
from jaxdec.results.labels import AXES, by_algorithm, labelled
from jaxdec.results.legends import WIDE, legend_below, legend_in
from jaxdec.results.statistics import bootstrap, logarithmic, quantiles
from jaxdec.results.summary import KINDS, best, fields, judge, known, others_at_best, swept
from jaxdec.results.texts import titled, verbatim

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BUBBLE",
    "COLOURS",
    "LABELS",
    "LINES",
    "MARKERS",
    "STYLE",
    "WIDE",
    "Band",
    "curves",
    "overview",
    "panels",
    "partition",
    "sensitivity",
]

# Okabe and Ito's colours, told apart by all common kinds of colour vision, with a marker each for print in grey; the
# eighth line has the first colour again, dashed.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", ":", "-.")

BUBBLE = 14.0  # points, the diameter of the largest
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.92",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "savefig.dpi": 200,
    "figure.constrained_layout.use": True,
}

LABELS = AXES | {
    "vectors": "$d$-vectors sent to each neighbour",
    "loss": r"training loss $f(\bar{x})$",
    "grad_norm_sq": r"squared gradient norm $\|\nabla f(\bar{x})\|^2$",
    "share_lost": "share of messages lost",
    "share_awake": "share of nodes awake",
    "consensus": r"consensus error $\frac{1}{n}\sum_i\|x_i-\bar{x}\|^2$",
    "distance": r"distance to the minimizer $\|\bar{x}-x^\star\|$",
    "test_loss": "test loss",
    "test_accuracy": "test accuracy",
    "node_test_loss": "test loss, mean over nodes",
    "node_test_accuracy": "test accuracy, mean over nodes",
    "lr": "step size lr",
}

Band = Literal["quantiles", "confidence", "none"]


def curves(
    results: Any,
    metric: str | None = None,
    *,
    x: str = "round",
    band: Band = "quantiles",
    confidence: float = 0.95,
    log_x: bool = False,
    legend: bool | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Median over seeds of a metric, with a band, a line per algorithm. A cross ends a line whose median run diverged.

    Values that `results.best` has chosen stand beside the algorithm, with a star at the edge of the grid.

    Args:
        results: of `run`; or of `sweep` with the dimensions `seed` and `round`, and `algorithm` or none: see
            `results.best`.
        metric: the variable to draw; None takes the loss, or else the first there is.
        x: "round", or what was spent: "grads", "vectors", "bits", "seconds" of `results.add_time`, "passes" of
            `results.add_passes`; or a coordinate of one's own over the rounds.
        band: "quantiles", from the 10th to the 90th percentile of the runs; "confidence", the bootstrap interval of the
            median; or "none".
        confidence: of the interval.
        log_x: a logarithmic horizontal axis, which leaves out what is at 0 on it.
        legend: whether there is one in the axes; None has one where this makes the figure.
        ax: where to draw; None makes a figure.
    """
    dataset = labelled(results)
    spent = [k for k in AXES if k in dataset.coords]
    others = [str(k) for k, c in dataset.coords.items() if k not in spent and "round" in c.dims and c.dtype.kind == "f"]
    _choose("x", x, spent + others)
    metric = known(dataset, metric)
    _choose("band", band, ["quantiles", "confidence", "none"])
    legend, ax = ax is None if legend is None else legend, ax or _axes()
    lines = by_algorithm(dataset)
    for _, one in lines:
        if left := [dim for dim in one[metric].dims if dim not in ("seed", "round")]:
            raise ValueError(
                f"curves draws one run per seed; choose among {', '.join(map(str, left))}, see results.best"
            )
    bands = [_band(one[metric], band, confidence) for _, one in lines]
    log_y = logarithmic(metric, np.concatenate([middle for _, middle, _ in bands]))
    finite = [np.logical_and.accumulate(np.isfinite(middle)) for _, middle, _ in bands]  # until it diverges
    lost = all(not there[1:].any() and not there.all() for there in finite)  # all of them, at once
    empty = True
    for k, ((label, one), (low, middle, high)) in enumerate(zip(lines, bands, strict=True)):
        at = one[x].transpose(..., "round").values
        at = at if at.ndim == 1 else at.mean(axis=0)
        shown = finite[k] & (not lost) & (at > 0 if log_x else True) & (middle > 0 if log_y else True)
        empty = empty and not shown.any()
        look = _look(k)
        label = verbatim(label + named(one, label)) + " (nothing to draw)" * (not lost and not shown.any())
        ax.plot(at[shown], middle[shown], label=label, markevery=max(1, len(at) // 8), **look)
        if shown.any() and not finite[k].all():
            ax.plot(at[shown][-1], middle[shown][-1], marker="x", ms=8, mew=2, color=look["color"], ls="none")
        if band != "none" and one.sizes["seed"] > 1:
            inside = [v for end in (low, middle, high) for v in end[shown] if np.isfinite(v) and (v > 0 or not log_y)]
            low, high = (np.clip(end, min(inside, default=0), max(inside, default=0)) for end in (low, high))
            ax.fill_between(at[shown], low[shown], high[shown], color=look["color"], alpha=0.15, lw=0)
    ax.set(xlabel=_named(x), ylabel=_named(metric))
    if empty:
        why = "no finite value to draw:\nthe median runs diverged" if lost else "nothing to draw on these axes"
        return _says(ax, why)
    if log_y:
        ax.set_yscale("log")
    if log_x:
        _log_x(ax)
    if legend:
        legend_in(ax, said(dataset))
    return ax


def sensitivity(
    results: Any,
    metric: str,
    *,
    over: str = "lr",
    by: str | None = None,
    legend: bool | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """The metric at the last round against a swept value: median and 10-90 % band over seeds, a line per algorithm.

    A value at which the median run diverged is left out of the line. Other swept values are each algorithm's best.

    Args:
        results: of `sweep`.
        metric: the variable to draw.
        over: the swept dimension.
        by: the metric by which other swept values are the best; None takes the one that is drawn, but for one of the
            test set the loss.
        legend: as for `curves`.
        ax: where to draw; None makes a figure.
    """
    dataset = labelled(results)
    by = judge(dataset, known(dataset, metric), by)
    if over not in swept(dataset):
        there = ", ".join(swept(dataset)) or "nothing: give the results of a sweep with an `over`"
        raise ValueError(f"{over!r} was not swept in these results; swept was {there}")
    legend, ax = ax is None if legend is None else legend, ax or _axes()
    drawn, places = [], []
    for k, (label, one) in enumerate(by_algorithm(dataset)):
        one = others_at_best(one, by, over)
        low, middle, high = _band(one[metric].isel(round=-1).transpose("seed", over), "quantiles")
        at = one[fields(one, over)[0]].values
        at = at if np.issubdtype(at.dtype, np.number) else np.array([verbatim(value) for value in at])
        look = _look(k)
        shown = np.isfinite(middle)
        ax.plot(at[shown], middle[shown], label=verbatim(label), **look)
        if one.sizes["seed"] > 1:
            inside = np.isfinite(low) & np.isfinite(high)
            ax.fill_between(at, low, high, where=inside & shown, color=look["color"], alpha=0.15, lw=0)
        drawn.append(middle[shown])
        places.append(at[shown])
    rounds = int(dataset["round"][-1])
    name = fields(dataset, over)[0]
    ax.set(
        xlabel=_named(name),
        ylabel=f"{_named(metric)}\nafter {rounds} round{'s' * (rounds > 1)}",
    )
    places = np.concatenate(places)
    if not places.size:
        return _says(ax, "no finite value to draw:\nthe median run diverged at each")
    if np.issubdtype(places.dtype, np.number) and places.min() > 0:
        _log_x(ax)
    if logarithmic(metric, np.concatenate(drawn)):
        ax.set_yscale("log")
    if legend:
        legend_in(ax, f"others at the best by {titled(by)}" if len(swept(dataset)) > 1 else "")
    return ax


def panels(
    results: Any,
    metric: str | None = None,
    *,
    x: str = "round",
    band: Band = "quantiles",
    log_x: bool = False,
    by: str | None = None,
    ylim: tuple[float, float] | None = None,
    title: str | None = None,
) -> "Figure":
    """Each algorithm at its best swept values, a panel for each problem (rows) and network (columns).

    Args:
        results: of `run` or `sweep`.
        metric: as for `curves`, and so are x, band and log_x.
        x: what it is drawn against.
        band: around the median.
        log_x: a logarithmic horizontal axis.
        by: the metric by which swept values are the best; None takes the one that is drawn, but for one of the test set
            the loss: there nothing is chosen unless it is asked for. The legend names it, and the values.
        ylim: the ends of the vertical axes.
        title: above the panels.
    """
    dataset = labelled(results)
    metric = known(dataset, metric)
    chosen = best(dataset, judge(dataset, metric, by))
    rows, columns = (list(chosen[kind].values) if kind in chosen.dims else [None] for kind in KINDS[1:])
    with _pyplot().rc_context(STYLE):
        size = (max(4.8, 3.6 * len(columns)), max(3.9, 2.9 * len(rows)))
        figure, axes = _pyplot().subplots(len(rows), len(columns), figsize=size, squeeze=False, sharex="col")
        for i, problem in enumerate(rows):
            for j, network in enumerate(columns):
                where = {k: v for k, v in zip(KINDS[1:], (problem, network), strict=True) if v is not None}
                ax = curves(chosen.sel(where), metric, x=x, band=band, log_x=log_x, ax=axes[i, j])
                if where:
                    ax.set_title(", ".join(map(verbatim, where.values())), fontsize=9)
                if i + 1 < len(rows):
                    ax.set_xlabel("")
                if j > 0:
                    ax.set_ylabel("")
                if ylim is not None:
                    _within(ax, ylim)
        labels = axes[0, 0].get_legend_handles_labels()[1] if axes.size == 1 else _beside(chosen)
        legend_below(figure, axes[0, 0], said(chosen), labels)
        if title:
            figure.suptitle(title, fontsize=10)
    return figure


def overview(results: Any, *, over: str | None = None, title: str | None = None) -> "Figure":
    """A sweep or a run on one row: each algorithm at its best value by rounds and by cost, and what that value decides.

    The best value is the one with the least median loss at the end; drawn are the squared gradient norm and, where
    there is one, the test accuracy. Results with other metrics are drawn by what they have.

    Args:
        results: of `run`, or of `sweep` without the dimensions `problem` and `network`.
        over: the swept dimension of the last panel; None takes lr, or else the first with numbers, if any.
        title: above the panels.
    """
    dataset = labelled(results)
    first = next((k for k in ("grad_norm_sq", "loss") if k in dataset), known(dataset, None))
    second = next((k for k in ("test_accuracy", "consensus") if k in dataset), first)
    numbers = [dim for dim in swept(dataset) if np.issubdtype(dataset[fields(dataset, dim)[0]].dtype, np.number)]
    over = over or ("lr" if "lr" in numbers else next(iter(numbers), None))
    chosen = best(dataset, known(dataset, None))
    with _pyplot().rc_context(STYLE):
        figure, (left, middle, *right) = _pyplot().subplots(1, 3 if over else 2, figsize=(11 if over else 7.6, 3.6))
        curves(chosen, first, ax=left)
        curves(chosen, second, x="vectors", ax=middle)
        if over:
            sensitivity(dataset, first, over=over, ax=right[0])
        if second == "test_accuracy":  # the start, which all share, would take most of the axis
            later = chosen[second].isel(round=slice(1, None)).values
            if np.isfinite(later).any():
                middle.set_ylim(bottom=float(np.quantile(later[np.isfinite(later)], 0.02)))
        legend_below(figure, left, said(chosen))
        if title:
            figure.suptitle(title, fontsize=10)
    return figure


def partition(partition: Partition, data: Dataset | ArrayLike, *, ax: "Axes | None" = None) -> "Axes":
    """A disc for each node and class, whose area is proportional to the number of samples.

    Args:
        partition: of the training set.
        data: the classification `Dataset`, or its (N,) integer labels.
        ax: where to draw; None makes a figure.

    Raises:
        ValueError: regression data, which have no classes.

    >>> from jaxdec import data
    >>> digits = data.digits()
    >>> ax = partition(data.dirichlet(digits, n=8, alpha=0.5), digits)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('node', 'class')
    >>> ax.figure.clear()
    """
    table = label_counts(partition, data)
    if ax is None:
        with _pyplot().rc_context(STYLE):
            size = (max(2.8, 1.2 + 0.28 * table.shape[0]), max(1.9, 1.0 + 0.28 * table.shape[1]))
            _, ax = _pyplot().subplots(figsize=size)
    node, label = np.nonzero(table)
    area: Any = BUBBLE**2 * table[node, label] / table.max()
    ax.scatter(node, label, s=area, color=COLOURS[0], linewidths=0)
    ax.set(xlabel="node", ylabel="class", xlim=(-0.7, table.shape[0] - 0.3), ylim=(-0.7, table.shape[1] - 0.3))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(_pyplot().MaxNLocator(integer=True))
    held = partition.counts
    title = f"{held.min()} to {held.max()} samples a node, largest disc {table.max()}"
    inches = ax.get_window_extent().width / ax.figure.dpi
    title = title if len(title) * WIDE < inches else title.replace(", ", ",\n")
    ax.set_title(title, fontsize="medium")
    return ax


def _beside(chosen: xr.Dataset) -> list[str]:
    """The labels of the algorithms, with what was chosen for each problem and network."""
    kinds = [kind for kind in KINDS[1:] if kind in chosen.dims]
    where = [dict(zip(kinds, at, strict=True)) for at in product(*(chosen[kind].values for kind in kinds))]
    values = {label: [named(one.sel(at), label) for at in where] for label, one in by_algorithm(chosen)}
    return [verbatim(beside(label, of)) for label, of in values.items()]


def _within(ax: "Axes", ylim: tuple[float, float]) -> None:
    """Set the ends of a vertical axis."""
    low, high = ylim
    if not low < high or (ax.get_yscale() == "log" and low <= 0):
        wanted = "0 < low < high, since the axis is logarithmic" if ax.get_yscale() == "log" else "low < high"
        raise ValueError(f"ylim is {wanted}; got {low:g} and {high:g}")
    ax.set_ylim(low, high)


def _says(ax: "Axes", why: str) -> "Axes":
    """An empty panel that says why it is."""
    ax.text(0.5, 0.5, why, transform=ax.transAxes, ha="center", va="center", color="0.35")
    ax.tick_params(bottom=False, left=False, labelbottom=False, labelleft=False)
    ax.grid(False)
    return ax


def _log_x(ax: "Axes") -> None:
    """A logarithmic horizontal axis whose labels do not overlap where it is short."""
    ax.set_xscale("log")
    ax.xaxis.set_minor_locator(_pyplot().LogLocator(subs=(2, 5)))


def _look(k: int) -> dict[str, Any]:
    style = LINES[k // len(COLOURS) % len(LINES)]
    return {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)], "ls": style}


def _band(values: xr.DataArray, band: Band, confidence: float = 0.95) -> Any:
    """The lower end, the median and the upper end over seeds, where what is not finite counts as the worst."""
    if band == "confidence" and values.sizes["seed"] > 1:
        found = bootstrap(values, confidence=confidence)
        return found.transpose("bound", ...).values
    return quantiles(values).transpose("quantile", ...).values


def _choose(name: str, value: str, options: list[str]) -> None:
    if value not in options:
        advice = "; results.add_time(results, link) adds seconds" if value == "seconds" else ""
        raise ValueError(f"{name} is one of {', '.join(options)}; got {value!r}{advice}")


def _pyplot() -> Any:
    """Matplotlib, which takes most of a second to import: for the first figure, and not before."""
    import matplotlib.pyplot as plt

    return plt


def _axes() -> "Axes":
    with _pyplot().rc_context(STYLE):
        return _pyplot().subplots(figsize=(4.5, 3.4))[1]


def _named(name: str) -> str:
    """What is written on an axis: a user's name as it is."""
    return LABELS.get(name) or verbatim(name)
