"""Asynchronous networks: a round is one event, at which one node ends its computation and goes on with the next.

At a server the node sends what it has computed and is sent the model; on a graph it meets a neighbour, or hears all of
them. The network remembers when each node's computation ends, so that the next event is the least of n numbers,
and the whole run is one scan. A node that ends at the same time as another and has the lower number comes first.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.networks import families
from jaxdec.networks.clocks import Clocks, array, clocks
from jaxdec.networks.servers import Mean, Server
from jaxdec.types import PRNGKey, ScalarLike, World

__all__ = ["Asynchronous", "Clock", "Hearer", "Neighbours", "Pair", "asynchronous"]


class Clock(NamedTuple):
    """What an asynchronous network remembers."""

    key: UInt32[Array, "..."]  # the data of the seed's key: what is stored are numbers
    ends: Float[Array, " n"]  # when each node's current computation ends
    count: Int[Array, " n"]  # how many it has ended


@module
class Pair:
    """The mean of two rows in both of them; the others stay. It reads and writes two rows."""

    i: Int[Array, ""]
    j: Int[Array, ""]
    n: int = static()

    def __matmul__(self, x):
        return x.at[jnp.stack([self.i, self.j])].set((x[self.i] + x[self.j]) / 2)

    def dense(self) -> Float[Array, "n n"]:
        """The matrix itself, (n, n)."""
        return self @ jnp.eye(self.n)


@module
class Hearer:
    """One row averages with what it hears; the others stay. It reads as many rows as it has arcs, and writes one."""

    i: Int[Array, ""]
    sender: Int[Array, " k"]
    own: Float[Array, ""]
    weight: Float[Array, " k"]
    n: int = static()

    def __matmul__(self, x):
        heard = jnp.tensordot(self.weight, x[self.sender], axes=1, precision=jax.lax.Precision.HIGHEST)
        return x.at[self.i].set(self.own * x[self.i] + heard)

    def dense(self) -> Float[Array, "n n"]:
        """The matrix itself, (n, n)."""
        return self @ jnp.eye(self.n)


@module
class Neighbours:
    """Whom a node may meet: the first `degree`[i] entries of row i, or itself where there is nobody."""

    table: Int[Array, "n k"]
    degree: Int[Array, " n"]
    own: Float[Array, " n"]  # the weights of the graph's W, which are for those that hear all
    weight: Float[Array, "n k"]
    arcs: int = static()  # how many there are, each way
    hears: Literal["one", "all"] = static(default="one")

    def meet(self, key: PRNGKey, i: Int[Array, ""]) -> Int[Array, ""]:
        """One of the neighbours of i, uniformly: to within degree / 2^32."""
        word = jax.random.bits(key, (), jnp.uint32) % self.degree[i].astype(jnp.uint32)
        return self.table[i, word]


@module
class Asynchronous:
    """One event a round. Made by `asynchronous`."""

    n: int = static()
    speed: Clocks
    latency: ScalarLike | Float[Array | np.ndarray, " n"] = 0.0
    graph: Neighbours | None = None  # None: there is a server

    @property
    def provides(self) -> frozenset[str]:
        if self.graph is None:
            return frozenset({"asynchronous", "server"})
        if self.graph.hears == "all":
            return frozenset({"asynchronous", "hears all", "row stochastic"})
        return frozenset({"asynchronous", "symmetric", "doubly stochastic", "row stochastic", "column stochastic"})

    def init(self, key: PRNGKey) -> Clock:
        """All nodes begin at time 0, with the model that they are given."""
        nodes = jnp.arange(self.n)
        count = jnp.zeros_like(nodes)
        lasts = jax.vmap(lambda i, c: self.speed.seconds(key, i, c, self.n))(nodes, count)
        return Clock(jax.random.key_data(key), lasts + self._late, count)

    def at(self, memory: Clock, t: Int[Array, ""], key: PRNGKey) -> tuple[Clock, World]:
        """Who ends next and when, and whom it meets; its next computation begins at once."""
        seed, ends, count = jax.random.wrap_key_data(memory.key), memory.ends, memory.count
        i = jnp.argmin(ends)
        now, c = ends[i], count[i] + 1
        late = self._late[i] if self.graph is not None else 2 * self._late[i]  # to the server and back
        after = now + (self.speed.seconds(seed, i, c, self.n) + late)
        clock = Clock(memory.key, ends.at[i].set(after), count.at[i].set(c))
        rate = 1 / (1 / self.speed.rates(self.n) + (self._late if self.graph is not None else 2 * self._late))
        event = {"clients": i[None], "p": rate / jnp.sum(rate), "seconds": now}
        if self.graph is None:
            return clock, World(Mean(1), **event)
        graph, arcs = self.graph, max(1, self.graph.arcs)
        if graph.hears == "all":
            W = Hearer(i, graph.table[i], graph.own[i], graph.weight[i], self.n)
            return clock, World(W, sent=jnp.sum(graph.weight[i] != 0, dtype=now.dtype) / arcs, **event)
        return clock, World(Pair(i, self.met(seed, i, c), self.n), sent=2 / arcs if graph.arcs else 0, **event)

    def met(self, key: PRNGKey, i: Int[Array, ""], c: Int[Array, ""]) -> Int[Array, ""]:
        """Whom node i of a graph meets when it has ended c computations; `key` is of the seed."""
        graph: Any = self.graph
        others = jax.random.fold_in(key, self.n)  # of no node: a stream of its own
        return graph.meet(jax.random.fold_in(jax.random.fold_in(others, i), c), i)

    @property
    def _late(self):
        return jnp.broadcast_to(jnp.asarray(self.latency), (self.n,))

    def check(self) -> None:
        self.speed.check(self.n)
        checks.speeds("latency, in seconds,", self.latency, self.n, zero=True)


def asynchronous(
    network: Any, *, speed: Any = 1.0, latency: Any = 0.0, hears: Literal["one", "all"] = "one"
) -> Asynchronous:
    """A server with clients, or a graph, whose nodes do not wait for each other: a round is one event.

    Every event has a time, which is recorded as `seconds`. A node computes for as long as `speed` says and begins again
    at once: at a server with the model that it is sent in return, on a graph after it has met a neighbour, drawn
    uniformly. What methods make of it is in their docstrings; those that need all nodes in a round are refused.

    Args:
        network: `networks.server(n)`, or a network of an undirected graph that does not change, such as
            `networks.ring(n)`. Or a graph itself.
        speed: how many computations a node ends in a second, a number or (n,); or a model of `networks.clocks`:
            `Exponential`, `LogNormal`, or a `Trace` of what was measured.
        latency: how many seconds a message takes, for all nodes or for each, (n,). At a server a node pays it on the
            way up and on the way down; on a graph once.
        hears: on a graph, whom a node hears in its event: "one", a neighbour with whom it averages, both ways and
            whatever the weights; or "all", of whose vectors it has the last, with the weights of W, and tells nothing.

    In float32 a time has 24 bits: when nodes have ended 1e5 computations each, it is known to a hundredth of one.

    Raises:
        TypeError: if the network is neither, or the speed is no model.
        ValueError: if clients of the server are absent otherwise, the graph is directed or changes, speeds are not
            positive, or a trace has another number of nodes.

    >>> from jaxdec import algorithms, networks, problems, run
    >>> network = asynchronous(networks.server(4), speed=[1.0, 1.0, 1.0, 0.5])
    >>> sorted(network.provides)
    ['asynchronous', 'server']
    >>> result = run(algorithms.AsynchronousSGD(lr=0.1), problems.quadratic(4, 3), network, rounds=7)
    >>> result.to_xarray().seconds.values.tolist()  # the slow one ends its first when the others end their second
    [0.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0]
    """
    checks.choice("hears", hears, ("one", "all"))
    if isinstance(network, Server):
        if "reliable" not in network.provides:
            raise ValueError(
                "who takes part in an event is who ends a computation: wrap networks.server(n) without participation "
                "and cohort"
            )
        if hears == "all":
            raise ValueError('hears="all" is of graphs: the clients of a server hear the server')
        graph = None
    else:
        network = network if isinstance(network, families.Static) else _of_a_graph(network)
        if "symmetric" not in network.provides or "arcs" not in network.provides:
            raise ValueError(
                "two nodes that meet average with each other: give an undirected graph that does not change, such as "
                f"networks.ring(8); this network provides {', '.join(sorted(network.provides)) or 'nothing'}"
            )
        graph = _neighbours(network.W, hears)
    late = array("latency", latency) if isinstance(latency, list | tuple | np.number) else latency
    found = Asynchronous(network.n, clocks(speed), late, graph)
    found.check()
    return found


def _of_a_graph(graph: Any) -> Any:
    """The network of a graph. What is a network, and neither a server's nor a fixed graph's, is refused."""
    if checks.is_a("network", graph):
        raise ValueError(
            "an event is at a server or on a graph that does not change; wrap networks.server(n), or a network such as "
            f"networks.ring(8), and not {type(graph).__name__}"
        )
    return families.static(graph)


def _neighbours(W: Any, hears: Literal["one", "all"]) -> Neighbours:
    sender, exists, weight = (np.asarray(a) for a in (W.arcs.sender, W.arcs.exists, W.arcs.weight))
    first = np.argsort(~exists, axis=1, kind="stable")  # those that are, before the padding
    degree = exists.sum(axis=1)
    k = max(1, degree.max(initial=0))
    table, weight = (np.take_along_axis(a, first, axis=1)[:, :k] for a in (sender, np.where(exists, weight, 0)))
    if not table.shape[1]:
        table, weight = np.arange(len(table))[:, None], np.zeros((len(table), 1))
    few = np.maximum(1, degree).astype(np.int32)  # who has none meets itself
    arrays = (jnp.asarray(a) for a in (table.astype(np.int32), few, W.own, np.asarray(weight, float)))
    return Neighbours(*arrays, arcs=int(degree.sum()), hears=hears)
