"""Laws of graphs, weights and spectra; NetworkX is the reference for edges, closed forms for eigenvalues."""

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp

from jaxdec import graphs
from jaxdec.graphs import Graph, spectral

UNDIRECTED = {
    "ring": graphs.ring,
    "path": graphs.path,
    "star": graphs.star,
    "complete": graphs.complete,
    "torus": lambda n: graphs.torus(2, n // 2),
    "grid": lambda n: graphs.grid(2, n // 2),
    "hypercube": graphs.hypercube,
    "exponential": graphs.exponential,
    "semantic_exponential": graphs.semantic_exponential,
    "erdos_renyi": lambda n: graphs.erdos_renyi(n, 0.5, seed=1),
    "random_regular": lambda n: graphs.random_regular(n, 3, seed=1),
    "small_world": lambda n: graphs.small_world(n, 4, 0.3, seed=1),
    "tree": graphs.tree,
}
DIRECTED = {
    "directed_ring": graphs.directed_ring,
    "directed_exponential": graphs.directed_exponential,
    "random_digraph": lambda n: graphs.random_digraph(n, 0.2, seed=1),
}
EVERY = UNDIRECTED | DIRECTED
REGULAR = ["ring", "complete", "torus", "hypercube", "exponential", "semantic_exponential", "random_regular"]

undirected = pytest.mark.parametrize("build", UNDIRECTED.values(), ids=UNDIRECTED)
every = pytest.mark.parametrize("build", EVERY.values(), ids=EVERY)


def arcs(graph):
    return set(zip(graph.senders.tolist(), graph.receivers.tolist(), strict=True))


def dense(W):
    return W.toarray() if sp.issparse(W) else W


# Graphs


@every
@pytest.mark.parametrize("n", [8, 16])
def test_arcs_are_sorted_distinct_and_without_self_loops(build, n):
    graph = build(n)
    keys = graph.receivers * graph.n + graph.senders
    assert graph.n == n
    assert graph.senders.dtype == graph.receivers.dtype == np.int64
    assert np.all(np.diff(keys) > 0)
    assert np.all(graph.senders != graph.receivers)


@every
def test_every_family_is_connected_and_undirected_unless_named_directed(build):
    graph = build(16)
    assert graph.connected
    assert graph.undirected == (build in UNDIRECTED.values())


@every
def test_networkx_round_trip_keeps_the_arcs(build):
    graph = build(8)
    assert arcs(graphs.from_networkx(graph.to_networkx())) == arcs(graph)


@every
def test_from_matrix_inverts_the_weights_and_the_adjacency(build):
    graph = build(8)
    for W in (graph.adjacency, graphs.row_stochastic(graph), graphs.row_stochastic(graph).toarray()):
        assert arcs(graphs.from_matrix(W)) == arcs(graph)


@every
def test_degrees_are_the_row_and_column_sums_of_the_adjacency(build):
    graph = build(8)
    np.testing.assert_array_equal(graph.degrees, graph.adjacency.sum(axis=1))
    np.testing.assert_array_equal(graph.out_degrees, graph.adjacency.sum(axis=0))


def test_adjacency_is_indexed_by_receiver_then_sender():
    assert graphs.directed_ring(3).adjacency.toarray().tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("n", [3, 4, 7, 9])
def test_families_are_those_of_networkx(n):
    pairs = [
        (graphs.ring(n), nx.cycle_graph(n)),
        (graphs.path(n), nx.path_graph(n)),
        (graphs.star(n), nx.star_graph(n - 1)),
        (graphs.complete(n), nx.complete_graph(n)),
        (graphs.torus(3, n), nx.grid_2d_graph(3, n, periodic=True)),
        (graphs.grid(2, n), nx.grid_2d_graph(2, n)),
        (graphs.hypercube(8), nx.hypercube_graph(3)),
        (graphs.tree(15), nx.balanced_tree(2, 3)),
        (graphs.tree(n, branching=3), nx.full_rary_tree(3, n)),
        (graphs.small_world(12, 4, 0.0), nx.watts_strogatz_graph(12, 4, 0.0)),
        (graphs.directed_ring(n), nx.cycle_graph(n, create_using=nx.DiGraph)),
        (graphs.semantic_exponential(8), nx.circulant_graph(8, [1, 2, 4])),
        (graphs.exponential(7), nx.circulant_graph(7, [1, 2, 4])),
    ]
    for ours, theirs in pairs:
        assert nx.is_isomorphic(ours.to_networkx(), theirs), ours


@pytest.mark.parametrize("n", [5, 8, 12])
def test_node_i_hears_i_minus_powers_of_two_on_the_directed_exponential_graph(n):
    powers = [2**k for k in range(n) if 2**k < n]
    assert arcs(graphs.directed_exponential(n)) == {((i - p) % n, i) for i in range(n) for p in powers}


def test_torus_and_grid_number_their_nodes_row_by_row():
    assert {s for s, r in arcs(graphs.torus(3, 4)) if r == 0} == {1, 3, 4, 8}
    assert {s for s, r in arcs(graphs.grid(3, 4)) if r == 5} == {1, 4, 6, 9}


@pytest.mark.parametrize("name", ["ring", "complete", "exponential", "semantic_exponential", "directed_ring", "path"])
@pytest.mark.parametrize("n", [1, 2])
def test_one_node_has_no_arc_and_two_nodes_are_one_edge(name, n):
    assert arcs(getattr(graphs, name)(n)) == {(0, 1), (1, 0)} - ({(0, 1), (1, 0)} if n == 1 else set())


@pytest.mark.parametrize("n", [1, 2])
def test_the_remaining_families_also_have_one_and_two_nodes(n):
    built = [
        graphs.star(n),
        graphs.torus(1, n),
        graphs.grid(n, 1),
        graphs.hypercube(n),
        graphs.directed_exponential(n),
        graphs.erdos_renyi(n, 1.0),
        graphs.random_regular(n, n - 1),
        graphs.small_world(n),
        graphs.tree(n),
        graphs.random_digraph(n, 0.0),
    ]
    for graph in built:
        assert (graph.n, len(graph.senders), graph.connected, graph.undirected) == (n, 2 * (n - 1), True, True), graph
        assert graphs.properties(graphs.metropolis(graph)) >= {"symmetric"}


@pytest.mark.parametrize(
    ("graph", "group"),
    [
        (graphs.ring(6), (6,)),
        (graphs.directed_ring(6), (6,)),
        (graphs.complete(6), (6,)),
        (graphs.exponential(6), (6,)),
        (graphs.semantic_exponential(6), (6,)),
        (graphs.directed_exponential(6), (6,)),
        (graphs.torus(3, 4), (3, 4)),
        (graphs.hypercube(8), (2, 2, 2)),
    ],
    ids=repr,
)
def test_a_group_translates_the_graph_to_itself(graph, group):
    assert graph.group == group
    nodes = np.arange(graph.n).reshape(group)
    for axis in range(len(group)):
        to = np.roll(nodes, 1, axis).ravel()
        assert {(to[s], to[r]) for s, r in arcs(graph)} == arcs(graph)


@pytest.mark.parametrize("name", sorted({*UNDIRECTED, "random_digraph"} - {"ring", "complete", "torus", "hypercube"}))
def test_graphs_without_a_group_say_so(name):
    assert (EVERY[name](8).group is None) == ("exponential" not in name)


@pytest.mark.parametrize("draw", [UNDIRECTED["erdos_renyi"], UNDIRECTED["random_regular"], DIRECTED["random_digraph"]])
def test_a_seed_fixes_the_graph(draw):
    assert arcs(draw(20)) == arcs(draw(20))
    assert arcs(graphs.erdos_renyi(20, 0.5, seed=2)) != arcs(graphs.erdos_renyi(20, 0.5, seed=3))


@pytest.mark.parametrize(("n", "degree"), [(6, 2), (10, 3), (9, 4), (20, 10), (30, 15), (12, 9), (8, 7), (50, 24)])
@pytest.mark.parametrize("seed", range(5))
def test_random_regular_graphs_are_regular_and_connected_at_every_density(n, degree, seed):
    graph = graphs.random_regular(n, degree, seed)
    assert graph.connected
    assert set(graph.degrees.tolist()) == {degree}


def test_random_regular_graphs_cover_the_labelled_cubic_graphs_on_six_nodes_evenly():
    # 60 labelled prisms and 10 labelled K_{3,3}: the pairing draws every labelled graph, and none much too often.
    drawn = [frozenset(arcs(graphs.random_regular(6, 3, seed))) for seed in range(1400)]
    counts = np.array([drawn.count(graph) for graph in set(drawn)])
    assert len(counts) == 70
    assert counts.max() < 60


def test_erdos_renyi_has_the_edges_of_a_binomial_draw():
    edges = np.array([len(graphs.erdos_renyi(40, 0.3, seed).senders) / 2 for seed in range(200)])
    pairs = 40 * 39 / 2
    assert abs(edges.mean() - 0.3 * pairs) < 4 * np.sqrt(0.21 * pairs / 200)
    assert len(graphs.erdos_renyi(30, 1.0).senders) == 30 * 29


def test_random_digraph_adds_arcs_at_its_probability():
    assert len(graphs.random_digraph(30, 0.0).senders) == 30
    assert len(graphs.random_digraph(30, 1.0).senders) == 30 * 29
    extra = np.array([len(graphs.random_digraph(40, 0.1, seed).senders) - 40 for seed in range(100)])
    assert abs(extra.mean() - 0.1 * 40 * 38) < 4 * np.sqrt(0.09 * 40 * 38 / 100)


@pytest.mark.parametrize(("n", "neighbours"), [(7, 4), (6, 4), (30, 6)])
@pytest.mark.parametrize("rewiring", [0.1, 1.0])
def test_rewiring_keeps_the_number_of_edges(n, neighbours, rewiring):
    assert len(graphs.small_world(n, neighbours, rewiring).senders) == n * neighbours
    assert arcs(graphs.small_world(n, neighbours, rewiring)) != arcs(graphs.small_world(n, neighbours, 0.0)) or n < 8


@pytest.mark.parametrize(
    "build",
    [
        graphs.ring,
        graphs.star,
        graphs.tree,
        graphs.small_world,
        lambda n: graphs.torus(250, n // 250),
        lambda n: graphs.random_regular(n, 4),
        lambda n: graphs.erdos_renyi(n, 2e-4),
    ],
)
def test_a_hundred_thousand_nodes_cost_their_arcs(build):
    graph = build(100_000)
    W = graphs.metropolis(graph)
    assert graph.connected
    assert W.nnz == graph.n + len(graph.senders)
    assert graphs.properties(W) >= {"symmetric"}


def test_networkx_nodes_keep_their_numbers_or_take_the_order_of_the_graph():
    assert arcs(graphs.from_networkx(nx.DiGraph([(2, 0), (0, 1), (1, 1)]))) == {(2, 0), (0, 1)}
    assert arcs(graphs.from_networkx(nx.DiGraph([("b", "a"), ("a", "c")]))) == {(0, 1), (1, 2)}


def test_arcs_are_a_set_and_read_only():
    graph = Graph(3, [2, 0, 2], [1, 1, 1])
    assert (graph.senders.tolist(), graph.receivers.tolist()) == ([0, 2], [1, 1])
    with pytest.raises(ValueError, match="read-only"):
        graph.senders[0] = 1


# Weights


@undirected
@pytest.mark.parametrize("weights", [graphs.metropolis, graphs.max_degree])
def test_metropolis_and_max_degree_are_symmetric_doubly_stochastic(build, weights):
    W = weights(build(16))
    assert graphs.properties(W, atol=1e-15 * 16) == {
        "symmetric",
        "doubly stochastic",
        "row stochastic",
        "column stochastic",
    }


@undirected
def test_metropolis_weights_are_their_definition(build):
    graph = build(8)
    expected = np.zeros((8, 8))
    for j, i in arcs(graph):
        expected[i, j] = 1 / (1 + max(graph.degrees[i], graph.degrees[j]))
    expected += np.diag(1 - expected.sum(axis=1))
    np.testing.assert_allclose(graphs.metropolis(graph).toarray(), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", REGULAR)
def test_all_weights_agree_in_every_bit_on_regular_graphs(name):
    graph = EVERY[name](16)
    for weights in (graphs.metropolis, graphs.max_degree, graphs.uniform, graphs.column_stochastic):
        W = weights(graph)
        assert set(W.data.tolist()) == {1 / (1 + int(graph.degrees[0]))}
        assert arcs(graphs.from_matrix(W)) == arcs(graph)


@every
def test_row_and_column_stochastic_hold_on_every_graph(build):
    graph = build(16)
    assert "row stochastic" in graphs.properties(graphs.row_stochastic(graph))
    assert "row stochastic" in graphs.properties(graphs.uniform(graph))
    assert "column stochastic" in graphs.properties(graphs.column_stochastic(graph))


def test_column_stochastic_counts_the_receivers_and_the_sender_itself():
    W = graphs.column_stochastic(Graph(3, [0, 0, 1, 2], [1, 2, 0, 0]))
    np.testing.assert_allclose(W.toarray(), [[1 / 3, 1 / 2, 1 / 2], [1 / 3, 1 / 2, 0], [1 / 3, 0, 1 / 2]])


def test_uniform_weights_on_an_irregular_graph_are_only_row_stochastic():
    assert graphs.properties(graphs.uniform(graphs.star(5))) == {"row stochastic"}


@pytest.mark.parametrize("kind", [sp.csr_array, sp.coo_matrix, np.asarray])
def test_lazy_halves_the_way_to_the_identity_and_keeps_sparsity(kind):
    W = graphs.metropolis(graphs.ring(6)).toarray()
    lazy = graphs.lazy(kind(W))
    assert isinstance(lazy, np.ndarray if kind is np.asarray else sp.csr_array)
    np.testing.assert_array_equal(dense(lazy), (np.eye(6) + W) / 2)
    assert graphs.spectrum(lazy).lambda_min >= 0


# Properties


@pytest.mark.parametrize("kind", [sp.csr_array, np.asarray])
@pytest.mark.parametrize(
    ("W", "holds"),
    [
        ([[0.5, 0.5], [0.5, 0.5]], {"symmetric", "doubly stochastic", "row stochastic", "column stochastic"}),
        ([[0, 1, 0], [0, 0, 1], [1, 0, 0]], {"doubly stochastic", "row stochastic", "column stochastic"}),
        ([[0.5, 0.5], [1, 0]], {"row stochastic"}),
        ([[0.5, 1], [0.5, 0]], {"column stochastic"}),
        ([[2, -1], [-1, 2]], set()),
        ([[0, 2], [2, 0]], set()),
    ],
)
def test_properties_name_what_holds_and_nothing_else(W, holds, kind):
    assert graphs.properties(kind(np.array(W, float))) == holds


def test_properties_have_a_tolerance():
    W = np.array([[0.5, 0.5], [0.5, 0.5]]) + 1e-6
    assert graphs.properties(W) == set()
    assert "symmetric" in graphs.properties(W, atol=1e-5)


# Spectra


def test_spectra_of_the_literature():
    ring8 = graphs.spectrum(graphs.metropolis(graphs.ring(8)))
    assert (round(ring8.lambda_2, 4), round(ring8.p, 4)) == (0.8047, 0.3524)
    assert ring8.lambda_min == pytest.approx(-1 / 3, abs=1e-14)
    assert round(graphs.mixing_parameter(graphs.metropolis(graphs.ring(20))), 4) == 0.0642
    assert graphs.spectrum(graphs.metropolis(graphs.hypercube(8))) == pytest.approx((0.5, 0.75, 0.5, -0.5))
    semantic = graphs.semantic_exponential(8)
    assert set(semantic.degrees.tolist()) == {5}
    assert graphs.spectral_gap(graphs.metropolis(semantic)) == pytest.approx(2 / 3)
    assert round(graphs.mixing_parameter(graphs.metropolis(semantic)), 4) == 0.8889


@pytest.mark.parametrize("n", [3, 4, 9, 20, 2500, 3001])
def test_ring_eigenvalues_are_thirds_of_one_plus_two_cosines(n):
    l = np.sort((1 + 2 * np.cos(2 * np.pi * np.arange(n) / n)) / 3)
    found = graphs.spectrum(graphs.metropolis(graphs.ring(n)))
    assert (found.lambda_2, found.lambda_min) == pytest.approx((l[-2], l[0]), abs=1e-13)
    assert found.gap == pytest.approx(1 - max(l[-2], -l[0]), rel=1e-6)


@pytest.mark.parametrize(
    "W",
    [
        graphs.metropolis(graphs.torus(12, 20)),
        graphs.metropolis(graphs.random_regular(300, 4)),
        graphs.metropolis(graphs.star(250)),
        graphs.metropolis(graphs.tree(250)),
        graphs.lazy(graphs.metropolis(graphs.erdos_renyi(250, 0.05))),
        graphs.row_stochastic(graphs.directed_exponential(256)),
        graphs.row_stochastic(graphs.random_digraph(250, 0.05)),
        graphs.column_stochastic(graphs.random_digraph(250, 0.05)),
    ],
)
def test_the_sparse_spectrum_is_the_dense_one(W, monkeypatch):
    expected = graphs.spectrum(W)
    monkeypatch.setattr(spectral, "DENSE", 100)
    for kind in (sp.csr_array, lambda W: W.toarray()):
        np.testing.assert_allclose(graphs.spectrum(kind(W)), expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    "W",
    [
        graphs.metropolis(graphs.path(9)),
        graphs.row_stochastic(graphs.directed_exponential(9)),
        graphs.max_degree(graphs.directed_ring(5)),
        np.array([[1.2, -0.2], [-0.2, 1.2]]),
    ],
)
def test_p_is_the_best_contraction_of_the_distance_to_consensus(W):
    n = W.shape[0]
    p, J = graphs.mixing_parameter(W), np.full((n, n), 1 / n)
    X = np.random.default_rng(0).standard_normal((n, 1000))
    ratio = np.sum((W @ X - J @ X) ** 2, axis=0) / np.sum((X - J @ X) ** 2, axis=0)
    assert ratio.max() <= 1 - p + 1e-12
    worst = np.linalg.svd(dense(W) - J)[2][0]
    assert np.sum((W @ worst) ** 2) == pytest.approx(1 - p)


def test_a_disconnected_or_periodic_matrix_has_no_gap(monkeypatch):
    two_rings = graphs.from_networkx(nx.disjoint_union(nx.cycle_graph(40), nx.cycle_graph(41)))
    swap = sp.csr_array(np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert graphs.spectrum(swap)[:2] == (0, 0)
    for DENSE in (100, 50):
        monkeypatch.setattr(spectral, "DENSE", DENSE)
        assert graphs.spectrum(graphs.metropolis(two_rings))[:2] == (0, 0)


def test_averaging_mixes_at_once_and_a_single_node_has_nothing_to_mix():
    assert graphs.spectrum(np.full((5, 5), 0.2)) == pytest.approx((1, 1, 0, 0), abs=1e-15)
    assert graphs.spectrum(graphs.metropolis(graphs.ring(1))) == (1, 1, 0, 0)


def test_p_needs_both_sums_and_the_gap_only_one():
    row = graphs.spectrum(graphs.row_stochastic(graphs.random_digraph(12, 0.2)))
    column = graphs.spectrum(graphs.row_stochastic(graphs.random_digraph(12, 0.2)).T)
    assert row.gap == pytest.approx(column.gap)
    assert 0 < row.gap < 1
    assert np.isnan([row.p, row.lambda_2, row.lambda_min, column.p]).all()


# Errors


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: graphs.ring(0), r"size of ring\(0\) is 0; expected at least 1"),
        (lambda: graphs.exponential(2.5), "n is 2.5; expected an integer, at least 1"),
        (lambda: graphs.torus(0, 3), r"size of torus\(0, 3\) is 0"),
        (lambda: graphs.hypercube(6), r"power of two nodes; got n=6: take 4, or exponential\(6\)"),
        (lambda: graphs.erdos_renyi(50, 1.5), "probability is 1.5; expected a number from 0 to 1"),
        (lambda: graphs.erdos_renyi(50, 0.001), r"probability is 0.001; expected more than log\(n\)/n = 0.078"),
        (lambda: graphs.random_regular(5, 3), "no graph has 5 nodes of degree 3"),
        (lambda: graphs.random_regular(4, 4), "degree must be below n"),
        (lambda: graphs.random_regular(10, 1), r"take at least 3, or ring\(10\) for 2"),
        (lambda: graphs.small_world(10, 3), "got neighbours=3, odd"),
        (lambda: graphs.tree(5, branching=0), "branching is 0"),
        (lambda: Graph(3, [0], [0]), "self-loop at node 0"),
        (lambda: Graph(3, [0], [3]), "outside the nodes 0..2"),
        (lambda: Graph(3, [-1], [0]), "outside the nodes 0..2"),
        (lambda: Graph(3, [0.0], [1.0]), "expected integers"),
        (lambda: Graph(3, [0, 1], [1]), r"shapes \(2,\), \(1,\)"),
        (lambda: Graph(3, [0], [1], group=(3,)), r"not a Cayley graph of the group \(3,\)"),
        (lambda: Graph(3, [0, 1, 2], [1, 2, 0], group=(4,)), "not a Cayley graph"),
        (lambda: graphs.metropolis(graphs.directed_ring(4)), "use column_stochastic .* or row_stochastic"),
        (lambda: graphs.max_degree(graphs.random_digraph(8, 0.3)), "need in-degree = out-degree, but node"),
        (lambda: graphs.properties(np.ones((2, 3))), r"square, .* got shape \(2, 3\)"),
        (lambda: graphs.properties(np.full((2, 2), np.nan)), "finite"),
        (lambda: graphs.properties("ring"), "real .* got <class 'str'>"),
        (lambda: graphs.spectrum(np.ones((2, 2))), "row or column sums of one; got row sums from 2 to 2"),
    ],
)
def test_mistakes_are_named(mistake, message):
    with pytest.raises(ValueError, match=message):
        mistake()
