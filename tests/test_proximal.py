"""Proximal steps: exact where they can be, and where the gradient vanishes everywhere else."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec import data, module, problems
from jaxdec._module import cast

pytestmark = pytest.mark.sampled(12)

rng = np.random.default_rng(0)
cancer, digits = data.breast_cancer(), data.digits()
line, wide = data.synthetic_regression(60, 5, noise=0.3, seed=1), data.synthetic_regression(12, 9, noise=0.3, seed=1)
M = rng.standard_normal((4, 5, 5))
B = rng.standard_normal((4, 5))


@pytest.fixture(autouse=True)
def ranks_are_not_promoted():
    with jax.numpy_rank_promotion("raise"):
        yield


def log_cosh(parameters, sample):
    a, y = sample
    z = a @ parameters["w"] + parameters["b"] - y
    return jnp.logaddexp(z, -z)


A3 = rng.standard_normal((3, 20, 2))
PROBLEMS = {
    "diagonal": problems.quadratic(4, 5, zeta=3.0),
    "full": problems.Quadratic(jnp.asarray(M @ M.transpose(0, 2, 1)), jnp.asarray(B)),
    "least squares": problems.least_squares(line, data.iid(line, n=7), l2=0.01),
    "fewer samples than parameters": problems.least_squares(wide, data.iid(wide, n=3)),
    "logistic": problems.logistic(cancer, data.dirichlet(cancer, n=4, alpha=0.5, seed=2), l2=0.1),
    "softmax": problems.softmax(digits, data.dirichlet(digits, n=4, alpha=0.5, seed=2), l2=0.01),
    "of a function": problems.from_loss(log_cosh, (A3, A3.sum(axis=2)), init={"w": np.zeros(2), "b": 0.0}),
}
EXACT = ("diagonal", "full", "least squares", "fewer samples than parameters")


@jax.jit
def proximal(problem, x, steps):
    """The points found for several steps, and how far they are from satisfying the condition."""
    z = jax.vmap(lambda step: problem.prox(x, step))(steps)
    return z, jax.vmap(lambda z, step: problem.grad(z) + (z - x) / step)(z, steps)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.thinned(4)
def test_the_gradient_and_the_way_moved_cancel(name):
    p = PROBLEMS[name]
    x = jnp.asarray(3 * np.random.default_rng(1).standard_normal((p.n, p.d)) / p.d**0.5)
    steps = jnp.asarray([0.1, 1.0, 100.0])
    z, left = proximal(p, x, steps)
    size = 1 + np.linalg.norm(p.grad(x), axis=1)
    if name in EXACT:
        np.testing.assert_allclose(left, 0, atol=1e-11)
    else:
        assert np.all(np.linalg.norm(left, axis=2) < 1e-10 * size)
        assert np.all(np.linalg.norm(left, axis=2) < 1e-8)
    lower = lambda z, step: p.loss(z) + jnp.sum((z - x) ** 2, axis=1) / (2 * step)
    assert np.all(lower(z[1], 1.0) < lower(x, 1.0))


@module
class Unnamed(problems.Problem):
    """A problem of which only losses are known, so that all else is the base's."""

    inner: Any

    n, d = property(lambda self: self.inner.n), property(lambda self: self.inner.d)

    def sample(self, key, i):
        return self.inner.sample(key, i)

    def loss(self, x, batch=None):
        return self.inner.loss(x, batch)


def test_closed_forms_are_what_iterations_find_also_of_some_of_the_nodes():
    for name in ("diagonal", "full", "least squares"):
        p = PROBLEMS[name]
        x = jnp.asarray(rng.standard_normal((p.n, p.d)))
        some = np.array([2, 0])

        @jax.jit
        def both(p, x, some):
            part = Unnamed(p).take(some)
            return p.prox(x, 2.0), Unnamed(p).prox(x, 2.0), part.prox(x[some], 2.0), p.take(some).prox(x[some], 2.0)

        exact, found, part, exact_part = both(p, x, some)
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-9)
        np.testing.assert_allclose(part, exact[some], rtol=0, atol=1e-9)
        np.testing.assert_allclose(exact_part, exact[some], rtol=0, atol=1e-12)


def test_a_proximal_step_far_from_the_minimizer_of_steep_losses_is_found_too():
    """There plain Newton steps of the logistic loss overshoot, and are halved."""
    p = dataclasses.replace(PROBLEMS["logistic"], l2=1e-6)
    x = jnp.asarray(30 * np.random.default_rng(2).standard_normal((p.n, p.d)))
    _, left = proximal(p, x, jnp.asarray([1.0, 1e4]))
    assert np.all(np.linalg.norm(left, axis=2) < 1e-10 * (1 + np.linalg.norm(p.grad(x), axis=1)))


def test_single_precision_stays_and_reaches_what_it_can():
    p = cast(PROBLEMS["of a function"], jnp.float32)
    x = jnp.ones((p.n, p.d), jnp.float32)
    z, left = proximal(p, x, jnp.asarray([0.5, 5.0], jnp.float32))
    assert z.dtype == jnp.float32
    assert np.all(np.linalg.norm(left, axis=2) < 2.5e-5 * (1 + np.linalg.norm(p.grad(x), axis=1)))


def test_a_node_that_diverged_harms_no_other():
    p = PROBLEMS["logistic"]
    x = jnp.asarray(rng.standard_normal((p.n, p.d)))
    sick = x.at[1].set(jnp.nan)
    z, healthy = jax.jit(lambda x: p.prox(x, 1.0))(sick), jax.jit(lambda x: p.prox(x, 1.0))(x)
    np.testing.assert_allclose(z[np.array([0, 2, 3])], healthy[np.array([0, 2, 3])], rtol=0, atol=1e-9)
    assert np.all(np.isnan(z[1]))
