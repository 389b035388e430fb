"""Designed graphs: sequences of weights that average exactly after finitely many rounds, and EquiTopo.

Each is a tuple of (n, n) sparse matrices, one for each round, or one matrix.
"""

from functools import cache
from math import gcd, log

import numpy as np
import scipy.sparse as sp

from jaxdec import checks
from jaxdec.graphs.families import ATTEMPTS, _integer

__all__ = ["base_graph", "d_equistatic", "hyper_hypercube", "simple_base_graph", "u_equistatic"]

Edges = tuple[np.ndarray, np.ndarray, np.ndarray]  # the two ends of each edge, and its weight


# Takezawa, Sato, Bao, Niwa, Yamada 2023. Written after the authors' code, of which the numbers of rounds are tested.


def hyper_hypercube(n: int, k: int = 1) -> tuple[sp.csr_array, ...]:
    """The k-peer hyper-hypercube: n is a product of numbers up to k + 1, and a round averages along one of them.

    It averages exactly after as many rounds as there are factors, which are as few as can be. Takezawa, Sato, Bao,
    Niwa, Yamada 2023, Beyond exponential graph, arXiv:2305.11420, Algorithm 1.

    Args:
        n: nodes.
        k: how many others a node hears in a round, at most.

    Raises:
        ValueError: if n has a prime factor above k + 1.

    >>> [W.toarray()[0].round(2).tolist() for W in hyper_hypercube(6, k=2)]
    [[0.5, 0.5, 0.0, 0.0, 0.0, 0.0], [0.33, 0.0, 0.33, 0.0, 0.33, 0.0]]
    """
    n, k = _sizes(n, k)
    if _factors(n, k + 1) is None:
        raise ValueError(
            f"a hyper-hypercube of {n} nodes needs k + 1 at least {_largest_prime(n)}, its largest prime factor; got "
            f"k={k}: take base_graph({n}, k={k}), which is of any number of nodes"
        )
    return _matrices(n, [[edges] for edges in _cube(np.arange(n), k)])


def simple_base_graph(n: int, k: int = 1) -> tuple[sp.csr_array, ...]:
    """The Simple Base-(k+1) Graph: averages any number of nodes exactly, none of which hears more than k in a round.

    Of the digits of n in base k + 1 each is a group of nodes, which averages by hyper-hypercubes; then every group in
    turn hands its sum to those after it, and averages again. Takezawa, Sato, Bao, Niwa, Yamada 2023, Beyond exponential
    graph, arXiv:2305.11420, Algorithm 2.

    Args:
        n: nodes.
        k: how many others a node hears in a round, at most.

    Returns:
        Symmetric, doubly stochastic W of at most 2 log_{k+1}(n) + 2 rounds, whose product is 11'/n.
    """
    n, k = _sizes(n, k)
    return _matrices(n, _simple(np.arange(n), k))


