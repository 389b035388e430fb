"""Families of graphs, drawn or computed.

Everything costs O(arcs) in time and memory, and what would take more than this machine has is refused.
Graphs drawn from a seed are the same on every machine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import log, prod
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse import csgraph

from jaxdec import checks

if TYPE_CHECKING:
    import networkx as nx

__all__ = [
    "ATTEMPTS",
    "REPAIRS",
    "Graph",
    "complete",
    "directed_exponential",
    "directed_ring",
    "erdos_renyi",
    "exponential",
    "grid",
    "hypercube",
    "path",
    "random_digraph",
    "random_regular",
    "ring",
    "semantic_exponential",
    "small_world",
    "star",
    "torus",
    "tree",
]

ATTEMPTS = 100  # draws of a random graph before it is called disconnected
REPAIRS = 10_000  # rounds of redrawing loops and repeated edges


@dataclass(frozen=True, eq=False)
class Graph:
    """A directed graph without self-loops, as its arcs; an undirected graph holds both directions.

    The arcs are a set: they are kept sorted by receiver, then sender, and repeated ones are dropped.

    Args:
        n: number of nodes.
        senders: (m,) integers; arc k goes from senders[k] to receivers[k].
        receivers: (m,) integers.
        name: for messages and legends.
        group: (g1, g2, ...) where the graph is a Cayley graph of Z_{g1} x Z_{g2} x ..., with node = row-major index.

    Raises:
        ValueError: if an arc is a self-loop or leaves the nodes, or if `group` does not map the graph to itself.

    >>> graph = Graph(3, [0, 1], [1, 2])
    >>> graph, graph.degrees, graph.connected
    (Graph('graph', n=3, arcs=2), array([0, 1, 1]), False)
    """

    n: int
    senders: np.ndarray
    receivers: np.ndarray
    name: str = "graph"
    group: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        n = _integer("n", self.n, least=1)
        ends = [np.asarray(end) for end in (self.senders, self.receivers)]
        if ends[0].ndim != 1 or ends[0].shape != ends[1].shape:
            raise ValueError(f"senders and receivers have shapes {ends[0].shape}, {ends[1].shape}; expected (m,) twice")
        if ends[0].size and not all(np.issubdtype(end.dtype, np.integer) for end in ends):
            raise ValueError(f"senders and receivers are {ends[0].dtype}, {ends[1].dtype}; expected integers")
        senders, receivers = (end.astype(np.int64) for end in ends)
        if senders.size and not (min(map(np.min, ends)) >= 0 and max(map(np.max, ends)) < n):
            raise ValueError(f"an arc of {self.name} ends outside the nodes 0..{n - 1}; number the nodes from 0")
        if np.any(senders == receivers):
            loop = senders[senders == receivers][0]
            raise ValueError(f"{self.name} has a self-loop at node {loop}; leave it out, weights keep a share for it")
        keys = np.sort(receivers * n + senders)
        receivers, senders = np.divmod(keys[np.diff(keys, prepend=-1) > 0], n)
        senders.flags.writeable = receivers.flags.writeable = False
        for field, value in (("n", n), ("senders", senders), ("receivers", receivers)):
            object.__setattr__(self, field, value)
        if self.group is not None and not self._is_cayley(self.group):
            raise ValueError(f"{self.name} is not a Cayley graph of the group {self.group}; leave group=None")

    def _is_cayley(self, group: tuple[int, ...]) -> bool:
        if prod(group) != self.n:
            return False
        # An offset is taken by at most n arcs, so all nodes have the same offsets where each is taken n times.
        ends = (np.stack(np.unravel_index(end, group)) for end in (self.receivers, self.senders))
        offsets = np.subtract(*ends) % np.asarray(group)[:, None]
        different = np.count_nonzero(np.bincount(np.ravel_multi_index(tuple(offsets), group)))
        return bool(len(self.senders) == self.n * different)

    def __repr__(self) -> str:
        return f"Graph({self.name!r}, n={self.n}, arcs={len(self.senders)})"

    @cached_property
    def degrees(self) -> np.ndarray:
        """How many others each node hears, (n,)."""
        return np.bincount(self.receivers, minlength=self.n)

    @cached_property
    def out_degrees(self) -> np.ndarray:
        """How many others hear each node, (n,)."""
        return np.bincount(self.senders, minlength=self.n)

    @cached_property
    def undirected(self) -> bool:
        """Whether every arc has its reverse."""
        return np.array_equal(self.receivers * self.n + self.senders, np.sort(self.senders * self.n + self.receivers))

    @cached_property
    def connected(self) -> bool:
        """Whether every node reaches every other along the arcs (strongly connected)."""
        return csgraph.connected_components(self.adjacency, connection="strong", return_labels=False) == 1

    @cached_property
    def adjacency(self) -> sp.csr_array:
        """(n, n) with A[receiver, sender] = 1."""
        return sp.csr_array((np.ones(len(self.senders)), (self.receivers, self.senders)), shape=(self.n, self.n))

    def to_networkx(self) -> "nx.Graph | nx.DiGraph":
        """The NetworkX graph with nodes 0..n-1: a Graph if undirected, else a DiGraph."""
        import networkx as nx

        graph = nx.Graph() if self.undirected else nx.DiGraph()
        graph.add_nodes_from(range(self.n))
        graph.add_edges_from(zip(self.senders.tolist(), self.receivers.tolist(), strict=True))
        return graph


# Graphs with a group: node s is heard by s + g, for each generator g.


def ring(n: int) -> Graph:
    """The cycle: node i hears i-1 and i+1 modulo n.

    >>> ring(8), ring(8).group, ring(2)
    (Graph('ring(8)', n=8, arcs=16), (8,), Graph('ring(2)', n=2, arcs=2))
    """
    return _cayley((n,), [(1,), (-1,)], f"ring({n})")


def directed_ring(n: int) -> Graph:
    """Node i hears i-1 modulo n."""
    return _cayley((n,), [(1,)], f"directed_ring({n})")


def complete(n: int) -> Graph:
    """Everyone hears everyone: n (n-1) arcs."""
    n = _integer("n", n, least=1)
    _fits(f"complete({n})", n, n * (n - 1))
    return _cayley((n,), [(k,) for k in range(1, n)], f"complete({n})")


def torus(rows: int, cols: int) -> Graph:
    """The grid whose rows and columns close to rings; node (r, c) is r * cols + c."""
    return _cayley((rows, cols), [(1, 0), (-1, 0), (0, 1), (0, -1)], f"torus({rows}, {cols})")


def hypercube(n: int) -> Graph:
    """Nodes whose binary numbers differ in one digit; n is a power of two."""
    bits = _integer("n", n, least=1).bit_length() - 1
    if n != 2**bits:
        raise ValueError(f"a hypercube has a power of two nodes; got n={n}: take {2**bits}, or exponential({n})")
    return _cayley((2,) * bits or (1,), np.eye(bits or 1, dtype=int), f"hypercube({n})")


def exponential(n: int) -> Graph:
    """Node i hears i ± 2^k modulo n for every 2^k < n."""
    n = _integer("n", n, least=1)
    return _cayley((n,), _powers(n - 1, signs=(1, -1)), f"exponential({n})")


def semantic_exponential(n: int) -> Graph:
    """Node i hears i ± 2^k modulo n for every 2^k <= n/2: `exponential` without its wrapped-around arcs.

    >>> semantic_exponential(8), semantic_exponential(7), exponential(7)
    (Graph('semantic_exponential(8)', n=8, arcs=40), Graph('semantic_exponential(7)', n=7, arcs=28),
     Graph('exponential(7)', n=7, arcs=42))
    """
    n = _integer("n", n, least=1)
    return _cayley((n,), _powers(n // 2, signs=(1, -1)), f"semantic_exponential({n})")


def directed_exponential(n: int) -> Graph:
    """Node i hears i - 2^k modulo n for every 2^k < n (Assran et al. 2019, arXiv 1811.10792)."""
    n = _integer("n", n, least=1)
    return _cayley((n,), _powers(n - 1, signs=(1,)), f"directed_exponential({n})")


# Graphs with a shape.


def path(n: int) -> Graph:
    """Node i hears i-1 and i+1, where they exist."""
    n = _integer("n", n, least=1)
    _fits(f"path({n})", n, 2 * n)
    nodes = np.arange(n)
    return _undirected(n, nodes[:-1], nodes[1:], f"path({n})")


def star(n: int) -> Graph:
    """Everyone hears node 0, the hub, and is heard by it."""
    n = _integer("n", n, least=1)
    _fits(f"star({n})", n, 2 * n)
    leaves = np.arange(1, n)
    return _undirected(n, np.zeros_like(leaves), leaves, f"star({n})")


def grid(rows: int, cols: int) -> Graph:
    """The rectangle; node (r, c) is r * cols + c."""
    rows, cols = _integer("rows", rows, least=1), _integer("cols", cols, least=1)
    _fits(f"grid({rows}, {cols})", rows * cols, 4 * rows * cols)
    nodes = np.arange(rows * cols).reshape(rows, cols)
    u, v = (
        np.concatenate([right.ravel(), down.ravel()])
        for right, down in ((nodes[:, :-1], nodes[:-1]), (nodes[:, 1:], nodes[1:]))
    )
    return _undirected(rows * cols, u, v, f"grid({rows}, {cols})")


def tree(n: int, branching: int = 2) -> Graph:
    """The balanced tree: node 0 is the root and (i-1) // branching is the parent of node i."""
    n = _integer("n", n, least=1)
    _fits(f"tree({n})", n, 2 * n)
    children = np.arange(1, n)
    parents = (children - 1) // _integer("branching", branching, least=1)
    return _undirected(n, parents, children, f"tree({n}, branching={branching})")


