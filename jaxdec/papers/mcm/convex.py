"""MCM on convex problems: the six methods on real sets, everybody taking part."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import xarray as xr
from matplotlib.figure import Figure

from jaxdec import networks
from jaxdec.metrics import suboptimality
from jaxdec.papers.exhibits import Claim, Exhibit
from jaxdec.papers.mcm import tasks
from jaxdec.papers.mcm.methods import EXCESS, FIGURES, METHODS, chosen, decades, ends, marks, of, off, powers, with_axes
from jaxdec.papers.mcm.tasks import SETTINGS, STAND_IN, Split
from jaxdec.results import plotting

__all__ = ["CONVEX", "EPOCHS", "FULL", "PUBLISHED", "bits_to", "convex", "figure", "sweep_of"]

EPOCHS: dict[tuple[str, Split], int] = {
    ("a9a", "clusters"): 600,
    ("phishing", "clusters"): 600,
    ("w8a", "clusters"): 300,
    ("a9a", "iid"): 100,
    ("phishing", "iid"): 200,
    ("w8a", "iid"): 20,
    (STAND_IN, "labels"): 50,
}
FULL = EPOCHS | {("w8a", "clusters"): 600, ("a9a", "iid"): 200, ("w8a", "iid"): 100}

# Log10 of the excess loss where the clients hold clusters, after 590 passes; of w8a after 290.
PUBLISHED: dict[str, dict[str, float]] = {
    "a9a": {"SGD": -3.42, "DIANA": -2.80, "MCM": -2.75, "Rand-MCM": -2.75, "Artemis": -1.87, "DORE": -1.92},
    "phishing": {"SGD": -3.32, "DIANA": -3.15, "MCM": -3.17, "Rand-MCM": -3.20, "Artemis": -2.77, "DORE": -2.82},
    "w8a": {"SGD": -2.48, "DIANA": -2.31, "MCM": -2.14, "Rand-MCM": -2.18, "Artemis": -1.77, "DORE": -1.82},
}
W8A_LATER = {"SGD": -2.95, "DIANA": -2.58, "MCM": -2.34, "Rand-MCM": -2.42, "Artemis": -1.78, "DORE": -1.80}  # 590

# How far the authors' F*, the loss after 40 000 steps of gradient descent, is above the minimum:
# 0.3196268 - 0.3196259, 0.1231585 - 0.1231397 and 0.0702559 - 0.0684457.
NOT_REACHED = {"a9a": 9e-7, "phishing": 1.88e-5, "w8a": 1.8102e-3}


def sweep_of(name: str, split: Split, algorithms: Any, epochs: int, seeds: int, p: float = 1.0) -> dict[str, Any]:
    """The arguments of `sweep` for methods on one problem, recorded 60 times, at the end of epochs."""
    rounds = SETTINGS[name, split].rounds * epochs
    return {
        "algorithms": algorithms,
        "problems": tasks.solved(name, split),
        "networks": networks.server(tasks.CLIENTS, participation=p),
        "seeds": seeds,
        "rounds": rounds,
        "every": rounds // 60 if epochs % 60 == 0 else rounds // 20,
        "metrics": (suboptimality,),
    }


def convex(
    *,
    sets: Sequence[str],
    splits: Sequence[Split],
    epochs: Mapping[tuple[str, Split], int],
    seeds: int,
    names: Sequence[str],
) -> dict[str, Any]:
    """Steps 1/L, quantization with one level in both directions."""

    def one(name: str, split: Split) -> dict[str, Any]:
        step = 1 / tasks.smoothness(tasks.solved(name, split))
        return sweep_of(name, split, chosen(names, step, feedback=step), epochs[name, split], seeds)

    return {f"{name}, {split}": one(name, split) for name in sets for split in splits}


def _view(results: xr.Dataset) -> xr.Dataset:
    known = {f"{name}, {split}": setting for (name, split), setting in SETTINGS.items()}
    return with_axes(results, {name: known[name] for name in results["data"].values})


def _published(name: str, passes: float) -> Mapping[str, float]:
    """The values after so many passes, where they are known, above the minimum itself and not above the authors' F*."""
    found, _, split = name.partition(", ")
    if split != "clusters":
        return {}
    read = W8A_LATER if found == "w8a" and passes > 590 else PUBLISHED[found]
    return {method: math.log10(10**value + NOT_REACHED[found]) for method, value in read.items()}


