"""Constants against dense Hessians and samples, limits against the eigenvalues of a whole round, rates."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from jax.flatten_util import ravel_pytree

from jaxdec import algorithms as A
from jaxdec import data, graphs, module, networks, problems, theory
from jaxdec.types import Round

pytestmark = pytest.mark.sampled(12)

# Constants.

cancer, digits = data.breast_cancer(), data.digits()
line = data.synthetic_regression(90, 4, noise=0.3, seed=1)
skewed = data.dirichlet(cancer, n=4, alpha=0.5, seed=2)
REGRESSION = problems.least_squares(line, data.iid(line, n=7), batch_size=8, l2=0.01)
LOGISTIC = problems.logistic(cancer, skewed, batch_size=8, l2=0.1)


@jax.jit
def _hessians(problem, x):
    x = jnp.broadcast_to(x, (problem.n, problem.d))
    return jax.vmap(lambda v: problem.hvp(x, jnp.broadcast_to(v, x.shape)), out_axes=2)(jnp.eye(problem.d))


def hessians(problem, x):
    """The nodes' Hessians at one point, (n, d, d)."""
    return np.asarray(_hessians(problem, jnp.asarray(x)))


def at_zero(problem):
    return theory.constants(problem, np.zeros(problem.d))


def test_least_squares_has_the_curvature_of_its_hessians():
    H = np.linalg.eigvalsh(hessians(REGRESSION, 0.0))
    found = at_zero(REGRESSION)
    assert pytest.approx(H.max(), rel=1e-12) == found.L
    mean = hessians(REGRESSION, 0.0).mean(axis=0)
    assert found.mu == pytest.approx(np.linalg.eigvalsh(mean)[0], rel=1e-10)


def test_the_curvature_of_logistic_regression_is_largest_where_all_scores_are_zero():
    found = at_zero(LOGISTIC)
    assert pytest.approx(np.linalg.eigvalsh(hessians(LOGISTIC, 0.0)).max(), rel=1e-12) == found.L
    assert found.mu == 0.1
    assert np.linalg.eigvalsh(hessians(LOGISTIC, 0.1)).max() < found.L


def test_bounds_on_the_curvature_hold_everywhere():
    rng = np.random.default_rng(0)
    three = data.dataset(rng.standard_normal((60, 3)), rng.integers(3, size=60), classes=3)
    for problem in (
        dataclasses.replace(LOGISTIC, nonconvex=0.3),
        problems.softmax(three, data.iid(three, n=3), l2=0.1, nonconvex=0.05),
    ):
        found = at_zero(problem)
        for scale in (0.0, 0.02, 0.5, 1.0):
            H = hessians(problem, scale * rng.standard_normal(problem.d))
            assert np.linalg.eigvalsh(H).max() < found.L * (1 + 1e-12)
            assert np.linalg.eigvalsh(H.mean(axis=0)).min() > found.mu - 1e-12


@module
class Bare(problems.Problem):
    """A problem of which nothing is known but its gradients."""

    inner: Any

    n, d = property(lambda self: self.inner.n), property(lambda self: self.inner.d)

    def sample(self, key, i):
        return self.inner.sample(key, i)

    def grad(self, x, batch=None):
        return self.inner.grad(x, batch)

    def hvp(self, x, v, batch=None):
        return self.inner.hvp(x, v, batch)


@pytest.mark.parametrize("d", [5, 40])
def test_the_constants_of_a_problem_of_which_nothing_is_known_come_from_its_gradients(d):
    known = problems.quadratic(6, d, zeta=3.0, noise=0.7, mu=0.1, L=2.0)
    exact = theory.constants(known)
    found = theory.constants(Bare(known), known.minimizer)
    assert pytest.approx(float(jnp.max(known.A)), rel=1e-12) == exact.L
    assert exact.sigma == pytest.approx(0.7, rel=1e-12)
    assert found[:3] == pytest.approx(exact[:3], rel=1e-5)
    assert found.sigma == pytest.approx(0.7, rel=0.05)  # 1000 draws