# Graphs drawn from a seed.


def erdos_renyi(n: int, probability: float, seed: int = 0) -> Graph:
    """Each pair is an edge with the given probability, conditioned on a connected graph (by redrawing).

    Raises:
        ValueError: if no draw is connected, which is likely when probability is below log(n) / n.
    """
    n, probability = _integer("n", n, least=1), _fraction("probability", probability)
    rng = np.random.default_rng(checks.seed("seed", seed))
    name = f"erdos_renyi({n}, {probability}, seed={seed})"
    _fits(name, n, n * (n - 1) * probability)

    def draw() -> Graph:
        # Pair k is (u, v), v < u, in row-major order of the triangle below the diagonal: k = u (u-1) / 2 + v.
        k = _successes(n * (n - 1) // 2, probability, rng)
        u = ((1 + np.sqrt(1 + 8 * k)) // 2).astype(np.int64)
        return _undirected(n, u, k - u * (u - 1) // 2, name)

    return _connected(draw, f"probability is {probability}; expected more than log(n)/n = {log(n) / n:.2g}")


def random_regular(n: int, degree: int, seed: int = 0) -> Graph:
    """A connected graph whose nodes all have the given degree: a pairing of edge ends (Bollobas 1980), repaired.

    Raises:
        ValueError: if n * degree is odd, degree is not below n, or no draw is connected.

    >>> set(random_regular(20, 3).degrees.tolist())
    {3}
    """
    n, degree = _integer("n", n, least=1), _integer("degree", degree, least=0)
    if degree >= n or n * degree % 2:
        raise ValueError(f"no graph has {n} nodes of degree {degree}: degree must be below n and n * degree even")
    rng = np.random.default_rng(checks.seed("seed", seed))
    name = f"random_regular({n}, {degree}, seed={seed})"
    _fits(name, n, n * degree)
    few = min(degree, n - 1 - degree)  # the complement of a regular graph is one, and the sparser is easier to draw

    def draw() -> Graph:
        shuffle = lambda pairs: rng.permutation(pairs.ravel()).reshape(-1, 2)
        pairs = _simple(n, shuffle(np.repeat(np.arange(n), few)), shuffle, rng)
        if few < degree:
            everyone = np.stack(np.tril_indices(n, -1), axis=1)
            pairs = everyone[~np.isin(_keys(n, everyone), _keys(n, pairs))]
        return _undirected(n, pairs[:, 0], pairs[:, 1], name)

    return _connected(draw, f"degree is {degree}; take at least 3, or ring({n}) for 2")


def small_world(n: int, neighbours: int = 4, rewiring: float = 0.1, seed: int = 0) -> Graph:
    """A ring lattice, each edge of which moves one end to a random node with probability `rewiring`, connected.

    Watts and Strogatz 1998, Collective dynamics of small-world networks. `neighbours` is even; where there are no
    more than that many others, the graph is complete.
    """
    n, neighbours = _integer("n", n, least=1), _integer("neighbours", neighbours, least=2)
    rewiring = _fraction("rewiring", rewiring)
    if neighbours % 2:
        raise ValueError(f"a ring lattice has as many neighbours left as right; got neighbours={neighbours}, odd")
    name = f"small_world({n}, {neighbours}, {rewiring}, seed={seed})"
    _fits(name, n, n * min(neighbours, n))
    if n <= neighbours + 1:
        return Graph(n, complete(n).senders, complete(n).receivers, name)
    rng = np.random.default_rng(checks.seed("seed", seed))
    nodes = np.tile(np.arange(n), neighbours // 2)
    lattice = np.stack([nodes, (nodes + np.repeat(np.arange(neighbours // 2) + 1, n)) % n], axis=1)

    def draw() -> Graph:
        move = lambda pairs: np.stack([pairs[:, 0], rng.integers(n, size=len(pairs))], axis=1)
        moved = rng.random(len(lattice)) < rewiring
        pairs = np.concatenate([lattice[~moved], move(lattice[moved])])
        pairs = _simple(n, pairs, move, rng, fixed=int(np.sum(~moved)))
        return _undirected(n, pairs[:, 0], pairs[:, 1], name)

    return _connected(
        draw, f"neighbours is {neighbours} and rewiring {rewiring}; take more of one or less of the other"
    )


def random_digraph(n: int, probability: float, seed: int = 0) -> Graph:
    """A directed cycle through all nodes in random order, and every other arc with the given probability.

    The cycle makes the graph strongly connected at any probability.
    """
    n, probability = _integer("n", n, least=1), _fraction("probability", probability)
    name = f"random_digraph({n}, {probability}, seed={seed})"
    _fits(name, n, n + n * (n - 1) * probability)
    rng = np.random.default_rng(checks.seed("seed", seed))
    cycle = rng.permutation(n) if n > 1 else np.empty(0, int)
    receivers, others = np.divmod(_successes(n * (n - 1), probability, rng), max(n - 1, 1))
    senders = others + (others >= receivers)  # the k-th of the others skips the receiver itself
    return Graph(
        n,
        np.concatenate([cycle, senders]),
        np.concatenate([np.roll(cycle, -1), receivers]),
        name,
    )


# Shared by the constructors.


def _cayley(group: tuple[int, ...], generators: Any, name: str) -> Graph:
    """Node s is heard by s + g for every generator g other than 0, in Z_{g1} x Z_{g2} x ..."""
    group = tuple(_integer(f"a size of {name}", g, least=1) for g in group)
    _fits(name, prod(group), prod(group) * len(generators))
    nodes = np.stack(np.unravel_index(np.arange(prod(group)), group))
    heard = np.array(list(generators), np.int64).reshape(-1, len(group), 1)
    receivers = np.ravel_multi_index(tuple(np.moveaxis((nodes + heard) % np.array(group)[:, None], 1, 0)), group)
    senders = np.broadcast_to(np.arange(prod(group)), receivers.shape)
    other = np.not_equal(senders, receivers)
    return Graph(prod(group), senders[other], np.asarray(receivers)[other], name, group)


def _fits(name: str, nodes: int, arcs: float) -> None:
    """Refuse a graph that does not fit in memory, with its weights: an arc takes about 64 bytes while it is made."""
    checks.affordable(name, 32 * nodes + 64 * arcs, "take fewer nodes or arcs")


def _powers(largest: int, signs: tuple[int, ...]) -> list[tuple[int]]:
    """Every ± 2^k up to the largest."""
    return [(sign * 2**k,) for k in range(largest.bit_length()) for sign in signs]


def _undirected(n: int, u: np.ndarray, v: np.ndarray, name: str) -> Graph:
    return Graph(n, np.concatenate([u, v]), np.concatenate([v, u]), name)


def _keys(n: int, pairs: np.ndarray) -> np.ndarray:
    """One integer per unordered pair of nodes."""
    return pairs.min(axis=1) * n + pairs.max(axis=1)


def _simple(n: int, pairs: np.ndarray, redraw: Callable, rng: np.random.Generator, fixed: int = 0) -> np.ndarray:
    """Redraw loops and repetitions among the (m, 2) pairs of nodes until there are none; the first `fixed` stay."""
    for _ in range(REPAIRS):
        bad = np.ones(len(pairs), bool)
        bad[np.unique(_keys(n, pairs), return_index=True)[1]] = False
        bad |= pairs[:, 0] == pairs[:, 1]
        if not bad.any():
            return pairs
        bad[rng.integers(fixed, len(pairs))] = True  # or the last few could have nowhere to go
        pairs[bad] = redraw(pairs[bad])
    raise ValueError(f"no simple graph was found in {REPAIRS} rounds; change the seed, or take fewer edges")


def _successes(trials: int, probability: float, rng: np.random.Generator) -> np.ndarray:
    """Which of independent trials succeed, in O(successes)."""
    return rng.choice(trials, rng.binomial(trials, probability), replace=False, shuffle=False)


def _connected(draw: Callable[[], Graph], advice: str) -> Graph:
    for _ in range(ATTEMPTS):
        if (graph := draw()).connected:
            return graph
    raise ValueError(f"{draw().name} was disconnected in all of {ATTEMPTS} draws: {advice}")


def _integer(name: str, value: Any, least: int) -> int:
    try:
        found = -1 if isinstance(value, bool) else index(value)
    except TypeError:
        raise ValueError(f"{name} is {value!r}; expected an integer, at least {least}") from None
    if found < least:
        raise ValueError(f"{name} is {value}; expected at least {least}")
    checks.affordable(f"a graph where {name} is {found}", BYTES * found, "take fewer")
    return checks.integer(name, found, least)


BYTES = 32  # that a graph takes for each node, at the least: two arcs


def _fraction(name: str, value: float) -> float:
    if not checks.bounded(value, lambda p: (p >= 0) & (p <= 1)):
        raise ValueError(f"{name} is {value}; expected a number from 0 to 1")
    return float(value)
