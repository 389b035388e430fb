"""Matchings: edges of a graph that do not touch, so that all of them can be used at once, and MATCHA's use of them."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy import linalg
from threadpoolctl import threadpool_limits

from jaxdec.graphs._interior import Block, Dual, minimize
from jaxdec.graphs._numbers import above_zero
from jaxdec.graphs.families import Graph
from jaxdec.graphs.optimal import EDGES, SMALL, _check, _edges, _incidence

__all__ = ["Matcha", "matcha", "matchings"]


class Matcha(NamedTuple):
    """A graph's matchings, how often each is used, and the weight of their edges; see `matcha`."""

    matchings: tuple[np.ndarray, ...]  # (edges, 2) each
    probabilities: np.ndarray  # (matchings,)
    weight: float  # alpha: W = I - alpha Σ_j B_j L_j, B_j the coin of matching j and L_j its Laplacian
    rho: float  # the spectral norm of E[W'W] - 11'/n, by which the mean squared distance to consensus shrinks


def matchings(graph: Graph) -> tuple[np.ndarray, ...]:
    """The edges of an undirected graph in matchings, at most one more than its largest degree.

    A proper colouring of the edges: Misra, Gries 1992, A constructive proof of Vizing's theorem.

    Returns:
        Arrays (edges, 2) of the ends of the edges of each matching; every edge is in one of them.

    Raises:
        ValueError: if the graph is directed.

    >>> from jaxdec.graphs import star
    >>> [pairs.tolist() for pairs in matchings(star(4))]
    [[[0, 1]], [[0, 2]], [[0, 3]]]
    """
    if not graph.undirected:
        raise ValueError(f"matchings are of undirected graphs, and {graph.name} is directed")
    colours = int(graph.degrees.max(initial=0)) + 1
    at = np.full((graph.n, colours), -1)  # whom a node's edge of a colour leads to
    free = lambda node: int(np.argmin(at[node]))  # -1 is the least
    colour = lambda u, v: int(np.argmax(at[u] == v))

    def paint(u, v, c):
        at[u, c], at[v, c] = v, u

    for u, v in zip(*_edges(graph), strict=True):
        both = (at[u] < 0) & (at[v] < 0)
        if both.any():
            paint(u, v, int(np.argmax(both)))
            continue
        fan = [v]  # neighbours of u, the colour of each edge being free at the one before
        while len(more := [w for w in at[u][(at[u] >= 0) & (at[fan[-1]] < 0)] if w not in fan]):
            fan.append(more[0])
        c, d = free(u), free(fan[-1])
        trail, x, of = [], u, d  # the path from u of colours d, c, d, ...
        while (y := at[x, of]) >= 0:
            trail.append((x, y, of))
            x, of = y, c + d - of
        for x, y, of in trail:
            at[x, of] = at[y, of] = -1
        for x, y, of in trail:
            paint(x, y, c + d - of)
        k = 0  # as far as the fan is still one, to where d is free
        while at[fan[k], d] >= 0 and k + 1 < len(fan) and at[fan[k], colour(u, fan[k + 1])] < 0:
            k += 1
        for one, other in pairwise(fan[: k + 1]):
            of = colour(u, other)
            at[other, of] = -1
            paint(u, one, of)
        paint(u, fan[k], d)
    nodes = np.arange(graph.n)
    pairs = [np.stack([nodes, other], axis=1)[other > nodes] for other in at.T]
    return tuple(part for part in pairs if len(part))


