"""Stragglers: what it costs to wait for the slowest node, and what it costs not to.

`python -m jaxdec.papers.stragglers` draws both figures, `stragglers_server.png` and `stragglers_graph.png`, in about a
minute. The claims are those of Lian et al. (2017), arXiv:1710.06952, Mishchenko et al. (2022), arXiv:2206.07638,
Tyurin, Richtárik (2023), arXiv:2305.12387, and Maranjyan, Tyurin, Richtárik (2025), arXiv:2501.16168, on quadratics
with noise instead of networks trained on images: one node in ten computes at a twentieth of the others' speed, and
computations take exponential times.

Left, all nodes have the same objective, which is the case that the theory of these methods is about. Right, they
differ: who does not wait steps more often towards the minimizers of the fast nodes, and stays away from that of the
mean. Every method has its best step of a grid, by the median at the end. Synchronous methods have the same clocks, and
wait in every round for the slowest node. That DSGD waits for its neighbours alone gains nothing here: all of them wait
for one that is always slow, if some rounds later.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

from jaxdec import networks, problems
from jaxdec.algorithms import ADPSGD, DSGD, SGD, AsynchronousSGD, RennalaSGD, RingmasterASGD
from jaxdec.networks import clocks
from jaxdec.results import Link, add_clock, at_times, best, plotting
from jaxdec.sweeps import sweep

__all__ = ["GRAPH", "SERVER", "SIZE", "SLOW", "STEPS", "experiment", "figure", "problem", "speeds"]

SIZE, SLOW = 10, 0.05  # nodes, and the speed of the slow one, in computations per second; others end one
STEPS = tuple(1.6 * 0.5**k for k in range(9))

SERVER = {
    "synchronous SGD": SGD(lr=0.1),
    "asynchronous SGD": AsynchronousSGD(lr=0.1),
    "Rennala SGD, batch 10": RennalaSGD(lr=0.1, batch_size=10),
    "Ringmaster ASGD, R = 10": RingmasterASGD(lr=0.1, threshold=10),
}
GRAPH = {"DSGD": DSGD(lr=0.1), "AD-PSGD": ADPSGD(lr=0.1)}


def speeds() -> np.ndarray:
    """Computations per second of the nodes: one of them is slow."""
    return np.where(np.arange(SIZE) == SIZE - 1, SLOW, 1.0)


def problem(*, zeta: float, noise: float = 1.0, d: int = 20) -> problems.Quadratic:
    """Quadratics of curvatures from 0.05 to 1, whose minimizers are about zeta apart; they start at 1."""
    rng = np.random.default_rng(0)
    A = np.tile(np.geomspace(0.05, 1.0, d), (SIZE, 1))
    return problems.Quadratic(jnp.asarray(A), jnp.asarray(A * zeta * rng.standard_normal((SIZE, d)) / d**0.5), noise)


def experiment(
    methods: Mapping[str, Any] = SERVER, *, zeta: float = 0.0, seconds: float = 400.0, seeds: int = 10, points: int = 80
) -> xr.Dataset:
    """The suboptimality over `algorithm`, `lr`, `seed` and `round`, the number of a time that is in `seconds`.

    Args:
        methods: of a server or of a graph, all of one kind; synchronous ones wait for the slowest node.
        zeta: how much the objectives differ.
        seconds: how long they run.
        seeds: how many.
        points: at how many times.
    """
    server = all("server" in method.requires for method in methods.values())
    waiting = networks.server(SIZE) if server else networks.ring(SIZE)
    network = networks.asynchronous(waiting, speed=clocks.Exponential(speeds()))
    task, times = problem(zeta=zeta), np.linspace(0.0, seconds, points)
    found = []
    for name, method in methods.items():
        event = "asynchronous" in method.requires
        every = SIZE if event else 1
        expected = speeds().sum() * seconds if event else SLOW * seconds  # by the end; a third more is enough
        rounds = every * int(4 / 3 * expected / every + 5)
        results = sweep(
            {name: method},
            task,
            network if event else waiting,
            over={"lr": list(STEPS)},
            seeds=seeds,
            rounds=rounds,
            every=every,
            x0=np.ones(task.d),
            metrics=["suboptimality"],
            progress=False,
        )
        if not event:
            results = add_clock(results, waiting, Link(), compute=network.speed)
        found.append(at_times(results, times)[["suboptimality"]])
    options: dict[str, Any] = {"coords": "different", "compat": "equals", "join": "outer"}
    return xr.concat(found, "algorithm", combine_attrs="drop_conflicts", **options)


def figure(methods: Mapping[str, Any] = SERVER, *, zeta: float = 10.0, **how: Any) -> Any:
    """Suboptimality against time where all objectives are one, and where they differ; arguments of `experiment`."""
    import matplotlib.pyplot as plt

    with plt.rc_context(plotting.STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(7.6, 3.6), sharey=True)
        for ax, differ, title in zip(axes, (0.0, zeta), ("the same objective", "different objectives"), strict=True):
            chosen = best(experiment(methods, zeta=differ, **how), "suboptimality")
            plotting.curves(chosen, "suboptimality", x="seconds", ax=ax)
            ax.set_title(title, fontsize=9)
        axes[1].set_ylabel("")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
        figure.suptitle(f"one node in {SIZE} computes at {SLOW:g} of the others' speed", fontsize=10)
    return figure


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    for name, methods in (("server", SERVER), ("graph", GRAPH)):
        path = folder / f"stragglers_{name}.png"
        figure(methods).savefig(path, dpi=150)
        print(path)
