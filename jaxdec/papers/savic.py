r"""SAVIC: Chezhegov et al. (2024), Local methods with adaptivity via scaling, arXiv:2406.00846.

A stand-in for the paper's own experiments, which train a network on CIFAR-10: logistic regression on phishing (LIBSVM),
20 clients, 10 local steps on minibatches of 32, 1000 local steps in all. What it shows:

- On standardized features no global scaling gains anything over local SGD.
- With every feature multiplied by 10^U, U uniform on [-1.5, 0.5], each global scaling ends half a decade closer to the
  minimum where the clients hold different clusters of the data, and about three quarters where they hold random shares.
- OASIS with local scaling is then the worst of all where the clients differ, by half a decade. With random shares it is
  about as bad as local SGD.

There is no regularizer: the minimum then does not depend on how the features are multiplied. Everything is computed in
float64, whatever the precision of JAX.

Of the choices that the paper leaves open, these experiments take average="squares" where the statistic is a gradient,
and the default otherwise. The square of the mean gradient is mostly the noise of the mean, and the gain is smaller.
"""

from collections.abc import Sequence
from typing import Any, Literal

import jax
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from jaxdec import data, networks, problems, scaling
from jaxdec.algorithms import SAVIC, LocalSAVIC, LocalSGD
from jaxdec.data.files import file
from jaxdec.metrics import loss
from jaxdec.results import plotting
from jaxdec.sweeps import sweep

__all__ = [
    "GLOBAL",
    "METHODS",
    "STANDARDIZED",
    "at_best",
    "at_edge",
    "badly_scaled",
    "best",
    "experiment",
    "figure",
    "final",
    "medians",
    "phishing",
    "split",
]

CLIENTS, LOCAL_STEPS, BATCH = 20, 10, 32
STANDARDIZED = "standardized"

# A method, and the step sizes it is run with: 0.1 times powers of 2 from the first to the last exponent.
METHODS: dict[str, tuple[Any, int, int]] = {
    "Local SGD": (LocalSGD(lr=1.0, local_steps=LOCAL_STEPS), -2, 5),
    "OASIS": (SAVIC(lr=0.1, local_steps=LOCAL_STEPS, scaling=scaling.OASIS(alpha=1e-3)), -4, 3),
    "RMSProp": (
        SAVIC(lr=0.1, local_steps=LOCAL_STEPS, scaling=scaling.RMSProp(alpha=1e-4), average="squares"),
        -3,
        3,
    ),
    "Adam": (SAVIC(lr=0.1, local_steps=LOCAL_STEPS, scaling=scaling.Adam(alpha=1e-4), average="squares"), -5, 1),
    "OASIS, local": (
        LocalSAVIC(lr=0.01, local_steps=LOCAL_STEPS, scaling=scaling.OASIS(alpha=1e-3)),
        -10,
        -1,
    ),
    "Adam, local": (LocalSAVIC(lr=0.1, local_steps=LOCAL_STEPS, scaling=scaling.Adam(alpha=1e-4)), -5, 0),
}
GLOBAL = ("OASIS", "RMSProp", "Adam")


def phishing() -> data.Dataset:
    """LIBSVM's phishing, 11055 samples of 68 features, each shifted and scaled to mean 0 and variance 1."""
    raw = data.libsvm("phishing")
    inputs = (raw.inputs - raw.inputs.mean(axis=0)) / raw.inputs.std(axis=0)
    return data.dataset(inputs, raw.targets, classes=2, name=raw.name)


def badly_scaled(dataset: data.Dataset, seed: int) -> data.Dataset:
    """The data with each feature multiplied by 10^U, U uniform on [-1.5, 0.5]."""
    factors = 10 ** np.random.default_rng(seed).uniform(-1.5, 0.5, dataset.inputs.shape[1])
    inputs = (dataset.inputs * factors).astype(dataset.inputs.dtype)
    return data.dataset(inputs, dataset.targets, classes=2, name=f"{dataset.name}, scaling {seed}")


def split(dataset: data.Dataset, how: Literal["iid", "clusters"]) -> data.Partition:
    """Equal random shares, or the clusters, rebalanced, that MCM (arXiv:2102.12528) splits the same data in."""
    if how == "iid":
        return data.iid(dataset, CLIENTS)
    labels = np.load(file("libsvm", f"{dataset.name}.clusters.npy"))
    return data.from_lists(data.rebalanced([np.flatnonzero(labels == k) for k in range(CLIENTS)]), len(labels))


