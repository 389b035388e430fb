"""Several gossip steps in a round: what they multiply, what they cost, and how fast they average."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec import algorithms as A
from jaxdec import graphs, networks, problems, run
from jaxdec.networks import operators

pytestmark = pytest.mark.sampled(3)

N, D = 12, 3
PROBLEM = problems.quadratic(N, D, zeta=1.0, noise=0.1)
RING = networks.ring(N)
X = np.random.default_rng(0).standard_normal((N, D))
FORMS = ("circulant", "table", "dense")
OPERATORS = {form: operators.operator(graphs.metropolis(graphs.ring(N)), form=form) for form in FORMS}


@pytest.mark.parametrize("form", OPERATORS)
@pytest.mark.thinned(3)
def test_a_power_is_the_matrix_power(form):
    W = OPERATORS[form]
    M = np.asarray(W.dense())
    np.testing.assert_allclose(W.power(3) @ X, np.linalg.matrix_power(M, 3) @ X, rtol=0, atol=1e-13)
    np.testing.assert_allclose(W.power(3).dense(), np.linalg.matrix_power(M, 3), rtol=0, atol=1e-13)


@pytest.mark.parametrize("rounds", [1, 2, 3, 6])
def test_a_chebyshev_polynomial_is_that_of_the_eigenvalues(rounds):
    M = np.asarray(RING.W.dense())
    values, vectors = np.linalg.eigh(M)
    low, high = values[0], values[-2]
    chebyshev = np.polynomial.Chebyshev.basis(rounds)
    scaled = lambda l: (2 * l - high - low) / (high - low)
    p = chebyshev(scaled(values)) / chebyshev(scaled(1.0))
    np.testing.assert_allclose(RING.W.chebyshev(rounds).dense(), (vectors * p) @ vectors.T, rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.asarray(RING.W.chebyshev(rounds) @ X).mean(axis=0), X.mean(axis=0), atol=1e-13)


def test_chebyshev_averages_faster_than_the_power_of_the_same_cost_on_every_graph():
    for network in (RING, networks.path(9), networks.hypercube(8), networks.star(7), networks.complete(5)):
        gap = lambda V: graphs.spectrum(np.asarray(V.dense())).gap
        assert gap(network.W.chebyshev(4)) >= gap(network.W.power(4)) - 1e-9


@pytest.mark.parametrize("made", [networks.repeated, networks.chebyshev], ids=lambda f: f.__name__)
def test_a_round_costs_as_many_messages_as_it_has_gossip_steps(made):
    network = made(RING, 3)
    for method in (A.DSGD(lr=0.05), A.GradientTracking(lr=0.05, form="atc")):
        once = run(method, PROBLEM, RING, rounds=4).cost
        found = run(method, PROBLEM, network, rounds=4).cost
        for name, times in (("grads", 1), ("vectors", 3), ("bits", 3), ("messages", 3)):
            np.testing.assert_array_equal(getattr(found, name), times * getattr(once, name))


def test_what_is_paid_for_under_loss_and_sleep_is_what_is_sent_in_each_step():
    inner = networks.sleeping(networks.lossy(RING, 0.2), 0.3)
    once = run(A.DSGD(lr=0.05), PROBLEM, inner, rounds=8, seed=3)
    found = run(A.DSGD(lr=0.05), PROBLEM, networks.repeated(inner, 2), rounds=8, seed=3)
    np.testing.assert_allclose(found.cost.vectors, 2 * once.cost.vectors, rtol=1e-12)
    np.testing.assert_array_equal(found.cost.lost, once.cost.lost)
    np.testing.assert_array_equal(found.cost.grads, once.cost.grads)


def test_one_gossip_step_is_the_network_itself():
    once = run(A.KGT(lr=0.05, local_steps=2), PROBLEM, RING, rounds=5)
    again = run(A.KGT(lr=0.05, local_steps=2), PROBLEM, networks.repeated(RING, 1), rounds=5)
    np.testing.assert_array_equal(once.state.x, again.state.x)
    np.testing.assert_array_equal(once.cost.vectors, again.cost.vectors)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "network"),
    [
        (A.NIDS(lr=0.3), networks.chebyshev(RING, 4)),
        (A.GradientTracking(lr=0.3), networks.repeated(networks.random_matchings(N), 3)),
        (A.PushDIGing(lr=0.1), networks.repeated(networks.random_digraph(N, 0.2), 2)),
        (A.AB(lr=0.1), networks.repeated(networks.push_pull(graphs.random_digraph(N, 0.3)), 2)),
    ],
    ids=lambda v: type(v).__name__,
)
def test_exact_methods_are_exact_on_repeated_networks(method, network):
    problem = problems.quadratic(N, D, zeta=1.0)
    found = run(method, problem, network, rounds=1500, every=1500)
    assert np.abs(np.asarray(found.state.x) - np.asarray(problem.minimizer)).max() < 1e-9


@pytest.mark.slow
def test_with_chebyshev_gossip_opapc_needs_fewer_gradients_on_a_path():
    problem, path = problems.quadratic(16, D, zeta=1.0, L=1.0, mu=0.1), networks.path(16)

    def grads(network: Any, chi: float) -> float:
        tau = min(1.0, np.sqrt(chi * 0.1) / 2)
        method = A.OPAPC(lr=1 / (4 * tau), momentum=tau, curvature=0.1)
        found = run(method, problem, network, rounds=1000, every=10)
        return found.cost.grads[np.argmax(found.metrics["distance"] < 1e-8)]

    spectrum = graphs.spectrum(graphs.metropolis(graphs.path(16)))
    plain = grads(path, (1 - spectrum.lambda_min) / (1 - spectrum.lambda_2))
    assert 0 < grads(networks.chebyshev(path, 8), 2.0) < 0.5 * plain


def test_many_gossip_steps_compile_as_fast_as_few():
    """On a table of neighbours each step would be computed anew for each neighbour, were they fused."""
    W = OPERATORS["table"].power(30)
    text = jax.jit(lambda x: W @ x).lower(jnp.asarray(X)).as_text()
    assert text.count("optimization_barrier") == 30


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: networks.repeated(RING, 0), "at least 1; got 0"),
        (lambda: networks.repeated(networks.server(4), 2), "network of a graph"),
        (lambda: networks.repeated(networks.repeated(RING, 2), 2), "repeated already"),
        (lambda: networks.repeated(networks.lossy(RING, 0.1, rule="arcs"), 2), "network of a graph"),
        (lambda: networks.chebyshev(networks.random_matchings(8), 2), "the same in every round"),
        (lambda: networks.chebyshev(networks.random_digraph(6, 0.3), 2), "symmetric W"),
        (lambda: run(A.RelaxedADMM(penalty=1.0), PROBLEM, networks.repeated(RING, 2), rounds=1), "arcs"),
        (lambda: networks.lossy(networks.repeated(RING, 2), 0.1), "one W"),
    ],
)
def test_bad_input_is_refused(made, says):
    with pytest.raises(ValueError, match=says):
        made()


@pytest.mark.slow
def test_it_lowers_in_float32_and_its_interval_is_swept_as_numbers():
    with jax.enable_x64(False):
        W = networks.ring(N).W.chebyshev(5)
        assert (W @ jnp.asarray(X, jnp.float32)).dtype == jnp.float32
        np.testing.assert_allclose((W @ jnp.asarray(X, jnp.float32)).mean(axis=0), X.mean(axis=0), atol=1e-6)
