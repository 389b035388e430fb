"""The methods that are compared, how their steps are searched, and how accuracies are read and drawn."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from jaxdec.algorithms import DSGD, DecentLaM, DSGDm, MomentumTracking, QGDSGDm
from jaxdec.metrics import consensus, loss, node_test
from jaxdec.results import plotting
from jaxdec.results.statistics import quantiles

__all__ = [
    "CORRECTING",
    "HEAVY",
    "METHODS",
    "METRIC",
    "METRICS",
    "accuracy",
    "against",
    "algorithms",
    "horizon",
    "lead",
    "marks",
    "over",
    "shown",
]

METRIC = "node_test_accuracy"
METRICS = (loss, consensus, node_test)

# Gradient tracking is Momentum Tracking without momentum.
METHODS: dict[str, Any] = {
    "DSGD": DSGD(lr=0.1),
    "DSGDm": DSGDm(lr=0.1, momentum=0.9),
    "QG-DSGDm": QGDSGDm(lr=0.1, momentum=0.9),
    "DecentLaM": DecentLaM(lr=0.1, momentum=0.9),
    "gradient tracking": MomentumTracking(lr=0.1, momentum=0.0),
    "Momentum Tracking": MomentumTracking(lr=0.1, momentum=0.9),
}
HEAVY = ("DSGDm", "QG-DSGDm", "DecentLaM", "Momentum Tracking")
CORRECTING = ("QG-DSGDm", "DecentLaM", "gradient tracking", "Momentum Tracking")  # for heterogeneity


def algorithms(names: Sequence[str]) -> dict[str, Any]:
    """The methods of these names."""
    return {name: METHODS[name] for name in names}


def over(names: Sequence[str], steps: Sequence[float]) -> dict[str, Any]:
    """A grid of effective steps for each method: that of heavy ball is lr / (1 - momentum).

    >>> over(["DSGD", "DSGDm"], [0.2, 0.8])
    {'lr': {'DSGD': [0.2, 0.8], 'DSGDm': [0.02, 0.08]}}
    """
    share = {name: 0.1 if name in HEAVY else 1.0 for name in names}
    return {"lr": {name: [float(f"{share[name] * step:.4g}") for step in steps] for name in names}}


def horizon(rounds: int, records: int) -> dict[str, Any]:
    """How long, what is recorded, and how often."""
    return {"rounds": rounds, "every": max(1, rounds // records), "metrics": METRICS}


def accuracy(results: xr.Dataset) -> xr.DataArray:
    """In percent, after the last round: the mean over seeds, as the paper has it."""
    return 100 * results[METRIC].isel(round=-1).mean("seed")


def lead(found: xr.DataArray, name: str = "Momentum Tracking") -> xr.DataArray:
    """By how many points a method is ahead of the best of the others."""
    return found.sel(algorithm=name) - found.drop_sel(algorithm=name).max("algorithm")


def shown(results: xr.Dataset, *values: float) -> dict[str, float]:
    """The vertical limit from the first record after the start, which all share and which would take most of the axis.

    Args:
        results: whose accuracies are drawn.
        values: that are drawn besides.
    """
    later = results[METRIC].isel(round=slice(1, None)).values
    return {"bottom": min(float(np.nanquantile(later, 0.02)), *values, 1.0) - 0.02}


def against(results: xr.Dataset, dim: str, ax: Axes) -> None:
    """The accuracy after the last round along `dim`: median and 10-90 % band over seeds, a line per algorithm."""
    places = np.arange(results.sizes[dim])
    for k, name in enumerate(results["algorithm"].values):
        end = results[METRIC].isel(round=-1).sel(algorithm=name).transpose("seed", dim)
        low, middle, high = quantiles(end).transpose("quantile", dim).values
        look: dict[str, Any] = {"color": plotting.COLOURS[k], "marker": plotting.MARKERS[k], "label": name}
        ax.plot(places, middle, **look)
        ax.fill_between(places, low, high, color=plotting.COLOURS[k], alpha=0.15, lw=0)
    ax.set_xticks(places, [str(value).replace(" ", "\n") for value in results[dim].values])
    ax.set_xlim(-0.3, len(places) - 0.7)
    ax.set_ylabel(f"test accuracy after {int(results['round'][-1])} rounds")


def marks(results: xr.Dataset, expected: Mapping[str, float], ax: Axes, label: str) -> None:
    """The accuracy of each algorithm after the last round, every seed, and a hollow mark where it was expected."""
    names = [str(name) for name in results["algorithm"].values]
    for k, name in enumerate(names):
        end = results[METRIC].isel(round=-1).sel(algorithm=name).values
        look: dict[str, Any] = {"color": plotting.COLOURS[k], "marker": plotting.MARKERS[k], "ls": "none"}
        ax.plot(np.full(len(end), k - 0.15 * (name in expected)), end, alpha=0.8, **look)
        if name in expected:
            ax.plot([k + 0.15], [expected[name]], fillstyle="none", ms=8, mew=1.4, **look)
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set_title(label, fontsize=8)