def matcha(graph: Graph, budget: float) -> Matcha:
    """MATCHA: matchings that are used in random rounds, the more often the more they matter, on a budget.

    Probabilities p_j maximize the algebraic connectivity λ_2(Σ_j p_j L_j) where Σ_j p_j <= budget times the number of
    matchings; the weight then minimizes ‖E[W'W] - 11'/n‖, with E[W'W] = I - 2 alpha Σ_j p_j L_j + alpha² ((Σ_j p_j
    L_j)² + 2 Σ_j p_j (1 - p_j) L_j). Wang, Sahu, Yang, Joshi, Kar 2019, MATCHA: Speeding up decentralized SGD via
    matching decomposition sampling, arXiv:1905.09435; written after the authors' code, but for the decomposition, which
    the paper takes from Misra and Gries.

    Args:
        graph: undirected and connected, of at most 2000 edges.
        budget: the share of the matchings that is used in a round, on average, above 0 and at most 1.

    Raises:
        ValueError: if the graph is directed, not connected or too large, or the budget is outside (0, 1].

    >>> from jaxdec.graphs import ring
    >>> plan = matcha(ring(6), budget=0.5)
    >>> len(plan.matchings), plan.probabilities
    (2, array([0.5, 0.5]))
    """
    _check("matcha", graph)
    budget = above_zero("budget", budget, "the share of the matchings that a round uses, above 0 and at most 1", most=1)
    if len(graph.senders) // 2 > EDGES:
        raise ValueError(f"{graph.name} has {len(graph.senders) // 2} edges; probabilities are computed for {EDGES}")
    parts = matchings(graph)
    pairs = np.concatenate([np.empty((0, 2), int), *parts])
    of = np.repeat(np.arange(len(parts)), [*map(len, parts)])
    C = sp.csr_array((np.ones(len(of)), (np.arange(len(of)), of)))
    if graph.n == 1:
        return Matcha(parts, np.zeros(0), 1.0, 0.0)
    B = linalg.helmert(graph.n) @ _incidence(graph.n, *pairs.T)
    with threadpool_limits(1 if len(pairs) < SMALL else None):
        p = _probabilities(B, C, budget)
        return Matcha(parts, p, *_weight(B, C, p))


def _probabilities(B: np.ndarray, C: Any, budget: float) -> np.ndarray:
    count = C.shape[1]
    if budget == 1:
        return np.ones(count)
    best = np.full(count, float(budget))
    eye = sp.eye_array(count)
    G = sp.csr_array(sp.hstack([sp.vstack([-eye, eye, np.ones((1, count))]), sp.csr_array((2 * count + 1, 1))]))
    h = np.r_[np.zeros(count), np.ones(count), budget * count]

    def enough(y: np.ndarray, dual: Dual) -> bool:
        nonlocal best
        best = y[:-1]
        Z = dual.blocks[0] / np.trace(dual.blocks[0])
        gain = np.sort(C.T @ np.einsum("re,rs,se->e", B, Z, B))[::-1]
        share = np.clip(budget * count - np.arange(count), 0, 1)  # the best that a budget buys at these gains
        return share @ gain <= (1 + 1e-6) * y[-1]

    start = 0.99 * best
    least = np.linalg.eigvalsh((B * (C @ start)) @ B.T)[0]
    block = Block(np.zeros((len(B), len(B))), B, C, 1.0, -1.0)
    scale = 1 / least  # so that the path begins at its middle
    if not minimize(np.r_[np.zeros(count), -scale], [block], G, h, np.r_[start, least / 2], enough):
        raise ValueError("rounding forbids to find the probabilities of the matchings; take a larger budget")
    return best


def _weight(B: np.ndarray, C: Any, p: np.ndarray) -> tuple[float, float]:
    """The best weight and its rho, which is convex in it."""
    from scipy import optimize

    mean, spread = ((B * (C @ q)) @ B.T for q in (p, p * (1 - p)))
    square, eye = mean @ mean + 2 * spread, np.eye(len(B))
    rho = lambda a: float(np.linalg.eigvalsh(eye - 2 * a * mean + a**2 * square)[-1])
    most = 2 / float(np.linalg.eigvalsh(mean)[-1])  # above it rho is above 1
    found = optimize.minimize_scalar(rho, bounds=(0, most), method="bounded", options={"xatol": 1e-10 * most})
    return float(found.x), rho(found.x)
