"""A picture of a network: who hears whom, the weights, and the spectrum."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from jaxdec import graphs
from jaxdec.networks.averages import moments, rounds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["DRAWN", "NODES", "SAMPLES", "draw"]

NODES = 500  # of more a picture shows nothing
DRAWN, SAMPLES = 6, 500  # rounds of a network that changes: drawn as graphs, and averaged
BLUE, RED, GREY = "#0072B2", "#D55E00", "0.6"


def draw(network: Any, *, positions: ArrayLike | None = None) -> "Figure":
    """A figure of a network: its graph, its weights as a matrix, and the eigenvalues of W.

    Of a network that changes, the graphs of its first rounds, and the mean of its W. Weights below zero are red.

    Args:
        network: a network of a graph, a graph or a weight matrix, of at most 500 nodes.
        positions: (n, 2), where the nodes are drawn; None puts them on a circle, or where springs do if there are few
            edges.

    Raises:
        ValueError: if there are too many nodes, the positions have another shape, or the network has no graph.

    >>> from jaxdec import networks
    >>> figure = draw(networks.ring(8))
    >>> [ax.get_title() for ax in figure.axes[:3]]
    ['8 nodes', 'W', 'eigenvalues of W: gap 0.195']
    """
    import matplotlib.pyplot as plt

    Ws = rounds(network, DRAWN)
    n, several = len(Ws[0]), len(Ws) > 1
    if n > NODES:
        raise ValueError(f"this network has {n} nodes, of which no picture shows much; draw one of at most {NODES}")
    mean = moments(network, SAMPLES).mean if several else Ws[0]
    where = _positions(mean, positions)
    with plt.rc_context({"font.size": 9, "axes.titlesize": 9}):
        figure = plt.figure(figsize=(10.5, 5.4 if several else 3.5), layout="constrained")
        below: Any = figure
        if several:
            above, below = figure.subfigures(2, 1, height_ratios=(2, 3))  # pyrefly: ignore[not-iterable]
            for t, (ax, W) in enumerate(zip(above.subplots(1, len(Ws), squeeze=False)[0], Ws, strict=True)):
                _graph(ax, W, where, f"round {t}")
        left, middle, right = below.subplots(1, 3)
        name = "mean of W" if several else "W"
        _graph(left, mean, where, f"{n} nodes" + (", all rounds" if several else ""))
        _matrix(left.figure, middle, mean, name)
        _eigenvalues(right, mean, name)
    return figure


def _positions(W: np.ndarray, positions: ArrayLike | None) -> np.ndarray:
    n = len(W)
    if positions is not None:
        where = np.asarray(positions, float)
        if where.shape != (n, 2) or not np.all(np.isfinite(where)):
            raise ValueError(f"positions are two finite numbers for each of {n} nodes; got shape {where.shape}")
        return where
    graph = graphs.from_matrix(W)
    edges = graph.adjacency + graph.adjacency.T
    shifted = np.roll(W, 1, axis=(0, 1))  # the same for all nodes: a circle shows it
    if np.allclose(shifted, W) or edges.nnz > 8 * n or not graph.connected:
        angle = 2 * np.pi * np.arange(n) / n
        return np.stack([np.sin(angle), np.cos(angle)], axis=1)
    import networkx as nx

    found = nx.kamada_kawai_layout(nx.from_scipy_sparse_array(abs(edges) > 0))
    return np.array([found[i] for i in range(n)])


def _graph(ax: "Axes", W: np.ndarray, where: np.ndarray, title: str) -> None:
    from matplotlib.collections import LineCollection

    receivers, senders = np.nonzero(W - np.diag(np.diag(W)))
    w = W[receivers, senders]
    mutual = W[senders, receivers] != 0
    ends, wide = where[np.stack([senders, receivers], axis=1)], 0.3 + 2.2 * np.abs(w) / np.abs(w).max(initial=1e-300)
    colours = np.where(w < 0, RED, GREY)
    ax.add_collection(
        LineCollection(list(ends[mutual]), linewidths=wide[mutual], colors=list(colours[mutual]), zorder=1)
    )
    for (start, end), width, colour in zip(ends[~mutual], wide[~mutual], colours[~mutual], strict=True):
        arrow = {"arrowstyle": "-|>", "lw": width, "color": colour, "shrinkA": 3, "shrinkB": 4, "mutation_scale": 7}
        ax.annotate("", end, start, arrowprops=arrow, zorder=1)
    ax.scatter(*where.T, s=np.clip(600 / len(W), 6, 60), color=BLUE, zorder=2)
    ax.set(title=title, xticks=[], yticks=[], aspect="equal")
    ax.margins(0.1)
    ax.spines[:].set_visible(False)


def _matrix(figure: Any, ax: "Axes", W: np.ndarray, name: str) -> None:
    most = float(np.abs(W).max())
    image = ax.imshow(W, cmap="RdBu", vmin=-most, vmax=most, interpolation="nearest")
    ax.set(title=name, xlabel="heard", ylabel="hears")
    figure.colorbar(image, ax=ax, shrink=0.8)


def _eigenvalues(ax: "Axes", W: np.ndarray, name: str) -> None:
    gap = f"eigenvalues of {name}: gap {graphs.spectral_gap(W):.3g}"
    if np.allclose(W, W.T):
        values = np.linalg.eigvalsh(W)[::-1]
        ax.axhline(0, color="0.9", zorder=0)
        ax.plot(np.arange(1, len(W) + 1), values, ".", color=BLUE)
        ax.set(title=gap, xlabel="number", ylim=(min(-1.05, values[-1] - 0.05), 1.05))
        return
    values, circle = np.linalg.eigvals(W), np.exp(2j * np.pi * np.linspace(0, 1, 200))
    ax.plot(circle.real, circle.imag, color="0.85", zorder=0)
    ax.plot(values.real, values.imag, ".", color=BLUE)
    ax.set(title=gap, xlabel="real part", ylabel="imaginary part", aspect="equal")
