"""Stragglers: what it costs to wait for the slowest node, and what it costs not to.

The claims are those of Lian et al. (2017), arXiv:1710.06952, Mishchenko et al. (2022), arXiv:2206.07638, Tyurin,
Richtárik (2023), arXiv:2305.12387, and Maranjyan, Tyurin, Richtárik (2025), arXiv:2501.16168, on quadratics with noise
instead of networks trained on images: one node in ten computes at a twentieth of the others' speed, and computations
take exponential times.

Left, all nodes have the same objective, which is the case that the theory of these methods is about. Right, they
differ: who does not wait steps more often towards the minimizers of the fast nodes, and stays away from that of the
mean. Every method has its best step of a grid, by the median at the end over seeds of its own. Synchronous methods have
the same clocks, and wait in every round for the slowest node. That DSGD waits for its neighbours alone gains nothing
here: all of them wait for one that is always slow, if some rounds later.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from jaxdec import networks, problems
from jaxdec.algorithms import ADPSGD, DSGD, SGD, AsynchronousSGD, RennalaSGD, RingmasterASGD
from jaxdec.networks import clocks
from jaxdec.papers.command import main
from jaxdec.papers.exhibits import Claim, Exhibit, Paper
from jaxdec.results import Link, add_clock, at_times, plotting

__all__ = [
    "ALIKE",
    "APART",
    "GRAPH",
    "PAPER",
    "SERVER",
    "SIZE",
    "SLOW",
    "STEPS",
    "ZETA",
    "bias",
    "chosen",
    "ends",
    "graph",
    "problem",
    "server",
    "speeds",
    "timed",
]

SIZE, SLOW = 10, 0.05  # nodes, and the speed of the slow one, in computations per second; others end one
STEPS = tuple(1.6 * 0.5**k for k in range(9))
ZETA = 10.0  # how far apart the minimizers are where objectives differ
ALIKE, APART = "the same objective", "different objectives"
TUNING = 100  # seeds from here on are for choosing steps

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


def _waits(method: Any) -> bool:
    return "asynchronous" not in method.requires


def _race(
    methods: Mapping[str, Any], network: Any, *, seconds: float, seeds: int, tuning: int, steps: Sequence[float]
) -> dict[str, Any]:
    """All methods with all steps for as long, those that wait and those that do not."""
    tasks = {ALIKE: problem(zeta=0.0), APART: problem(zeta=ZETA)}
    common = {"problems": tasks, "x0": np.ones(tasks[ALIKE].d), "metrics": ["suboptimality"]}
    common |= {"over": {"lr": list(steps)}, "seeds": [*range(seeds), *range(TUNING, TUNING + tuning)]}

    def lasting(computations: float, every: int) -> dict[str, Any]:
        """Rounds until then, and a third more: computations take random times."""
        return {"rounds": every * int(4 / 3 * computations / every + 5), "every": every}

    waiting = {name: method for name, method in methods.items() if _waits(method)}
    events = {name: method for name, method in methods.items() if not _waits(method)}
    clocked = networks.asynchronous(network, speed=clocks.Exponential(speeds()))
    return {
        "waiting": common | lasting(SLOW * seconds, 1) | {"algorithms": waiting, "networks": network},
        "events": common | lasting(speeds().sum() * seconds, SIZE) | {"algorithms": events, "networks": clocked},
    }


def server(*, seconds: float, seeds: int, tuning: int, steps: Sequence[float]) -> dict[str, Any]:
    """At a server.

    Args:
        seconds: how long the methods run.
        seeds: how many.
        tuning: how many more, by which the steps are chosen.
        steps: which are tried.
    """
    return _race(SERVER, networks.server(SIZE), seconds=seconds, seeds=seeds, tuning=tuning, steps=steps)


def graph(*, seconds: float, seeds: int, tuning: int, steps: Sequence[float]) -> dict[str, Any]:
    """On a ring, arguments as of `server`."""
    return _race(GRAPH, networks.ring(SIZE), seconds=seconds, seeds=seeds, tuning=tuning, steps=steps)


def timed(results: xr.Dataset, methods: Mapping[str, Any], network: Any, points: int = 80) -> xr.Dataset:
    """The suboptimality with the best steps over `algorithm`, `problem`, `seed` and `round`, the number of a time.

    The times, `seconds`, end with the first run that ends.
    """
    found = {}
    for name, method in methods.items():
        one = results.sel(algorithm=[name]).dropna("round", how="all", subset=["suboptimality"])
        if _waits(method):
            with jax.enable_x64(True):  # the clocks of the others, to the bit
                one = add_clock(one.drop_vars("seconds"), network, Link(), compute=clocks.Exponential(speeds()))
        found[name] = one
    end = min(float(one["seconds"].isel(round=-1).min()) for one in found.values())
    parts = [at_times(one, np.linspace(0.0, end, points))[["suboptimality"]] for one in found.values()]
    return chosen(xr.concat(parts, "algorithm", coords="minimal", compat="override", join="outer"))


def chosen(found: xr.Dataset) -> xr.Dataset:
    """Each method at the step that is best on the seeds for choosing, on the other seeds."""
    tuning = found["seed"] >= TUNING
    last = found["suboptimality"].isel(round=-1, drop=True).where(tuning, drop=True)
    last = last.where(np.isfinite(last), np.inf).median("seed")
    return found.sel(seed=~tuning).isel(lr=last.argmin("lr"))


def ends(results: xr.Dataset, objectives: str) -> xr.DataArray:
    """The median suboptimality at the end over `algorithm`, of what `timed` gives."""
    last = results["suboptimality"].sel(problem=objectives).isel(round=-1)
    return last.where(np.isfinite(last), np.inf).median("seed")


def bias() -> float:
    """The suboptimality where all computations of all nodes count, each at its speed: its f_i weighs as much."""
    with jax.enable_x64(True):
        task, weights = problem(zeta=ZETA), speeds() / speeds().sum()
        x = jnp.sum(weights[:, None] * task.b, axis=0) / jnp.sum(weights[:, None] * task.A, axis=0)
        return float(task.objective(x) - task.objective(task.minimizer))


def _gain(found: xr.Dataset, waits: str) -> float:
    """By what factor who waits ends above the worst of the others, the objectives being the same."""
    last = ends(found, ALIKE)
    return float(last.sel(algorithm=waits) / last.drop_sel(algorithm=waits).max())


def _loss(found: xr.Dataset, waits: str) -> float:
    """By what factor the best of the others ends above who waits, where objectives differ."""
    last = ends(found, APART)
    return float(last.drop_sel(algorithm=waits).min() / last.sel(algorithm=waits))


def _biased(found: xr.Dataset) -> float:
    """The suboptimality at the end of asynchronous SGD over `bias`, where objectives differ."""
    return float(ends(found, APART).sel(algorithm="asynchronous SGD")) / bias()


def _figure(found: xr.Dataset) -> Figure:
    with plt.rc_context(plotting.STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(8, 4.2), sharey=True)
        for ax, objectives in zip(axes, (ALIKE, APART), strict=True):
            one = found.sel(problem=objectives, drop=True)
            plotting.curves(one.drop_vars("lr"), "suboptimality", x="seconds", ax=ax)
            ax.set(title=objectives, ylabel="" if ax is axes[1] else r"suboptimality $f(\bar{x})-f^\star$")
            names = [f"{name}: lr {float(one['lr'].sel(algorithm=name)):g}" for name in one["algorithm"].values]
            ax.legend(ax.get_legend_handles_labels()[0], names, loc="upper center", bbox_to_anchor=(0.5, -0.16))
        figure.suptitle(f"one node in {SIZE} computes at {SLOW:g} of the others' speed", fontsize=10)
    return figure


_GRADIENTS = "who waits computes 1/18 of the gradients in that time: the slow node's speed times 10, over their sum"
_HOW: dict[str, Any] = {
    "precision": "float64",
    "default": {"seconds": 400.0, "seeds": 10, "tuning": 5, "steps": STEPS},
    "fast": {"seconds": 200.0, "seeds": 3, "tuning": 3, "steps": STEPS[::2]},
    "full": {"seeds": 40, "tuning": 20},
    "assumed": "quadratics with noise, their curvatures, the speeds, and that computations take exponential times; the "
    "steps, in the legends, are the best of 1.6, 0.8, ... on the seeds from 100 on, and the figure shows the others",
}
SERVERS = Exhibit(
    "server",
    "Suboptimality against time with one slow client: who waits for it, and who does not",
    server,
    _figure,
    (
        Claim(
            "objectives alike: synchronous SGD ends above each method that does not wait, by a factor of at least",
            partial(_gain, waits="synchronous SGD"),
            least=3.0,
            source="derived",
            where=f"{_GRADIENTS}; arXiv:2206.07638, arXiv:2305.12387 and arXiv:2501.16168 have such a bound, recalled",
            why="noise falls as one over their number, and a part of the way is not noise",
        ),
        Claim(
            "objectives apart: each method that does not wait ends above synchronous SGD, by a factor of at least",
            partial(_loss, waits="synchronous SGD"),
            least=1.5,
            source="derived",
            where="whose gradients come twenty times as often counts twenty times as much",
            why="the order; synchronous SGD is not at the end of its way",
        ),
        Claim(
            "objectives apart: asynchronous SGD's suboptimality over that of the f_i weighted by their speeds",
            _biased,
            least=0.5,
            most=4.0,
            source="derived",
            where="the minimizer of the f_i with the nodes' speeds as weights",
            why="noise and delays come on top; a step that is too small to get there ends below",
        ),
    ),
    minutes={"default": 0.9},
    view=partial(timed, methods=SERVER, network=networks.server(SIZE)),
    **_HOW,
)
GRAPHS = Exhibit(
    "graph",
    "Suboptimality against time on a ring with one slow node: who waits for it, and who does not",
    graph,
    _figure,
    (
        Claim(
            "objectives alike: DSGD ends above AD-PSGD by a factor of at least",
            partial(_gain, waits="DSGD"),
            least=3.0,
            source="derived",
            where=f"{_GRADIENTS}; that it gains where nodes are slow is the claim of arXiv:1710.06952, recalled",
            why="noise falls as one over their number, and a part of the way is not noise",
        ),
        Claim(
            "objectives apart: AD-PSGD ends above DSGD by a factor of at least",
            partial(_loss, waits="DSGD"),
            least=1.5,
            source="derived",
            where="whose gradients come twenty times as often counts twenty times as much",
            why="the order; DSGD has a bias of its own",
        ),
    ),
    minutes={"default": 0.55},
    view=partial(timed, methods=GRAPH, network=networks.ring(SIZE)),
    **_HOW,
)
PAPER = Paper(
    "stragglers",
    "Stragglers: waiting for the slowest node, and not waiting (arXiv:1710.06952, 2206.07638, 2305.12387, 2501.16168)",
    (SERVERS, GRAPHS),
)

if __name__ == "__main__":
    main(PAPER)
