"""Designed networks: exact averaging, laws of every family in every form, MATCHA, epidemics, and what is refused."""

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxdec
from jaxdec import algorithms, graphs, networks, problems
from jaxdec.networks.varying import Varying

pytestmark = pytest.mark.sampled(12)

CLOSE = {"rtol": 0, "atol": 1e-12}

# Rounds for n = 2..40 of the code of Takezawa et al. (2023), whose products were checked to be 11'/n.
SIMPLE = {
    1: "1 3 2 5 5 5 3 7 7 7 7 7 7 7 4 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 5 11 11 11 11 11 11 11 11",
    2: "1 1 2 3 2 4 3 2 5 5 3 5 5 5 4 5 3 6 6 6 6 6 4 6 6 3 7 7 7 7 5 7 7 7 4 7 7 7 7",
    3: "1 1 1 3 2 3 2 2 4 4 2 4 4 4 2 5 3 5 5 5 5 5 3 5 5 3 5 5 5 5 3 6 6 6 3 6 6 6 6",
    4: "1 1 1 1 2 3 2 2 2 4 2 4 4 2 2 4 3 4 2 4 4 4 3 2 5 3 5 5 3 5 3 5 5 5 3 5 5 5 3",
}
BASE = {
    1: "1 3 2 5 4 5 3 7 6 7 5 7 6 7 4 9 8 9 7 9 8 9 6 9 8 9 7 9 8 9 5 11 10 11 9 11 10 11 8",
    2: "1 1 2 3 2 4 3 2 4 5 3 5 5 4 4 5 3 6 5 5 6 6 4 6 6 3 6 7 5 7 5 6 6 7 4 7 7 6 6",
    3: "1 1 1 3 2 3 2 2 4 4 2 4 4 4 2 5 3 5 4 4 5 5 3 5 5 3 4 5 5 5 3 5 6 6 3 6 6 5 5",
    4: "1 1 1 1 2 3 2 2 2 4 2 4 4 2 2 4 3 4 2 4 4 4 3 2 5 3 4 5 3 5 3 5 5 4 3 5 5 5 3",
}


def product(Ws):
    out = np.eye(Ws[0].shape[0])
    for W in Ws:
        out = W @ out
    return out


def largest_degree(W):
    return np.count_nonzero(W.toarray() - np.diag(W.diagonal()), axis=1).max()


# Exact after finitely many rounds.


@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize(("build", "rounds"), [(graphs.base_graph, BASE), (graphs.simple_base_graph, SIMPLE)])
def test_base_graphs_average_exactly_in_the_rounds_of_their_paper(build, rounds, k):
    for n, expected in zip(range(2, 41), map(int, rounds[k].split()), strict=True):
        Ws = build(n, k)
        assert len(Ws) == expected <= 2 * np.log(n) / np.log(k + 1) + 2, n
        np.testing.assert_allclose(product(Ws), np.full((n, n), 1 / n), **CLOSE)
        assert all(graphs.properties(W, atol=1e-14) >= {"symmetric"} for W in Ws), n
        assert max(map(largest_degree, Ws)) <= k, n


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 400), st.integers(1, 12))
def test_base_graphs_of_any_size_and_degree_average_exactly(n, k):
    for build in (graphs.base_graph, graphs.simple_base_graph):
        Ws = build(n, k)
        assert len(Ws) <= 2 * np.log(n) / np.log(k + 1) + 2
        assert np.abs(product(Ws) - 1 / n).max() < 1e-12
        assert max(map(largest_degree, Ws)) <= k
    assert len(graphs.base_graph(n, k)) <= len(Ws)