def test_the_curvature_of_a_network_is_that_of_its_dense_hessian():
    rng = np.random.default_rng(0)
    few = data.dataset(rng.standard_normal((40, 3)), rng.integers(2, size=40), classes=2)
    network = linen.Sequential([linen.Dense(4), linen.tanh, linen.Dense(2)])
    problem = problems.neural(network, few, data.iid(few, n=2))
    x = jnp.asarray(rng.standard_normal(problem.d))
    H = hessians(problem, x)
    found = theory.constants(problem, x)
    assert pytest.approx(np.abs(np.linalg.eigvalsh(H)).max(), rel=1e-6) == found.L
    assert found.mu == pytest.approx(np.linalg.eigvalsh(H.mean(axis=0))[0], rel=1e-5)
    assert found.mu < 0
    assert found.sigma == 0


def test_heterogeneity_is_measured_at_the_minimizer_and_noise_over_all_samples():
    problem = problems.solve(REGRESSION)
    found = theory.constants(problem)
    x = jnp.tile(problem.minimizer, (problem.n, 1))
    g = np.asarray(problem.grad(x))
    assert found.zeta == pytest.approx(np.sqrt(np.mean(np.sum(g**2, axis=1))), rel=1e-8)
    key = jax.random.key(0)
    for drawn in (problem, dataclasses.replace(problem, sampling="subset", minibatch=7)):
        deviation = jax.jit(jax.vmap(lambda i, p=drawn: p.grad(x, p.sample(key, i)) - g))(jnp.arange(1000))
        estimate = float(jnp.sqrt(jnp.mean(jnp.sum(deviation**2, axis=2))))
        assert theory.constants(drawn).sigma == pytest.approx(estimate, rel=0.04)
    four_times = theory.constants(dataclasses.replace(problem, minibatch=32))
    assert four_times.sigma == pytest.approx(found.sigma / 2, rel=1e-12)


def test_constants_do_not_depend_on_the_precision_of_the_problem():
    problem = problems.quadratic(4, 3, zeta=1e4, noise=0.1)
    single = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), problem)
    rounded = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), single)
    assert theory.constants(single, np.ones(3)) == theory.constants(rounded, np.ones(3))


def test_a_problem_without_a_known_minimizer_asks_for_a_point():
    with pytest.raises(ValueError, match=r"give x, or .* problems.solve"):
        theory.constants(LOGISTIC)


# Step sizes.

RING, CUBE = (graphs.metropolis(g).toarray() for g in (graphs.ring(8), graphs.hypercube(8)))
MATRICES = {
    "ring": RING,
    "lazy ring": graphs.lazy(RING),
    "hypercube": CUBE,
    "path": graphs.metropolis(graphs.path(8)).toarray(),
    "complete": np.full((8, 8), 1 / 8),
    "nearly periodic": 1.3 * CUBE - 0.3 * np.eye(8),
}
METHODS = [
    A.DSGD(lr=1.0),
    A.DSGD(lr=1.0, form="cta"),
    A.DSGDm(lr=1.0, momentum=0.7),
    A.DecentLaM(lr=1.0, momentum=0.7),
    A.GradientTracking(lr=1.0, form="cta"),
    A.GradientTracking(lr=1.0),
    A.AugDGM(lr=1.0),
    A.MomentumTracking(lr=1.0, momentum=0.7, start="zero"),
    A.D2(lr=1.0),
    A.NIDS(lr=1.0),
    A.EXTRA(lr=1.0),
]


def round_matrix(method, curvature=0.8):
    """The linear map of one round as a function of the step size and W; no noise, one dimension, minimizer 0."""
    problem = problems.Quadratic(jnp.full((8, 1), curvature), jnp.zeros((8, 1)))
    key = jax.random.key(0)

    def matrix(lr, W):
        network = networks.static(np.eye(8) / 2 + 1 / 16, form="dense")
        operator = dataclasses.replace(network.W, matrix=W)
        r = Round(8, jnp.dtype(float), jnp.asarray(0), key, key, operator)
        at = dataclasses.replace(method, lr=lr)
        flat, back = ravel_pytree(at.init(problem, jnp.zeros((8, 1)), r)[0])
        return jax.jacobian(lambda s: ravel_pytree(at.step(problem, back(s), r)[0])[0])(flat)

    return jax.jit(matrix)


