"""Designed networks: exact averaging in finitely many rounds, EquiTopo, MATCHA, and the random graphs of epidemics."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float, Int

from jaxdec import checks, graphs
from jaxdec._module import module
from jaxdec.graphs._numbers import above_zero
from jaxdec.graphs.designed import _offsets
from jaxdec.graphs.families import _integer, _simple
from jaxdec.graphs.imported import is_networkx
from jaxdec.networks import operators
from jaxdec.networks.families import Static, static
from jaxdec.networks.varying import POOL, RELIABLE, Varying, _one_peer, _pool, periodic
from jaxdec.types import PRNGKey, World

__all__ = [
    "Matchings",
    "base_graph",
    "d_equistatic",
    "hyper_hypercube",
    "matcha",
    "od_equidyn",
    "ou_equidyn",
    "random_k_out",
    "random_k_regular",
    "simple_base_graph",
    "u_equistatic",
]

# Exact after finitely many rounds: Takezawa, Sato, Bao, Niwa, Yamada 2023, arXiv:2305.11420.


def base_graph(n: int, k: int = 1) -> Varying:
    """The Base-(k+1) Graph: any n nodes average exactly in few rounds, in each of which none hears more than k others.

    Takezawa, Sato, Bao, Niwa, Yamada 2023, Beyond exponential graph, arXiv:2305.11420. See `graphs.base_graph`.

    Args:
        n: nodes.
        k: how many others a node hears in a round, at most: 1 for Base-2, 4 for Base-5.

    >>> network = base_graph(25, k=4)
    >>> network.size, network.exact_after, sorted(network.provides - {"arcs", "reliable"})
    (2, 2, ['column stochastic', 'doubly stochastic', 'row stochastic', 'symmetric'])
    """
    return periodic(graphs.base_graph(n, k))


def simple_base_graph(n: int, k: int = 1) -> Varying:
    """The Simple Base-(k+1) Graph, of at least as many rounds as `base_graph`; see `graphs.simple_base_graph`."""
    return periodic(graphs.simple_base_graph(n, k))


def hyper_hypercube(n: int, k: int = 1) -> Varying:
    """The k-peer hyper-hypercube, where n has no prime factor above k + 1; see `graphs.hyper_hypercube`.

    >>> hyper_hypercube(12, k=2).exact_after
    3
    """
    return periodic(graphs.hyper_hypercube(n, k))


# EquiTopo: Song, Li, Jin, Shi, Yan, Yin, Yuan 2022, arXiv:2210.07881.


def d_equistatic(n: int, M: int | None = None, *, seed: int = 0) -> Static:
    """D-EquiStatic: in M random permutations node i hears i + a; doubly stochastic, not symmetric.

    Song, Li, Jin, Shi, Yan, Yin, Yuan 2022, Communication-efficient topologies for decentralized learning with O(1)
    consensus rate, arXiv:2210.07881. See `graphs.d_equistatic`.
    """
    return static(graphs.d_equistatic(n, M, seed))


def u_equistatic(n: int, M: int | None = None, *, seed: int = 0) -> Static:
    """U-EquiStatic: `d_equistatic` and its transpose in equal parts; symmetric."""
    return static(graphs.u_equistatic(n, M, seed))


def od_equidyn(n: int, M: int | None = None, *, eta: float = 0.5, seed: int = 0) -> Varying:
    """OD-EquiDyn: in each round all nodes i take eta (n-1)/n from i + a, for one a at random; not symmetric.

    Song, Li, Jin, Shi, Yan, Yin, Yuan 2022, arXiv:2210.07881; written after the authors' code, eta as in their
    experiments.

    Args:
        n: nodes.
        M: how many offsets a there are to choose from, those of `d_equistatic`; None takes all of 1..n-1, or 256 of
            them at random where there are more.
        eta: how far a node goes to what it hears, above 0 and at most 1.
        seed: of the offsets. Which one a round takes depends on the seed of the run.
    """
    offsets = _choices(n, M, seed)
    return _one_peer((np.arange(n) + offsets[:, None]) % n, "random", _share(n, eta))


def ou_equidyn(n: int, M: int | None = None, *, eta: float = 0.5, pool: int = POOL, seed: int = 0) -> Varying:
    """OU-EquiDyn: in each round nodes i and i + a average in pairs, for one a at random; symmetric.

    Pairs are taken in turn from a random node on, as long as both are free; a node that finds none keeps its vector.
    Song, Li, Jin, Shi, Yan, Yin, Yuan 2022, arXiv:2210.07881; written after the authors' code.

    Args:
        n: nodes.
        M: how many offsets a there are to choose from, as for `od_equidyn`.
        eta: how far two nodes go to each other, above 0 and at most 1: at 1 they nearly swap.
        pool: how many rounds, of an offset and a first node each, are drawn in advance; each round takes one of them.
        seed: of the pool. Which member a round takes depends on the seed of the run.

    >>> network = ou_equidyn(9, pool=20)
    >>> "symmetric" in network.provides, int(network.member(0).degrees().max())
    (True, 1)
    """
    offsets, pool = _choices(n, M, seed), _integer("pool", pool, least=1)
    rng = np.random.default_rng([seed, 1])
    drawn = zip(rng.choice(offsets, pool).tolist(), rng.integers(n, size=pool).tolist(), strict=True)
    return _one_peer(np.array([_in_pairs(n, a, first) for a, first in drawn]), "random", _share(n, eta))


def _choices(n: int, M: int | None, seed: int) -> np.ndarray:
    n = _integer("n", n, least=1)
    checks.seed("seed", seed)
    if n == 1:
        return np.zeros(1, np.int64)
    if M is None:
        every = np.arange(1, n)
        return every if n <= POOL else np.random.default_rng(seed).choice(every, POOL, replace=False)
    return _offsets(n, M, seed)[1]


def _share(n: int, eta: float) -> float:
    return above_zero("eta", eta, "a share of the way, above 0 and at most 1", most=1) * (n - 1) / n


def _in_pairs(n: int, a: int, first: int) -> list[int]:
    """Who is paired with whom, themselves those who are alone."""
    peer = list(range(n))
    for i in (*range(first, n), *range(first)):
        j = (i + a) % n
        if peer[i] == i and peer[j] == j:
            peer[i], peer[j] = j, i
    return peer


# Epidemic learning: de Vos, Farhadkhani, Guerraoui, Kermarrec, Pires, Sharma 2023, arXiv:2310.01972.


def random_k_out(
    n: int,
    k: int,
    *,
    weights: Literal["row_stochastic", "column_stochastic"] = "row_stochastic",
    pool: int = POOL,
    seed: int = 0,
) -> Varying:
    """In each round every node sends to k others, drawn at random, and averages its vector with all it hears.

    EL-Local of epidemic learning: row stochastic, so that the mean is kept in expectation only. de Vos, Farhadkhani,
    Guerraoui, Kermarrec, Pires, Sharma 2023, Epidemic learning, arXiv:2310.01972; recalled, the page was not read.

    Args:
        n: nodes.
        k: to how many others a node sends.
        weights: "row_stochastic" as above, or "column_stochastic" for push-sum methods, under which no mean is lost.
        pool: how many graphs are drawn in advance; each round takes one of them at random.
        seed: of the pool. Which member a round takes depends on the seed of the run.

    >>> sorted(random_k_out(8, 2, pool=20).provides)
    ['arcs', 'reliable', 'row stochastic']
    """
    n, k = _peers(n, k)
    checks.choice("weights", weights, ("row_stochastic", "column_stochastic"))
    rng, rule = _rng(seed), {"row_stochastic": graphs.row_stochastic, "column_stochastic": graphs.column_stochastic}
    senders = np.repeat(np.arange(n), k)

    def draw() -> Any:
        receivers = (senders + _distinct(n, k, rng).ravel()) % n
        return rule[weights](graphs.Graph(n, senders, receivers))

    Ws = [draw() for _ in range(_integer("pool", pool, least=1))]
    return _pool(Ws, [None] * len(Ws), "random", None, "take a larger pool or k")


def random_k_regular(n: int, k: int, *, pool: int = POOL, seed: int = 0) -> Varying:
    """In each round a random graph in which every node has k neighbours, weights 1/(k+1): symmetric.

    EL-Oracle of epidemic learning: see `random_k_out`. A graph of the pool need not be connected.

    Raises:
        ValueError: if n k is odd or k is not below n, or the union of the pool's graphs is not connected.
    """
    n, k = _peers(n, k)
    if n * k % 2:
        raise ValueError(f"no graph has {n} nodes of {k} neighbours each: take an even n or k")
    few, rng, every = min(k, n - 1 - k), _rng(seed), np.stack(np.triu_indices(n, 1), axis=1) if 2 * k >= n else None

    def draw() -> Any:
        shuffle = lambda pairs: rng.permutation(pairs.ravel()).reshape(-1, 2)
        pairs = _simple(n, shuffle(np.repeat(np.arange(n), few)), shuffle, rng) if few else np.empty((0, 2), int)
        if few < k:
            taken = np.sort(pairs, axis=1) @ [n, 1]
            pairs = every[~np.isin(every @ [n, 1], taken)]  # pyrefly: ignore[unsupported-operation]
        return graphs.metropolis(graphs.Graph(n, np.r_[pairs[:, 0], pairs[:, 1]], np.r_[pairs[:, 1], pairs[:, 0]]))

    Ws = [draw() for _ in range(_integer("pool", pool, least=1))]
    return _pool(Ws, [None] * len(Ws), "random", None, "take a larger pool or k")


def _peers(n: int, k: int) -> tuple[int, int]:
    n, k = _integer("n", n, least=2), _integer("k", k, least=1)
    if k >= n:
        raise ValueError(f"k is {k}; of {n} nodes one can hear at most {n - 1} others")
    return n, k


def _rng(seed: int) -> np.random.Generator:
    checks.seed("seed", seed)
    return np.random.default_rng(seed)


def _distinct(n: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """For each node k different numbers from 1 to n - 1, (n, k)."""
    if k * k > n:
        return 1 + np.argsort(rng.random((n, n - 1)), axis=1)[:, :k]
    found = np.sort(rng.integers(1, n, (n, k)), axis=1)
    while len(again := np.flatnonzero(np.any(found[:, 1:] == found[:, :-1], axis=1))):
        found[again] = np.sort(rng.integers(1, n, (len(again), k)), axis=1)
    return found


# MATCHA: Wang, Sahu, Yang, Joshi, Kar 2019, arXiv:1905.09435.


@module
class Matchings:
    """A graph of which each matching is used in a round with a probability of its own. Made by `matcha`."""

    base: Any  # the operator of the rounds in which all matchings are used
    matching: Int[Array, "n k"]  # the number of the matching that an arc is in
    probability: Float[Array, " m"]  # of each matching

    @property
    def n(self) -> int:
        return self.base.n

    @property
    def provides(self) -> frozenset[str]:
        return RELIABLE | {"symmetric", "doubly stochastic", "row stochastic", "column stochastic"}

    @property
    def sends(self) -> frozenset[str]:
        """What holds of what is sent: each arc of the graph has its slot."""
        return self.provides | {"fixed arcs"}

    def init(self, key: PRNGKey) -> tuple[()]:
        return ()

    def at(self, memory: tuple[()], t: Int[Array, ""], key: PRNGKey) -> tuple[tuple[()], World]:
        coins = jax.random.uniform(key, self.probability.shape, jnp.float32) < self.probability
        W = self.base.masked(coins[self.matching], "link", silent=True)
        return memory, World(W, sent=W.arcs.sent)


def matcha(graph: Any, budget: float) -> Matchings:
    """MATCHA: a graph's matchings, each of which is used in a round or not, the more often the more it matters.

    W = I - alpha Σ_j B_j L_j, B_j independent coins. It contracts in mean square; on a small budget alpha is so large
    that the W of a round in which many matchings meet may not. What is not used is not paid for. Wang, Sahu, Yang,
    Joshi, Kar 2019, MATCHA, arXiv:1905.09435; see `graphs.matcha`.

    Args:
        graph: undirected and connected, of `jaxdec.graphs` or NetworkX, of at most 2000 edges.
        budget: the share of the matchings that is used in a round, on average, above 0 and at most 1.

    >>> network = matcha(graphs.erdos_renyi(16, 0.3), budget=0.5)
    >>> round(float(jnp.mean(network.probability)), 4), "symmetric" in network.provides
    (0.5, True)
    """
    graph = graphs.from_networkx(graph) if is_networkx(graph) else graph
    plan = graphs.matcha(graph, budget)
    pairs = np.concatenate([np.empty((0, 2), np.int64), *plan.matchings])
    number = np.repeat(np.arange(len(plan.matchings)), [*map(len, plan.matchings)])
    ends = np.r_[pairs[:, 0], pairs[:, 1]], np.r_[pairs[:, 1], pairs[:, 0]]
    of = sp.csr_array((np.r_[number, number] + 1, ends), shape=(graph.n, graph.n))
    W = sp.eye_array(graph.n) - plan.weight * (sp.diags_array(graph.degrees.astype(float)) - graph.adjacency)
    base = operators.operator(W, form="table").by_arcs()
    sender = np.asarray(base.arcs.sender)
    here = of[np.broadcast_to(np.arange(graph.n)[:, None], sender.shape).ravel(), sender.ravel()]
    matching = np.maximum(np.asarray(here).reshape(sender.shape) - 1, 0).astype(np.int32)
    return Matchings(base, jnp.asarray(matching), jnp.asarray(plan.probabilities))
