r"""Exponential graphs: Ying, Yuan, Chen, Hu, Pan, Yin (2021), arXiv:2110.13363.

In the static exponential graph node i hears i - 1, i - 2, i - 4, ..., τ = ceil(log2 n) others; in the one-peer
exponential graph it hears them one after the other, one in each round. What is shown:

- Averaging over one-peer graphs is exact after log2 n rounds where n is a power of two, and never elsewhere. Over the
  static graph it never is: the distance to the mean falls by 1 - 2/(τ + 1) in a round where n is even, and faster where
  it is odd.
- SGD over either is soon as near to the minimizer as with all nodes averaged, and over a ring late.

The page itself could not be read: its claims are recalled or derived, and the problems are chosen here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from jaxdec import networks, problems
from jaxdec.algorithms import DSGD
from jaxdec.papers.averaging import averages, median
from jaxdec.papers.command import main
from jaxdec.papers.exhibits import Claim, Exhibit, Paper
from jaxdec.results import plotting

__all__ = ["GRAPHS", "LEAST", "PAPER", "averaging", "depth", "error", "factor", "figure", "transient"]

GRAPHS: dict[str, Callable[[int], Any]] = {
    "one-peer exponential": networks.one_peer_exponential,
    "static exponential": networks.directed_exponential,
    "ring": networks.ring,
}
TOGETHER, WITHIN = "all averaged", 1.5  # the network that others are compared to, and how near is as near
LEAST = 1e-28  # error below which the figure draws an exact mean


def depth(n: int) -> int:
    """τ = ceil(log2 n).

    >>> depth(8), depth(9)
    (3, 4)
    """
    return (int(n) - 1).bit_length()


def factor(n: int) -> float:
    """What the static graph multiplies the distance to the mean by in a round, at most; for even n it comes to it."""
    return 1 - 2 / (depth(n) + 1)


def averaging(*, sizes: Sequence[int], rounds: int, seeds: int, d: int) -> Mapping[int, Any]:
    """Averaging over each of the graphs."""
    return averages(GRAPHS, sizes=sizes, rounds=rounds, seeds=seeds, d=d)


def _after(results: xr.Dataset, name: str, powers: bool) -> list[float]:
    """The error after τ rounds for each n that is a power of two, or that is none."""
    sizes = [n for n in results["n"].values if (int(n).bit_count() == 1) == powers]
    return [float(median(results, n, name).sel(round=depth(n))) for n in sizes]


def _static(results: xr.Dataset) -> float:
    """The largest ratio, over n and rounds, of the static graph's error to what `factor` permits in a round."""
    found = []
    for n in results["n"].values:
        error = median(results, n, "static exponential").values
        found.append((error[1:] / error[:-1]).max() / factor(n) ** 2)
    return max(found)


def figure(results: xr.Dataset) -> Figure:
    """The error over rounds for a power of two and another n, and after τ rounds against n."""
    sizes = results["n"].values
    power = max(n for n in sizes if int(n).bit_count() == 1)
    other = max(n for n in sizes if int(n).bit_count() > 1)
    look = lambda k: {"color": plotting.COLOURS[k], "marker": plotting.MARKERS[k]}
    with plt.rc_context(plotting.STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.7), sharey=True)
        for ax, n in zip(axes, (power, other), strict=False):
            for k, name in enumerate(GRAPHS):
                curve = np.maximum(median(results, n, name).values, LEAST)
                shown = curve[: 1 + int(np.argmax(np.append(curve, LEAST) <= LEAST))]  # until it is exact
                ax.semilogy(np.arange(len(shown)), shown, label=name, markevery=2, **look(k))
            ax.set(title=f"n = {n}", xlabel=plotting.LABELS["round"])
        for k, name in enumerate(GRAPHS):
            ends = np.array([float(median(results, n, name).sel(round=depth(n))) for n in sizes])
            axes[2].plot(sizes, np.maximum(ends, LEAST), ls="none", **look(k))
        axes[2].set_xscale("log", base=2)
        axes[2].set_xticks(sizes, [str(n) for n in sizes])
        axes[2].minorticks_off()
        axes[2].set(title=r"after $\lceil\log_2 n\rceil$ rounds", xlabel="nodes n")
        axes[0].set(ylabel="relative squared distance to the mean", ylim=(LEAST / 10, 5))
        axes[2].annotate("exact", (sizes[0], LEAST), xytext=(7, 5), textcoords="offset points", fontsize=8)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def error(problem: Any, state: Any) -> Any:
    """(1/n) Σ_i ‖x_i - x*‖²."""
    return ((state.x - problem.minimizer[None]) ** 2).sum(axis=1).mean()


def _falling(count: Any) -> Any:
    """The step at a round."""
    return 0.3 / (1 + count / 100)


def transient(*, n: int, rounds: int, every: int, seeds: int) -> Mapping[str, Any]:
    """DSGD with noise and a step that falls as 1/t, on quadratics that differ."""
    made = {TOGETHER: networks.complete(n), **{name: build(n) for name, build in GRAPHS.items()}}
    problem = problems.quadratic(n, 10, noise=3.0)
    horizon = {"rounds": rounds, "every": every, "seeds": seeds, "x0": np.ones(10), "metrics": (error,)}
    return {"": {"algorithms": {"DSGD": DSGD(lr=_falling)}, "problems": problem, "networks": made} | horizon}


def _mean(results: xr.Dataset) -> xr.DataArray:
    return results["error"].squeeze("algorithm", drop=True).mean("seed")