def base_graph(n: int, k: int = 1) -> tuple[sp.csr_array, ...]:
    """The Base-(k+1) Graph: as `simple_base_graph`, in fewer rounds where n has factors up to k + 1.

    With n = p q, p the product of those prime factors, p Simple Base-(k+1) Graphs of q nodes run side by side, then q
    hyper-hypercubes of p nodes; or the Simple Base-(k+1) Graph of n, if that takes fewer rounds. Takezawa, Sato, Bao,
    Niwa, Yamada 2023, Beyond exponential graph, arXiv:2305.11420, Algorithm 3.

    Args:
        n: nodes.
        k: how many others a node hears in a round, at most: 1 for Base-2, 4 for Base-5.

    Returns:
        Symmetric, doubly stochastic W of at most 2 log_{k+1}(n) + 2 rounds, whose product is 11'/n.

    >>> [len(base_graph(n, k=1)) for n in (5, 6, 8, 25)], len(base_graph(25, k=4))
    ([5, 4, 3, 9], 2)
    """
    n, k = _sizes(n, k)
    p = _smooth_part(n, k + 1)
    simple, nodes = _simple(np.arange(n), k), np.arange(n).reshape(p, n // p)
    side_by_side = [[_over(nodes, e) for e in edges] for edges in _simple(np.arange(n // p), k)]
    both = side_by_side + [[_over(nodes.T, edges)] for edges in _cube(np.arange(p), k)]
    return _matrices(n, simple if len(simple) < len(both) else both)


def _cube(nodes: np.ndarray, k: int) -> list[Edges]:
    """The rounds of the hyper-hypercube over the given nodes."""
    rounds, stride = [], 1
    for factor in _factors(len(nodes), k + 1) or ():
        rounds.append(_averaging(nodes.reshape(-1, factor, stride).swapaxes(1, 2).reshape(-1, factor)))
        stride *= factor
    return rounds


def _over(rows: np.ndarray, edges: Edges) -> Edges:
    """The edges between positions in a row, in each of the rows of nodes."""
    u, v, w = edges
    return rows[:, u].ravel(), rows[:, v].ravel(), np.tile(w, len(rows))


def _simple(nodes: np.ndarray, k: int) -> list[list[Edges]]:
    """The rounds of the Simple Base-(k+1) Graph over the given nodes."""
    if _factors(len(nodes), k + 1) is not None:
        return [[edges] for edges in _cube(nodes, k)]
    blocks = _by_digits(nodes, k)  # of each digit the blocks of a power of k + 1 nodes, (digit, power)
    groups = [block.ravel() for block in blocks]
    whole = [_cube(group, k) for group in groups]
    inner = [[_over(block, edges) for edges in _cube(np.arange(block.shape[1]), k)] for block in blocks]
    first, last = len(whole[0]), len(groups) - 1
    rounds = []
    for m in range(first + 1 + len(inner[0])):
        edges: list[Edges] = []
        giving = m - first  # the group that hands its sum to those after it
        for l, group in enumerate(groups):
            if giving < 0:
                edges += [whole[l][m % len(whole[l])]] if whole[l] else []
            elif l == giving and l < last:
                later = np.concatenate(groups[l + 1 :])
                share = len(group) / (len(group) + len(later))
                edges.append(_handing(blocks[l], later, share))
                edges += _chunks(blocks[l][:, : blocks[l].shape[1] - len(later)].ravel(), k + 1)
            elif l < giving or l == last == giving:
                step, cube = m - first - min(l + 1, last), inner[l] or whole[l]
                edges += [cube[step % len(cube)]] if cube else []
            # A group after the one that gives is among its `later`.
        rounds.append(edges)
    return rounds


def _by_digits(nodes: np.ndarray, k: int) -> list[np.ndarray]:
    """The nodes by the digits of their number in base k + 1, highest first, without those that are 0."""
    power, blocks = 1, []
    while power * (k + 1) <= len(nodes):
        power *= k + 1
    while len(nodes):
        digit = len(nodes) // power
        if digit:
            blocks.append(nodes[: digit * power].reshape(digit, power))
        nodes, power = nodes[digit * power :], power // (k + 1)
    return blocks


def _averaging(groups: np.ndarray) -> Edges:
    """The plain average in each group, a row of (groups, size)."""
    size = groups.shape[1]
    one, other = np.triu_indices(size, 1)
    u, v = groups[:, one].ravel(), groups[:, other].ravel()
    return u, v, np.full(len(u), 1 / size)


def _handing(blocks: np.ndarray, later: np.ndarray, share: float) -> Edges:
    """Each of the later nodes takes `share` from a group, and as much from each of its blocks, of different nodes."""
    givers = blocks[:, blocks.shape[1] - len(later) :]
    takers = np.broadcast_to(later, givers.shape)
    return givers.ravel(), takers.ravel(), np.full(givers.size, share / len(blocks))


def _chunks(nodes: np.ndarray, size: int) -> list[Edges]:
    """Averages among as many as may hear each other; those who are left average among themselves."""
    full, rest = np.split(nodes, [len(nodes) - len(nodes) % size])
    return [_averaging(full.reshape(-1, size)), *([_averaging(rest[None])] if len(rest) else [])]


def _matrices(n: int, rounds: list[list[Edges]]) -> tuple[sp.csr_array, ...]:
    """One for each round; a single node, which takes none, has one nevertheless."""
    return tuple(_matrix(n, edges) for edges in rounds or [[]])


def _matrix(n: int, edges: list[Edges]) -> sp.csr_array:
    """I - Σ w (e_u - e_v)(e_u - e_v)'."""
    u, v, w = (np.concatenate([part[j] for part in edges] or [np.empty(0)]) for j in range(3))
    u, v = u.astype(np.int64), v.astype(np.int64)
    own = 1 - np.bincount(u, w, n) - np.bincount(v, w, n)
    nodes = np.arange(n)
    entries = (np.r_[own, w, w], (np.r_[nodes, u, v], np.r_[nodes, v, u]))
    return sp.csr_array(entries, shape=(n, n))


def _sizes(n: int, k: int) -> tuple[int, int]:
    return _integer("n", n, least=1), _integer("k", k, least=1)


@cache
def _factors(n: int, most: int) -> tuple[int, ...] | None:
    """The fewest factors of n that are at most `most`, smallest first; None where there are none."""
    if n == 1:
        return ()
    rests = {f: _factors(n // f, most) for f in range(2, min(n, most) + 1) if n % f == 0}
    found = [(*rest, f) for f, rest in rests.items() if rest is not None]
    return tuple(sorted(min(found, key=len))) if found else None


def _smooth_part(n: int, most: int) -> int:
    """The largest divisor of n whose prime factors are at most `most`."""
    found, rest = 1, n
    for f in range(2, min(n, most) + 1):
        while rest % f == 0:
            found, rest = found * f, rest // f
    return found


def _largest_prime(n: int) -> int:
    f, rest = 2, n
    while f * f <= rest:
        f, rest = (f, rest // f) if rest % f == 0 and rest > f else (f + 1, rest)
    return rest


# Song, Li, Jin, Shi, Yan, Yin, Yuan 2022.


def d_equistatic(n: int, M: int | None = None, seed: int = 0) -> sp.csr_array:
    """D-EquiStatic: the mean of M graphs drawn at random, in each of which node i hears i + a for one a; directed.

    Its spectral gap does not shrink with n at M of the order of log n. Song, Li, Jin, Shi, Yan, Yin, Yuan 2022,
    Communication-efficient topologies for decentralized learning with O(1) consensus rate, arXiv:2210.07881; written
    after the authors' code.

    Args:
        n: nodes.
        M: how many offsets a are drawn, with replacement; None takes ceil(log2 n), as many as a node of the exponential
            graph hears.
        seed: of the offsets, which are drawn again until the graph is connected.

    Returns:
        W = 1/(nM) Σ_a (I + (n-1) P_a), P_a the permutation by a: doubly stochastic.
    """
    n, offsets = _offsets(n, M, seed)
    nodes = np.arange(n)
    receivers = np.tile(nodes, len(offsets))
    senders = (receivers + np.repeat(offsets, n)) % n
    share = (n - 1) / n / max(1, len(offsets))
    W = sp.csr_array((np.full(len(senders), share), (receivers, senders)), shape=(n, n))
    return (W + sp.diags_array(np.full(n, 1 / n))).tocsr()


def u_equistatic(n: int, M: int | None = None, seed: int = 0) -> sp.csr_array:
    """U-EquiStatic: the mean of a D-EquiStatic W and its transpose, symmetric; see `d_equistatic`."""
    W = d_equistatic(n, M, seed)
    return ((W + W.T) / 2).tocsr()


def _offsets(n: int, M: int | None, seed: int) -> tuple[int, np.ndarray]:
    """Offsets from 1 to n - 1 that together reach every node."""
    n = _integer("n", n, least=1)
    M = max(1, int(np.ceil(log(n, 2)))) if M is None else _integer("M", M, least=1)
    checks.seed("seed", seed)
    rng = np.random.default_rng(seed)
    for _ in range(ATTEMPTS):
        offsets = rng.integers(1, n, size=M) if n > 1 else np.empty(0, np.int64)
        if gcd(n, *offsets.tolist()) == 1:
            return n, offsets
    raise ValueError(f"{M} offsets out of 1..{n - 1} left {n} nodes disconnected in all of {ATTEMPTS} draws; take more")
