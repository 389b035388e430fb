"""The Base-(k+1) Graph: Takezawa, Sato, Bao, Niwa, Yamada (2023), arXiv:2305.11420.

The paper's comparison of graphs: the distance to the mean under averaging alone, of n = 25 nodes and of 32. What it
shows: Base graphs have the exact mean after the rounds that `network.exact_after` says, for any n; the one-peer
exponential graph does so only where n is a power of two; rings, exponential graphs and EquiTopo (Song et al. 2022,
arXiv:2210.07881) approach it geometrically. Written after the authors' code; the page itself could not be read.

Experiments take the precision of JAX: in float32 an exact mean is one to 1e-7.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from jaxdec import networks, problems
from jaxdec.algorithms import PushSumGossip
from jaxdec.networks.varying import Varying
from jaxdec.results import plotting
from jaxdec.sweeps import sweep

__all__ = ["GRAPHS", "LEAST", "error", "experiment", "figure"]

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


def error(problem: Any, state: Any) -> Any:
    """Σ_i ‖x_i - mean of x0‖² / Σ_i ‖x0_i - mean of x0‖²; x0 is the problem's b, and the mean its minimizer."""
    distance = lambda x: jnp.sum((x - problem.minimizer[None]) ** 2)
    return distance(state.x) / distance(problem.b)


def experiment(*, sizes: Sequence[int] = (25, 32), rounds: int = 30, seeds: int = 3, d: int = 8) -> xr.Dataset:
    """Averaging N(0, I) vectors: `error` over `n`, `network`, `seed` and `round`, and `exact_after` over `n, network`.

    Where a network says no number of rounds, `exact_after` is nan.
    """

    def of(n: int) -> xr.Dataset:
        x0 = np.random.default_rng(n).standard_normal((n, d))
        problem = problems.Quadratic(jnp.ones((n, d)), jnp.asarray(x0))
        made = {name: build(n) for name, build in GRAPHS.items()}
        options: dict[str, Any] = {"seeds": seeds, "rounds": rounds, "x0": x0, "metrics": (error,)}
        found = sweep({"averaging": PushSumGossip()}, problem, made, **options)[["error"]]
        said = [w.exact_after if isinstance(w, Varying) else None for w in made.values()]
        return found.assign(exact_after=("network", np.array(said, float))).drop_attrs()

    along = xr.DataArray(list(sizes), dims="n", name="n")
    return xr.concat([of(n) for n in sizes], along, coords="minimal", compat="override")


def figure(dataset: xr.Dataset) -> Figure:
    """The median error over rounds, a panel for each number of nodes; a line ends where the mean is exact."""
    with plt.rc_context(plotting.STYLE):
        figure, axes = plt.subplots(1, dataset.sizes["n"], figsize=(9, 3.6), sharey=True, squeeze=False)
        for ax, n in zip(axes[0], dataset["n"].values, strict=True):
            for k, name in enumerate(GRAPHS):
                curve = dataset["error"].sel(n=n, network=name).squeeze("algorithm", drop=True).median("seed")
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
