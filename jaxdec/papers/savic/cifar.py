"""Adaptive scaling for networks on CIFAR-10, where each of 10 clients has a main class."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import optax
import xarray as xr
from jax.tree_util import Partial
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdec import data, networks, nn, problems, scaling
from jaxdec.algorithms import SAVIC, FedOpt, HeavyBall, LocalSAVIC, LocalSGD
from jaxdec.metrics import test
from jaxdec.papers.exhibits import Claim, Exhibit
from jaxdec.papers.sets import pictures
from jaxdec.problems.augment import Crop, Flip, Normalize, chain
from jaxdec.results import plotting
from jaxdec.results.statistics import quantiles
from jaxdec.sweeps import Tuned

__all__ = ["CIFAR", "CLIENTS", "GLOBAL", "LOCAL", "METHODS", "MODELS", "Model", "search", "task", "trained"]

CLIENTS, HELD = 10, 0.1
METRIC = "test_accuracy"
SERVER = "server_optimizer.learning_rate"
Model = Literal["LeNet", "ResNet-18", "softmax"]
MODELS: dict[Model, Any] = {
    "LeNet": nn.models.LeNetGroupNorm(),
    "ResNet-18": nn.models.ResNet(18),
    "softmax": nn.models.Softmax(),
}

_adam, _rmsprop, _oasis = scaling.Adam(alpha=1e-3), scaling.RMSProp(alpha=1e-3), scaling.OASIS(alpha=1e-2)
_momentum = HeavyBall(0.9, buffers="keep")

# A method for a number of local steps, and the steps that it is tried with.
METHODS: dict[str, tuple[Any, tuple[float, ...]]] = {
    "local SGD": (lambda K: LocalSGD(0.1, K), (0.1, 0.3, 1.0)),
    "local SGD, momentum": (lambda K: SAVIC(0.1, K, scaling.Identity(), _momentum), (0.015, 0.05, 0.15)),
    "Adam": (lambda K: SAVIC(0.1, K, _adam, average="squares"), (0.0015, 0.005, 0.015)),
    "RMSProp": (lambda K: SAVIC(0.1, K, _rmsprop, average="squares"), (0.0015, 0.005, 0.015)),
    "OASIS": (lambda K: SAVIC(0.1, K, _oasis), (0.003, 0.01, 0.03)),
    "Adam, local": (lambda K: LocalSAVIC(0.1, K, _adam), (0.0015, 0.005, 0.015)),
    "RMSProp, local": (lambda K: LocalSAVIC(0.1, K, _rmsprop), (0.0015, 0.005, 0.015)),
    "OASIS, local": (lambda K: LocalSAVIC(0.1, K, _oasis), (0.003, 0.01, 0.03)),
    "FedAdam": (
        lambda K: FedOpt(Partial(optax.adam, learning_rate=0.1, eps=1e-3), Partial(optax.sgd, learning_rate=0.1), K),
        (0.003, 0.01, 0.03),
    ),
}
GLOBAL = ("Adam", "RMSProp", "OASIS")
LOCAL = tuple(f"{name}, local" for name in GLOBAL)


@cache
def task(
    given: str,
    samples: int | None,
    tested: int | None,
    model: Model,
    augmented: bool,
    batch_size: int,
    share: float,
) -> tuple[Any, Any]:
    """Images over 10 clients with a main class each, for the results and for tuning.

    Both train on the same images, and are tested on the test images and on a tenth of the training images, held out.

    Args:
        given: as of `pictures`.
        samples: how many training images are taken, those held out included; None takes all.
        tested: how many test images; None takes all.
        model: the network.
        augmented: whether images are cropped and flipped at random.
        batch_size: of each client.
        share: of the main class.
    """
    found = pictures(given, tested=tested)
    final, tuning = data.split(found if samples is None else data.take(found, samples), HELD)
    part = data.main_class(final, CLIENTS, share)
    scale = Normalize(0.5, 0.5)
    augment = chain(Crop(4), Flip(), scale) if augmented else scale
    of = lambda one: problems.neural(MODELS[model], one, part, batch_size=batch_size, augment=augment)
    return of(final), of(tuning)


def _horizon(rounds: int, records: int) -> dict[str, Any]:
    return {"rounds": rounds, "every": max(1, rounds // records), "metrics": (test,)}


def search(
    *,
    given: str,
    samples: int | None,
    tested: int | None,
    model: Model,
    augmented: bool,
    batch_size: int,
    local_steps: int,
    methods: Sequence[str],
    tuned_at: Sequence[float],
    budget: int,
    rounds: int,
) -> dict[float, Any]:
    """The step with the best accuracy at the end on images held out, for each method; at some of the shares."""
    field = lambda name: SERVER if name == "FedAdam" else "lr"
    over = {f"{name}.{field(name)}": list(METHODS[name][1]) for name in methods}
    parts = {"algorithms": {name: METHODS[name][0](local_steps) for name in methods}, "over": over}
    searched = {"network": networks.server(CLIENTS), "metric": METRIC, "seeds": [100], "budget": budget}
    of = lambda share: {"problem": task(given, samples, tested, model, augmented, batch_size, share)[1]}
    return {share: parts | searched | of(share) | _horizon(rounds, 1) for share in tuned_at}


def trained(
    *,
    tuned: Mapping[float, Tuned],
    given: str,
    samples: int | None,
    tested: int | None,
    model: Model,
    augmented: bool,
    batch_size: int,
    shares: Sequence[float],
    tuned_at: Sequence[float],
    rounds: int,
    records: int,
    seeds: int,
) -> dict[float, Any]:
    """Every method at every share, at the step found at the share next to it, on fresh seeds."""
    steps = lambda share: tuned[min(tuned_at, key=lambda other: abs(other - share))].algorithms
    of = lambda share: {given: task(given, samples, tested, model, augmented, batch_size, share)[0]}
    common = {"networks": networks.server(CLIENTS), "seeds": seeds} | _horizon(rounds, records)
    return {share: common | {"algorithms": steps(share), "problems": of(share)} for share in shares}


def steadied(results: xr.Dataset) -> xr.DataArray:
    """The accuracy in percent as the mean of three records: one alone leaps by several points, with the steps tuned."""
    return 100 * results[METRIC].isel(problem=0, drop=True).rolling(round=3, min_periods=1).mean()


def at_the_end(results: xr.Dataset) -> xr.DataArray:
    """`steadied`, after the last round, over `share`, `algorithm` and `seed`."""
    return steadied(results).isel(round=-1, drop=True)


def sent_by_all(results: xr.Dataset) -> float:
    """How many d-vectors the method that sends least sends to the end."""
    return float(results["vectors"].isel(round=-1).min())


def at_equal_communication(results: xr.Dataset) -> xr.DataArray:
    """The same where each has sent as many d-vectors as the method that sends least in all its rounds."""
    one, most = results.isel(problem=0, drop=True), sent_by_all(results)
    vectors, found = xr.broadcast(one["vectors"].reset_coords(drop=True), steadied(results).reset_coords(drop=True))
    there = lambda sent, values: np.interp(most, sent, values)
    return xr.apply_ufunc(there, vectors, found, input_core_dims=[["round"], ["round"]], vectorize=True)


def ahead(found: xr.DataArray, names: Sequence[str], of: str = "local SGD") -> xr.DataArray:
    """By how many points each method of these names is ahead of another, over `share`: the mean over seeds."""
    mean = found.mean("seed")
    there = [name for name in names if name in mean["algorithm"].values]
    return mean.sel(algorithm=there) - mean.sel(algorithm=of)


def _least(results: xr.Dataset) -> float:
    return float(ahead(at_the_end(results), GLOBAL).sel(share=0.5).min())


def _least_sent(results: xr.Dataset) -> float:
    return float(ahead(at_equal_communication(results), GLOBAL).min())


def _growth(results: xr.Dataset) -> float:
    """By how much the mean lead of global scalings is larger at the largest share than at the least."""
    lead = ahead(at_the_end(results), GLOBAL).mean("algorithm")
    return float(lead.isel(share=-1) - lead.isel(share=0))


def _local(results: xr.Dataset) -> float:
    """By how much the best local scaling is behind the best global one, at the largest share."""
    found = at_the_end(results).isel(share=-1)
    best = lambda names: ahead(found, names).max()
    return float(best(GLOBAL) - best(LOCAL))


def _others(results: xr.Dataset) -> float:
    """By how much the best global scaling is ahead of momentum and of the adaptive server: the least over shares."""
    found = at_the_end(results)
    best = ahead(found, GLOBAL).max("algorithm")
    return float((best - ahead(found, ("local SGD, momentum", "FedAdam")).max("algorithm")).min())


def _fall(results: xr.Dataset) -> float:
    """The least fall of local SGD's and of a scaled method's accuracy from the least share to the largest."""
    mean = at_the_end(results).mean("seed")
    mean = mean.sel(algorithm=[name for name in mean["algorithm"].values if name != "FedAdam"])
    return float((mean.isel(share=0) - mean.isel(share=-1)).min())


def _sent(results: xr.Dataset) -> float:
    """How many vectors a global scaling sends for one of local SGD."""
    sent = results["vectors"].isel(round=-1)
    there = [name for name in GLOBAL if name in sent["algorithm"].values]
    return float((sent.sel(algorithm=there) / sent.sel(algorithm="local SGD")).max())


def _ends(found: xr.DataArray, ax: Axes, title: str) -> None:
    """Accuracies as marks, a row for each method and a mark for each share."""
    names, shares = found["algorithm"].values, found["share"].values
    for j, (share, grey) in enumerate(zip(shares, np.linspace(0.6, 0.0, len(shares)), strict=True)):
        low, middle, high = quantiles(found.sel(share=share)).transpose("quantile", "algorithm").values
        rows = np.arange(len(names)) + 0.2 * (j - (len(shares) - 1) / 2)
        look: dict[str, Any] = {"color": str(grey), "marker": plotting.MARKERS[j], "ls": "none"}
        ax.errorbar(middle, rows, xerr=(middle - low, high - middle), label=f"{share:.0%}", **look)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set(xlabel="test accuracy in percent", title=title)


def figure(results: xr.Dataset) -> Figure:
    """Accuracy over what is sent for each share, and at the end of the same rounds and of the same communication."""
    shares = results["share"].values
    with plt.rc_context(plotting.STYLE):
        figure = plt.figure(figsize=(3.4 * max(len(shares), 2), 6.6))
        above, below = (figure.add_gridspec(2, 1)[row] for row in (0, 1))
        grid = above.subgridspec(1, len(shares)).subplots(sharey=True, squeeze=False)
        for ax, share in zip(grid[0], shares, strict=True):
            one = results.sel(share=share).isel(problem=0, drop=True)
            plotting.curves(one.drop_vars(["share", *_steps(one)]), METRIC, x="vectors", ax=ax)
            ax.set(title=f"main class {share:.0%}", xlabel="$d$-vectors to and from each client")
            ax.set_ylabel("" if ax is not grid[0, 0] else ax.get_ylabel())
        left, right = below.subgridspec(1, 2).subplots(sharex=True, sharey=True, squeeze=False)[0]
        _ends(at_the_end(results), left, f"after {int(results['round'][-1])} rounds, mean of three records")
        _ends(at_equal_communication(results), right, f"after {sent_by_all(results):.0f} $d$-vectors")
        right.invert_yaxis()  # once more: the axis is shared
        right.legend(title="main class", loc="center left", bbox_to_anchor=(1, 0.5))
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)))
    return figure


def _steps(results: xr.Dataset) -> list[str]:
    return [str(name) for name in results.coords if "lr" in str(name) or "learning_rate" in str(name)]


_TRAINED = ("default", "full")
_ROUNDS = "a program written apart: 40.4, 42.0, 42.6 and 41.8 % for local SGD, Adam, RMSProp and OASIS after 40 rounds"
_PAPER = "the paper's figures, in words: scaling converges faster than local SGD"
CIFAR = Exhibit(
    "cifar",
    "Local SGD, adaptive scaling, momentum and an adaptive server on images, a main class for each client",
    trained,
    figure,
    (
        Claim(
            "each global scaling is ahead of local SGD after as many rounds, main class 50 %, by so many points",
            _least,
            least=0.0,
            source="independent",
            where=_ROUNDS,
            why="the order, and no more: a point or two there, on another network",
            budgets=_TRAINED,
        ),
        Claim(
            "each global scaling is ahead of local SGD after as many vectors sent, at every share, by so many points",
            _least_sent,
            least=0.0,
            must=False,
            source="recalled",
            where=_PAPER,
            why="a scaling sends twice as much in a round, and has half as many rounds then",
            budgets=_TRAINED,
        ),
        Claim(
            "the lead of global scalings after as many rounds is larger at 70 % than at 30 %, by so many points",
            _growth,
            least=0.0,
            must=False,
            source="recalled",
            where=_PAPER,
            why="whether it is for heterogeneity that one scales",
            budgets=_TRAINED,
        ),
        Claim(
            "the best local scaling is behind the best global one at 70 %, by so many points",
            _local,
            least=0.0,
            must=False,
            source="derived",
            where="the theory, which is for global scaling; clients that scale apart have other minimizers",
            why="the order, and no more",
            budgets=_TRAINED,
        ),
        Claim(
            "the best global scaling is ahead of local SGD with momentum and of FedAdam at every share, in points",
            _others,
            least=0.0,
            must=False,
            source="seen",
            where="this exhibit",
            why="neither is in the paper",
            budgets=_TRAINED,
        ),
        Claim(
            "local SGD, with and without scaling, is less accurate at the largest share than at the least, in points",
            _fall,
            least=0.0,
            source="derived",
            where="local steps lead to the minimizers of the clients, which are further apart",
            why="the order, and no more",
        ),
        Claim(
            "a global scaling sends as many vectors for one of local SGD",
            _sent,
            least=2.0,
            most=2.0,
            source="derived",
            where="the statistic goes up, and the diagonal down, with the model",
            why="a count",
        ),
    ),
    precision="float32",
    default={
        "given": "cifar10",
        "samples": 20000,
        "tested": 2000,
        "model": "LeNet",
        "augmented": False,
        "batch_size": 16,
        "local_steps": 10,
        "methods": tuple(METHODS),
        "shares": (0.3, 0.5, 0.7),
        "tuned_at": (0.5,),
        "budget": 3,
        "rounds": 30,
        "records": 10,
        "seeds": 2,
    },
    fast={
        "given": "digits",
        "samples": None,
        "tested": None,
        "model": "softmax",
        "shares": (0.3, 0.9),
        "tuned_at": (0.9,),
    }
    | {"methods": ("local SGD", "Adam"), "rounds": 20, "seeds": 1},
    full={"samples": None, "tested": None, "model": "ResNet-18", "augmented": True, "batch_size": 64, "local_steps": 70}
    | {"tuned_at": (0.3, 0.5, 0.7), "rounds": 60, "records": 30},
    tuned=search,
    along="share",
    needs=("cifar10",),
    stand_in="digits (scikit-learn), with softmax regression in place of LeNet",
    assumed="the numbers of local steps and of images, LeNet in place of ResNet-18, statistics averaged as squares, a "
    "momentum that stays with each client and no momentum in scaled methods; with the full budget ResNet-18 and an "
    "epoch between synchronizations, as the paper is remembered",
)
