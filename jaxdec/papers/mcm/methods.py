"""The methods that MCM is compared with, what their messages cost, and where they end."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from jaxdec.algorithms import DIANA, DORE, MCM, SGD, Artemis, RandMCM
from jaxdec.compressors import Quantization, bits_authors
from jaxdec.papers.mcm.tasks import CLIENTS, Setting
from jaxdec.results import add_passes, plotting

__all__ = [
    "EXCESS",
    "FIGURES",
    "METHODS",
    "bits_of_figures",
    "chosen",
    "decades",
    "ends",
    "marks",
    "methods",
    "of",
    "off",
    "powers",
    "with_axes",
]

FIGURES = "figures in the notebooks of the authors' code, github.com/philipco/mcm-bidirectional-compression"
EXCESS = r"$F(x) - F^\star$"
METHODS = ("SGD", "DIANA", "MCM", "Rand-MCM", "Artemis", "DORE")
SENDS_MODEL = ("MCM", "Rand-MCM")


def methods(
    lr: Any, *, feedback: float | None = None, levels: int = 1, momentum: float = 0.0, per_block: bool = False
) -> dict[str, Any]:
    """The six methods that the paper compares.

    Args:
        lr: the step size.
        feedback: DORE's; the first step size.
        levels: of the quantization.
        momentum: of the heavy ball.
        per_block: whether each tensor of the parameters has a norm, an omega and rates of its own, as the authors'
            networks have.
    """
    C = Quantization(levels=levels, per_block=per_block)
    both = {"lr": lr, "compressor": C, "down_compressor": C, "momentum": momentum}
    return {
        "SGD": SGD(lr=lr, momentum=momentum),
        "DIANA": DIANA(lr=lr, compressor=C, momentum=momentum),
        "MCM": MCM(**both),
        "Rand-MCM": RandMCM(**both),
        "Artemis": Artemis(**both),
        "DORE": DORE(**both, feedback=feedback),
    }


def chosen(names: Sequence[str], lr: Any, **settings: Any) -> dict[str, Any]:
    """Those of `methods` with these names."""
    return {name: method for name, method in methods(lr, **settings).items() if name in names}


def bits_of_figures(method: str, d: int, *, levels: int = 1, p: float = 1.0) -> tuple[float, float]:
    """Bits up and down of one counted step as the authors' code counts them: one step an epoch, for all clients.

    The honest count, of each round and message, is in the results as `bits` and `bits_down`.

    >>> up, down = bits_of_figures("MCM", d=124)
    >>> round(up, 2), round(down, 2)
    (3336.25, 3336.25)
    """
    up = bits_authors(CLIENTS, d, 0 if method == "SGD" else levels)
    down = bits_authors(CLIENTS, d, 0 if method in ("SGD", "DIANA") else levels)
    return p * up, (p if method in SENDS_MODEL else 1) * down


def with_axes(results: xr.Dataset, settings: Mapping[str, Setting], *, levels: int = 1, p: float = 1.0) -> xr.Dataset:
    """The results with the coordinates `passes`, `bits_both` of a client and `bits_authors`.

    Args:
        results: over `data`, by the names of `settings`.
        settings: what is known of each problem.
        levels: of the quantization.
        p: with which probability a client takes part.
    """
    names, algorithms = list(settings), results["algorithm"].values.tolist()
    of_data = lambda values: xr.DataArray(values, {"data": names}, "data")
    results = add_passes(results, of_data([p * s.batch_size * s.rounds for s in settings.values()]))
    sizes = [[sum(bits_of_figures(m, s.d, levels=levels, p=p)) for s in settings.values()] for m in algorithms]
    size = xr.DataArray(sizes, {"algorithm": algorithms, "data": names}, ("algorithm", "data"))
    passes = results["passes"].reset_coords(drop=True)
    both = (results["bits"] + results["bits_down"]).reset_coords(drop=True)
    return results.assign_coords(bits_authors=passes * size, bits_both=both)


def decades(results: xr.Dataset) -> xr.DataArray:
    """Log10 of F(x) - F*: the mean over seeds; inf from where one has diverged."""
    gap = results["suboptimality"]
    there: Any = np.log10(gap.where(gap > 0, np.finfo(float).tiny))
    return there.where(np.isfinite(gap), np.inf).mean("seed")


def of(results: xr.Dataset, name: str) -> xr.Dataset:
    """Those of one problem, in its own rounds and seeds: `beside` fills up with nan."""
    one = results.sel(data=name, drop=True)
    one = one.sel(round=one["grads"].notnull().any([dim for dim in one["grads"].dims if dim != "round"]))
    begun = next(iter(one.data_vars.values())).isel(round=0, drop=True).notnull()
    return one.sel(seed=begun.any([dim for dim in begun.dims if dim != "seed"]))


def ends(results: xr.Dataset, share: float = 0.1) -> xr.DataArray:
    """The mean of `decades` over the last rounds, a tenth of them, of one problem: where a run has come to rest."""
    late = results["round"] > float(results["round"][-1]) * (1 - share)
    return decades(results).sel(round=late).mean("round")


def off(found: xr.DataArray, published: Mapping[str, float]) -> float:
    """The largest difference from the published values, in decades."""
    return max(abs(float(found.sel(algorithm=name)) - value) for name, value in published.items())


def marks(ax: plt.Axes, names: Sequence[str], published: Mapping[str, float], at: float) -> None:
    """Published values, hollow, at the right of an axis that is given room for them."""
    ax.set_xlim(-0.02 * at, at * (1.12 if published else 1.02))
    for k, name in enumerate(names):
        if name in published:
            look: dict[str, Any] = {"color": plotting.COLOURS[k], "marker": plotting.MARKERS[k], "fillstyle": "none"}
            ax.plot([1.06 * at], [published[name]], ls="none", ms=7, mew=1.4, zorder=6, **look)


def powers(published: Mapping[str, float]) -> Mapping[str, float]:
    """Of ten."""
    return {name: 10**value for name, value in published.items()}
