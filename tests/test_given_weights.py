"""Weights that come with a graph are taken or refused, never dropped; graphs that do not fit are refused at once."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec import checks, data, graphs, networks, problems

pytestmark = pytest.mark.sampled(14)

KINDS = [nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph]


def weighted(kind, *edges):
    graph = kind()
    graph.add_weighted_edges_from(edges)
    return graph


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_a_graph_are_not_dropped_unless_that_is_said(kind):
    graph = weighted(kind, (0, 1, 0.2), (1, 2, 0.3), (2, 0, 0.1))
    with pytest.raises(ValueError, match=r"the edge from 0 to 1 has the weight 0\.2, and a Graph has no weights"):
        networks.static(graph, weights="row_stochastic")
    with pytest.raises(ValueError, match="weights='given'"):
        graphs.from_networkx(graph)
    assert graphs.from_networkx(graph, drop_weights=True).n == 3


@pytest.mark.parametrize("loop", [{"weight": 0.5}, {}])
def test_a_weight_of_a_self_loop_is_one_too(loop):
    graph = nx.cycle_graph(3)
    graph.add_edge(1, 1, **loop)
    if loop:
        with pytest.raises(ValueError, match=r"from 1 to 1 has the weight 0\.5"):
            networks.static(graph)
    else:
        assert networks.static(graph).n == 3


def test_weights_of_one_and_other_attributes_say_nothing():
    ones = nx.from_numpy_array(np.ones((4, 4)) - np.eye(4))
    assert len(graphs.from_networkx(ones).senders) == 12
    graph = nx.cycle_graph(4)
    nx.set_edge_attributes(graph, 7.0, "length")
    assert graphs.from_networkx(graph).undirected


SIZES = st.integers(2, 6)


@settings(max_examples=30, deadline=None)
@given(n=SIZES, seed=st.integers(0, 99), symmetric=st.booleans())
def test_a_matrix_comes_back_from_the_graph_that_has_its_weights(n, seed, symmetric):
    rng = np.random.default_rng(seed)
    W = rng.random((n, n)) * (rng.random((n, n)) < 0.7)
    W = (W + W.T) / 2 if symmetric else W
    np.fill_diagonal(W, 0)
    W /= 2 * max(W.sum(axis=1).max(), W.sum(axis=0).max(), 1e-9)
    own = np.diag(1 - W.sum(axis=1))
    kind = nx.Graph if symmetric else nx.DiGraph
    without, loops = (nx.from_numpy_array(A.T, create_using=kind) for A in (W, W + own))
    for graph in (without, loops):
        np.testing.assert_allclose(graphs.given(graph).toarray(), W + own, atol=1e-15)


def test_a_network_of_given_weights_has_them_and_what_they_promise():
    ring = nx.cycle_graph(4)
    nx.set_edge_attributes(ring, 0.3, "weight")
    network = networks.static(ring, weights="given")
    np.testing.assert_allclose(np.asarray(network.W.dense())[0], [0.4, 0.3, 0, 0.3], rtol=1e-7)
    assert {"symmetric", "doubly stochastic"} <= network.provides
    arcs = weighted(nx.DiGraph, ("a", "b", 0.5), ("b", "a", 0.25))
    np.testing.assert_allclose(np.asarray(networks.static(arcs, weights="given").W.dense()), [[0.75, 0.25], [0.5, 0.5]])
    parallel = weighted(nx.MultiGraph, (0, 1, 0.25), (0, 1, 0.25))
    assert graphs.given(parallel).toarray().tolist() == [[0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (nx.cycle_graph(3), "the edge from 0 to 1 has no weight; weights='given' needs a finite number"),
        (weighted(nx.Graph, ("a", "b", "far")), "the edge from 'a' to 'b' has the weight 'far'"),
        (weighted(nx.Graph, (0, 1, np.inf)), "the edge from 0 to 1 has the weight inf"),
        (weighted(nx.Graph, ("a", "b", 2.5)), "the weights that node 'a' hears sum to 2.5, and nothing is left"),
        (graphs.ring(4), r"Graph\('ring\(4\)'.* has no weights of its own; give a rule"),
    ],
)
def test_what_has_no_weights_to_mix_with_is_refused(graph, message):
    with pytest.raises(ValueError, match=message):
        networks.static(graph, weights="given")


HUGE = 10**11
TOO_LARGE = [
    lambda n: graphs.ring(n),
    lambda n: graphs.directed_ring(n),
    lambda n: graphs.complete(n),
    lambda n: graphs.torus(n, n),
    lambda n: graphs.hypercube(2 ** n.bit_length()),
    lambda n: graphs.exponential(n),
    lambda n: graphs.semantic_exponential(n),
    lambda n: graphs.directed_exponential(n),
    lambda n: graphs.path(n),
    lambda n: graphs.star(n),
    lambda n: graphs.grid(n, 3),
    lambda n: graphs.tree(n),
    lambda n: graphs.erdos_renyi(n, 0.1),
    lambda n: graphs.random_regular(n, 4),
    lambda n: graphs.small_world(n),
    lambda n: graphs.random_digraph(n, 0.0),
    lambda n: networks.ring(n),
    lambda n: networks.one_peer_exponential(n),
    lambda n: networks.one_peer_random(n),
    lambda n: networks.random_matchings(n),
    lambda n: networks.random_erdos_renyi(n, 0.1),
    lambda n: problems.quadratic(n, 3),
    lambda n: networks.torus(3, n),
    lambda n: data.synthetic_classification(n, 10),
    lambda n: data.synthetic_regression(10, n),
    lambda n: data.iid(range(n), 4),
    lambda n: data.quantity(range(n), 4, 1.0),
    lambda n: data.dirichlet([0, 1], n, 1.0, min_samples=0),
]


@pytest.mark.parametrize("make", TOO_LARGE)
@pytest.mark.parametrize("n", [HUGE, 10**17])
def test_what_does_not_fit_is_refused_with_the_memory_it_would_take(make, n):
    with pytest.raises(ValueError, match=r"would take [0-9.e+]+ [TPE]B of memory, and this machine has .*; take fewer"):
        make(n)


def test_graphs_that_fit_are_made_as_they_were(monkeypatch):
    monkeypatch.setattr(checks.room, "machine", lambda: 10**6)
    assert graphs.complete(100).n == 100
    with pytest.raises(ValueError, match=r"complete\(200\) would take 2\.55 MB of memory, and this machine has 1 MB"):
        graphs.complete(200)
    with pytest.raises(ValueError, match=r"the table of 3 nodes, the largest with 99998 samples, would take 1\.2 MB"):
        data.from_lists([[0], [1], np.arange(2, 100_000)], 100_000)
