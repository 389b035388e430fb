r"""Adaptive scaling on logistic regression whose features are badly scaled.

Phishing (LIBSVM), 20 clients, 10 local steps on minibatches of 32, 1000 local steps in all. What it shows:

- On standardized features no global scaling gains anything over local SGD.
- With every feature multiplied by 10^U, U uniform on [-1.5, 0.5], Adam and RMSProp end half a decade closer to the
  minimum where the clients hold different clusters of the data, and more where they hold random shares. OASIS gains
  with random shares alone.
- OASIS with local scaling is then the worst of all where the clients differ.

There is no regularizer: the minimum then does not depend on how the features are multiplied. Of the choices that the
paper leaves open, average="squares" is taken where the statistic is a gradient, and the default otherwise. The square
of the mean gradient is mostly the noise of the mean, and the gain is smaller.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import optax
import xarray as xr
from jax.tree_util import Partial
from matplotlib.figure import Figure

from jaxdec import data, networks, problems, scaling
from jaxdec.algorithms import SAVIC, FedOpt, LocalSAVIC, LocalSGD
from jaxdec.data.files import file
from jaxdec.metrics import suboptimality
from jaxdec.papers.exhibits import Claim, Exhibit
from jaxdec.papers.sets import standardized
from jaxdec.results import plotting
from jaxdec.sweeps import Tuned

__all__ = ["CONVEX", "GLOBAL", "METHODS", "badly_scaled", "convex", "gains", "search", "split"]

CLIENTS, LOCAL_STEPS, BATCH = 20, 10, 32
STANDARDIZED = "standardized"
GLOBAL = ("OASIS", "RMSProp", "Adam")
SERVER = "server_optimizer.learning_rate"

_K: dict[str, Any] = {"local_steps": LOCAL_STEPS}
_sgd = Partial(optax.sgd, learning_rate=0.1)

# A method, and the first three step sizes that it is tried with.
METHODS: dict[str, tuple[Any, tuple[float, ...]]] = {
    "Local SGD": (LocalSGD(lr=1.0, **_K), (0.2, 0.8, 3.2)),
    "OASIS": (SAVIC(lr=0.1, scaling=scaling.OASIS(alpha=1e-3), **_K), (0.025, 0.1, 0.4)),
    "RMSProp": (SAVIC(lr=0.1, scaling=scaling.RMSProp(alpha=1e-4), average="squares", **_K), (0.025, 0.1, 0.4)),
    "Adam": (SAVIC(lr=0.1, scaling=scaling.Adam(alpha=1e-4), average="squares", **_K), (0.0125, 0.05, 0.2)),
    "OASIS, local": (LocalSAVIC(lr=0.01, scaling=scaling.OASIS(alpha=1e-3), **_K), (0.001, 0.004, 0.016)),
    "Adam, local": (LocalSAVIC(lr=0.1, scaling=scaling.Adam(alpha=1e-4), **_K), (0.0125, 0.05, 0.2)),
    "FedAdam": (FedOpt(Partial(optax.adam, learning_rate=0.1, b1=0.0), _sgd, **_K), (0.0125, 0.05, 0.2)),
    "FedYogi": (FedOpt(Partial(optax.yogi, learning_rate=0.1, b1=0.0), _sgd, **_K), (0.0125, 0.05, 0.2)),
}


def badly_scaled(dataset: data.Dataset, seed: int) -> data.Dataset:
    """The data with each feature multiplied by 10^U, U uniform on [-1.5, 0.5]."""
    factors = 10 ** np.random.default_rng(seed).uniform(-1.5, 0.5, dataset.inputs.shape[1])
    inputs = (dataset.inputs * factors).astype(dataset.inputs.dtype)
    return data.dataset(inputs, dataset.targets, classes=2, name=f"{dataset.name}, scaling {seed}")


def split(dataset: data.Dataset, how: Literal["iid", "clusters", "labels"]) -> data.Partition:
    """Random shares; the clusters, rebalanced, that MCM (arXiv:2102.12528) splits the same data in; or by labels."""
    if how == "iid":
        return data.iid(dataset, CLIENTS)
    if how == "labels":
        return data.dirichlet(dataset, CLIENTS, alpha=0.3)
    labels = np.load(file("libsvm", f"{dataset.name}.clusters.npy"))
    return data.from_lists(data.rebalanced([np.flatnonzero(labels == k) for k in range(CLIENTS)]), len(labels))


@cache
def _tasks(given: str, splits: tuple[str, ...], draws: int) -> dict[str, Any]:
    """The problems by name, with the minimum, which is the same for all scalings."""
    plain = standardized(data.libsvm(given) if given == "phishing" else data.breast_cancer())
    sets = {STANDARDIZED: plain} | {f"scaling {k}": badly_scaled(plain, k) for k in range(draws)}
    found = {}
    for how in splits:
        partition = split(plain, how)  # type: ignore[arg-type]
        made = {name: problems.logistic(one, partition, batch_size=BATCH) for name, one in sets.items()}
        least = problems.solve(made[STANDARDIZED], tolerance=1e-6).minimum
        found |= {f"{how}, {name}": replace(one, minimum=least) for name, one in made.items()}
    return found


def search(
    *,
    given: str,
    splits: tuple[str, ...],
    draws: int,
    rounds: int,
    budget: int,
    methods: tuple[str, ...],
) -> dict[str, Any]:
    """The best step size of each method on each problem."""
    chosen = {name: METHODS[name] for name in methods}
    field = lambda name: SERVER if name.startswith("Fed") else "lr"
    over = {f"{name}.{field(name)}": list(grid) for name, (_, grid) in chosen.items()}
    common = {"algorithms": {name: method for name, (method, _) in chosen.items()}, "network": networks.server(CLIENTS)}
    horizon = {"rounds": rounds, "every": rounds, "seeds": [100, 101], "metrics": (suboptimality,), "budget": budget}
    return {
        name: common | horizon | {"problem": problem, "over": over, "metric": "suboptimality"}
        for name, problem in _tasks(given, splits, draws).items()
    }


def convex(
    *,
    tuned: Mapping[str, Tuned],
    given: str,
    splits: tuple[str, ...],
    draws: int,
    rounds: int,
    seeds: int,
) -> dict[str, Any]:
    """Every method at its step on every problem, on fresh seeds."""
    horizon = {"rounds": rounds, "every": rounds // 10, "seeds": seeds, "metrics": (suboptimality,)}
    return {
        name: {"algorithms": tuned[name].algorithms, "problems": problem, "networks": networks.server(CLIENTS)}
        | horizon
        for name, problem in _tasks(given, splits, draws).items()
    }


def ends(results: xr.Dataset) -> xr.DataArray:
    """Log10 of the excess loss at the end over `algorithm`, `split` and `scaling`: the median seed, inf if diverged."""
    last = results["suboptimality"].isel(round=-1)
    decades: Any = np.log10(last.where(np.isfinite(last), np.inf))
    names = [name.split(", ") for name in results["data"].values]
    decades = decades.median("seed").assign_coords(
        split=("data", [how for how, _ in names]), scaling=("data", [k for _, k in names])
    )
    return decades.set_index(data=["split", "scaling"]).unstack("data")


def gains(results: xr.Dataset) -> xr.DataArray:
    """By how many decades a method ends below local SGD: median over the bad scalings, over `algorithm` and `split`."""
    found = ends(results)
    bad = found.sel(scaling=[k for k in found.scaling.values if k != STANDARDIZED])
    return (bad.sel(algorithm="Local SGD") - bad).median("scaling")


def _gain(results: xr.Dataset, names: Sequence[str] = tuple(GLOBAL)) -> float:
    """The least gain of a global scaling of these names."""
    there = [name for name in names if name in results["algorithm"].values]
    return float(gains(results).sel(algorithm=there).min())


def _idle(results: xr.Dataset) -> float:
    """The largest gain of a global scaling on standardized features."""
    found = ends(results).sel(scaling=STANDARDIZED)
    there = [name for name in GLOBAL if name in results["algorithm"].values]
    return float((found.sel(algorithm="Local SGD") - found.sel(algorithm=there)).max())


def _worst(results: xr.Dataset) -> float:
    """By how many decades OASIS with local scaling ends above the next, where the clients hold clusters."""
    found = gains(results).sel(split="clusters")
    return float(found.drop_sel(algorithm="OASIS, local").min() - found.sel(algorithm="OASIS, local"))


def figure(results: xr.Dataset) -> Figure:
    """Progress on one bad scaling, and the ends under all, for each split."""
    found = ends(results)
    splits = found["split"].values
    names = results["algorithm"].values
    with plt.rc_context(plotting.STYLE):
        figure, grid = plt.subplots(len(splits), 2, figsize=(9, 3.2 * len(splits) + 0.6), squeeze=False)
        for how, (left, right) in zip(splits, grid, strict=True):
            one = results.sel(data=f"{how}, scaling 0").drop_vars("data")
            plotting.curves(one.drop_vars([c for c in one.coords if "lr" in str(c)]), "suboptimality", ax=left)
            left.set(title=f"{how}, badly scaled", ylabel="excess loss")
            for k, name in enumerate(names):
                look: dict[str, Any] = {"color": plotting.COLOURS[k % len(plotting.COLOURS)], "ls": "none"}
                look["marker"] = plotting.MARKERS[k % len(plotting.MARKERS)]
                of = found.sel(algorithm=name, split=how)
                bad = of.drop_sel(scaling=STANDARDIZED).values
                right.plot([10 ** of.sel(scaling=STANDARDIZED).item()], [k], fillstyle="none", **look)
                right.plot(10**bad, np.full(len(bad), k), alpha=0.6, **look)
                right.plot([10 ** np.median(bad)], [k], color=look["color"], marker="|", ms=16, mew=2)
            right.set_yticks(range(len(names)), [str(name) for name in names])
            right.set(xscale="log", xlabel="excess loss at the end")
            right.set_title("hollow: standardized; filled: badly scaled; |: median", fontsize=8)
            right.invert_yaxis()
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


_PROGRAM = "a program in NumPy, written apart"
_GAINED: Any = {"least": 0.3, "source": "independent", "where": _PROGRAM, "budgets": ("default", "full")}
CONVEX = Exhibit(
    "convex",
    "Local SGD, adaptive scaling and adaptive servers on logistic regression, badly scaled or not",
    convex,
    figure,
    (
        Claim(
            "on badly scaled features Adam and RMSProp end below local SGD by so many decades, at least",
            partial(_gain, names=("Adam", "RMSProp")),
            why="half to three quarters of a decade there, and 0.2 from draw to draw",
            **_GAINED,
        ),
        Claim(
            "on badly scaled features OASIS ends below local SGD by so many decades, at least",
            partial(_gain, names=("OASIS",)),
            must=False,
            why="as of the others. Its place depends on the draw of the scaling and the grid there too: here it ends "
            "nine tenths below with random shares, and a tenth where clients hold clusters",
            **_GAINED,
        ),
        Claim(
            "on standardized features no global scaling ends below local SGD by more than so many decades",
            _idle,
            most=0.15,
            source="independent",
            where=_PROGRAM,
            why="the spread of seeds",
            budgets=("default", "full"),
        ),
        Claim(
            "OASIS with local scaling is the worst where clients hold clusters, by so many decades",
            _worst,
            least=0.0,
            must=False,
            source="independent",
            where=_PROGRAM,
            why="unstable there; its order depends on the grid",
            budgets=("default", "full"),
        ),
        Claim(
            "on badly scaled features each global scaling ends below local SGD, on breast cancer, by so many decades",
            _gain,
            least=0.0,
            source="seen",
            where="this exhibit",
            why="one scaling and a split by labels",
            budgets=("fast",),
        ),
    ),
    minutes={"default": 10},
    precision="float64",
    default={
        "given": "phishing",
        "splits": ("iid", "clusters"),
        "draws": 5,
        "rounds": 100,
        "seeds": 4,
        "budget": 12,
        "methods": tuple(METHODS),
    },
fast={"given": "breast cancer", "splits": ("labels",), "draws": 1, "rounds": 50, "seeds": 2, "budget": 9,
          "methods": ("Local SGD", "OASIS", "RMSProp", "Adam", "FedAdam")},
    full={"draws": 20, "seeds": 10},
    tuned=search,
    along="data",
    needs=("libsvm/phishing", "libsvm/phishing.clusters.npy"),
    stand_in="breast cancer (scikit-learn)",
    assumed="logistic regression in place of a network, how features are scaled",
)  # fmt: skip