def bits_to(results: xr.Dataset, name: str, x: str, above: float = 0.1) -> xr.DataArray:
    """How many bits a method has spent when it is first within `above` decades of where DIANA ends; nan for never."""
    one = of(results, name)
    there = decades(one) < float(ends(one).sel(algorithm="DIANA")) + above
    return one[x].where(there).min("round")


def _off(results: xr.Dataset, name: str) -> float:
    """The largest difference from the published values, in decades."""
    one = of(results, name)
    return off(ends(one), _published(name, float(one["passes"].max())))


def _behind(results: xr.Dataset, names: Sequence[str]) -> float:
    """By how many decades MCM ends above DIANA, the largest."""
    found = [ends(of(results, name)) for name in names]
    return max(float(one.sel(algorithm="MCM") - one.sel(algorithm="DIANA")) for one in found)


def _above(results: xr.Dataset, names: Sequence[str]) -> float:
    """By how many decades Artemis and DORE end above MCM, the least."""
    found = [ends(of(results, name)) for name in names]
    worse = [name for name in ("Artemis", "DORE") if name in results["algorithm"].values]
    return min(float((one.sel(algorithm=worse) - one.sel(algorithm="MCM")).min()) for one in found)


def _fewer(results: xr.Dataset, name: str, x: str) -> float:
    """How many times fewer bits MCM spends than DIANA to within 0.1 decades of where DIANA ends."""
    bits = bits_to(results, name, x)
    return float(bits.sel(algorithm="DIANA") / bits.sel(algorithm="MCM"))


def figure(results: xr.Dataset) -> Figure:
    """A row for each set: against passes and bits where clients differ, and against passes where they do not."""
    names, algorithms = results["data"].values.tolist(), results["algorithm"].values.tolist()
    first = [name for name in names if not name.endswith("iid")]
    columns = 4 if len(names) > len(first) else 3
    labels = {"passes": "passes over the data", "bits_authors": "bits as the authors count", "bits_both": "bits, exact"}
    with plt.rc_context(plotting.STYLE | {"axes.titlesize": 9}):
        size = (2.9 * columns, 2.7 * len(first) + 0.5)
        figure, grid = plt.subplots(len(first), columns, figsize=size, squeeze=False, sharey="row")
        for name, row in zip(first, grid, strict=True):
            given, published = name.partition(",")[0], _published(name, float(of(results, name)["passes"].max()))
            shown = [(name, x) for x in labels] + [(f"{given}, iid", "passes")] * (columns == 4)
            for ax, (data, x) in zip(row, shown, strict=True):
                one = of(results, data)
                plotting.curves(one, "suboptimality", x=x, log_x=x != "passes", ax=ax)
                ax.set(title=data if x == "passes" else given, xlabel=labels[x] if name == first[-1] else "", ylabel="")
                if x == "passes" and data == name:
                    marks(ax, algorithms, powers(published), float(one["passes"].max()))
            row[0].set_ylabel(EXCESS)
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return figure


