"""RelaySGD: Vogels et al. (2021), RelaySum for decentralized deep learning on heterogeneous data, arXiv:2110.04175.

Figure 7 of its appendix, from the authors' code: random quadratics of the same curvatures on 32 nodes, of which zeta²
says how different their minimizers are. What it shows: on a chain RelaySGD takes as many steps whatever zeta² is. On a
ring D2 takes as few, gradient tracking more and more, and gossip, which is DSGD, a step that falls with zeta.

Steps are tuned without noise for the fewest rounds to 1e-6. Those of the curves, with noise, are the authors': none
above 0.02, and above 0.2 for RelaySGD, so that noise leaves about 1e-6.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from jaxdec import graphs, networks, problems
from jaxdec.algorithms import D2, DSGD, GradientTracking, RelaySGD
from jaxdec.papers.command import main
from jaxdec.papers.exhibits import Claim, Exhibit, Paper
from jaxdec.results import plotting
from jaxdec.sweeps import Tuned

__all__ = [
    "LARGEST",
    "METHODS",
    "PAPER",
    "PUBLISHED",
    "TARGET",
    "error",
    "figure",
    "quadratics",
    "random",
    "search",
    "steps",
]

TARGET = 1e-6
NOISE = 0.05
METHODS = ("gossip", "gradient tracking", "D2", "RelaySGD")
LARGEST = {"RelaySGD": 0.2}  # step with noise; of the others 0.02
GRID = (0.001, 0.004, 0.016, 0.0625, 0.25, 1.0)

# Steps to 1e-6 without noise that the authors' notebook of Figure 7 prints, of its own draw of the quadratics.
PUBLISHED = {
    "gossip": {0.0: 13, 0.1: 1469, 10.0: 19818},
    "gradient tracking": {0.0: 10, 0.1: 301, 10.0: 641},
    "D2": {0.0: 18, 0.1: 34, 10.0: 54},
    "RelaySGD": {0.0: 51, 0.1: 51, 10.0: 54},
}


def random(
    n: int, d: int, *, zeta2: float, mu: float = 0.5, noise: float | None = None, seed: int = 0
) -> problems.Quadratic:
    """f_i(x) = ‖A_i x - b_i‖²/2, A_i with random singular vectors and values equally spaced from mu to 1.

    The minimizer of the mean has norm 1, and there mean_i ‖∇f_i‖² = zeta2.
    """
    rng = np.random.default_rng(seed)
    U, _, V = np.linalg.svd(rng.standard_normal((n, d, d)))
    A = U * np.linspace(mu, 1, d) @ V
    H = np.swapaxes(A, 1, 2) @ A
    offsets, direction = rng.standard_normal((n, d)), rng.standard_normal(d)
    centre = np.linalg.solve(H.sum(axis=0), np.einsum("nij,nj->i", H, offsets))
    pulls = np.einsum("nij,nj->ni", H, offsets - centre)
    scale = np.sqrt(zeta2 / np.mean(np.sum(pulls**2, axis=1)))
    b = scale * pulls + H @ (direction / np.linalg.norm(direction))
    return problems.Quadratic(jnp.asarray((H + np.swapaxes(H, 1, 2)) / 2), jnp.asarray(b), noise)


def error(problem: Any, state: Any) -> Any:
    """mean_i ‖A_i xbar - b_i‖² less its least value: twice f(xbar) - f*."""
    away = jnp.mean(state.x, axis=0) - problem.minimizer
    return away @ jnp.mean(problem.A, axis=0) @ away


def _method(name: str, n: int, lr: float) -> tuple[Any, Any]:
    """A method and its network. For D2 and gradient tracking a neighbour weighs 1/3 - 0.01."""
    if name == "RelaySGD":
        return RelaySGD(lr=lr), networks.path(n)
    if name == "gossip":
        return DSGD(lr=lr), networks.ring(n)
    share = 3 * (1 / 3 - 0.01)
    lazier = share * graphs.metropolis(graphs.ring(n)).toarray() + (1 - share) * np.eye(n)
    return (D2 if name == "D2" else GradientTracking)(lr=lr), networks.static(lazier)


def _exact(name: str, zeta2: float, rounds: int, patience: int) -> dict[str, int]:
    """For how many rounds a method is run without noise."""
    patient = name == "gossip" and zeta2 > 0
    return {"rounds": patience, "every": 100} if patient else {"rounds": rounds, "every": 1}


def search(
    *,
    methods: Sequence[str],
    n: int,
    d: int,
    zetas: Sequence[float],
    rounds: int,
    patience: int,
    budget: int,
    draw: int,
) -> dict[str, Any]:
    """The fewest rounds to 1e-6 without noise."""

    def one(name: str, zeta2: float) -> dict[str, Any]:
        algorithm, network = _method(name, n, 0.1)
        parts = {"algorithms": algorithm, "problem": random(n, d, zeta2=zeta2, seed=draw), "network": network}
        goal = {"metric": "error", "metrics": (error,), "target": TARGET, "over": {"lr": list(GRID)}, "budget": budget}
        return parts | goal | {"seeds": [100], "x0": np.zeros(d)} | _exact(name, zeta2, rounds, patience)

    return {f"{name}, {zeta2:g}": one(name, zeta2) for zeta2 in zetas for name in methods}


def quadratics(
    *,
    tuned: Mapping[str, Tuned],
    methods: Sequence[str],
    n: int,
    d: int,
    zetas: Sequence[float],
    rounds: int,
    patience: int,
    noisy_rounds: int,
    seeds: int,
    draw: int,
) -> dict[str, Any]:
    """Without noise at the best step, and with noise at the best or the largest step that is allowed.

    A run is called by its method, zeta², noise and step.
    """
    found = {}
    for name in methods:
        for zeta2 in zetas:
            (best,) = tuned[f"{name}, {zeta2:g}"].algorithms.values()
            cautious = min(float(best.lr), LARGEST.get(name, 0.02))
            for noise, lr, horizon in (
                (0.0, float(best.lr), {"seeds": 1} | _exact(name, zeta2, rounds, patience)),
                (NOISE, cautious, {"seeds": seeds, "rounds": noisy_rounds, "every": 10}),
            ):
                algorithm, network = _method(name, n, lr)
                problem = random(n, d, zeta2=zeta2, noise=noise or None, seed=draw)
                parts = {"algorithms": algorithm, "problems": problem, "networks": network}
                about = {"metrics": (error,), "x0": np.zeros(d)}
                found[f"{name}, {zeta2:g}, {noise:g}, {lr:.3g}"] = parts | horizon | about
    return found


def _zetas(results: xr.Dataset) -> list[float]:
    return sorted({float(run.split(", ")[1]) for run in results["run"].values})


def _shown(results: xr.Dataset) -> list[tuple[str, dict[str, Any]]]:
    """The methods that there are, each with its colour and marker."""
    there = {run.split(", ")[0] for run in results["run"].values}
    look = lambda k: {"color": plotting.COLOURS[k], "marker": plotting.MARKERS[k]}
    return [(name, look(k)) for k, name in enumerate(METHODS) if name in there]


def _run(results: xr.Dataset, name: str, zeta2: float, noise: float) -> xr.Dataset:
    """One run, in the rounds that it has."""
    (found,) = [run for run in results["run"].values if run.startswith(f"{name}, {zeta2:g}, {noise:g}, ")]
    return results.sel(run=found).dropna("round", how="all").dropna("seed", how="all")


def steps(results: xr.Dataset, name: str, zeta2: float) -> float:
    """The first round without noise with an error of 1e-6 at most; inf if none is recorded."""
    curve = _run(results, name, zeta2, 0.0)["error"].isel(seed=0)
    return float(curve["round"].where(curve <= TARGET).min().fillna(np.inf))


def _growth(results: xr.Dataset, name: str) -> float:
    """Steps where nodes differ most over those where they do not."""
    zetas = _zetas(results)
    return steps(results, name, zetas[-1]) / steps(results, name, zetas[0])


def _more(results: xr.Dataset, name: str) -> float:
    """Steps over RelaySGD's, where nodes differ most."""
    return steps(results, name, _zetas(results)[-1]) / steps(results, "RelaySGD", _zetas(results)[-1])


