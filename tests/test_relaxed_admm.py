"""Relaxed ADMM over edges: its recursion, and the minimizer on every network that fails."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec import algorithms as A
from jaxdec import data, graphs, networks, problems, run, sweep, testing
from jaxdec.loop import Keys
from jaxdec.networks import lossy, sleeping
from jaxdec.networks.outages import GilbertElliott, Markov

pytestmark = pytest.mark.sampled(14)

N = 15
RING = networks.ring(N)
PROBLEM = problems.quadratic(N, 2, zeta=10.0, L=1.0, mu=0.5)
METHOD = A.RelaxedADMM(penalty=1.0)
NETWORKS = {
    "reliable": RING,
    "loss": lossy(RING, 0.3),
    "unknown loss": lossy(RING, 0.3, "arcs"),
    "unknown bursts": lossy(RING, GilbertElliott(0.3, 5.0), "arcs"),
    "sleep": sleeping(RING, 0.3),
    "Markov sleep": sleeping(RING, Markov(0.3, 5.0)),
    "unequal sleep": sleeping(RING, jnp.linspace(0.1, 0.6, N)),
    "sleep and unknown loss": lossy(sleeping(RING, 0.3), 0.3, "arcs"),
    "irregular, unknown loss": lossy(networks.static(graphs.erdos_renyi(N, 0.35, seed=2)), 0.3, "arcs"),
    "path, unknown loss": lossy(networks.path(N), 0.3, "arcs"),
}


def rounds_of(network, seed, rounds):
    """W of each round of a run."""
    keys = Keys.of(seed)
    memory, found = network.init(keys.network), []
    for t in range(rounds):
        key, _ = jax.random.split(jax.random.fold_in(keys.rounds, t))
        memory, world = network.at(memory, jnp.asarray(t), key)
        found.append(world.W)
    return found


def by_edges(edges, arrived, A_, b, x0, *, rho, alpha):
    """The recursion node by node for f_i(x) = x'A_i x / 2 - b_i'x; arrived[t][i, j]: what j sends reaches i."""
    n, d = x0.shape
    neighbours = [[j for j in range(n) if (i, j) in edges] for i in range(n)]
    z = {(i, j): rho * x0[i] for i in range(n) for j in neighbours[i]}
    history = [x0]
    for t in range(len(arrived)):
        x = []
        for i in range(n):
            share = rho * len(neighbours[i])
            x.append(np.linalg.solve(A_[i] + share * np.eye(d), b[i] + sum(z[i, j] for j in neighbours[i])))
        sent = {(j, i): 2 * rho * x[j] - z[j, i] for i in range(n) for j in neighbours[i]}
        for i in range(n):
            for j in neighbours[i]:
                if arrived[t][i, j]:
                    z[i, j] = (1 - alpha) * z[i, j] + alpha * sent[j, i]
        history.append(np.array(x))
    return np.array(history)


@pytest.mark.parametrize("make", [networks.path, networks.ring, networks.complete])
def test_it_is_its_recursion_edge_by_edge_whatever_is_lost(make):
    network = make(6)
    problem = testing.quadratic(6, 3, noise=0.0)
    matrix = np.asarray(network.W.dense())
    edges = {(i, j) for i in range(6) for j in range(6) if i != j and matrix[i, j] != 0}
    failing = lossy(network, 0.4, "arcs")
    arrived = []
    for W in rounds_of(failing, 3, 20):
        heard = np.zeros((6, 6), bool)
        there, sender = np.asarray(W.arcs.arrived), np.asarray(W.arcs.sender)
        for i, k in zip(*np.nonzero(there), strict=True):
            heard[i, sender[i, k]] = True
        arrived.append(heard)
    x0 = np.random.default_rng(0).standard_normal((6, 3))
    method = A.RelaxedADMM(penalty=0.7, relaxation=0.6)
    full = np.asarray(problem.A) if problem.A.ndim == 3 else np.stack([np.diag(a) for a in np.asarray(problem.A)])
    expected = by_edges(edges, arrived, full, np.asarray(problem.b), x0, rho=0.7, alpha=0.6)
    for rounds in (1, 20):
        found = run(method, problem, failing, rounds=rounds, every=rounds, seed=3, x0=x0).state.x
        np.testing.assert_allclose(found, expected[rounds], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("penalty", [0.2, 1.0, 4.0])
@pytest.mark.thinned(4)
def test_it_reaches_the_minimizer_at_any_penalty_on_networks_that_fail(name, penalty):
    rounds = 20_000 if "path" in name or penalty > 1 else 6_000
    result = run(A.RelaxedADMM(penalty=penalty), PROBLEM, NETWORKS[name], rounds=rounds, every=rounds)
    assert float(jnp.max(jnp.linalg.norm(result.state.x - PROBLEM.minimizer[None], axis=1))) < 1e-9


def test_on_logistic_regression_it_is_exact_with_newtons_proximal_steps():
    few = data.synthetic_classification(120, 4, seed=0)
    problem = problems.solve(problems.logistic(few, data.iid(few, 6), batch_size=None, l2=0.1))
    result = run(METHOD, problem, lossy(networks.ring(6), 0.3, "arcs"), rounds=400, every=400)
    assert float(result.metrics["distance"][-1]) < 1e-8


def test_the_probability_of_loss_and_the_penalty_are_swept_in_one_program():
    over = {"penalty": [0.5, 1.0], "network.loss.probability": [0.0, 0.3]}
    found = sweep(METHOD, PROBLEM, lossy(RING, 0.1, "arcs"), over=over, seeds=2, rounds=20, progress=False)
    assert found.attrs["programs"] == 1


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: A.RelaxedADMM(penalty=0.0), r"RelaxedADMM.penalty .*got 0"),
        (lambda: A.RelaxedADMM(penalty=1.0, relaxation=0.0), r"in \(0, 1\]; got 0"),
        (lambda: A.RelaxedADMM(penalty=1.0, relaxation=1.5), r"in \(0, 1\]; got 1.5"),
    ],
)
def test_numbers_out_of_range_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        run(build(), PROBLEM, RING, rounds=1)


@pytest.mark.parametrize("make", [lambda: networks.random_digraph(N, 0.2), lambda: networks.random_matchings(N + 1)])
def test_arcs_that_are_one_way_or_change_are_refused(make):
    network = make()
    with pytest.raises(ValueError, match="RelaxedADMM needs"):
        run(METHOD, problems.quadratic(network.n, 2), network, rounds=1)