def test_a_network_says_after_how_many_rounds_it_averages_exactly():
    known = {n: networks.base_graph(n, k=1).exact_after for n in (5, 6, 25, 32)}
    assert known == {5: 5, 6: 4, 25: 9, 32: 5}
    assert [networks.one_peer_exponential(n).exact_after for n in (8, 25, 32)] == [3, None, 5]
    assert networks.hyper_hypercube(12, k=2).exact_after == 3
    assert networks.periodic([graphs.ring(8), graphs.complete(8)]).exact_after == 2
    assert networks.periodic([graphs.ring(8), np.eye(8)]).exact_after is None
    assert networks.random_matchings(4).exact_after is None
    Ws = graphs.base_graph(6)
    assert networks.periodic([*Ws, np.eye(6)]).exact_after == len(Ws)


@pytest.mark.parametrize("n", [25, 32])
def test_runs_on_base_graphs_have_consensus_exactly_when_they_say(n):
    x0 = np.random.default_rng(0).standard_normal((n, 3))
    for k in (1, 2, 3, 4):
        network = networks.base_graph(n, k)
        T = network.exact_after
        result = jaxdec.run(algorithms.PushSumGossip(), problems.quadratic(n, 3), network, rounds=T, x0=x0)
        assert result.metrics["consensus"][-1] < 1e-28 < 1e-3 < result.metrics["consensus"][T - 1]
        np.testing.assert_allclose(result.state.x, np.tile(x0.mean(axis=0), (n, 1)), **CLOSE)


def test_networks_that_are_exact_and_those_that_are_not_share_a_program():
    def consensus(*given):
        swept = jaxdec.sweep(algorithms.DSGD(lr=0.1), problems.quadratic(8, 2), dict(zip("ab", given)), rounds=6)  # noqa: B905
        return swept.consensus.values

    one = networks.periodic([graphs.ring(8), np.eye(8), graphs.ring(8)], form="dense")
    other = networks.periodic([graphs.ring(8), graphs.complete(8), np.eye(8)], form="dense")
    assert (one.exact_after, other.exact_after) == (None, 2)
    assert np.isfinite(consensus(one, other)).all()


# Laws.

FAMILIES = {
    "base": networks.base_graph(12, 1),
    "simple base": networks.simple_base_graph(12, 2),
    "hyper-hypercube": networks.hyper_hypercube(12, 2),
    "D-EquiStatic": networks.d_equistatic(12, 3),
    "U-EquiStatic": networks.u_equistatic(12),
    "OD-EquiDyn": networks.od_equidyn(12),
    "OU-EquiDyn": networks.ou_equidyn(12, pool=9),
    "OU-EquiDyn of three offsets": networks.ou_equidyn(13, 3, eta=1.0, pool=9),
    "k-out": networks.random_k_out(12, 3, pool=9),
    "k-out, pushed": networks.random_k_out(12, 3, pool=9, weights="column_stochastic"),
    "k-regular": networks.random_k_regular(12, 3, pool=9),
    "dense k-regular": networks.random_k_regular(12, 9, pool=9),
    "barbell": networks.static(graphs.barbell(5, 2)),
    "two-castle": networks.static(graphs.two_castle(12)),
    "geometric": networks.static(graphs.random_geometric(12, 0.5)),
    "geometric, fastest": networks.static(graphs.random_geometric(12, 0.5), weights="fastest_averaging"),
    "karate club, constant": networks.static(graphs.social("karate_club"), weights="best_constant"),
}
SUMS = {"row stochastic": 1, "column stochastic": 0}


@pytest.mark.parametrize("network", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.thinned(4)
def test_every_w_of_every_family_keeps_its_laws_and_is_its_matrix(network):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((network.n, 2)))
    for k in range(network.size if isinstance(network, Varying) else 1):
        W = network.member(k) if isinstance(network, Varying) else network.W
        matrix = np.asarray(W.dense())
        np.testing.assert_allclose(W @ x, matrix @ x, **CLOSE)
        np.testing.assert_allclose(
            W.own[:, None] * x + W.arcs.sum(W.arcs.weight[..., None] * W.arcs.hear(x)), W @ x, **CLOSE
        )
        for law, axis in SUMS.items():
            assert (np.abs(matrix.sum(axis) - 1).max() < 1e-12) >= (law in network.provides)
        assert np.array_equal(matrix, matrix.T) >= ("symmetric" in network.provides)
        assert graphs.properties(matrix) >= network.provides - {"arcs", "reliable", "fixed"}
    laws = network.provides & {"symmetric", "doubly stochastic", "row stochastic", "column stochastic"}
    assert laws


