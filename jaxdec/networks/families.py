"""What the world supplies at round t: the mixing operator W and who takes part."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Int

from jaxdec import graphs
from jaxdec._module import module
from jaxdec._module import static as _static
from jaxdec.networks import operators
from jaxdec.networks import weights as _weights
from jaxdec.types import PRNGKey, World

__all__ = [
    "CONSTANT",
    "PushPull",
    "Static",
    "complete",
    "directed_exponential",
    "directed_ring",
    "erdos_renyi",
    "exponential",
    "grid",
    "hypercube",
    "path",
    "push_pull",
    "random_digraph",
    "random_regular",
    "ring",
    "semantic_exponential",
    "small_world",
    "star",
    "static",
    "torus",
    "tree",
]


@module
class Static:
    """The same W in every round; everybody takes part. Made by `static(W)` or by a family such as `ring(n)`."""

    W: Any
    provides: frozenset[str] = _static(repr=False)

    @property
    def n(self) -> int:
        return self.W.n

    def init(self, key: PRNGKey) -> tuple[()]:
        return ()

    def at(self, memory: tuple[()], t: Int[Array, ""], key: PRNGKey) -> tuple[tuple[()], World]:
        return memory, World(self.W)


def static(W: Any, *, weights: str = "metropolis", form: operators.Form | None = None) -> Static:
    """A network that does not change, from a weight matrix or from a graph and a rule for its weights.

    Args:
        W: (n, n) weights as an array, a SciPy sparse matrix or a mixing operator, W[i, j] being the weight that node i
            puts on node j's vector; or a graph, of `jaxdec.graphs` or NetworkX.
        weights: for a graph: "metropolis", "uniform", "max_degree", "row_stochastic" or "column_stochastic"; those
            that average fastest, "best_constant", "fastest_averaging" (some may be negative) or "fastest_mixing"; or
            "given", those of the edges of a NetworkX graph, see `graphs.given`.
        form: the form of the operator, see `networks.operators.operator`; None chooses the cheapest.

    Raises:
        ValueError: if W is not square, has entries that are not finite, or is not connected.

    >>> import networkx as nx
    >>> network = static(nx.petersen_graph())
    >>> network.n, sorted(network.provides)
    (10, ['arcs', 'column stochastic', 'doubly stochastic', 'fixed', 'reliable', 'row stochastic', 'symmetric'])
    """
    matrix, group = _weights.matrix(W, weights)
    _weights.connected(matrix)
    provides = graphs.properties(matrix, atol=1e-6) | CONSTANT | ({"tree"} if _weights.is_tree(matrix) else set())
    return Static(operators.operator(matrix, form=form, group=group), frozenset(provides))


def ring(n: int) -> Static:
    """The undirected ring with weights 1/3 (n = 2: 1/2).

    >>> ring(4).W
    Circulant(..., offsets=((0,), (1,), (-1,)), group=(4,))
    """
    return static(graphs.ring(n))


def path(n: int) -> Static:
    """The path with Metropolis-Hastings weights."""
    return static(graphs.path(n))


def star(n: int) -> Static:
    """The star around node 0 with Metropolis-Hastings weights."""
    return static(graphs.star(n))


def complete(n: int) -> Static:
    """The complete graph with weights 1/n: one round averages exactly."""
    return static(graphs.complete(n)) if n < 3 else Static(operators.Average(jnp.asarray(1.0), n), _COMPLETE)


CONSTANT = frozenset({"fixed", "reliable", "arcs"})
_COMPLETE = CONSTANT | {"symmetric", "doubly stochastic", "row stochastic", "column stochastic"}


def torus(rows: int, columns: int) -> Static:
    """The 2-D torus with weights 1/5."""
    return static(graphs.torus(rows, columns))


def grid(rows: int, columns: int) -> Static:
    """The 2-D grid with Metropolis-Hastings weights."""
    return static(graphs.grid(rows, columns))


def hypercube(n: int) -> Static:
    """The hypercube of n = 2^m nodes with weights 1/(m + 1)."""
    return static(graphs.hypercube(n))


def exponential(n: int) -> Static:
    """The undirected exponential graph: node i hears i ± 2^k."""
    return static(graphs.exponential(n))


def erdos_renyi(n: int, probability: float, *, seed: int = 0) -> Static:
    """A connected Erdős-Rényi graph with Metropolis-Hastings weights."""
    return static(graphs.erdos_renyi(n, probability, seed=seed))


def random_regular(n: int, degree: int, *, seed: int = 0) -> Static:
    """A random regular graph with weights 1/(degree + 1)."""
    return static(graphs.random_regular(n, degree, seed=seed))


def small_world(n: int, neighbours: int = 4, rewiring: float = 0.1, *, seed: int = 0) -> Static:
    """A connected Watts-Strogatz graph with Metropolis-Hastings weights."""
    return static(graphs.small_world(n, neighbours, rewiring, seed=seed))


def tree(n: int, branching: int = 2) -> Static:
    """The balanced tree around node 0 with Metropolis-Hastings weights."""
    return static(graphs.tree(n, branching))


def directed_ring(n: int) -> Static:
    """The directed ring, in which node i hears i - 1, with weights 1/2: doubly stochastic, not symmetric."""
    return static(graphs.directed_ring(n), weights="row_stochastic")


def directed_exponential(n: int) -> Static:
    """The directed exponential graph, in which node i hears i - 2^k: doubly stochastic, not symmetric."""
    return static(graphs.directed_exponential(n), weights="row_stochastic")


def semantic_exponential(n: int) -> Static:
    """The undirected exponential graph without its wrapped-around arcs: node i hears i ± 2^k for 2^k <= n/2."""
    return static(graphs.semantic_exponential(n))


def random_digraph(n: int, probability: float, *, weights: str = "column_stochastic", seed: int = 0) -> Static:
    """A random strongly connected digraph; column stochastic, for push-sum, or weights="row_stochastic".

    >>> sorted(random_digraph(8, 0.2).provides)
    ['arcs', 'column stochastic', 'fixed', 'reliable']
    """
    return static(graphs.random_digraph(n, probability, seed=seed), weights=weights)


class PushPull(NamedTuple):
    """The W of push-pull methods, `R, C = r.W`."""

    R: Any  # rows sum to one: what a node takes of those it hears
    C: Any  # columns sum to one: what a node gives to those who hear it

    @property
    def n(self) -> int:
        return self.R.n


def push_pull(R: Any, C: Any = None, *, form: operators.Form | None = None) -> Static:
    """A network whose W is a pair: R, whose rows sum to one, and C, whose columns do.

    Neither graph need be strongly connected. Some node must reach all others along the arcs of R, and be reached by all
    others along those of C (Pu, Shi, Xu, Nedić 2018, arXiv:1810.06653).

    Args:
        R: weights as an array, a SciPy sparse matrix or a mixing operator; or a graph: a node averages what it hears.
        C: likewise, a node splitting what it sends; None takes R, which is then a graph or doubly stochastic.
        form: the form of the operators, see `networks.operators.operator`; None chooses the cheapest.

    Raises:
        ValueError: if R or C is not stochastic, their sizes differ, or there is no such node.

    >>> network = push_pull(graphs.random_digraph(8, 0.2))
    >>> network.W.R.dense().sum(axis=1), network.W.C.dense().sum(axis=0)
    (Array([1., 1., 1., 1., 1., 1., 1., 1.], dtype=float...), Array([1., 1., 1., 1., 1., 1., 1., 1.], dtype=float...))
    """
    (R, row_group), (C, column_group) = (
        _weights.matrix(R, "row_stochastic"),
        _weights.matrix(R if C is None else C, "column_stochastic"),
    )
    if R.shape != C.shape:
        raise ValueError(f"R has {R.shape[0]} nodes and C has {C.shape[0]}; they are weights of the same nodes")
    for name, W, sums in (("R", R, "row"), ("C", C, "column")):
        if f"{sums} stochastic" not in graphs.properties(W):
            total = W.sum(axis=1 if sums == "row" else 0)
            raise ValueError(
                f"{name} of a push-pull network has non-negative entries and {sums} sums of one; its least entry is "
                f"{W.min():.3g} and its {sums} sums are in [{total.min():.3g}, {total.max():.3g}]. Pass a graph to "
                "have its weights made"
            )
    if not set(_roots(R)) & set(_roots(C.T.tocsr())):
        raise ValueError(
            "no node both reaches all others along the arcs of R and is reached by all others along the arcs of C, so "
            "the nodes cannot agree on a minimizer; add arcs, or take a strongly connected graph for both"
        )
    both = (operators.operator(W, form=form, group=g) for W, g in ((R, row_group), (C, column_group)))
    return Static(PushPull(*both), frozenset({"push-pull", "fixed", "reliable"}))


def _roots(W: sp.csr_array) -> np.ndarray:
    """The nodes whose vectors reach every node under W."""
    parts, label = sp.csgraph.connected_components(W, connection="strong")
    receivers, senders = (label[end] for end in W.nonzero())
    sources = np.setdiff1d(np.arange(parts), receivers[receivers != senders])
    return np.flatnonzero(label == sources[0]) if len(sources) == 1 else np.empty(0, int)
