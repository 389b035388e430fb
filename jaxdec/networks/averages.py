"""The W of a network on the host: those of its rounds, and their averages."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdec import checks
from jaxdec.graphs._matrix import as_matrix
from jaxdec.networks import weights as _weights
from jaxdec.networks.designed import Matchings
from jaxdec.networks.varying import Varying

__all__ = ["AT_ONCE", "LARGEST", "Moments", "changes", "moments", "rounds"]

LARGEST = 2000  # nodes of a network whose W are averaged as dense matrices
AT_ONCE = 2**24  # numbers of them that are kept


class Moments(NamedTuple):
    """Averages over the rounds of a network."""

    mean: np.ndarray  # E W, (n, n)
    square: np.ndarray  # E W'W, (n, n)
    union: np.ndarray  # whether W_ij is ever used, (n, n)
    exact: bool  # whether they are those of the law, and not of rounds that were drawn


def changes(network: Any) -> bool:
    """Whether it is a network that has no single W; refuse one whose W is no matrix of its nodes."""
    try:
        checks.single(network)
    except ValueError:
        if "arcs" not in network.provides:
            listed = ", ".join(sorted(network.provides))
            raise ValueError(
                f"a network of a graph with one W in each round is expected; this one is {listed}"
            ) from None
        return True
    return False


def rounds(network: Any, count: int) -> list[np.ndarray]:
    """The W of the first rounds, (n, n) each; the one of a network that does not change."""
    if not changes(network):
        return [_weights.matrix(network)[0].toarray()]
    small(network.n)
    if isinstance(network, Varying):
        return [np.asarray(network.member(k).dense(), float) for k in range(min(count, network.size))]
    return [W for part in _drawn(network, count) for W in part]


def moments(network: Any, samples: int, window: int | None = None) -> Moments:
    """Averages over all W of a pool or a period; by formula for `matcha`; else over rounds that are drawn.

    Args:
        network: of a graph.
        samples: how many rounds are drawn, in a row, where the law has no formula here.
        window: how many of the first rounds alone they are of; None for all.
    """
    if not changes(network):
        W = as_matrix(_weights.matrix(network)[0]).toarray()
        return Moments(W, W.T @ W, W != 0, True)
    small(network.n)
    periodic = isinstance(network, Varying) and network.order == "periodic"
    if isinstance(network, Matchings) and window is None:
        return _of_matchings(network)
    if isinstance(network, Varying) and (window is None or periodic):
        count = network.size if window is None else checks.integer("window", window)
        Ws = [np.asarray(network.member(k % network.size).dense(), float) for k in range(count)]
        sums = np.sum([(W, W.T @ W, W != 0) for W in Ws], axis=0)
    else:
        samples = checks.integer("samples", samples) if window is None else checks.integer("window", window)
        samples = min(samples, checks.lasts(network) or samples)
        of = lambda Ws: (Ws.sum(axis=0), np.einsum("tki,tkj->ij", Ws, Ws, optimize=True), np.any(Ws != 0, axis=0))
        sums, count = np.sum([of(Ws) for Ws in _drawn(network, samples)], axis=0), samples
    mean, square, union = sums
    exact = isinstance(network, Varying) and (window is None or periodic)
    return Moments(mean / count, square / count, np.asarray(union) > 0, exact)


def small(n: int) -> None:
    """Refuse a network whose W would be too large as dense matrices."""
    if n > LARGEST:
        raise ValueError(
            f"this network has {n} nodes, and its W are averaged as dense matrices; take at most {LARGEST}"
        )


def _of_matchings(network: Matchings) -> Moments:
    arcs, n = network.base.arcs, network.n
    p, w = (np.where(arcs.exists, a, 0.0) for a in (np.asarray(network.probability)[network.matching], arcs.weight))
    receivers, senders = np.broadcast_to(np.arange(n)[:, None], p.shape), np.asarray(arcs.sender)

    def laplacian(on_arcs: np.ndarray) -> np.ndarray:
        A = np.zeros((n, n))
        np.add.at(A, (receivers, senders), on_arcs)
        return np.diag(A.sum(axis=1)) - A

    mean = np.eye(n) - laplacian(p * w)
    # The square of a matching's Laplacian is twice itself.
    return Moments(mean, mean @ mean + laplacian(2 * w**2 * p * (1 - p)), mean != 0, True)


def _drawn(network: Any, count: int) -> Iterator[np.ndarray]:
    """The W of a run's first rounds, in float64, some of them at a time, (some, n, n)."""
    start, key = jax.random.split(jax.random.key(0))
    count = min(count, checks.lasts(network) or count)

    def step(memory, t):
        memory, world = network.at(memory, t, jax.random.fold_in(key, t))
        return memory, world.W.dense()

    several, memory = jax.jit(lambda memory, ts: jax.lax.scan(step, memory, ts)), network.init(start)
    for ts in np.array_split(np.arange(count), -(-count * network.n**2 // AT_ONCE)):
        memory, Ws = several(memory, ts)
        yield np.asarray(Ws, float)