@pytest.mark.parametrize("form", ["dense", "table"])
def test_the_form_of_a_designed_sequence_does_not_matter(form):
    Ws = graphs.base_graph(10, 2)
    x = np.random.default_rng(0).standard_normal((10, 2))
    network = networks.periodic(Ws, form=form)
    for k, W in enumerate(Ws):
        np.testing.assert_allclose(network.member(k) @ x, W @ x, **CLOSE)
    assert network.exact_after == len(Ws)


def test_equitopo_is_the_mean_of_permutations():
    n, M = 11, 4
    W = graphs.d_equistatic(n, M, seed=3).toarray()
    offsets = np.flatnonzero(W[0])[1:]
    np.testing.assert_allclose(np.diag(W), 1 / n)
    np.testing.assert_allclose(W[0, offsets] * n * M / (n - 1), np.round(W[0, offsets] * n * M / (n - 1)))
    for i in range(n):
        np.testing.assert_allclose(W[i], np.roll(W[0], i))
    np.testing.assert_allclose(graphs.u_equistatic(n, M, seed=3).toarray(), (W + W.T) / 2)


def test_the_gap_of_equitopo_does_not_shrink_with_the_number_of_nodes():
    gaps = [graphs.spectral_gap(graphs.u_equistatic(n, int(5 * np.log(n)))) for n in (50, 200, 800)]
    assert min(gaps) > 0.3
    ring = [graphs.spectral_gap(graphs.metropolis(graphs.ring(n))) for n in (50, 800)]
    assert ring[1] < ring[0] / 200


def test_one_peer_equidyn_takes_each_offset_equally_often():
    network = networks.od_equidyn(6, eta=0.6)
    assert network.size == 5
    mean = np.mean([network.member(k).dense() for k in range(5)], axis=0)
    np.testing.assert_allclose(
        mean, 0.4 * np.eye(6) + 0.6 * (5 / 6 * (np.ones((6, 6)) - np.eye(6)) / 5 + np.eye(6) / 6), **CLOSE
    )


def test_k_out_sends_to_k_others_each():
    for n, k in [(6, 5), (30, 3), (200, 4), (9, 4)]:
        network = networks.random_k_out(n, k, pool=5, weights="column_stochastic")
        for j in range(5):
            W = np.asarray(network.member(j).dense())
            np.testing.assert_array_equal(np.count_nonzero(W, axis=0), k + 1)
            assert np.all(np.diag(W) > 0)


def test_k_regular_gives_every_node_k_neighbours_that_need_not_be_connected():
    network = networks.random_k_regular(12, 1, pool=30)
    np.testing.assert_array_equal(network.member(3).degrees(), 1)
    np.testing.assert_array_equal(FAMILIES["dense k-regular"].member(3).degrees(), 9)


# Graphs.


def test_shapes_are_those_of_networkx():
    pairs = [
        (graphs.barbell(5, 3), nx.barbell_graph(5, 3)),
        (graphs.barbell(4), nx.barbell_graph(4, 0)),
        (graphs.dumbbell(8), nx.barbell_graph(4, 0)),
        (graphs.two_castle(8, 1), graphs.dumbbell(8).to_networkx()),
        (graphs.two_castle(8, 4), nx.cartesian_product(nx.complete_graph(4), nx.complete_graph(2))),
        (graphs.social("karate_club"), nx.karate_club_graph()),
        (graphs.social("florentine_families"), nx.florentine_families_graph()),
        (graphs.social("davis_southern_women"), nx.davis_southern_women_graph()),
        (graphs.social("les_miserables"), nx.les_miserables_graph()),
    ]
    for ours, theirs in pairs:
        assert nx.is_isomorphic(ours.to_networkx(), nx.Graph(theirs.edges())), ours


