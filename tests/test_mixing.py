"""Every operator equals its dense matrix."""

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp

from jaxdec import algorithms, graphs, networks, problems, run
from jaxdec.networks import operators

pytestmark = pytest.mark.sampled(12)

CLOSE = {"rtol": 0, "atol": 1e-12}

GRAPHS = {
    "ring": graphs.ring(9),
    "ring of two": graphs.ring(2),
    "path": graphs.path(7),
    "star": graphs.star(40),
    "complete": graphs.complete(6),
    "torus": graphs.torus(4, 5),
    "thin torus": graphs.torus(2, 5),
    "grid": graphs.grid(3, 4),
    "hypercube": graphs.hypercube(16),
    "exponential": graphs.exponential(40),
    "directed ring": graphs.directed_ring(8),
    "directed exponential": graphs.directed_exponential(12),
    "Erdős-Rényi": graphs.erdos_renyi(15, 0.4, seed=1),
    "regular": graphs.random_regular(60, 4, seed=1),
    "small world": graphs.small_world(60, 4, 0.2, seed=1),
    "tree": graphs.tree(50),
}
FORMS = ("identity", "average", "circulant", "table", "dense")


def weights(graph):
    return graphs.metropolis(graph) if graph.undirected else graphs.column_stochastic(graph)


@jax.jit
def products(operator, vectors, tensors):
    return operator @ vectors, operator @ tensors, operator.dense(), operator.lazy() @ vectors


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.thinned(3)
def test_every_form_of_every_graph_equals_the_dense_matrix(name):
    graph = GRAPHS[name]
    W = weights(graph).toarray()
    rng = np.random.default_rng(0)
    vectors, tensors = rng.standard_normal((graph.n, 3)), rng.standard_normal((graph.n, 2, 2))
    built = 0
    for form in (None, *FORMS):
        try:
            operator = operators.operator(W, form=form, group=graph.group)
        except ValueError:
            assert form in ("identity", "average", "circulant")
            continue
        built += 1
        mixed, mixed_tensors, dense, lazy = products(operator, vectors, tensors)
        np.testing.assert_allclose(mixed, W @ vectors, **CLOSE)
        np.testing.assert_allclose(mixed_tensors, np.tensordot(W, tensors, 1), **CLOSE)
        np.testing.assert_allclose(dense, W, **CLOSE)
        np.testing.assert_allclose(lazy, (vectors + W @ vectors) / 2, **CLOSE)
        np.testing.assert_array_equal(operator.degrees(), graph.degrees)
    assert built >= 3


def test_the_cheapest_form_is_chosen():
    chosen = {name: type(operators.operator(weights(g), group=g.group)).__name__ for name, g in GRAPHS.items()}
    assert chosen["complete"] == "Average"
    assert {chosen[name] for name in ("ring", "directed ring")} == {"Circulant"}
    assert {chosen[name] for name in ("regular", "small world", "tree", "star")} == {"NeighbourTable"}
    assert chosen["Erdős-Rényi"] == "Dense"
    assert type(operators.operator(np.eye(4))).__name__ == "Identity"
    torus, hypercube = graphs.torus(8, 8), graphs.hypercube(64)
    for graph in (torus, hypercube):
        assert isinstance(operators.operator(weights(graph), group=graph.group), operators.Circulant)


def test_a_sparse_graph_of_many_nodes_costs_its_arcs():
    n = 20_000
    regular = operators.operator(graphs.metropolis(graphs.random_regular(n, 4, seed=0)))
    star = operators.operator(graphs.metropolis(graphs.star(n)))
    ring = operators.operator(graphs.metropolis(graphs.ring(n)))
    for operator in (regular, star, ring):
        size = sum(leaf.size for leaf in jax.tree.leaves(operator))
        assert size < 14 * n
        np.testing.assert_allclose(operator @ jnp.ones((n, 1)), 1.0, atol=1e-10)


def test_operators_keep_the_dtype_of_the_iterates():
    for graph in (graphs.ring(8), graphs.torus(8, 8), graphs.star(40), graphs.complete(5)):
        operator = operators.operator(weights(graph), group=graph.group)
        single = jax.tree.map(lambda a: a.astype(jnp.float32) if a.dtype == jnp.float64 else a, operator)
        assert (single @ jnp.ones((graph.n, 2), jnp.float32)).dtype == jnp.float32


def test_sums_of_one_are_exact_in_the_arithmetic_of_the_run():
    """Else the mean drifts by the miss in every round, and methods that integrate leave the minimizer."""
    for name, graph in GRAPHS.items():
        for form in ("table", "dense") if name in ("star", "small world") else ("dense",):
            with jax.enable_x64(False):
                W = np.asarray(operators.operator(weights(graph), form=form).dense())
            assert W.dtype == np.float32
            np.testing.assert_array_equal(W.astype(float).sum(axis=0), 1.0, err_msg=name)
            np.testing.assert_allclose(W, weights(graph).toarray(), rtol=0, atol=2.0**-24 * graph.n)


def test_integrating_methods_do_not_drift_in_float32():
    with jax.enable_x64(False):
        problem, network = problems.quadratic(8, 3, zeta=10.0), networks.static(graphs.lazy(weights(graphs.ring(8))))
        result = run(algorithms.D2(lr=0.1), problem, network, rounds=20_000, every=10_000)
    early, late = result.metrics["distance"][1:]
    assert late < 1e-3  # 0.03 and growing where the rows of W miss 1 by a rounding
    assert late < early + 1e-5


def test_dense_products_are_taken_at_full_precision():
    W = operators.operator(np.random.default_rng(0).dirichlet(np.ones(8), 8), form="dense")
    lowered = jax.jit(lambda W, x: W @ x).lower(W, jnp.ones((8, 3))).as_text()
    assert "precision = [HIGHEST, HIGHEST]" in lowered


def test_a_form_that_the_matrix_does_not_have_is_refused():
    W = nx.to_numpy_array(nx.path_graph(4)) / 2
    with pytest.raises(ValueError, match="no circulant form"):
        operators.operator(W, form="circulant")
    with pytest.raises(ValueError, match=r"square, \(n, n\) with n >= 1; got shape \(2, 3\)"):
        operators.operator(np.ones((2, 3)))
    with pytest.raises(ValueError, match="unknown form 'sparse'"):
        operators.operator(sp.eye_array(3), form="sparse")