@jax.enable_x64(True)
def experiment(
    dataset: data.Dataset,
    partition: data.Partition,
    *,
    draws: int = 5,
    seeds: int = 2,
    rounds: int = 100,
    every: int = 10,
    only: Sequence[str] | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Every method on the data as they are and under each draw of column scalings.

    Args:
        dataset: standardized, see `phishing`.
        partition: which client holds what, see `split`.
        draws: how many draws of column scalings.
        seeds: how many seeds.
        rounds: communication rounds, of 10 local steps.
        every: the stride of the records.
        only: the methods to run, of `METHODS`; None means all.
        progress: as for `jaxdec.sweep`.

    Returns:
        `excess`, the loss above the minimum, over `algorithm`, `problem`, `lr`, `seed` and `round`; nan where a method
        was not run with a step size. The problems are "standardized", "0", "1", ...
    """
    sets = {STANDARDIZED: dataset} | {str(k): badly_scaled(dataset, k) for k in range(draws)}
    given = {name: problems.logistic(one, partition, batch_size=BATCH) for name, one in sets.items()}
    solved: Any = problems.solve(given[STANDARDIZED], tolerance=1e-6)
    minimum = float(solved.objective(solved.minimizer))
    horizon: dict[str, Any] = {"seeds": seeds, "rounds": rounds, "every": every, "metrics": (loss,)}

    def one(name: str) -> xr.Dataset:
        method, first, last = METHODS[name]
        lrs = [float(f"{0.1 * 2.0**k:.6g}") for k in range(first, last + 1)]
        method = {name: method}
        return sweep(method, given, networks.server(CLIENTS), over={"lr": lrs}, progress=progress, **horizon)

    options: dict[str, Any] = {"data_vars": "all", "coords": "different", "compat": "equals", "join": "outer"}
    names = [name for name in METHODS if only is None or name in only]
    results = xr.concat([one(name) for name in names], "algorithm", combine_attrs="drop_conflicts", **options)
    return results.assign(excess=results["loss"] - minimum)


def final(results: xr.Dataset) -> xr.DataArray:
    """Log10 of the excess loss at the end by `algorithm`, `problem` and `lr`: median over seeds, inf if diverged."""
    excess = results["excess"].isel(round=-1)
    ends: Any = np.log10(excess.where(np.isfinite(excess), np.inf))
    return ends.median("seed")


def best(results: xr.Dataset) -> xr.DataArray:
    """That of each method at its best step size, over `algorithm` and `problem`, with the step sizes as coordinate."""
    ends = final(results)
    return ends.min("lr").assign_coords(lr=ends.idxmin("lr"))


def at_edge(results: xr.Dataset) -> xr.DataArray:
    """Whether a method's best step size is the least or the largest that it was run with."""
    run = results["loss"].isel(round=0).notnull().any(("seed", "problem"))
    lr = results["lr"]
    chosen = best(results)["lr"]
    return (chosen == lr.where(run).min("lr")) | (chosen == lr.where(run).max("lr"))


def medians(results: xr.Dataset) -> xr.DataArray:
    """Median over the column scalings of `best`, over `algorithm`."""
    return best(results).drop_sel(problem=STANDARDIZED).median("problem")


def figure(results: xr.Dataset) -> Figure:
    """What `experiment` shows: progress on one column scaling, its step sizes, and the ends under all of them."""
    with plt.rc_context(plotting.STYLE):
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.8), width_ratios=(1, 1, 1.1))
        draw = next(name for name in results["problem"].values if name != STANDARDIZED)
        plotting.curves(at_best(results.sel(problem=draw)), "excess", ax=left)
        plotting.sensitivity(results.sel(problem=draw), "excess", ax=middle)
        for axes, title in ((left, "badly scaled: best step sizes"), (middle, "badly scaled: every step size")):
            axes.set_title(title, fontsize=9)
            axes.set_ylabel("excess loss" if axes is left else "excess loss at the end")
            axes.set_ylim(top=1)
        ends = best(results)
        for k, name in enumerate(ends["algorithm"].values):
            look: dict[str, Any] = {"color": plotting.COLOURS[k], "marker": plotting.MARKERS[k], "ls": "none"}
            standardized = ends.sel(algorithm=name, problem=STANDARDIZED).item()
            others = ends.sel(algorithm=name).drop_sel(problem=STANDARDIZED).values
            right.plot([10**standardized], [k], fillstyle="none", **look)
            right.plot(10**others, np.full(len(others), k), alpha=0.6, **look)
            right.plot([10 ** np.median(others)], [k], color=plotting.COLOURS[k], marker="|", ms=16, mew=2)
        right.set_yticks(range(ends.sizes["algorithm"]), [str(name) for name in ends["algorithm"].values])
        right.set(xscale="log", xlabel="excess loss at the end, best step size")
        right.set_title("hollow: standardized; filled: badly scaled; |: median", fontsize=8)
        right.invert_yaxis()
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def at_best(results: xr.Dataset) -> xr.Dataset:
    """The results of one problem at each method's best step size."""
    ends = final(results)
    return results.isel(lr=ends.argmin("lr").reset_coords(drop=True))
