"""PowerSGD and PowerGossip: against loops over nodes and edges, what is conserved, what they reduce to, and send."""

from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from reference import low_rank as reference
from tensors import PROBLEM, SHAPES, tensors
from undirected import same

import jaxdec
from jaxdec import algorithms as A
from jaxdec import graphs, networks, testing
from jaxdec.algorithms._matrices import matrices, orthonormal

N, D, ROUNDS = PROBLEM.n, PROBLEM.d, 20
W = graphs.lazy(graphs.metropolis(graphs.ring(N))).toarray()
GRAPH, SERVER = networks.static(W, form="dense"), networks.server(N)
X0 = np.random.default_rng(4).standard_normal((N, D))
H, B = np.asarray(PROBLEM.inner.A), np.asarray(PROBLEM.inner.b)
SGD, GOSSIP = A.PowerSGD(lr=0.1, rank=1, momentum=0.5), A.PowerGossip(lr=0.05, rank=1, consensus_lr=0.8)


def grad(i, x, t):
    return H[i] @ x - B[i]


@cache
def run(method: Any, problem: Any = PROBLEM, rounds: int = ROUNDS) -> Any:
    server = isinstance(method, A.PowerSGD | A.SGD)
    network, x0 = (SERVER, X0[0]) if server else (GRAPH, X0)
    return testing.trajectory(method, problem, network, rounds=rounds, x0=x0, seed=1)


def test_twenty_rounds_of_power_sgd_equal_the_loop_over_clients():
    found = run(SGD).states
    given = {"n": N, "lr": 0.1, "momentum": 0.5, "shape": SHAPES[0], "q": found[".q[0]"][0]}
    same(found[".x"][:, 0], reference.power_sgd(grad, X0[0], ROUNDS, **given))


def test_twenty_rounds_of_power_gossip_equal_the_loop_over_edges():
    found = run(GOSSIP).states
    given = {"lr": 0.05, "consensus_lr": 0.8, "shape": SHAPES[0], "q": found[".q[0]"][0, 0, 1]}
    same(found[".x"], reference.power_gossip(W, grad, X0, ROUNDS, **given))


def test_only_matrices_whose_factors_are_smaller_are_compressed():
    assert [(m.begin, m.end, m.rank) for m in matrices(SHAPES, 1)] == [(0, 12, 1)]
    assert matrices(SHAPES, 2) == ()
    assert [m[1:] for m in matrices(((8, 3, 3), (16, 8)), 2)] == [(8, 9, 2), (16, 8, 2)]


def test_orthonormal_columns_span_what_they_should_and_there_are_some_of_nothing():
    p = jnp.asarray(np.random.default_rng(0).standard_normal((7, 5, 2)))
    q = orthonormal(p)
    same(jnp.einsum("nij,nik->njk", q, q), np.tile(np.eye(2), (7, 1, 1)))
    same(jnp.einsum("nij,nkj,nkl->nil", q, q, p), p)
    some = orthonormal(jnp.zeros((5, 2)))
    same(some.T @ some, np.eye(2))


# What is conserved, what equals what, where they go.


@pytest.mark.slow
def test_the_mean_of_power_gossip_takes_a_step_along_the_mean_gradient():
    x = run(GOSSIP).states[".x"]
    mean_gradient = np.einsum("nij,tnj->tni", H, x) - B
    same(x[1:].mean(axis=1), (x[:-1] - 0.05 * mean_gradient[:-1]).mean(axis=1))


@pytest.mark.slow
def test_where_everything_is_sent_they_are_sgd_and_dsgd():
    same(run(A.PowerSGD(lr=0.1, rank=3)).states[".x"], run(A.SGD(lr=0.1)).states[".x"])
    same(run(A.PowerGossip(lr=0.1, rank=3)).states[".x"], run(A.DSGD(lr=0.1, form="cta")).states[".x"])


@pytest.mark.slow
def test_the_model_of_power_sgd_depends_on_the_mean_gradient_alone():
    alike = type(PROBLEM)(type(PROBLEM.inner)(*(jnp.broadcast_to(a.mean(axis=0), a.shape) for a in (H, B))), SHAPES)
    same(run(SGD).states[".x"], run(SGD, alike).states[".x"])


@pytest.mark.slow
def test_power_sgd_reaches_the_minimizer_and_power_gossip_agrees_where_there_are_no_gradients():
    same(run(A.PowerSGD(lr=0.1, rank=1), PROBLEM, 3000).states[".x"][-1, 0], PROBLEM.minimizer)
    nothing = type(PROBLEM)(type(PROBLEM.inner)(jnp.zeros_like(H), jnp.zeros_like(B)), SHAPES)
    x = run(A.PowerGossip(lr=0.1, rank=1), nothing, 20_000).states[".x"][-1]
    same(x, np.tile(X0.mean(axis=0), (N, 1)))


@pytest.mark.slow
def test_both_ends_of_an_edge_have_the_same_factors():
    found, back = run(GOSSIP).states, GRAPH.W.arcs.back
    for name in (".p[0]", ".q[0]"):
        held = np.asarray(GRAPH.W.arcs.exists)[..., None, None] * found[name][-1]
        same(back(jnp.asarray(held)), held)


@pytest.mark.slow
def test_no_factor_is_zero_where_models_begin_equal():
    found = testing.trajectory(GOSSIP, PROBLEM, GRAPH, rounds=2, x0=X0[0], seed=1).states
    held = np.asarray(GRAPH.W.arcs.exists)
    for name in (".p[0]", ".q[0]"):
        assert np.all(np.any(found[name][:, held] != 0, axis=(2, 3)))


# What they cost, and what is refused.


def test_messages_are_the_factors_and_what_is_not_compressed():
    t, rest = np.arange(ROUNDS + 1), 2 + 4
    np.testing.assert_allclose(run(SGD).cost.bits, 32 * (4 + 3 + rest) * t)
    np.testing.assert_allclose(run(SGD).cost.messages, 2 * t)
    even = (t + 1) // 2  # rounds
    np.testing.assert_allclose(run(GOSSIP).cost.bits, 32 * ((4 + rest) * even + (3 + rest) * (t - even)))


def test_a_rank_that_is_none_is_refused():
    for method in (A.PowerSGD(lr=0.1, rank=0), A.PowerGossip(lr=0.1, rank=0)):
        with pytest.raises(ValueError, match=f"{type(method).__name__}.rank"):
            jaxdec.run(method, tensors(0.0), SERVER, rounds=1)
    with pytest.raises(ValueError, match="PowerGossip needs a fixed W"):
        jaxdec.run(GOSSIP, tensors(0.0), networks.lossy(networks.ring(N), 0.1), rounds=1)
