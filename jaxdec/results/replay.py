"""The rounds of a run once more, without what it computed: who took part, who heard whom, and what was lost.

What a network does is a function of the seed, so that it need not be recorded.
"""

from collections.abc import Iterator
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec._module import Keys, cast
from jaxdec.types import World

__all__ = ["Heard", "durations", "replay"]

AT_ONCE = 2**22  # slots of arcs of the rounds that are taken at a time


class Heard(NamedTuple):
    """What went over the arcs in a round: those on which something is sent, by senders, of each by receivers."""

    present: np.ndarray  # (n,), who takes part
    sent: float  # the share of all arcs on which something is sent
    sender: np.ndarray  # (arcs,); none at a server
    receiver: np.ndarray  # (arcs,)
    arrived: np.ndarray  # (arcs,), whether it was not lost
    once: bool  # whether a server's message is paid for once


def replay(network: Any, seed: int, rounds: int, dtype: Any) -> Iterator[Heard]:
    """The rounds of a run of this seed, one after another, as `loop.simulate` has them.

    Args:
        network: as it was given to `run`.
        seed: of the run.
        rounds: how many.
        dtype: of the run's iterates.
    """
    network, keys = cast(network, dtype), Keys.of(seed)
    memory = _begun(network, keys.network)
    server = "server" in network.provides
    if {"fixed", "reliable"} <= network.provides:
        _, found = _rounds(network, memory, keys.rounds, 0, count=1, server=server)
        yield from repeat(_heard(jax.tree.map(np.asarray, found), 0), rounds)
        return
    slots = sum(a.size for a in jax.tree.leaves(jax.eval_shape(partial(_seen, network, server), memory, 0, keys)))
    count = max(1, min(rounds, AT_ONCE // slots))
    for t in range(0, rounds, count):
        memory, found = _rounds(network, memory, keys.rounds, t, count=count, server=server)
        found = jax.tree.map(np.asarray, found)
        for k in range(min(count, rounds - t)):
            yield _heard(found, k)


def durations(compute: Any, seed: int, n: int) -> Any:
    """A function of how many computations each of the n nodes has ended, (..., n): how long their next ones take.

    They are those of an asynchronous network of this seed with these clocks, in float64.
    """
    key, nodes = Keys.of(seed).network, np.arange(n)

    def last(counts: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            flat = _durations(compute, key, nodes, np.reshape(counts, (-1, n)))
            return np.asarray(flat, np.float64).reshape(counts.shape)

    return last


@jax.jit
def _durations(compute, key, nodes, counts):
    one = lambda i, c: jnp.asarray(compute.seconds(key, i, c, nodes.shape[0]), float)
    return jax.vmap(jax.vmap(one), in_axes=(None, 0))(nodes, counts)


@jax.jit
def _begun(network, key):
    return network.init(key)


@partial(jax.jit, static_argnames=("count", "server"))
def _rounds(network, memory, key, t, *, count, server):
    keys = Keys(None, None, None, key, None)
    step = lambda memory, t: _seen(network, server, memory, t, keys)
    return jax.lax.scan(step, memory, t + jnp.arange(count))


def _seen(network: Any, server: bool, memory: Any, t: Any, keys: Keys) -> Any:
    """The memory after round t, and who takes part in it, what is sent, by whom, and what arrives."""
    memory, world = network.at(memory, t, keys.of_round(t)[0])
    nodes = jnp.arange(network.n)
    sender, used, arrived = (nodes[:, None], *2 * (jnp.zeros((network.n, 1), bool),)) if server else _arcs(world)
    return memory, (_present(world, nodes), jnp.asarray(world.sent, float), sender, used, arrived, world.once)


def _present(world: World, nodes: Any) -> Any:
    if world.clients is not None:
        return jnp.zeros(nodes.shape, bool).at[world.clients].set(True)
    return jnp.ones(nodes.shape, bool) if world.active is None else world.active


def _arcs(world: World) -> tuple[Any, Any, Any]:
    """Of the slots of all nodes, (n, k), the senders, where something is sent, and where it arrives."""
    views = [W.arcs for W in (world.W if isinstance(world.W, tuple) else (world.W,))]
    used = [a.exists if a.used is None else a.exists & a.used for a in views]
    masks = list(zip(used, (u & a.arrived for u, a in zip(used, views, strict=True)), strict=True))
    if len(views) == 1:
        return views[0].sender, *masks[0]
    n = world.W[0].n  # of a pair: over one graph or the other, and over both but once
    nodes = jnp.arange(n)
    joined = lambda which: sum(
        jnp.zeros((n, n), int).at[nodes[:, None], a.sender].add(m[which]) for a, m in zip(views, masks, strict=True)
    )
    return jnp.broadcast_to(nodes, (n, n)), joined(0) > 0, joined(1) > 0


def _heard(found: Any, k: int) -> Heard:
    present, sent, sender, used, arrived, once = (a[k] for a in found)
    receiver, slot = np.nonzero(used)
    sender = np.broadcast_to(sender, used.shape)[receiver, slot]
    order = np.argsort(sender, kind="stable")
    arrived = arrived[receiver, slot]
    return Heard(present, float(sent), sender[order], receiver[order], arrived[order], bool(once))