def radius(M):
    """The largest |eigenvalue| but those that equal 1, which belong to what the method conserves."""
    z = np.linalg.eigvals(np.asarray(M))
    return np.abs(z[np.abs(z - 1) > 1e-6]).max()


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_round_contracts_below_the_limit_and_expands_above(method):
    matrix = round_matrix(method)
    for name, W in MATRICES.items():
        if isinstance(method, A.D2) and np.linalg.eigvalsh(W)[0] < -0.4:
            continue
        limit = theory.stability_limit(method, W, curvature=0.8)
        assert radius(matrix(0.99 * limit, W)) < 1 < radius(matrix(1.01 * limit, W)), name


@pytest.mark.parametrize("graph", ["hypercube", "nearly periodic"])
def test_d2_below_minus_a_third_is_refused_with_the_interval_in_which_it_converges(graph):
    matrix, W = round_matrix(A.D2(lr=1.0)), MATRICES[graph]
    l = -np.linalg.eigvalsh(W)[0]
    low = (3 * l - 1) / (2 * l)
    assert radius(matrix(0.99 * low / 0.8, W)) > 1 > radius(matrix(1.01 * low / 0.8, W))
    with pytest.raises(ValueError, match=f"between {low:.4g} and 2. Take NIDS"):
        theory.stability_limit(A.D2(lr=1.0), W)


def test_the_descent_lemma_of_gradient_tracking_holds_up_to_a_twelfth_of_the_curvature():
    assert theory.descent_step(2.0) == 1 / 24


def test_limits_that_are_not_known_are_refused():
    with pytest.raises(ValueError, match=r"is known for LocalDSGD: it has no method limit\(eigenvalue\)"):
        theory.stability_limit(A.LocalDSGD(lr=1.0, local_steps=2), RING)
    with pytest.raises(ValueError, match="not symmetric"):
        theory.stability_limit(A.DSGD(lr=1.0), networks.directed_ring(5))
    with pytest.raises(ValueError, match=r"no single W.*member\(0\)"):
        theory.stability_limit(A.DSGD(lr=1.0), networks.one_peer_exponential(8))
    with pytest.raises(ValueError, match="curvature is positive; got 0"):
        theory.stability_limit(A.DSGD(lr=1.0), RING, curvature=0)


# Mixing and rates.


def test_mixing_takes_networks_graphs_and_matrices():
    expected = graphs.spectrum(RING)
    for W in (networks.ring(8), graphs.ring(8), RING, networks.ring(8).W):
        assert theory.mixing(W) == pytest.approx(expected, abs=1e-12)


def test_rates_end_as_that_of_centralized_sgd_and_only_dsgd_feels_heterogeneity():
    T = np.array([10.0, 1e3, 1e9])
    alike, apart = (theory.Constants(L=2.0, mu=0.5, zeta=zeta, sigma=3.0) for zeta in (0.0, 10.0))
    rates = {
        (method, found.zeta): theory.rate(method, T, found, networks.ring(8), distance=2.0)
        for method in ("DSGD", "GradientTracking")
        for found in (alike, apart)
    }
    for values in rates.values():
        assert values[-1] == pytest.approx(9 / (0.5 * 8 * 1e9), rel=1e-3)
        assert np.all(np.diff(values) < 0)
    np.testing.assert_array_equal(rates["GradientTracking", 0.0], rates["GradientTracking", 10.0])
    p = theory.mixing(networks.ring(8)).p
    assert rates["DSGD", 10.0][1] - rates["DSGD", 0.0][1] == pytest.approx(2 * 100 / (0.5 * p * 1e3) ** 2, rel=1e-9)
    exact = theory.Constants(L=2.0, mu=0.5, zeta=0.0, sigma=0.0)
    step = np.log(theory.rate("GradientTracking", [1, 2], exact, networks.ring(8), distance=2.0))
    assert step[0] - step[1] == pytest.approx(0.5 * p * (1 - 1 / 9) / 2, rel=1e-9)
    with pytest.raises(ValueError, match="hold for mu > 0"):
        theory.rate("DSGD", T, exact._replace(mu=0.0), networks.ring(8), distance=1.0)
    with pytest.raises(ValueError, match='recorded for "DSGD" and "GradientTracking"; got \'D2\''):
        theory.rate("D2", T, exact, networks.ring(8), distance=1.0)
