"""RelaySGD on trees: uniform averages of delayed models, the minimizer as a fixed point, and nothing but trees."""

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import relay as reference
from rounds import round_of

from jaxdec import algorithms as A
from jaxdec import graphs, networks, problems, run, sweep, testing
from jaxdec.networks import lossy, sleeping

pytestmark = pytest.mark.sampled(14)

N = 7
TREES = {
    "path": networks.path(N),
    "star": networks.star(N),
    "binary": networks.tree(N),
    "dense": networks.static(graphs.star(N), form="dense"),
    "alone": networks.path(1),
    "pair": networks.path(2),
}
ancestors = st.lists(st.integers(0, 20), min_size=0, max_size=6)
of_seven = st.lists(st.integers(0, 20), min_size=N - 1, max_size=N - 1)  # one number of nodes, compiled once


def tree_of(hooks):
    """Node k + 1 hangs on one of those before it."""
    graph = nx.empty_graph(1)
    graph.add_edges_from((k + 1, a % (k + 1)) for k, a in enumerate(hooks))
    return graph


def late(graph):
    """How many rounds late node i hears of node j, (n, n)."""
    return np.maximum(0, np.asarray(nx.floyd_warshall_numpy(graph), int) - 1)


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(of_seven, st.integers(0, 5))
def test_every_node_has_the_uniform_average_of_models_as_late_as_they_are_far(hooks, seed):
    graph = tree_of(hooks)
    n, rounds = len(graph), late(graph)
    problem, method = testing.quadratic(n, 2, noise=0.0), A.RelaySGD(lr=0.2)
    r = round_of(networks.static(graph), n)
    x0 = np.random.default_rng(seed).standard_normal((n, 2))
    state, _ = method.init(problem, jnp.asarray(x0), r)
    v = []
    for t in range(2 * n):
        v.append(np.asarray(state.x - 0.2 * problem.grad(state.x)))
        state, _ = method.step(problem, state, r)
        if t >= rounds.max(initial=0):
            expected = [np.mean([v[t - rounds[i, j]][j] for j in range(n)], axis=0) for i in range(n)]
            np.testing.assert_allclose(state.x, expected, rtol=0, atol=1e-13)


@settings(max_examples=5, deadline=None)
@given(of_seven)
def test_a_sum_stands_for_as_many_models_as_are_behind_its_arc(hooks):
    graph = tree_of(hooks)
    n = len(graph)
    r = round_of(networks.static(graph), n)
    state, _ = A.RelaySGD(lr=0.2).init(testing.quadratic(n, 2, noise=0.0), jnp.ones((n, 2)), r)
    exists, sender = np.asarray(r.W.arcs.exists), np.asarray(r.W.arcs.sender)
    for i, k in zip(*np.nonzero(exists), strict=True):
        rest = graph.copy()
        rest.remove_edge(i, sender[i, k])
        assert np.all(state.m[i, k] == len(nx.node_connected_component(rest, sender[i, k])))
    assert np.all(r.W.arcs.sum(state.m) == n - 1)


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("zeta", [0.0, 1.0, 100.0])
@pytest.mark.thinned(3)
def test_it_reaches_the_minimizer_however_different_the_objectives_are(name, zeta):
    network = TREES[name]
    problem = problems.quadratic(network.n, 2, zeta=zeta)
    x0 = np.random.default_rng(0).standard_normal((network.n, 2))
    result = run(A.RelaySGD(lr=0.2), problem, network, rounds=800, every=800, x0=x0)
    assert np.abs(np.asarray(result.state.x) - np.asarray(problem.minimizer)).max() < 1e-12 * max(1, zeta)


@pytest.mark.parametrize("name", ["path", "star", "binary"])
@pytest.mark.thinned(3)
def test_from_one_start_it_is_the_published_recursion_with_counters(name):
    network, problem = TREES[name], testing.quadratic(N, 2, noise=0.0)
    grad = testing.gradients(problem, jax.random.key(0), 20)
    x0 = np.tile([1.0, -2.0], (N, 1))
    expected = reference.relay_sgd_counted(np.asarray(network.W.dense()), grad, x0, 20, lr=0.1)
    for rounds in (1, 3, 20):
        found = run(A.RelaySGD(lr=0.1), problem, network, rounds=rounds, every=rounds, x0=x0).state.x
        np.testing.assert_allclose(found, expected[rounds], rtol=0, atol=1e-12)


