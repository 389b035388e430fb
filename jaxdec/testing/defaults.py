"""What a method is tested on where nothing is given, and what is made of it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxdec import checks, graphs, loop, networks, problems
from jaxdec._module import module, static
from jaxdec.networks.clocks import Fixed
from jaxdec.networks.events import Asynchronous, Neighbours
from jaxdec.networks.families import PushPull
from jaxdec.networks.operators import Dense
from jaxdec.types import PRNGKey, World

__all__ = [
    "Asleep",
    "default_network",
    "gradients",
    "keys",
    "matrices",
    "on",
    "quadratic",
    "quiet",
    "renamed_events",
    "round_keys",
    "starts",
]

N, D, NOISE = 6, 3, 0.5  # as many nodes as no other dimension has: a leading axis of n is then one of the nodes


def quadratic(n: int = N, d: int = D, *, noise: float = NOISE, seed: int = 3) -> problems.Quadratic:
    """Heterogeneous in curvature and minimizer, with full matrices: no two nodes agree on anything."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, d, d)))[0]
    A = np.einsum("nij,nj,nkj->nik", Q, rng.uniform(0.5, 1.0, (n, d)), Q)
    return problems.Quadratic(
        jnp.asarray((A + A.transpose(0, 2, 1)) / 2), jnp.asarray(rng.standard_normal((n, d))), noise
    )


def quiet(problem: Any) -> Any:
    """The problem with exact gradients, if it is a quadratic; else as it is."""
    return dataclasses.replace(problem, noise=0.0) if isinstance(problem, problems.Quadratic) else problem


def starts(problem: Any) -> Array:
    """Different points, around the problem's own start, for all nodes, (n, d)."""
    scatter = np.random.default_rng(4).standard_normal((problem.n, problem.d)) / np.sqrt(problem.d)
    return problem.init(jax.random.key(0))[None] + jnp.asarray(scatter)


def default_network(algorithm: Any, n: int) -> Any:
    """A network of n nodes with the laws that a method requires, and no more symmetry than they ask for.

    Raises:
        ValueError: if there is none for these laws.
    """
    facts = checks.facts(algorithm)
    if "asynchronous" in facts.requires:
        graph = networks.server(n) if "server" in facts.requires else _irregular(n)
        pairs = "server" in facts.requires or "doubly stochastic" in facts.requires
        speed = np.random.default_rng(5).uniform(0.5, 2.0, n)
        network = networks.asynchronous(graph, speed=speed, hears="one" if pairs else "all")
    elif "server" in facts.requires:
        # Half of the clients take part where the method says what becomes of the others.
        partial = facts.absent == "own" and n > 1
        network = networks.server(n, cohort=n // 2 if partial else None)
    elif "push-pull" in facts.requires:
        network = networks.push_pull(graphs.random_digraph(n, 0.3))
    elif facts.requires & {"symmetric", "doubly stochastic"} or not facts.requires & {"column stochastic"}:
        network = _irregular(n)
    else:
        network = networks.random_digraph(n, 0.2)
    if missing := facts.requires - (checks.sent(network) if facts.stands_loss else network.provides):
        raise ValueError(
            f"{type(algorithm).__name__} requires {', '.join(sorted(missing))}, for which there is no default network; "
            "pass network=..., one that it is meant for"
        )
    return network


def _irregular(n: int) -> Any:
    """An irregular graph, made lazy, which keeps the least eigenvalue of its W above -1/3."""
    if n == 1:
        return networks.static(np.ones((1, 1)))
    import networkx as nx

    clique = max(1, 2 * n // 3)
    graph = graphs.from_networkx(nx.lollipop_graph(clique, n - clique))
    return networks.static(graphs.lazy(graphs.metropolis(graph)))


def renamed_events(network: Any, order: np.ndarray) -> tuple[Any, Any]:
    """An asynchronous network on which nothing is drawn, and the same whose node k is node order[k] of the first.

    On a graph a node meets the same neighbour again and again.
    """
    n, rate = network.n, np.random.default_rng(5).uniform(0.5, 2.0, network.n)
    met = np.minimum(np.arange(n) ^ 1, n - 1)
    after = np.argsort(order)

    def made(rate: np.ndarray, met: np.ndarray) -> Asynchronous:
        ones = jnp.ones(n, int)
        if network.graph is None:
            return Asynchronous(n, Fixed(rate), 0.0, None)
        half = jnp.full((n, 1), 0.5)
        graph = Neighbours(jnp.asarray(met)[:, None], ones, half[:, 0], half, n, network.graph.hears)
        return Asynchronous(n, Fixed(rate), 0.0, graph)

    return made(rate, met), made(rate[order], after[met[order]])


def on(W: Any, change: Callable[[np.ndarray], np.ndarray]) -> Any:
    """The dense operator of a changed matrix; of both, if W is a pair."""
    if isinstance(W, PushPull):
        return PushPull(on(W.R, change), on(W.C, change))
    return Dense(jnp.asarray(change(np.asarray(W.dense()))))


def matrices(W: Any) -> Any:
    """The matrix of W, or the pair of them."""
    return (matrices(W.R), matrices(W.C)) if isinstance(W, PushPull) else np.asarray(W.dense())


@module
class Asleep:
    """A graph network on which in round t the nodes t and t + 2, modulo n, sleep; what they are not sent stays."""

    awake: Any  # the network on which nobody sleeps
    provides: frozenset[str] = static()

    @property
    def n(self) -> int:
        return self.awake.n

    def init(self, key: PRNGKey) -> Any:
        return self.awake.init(key)

    def at(self, memory: Any, t: Int[Array, ""], key: PRNGKey) -> tuple[Any, World]:
        memory, world = self.awake.at(memory, t, key)
        node = jnp.arange(self.n)
        active = (node != t % self.n) & (node != (t + 2) % self.n)

        def left(W: Any, rule: Any) -> Any:
            return W.masked(active[:, None] & W.arcs.hear(active), rule)

        if isinstance(world.W, PushPull):
            W = PushPull(left(world.W.R, "self"), left(world.W.C, "sender"))
        else:
            W = left(world.W, "self" if "row stochastic" in self.provides else "sender")
        return memory, world._replace(W=W, active=active)


def gradients(problem: Any, key_data: PRNGKey, count: int) -> Callable[..., np.ndarray]:
    """grad(i, x, k): node i's stochastic gradient number k at x, for references; `count` of them."""
    if isinstance(problem, problems.Quadratic):
        A, b, noise = np.asarray(problem.A), np.asarray(problem.b), np.zeros((count, problem.n, problem.d))
        if problem.noise is not None:
            drawn: Any = jax.vmap(lambda k: problem.sample(key_data, k))(jnp.arange(count))
            noise = np.asarray(problem.noise * drawn)
        times = (lambda i, x: A[i] @ x) if A.ndim == 3 else (lambda i, x: A[i] * x)
        return lambda i, x, k: times(i, x) - b[i] + noise[k, i]
    every = jax.jit(lambda x, k: problem.grad(jnp.broadcast_to(x, (problem.n, problem.d)), problem.sample(key_data, k)))
    return lambda i, x, k: np.asarray(every(jnp.asarray(x), k))[i]


def keys(seed: int) -> loop.Keys:
    """The streams of a seed."""
    return loop.Keys.of(seed)


def round_keys(streams: loop.Keys, t: Any) -> Any:
    """The keys of the network and of the step in round t."""
    return jax.random.split(jax.random.fold_in(streams.rounds, t))
