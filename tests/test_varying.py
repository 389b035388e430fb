"""Varying networks, directed networks and pairs (R, C): what they promise holds of every W that they hand out."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import X0, D, N, gradients, quadratic

import jaxdec
from jaxdec import algorithms, compressors, graphs, networks, problems
from jaxdec.loop import Keys, cast
from jaxdec.networks import operators
from jaxdec.networks.varying import Varying

pytestmark = pytest.mark.sampled(14)

CLOSE = {"rtol": 0, "atol": 1e-12}
X = np.random.default_rng(1).standard_normal((N, D))
RING, STAR = graphs.metropolis(graphs.ring(N)).toarray(), graphs.metropolis(graphs.star(N)).toarray()
DIGRAPHS = [graphs.random_digraph(N, 0.1, seed=s) for s in range(3)]


@cache
def members(network: Varying) -> np.ndarray:
    """Every W of a network, (size, n, n)."""
    return np.asarray(jax.jit(jax.vmap(lambda k: network.member(k).dense()))(jnp.arange(network.size)))


FAMILIES = {
    "matchings": networks.random_matchings(N, pool=7),
    "matchings of an odd number": networks.random_matchings(5, pool=7),
    "erdos_renyi": networks.random_erdos_renyi(N, 0.3, pool=7),
    "erdos_renyi with hubs' arcs": networks.random_erdos_renyi(40, 0.04, pool=7),
    "one_peer_random": networks.one_peer_random(N, pool=7),
    "one_peer_exponential": networks.one_peer_exponential(N),
    "periodic circulants": networks.periodic([graphs.torus(4, 4), graphs.lazy(graphs.metropolis(graphs.torus(4, 4)))]),
    "periodic digraphs": networks.periodic(DIGRAPHS, weights="column_stochastic"),
    "periodic pulls": networks.periodic(DIGRAPHS, weights="row_stochastic"),
    "periodic, mixed": networks.periodic([RING, networks.directed_ring(N), operators.operator(STAR)]),
}
each = pytest.mark.parametrize("network", FAMILIES.values(), ids=FAMILIES)


@each
def test_a_varying_network_provides_what_every_w_has(network):
    has = [graphs.properties(W) for W in members(network)]
    assert network.provides == frozenset.intersection(*has) | {"reliable", "arcs"}
    assert frozenset.intersection(*has)


@each
def test_every_w_equals_its_dense_matrix(network):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((network.n, 2)))
    both = jax.vmap(lambda k: (network.member(k) @ x, network.member(k) @ x[:, 0]))
    mixed, first = jax.jit(both)(np.arange(network.size))
    np.testing.assert_allclose(mixed, members(network) @ x, **CLOSE)
    np.testing.assert_allclose(first, members(network) @ x[:, 0], **CLOSE)


@each
def test_its_union_is_connected_and_its_members_differ(network):
    Ws = members(network)
    assert graphs.from_matrix(np.abs(Ws).sum(axis=0)).connected
    assert np.abs(Ws - Ws[0]).max() > 0.1


@pytest.mark.parametrize("form", [None, "table", "dense"])
def test_a_periodic_network_takes_its_w_in_turn(form):
    Ws = [RING, np.eye(N), STAR]
    network = networks.periodic(Ws, form=form)
    for t in range(7):
        world = network.at((), jnp.asarray(t), jax.random.key(t))[1]
        np.testing.assert_allclose(world.W.dense(), Ws[t % 3], **CLOSE)
        np.testing.assert_allclose(world.W @ X, Ws[t % 3] @ X, **CLOSE)
        assert world.active is None
        assert world.p == 1


def test_the_form_of_a_periodic_network_is_the_cheapest_that_all_have():
    def form(Ws, **options):
        return type(networks.periodic(Ws, **options).pool)

    assert form([graphs.ring(32), networks.ring(32)]) is operators.Circulant
    assert form([graphs.ring(32), graphs.directed_ring(32)], weights="row_stochastic") is operators.NeighbourTable
    assert form([graphs.ring(32), graphs.star(32)]) is operators.NeighbourTable
    assert form([graphs.ring(4), graphs.complete(4)]) is operators.Dense
    assert form([networks.complete(8), networks.complete(8)]) is operators.Average
    with pytest.raises(ValueError, match="no common circulant form"):
        form([graphs.ring(8), graphs.star(8)], form="circulant")


def test_a_star_in_a_period_costs_its_arcs():
    network = networks.periodic([graphs.star(20_000), graphs.ring(20_000)])
    assert sum(a.size for a in jax.tree.leaves(network.pool)) < 20 * 20_000


def test_only_the_union_of_a_period_must_be_connected():
    pairs, others = np.kron(np.eye(2), np.full((2, 2), 0.5)), np.eye(4)
    others[np.ix_([1, 2], [1, 2])] = 0.5
    assert networks.periodic([pairs, others]).size == 2
    with pytest.raises(ValueError, match=r"union of the pool is not connected: it falls into 2 parts"):
        networks.periodic([pairs, np.eye(4)])
    with pytest.raises(ValueError, match="larger pool"):
        networks.random_matchings(8, pool=1)


@pytest.mark.parametrize("n", [4, 16])
def test_one_peer_exponential_averages_exactly_in_log2_n_rounds(n):
    network, tau = networks.one_peer_exponential(n), int(np.log2(n))
    assert network.size == tau
    for start in range(tau):
        product = np.eye(n)
        for t in range(start, start + tau):
            product = np.asarray(network.at((), jnp.asarray(t), jax.random.key(0))[1].W.dense()) @ product
        np.testing.assert_allclose(product, np.full((n, n), 1 / n), **CLOSE)


def test_one_peer_exponential_follows_the_offsets_of_the_exponential_graph():
    network = networks.one_peer_exponential(6)
    assert network.size == 3
    for k, W in enumerate(members(network)):
        np.testing.assert_array_equal(W, (np.eye(6) + np.roll(np.eye(6), 2**k, axis=0)) / 2)
    assert np.abs(members(network)[0] @ members(network)[1] @ members(network)[2] - 1 / 6).max() > 0.01


def test_matchings_pair_everybody_and_all_pairs_alike():
    even, odd = (members(networks.random_matchings(n, pool=1000)) for n in (6, 5))
    assert np.all(np.isin(even, (0, 0.5)))
    assert np.all(np.isin(odd, (0, 0.5, 1)))
    np.testing.assert_array_equal(np.sum(even == 0.5, axis=(1, 2)), 12)
    np.testing.assert_array_equal(np.trace(odd == 1, axis1=1, axis2=2), 1)
    for Ws in (even, odd):
        off = Ws.mean(axis=0)[np.triu_indices(Ws.shape[1], 1)] * 2
        np.testing.assert_allclose(off, 1 / 5, atol=5 * np.sqrt(0.16 / 1000))


def test_one_peer_random_sends_to_one_and_hears_one():
    Ws = members(networks.one_peer_random(5, pool=1000))
    for axis in (1, 2):
        np.testing.assert_array_equal(np.sum(Ws == 0.5, axis=axis), 2)
    np.testing.assert_array_equal(np.trace(Ws, axis1=1, axis2=2), 2.5)
    off = 2 * Ws.mean(axis=0)[~np.eye(5, dtype=bool)]
    np.testing.assert_allclose(off, 1 / 4, atol=5 * np.sqrt(3 / 16 / 1000))


def test_erdos_renyi_draws_metropolis_weights_with_the_given_probability():
    Ws = members(networks.random_erdos_renyi(8, 0.3, pool=500))
    edges = np.mean(Ws[:, *np.triu_indices(8, 1)] > 0, axis=0)
    np.testing.assert_allclose(edges, 0.3, atol=5 * np.sqrt(0.21 / 500))
    for W in Ws[:20]:
        np.testing.assert_allclose(W, graphs.metropolis(graphs.from_matrix(W)).toarray(), **CLOSE)


def test_a_random_network_draws_its_w_uniformly_from_the_key():
    network = FAMILIES["one_peer_random"]
    keys = jax.random.split(jax.random.key(0), 7000)
    Ws = jax.jit(jax.vmap(lambda key: network.at((), jnp.asarray(0), key)[1].W.dense()))(keys)
    drawn = np.all(np.asarray(Ws)[:, None] == members(network), axis=(2, 3))
    np.testing.assert_array_equal(drawn.sum(axis=1), 1)
    np.testing.assert_allclose(drawn.sum(axis=0), 1000, atol=5 * np.sqrt(1000))


@pytest.mark.parametrize("name", ["periodic, mixed", "erdos_renyi"])
def test_a_run_follows_the_network_of_each_round(name):
    network, problem = FAMILIES[name], quadratic(0.5)
    result = jaxdec.run(algorithms.DSGD(lr=0.3), problem, network, rounds=20, x0=X0, seed=7)
    keys = Keys.of(7)
    grad, x = gradients(problem, keys.data, 20), np.tile(X0, (N, 1))
    for t in range(20):
        key_network, _ = jax.random.split(jax.random.fold_in(keys.rounds, t))
        W = np.asarray(network.at((), jnp.asarray(t), key_network)[1].W.dense())
        x = W @ np.stack([x[i] - 0.3 * grad(i, x[i], t) for i in range(N)])
    np.testing.assert_allclose(result.state.x, x, **CLOSE)


def test_seeds_of_a_sweep_see_the_networks_of_their_runs():
    network, problem = FAMILIES["matchings"], quadratic(0.5)
    method = algorithms.GradientTracking(lr=0.1)
    swept = jaxdec.sweep(method, problem, network, seeds=[3, 4], rounds=20, every=20, x0=X0)
    for seed in (3, 4):
        alone = jaxdec.run(method, problem, network, rounds=20, every=20, x0=X0, seed=seed)
        np.testing.assert_allclose(swept.consensus.sel(seed=seed), alone.metrics["consensus"], **CLOSE)


@each
def test_weights_take_the_dtype_of_the_iterates(network):
    W = cast(network, jnp.float32).at((), jnp.asarray(1), jax.random.key(0))[1].W
    assert (W @ jnp.ones((network.n, 2), jnp.float32)).dtype == jnp.float32


# Directed networks.


def test_a_random_digraph_is_column_stochastic_unless_asked_otherwise():
    graph = graphs.random_digraph(10, 0.2, seed=3)
    push = networks.random_digraph(10, 0.2, seed=3)
    pull = networks.random_digraph(10, 0.2, seed=3, weights="row_stochastic")
    np.testing.assert_allclose(push.W.dense(), graphs.column_stochastic(graph).toarray(), **CLOSE)
    np.testing.assert_allclose(pull.W.dense(), graphs.row_stochastic(graph).toarray(), **CLOSE)
    always = {"fixed", "reliable", "arcs"}
    assert (push.provides, pull.provides) == ({"column stochastic"} | always, {"row stochastic"} | always)


def test_the_semantic_exponential_graph_has_no_wrapped_arcs():
    network = networks.semantic_exponential(7)
    np.testing.assert_array_equal(network.W.degrees(), 4)
    assert "symmetric" in network.provides


def test_push_pull_pairs_row_and_column_stochastic_weights():
    graph = graphs.random_digraph(N, 0.2)
    network = networks.push_pull(graph)
    R, C = network.at((), jnp.asarray(0), jax.random.key(0))[1].W
    np.testing.assert_allclose(R.dense(), graphs.row_stochastic(graph).toarray(), **CLOSE)
    np.testing.assert_allclose(C.dense(), graphs.column_stochastic(graph).toarray(), **CLOSE)
    again = networks.push_pull(R, C)
    np.testing.assert_array_equal(again.W.C.dense(), C.dense())
    assert (again.n, again.provides) == (N, {"push-pull", "fixed", "reliable"})


def test_push_pull_needs_one_node_that_reaches_all_and_is_reached_by_all():
    leaves = np.arange(1, 4)
    out, into = graphs.Graph(4, np.zeros(3, int), leaves), graphs.Graph(4, leaves, np.zeros(3, int))
    problem = problems.quadratic(4, 3, zeta=10.0)
    leader = networks.push_pull(out, into)  # neither is strongly connected, but node 0 leads in both
    result = jaxdec.run(algorithms.AB(lr=0.1), problem, leader, rounds=600, every=600)
    assert np.abs(result.state.x - np.asarray(problem.minimizer)[None]).max() < 1e-10
    for R, C in ((out, out), (into, into), (into, out)):
        with pytest.raises(ValueError, match="no node both reaches all others along the arcs of R"):
            networks.push_pull(R, C)


# What does not fit is refused with the name of what does.

PUSHED, PULLED = (networks.static(DIGRAPHS[0], weights=f"{sums}_stochastic") for sums in ("column", "row"))
PAIR = networks.push_pull(DIGRAPHS[0])
METHODS = r"PushDIGing.*StochasticGradientPush"
KGT, DSGD = algorithms.KGT(lr=0.1, local_steps=2), algorithms.DSGD(lr=0.1)
CHOCO = algorithms.ChocoSGD(lr=0.1, consensus_lr=0.1, compressor=compressors.TopK(k=1))
PUSH_DIGING, AB = algorithms.PushDIGing(lr=0.1), algorithms.AB(lr=0.1)
MISFITS = [
    (KGT, PUSHED, rf"KGT needs a doubly stochastic W \(.*column stochastic, fixed, reliable \(row sums.*{METHODS}"),
    (KGT, PULLED, rf"row stochastic \(row sums.*No algorithm here.*networks.push_pull.graph. is for AB, .*{METHODS}"),
    (KGT, PAIR, r"is fixed, push-pull, reliable\. .*This network is for AB, CPP$"),
    (PUSH_DIGING, PULLED, r"PushDIGing needs a column stochastic W \(.*weights=\"column_stochastic\""),
    (PUSH_DIGING, PAIR, r"is fixed, push-pull, reliable\. .*This network is for AB, CPP$"),
    (AB, PUSHED, r"AB needs a push-pull pair .*networks.push_pull\(graph\)"),
    (AB, networks.ring(N), r"AB needs a push-pull pair .*networks.push_pull\(graph\)"),
    (CHOCO, networks.directed_ring(N), rf"ChocoSGD needs a symmetric W \(.*This network is for .*DSGD.*{METHODS}"),
    (DSGD, FAMILIES["periodic digraphs"], rf"over its 3 W: row sums in \[0.*{METHODS}"),
    (DSGD, networks.periodic([RING, PUSHED.W]), r"column stochastic, reliable \(over its 2 W: row sums in \[0"),
]


@pytest.mark.parametrize(("method", "network", "message"), MISFITS)
def test_a_network_that_does_not_fit_is_refused_with_what_does(method, network, message):
    with pytest.raises(ValueError, match=message):
        jaxdec.run(method, quadratic(0.0), network, rounds=1)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: networks.periodic([]), "a list of weight matrices or graphs"),
        (lambda: networks.periodic([RING, np.eye(3)]), "same nodes; got 3 and 6"),
        (lambda: networks.periodic(DIGRAPHS), "metropolis weights need an undirected graph"),
        (lambda: networks.random_matchings(6, pool=0), "pool is a number of graphs, at least 1; got 0"),
        (lambda: networks.one_peer_exponential(0), "n is an integer of at least 1; got 0"),
        (lambda: networks.random_erdos_renyi(6, 0.0), "probability is 0.0"),
        (lambda: networks.push_pull(PUSHED.W), r"R of a push-pull network has .* row sums of one; .* in \[0\."),
        (lambda: networks.push_pull(PULLED.W), r"C of a push-pull network has .* column sums of one"),
        (lambda: networks.push_pull(PULLED.W, np.eye(3)), "R has 6 nodes and C has 3"),
    ],
)
def test_bad_input_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