def _off(results: xr.Dataset, names: Sequence[str]) -> float:
    """By what factor, above or below, steps are those published, where these are more than 20: the largest."""
    known = [(name, z) for name in names for z in _zetas(results) if PUBLISHED[name][z] > 20]
    return max(
        max(steps(results, name, z) / PUBLISHED[name][z], PUBLISHED[name][z] / steps(results, name, z))
        for name, z in known
    )


def _left(results: xr.Dataset, name: str) -> float:
    """The error with noise where nodes differ most: the mean of the last fifth of the rounds, in the median seed."""
    curve = _run(results, name, _zetas(results)[-1], NOISE)["error"]
    late = curve["round"] > 0.8 * float(curve["round"].max())
    return float(curve.where(late, drop=True).mean("round").median("seed"))


def figure(results: xr.Dataset) -> Figure:
    """With noise, a panel for each zeta²; without noise, the steps of all."""
    zetas = _zetas(results)
    with plt.rc_context(plotting.STYLE | {"axes.titlesize": 9}):
        figure, axes = plt.subplots(1, len(zetas) + 1, figsize=(2.7 * len(zetas) + 3.2, 3.5))
        for ax, zeta2 in zip(axes, zetas, strict=False):
            taken = []
            for k, (name, look) in enumerate(_shown(results)):
                one = _run(results, name, zeta2, NOISE)
                low, middle, high = one["error"].quantile([0.1, 0.5, 0.9], "seed").values
                at = one["round"].values
                ax.semilogy(at, middle, markevery=(7 * k, max(1, len(at) // 7)), **look)
                ax.fill_between(at, low, high, color=look["color"], alpha=0.15, lw=0)
                taken.append(one["run"].item().split(", ")[-1])
            ax.axhline(TARGET, color="0.4", lw=0.8, ls=":")
            ax.set(xlabel=plotting.LABELS["round"], ylim=(1e-7, 2))
            ax.set_title(f"$\\zeta^2={zeta2:g}$, with noise; steps as in the legend:\n{', '.join(taken)}", fontsize=8)
        for ax in axes[1:-1]:
            ax.sharey(axes[0])
            ax.tick_params(labelleft=False)
        axes[0].set_ylabel(r"$\frac{1}{n}\sum_i\|A_i\bar{x}-b_i\|^2$ less its minimum")
        last, places = axes[-1], np.arange(len(zetas))
        for k, (name, look) in enumerate(_shown(results)):
            beside = places + 0.09 * (k - 1.5)
            last.semilogy(beside, [steps(results, name, z) for z in zetas], label=name, **look)
            published = [PUBLISHED[name].get(z, np.nan) for z in zetas]
            last.plot(beside, published, ls="none", fillstyle="none", ms=7, **look)
        last.set_xticks(places, [f"{z:g}" for z in zetas])
        last.set_title("without noise; hollow: published,\nof another draw", fontsize=8)
        last.set(xlabel="$\\zeta^2$", ylabel="rounds to $10^{-6}$", xlim=(-0.4, len(zetas) - 0.6))
        figure.legend(*last.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


_CODE = "the authors' code, and what its notebook of Figure 7 prints"
PAPER = Paper(
    "relay_sgd",
    "Vogels, He, Koloskova, Karimireddy, Lin, Stich, Jaggi (2021), RelaySum for decentralized deep learning on "
    "heterogeneous data, arXiv:2110.04175",
    (
        Exhibit(
            "quadratics",
            "Random quadratics, more and more heterogeneous: gossip, gradient tracking and D2 on a ring, RelaySGD on a "
            "chain",
            quadratics,
            figure,
            (
                Claim(
                    "without noise RelaySGD's rounds to 1e-6 at the largest zeta² over those at zeta² = 0",
                    partial(_growth, name="RelaySGD"),
                    most=2.0,
                    source="read",
                    where=_CODE,
                    why="54 over 51 there, with a step that was not to overshoot; here any may, and which is best "
                    "jumps between two",
                ),
                Claim(
                    "gradient tracking's rounds over RelaySGD's at the largest zeta²",
                    partial(_more, name="gradient tracking"),
                    least=5.0,
                    source="read",
                    where=_CODE,
                    why="12 times there; half of it is far from equal",
                    budgets=("default", "full"),
                ),
                Claim(
                    "D2's rounds over RelaySGD's at the largest zeta²",
                    partial(_more, name="D2"),
                    least=0.5,
                    most=2.0,
                    source="read",
                    where=_CODE,
                    why="as many there",
                    budgets=("default", "full"),
                ),
                Claim(
                    "gossip's rounds over RelaySGD's at the largest zeta²",
                    partial(_more, name="gossip"),
                    least=100.0,
                    source="read",
                    where=_CODE,
                    why="367 times there",
                    budgets=("default", "full"),
                ),
                Claim(
                    "rounds of gradient tracking, D2 and RelaySGD are those published, by a factor",
                    partial(_off, names=METHODS[1:]),
                    most=2.0,
                    source="read",
                    where=_CODE,
                    why="another draw of the quadratics, and another search for the step",
                    budgets=("default", "full"),
                ),
                Claim(
                    "rounds of gossip are those published, by a factor",
                    partial(_off, names=("gossip",)),
                    most=2.0,
                    source="read",
                    where=_CODE,
                    why="it is not: at the published step 0.0104 gossip's bias at zeta² = 0.1 is 1.4e-6 to 1.7e-5 in "
                    "60 draws, and below 1e-6 there; why, is not known",
                    must=False,
                    budgets=("default", "full"),
                ),
                Claim(
                    "with noise RelaySGD's error at the end at the largest zeta²",
                    partial(_left, name="RelaySGD"),
                    most=3e-6,
                    source="read",
                    where=_CODE,
                    why="about 1e-6 in the figure, where its step is to lead",
                    budgets=("default", "full"),
                ),
                Claim(
                    "with noise gossip's error at the end at the largest zeta²",
                    partial(_left, name="gossip"),
                    least=0.05,
                    source="read",
                    where=_CODE,
                    why="0.099 there after 2000 steps",
                    budgets=("default", "full"),
                ),
                Claim(
                    "gossip's rounds over RelaySGD's at the largest zeta², on 16 nodes",
                    partial(_more, name="gossip"),
                    least=20.0,
                    source="seen",
                    where="this exhibit",
                    why="a shorter ring mixes faster",
                    budgets=("fast",),
                ),
            ),
            minutes={"default": 1.4},
            precision="float64",
            default={
                "methods": METHODS,
                "n": 32,
                "d": 10,
                "zetas": (0.0, 0.1, 10.0),
                "rounds": 1000,
                "patience": 80_000,
            }
            | {"noisy_rounds": 2000, "seeds": 5, "budget": 20, "draw": 1},
            fast={"methods": ("gossip", "RelaySGD"), "n": 16, "zetas": (0.0, 10.0), "rounds": 300, "patience": 6000}
            | {"noisy_rounds": 1000, "seeds": 2, "budget": 6},
            full={"seeds": 20},
            tuned=search,
            along="run",
            style="as in the authors' code",
            assumed="the search for steps; the draw is one whose bias under gossip is the median of 60. For D2 and "
            "gradient tracking a neighbour weighs 1/3 - 0.01, as in the authors' curves; their rounds are of 1/3",
        ),
    ),
)

if __name__ == "__main__":
    main(PAPER)
