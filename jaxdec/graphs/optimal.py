"""Weights that average fastest on a given graph, by convex optimization, with a proof of how good they are.

A certificate is a lower bound on what any weights of the graph can do. It is checked from its own numbers: that a
matrix is positive semidefinite, sums, and one residual per edge. Nothing is taken from the solver on trust.
"""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy import linalg
from threadpoolctl import threadpool_limits

from jaxdec.graphs._interior import Block, Dual, minimize
from jaxdec.graphs._numbers import above_zero
from jaxdec.graphs.families import Graph
from jaxdec.graphs.spectral import spectrum

__all__ = ["EDGES", "SMALL", "Optimal", "best_constant", "fastest", "fastest_averaging", "fastest_mixing"]

EDGES, SMALL = 2000, 600  # of a graph, in a program whose Hessian has a row for each


class Optimal(NamedTuple):
    """Weights and the proof that no others are much better; see `fastest`."""

    W: sp.csr_array  # (n, n)
    rate: float  # the spectral norm of W - 11'/n: the factor by which the distance to consensus shrinks in a round
    bound: float  # no weights of the graph have a lower rate: proved, not estimated


def best_constant(graph: Graph) -> sp.csr_array:
    """W = I - 2 / (λ_2 + λ_n) L, L the Laplacian: the fastest among weights that are equal on all edges, symmetric.

    Those on the diagonal may be negative. Xiao, Boyd 2004, Fast linear iterations for distributed averaging, eq. (22).

    Raises:
        ValueError: if the graph is directed or not connected.

    >>> from jaxdec.graphs import ring, star
    >>> best_constant(star(4)).toarray()[0]
    array([-0.2,  0.4,  0.4,  0.4])
    """
    _check("best_constant", graph)
    if graph.n == 1:
        return sp.eye_array(1, format="csr")
    above = 2 * graph.degrees.max()
    shifted = spectrum(_weighted(graph, np.full(len(graph.senders) // 2, 1 / above)))
    second, largest = above * (1 - shifted.lambda_2), above * (1 - shifted.lambda_min)
    return _weighted(graph, np.full(len(graph.senders) // 2, 2 / (second + largest)))


def fastest_averaging(graph: Graph) -> sp.csr_array:
    """The symmetric weights with the least norm of W - 11'/n, some of which may be negative: `fastest(graph).W`."""
    return fastest(graph).W


def fastest_mixing(graph: Graph) -> sp.csr_array:
    """The same among weights that are not negative: a symmetric Markov chain, `fastest(graph, nonnegative=True).W`."""
    return fastest(graph, nonnegative=True).W


def fastest(graph: Graph, *, nonnegative: bool = False, tolerance: float = 1e-5) -> Optimal:
    r"""The symmetric weights of a graph that average fastest, and a bound that proves it.

    Minimizes ‖W - 11'/n‖ over symmetric W whose rows sum to one, W_ij = 0 where there is no edge: fastest distributed
    linear averaging (FDLA); with `nonnegative` the fastest mixing Markov chain (FMMC). With P, N positive semidefinite,
    tr P + tr N = 1, and g_e = (e_i - e_j)'(P - N)(e_i - e_j) on an edge e of weight w_e::

        ‖W - 11'/n‖ >= tr (P - N)(W - 11'/n) = tr (P - N)(I - 11'/n) - Σ_e g_e w_e

    No |w_e| is above 1 where the left side is at most 1, so Σ |g_e| bounds the last sum, and it is zero up to rounding
    in the optimum. Of weights that are not negative, Σ_i y_i does, where y >= 0 and y_i + y_j >= g_e. On a graph with a
    group, edges of one offset have one weight, as they may by convexity.

    Xiao, Boyd 2004, Fast linear iterations for distributed averaging; Boyd, Diaconis, Xiao 2004, Fastest mixing Markov
    chain on a graph.

    Args:
        graph: undirected and connected, of at most 2000 edges.
        nonnegative: whether no weight may be negative.
        tolerance: how much of the best spectral gap 1 - rate may be missed: rate - bound <= tolerance (1 - rate).

    Raises:
        ValueError: if the graph is directed, not connected or too large, or rounding forbids the tolerance.

    >>> from jaxdec.graphs import path, ring
    >>> found = fastest(ring(16))
    >>> round(found.rate, 6), found.rate - found.bound < 1e-6
    (0.92667, True)
    >>> round(fastest(path(8), nonnegative=True).rate, 6), round(float(np.cos(np.pi / 8)), 6)
    (0.92388, 0.92388)
    """
    _check("fastest", graph)
    tolerance = above_zero("tolerance", tolerance, "a share of the spectral gap, above 0 and at most 1", most=1)
    u, v = _edges(graph)
    n, m = graph.n, len(u)
    if m > EDGES:
        raise ValueError(
            f"{graph.name} has {m} edges, and optimal weights are computed for at most {EDGES}; take best_constant, "
            "whose weights are equal, or metropolis"
        )
    if n == 1:
        return Optimal(sp.eye_array(1, format="csr"), 0.0, 0.0)
    C, B = _classes(graph, u, v), _incidence(n, u, v)
    basis = linalg.helmert(n)  # (n - 1, n), orthonormal vectors that sum to zero
    k = C.shape[1]
    above, below = (Block(-sign * np.eye(n - 1), basis @ B, C, sign, 1.0) for sign in (1.0, -1.0))
    if nonnegative:
        G = sp.csr_array(sp.block_diag([sp.vstack([-sp.eye_array(k), abs(sp.csr_array(B)) @ C]), sp.csr_array((0, 1))]))
        h = np.r_[np.zeros(k), np.ones(n)]
    else:
        G, h = sp.csr_array((0, k + 1)), np.zeros(0)
    equal = np.full(k, 1 / (1 + graph.degrees.max()))
    best = Optimal(_weighted(graph, C @ equal), 1.0, 0.0)

    def enough(y: np.ndarray, dual: Dual) -> bool:
        nonlocal best
        W = _weighted(graph, C @ y[:-1])
        rate = float(np.linalg.norm(W.toarray() - 1 / n, 2))
        P, N = (basis.T @ _semidefinite(Z) @ basis for Z in dual.blocks[::-1])
        bound = certified(u, v, P, N, dual.linear[k:] if nonnegative else None)
        best = Optimal(W, rate, max(bound, best.bound))
        return rate - best.bound <= tolerance * (1 - rate)

    with threadpool_limits(1 if m < SMALL else None):  # threads that wait for each other cost more than they do
        done = minimize(np.r_[np.zeros(k), 1.0], [below, above], G, h, np.r_[equal, 2.0], enough)
    if not done:
        raise ValueError(
            f"rounding forbids a tolerance of {tolerance} on {graph.name}: reached are a rate of {best.rate:.12g} and "
            f"a bound of {best.bound:.12g}; take a larger tolerance, such as {2 * _missed(best):.1g}"
        )
    return best


def certified(u: np.ndarray, v: np.ndarray, P: np.ndarray, N: np.ndarray, y: np.ndarray | None = None) -> float:
    """The bound of `fastest` that P and N, positive semidefinite and not both zero, prove; y for weights >= 0."""
    M = (P - N) / (np.trace(P) + np.trace(N))
    value = np.trace(M) - M.mean() * len(M)
    g = M[u, u] + M[v, v] - 2 * M[u, v]
    if y is None:
        return float(value - np.sum(np.abs(g)))
    y = np.maximum(y, 0)
    y = y + max(0.0, float(np.max(g - y[u] - y[v]))) / 2
    return float(value - np.sum(y))


def _missed(found: Optimal) -> float:
    return (found.rate - found.bound) / max(1 - found.rate, 1e-300)


def _semidefinite(Z: np.ndarray) -> np.ndarray:
    """Z without its negative eigenvalues, which are rounding."""
    values, vectors = np.linalg.eigh((Z + Z.T) / 2)
    return (vectors * np.maximum(values, 0)) @ vectors.T


def _check(name: str, graph: Graph) -> None:
    if not isinstance(graph, Graph):
        raise TypeError(f"{name} is of a graph of jaxdec.graphs; got {type(graph).__name__}")
    if not graph.undirected:
        raise ValueError(
            f"{name} weights are symmetric, and {graph.name} is directed; use column_stochastic (push-sum)"
        )
    if not graph.connected:
        raise ValueError(f"{graph.name} is not connected: no weights make its nodes agree; add edges between the parts")


def _edges(graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """The ends of each edge, in the order of the arcs into its higher end."""
    first = graph.senders < graph.receivers
    return graph.senders[first], graph.receivers[first]


def _incidence(n: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(n, m), a column e_u - e_v for each edge."""
    B, edges = np.zeros((n, len(u))), np.arange(len(u))
    B[u, edges], B[v, edges] = 1, -1
    return B


def _classes(graph: Graph, u: np.ndarray, v: np.ndarray) -> Any:
    """(m, k), which class an edge is of: its offset, up to sign, on a graph with a group; itself on others."""
    edges = np.arange(len(u))
    if graph.group is None:
        kind = edges
    else:
        group = np.asarray(graph.group)[:, None]
        offset = (np.stack(np.unravel_index(u, graph.group)) - np.stack(np.unravel_index(v, graph.group))) % group
        one, other = (np.ravel_multi_index(tuple(o), graph.group) for o in (offset, -offset % group))
        kind = np.unique(np.minimum(one, other), return_inverse=True)[1]
    return sp.csr_array((np.ones(len(u)), (edges, kind)))


def _weighted(graph: Graph, w: np.ndarray) -> sp.csr_array:
    """I - Σ_e w_e (e_u - e_v)(e_u - e_v)', dropping nothing: an edge of weight 0 stays an entry."""
    (u, v), nodes = _edges(graph), np.arange(graph.n)
    own = 1 - np.bincount(u, w, graph.n) - np.bincount(v, w, graph.n)
    return sp.csr_array((np.r_[own, w, w], (np.r_[nodes, u, v], np.r_[nodes, v, u])), shape=(graph.n, graph.n))