def test_geometric_graphs_join_the_points_within_the_radius():
    graph, where = graphs.random_geometric(40, 0.3, seed=5), graphs.points(40, 0.3, seed=5)
    near = np.linalg.norm(where[:, None] - where[None], axis=2) <= 0.3
    np.testing.assert_array_equal(graph.adjacency.toarray() > 0, near & ~np.eye(40, dtype=bool))
    assert graph.connected


# MATCHA.


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 25), st.floats(0.2, 1), st.integers(0, 10**6))
def test_matchings_are_a_colouring_of_the_edges_in_one_colour_more_than_the_degree(n, probability, seed):
    senders, receivers = np.nonzero(np.triu(np.random.default_rng(seed).random((n, n)) < probability, 1))
    graph = graphs.Graph(n, np.r_[senders, receivers], np.r_[receivers, senders])
    found = graphs.matchings(graph)
    assert len(found) <= graph.degrees.max() + 1
    assert all(len(np.unique(pairs)) == pairs.size for pairs in found)
    everything = np.concatenate([np.empty((0, 2), int), *found])
    assert sorted(map(tuple, everything.tolist())) == list(zip(senders.tolist(), receivers.tolist(), strict=True))


def test_class_one_graphs_take_as_many_matchings_as_their_degree():
    for graph in (graphs.ring(16), graphs.grid(4, 4), graphs.hypercube(16), graphs.star(6)):
        assert len(graphs.matchings(graph)) == graph.degrees.max()


def test_matcha_on_the_whole_budget_is_the_best_constant_weight():
    for graph in (graphs.ring(9), graphs.star(6), graphs.grid(3, 4)):
        plan, W = graphs.matcha(graph, 1.0), graphs.best_constant(graph)
        network = networks.matcha(graph, 1.0)
        np.testing.assert_allclose(
            network.at((), jnp.asarray(0), jax.random.key(0))[1].W.dense(), W.toarray(), atol=1e-6
        )
        assert plan.rho == pytest.approx(np.linalg.norm(W.toarray() - 1 / graph.n, 2) ** 2, rel=1e-4)


def test_matcha_spends_its_budget_and_beats_equal_probabilities():
    graph = graphs.erdos_renyi(16, 0.3)
    plan = graphs.matcha(graph, 0.4)
    assert plan.probabilities.mean() == pytest.approx(0.4, rel=1e-4)
    assert np.all((plan.probabilities >= 0) & (plan.probabilities <= 1))

    def connectivity(p):
        L = np.zeros((16, 16))
        for pairs, q in zip(plan.matchings, p, strict=True):
            for u, v in pairs:
                L[[u, v], [u, v]] += q
                L[[u, v], [v, u]] -= q
        return np.linalg.eigvalsh(L)[1]

    best, rng = connectivity(plan.probabilities), np.random.default_rng(0)
    assert best > 1.1 * connectivity(np.full(len(plan.matchings), 0.4))
    for _ in range(200):  # no feasible neighbour is better
        p = np.clip(plan.probabilities + 0.05 * rng.standard_normal(len(plan.matchings)), 0, 1)
        assert connectivity(p * min(1, 0.4 * len(p) / p.sum())) <= best * (1 + 1e-5)


def test_matcha_uses_its_matchings_as_often_as_it_says_and_contracts_as_it_says():
    network = networks.matcha(graphs.erdos_renyi(10, 0.4), budget=0.5)
    plan = graphs.matcha(graphs.erdos_renyi(10, 0.4), budget=0.5)
    keys = jax.random.split(jax.random.key(0), 4000)
    draw = lambda key: (lambda world: (world.W.dense(), world.sent))(network.at((), jnp.asarray(0), key)[1])
    Ws, sent = map(np.asarray, jax.jit(jax.vmap(draw))(keys))
    np.testing.assert_allclose(Ws, Ws.swapaxes(1, 2), atol=0)
    np.testing.assert_allclose(Ws.sum(axis=2), 1, **CLOSE)
    for (u, v), p in ((pairs[0], q) for pairs, q in zip(plan.matchings, plan.probabilities, strict=True)):
        assert np.mean(Ws[:, u, v] != 0) == pytest.approx(p, abs=4 * 0.5 / np.sqrt(4000))
    assert np.linalg.norm(np.mean(Ws @ Ws, axis=0) - 0.1, 2) == pytest.approx(plan.rho, abs=0.03)
    edges = np.array([len(pairs) for pairs in plan.matchings])
    assert sent.mean() == pytest.approx(edges @ plan.probabilities / edges.sum(), abs=0.02)


