"""From what describes a weight matrix to the sparse matrix itself, checked."""

from typing import Any

import numpy as np
import scipy.sparse as sp

from jaxdec import checks, graphs
from jaxdec.graphs._matrix import as_matrix
from jaxdec.graphs.imported import is_networkx

__all__ = ["RULES", "connected", "is_tree", "matrix"]

RULES = (
    *("metropolis", "uniform", "max_degree", "row_stochastic", "column_stochastic"),
    *("best_constant", "fastest_averaging", "fastest_mixing"),
)


def matrix(W: Any, weights: str = "metropolis") -> tuple[Any, tuple[int, ...] | None]:
    """The (n, n) weights, and the group whose Cayley graph they live on where it is known.

    Args:
        W: weights as an array, a SciPy sparse matrix or a mixing operator; a network that does not change; or a graph,
            of `jaxdec.graphs` or NetworkX.
        weights: the rule for a graph's weights, or "given" for those of a NetworkX graph.

    Raises:
        ValueError: if W is not square or has entries that are not finite, there is no such rule, or it would drop the
            weights of a graph.
    """
    W = checks.unwrapped(W)
    if is_networkx(W):
        W = graphs.given(W) if weights == "given" else graphs.from_networkx(W)
    group = getattr(W, "group", None)
    if isinstance(W, graphs.Graph):
        if weights == "given":
            raise ValueError(f"{W!r} has no weights of its own; give a rule, one of {', '.join(RULES)}, or a matrix")
        if weights not in RULES:
            raise ValueError(f"unknown weights {weights!r}; expected one of {', '.join(RULES)}")
        W = getattr(graphs, weights)(W)
    elif hasattr(W, "dense"):
        W = np.asarray(W.dense(), float)
    return sp.csr_array(as_matrix(W)), group


def connected(W: sp.csr_array, what: str = "the graph", advice: str = "simulate each on its own") -> None:
    """Refuse weights under which some node never hears, even indirectly, from another."""
    parts, label = sp.csgraph.connected_components(W, connection="strong")
    if parts > 1:
        raise ValueError(
            f"{what} is not connected: it falls into {parts} parts, and node {int(np.argmax(label != label[0]))} and "
            f"node 0 can never agree; add edges between the parts or {advice}"
        )


def is_tree(W: sp.csr_array) -> bool:
    """Whether a connected graph is a tree, all edges of which go both ways."""
    heard = (W != 0).astype(int)
    heard.setdiag(0)
    heard.eliminate_zeros()
    return heard.nnz == 2 * (heard.shape[0] - 1) and (heard != heard.T).nnz == 0