def until(results: xr.Dataset) -> xr.DataArray:
    """From which record on, as a round, the error stays within a factor of that of all averaged, over `network`.

    It is the last round where it does not at the end.
    """
    found = _mean(results)
    far = found > WITHIN * found.sel(network=TOGETHER)
    return far["round"].where(far, 0).max("round")


def _ratio(results: xr.Dataset) -> float:
    found = until(results)
    return float(found.sel(network="ring") / found.sel(network="one-peer exponential"))


def _same(results: xr.Dataset) -> float:
    found = until(results)
    return float(found.sel(network="one-peer exponential") / found.sel(network="static exponential"))


def transient_figure(results: xr.Dataset) -> Figure:
    """The error over rounds, and over that of all averaged, with a mark where a network comes as near."""
    found, when = _mean(results), until(results)
    rounds = found["round"].values
    with plt.rc_context(plotting.STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.8))
        for k, name in enumerate([*GRAPHS, TOGETHER]):
            curve = found.sel(network=name).values
            look: dict[str, Any] = {"color": plotting.COLOURS[k], "marker": plotting.MARKERS[k]}
            places = np.unique(np.geomspace(1, len(rounds) - 1, 9).astype(int)).tolist()
            left.loglog(rounds[1:], curve[1:], label=name, markevery=[p - 1 for p in places], **look)
            if name != TOGETHER:
                ratio = (found.sel(network=name) / found.sel(network=TOGETHER)).values
                right.loglog(rounds[1:], ratio[1:], markevery=[p - 1 for p in places], **look)
                last = int(when.sel(network=name))
                if last < rounds[-1]:
                    right.plot([last], [WITHIN], ms=9, mec="black", zorder=5, **look)
        right.axhline(WITHIN, color="0.4", lw=1, ls="--")
        ticks = [tick for tick in (1, 1.5, 2, 3, 5, 10, 20, 50, 100) if tick <= right.get_ylim()[1]]
        right.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        right.minorticks_off()
        left.set(xlabel=plotting.LABELS["round"], ylabel=r"$\frac{1}{n}\sum_i\|x_i-x^\star\|^2$, mean over seeds")
        right.set(xlabel=plotting.LABELS["round"], ylabel="over that of all averaged")
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


_CIRCULANT = "its matrix is circulant, and its eigenvalues are known"
EXPONENTIAL = Exhibit(
    "exponential",
    "Averaging over exponential graphs: exact after log2 n rounds for powers of two alone",
    averaging,
    figure,
    (
        Claim(
            "for n a power of two, the one-peer exponential graph's largest error after log2 n rounds",
            lambda results: max(_after(results, "one-peer exponential", powers=True)),
            most=1e-28,
            source="derived",
            where="after k rounds a node has the mean of 2^k consecutive ones",
            why="rounding, squared",
        ),
        Claim(
            "for other n, its least error after so many rounds, rounded up",
            lambda results: min(_after(results, "one-peer exponential", powers=False)),
            least=1e-6,
            source="derived",
            where="the weights of others are multiples of 2^-τ, and 1/n is none",
            why="far from rounding",
        ),
        Claim(
            "the static exponential graph's least error after so many rounds, for any n",
            lambda results: min(min(_after(results, "static exponential", powers=powers)) for powers in (True, False)),
            least=1e-6,
            source="derived",
            where=_CIRCULANT,
            why="far from rounding",
        ),
        Claim(
            "the static graph's squared error over (1 - 2/(τ + 1))² times that of a round before, where it is largest",
            _static,
            least=0.9,
            most=1 + 1e-6,
            source="derived",
            where=f"{_CIRCULANT}: for even n the second is 1 - 2/(τ + 1), and it is normal",
            why="a bound that is met after some rounds",
        ),
    ),
    precision="float64",
    default={"sizes": (8, 12, 16, 24, 32, 48, 64), "rounds": 24, "seeds": 3, "d": 8},
    fast={"sizes": (8, 12, 16), "rounds": 16, "seeds": 1},
    along="n",
    assumed="the vectors",
)
TRANSIENT = Exhibit(
    "transient",
    "SGD over exponential graphs and a ring, until it is as near as with all nodes averaged",
    transient,
    transient_figure,
    (
        Claim(
            "the rounds until a ring is within 1.5 times the error of all averaged, over those of the one-peer graph",
            _ratio,
            least=2.0,
            source="recalled",
            where="the paper's table of transient iterations: n³ log² n for both exponential graphs, n⁷ for a ring",
            why="far more in n alone; constants are not said. A ring that is not there at the end counts with the last",
        ),
        Claim(
            "the one-peer graph's rounds over the static graph's, which sends log2 n times as much in a round",
            _same,
            most=12.0,
            source="recalled",
            where="the same table",
            why="the same order in n; constants are not said",
        ),
    ),
    precision="float64",
    default={"n": 32, "rounds": 30000, "every": 20, "seeds": 10},
    fast={"n": 16, "rounds": 4000, "seeds": 5},
    full={"n": 64, "rounds": 200000, "every": 50, "seeds": 40},
    assumed="quadratics in 10 dimensions whose minimizers are 1 apart, noise 3, the step 0.3/(1 + t/100)",
)
PAPER = Paper(
    "exponential_graphs",
    "Ying, Yuan, Chen, Hu, Pan, Yin (2021), Exponential graph is provably efficient for decentralized deep training, "
    "arXiv:2110.13363",
    (EXPONENTIAL, TRANSIENT),
)

if __name__ == "__main__":
    main(PAPER)