def test_of_two_nodes_it_is_sgd_on_the_mean():
    problem = testing.quadratic(2, 3, noise=1.0)
    relay, dsgd = (run(M(lr=0.2), problem, networks.path(2), rounds=20).state.x for M in (A.RelaySGD, A.DSGD))
    np.testing.assert_allclose(relay, dsgd, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["path", "star", "binary"])
def test_relayed_gradients_leave_nodes_apart_by_what_is_under_way(name):
    network, lr = TREES[name], 0.1
    problem = problems.quadratic(N, 2, zeta=1.0)
    x = np.asarray(run(A.RelaySGDGrad(lr=lr), problem, network, rounds=2000, every=2000).state.x)
    g = np.asarray(problem.grad(jnp.asarray(x)))
    apart = lr / N * late(nx.from_numpy_array(np.asarray(network.W.dense() != 0) & ~np.eye(N, dtype=bool))) @ g
    assert np.abs(g).max() > 0.1
    np.testing.assert_allclose(g.sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(x - x.mean(axis=0), apart - apart.mean(axis=0), rtol=0, atol=1e-12)


def test_in_float32_relayed_sums_do_not_drift():
    problem, network = problems.quadratic(32, 3, zeta=0.0), networks.path(32)
    result = run(A.RelaySGD(lr=0.1), problem, network, rounds=20_000, every=20_000, x0=np.ones(3, np.float32))
    assert result.state.x.dtype == jnp.float32
    assert float(jnp.max(jnp.abs(result.state.x))) < 1e-6


def test_steps_are_swept_in_one_program():
    found = sweep(
        A.RelaySGD(lr=0.1), problems.quadratic(N, 2), TREES["path"], over={"lr": [0.1, 0.2]}, seeds=2, rounds=5
    )
    assert found.attrs["programs"] == 1


@pytest.mark.parametrize("method", [A.RelaySGD(lr=0.1), A.RelaySGDGrad(lr=0.1)])
@pytest.mark.parametrize(
    ("network", "message"),
    [
        (networks.ring(N), r"needs a tree \(.*this network's is .*networks.path\(n\), .*minimum_spanning_tree"),
        (networks.complete(N), "needs a tree"),
        (networks.directed_ring(2 * N), "needs a tree"),
        (lossy(TREES["path"], 0.1), "needs .*a reliable network"),
        (lossy(TREES["path"], 0.1, "arcs"), "needs .*a reliable network"),
        (sleeping(TREES["star"], 0.1), "needs .*a reliable network"),
        (networks.periodic([graphs.path(N), graphs.star(N)]), "needs a fixed W.* and a tree"),
        (networks.server(N), "needs arcs .* and a tree"),
    ],
)
@pytest.mark.thinned(3)
def test_what_is_no_tree_or_loses_messages_is_refused(method, network, message):
    problem = problems.quadratic(network.n, 2)
    with pytest.raises(ValueError, match=message):
        run(method, problem, network, rounds=1)


def test_a_law_that_is_not_a_tree_is_an_error_even_where_others_are_warnings():
    with pytest.raises(ValueError, match="RelaySGD needs a tree"):
        run(A.RelaySGD(lr=0.1), problems.quadratic(N, 2), networks.ring(N), rounds=1, strict=False)


@settings(max_examples=15, deadline=None)
@given(ancestors, st.integers(0, 20), st.integers(0, 20))
def test_trees_and_no_other_graphs_are_said_to_be_trees(hooks, a, b):
    graph = tree_of(hooks)
    assert "tree" in networks.static(graph).provides
    graph.add_edge(a % len(graph), b % len(graph))
    simple = nx.Graph((u, v) for u, v in graph.edges if u != v)
    simple.add_nodes_from(graph)
    assert ("tree" in networks.static(simple).provides) == nx.is_tree(simple)