_CLUSTERS = tuple(f"{name}, clusters" for name in PUBLISHED)
_BARS = "the published error bars are 0.1 and more, and a curve is read to 0.03"
_LARGE = ("default", "full")
CONVEX = Exhibit(
    "convex",
    "The six methods on logistic regression, against passes and bits; hollow marks, if any, are published",
    convex,
    figure,
    (
        *(
            Claim(
                f"on {name} in clusters each method ends where the authors' does, in decades",
                partial(_off, name=f"{name}, clusters"),
                most=0.15,
                source="read",
                where=FIGURES,
                why=_BARS,
                budgets=_LARGE,
            )
            for name in PUBLISHED
        ),
        Claim(
            "in clusters MCM ends above DIANA by so many decades",
            partial(_behind, names=_CLUSTERS),
            most=0.15,
            source="read",
            where=FIGURES,
            why="0.05 or less there, on w8a 0.13; and " + _BARS,
            budgets=_LARGE,
        ),
        Claim(
            "on a9a and phishing with random shares MCM ends above DIANA by so many decades",
            partial(_behind, names=("a9a, iid", "phishing, iid")),
            most=0.15,
            must=False,
            source="derived",
            where="the guarantee, by which the downlink's noise is of a higher order in the step",
            why="as in clusters; nothing is published of it. The step 1/L is some hundred times that of "
            "the guarantee, and on a9a the noise of the downlink shows",
            budgets=_LARGE,
        ),
        Claim(
            "on a9a Artemis and DORE end above MCM by so many decades, at least",
            partial(_above, names=("a9a, clusters",)),
            least=0.4,
            source="read",
            where=FIGURES,
            why="0.83 there; half of it is far from none",
            budgets=_LARGE,
        ),
        Claim(
            "on phishing and w8a Artemis and DORE end above MCM by so many decades, at least",
            partial(_above, names=("phishing, clusters", "w8a, clusters")),
            least=0.2,
            source="read",
            where=FIGURES,
            why="0.35 and 0.32 there, less the error bar: they have not come to rest",
            budgets=_LARGE,
        ),
        Claim(
            "on all three Artemis and DORE end above MCM by so many decades, at least",
            partial(_above, names=_CLUSTERS),
            least=0.4,
            must=False,
            source="read",
            where=FIGURES,
            why="expected of methods at rest; the published figures themselves have 0.35 on phishing and 0.32 on w8a",
            budgets=_LARGE,
        ),
        Claim(
            "on a9a MCM takes so many times fewer bits than DIANA to its floor, as the authors count",
            partial(_fewer, name="a9a, clusters", x="bits_authors"),
            least=10,
            source="read",
            where=FIGURES,
            why="12.4 times fewer in a counted step, and somewhat more steps",
            budgets=_LARGE,
        ),
        Claim(
            "on a9a MCM takes so many times fewer bits than DIANA to its floor, counted exactly",
            partial(_fewer, name="a9a, clusters", x="bits_both"),
            least=6,
            source="derived",
            where="the bits of a message with one level, 32 + 1.6 d or less, and of one without compression, 32 d",
            why="9 times fewer in a round, and somewhat more rounds",
            budgets=_LARGE,
        ),
        Claim(
            "on breast cancer MCM ends above DIANA by so many decades",
            partial(_behind, names=(f"{STAND_IN}, labels",)),
            most=0.15,
            source="seen",
            where="this exhibit",
            why="0.06, and 0.1 from draw to draw",
            budgets=("fast",),
        ),
        Claim(
            "on breast cancer Artemis ends above MCM by so many decades",
            partial(_above, names=(f"{STAND_IN}, labels",)),
            least=0.15,
            source="seen",
            where="this exhibit",
            why="0.4, and 0.1 from draw to draw",
            budgets=("fast",),
        ),
    ),
    view=_view,
    minutes={"default": 16.7},
    precision="float64",
    style="as in the authors' code",
    default={
        "sets": ("a9a", "phishing", "w8a"),
        "splits": ("clusters", "iid"),
        "epochs": EPOCHS,
        "seeds": 5,
        "names": METHODS,
    },
    fast={"sets": (STAND_IN,), "splits": ("labels",), "names": ("SGD", "DIANA", "MCM", "Artemis"), "seeds": 20},
    full={"epochs": FULL},
    along="data",
    needs=tuple(f"libsvm/{name}{ending}" for name in PUBLISHED for ending in ("", ".clusters.npy")),
    stand_in="breast cancer (scikit-learn), sorted by label",
    assumed="600 passes in place of 599, of w8a 300; how many where shares are random, which the authors do not draw",
    warned=("DORE.feedback",),
)
