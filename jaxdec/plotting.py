"""Figures from results. The only importer of matplotlib; nothing here runs an experiment."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdec.sweep.summary import best

# Okabe and Ito's colours, told apart by all common kinds of colour vision, with a marker each for print in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

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

LABELS = {
    "round": "communication rounds",
    "grads": "sample gradients per node",
    "vectors": "$d$-vectors sent to each neighbour",
    "bits": "bits sent to each neighbour",
    "seconds": "simulated time in seconds",
    "loss": r"training loss $f(\bar{x})$",
    "grad_norm_sq": r"squared gradient norm $\|\nabla f(\bar{x})\|^2$",
    "consensus": r"consensus error $\frac{1}{n}\sum_i\|x_i-\bar{x}\|^2$",
    "distance": r"distance to the minimizer $\|\bar{x}-x^\star\|$",
    "test_loss": "test loss",
    "test_accuracy": "test accuracy",
    "node_test_loss": "test loss, mean over nodes",
    "node_test_accuracy": "test accuracy, mean over nodes",
    "lr": "step size lr",
}

LINEAR = ("accuracy",)  # metrics whose name contains one of these are drawn on a linear axis


def curves(dataset: xr.Dataset, metric: str, *, x: str = "round", ax: Axes | None = None) -> Axes:
    """Median over seeds of a metric, with the band from the 10th to the 90th percentile, a line per algorithm.

    Args:
        dataset: a result of `sweep` with the dimensions `seed` and `round`, and `algorithm` or none; see `sweep.best`.
        metric: the variable to draw.
        x: "round", or what was spent: "grads", "vectors", "bits", or "seconds" of `simtime.add_time`.
        ax: where to draw; None makes a figure.
    """
    ax = ax or _axes()
    for k, (label, one) in enumerate(_algorithms(dataset)):
        values = one[metric].transpose("seed", "round").values
        low, middle, high = _band(values)
        at = one[x].values
        at = at if at.ndim == 1 else at.mean(axis=0)
        shown = np.isfinite(middle)
        colour = COLOURS[k % len(COLOURS)]
        every = max(1, len(at) // 8)
        ax.plot(at[shown], middle[shown], color=colour, marker=MARKERS[k % len(MARKERS)], markevery=every, label=label)
        ax.fill_between(
            at[shown],
            low[shown],
            np.fmin(high, middle[shown].max(initial=-np.inf))[shown],
            color=colour,
            alpha=0.15,
            lw=0,
        )
    ax.set(xlabel=LABELS.get(x, x), ylabel=LABELS.get(metric, metric))
    if not any(word in metric for word in LINEAR):
        ax.set_yscale("log")
    return ax


def sensitivity(dataset: xr.Dataset, metric: str, *, over: str = "lr", ax: Axes | None = None) -> Axes:
    """The metric at the last round against a swept value: median and 10-90 % band over seeds, a line per algorithm.

    A value at which the median run diverged is left out of the line.
    """
    ax = ax or _axes()
    for k, (label, one) in enumerate(_algorithms(dataset)):
        values = one[metric].isel(round=-1).transpose("seed", over).values
        low, middle, high = _band(values)
        middle = np.where(np.isfinite(middle), middle, np.nan)
        at = one[over].values
        colour = COLOURS[k % len(COLOURS)]
        ax.plot(at, middle, color=colour, marker=MARKERS[k % len(MARKERS)], label=label)
        shown = np.isfinite(middle) & np.isfinite(high)
        ax.fill_between(at, low, high, where=shown, color=colour, alpha=0.15, lw=0)
    ax.set(
        xlabel=LABELS.get(over, over), ylabel=f"{LABELS.get(metric, metric)}\nafter {int(dataset['round'][-1])} rounds"
    )
    ax.set_xscale("log")
    if not any(word in metric for word in LINEAR):
        ax.set_yscale("log")
    return ax


def overview(dataset: xr.Dataset, *, over: str = "lr", title: str | None = None) -> Figure:
    """A sweep on one row: each algorithm at its best value by rounds and by cost, and what that value decides.

    The best value is the one with the least median loss at the end; drawn are the squared gradient norm and, where
    there is one, the test accuracy.
    """
    chosen = best(dataset, "loss")
    second = "test_accuracy" if "test_accuracy" in dataset else "consensus"
    with plt.rc_context(STYLE):
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.6))
        curves(chosen, "grad_norm_sq", ax=left)
        curves(chosen, second, x="vectors", ax=middle)
        sensitivity(dataset, "grad_norm_sq", over=over, ax=right)
        if second == "test_accuracy":  # the start, which all share, would take most of the axis
            middle.set_ylim(bottom=float(chosen[second].isel(round=slice(1, None)).quantile(0.02)))
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        if title:
            figure.suptitle(title, fontsize=10)
    return figure


def _band(values: np.ndarray) -> np.ndarray:
    """The 10th, 50th and 90th percentile over the first axis, where what is not finite counts as the worst."""
    with np.errstate(invalid="ignore"):  # between inf and inf
        return np.quantile(np.where(np.isfinite(values), values, np.inf), [0.1, 0.5, 0.9], axis=0)


def _axes() -> Axes:
    with plt.rc_context(STYLE):
        return plt.subplots(figsize=(4.5, 3.4))[1]


def _algorithms(dataset: xr.Dataset) -> Sequence[tuple[str, Any]]:
    if "algorithm" not in dataset.dims:
        return [(str(dataset.get("algorithm", xr.DataArray("")).values), dataset)]
    return [(str(name), dataset.sel(algorithm=name)) for name in dataset["algorithm"].values]
