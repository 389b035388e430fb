"""Regularizers that are not smooth: their proximal steps, the minimizer with them, and the methods that know them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import UNDIRECTED, D, N, gradients, quadratic
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import primal_dual as reference

import jaxdec
from jaxdec import algorithms as A
from jaxdec import data, networks, problems, testing
from jaxdec.loop import Keys
from jaxdec.problems.regularizers import L1, Box, GroupNorm

pytestmark = pytest.mark.sampled(2)

SEED, SHORT, LR = 7, 20, 0.2
W = np.asarray(UNDIRECTED.W.dense())
X0 = np.random.default_rng(4).standard_normal((N, D))
REGULARIZERS = {
    "l1": L1(0.2),
    "box": Box(-0.1, 0.2),
    "box of arrays": Box(np.array([-0.1, -1.0, 0.0]), np.array([0.1, 1.0, np.inf])),
    "groups": GroupNorm(0.4, size=3),
}
NOISY = {name: problems.composite(quadratic(0.5), r) for name, r in REGULARIZERS.items()}
EXACT = {name: problems.composite(quadratic(0.0), r) for name, r in REGULARIZERS.items()}
GRAD = gradients(quadratic(0.5), Keys.of(SEED).data, 100)
METHODS = {"pg_extra": A.PGEXTRA(lr=LR), "prox_nids": A.ProxNIDS(lr=LR), "prox_gt": A.ProxGT(lr=LR)}
each_method = pytest.mark.parametrize("name", METHODS)


def states(method, problem, rounds=SHORT):
    found = testing.trajectory(method, problem, UNDIRECTED, rounds=rounds, x0=X0, seed=SEED).states
    return {name.strip("."): array for name, array in found.items()}


@each_method
def test_twenty_rounds_equal_the_loop_over_nodes(name):
    shrunk = lambda x: np.sign(x) * np.maximum(np.abs(x) - LR * 0.2, 0)
    expected = getattr(reference, name)(W, GRAD, shrunk, X0, SHORT, lr=LR)
    np.testing.assert_allclose(states(METHODS[name], NOISY["l1"])["x"], expected, rtol=0, atol=1e-12)


@each_method
@pytest.mark.parametrize("regularizer", REGULARIZERS)
@pytest.mark.thinned(5)
def test_the_fixed_point_is_the_minimizer_with_the_regularizer(name, regularizer):
    problem = EXACT[regularizer]
    found = states(METHODS[name], problem, 2500)
    np.testing.assert_allclose(found["x"][-1], np.tile(problem.minimizer, (N, 1)), rtol=0, atol=1e-10)
    if "c" in found:
        np.testing.assert_allclose(found["c"].sum(axis=1), 0, atol=1e-11)
    else:
        np.testing.assert_allclose(found["y"].mean(axis=1), found["g"].mean(axis=1), atol=1e-12)


@each_method
@pytest.mark.slow
def test_without_a_regularizer_they_are_their_smooth_forms(name):
    smooth = {"pg_extra": A.EXTRA(lr=LR), "prox_nids": A.NIDS(lr=LR), "prox_gt": A.GradientTracking(lr=LR)}[name]
    found, expected = (states(method, quadratic(0.5))["x"] for method in (METHODS[name], smooth))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", REGULARIZERS)
def test_the_minimizer_is_where_a_proximal_gradient_step_stays(name):
    problem, regularizer = EXACT[name], REGULARIZERS[name]
    x = jnp.asarray(problem.minimizer)
    moved = regularizer.prox((x - 0.7 * jax.grad(problem.smooth.objective)(x))[None], 0.7)[0]
    np.testing.assert_allclose(moved, x, rtol=0, atol=1e-12)
    assert float(problem.suboptimality(x)) == pytest.approx(0.0, abs=1e-12)
    assert np.abs(np.asarray(problem.minimizer) - np.asarray(problem.smooth.minimizer)).max() > 1e-2


numbers = st.lists(st.floats(-3, 3), min_size=6, max_size=6).map(np.array)


@settings(max_examples=25, deadline=None)
@given(x=numbers, other=numbers, step=st.floats(0.1, 2.0), kind=st.sampled_from(["l1", "box", "groups"]))
def test_a_proximal_step_minimizes_and_does_not_expand(x, other, step, kind):
    """No other point is better, and two points do not come apart."""
    r = {"l1": L1(0.5), "box": Box(-0.5, 1.0), "groups": GroupNorm(0.5, size=2)}[kind]
    z, w = r.prox(jnp.stack([x, other]), step)
    value = lambda u: r.value(u) + jnp.sum((u - x) ** 2) / (2 * step)
    assert value(z) <= min(value(w), value(z + 1e-3 * (other - z)), value(jnp.zeros(6))) + 1e-12
    assert jnp.linalg.norm(z - w) <= np.linalg.norm(x - other) + 1e-12


@pytest.mark.slow
def test_a_lasso_on_data_has_its_minimizer_and_sparse_nodes():
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((60, 5))
    samples = data.dataset(inputs, inputs @ [1.0, -2.0, 0.0, 0.0, 0.0] + 0.1 * rng.standard_normal(60))
    least = problems.least_squares(samples, data.iid(samples, 6), bias=False)
    problem = problems.composite(least, L1(0.3))
    result = jaxdec.run(A.ProxNIDS(lr=0.1), problem, networks.ring(6), rounds=4000, every=4000)
    np.testing.assert_allclose(result.state.x, np.tile(problem.minimizer, (6, 1)), atol=1e-8)
    assert np.flatnonzero(np.asarray(result.state.x)[0]).tolist() == [0, 1]


def test_methods_that_do_not_know_of_regularizers_are_refused():
    with pytest.raises(ValueError, match=r"DSGD does not know of regularizers.*PGEXTRA, ProxGT, ProxNIDS"):
        jaxdec.run(A.DSGD(lr=0.1), EXACT["l1"], UNDIRECTED, rounds=1)


@pytest.mark.slow
def test_weights_of_regularizers_are_numbers_of_one_program():
    several = {str(weight): problems.composite(quadratic(0.5), L1(weight)) for weight in (0.1, 0.2)}
    found = jaxdec.sweep(A.PGEXTRA(lr=0.1), several, UNDIRECTED, seeds=1, rounds=4, progress=False)
    assert found.attrs["programs"] == 1


@pytest.mark.parametrize(
    ("regularizer", "says"),
    [
        (L1(-1.0), "L1.weight is a weight"),
        (Box(1.0, 0.0), "low of a Box is at most its high"),
        (Box(np.zeros(2), 1.0), "one for each of the d=3 parameters"),
        (GroupNorm(1.0, size=2), "divides the number of parameters, d=3; got 2"),
    ],
)
def test_bad_input_is_refused(regularizer, says):
    with pytest.raises(ValueError, match=says):
        problems.composite(quadratic(0.0), regularizer)
