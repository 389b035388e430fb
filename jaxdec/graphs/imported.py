"""Graphs and weights from elsewhere: of NetworkX, of a matrix."""

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from jaxdec.graphs._matrix import as_matrix
from jaxdec.graphs.families import Graph

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["from_matrix", "from_networkx", "given", "is_networkx"]


def is_networkx(graph: Any) -> bool:
    """Whether this is a graph of NetworkX, which takes a second to import, and is not for that.

    >>> is_networkx("a graph")
    False
    """
    return any((kind.__module__, kind.__name__) == ("networkx.classes.graph", "Graph") for kind in type(graph).__mro__)


def from_networkx(graph: "nx.Graph | nx.DiGraph", name: str | None = None, *, drop_weights: bool = False) -> Graph:
    """The arcs u -> v of a NetworkX graph, both ways if it is undirected; self-loops are dropped.

    Nodes named 0..n-1 keep their numbers; others are numbered in the graph's own order.

    Args:
        graph: of any kind; parallel edges are one.
        name: for messages and legends; None takes the graph's.
        drop_weights: whether to leave out the edges' weights, which a `Graph` does not have. Weights of 1 say nothing.

    Raises:
        ValueError: if an edge has a weight other than 1 and they are not to be dropped.
    """
    weighted = ((u, v, w) for u, v, w in graph.edges(data="weight") if w is not None and w != 1)
    if not drop_weights and (found := next(weighted, None)):
        raise ValueError(
            f"the edge from {found[0]!r} to {found[1]!r} has the weight {found[2]}, and a Graph has no weights: take "
            "them with networks.static(graph, weights='given'), or leave them out with "
            "graphs.from_networkx(graph, drop_weights=True)"
        )
    number = _numbers(graph)
    arcs = np.array([(number[u], number[v]) for u, v in graph.edges() if u != v], np.int64).reshape(-1, 2)
    if not graph.is_directed():
        arcs = np.concatenate([arcs, arcs[:, ::-1]])
    return Graph(len(number), arcs[:, 0], arcs[:, 1], name or graph.name or "networkx")


def given(graph: "nx.Graph | nx.DiGraph") -> sp.csr_array:
    """The weight matrix of a NetworkX graph's own weights: an edge u -> v of weight w is the entry W[v, u] = w.

    Self-loops are the diagonal; a node without one keeps for itself what its row lacks to one. Nodes are numbered as
    by `from_networkx`, and parallel edges add up.

    Raises:
        ValueError: if an edge has no weight or none that is a finite number, or what a node without a self-loop hears
            sums to more than one.

    >>> import networkx as nx
    >>> graph = nx.Graph()
    >>> graph.add_weighted_edges_from([(0, 1, 0.25), (1, 2, 0.5)])
    >>> given(graph).toarray()
    array([[0.75, 0.25, 0.  ],
           [0.25, 0.25, 0.5 ],
           [0.  , 0.5 , 0.5 ]])
    """
    number = _numbers(graph)
    edges = [(number[u], number[v], _weight(u, v, w)) for u, v, w in graph.edges(data="weight")]
    if not graph.is_directed():
        edges += [(v, u, w) for u, v, w in edges if u != v]
    n, loops = len(number), {u for u, v, _ in edges if u == v}
    senders, receivers = (np.array([edge[k] for edge in edges], np.int64) for k in (0, 1))
    W = sp.csr_array((np.array([w for _, _, w in edges], float), (receivers, senders)), shape=(n, n))
    rest = np.array([0.0 if i in loops else 1.0 for i in range(n)]) * (1 - np.asarray(W.sum(axis=1)).ravel())
    if np.any(rest < -1e-9):
        node = next(u for u, k in number.items() if k == int(np.argmin(rest)))
        raise ValueError(
            f"the weights that node {node!r} hears sum to {1 - rest.min():g}, and nothing is left for itself: scale "
            "them to sum to at most 1, give it a self-loop, or take graphs.from_networkx(graph, drop_weights=True)"
        )
    return sp.csr_array(W + sp.diags_array(rest))


def _numbers(graph: Any) -> dict[Any, int]:
    nodes = list(graph)
    numbered = set(nodes) == set(range(len(nodes)))
    return {v: v if numbered else k for k, v in enumerate(nodes)}


def _weight(u: Any, v: Any, weight: Any) -> float:
    try:
        number = float(weight)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        shown = "no weight" if weight is None else f"the weight {weight!r}"
        raise ValueError(
            f"the edge from {u!r} to {v!r} has {shown}; weights='given' needs a finite number for each edge"
        )
    return number


def from_matrix(W: Any, name: str = "matrix") -> Graph:
    """The arcs j -> i of the off-diagonal entries W[i, j] != 0 of a dense or sparse (n, n) matrix."""
    W = as_matrix(W)
    entries = sp.coo_array(W)
    arcs = (entries.row != entries.col) & (entries.data != 0)
    return Graph(W.shape[0], entries.col[arcs], entries.row[arcs], name)
