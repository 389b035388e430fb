"""Weight matrices of a graph, and what a weight matrix promises.

W[i, j] is the weight that node i puts on node j's vector, so an arc j -> i of the graph is the entry W[i, j].
"""

from typing import Any

import numpy as np
import scipy.sparse as sp

from jaxdec.graphs._matrix import as_matrix
from jaxdec.graphs.families import Graph

__all__ = ["column_stochastic", "lazy", "max_degree", "metropolis", "row_stochastic", "uniform"]

# Weights: Graph -> (n, n) sparse W.


def metropolis(graph: Graph) -> sp.csr_array:
    """W_ij = 1 / (1 + max(deg_i, deg_j)) on edges: symmetric and doubly stochastic on any undirected graph.

    Xiao, Boyd and Kim 2007, Distributed average consensus with least-mean-square deviation.

    Raises:
        ValueError: if the graph is directed.

    >>> from jaxdec.graphs import ring
    >>> metropolis(ring(8))[[0], :2].toarray()
    array([[0.33, 0.33]])
    """
    if not graph.undirected:
        raise ValueError(
            f"metropolis weights need an undirected graph, and {graph.name} is directed;"
            " use column_stochastic (push-sum) or row_stochastic"
        )
    return _weights(graph, 1 / (1 + np.maximum(graph.degrees[graph.senders], graph.degrees[graph.receivers])))


def max_degree(graph: Graph) -> sp.csr_array:
    """1 / (1 + largest degree) on every arc: doubly stochastic where each node hears as many as hear it.

    Raises:
        ValueError: if some node's in-degree is not its out-degree.
    """
    if np.any(graph.degrees != graph.out_degrees):
        i = np.flatnonzero(graph.degrees != graph.out_degrees)[0]
        raise ValueError(
            f"max_degree weights need in-degree = out-degree, but node {i} of {graph.name} hears {graph.degrees[i]} and"
            f" is heard by {graph.out_degrees[i]}; use column_stochastic (push-sum) or row_stochastic"
        )
    return _weights(graph, np.full(len(graph.senders), 1 / (1 + graph.degrees.max())))


def row_stochastic(graph: Graph) -> sp.csr_array:
    """1 / (in-degree + 1) on everything that node i hears and on itself; rows sum to one."""
    return _weights(graph, 1 / (1 + graph.degrees[graph.receivers]))


def uniform(graph: Graph) -> sp.csr_array:
    """The plain average over a node and those it hears: row stochastic; doubly stochastic only on regular graphs."""
    return row_stochastic(graph)


def column_stochastic(graph: Graph) -> sp.csr_array:
    """1 / (out-degree + 1) from node j to everyone who hears it and to itself; columns sum to one (push-sum)."""
    reverse = Graph(graph.n, graph.receivers, graph.senders, graph.name)
    return row_stochastic(reverse).T.tocsr()


def lazy(W: Any) -> Any:
    """(I + W) / 2, sparse if W is: no eigenvalue of a symmetric doubly stochastic W is negative any more."""
    W = as_matrix(W)
    return ((sp.eye_array(W.shape[0]) + W) / 2).tocsr() if sp.issparse(W) else (np.eye(len(W)) + W) / 2


def _weights(graph: Graph, on_arcs: np.ndarray) -> sp.csr_array:
    """W with the given weights (m,), at most 1 / (1 + degree of the receiver), and what is missing on the diagonal."""
    own = 1 / (1 + graph.degrees)
    # The same as one minus the sum of the row, but exact where the degrees are equal: those rows are equal in bits.
    diagonal = own + np.bincount(graph.receivers, own[graph.receivers] - on_arcs, minlength=graph.n)
    nodes = np.arange(graph.n)
    entries = (np.r_[diagonal, on_arcs], (np.r_[nodes, graph.receivers], np.r_[nodes, graph.senders]))
    return sp.csr_array(entries, shape=(graph.n, graph.n))
