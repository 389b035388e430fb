"""Weights by convex optimization: closed forms, their certificates checked anew, and what they buy."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxdec
from jaxdec import algorithms, graphs, networks, problems
from jaxdec.graphs import optimal

pytestmark = pytest.mark.sampled(12)

GEOMETRIC = graphs.random_geometric(60, 0.25, seed=3)


def rate(W):
    return float(np.linalg.norm(W.toarray() - 1 / W.shape[0], 2))


def rounds_to(network, level=1e-8):
    """How many rounds of averaging until the distance to the mean has shrunk by `level`."""
    x0 = np.random.default_rng(0).standard_normal((network.n, 4))
    run = jaxdec.run(algorithms.PushSumGossip(), problems.quadratic(network.n, 4), network, rounds=1000, x0=x0)
    return int(np.argmax(run.metrics["consensus"] < level**2 * run.metrics["consensus"][0]))


def random_graph(n, seed):
    tree = nx.random_labeled_tree(n, seed=seed)
    tree.add_edges_from(nx.gnp_random_graph(n, 0.2, seed=seed).edges())
    return graphs.from_networkx(tree)


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize(
    ("graph", "best"),
    [
        (graphs.ring(16), lambda n: (1 + np.cos(2 * np.pi / n)) / (3 - np.cos(2 * np.pi / n))),
        (graphs.path(9), lambda n: np.cos(np.pi / n)),  # Boyd, Diaconis, Sun, Xiao 2006, all weights 1/2
        (graphs.complete(6), lambda n: 0.0),
        (graphs.hypercube(16), lambda n: 3 / 5),
        (graphs.path(2), lambda n: 0.0),
        (graphs.ring(1), lambda n: 0.0),
    ],
    ids=lambda value: value.name if isinstance(value, graphs.Graph) else "",
)
def test_the_fastest_weights_have_the_rates_of_closed_forms(graph, best, nonnegative):
    found = graphs.fastest(graph, nonnegative=nonnegative)
    assert found.rate == pytest.approx(best(graph.n), abs=1e-5)
    assert found.bound <= best(graph.n) + 1e-12


def test_a_star_is_faster_with_weights_below_zero():
    n = 7
    assert graphs.fastest(graphs.star(n)).rate == pytest.approx((n - 1) / (n + 1), abs=1e-5)
    assert graphs.fastest(graphs.star(n), nonnegative=True).rate == pytest.approx(1 - 1 / (n - 1), abs=1e-5)


def test_the_best_constant_is_two_over_the_extreme_eigenvalues_of_the_laplacian():
    for graph in (graphs.star(5), graphs.grid(3, 4), graphs.ring(9), GEOMETRIC):
        L = np.diag(graph.degrees) - graph.adjacency.toarray()
        eigenvalues = np.linalg.eigvalsh(L)
        expected = np.eye(graph.n) - 2 / (eigenvalues[1] + eigenvalues[-1]) * L
        np.testing.assert_allclose(graphs.best_constant(graph).toarray(), expected, rtol=0, atol=1e-12)


@settings(max_examples=12, deadline=None)
@given(st.integers(2, 14), st.integers(0, 10**6), st.booleans())
def test_no_weights_beat_the_bound_and_the_weights_are_the_graphs(n, seed, nonnegative):
    graph = random_graph(n, seed)
    found, rng = graphs.fastest(graph, nonnegative=nonnegative), np.random.default_rng(seed)
    W = found.W.toarray()
    assert found.bound <= found.rate <= found.bound + 1e-5 * (1 - found.rate)
    assert found.rate == pytest.approx(np.linalg.norm(W - 1 / n, 2), abs=1e-14)
    assert np.all((W != 0) <= (graph.adjacency.toarray() + np.eye(n) > 0))
    assert np.abs(W.sum(axis=0) - 1).max() < 1e-14
    assert W.min() > -1e-12 or not nonnegative
    others = [graphs.metropolis(graph), graphs.max_degree(graph), graphs.lazy(graphs.metropolis(graph))]
    others += [] if nonnegative else [graphs.best_constant(graph)]
    assert min(map(rate, others)) >= found.bound
    u, v = optimal._edges(graph)
    for _ in range(20):
        w = -W[u, v] if rng.random() < 0.1 else W[u, v] + rng.choice([1e-4, 1e-2]) * rng.standard_normal(len(u))
        new = optimal._weighted(graph, np.maximum(w, 0) if nonnegative else w)
        if not nonnegative or new.toarray().min() >= 0:
            assert rate(new) >= found.bound


def test_a_certificate_proves_its_bound_whatever_matrices_it_is_given():
    graph, rng = graphs.erdos_renyi(10, 0.4), np.random.default_rng(0)
    (u, v), best = optimal._edges(graph), graphs.fastest(graph).rate
    chain = graphs.fastest(graph, nonnegative=True).rate
    for _ in range(200):
        P, N = (A @ A.T for A in rng.standard_normal((2, 10, int(rng.integers(1, 10)))))
        assert optimal.certified(u, v, P, N) <= best + 1e-9
        assert optimal.certified(u, v, P, N, rng.standard_normal(10)) <= chain + 1e-9


def test_weights_of_a_graph_with_a_group_are_equal_by_offset():
    network = networks.static(graphs.torus(4, 6), weights="fastest_averaging")
    assert type(network.W).__name__ == "Circulant"
    alone = graphs.Graph(24, graphs.torus(4, 6).senders, graphs.torus(4, 6).receivers)
    assert graphs.fastest(alone).rate == pytest.approx(graphs.fastest(graphs.torus(4, 6)).rate, abs=1e-5)


# What they buy.


def test_fastest_averaging_takes_1_4_times_fewer_rounds_on_a_ring_and_2_on_a_geometric_graph():
    for graph, fewer in ((graphs.ring(16), 1.4), (GEOMETRIC, 2.0)):
        metropolis, fastest = (
            rounds_to(networks.static(graph, weights=w)) for w in ("metropolis", "fastest_averaging")
        )
        assert 0 < fewer * fastest <= metropolis
        found = graphs.fastest(graph)
        assert found.rate - found.bound <= 1e-5 * (1 - found.rate)


def test_gradient_tracking_runs_with_weights_below_zero():
    network = networks.static(GEOMETRIC, weights="fastest_averaging")
    assert network.W.arcs.weight.min() < -0.01
    assert network.provides >= {"symmetric", "doubly stochastic"}
    problem = problems.quadratic(60, 3, zeta=1.0)
    result = jaxdec.run(algorithms.GradientTracking(lr=0.1), problem, network, rounds=800)
    assert result.metrics["distance"][-1] < 1e-9


def test_weights_below_zero_keep_their_laws_only_where_they_drive_no_nodes_apart():
    W = graphs.fastest_averaging(graphs.star(7))
    assert W.toarray().min() < -0.1
    assert graphs.properties(W) >= {"symmetric", "doubly stochastic"}
    assert graphs.properties(np.array([[2.0, -1.0], [-1.0, 2.0]])) == set()
    assert graphs.properties(np.array([[0.5, 0.7, -0.2], [-0.2, 0.5, 0.7], [0.7, -0.2, 0.5]])) == set()


# What is refused.


@pytest.mark.parametrize("weights", ["best_constant", "fastest_averaging", "fastest_mixing"])
def test_optimal_weights_need_an_undirected_connected_graph(weights):
    with pytest.raises(ValueError, match="directed"):
        networks.static(graphs.directed_ring(5), weights=weights)
    with pytest.raises(ValueError, match="not connected"):
        networks.static(graphs.Graph(4, [0, 1, 2, 3], [1, 0, 3, 2]), weights=weights)
    assert networks.static(nx.petersen_graph(), weights=weights).n == 10


def test_what_cannot_be_optimized_is_refused():
    with pytest.raises(
        ValueError, match=r"2995 edges, and optimal weights are computed for at most 2000; take best_constant"
    ):
        graphs.fastest(graphs.star(2996))
    for tolerance in (0.0, 2.0, float("nan"), "small"):
        with pytest.raises(ValueError, match="tolerance is a share of the spectral gap"):
            graphs.fastest(graphs.ring(5), tolerance=tolerance)
    with pytest.raises(ValueError, match="rounding forbids a tolerance of 1e-15"):
        graphs.fastest(graphs.grid(3, 3), tolerance=1e-15)
    with pytest.raises(TypeError, match="a graph of jaxdec"):
        graphs.fastest(np.eye(3))


def test_a_network_with_weights_below_zero_on_its_arcs_does_not_fail():
    network = networks.static(GEOMETRIC, weights="fastest_averaging")
    for wrap in (networks.lossy, networks.sleeping):
        for whole in (network, networks.periodic([network.W, GEOMETRIC])):
            with pytest.raises(ValueError, match=r'negative weights may drive nodes apart; .*weights="fastest_mixing"'):
                wrap(whole, 0.1)
        # Below zero on the diagonal is harmless: what is left of W has eigenvalues between those of W and 1.
        star = wrap(networks.static(graphs.star(7), weights="fastest_averaging"), 0.5)
        assert star.provides >= {"symmetric", "doubly stochastic"}
