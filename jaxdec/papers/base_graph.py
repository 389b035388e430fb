"""The Base-(k+1) Graph: Takezawa, Sato, Bao, Niwa, Yamada (2023), arXiv:2305.11420.

The paper's comparison of graphs: the distance to the mean under averaging alone, of n = 25 nodes and of 32. What it
shows: Base graphs have the exact mean after the rounds that `network.exact_after` says, for any n; the one-peer
exponential graph does so only where n is a power of two, see `exponential_graphs`; rings, exponential graphs and
EquiTopo (Song et al. 2022, arXiv:2210.07881) approach it geometrically. Written after the authors' code; the page
itself could not be read.

In float32 an exact mean is one to 1e-7.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from jaxdec import networks
from jaxdec.networks.varying import Varying
from jaxdec.papers.averaging import averages, median
from jaxdec.papers.command import main
from jaxdec.papers.exhibits import Claim, Exhibit, Paper
from jaxdec.results import plotting

__all__ = ["GRAPHS", "LEAST", "PAPER", "averaging", "exact_after", "figure"]

GRAPHS: dict[str, Callable[[int], Any]] = {
    "ring": networks.ring,
    "exponential": networks.exponential,
    "one-peer exponential": networks.one_peer_exponential,
    "U-EquiStatic": networks.u_equistatic,
    "OU-EquiDyn": networks.ou_equidyn,
    "Base-2": lambda n: networks.base_graph(n, 1),
    "Base-3": lambda n: networks.base_graph(n, 2),
    "Base-4": lambda n: networks.base_graph(n, 3),
    "Base-5": lambda n: networks.base_graph(n, 4),
}

LEAST = 1e-16  # error below which the figure draws an exact mean


def averaging(*, sizes: Sequence[int], rounds: int, seeds: int, d: int) -> Mapping[int, Any]:
    """Averaging over each of the graphs."""
    return averages(GRAPHS, sizes=sizes, rounds=rounds, seeds=seeds, d=d)


def exact_after(name: str, n: int) -> int | None:
    """After how many rounds a network has the exact mean, as it says; None where it does not."""
    network = GRAPHS[name](n)
    return network.exact_after if isinstance(network, Varying) else None


def _left(results: xr.Dataset) -> float:
    """The largest error of the networks that say when they have the exact mean, at that round."""
    said = [(n, name, exact_after(name, int(n))) for n in results["n"].values for name in GRAPHS]
    return max(float(median(results, n, name).sel(round=T)) for n, name, T in said if T is not None)


def _before(results: xr.Dataset) -> float:
    """The least error of a Base graph one round earlier: the rounds that they say are not too many."""
    said = [(n, name, exact_after(name, int(n))) for n in results["n"].values for name in GRAPHS if "Base" in name]
    return min(float(median(results, n, name).sel(round=T - 1)) for n, name, T in said if T is not None)


def figure(results: xr.Dataset) -> Figure:
    """The median error over rounds, a panel for each number of nodes; a line ends where the mean is exact."""
    with plt.rc_context(plotting.STYLE):
        figure, axes = plt.subplots(1, results.sizes["n"], figsize=(9, 3.6), sharey=True, squeeze=False)
        for ax, n in zip(axes[0], results["n"].values, strict=True):
            for k, name in enumerate(GRAPHS):
                curve = median(results, n, name)
                shown = np.maximum(curve.values, LEAST)
                last = 1 + int(np.argmax(np.append(shown, LEAST) <= LEAST))
                colour = plotting.COLOURS[k % len(plotting.COLOURS)]
                style: dict[str, Any] = {
                    "color": colour,
                    "marker": plotting.MARKERS[k % len(plotting.MARKERS)],
                    "markevery": 2,
                }
                style["linewidth"] = 3 - 0.25 * k  # those that are hidden show on both sides
                line = "-" if k < len(plotting.COLOURS) else "--"
                ax.semilogy(curve["round"].values[:last], shown[:last], line, label=name, **style)
            ax.set(title=f"n = {n}", xlabel=plotting.LABELS["round"])
        axes[0, 0].set(ylabel="relative squared distance to the mean", ylim=(LEAST / 2, 2))
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


_CODE = "the authors' code, after which the graphs are made"
PAPER = Paper(
    "base_graph",
    "Takezawa, Sato, Bao, Niwa, Yamada (2023), Beyond exponential graph: communication-efficient topologies for "
    "decentralized learning via finite-time convergence, arXiv:2305.11420",
    (
        Exhibit(
            "consensus",
            "Averaging over graphs that have the exact mean after finitely many rounds, and others",
            averaging,
            figure,
            (
                Claim(
                    "the largest error of graphs that say after how many rounds the mean is exact, then",
                    _left,
                    most=1e-28,
                    source="derived",
                    where="the product of their matrices is 11'/n",
                    why="rounding, squared",
                ),
                Claim(
                    "one round earlier the error of a Base graph is at least",
                    _before,
                    least=1e-6,
                    source="read",
                    where=_CODE,
                    why="no fewer rounds do",
                ),
            ),
            minutes={"default": 0.5},
            precision="float64",
            style="in the style of",
            default={"sizes": (25, 32), "rounds": 30, "seeds": 3, "d": 8},
            fast={},
            along="n",
            assumed="the vectors, and that EquiTopo is drawn once",
        ),
    ),
)

if __name__ == "__main__":
    main(PAPER)