def test_a_run_on_matcha_keeps_the_mean_and_pays_for_what_it_uses():
    network = networks.matcha(graphs.ring(8), budget=0.5)
    x0 = np.random.default_rng(0).standard_normal((8, 3))
    result = jaxdec.run(algorithms.PushSumGossip(), problems.quadratic(8, 3), network, rounds=400, x0=x0)
    np.testing.assert_allclose(result.state.x, np.tile(x0.mean(axis=0), (8, 1)), atol=1e-9)
    assert result.cost.vectors[-1] == pytest.approx(200, rel=0.1)


# What is refused.

REFUSED = [
    (lambda: networks.base_graph(0), "n is 0; expected at least 1"),
    (lambda: networks.base_graph(5, 0), "k is 0; expected at least 1"),
    (lambda: networks.base_graph(5, 1.5), "k is 1.5; expected an integer"),
    (lambda: networks.hyper_hypercube(10, 2), "largest prime factor; got k=2: take base_graph"),
    (lambda: networks.d_equistatic(8, 0), "M is 0; expected at least 1"),
    (lambda: networks.d_equistatic(8, seed=-1), "seed"),
    (lambda: networks.od_equidyn(8, eta=0.0), "eta is a share of the way, above 0 and at most 1; got 0.0"),
    (lambda: networks.ou_equidyn(8, eta=1.5), "got 1.5"),
    (lambda: networks.ou_equidyn(8, pool=0), "pool is 0"),
    (lambda: networks.random_k_out(8, 8), "at most 7 others"),
    (lambda: networks.random_k_out(8, 2, weights="metropolis"), "weights is one of"),
    (lambda: networks.random_k_regular(7, 3), "take an even n or k"),
    (lambda: networks.random_k_regular(6, 1, pool=1), "larger pool"),
    (lambda: networks.matcha(graphs.ring(6), 0.0), "budget is the share of the matchings"),
    (lambda: networks.matcha(graphs.ring(6), "half"), "budget is the share of the matchings"),
    (lambda: networks.matcha(graphs.directed_ring(6), 0.5), "directed"),
    (lambda: graphs.matchings(graphs.directed_ring(6)), "undirected"),
    (lambda: graphs.barbell(0), "clique is 0"),
    (lambda: graphs.dumbbell(7), "take 6 or 8"),
    (lambda: graphs.two_castle(8, 5), "no more than 4 bridges"),
    (lambda: graphs.random_geometric(8, 0.0), "radius is a distance"),
    (lambda: graphs.random_geometric(8, float("nan")), "radius is a distance"),
    (
        lambda: graphs.random_geometric(60, 0.05),
        "disconnected in all of 100 draws: radius is 0.05; expected more than 0.1",
    ),
    (lambda: graphs.social("facebook"), "name is one of 'karate_club'"),
]


def test_matcha_is_of_a_graph_and_not_of_a_network():
    assert networks.matcha(nx.petersen_graph(), 0.5).n == 10
    with pytest.raises(TypeError, match=r"matcha is of a graph of jaxdec\.graphs; got Static"):
        networks.matcha(networks.ring(6), 0.5)


@pytest.mark.parametrize(("call", "says"), REFUSED, ids=[says for _, says in REFUSED])
def test_what_cannot_be_built_is_refused_with_what_can(call, says):
    with pytest.raises(ValueError, match=says):
        call()
