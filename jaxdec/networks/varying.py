"""Networks that change from round to round: a pool of W, one of which is taken in each round."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Int

from jaxdec import checks, graphs
from jaxdec._module import module, static
from jaxdec.networks import operators
from jaxdec.networks import weights as _weights
from jaxdec.networks.arcs import ByArcs
from jaxdec.types import PRNGKey, World

__all__ = [
    "POOL",
    "RELIABLE",
    "Varying",
    "one_peer_exponential",
    "one_peer_random",
    "periodic",
    "random_erdos_renyi",
    "random_matchings",
]

RELIABLE = frozenset({"reliable", "arcs"})
POOL = 256  # graphs drawn in advance: drawing a fresh one in every round would dominate the round


@module
class Varying:
    """W of round t is a member of a pool; everybody takes part. Made by `periodic` or by a family.

    Its members have one form and equal shapes, so that a round costs what its W costs.
    """

    pool: Any  # one operator whose arrays have the members on their leading axis
    provides: frozenset[str] = static(repr=False)  # what holds of every member
    order: Literal["periodic", "random"] = static(default="periodic")
    exact_after: int | None = static(default=None, repr=False)  # rounds from round 0 to the exact mean; None: no such

    @property
    def n(self) -> int:
        return self.pool.n

    @property
    def size(self) -> int:
        """How many W there are."""
        return jax.tree.leaves(self.pool)[0].shape[0]

    @property
    def sends(self) -> frozenset[str]:
        """What holds of what is sent. Slots of tables mean other nodes in another member."""
        match self.pool:
            case operators.NeighbourTable():
                who = self.pool.indices, self.pool.rows, self.pool.columns
            case ByArcs():
                who = (self.pool.arcs.who.sender,)
            case _:
                who = ()
        same = all(bool(np.all(np.asarray(a) == np.asarray(a)[:1])) for a in who)
        return self.provides | {"fixed arcs"} if same else self.provides

    def member(self, k: Int[Array, ""] | int) -> Any:
        """The k-th operator of the pool."""
        return jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, k, keepdims=False), self.pool)

    def init(self, key: PRNGKey) -> tuple[()]:
        return ()

    def at(self, memory: tuple[()], t: Int[Array, ""], key: PRNGKey) -> tuple[tuple[()], World]:
        k = t % self.size if self.order == "periodic" else jax.random.randint(key, (), 0, self.size)
        return memory, World(self.member(k))


def periodic(Ws: Sequence[Any], *, weights: str = "metropolis", form: operators.Form | None = None) -> Varying:
    """The given W in turn, again and again: that of round t is Ws[t % len(Ws)].

    Args:
        Ws: what `networks.static` takes, or networks that do not change, all of n nodes. Each may be disconnected, but
            not all of them together.
        weights: for graphs: "metropolis", "uniform", "max_degree", "row_stochastic" or "column_stochastic".
        form: the form that all operators get, see `networks.operators.operator`; None chooses.

    Raises:
        ValueError: if there is none, if their sizes differ, or if their union is not connected.

    >>> gossip_every_third_round = periodic([graphs.ring(8), np.eye(8), np.eye(8)])
    >>> gossip_every_third_round.size, sorted(gossip_every_third_round.provides)
    (3, ['arcs', 'column stochastic', 'doubly stochastic', 'reliable', 'row stochastic', 'symmetric'])
    """
    if isinstance(Ws, str) or not isinstance(Ws, Sequence) or len(Ws) == 0:
        raise ValueError(f"a periodic network is a list of weight matrices or graphs; got {Ws!r}")
    found, groups = zip(*(_weights.matrix(W, weights) for W in Ws), strict=True)
    sizes = sorted({W.shape[0] for W in found})
    if len(sizes) > 1:
        raise ValueError(f"all W of a network have the same nodes; got {' and '.join(map(str, sizes))} nodes")
    return _pool(list(found), list(groups), "periodic", form, "repeat fewer rounds without them")


def one_peer_exponential(n: int) -> Varying:
    """In round t node i averages with i - 2^(t mod τ), where τ = ceil(log2 n): doubly stochastic, not symmetric.

    Where n is a power of two, any τ rounds in a row average exactly.

    Ying, Yuan, Chen, Hu, Pan, Yin (2021), Exponential graph is provably efficient for decentralized deep training,
    arXiv:2110.13363.

    >>> network = one_peer_exponential(8)
    >>> W = [network.member(t) for t in range(3)]
    >>> W[2] @ (W[1] @ (W[0] @ jnp.arange(8.0)))
    Array([3.5, 3.5, 3.5, 3.5, 3.5, 3.5, 3.5, 3.5], dtype=float...)
    >>> network.exact_after, one_peer_exponential(6).exact_after
    (3, None)
    """
    nodes = np.arange(_nodes(n))
    powers = 2 ** np.arange(max(1, (n - 1).bit_length()))
    return _one_peer((nodes - powers[:, None]) % n, "periodic")


def one_peer_random(n: int, *, pool: int = POOL, seed: int = 0) -> Varying:
    """In each round every node averages with what one random other sends it: doubly stochastic, not symmetric.

    Who hears whom is a cycle through all nodes, drawn uniformly: a node sends to one other and hears one other.

    Args:
        n: nodes.
        pool: how many cycles are drawn in advance; each round takes one of them at random.
        seed: of the pool. Which member a round takes depends on the seed of the run.
    """
    order = _shuffled(n, pool, seed)
    peer = np.empty_like(order)
    np.put_along_axis(peer, order, np.roll(order, 1, axis=1), axis=1)
    return _one_peer(peer, "random")


def random_matchings(n: int, *, pool: int = POOL, seed: int = 0) -> Varying:
    """In each round the nodes average in random pairs: symmetric, with weights 1/2. If n is odd, one is left alone.

    Args:
        n: nodes.
        pool: how many matchings of the complete graph are drawn in advance; each round takes one of them at random.
        seed: of the pool. Which member a round takes depends on the seed of the run.

    Raises:
        ValueError: if the pool is so small that the union of its matchings is not connected.

    >>> random_matchings(6, pool=20).member(0).dense().sum(axis=1)
    Array([1., 1., 1., 1., 1., 1.], dtype=float...)
    """
    order = _shuffled(n, pool, seed)
    one, other = order[:, : n - n % 2 : 2], order[:, 1::2]
    peer = np.tile(np.arange(n), (pool, 1))
    np.put_along_axis(peer, one, other, axis=1)
    np.put_along_axis(peer, other, one, axis=1)
    return _one_peer(peer, "random")


def random_erdos_renyi(n: int, probability: float, *, pool: int = POOL, seed: int = 0) -> Varying:
    """In each round every pair is an edge with the given probability; Metropolis-Hastings weights, symmetric.

    Args:
        n: nodes.
        probability: of an edge. A graph need not be connected, and a node without edges keeps its vector.
        pool: how many graphs are drawn in advance; each round takes one of them at random.
        seed: of the pool. Which member a round takes depends on the seed of the run.

    Raises:
        ValueError: if the union of the pool's graphs is not connected.
    """
    pairs = _nodes(n) * (n - 1) // 2
    if not checks.bounded(probability, lambda p: (p > 0) & (p <= 1)):
        raise ValueError(f"probability is {probability}; expected a number above 0 and at most 1")
    rng = np.random.default_rng(checks.seed("seed", seed))
    row, column = np.tril_indices(n, -1)

    def draw() -> sp.csr_array:
        k = rng.choice(pairs, rng.binomial(pairs, probability), replace=False, shuffle=False)
        ends = np.concatenate([row[k], column[k]]), np.concatenate([column[k], row[k]])
        return graphs.metropolis(graphs.Graph(n, *ends))

    Ws = [draw() for _ in range(_members(pool))]
    return _pool(Ws, [None] * pool, "random", None, "take a larger pool or probability")


def _nodes(n: int) -> int:
    checks.affordable(f"a network of {n} nodes", 200 * checks.integer("n", n, most=10**18), "take fewer nodes")
    return checks.integer("n", n)


def _members(pool: int) -> int:
    if isinstance(pool, bool) or not isinstance(pool, int | np.integer) or pool < 1:
        raise ValueError(f"pool is a number of graphs, at least 1; got {pool!r}")
    return checks.integer("pool", pool)


def _shuffled(n: int, pool: int, seed: int) -> np.ndarray:
    """Random orders of the nodes, (pool, n)."""
    return np.random.default_rng(checks.seed("seed", seed)).permuted(
        np.tile(np.arange(_nodes(n)), (_members(pool), 1)), axis=1
    )


def _one_peer(peer: np.ndarray, order: Literal["periodic", "random"], share: float = 0.5) -> Varying:
    """Node i takes a share from node peer[k, i] under the k-th W, or keeps its vector where that is i itself."""
    nodes = np.broadcast_to(np.arange(peer.shape[1]), peer.shape)
    own = np.where(peer == nodes, 1.0, 1 - share)
    union = sp.csr_array((np.ones(peer.size), (nodes.ravel(), peer.ravel())), shape=(peer.shape[1],) * 2)
    _weights.connected(union, "the union of the pool", "take a larger pool")
    indices, values = np.stack([nodes, peer], axis=-1).astype(np.int32), np.stack([own, 1 - own], axis=-1)
    table = indices, values, indices[:, :0, 0], indices[:, :0, 0], values[:, :0, 0]
    mutual = np.array_equal(np.take_along_axis(peer, peer, axis=1), nodes)
    provides = {"doubly stochastic", "row stochastic", "column stochastic"} | ({"symmetric"} if mutual else set())
    pool = operators.NeighbourTable(*map(jnp.asarray, table), width=1)
    mixing = (lambda x, one=one: (1 - share) * x + share * x[one] for one in peer)
    exact = _exact_after(peer.shape[1], mixing) if order == "periodic" else None
    return Varying(pool, frozenset(provides) | RELIABLE, order, exact)


def _exact_after(n: int, rounds: Iterable[Callable[[np.ndarray], np.ndarray]]) -> int | None:
    """After how many rounds of mixing all nodes have the mean, to rounding; None if after none."""
    x = np.random.default_rng(0).standard_normal((n, 2))
    mean = x.mean(axis=0)
    for t, mix in enumerate(rounds, 1):
        x = mix(x)
        if np.abs(x - mean).max() < 1e-13 * np.sqrt(n):
            return t
    return None


def _pool(Ws: list[sp.csr_array], groups: list[Any], order, form: operators.Form | None, advice: str) -> Varying:
    _weights.connected(sum(abs(W) for W in Ws), "the union of the pool", advice)  # type: ignore[arg-type]
    provides = frozenset.intersection(*map(graphs.properties, Ws)) | RELIABLE
    n = len(Ws[0].indptr) - 1
    exact = _exact_after(n, (W.__matmul__ for W in Ws)) if order == "periodic" else None
    return Varying(_stack(n, Ws, groups, form), provides, order, exact)


def _stack(n: int, Ws: list[sp.csr_array], groups: list[Any], form: operators.Form | None) -> Any:
    """One operator whose arrays have the matrices on their leading axis, in the cheapest form that all allow."""
    sparse = max(W.nnz for W in Ws) <= n * max(3, n / operators.COLUMNS_PER_SLOT)
    for name in [form] if form else ["average", *(["circulant", "table"] if sparse else ["dense"])]:
        found = _tables(Ws, n) if name == "table" else _alike(Ws, groups, name)
        if found is not None:
            return found
    raise ValueError(f"the W of this network have no common {form} form; leave form=None to choose one")


def _alike(Ws: list[sp.csr_array], groups: list[Any], form: Any) -> Any:
    """The operators on top of each other, or None if one does not have the form or they are of different shapes."""
    try:
        found = [operators.operator(W, form=form, group=g) for W, g in zip(Ws, groups, strict=True)]
    except ValueError:
        return None
    kinds = {(jax.tree.structure(W), tuple(map(jnp.shape, jax.tree.leaves(W)))) for W in found}
    if len(kinds) > 1 or not jax.tree.leaves(found[0]):
        return None
    return jax.tree.map(lambda *a: jnp.asarray(np.stack(a)), *found)


def _tables(Ws: list[sp.csr_array], n: int) -> operators.NeighbourTable:
    """The tables on top of each other, of equally many slots and arcs: cut from that of the block-diagonal matrix."""
    whole = operators.operator(sp.block_diag(Ws, format="csr"), form="table")
    offset = n * np.arange(len(Ws), dtype=np.int32)
    indices = np.asarray(whole.indices).reshape(len(Ws), n, -1) - offset[:, None, None]
    weights = np.asarray(whole.weights).reshape(indices.shape)
    block, row = np.divmod(np.asarray(whole.rows), n)
    count = np.bincount(block, minlength=len(Ws))
    place = np.arange(len(block)) - (np.cumsum(count) - count)[block]
    rows, columns = np.full((2, len(Ws), count.max()), n - 1, np.int32)
    values = np.zeros(rows.shape)
    rows[block, place], columns[block, place] = row, np.asarray(whole.columns) - offset[block]
    values[block, place] = np.asarray(whole.values)
    return operators.NeighbourTable(*map(jnp.asarray, (indices, weights, rows, columns, values)), width=whole.width)
