"""Momentum Tracking on images: Takezawa, Bao, Niwa, Sato, Yamada (2023), arXiv:2209.15505.

The paper's LeNet with GroupNorm, its ring of 8 nodes with 2 classes each, its momentum of 0.9 and weight decay of 1e-3
inside the gradient, and its metric, the mean over nodes of the test accuracy of each node's own model. In place of the
paper's images and hundreds of epochs, which take a GPU, here are MNIST, minibatches of 32 and 120 rounds, and the first
2000 test images. What it shows: Momentum Tracking is far ahead of DSGDm, each at its own best step size. Nothing is
claimed for the paper's data, nor for longer training. Everything is computed in float32.
"""

from typing import Any

import jax
import matplotlib.pyplot as plt
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from jaxdec import data, networks, nn, problems
from jaxdec.algorithms import DSGDm, MomentumTracking
from jaxdec.metrics import consensus, node_test
from jaxdec.results import best, plotting
from jaxdec.sweeps import sweep

__all__ = ["METHODS", "METRIC", "STEPS", "experiment", "figure", "problem"]

NODES, CLASSES_PER_NODE, BATCH, TESTED = 8, 2, 32, 2000
STEPS = (0.0005, 0.001, 0.002, 0.005, 0.02, 0.1)
METHODS = {"DSGDm": DSGDm(lr=0.01, momentum=0.9), "Momentum Tracking": MomentumTracking(lr=0.01, momentum=0.9)}
METRIC = "node_test_accuracy"


def problem(images: data.Dataset, *, batch_size: int = BATCH) -> problems.FiniteSum:
    """LeNet with GroupNorm on images split by class; the split is the same for all seeds."""
    if images.test_inputs is None or images.test_targets is None:
        raise ValueError(f"{images.name} has no test images, by which this experiment measures")
    few = data.dataset(
        images.inputs,
        images.targets,
        classes=images.classes,
        test_inputs=images.test_inputs[:TESTED],
        test_targets=images.test_targets[:TESTED],
        name=images.name,
    )
    partition = data.classes_per_node(few, NODES, CLASSES_PER_NODE)
    return problems.neural(nn.models.LeNetGroupNorm(), few, partition, batch_size=batch_size, l2=1e-3)


@jax.enable_x64(False)
def experiment(
    images: data.Dataset,
    *,
    rounds: int = 120,
    every: int = 20,
    seeds: int = 3,
    steps: tuple[float, ...] = STEPS,
    progress: bool | None = None,
) -> xr.Dataset:
    """Both methods with the same step sizes: over `algorithm`, `lr`, `seed` and `round`.

    Args:
        images: MNIST, or another set of images of at least 16 x 16 with test images and at most 16 classes.
        rounds: communication rounds.
        every: the stride of the records.
        seeds: how many seeds.
        steps: the step sizes tried with each method.
        progress: as for `jaxdec.sweep`.
    """
    horizon: dict[str, Any] = {"rounds": rounds, "every": every, "seeds": seeds, "progress": progress}
    over = {"lr": list(steps)}
    return sweep(METHODS, problem(images), networks.ring(NODES), over=over, metrics=(consensus, node_test), **horizon)


def figure(results: xr.Dataset) -> Figure:
    """Accuracy over rounds and over what is sent, each method at its best step, and at the end at every step."""
    chosen = best(results, METRIC, largest=True)
    with plt.rc_context(plotting.STYLE):
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True)
        plotting.curves(chosen, METRIC, ax=left)
        plotting.curves(chosen, METRIC, x="vectors", ax=middle)
        plotting.sensitivity(results, METRIC, ax=right)
        left.set_ylabel("mean test accuracy of nodes")
        middle.set_ylabel("")
        right.set_ylabel("")
        right.set_xticks(results["lr"].values, [f"{lr:g}" for lr in results["lr"].values], fontsize=7)
        right.xaxis.set_minor_locator(NullLocator())
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure
