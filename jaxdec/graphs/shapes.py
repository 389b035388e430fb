"""Graphs with bottlenecks, in the plane, and among people."""

from typing import Any

import numpy as np

from jaxdec import checks
from jaxdec.graphs._numbers import above_zero
from jaxdec.graphs.families import Graph, _connected, _integer, _undirected
from jaxdec.graphs.imported import from_networkx

__all__ = ["SOCIAL", "barbell", "dumbbell", "points", "random_geometric", "social", "two_castle"]

SOCIAL = ("karate_club", "davis_southern_women", "florentine_families", "les_miserables")


def barbell(clique: int, path: int = 0) -> Graph:
    """Two complete graphs of `clique` nodes at the ends of a path of `path` nodes; nodes are numbered along it.

    >>> barbell(4), barbell(4, path=2)
    (Graph('barbell(4, path=0)', n=8, arcs=26), Graph('barbell(4, path=2)', n=10, arcs=30))
    """
    clique, path = _integer("clique", clique, least=1), _integer("path", path, least=0)
    n = 2 * clique + path
    u, v = np.triu_indices(clique, 1)
    along = np.arange(clique - 1, clique + path)
    ends = np.concatenate([u, u + n - clique, along]), np.concatenate([v, v + n - clique, along + 1])
    return _undirected(n, *ends, f"barbell({clique}, path={path})")


def dumbbell(n: int) -> Graph:
    """Two complete graphs of n/2 nodes and one edge between them: the gap of Metropolis weights is of order 1/n²."""
    return _halves(n, 1, f"dumbbell({n})")


def two_castle(n: int, bridges: int = 2) -> Graph:
    """Two complete graphs of n/2 nodes and `bridges` edges between them, no two of which touch.

    The name is recalled from comparisons of decentralized methods; their page could not be read, so the number of
    bridges is open here. One bridge makes a dumbbell.

    >>> two_castle(10)
    Graph('two_castle(10, bridges=2)', n=10, arcs=44)
    """
    return _halves(n, bridges, f"two_castle({n}, bridges={bridges})")


def _halves(n: int, bridges: int, name: str) -> Graph:
    n, bridges = _integer("n", n, least=2), _integer("bridges", bridges, least=1)
    half = n // 2
    if n % 2:
        raise ValueError(f"{name} has two halves of as many nodes, so n is even; take {n - 1} or {n + 1}")
    if bridges > half:
        raise ValueError(f"{name} has halves of {half} nodes, between which no more than {half} bridges do not touch")
    u, v = np.triu_indices(half, 1)
    gates = np.arange(bridges)
    return _undirected(n, np.concatenate([u, u + half, gates]), np.concatenate([v, v + half, gates + half]), name)


def random_geometric(n: int, radius: float, seed: int = 0) -> Graph:
    """Random points of the unit square, of which those within the radius hear each other; drawn until it is connected.

    Where the points are says `points`.

    Raises:
        ValueError: if the radius is not positive, or no draw is connected, which is likely when the radius is below
            (log(n) / (π n))^(1/2).

    >>> random_geometric(60, 0.25)
    Graph('random_geometric(60, 0.25, seed=0)', n=60, arcs=488)
    """
    return _geometric(n, radius, seed)[0]


def points(n: int, radius: float, seed: int = 0) -> np.ndarray:
    """Where the nodes of `random_geometric` are, (n, 2), for `networks.draw`."""
    return _geometric(n, radius, seed)[1]


def _geometric(n: int, radius: float, seed: int) -> tuple[Graph, np.ndarray]:
    from scipy import spatial

    n = _integer("n", n, least=1)
    radius = above_zero("radius", radius, "a distance in the unit square, above 0")
    checks.seed("seed", seed)
    rng, where = np.random.default_rng(seed), np.empty((n, 2))
    name = f"random_geometric({n}, {radius:g}, seed={seed})"

    def draw() -> Graph:
        where[:] = rng.random((n, 2))
        pairs = spatial.KDTree(where).query_pairs(radius, output_type="ndarray")
        return _undirected(n, pairs[:, 0], pairs[:, 1], name)

    least = np.sqrt(np.log(max(n, 2)) / np.pi / n)
    return _connected(draw, f"radius is {radius:g}; expected more than {least:.2g}"), where


def social(name: Any) -> Graph:
    """A graph of who knows whom, of those that NetworkX has; how often they met is left out.

    Args:
        name: "karate_club" (34 members of a club that split, Zachary 1977), "davis_southern_women" (18 women and 14
            events, Davis, Gardner, Gardner 1941), "florentine_families" (15 families and their marriages, Breiger,
            Pattison 1986) or "les_miserables" (77 persons of the novel, Knuth 1993).

    Raises:
        ValueError: if there is no such graph.

    >>> social("karate_club")
    Graph('karate_club', n=34, arcs=156)
    """
    import networkx as nx

    checks.choice("name", name, SOCIAL)
    makers = nx.karate_club_graph, nx.davis_southern_women_graph, nx.florentine_families_graph, nx.les_miserables_graph
    found, plain = makers[SOCIAL.index(name)](), nx.Graph()
    plain.add_nodes_from(found)
    plain.add_edges_from(found.edges())
    return from_networkx(plain, name)
