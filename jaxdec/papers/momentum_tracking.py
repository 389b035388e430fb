"""Momentum Tracking: Takezawa, Bao, Niwa, Sato, Yamada (2023), arXiv:2209.15505.

A stand-in that takes seconds, not the paper's experiment: the paper trains LeNet, VGG-11 and ResNet-34 on images, split
by classes over 8 nodes. Here are clusters in R^20 and a perceptron, one class per node, with the heavy ball of the
authors' code (momentum 0.9, weight decay 1e-3 inside the gradient) and its metric, the mean over nodes of the accuracy
of each node's own model. What it shows: DSGD and DSGDm are left far behind by the methods that correct for
heterogeneity, and of those Momentum Tracking is first when there is little time. Nothing is claimed about the order of
those when they are trained for long. Everything is computed in float32, as networks are trained.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import ArrayLike

from jaxdec import data, networks, problems
from jaxdec.algorithms import DSGD, DecentLaM, DSGDm, MomentumTracking, QGDSGDm
from jaxdec.metrics import consensus, loss, node_test
from jaxdec.results import best, plotting
from jaxdec.sweeps import sweep

__all__ = [
    "ACCURACY",
    "HEAVY",
    "METHODS",
    "METRICS",
    "PLAIN",
    "by_class",
    "clusters",
    "experiment",
    "figure",
    "problem",
]

METRICS = (loss, consensus, node_test)

PLAIN = (0.02, 0.05, 0.1, 0.2, 0.5)
HEAVY = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)  # the effective step of heavy ball is lr / (1 - momentum)

# The methods and the step sizes tried. Gradient tracking is Momentum Tracking without momentum.
METHODS = {
    "DSGD": (DSGD(lr=0.1), PLAIN),
    "DSGDm": (DSGDm(lr=0.1, momentum=0.9), HEAVY),
    "QG-DSGDm": (QGDSGDm(lr=0.1, momentum=0.9), HEAVY),
    "DecentLaM": (DecentLaM(lr=0.1, momentum=0.9), HEAVY),
    "gradient tracking": (MomentumTracking(lr=0.1, momentum=0.0), PLAIN),
    "Momentum Tracking": (MomentumTracking(lr=0.1, momentum=0.9), HEAVY),
}

# Accuracy after 320 rounds by an independent program in NumPy, which tried the three largest steps of each grid.
ACCURACY = {
    "DSGD": 0.505,
    "DSGDm": 0.476,
    "QG-DSGDm": 0.692,
    "DecentLaM": 0.713,
    "gradient tracking": 0.697,
    "Momentum Tracking": 0.761,
}


def clusters(
    *, classes: int = 10, modes: int = 3, features: int = 20, spread: float = 1.1, size: int = 200, seed: int = 0
) -> data.Dataset:
    """Classes of several Gaussian clusters, with as many test as training samples.

    A cluster's centre is spread/√2 N(0, I) and its samples are N(centre, I); each sample of a class is from one of the
    class's clusters, drawn at random.
    """
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((classes, modes, features)) * spread / np.sqrt(2)
    labels = np.repeat(np.arange(classes), size)

    def draw() -> ArrayLike:
        points = centres[labels, rng.integers(modes, size=len(labels))] + rng.standard_normal((len(labels), features))
        return points.astype(np.float32)

    train, test = draw(), draw()
    return data.dataset(train, labels, test_inputs=test, test_targets=labels, name="clusters")


def by_class(dataset: data.Dataset, n: int) -> data.Partition:
    """Node i holds the classes i, i + n, i + 2n, ...: one class each if there are n of them."""
    return data.explicit([np.flatnonzero(dataset.targets % n == i) for i in range(n)], len(dataset.targets))


def problem(dataset: data.Dataset, n: int = 10, *, hidden: int = 64, batch_size: int = 50) -> problems.FiniteSum:
    """A perceptron with one hidden layer of rectified units, weight decay 1e-3."""
    from flax import linen

    network = linen.Sequential([linen.Dense(hidden), linen.relu, linen.Dense(dataset.classes or 0)])
    return problems.neural(network, dataset, by_class(dataset, n), batch_size=batch_size, l2=1e-3)


@jax.enable_x64(False)
def experiment(
    *,
    rounds: int = 320,
    every: int = 20,
    seeds: int = 3,
    draw: int = 0,
    methods: Mapping[str, tuple[Any, Sequence[float]]] = METHODS,
) -> xr.Dataset:
    """Ring of 10, one class per node: over `algorithm`, `lr`, `seed` and `round`, nan where a step was not tried."""
    task, ring = problem(clusters(seed=draw)), networks.ring(10)
    horizon: dict[str, Any] = {"seeds": seeds, "rounds": rounds, "every": every, "metrics": METRICS}
    runs = [sweep({name: method}, task, ring, over={"lr": grid}, **horizon) for name, (method, grid) in methods.items()]
    options: dict[str, Any] = {"data_vars": "all", "coords": "different", "compat": "equals", "join": "outer"}
    return xr.concat(runs, "algorithm", combine_attrs="drop_conflicts", **options)


def figure(dataset: xr.Dataset) -> Figure:
    """Accuracy over rounds and over what is sent, at each method's best step, and how much the step matters."""
    metric = "node_test_accuracy"
    chosen = best(dataset, metric, largest=True)
    with plt.rc_context(plotting.STYLE):
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True)
        plotting.curves(chosen, metric, ax=left)
        plotting.curves(chosen, metric, x="vectors", ax=middle)
        plotting.sensitivity(dataset, metric, ax=right)
        middle.set_ylabel("")
        right.set_ylabel("")
        ticks = dataset["lr"].values
        right.set_xticks(ticks, [f"{lr:g}" for lr in ticks], fontsize=7)
        right.xaxis.set_minor_locator(NullLocator())
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure
