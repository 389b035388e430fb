"""Problems: gradients, minibatches, curvature and minimizers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec import data, networks, problems, run
from jaxdec.algorithms import DSGD

pytestmark = pytest.mark.sampled(12)

CLOSE = {"rtol": 0, "atol": 1e-12}


def finite_sums():
    cancer, digits = data.breast_cancer(), data.digits()
    line = data.synthetic_regression(120, 5, noise=0.3, seed=1)
    skewed = lambda d, n: data.dirichlet(d, n=n, alpha=0.5, seed=2)
    return {
        "logistic": problems.logistic(cancer, skewed(cancer, 4), batch_size=8, l2=0.1, nonconvex=0.05),
        "softmax": problems.softmax(digits, skewed(digits, 4), batch_size=8, l2=0.1),
        "least squares": problems.least_squares(line, data.iid(line, n=7), batch_size=8, l2=0.01),
    }


PROBLEMS = finite_sums()


def by_hand(name, x, inputs, targets):
    """Mean loss of one node, from the definition."""
    if name == "logistic":
        z = inputs @ x
        loss = np.mean(np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0) - targets * z)
        return loss + 0.05 * np.sum(x**2) + 0.05 * np.sum(x**2 / (1 + x**2))
    if name == "softmax":
        z = inputs @ x.reshape(inputs.shape[1], -1)
        z -= z.max(axis=1, keepdims=True)
        return np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), targets]) + 0.05 * np.sum(x**2)
    return np.mean((inputs @ x - targets) ** 2) / 2 + 0.005 * np.sum(x**2)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.thinned(3)
def test_losses_and_derivatives_follow_the_definition(name):
    p = PROBLEMS[name]
    rng = np.random.default_rng(0)
    x, v = (jnp.asarray(0.1 * rng.standard_normal((p.n, p.d))) for _ in range(2))
    inputs, targets = np.asarray(p.inputs), np.asarray(p.targets)
    held = [np.asarray(p.indices[i][: p.counts[i]]) for i in range(p.n)]
    expected = [by_hand(name, np.asarray(x[i]), inputs[h], targets[h]) for i, h in enumerate(held)]
    np.testing.assert_allclose(p.loss(x), expected, **CLOSE)
    np.testing.assert_allclose(p.objective(x[0]), np.mean(p.loss(jnp.broadcast_to(x[0], x.shape))), rtol=0, atol=1e-12)
    batch = p.sample(jax.random.key(0), 3)
    h = 1e-5
    for b in (None, batch):
        slope = (p.loss(x + h * v, b) - p.loss(x - h * v, b)) / (2 * h)
        np.testing.assert_allclose(jnp.sum(p.grad(x, b) * v, axis=1), slope, rtol=1e-7, atol=1e-9)
        bend = (p.grad(x + h * v, b) - p.grad(x - h * v, b)) / (2 * h)
        np.testing.assert_allclose(p.hvp(x, v, b), bend, rtol=1e-6, atol=1e-8)
    chosen = [held[i][np.asarray(batch[i])] for i in range(p.n)]
    expected = [by_hand(name, np.asarray(x[i]), inputs[c], targets[c]) for i, c in enumerate(chosen)]
    np.testing.assert_allclose(p.loss(x, batch), expected, **CLOSE)


def test_minibatches_draw_every_sample_equally_often_and_none_of_the_padding():
    p = PROBLEMS["logistic"]
    draws = jax.vmap(lambda i: p.sample(jax.random.key(1), i))(jnp.arange(4000))  # (draws, n, b)
    for i in range(p.n):
        m = int(p.counts[i])
        counts = np.bincount(np.asarray(draws[:, i]).ravel(), minlength=m)
        assert len(counts) == m
        expected = 4000 * 8 / m
        chi2 = np.sum((counts - expected) ** 2 / expected)
        assert abs(chi2 - (m - 1)) < 4 * np.sqrt(2 * (m - 1))


def test_a_minibatch_is_a_function_of_the_seed_and_its_index():
    p = PROBLEMS["softmax"]
    draw = lambda seed, i: np.asarray(p.sample(jax.random.key(seed), i))
    np.testing.assert_array_equal(draw(0, 5), draw(0, 5))
    assert np.any(draw(0, 5) != draw(0, 6))
    assert np.any(draw(0, 5) != draw(1, 5))


@pytest.mark.parametrize("name", [*PROBLEMS, "quadratic"])
@pytest.mark.thinned(2)
def test_some_of_the_nodes_see_the_same_losses_and_minibatches(name):
    p = PROBLEMS.get(name) or problems.quadratic(7, 3, noise=0.5)
    chosen = np.array([3, 1])
    x = jnp.asarray(np.random.default_rng(0).standard_normal((p.n, p.d)))
    part = p.take(chosen)
    batch, part_batch = p.sample(jax.random.key(0), 2), part.sample(jax.random.key(0), 2)
    np.testing.assert_array_equal(part_batch, batch[chosen])
    np.testing.assert_allclose(part.grad(x[chosen], part_batch), p.grad(x, batch)[chosen], **CLOSE)
    np.testing.assert_allclose(part.loss(x[chosen]), p.loss(x)[chosen], **CLOSE)
    again = part.take(np.array([1]))
    np.testing.assert_array_equal(again.sample(jax.random.key(0), 2), batch[np.array([1])])


def test_solved_problems_know_where_the_gradient_vanishes():
    for name, p in PROBLEMS.items():
        solved = problems.solve(dataclasses.replace(p, nonconvex=0.0))
        assert np.linalg.norm(jax.grad(solved.objective)(solved.minimizer)) < 1e-9, name
    with pytest.raises(ValueError, match="no single minimizer"):
        problems.solve(PROBLEMS["logistic"])


def test_quadratics_know_their_constants():
    rng = np.random.default_rng(0)
    M = rng.standard_normal((5, 4, 4))
    A, b = M @ M.transpose(0, 2, 1) + np.eye(4), rng.standard_normal((5, 4))
    p = problems.Quadratic(jnp.asarray(A), jnp.asarray(b))
    x = p.minimizer
    np.testing.assert_allclose(jnp.mean(p.grad(jnp.tile(x, (5, 1))), axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(p.minimum, jnp.mean(p.loss(jnp.tile(x, (5, 1)))), **CLOSE)
    np.testing.assert_allclose(p.L, np.linalg.eigvalsh(A).max(), **CLOSE)
    np.testing.assert_allclose(p.mu, np.linalg.eigvalsh(A.mean(axis=0)).min(), **CLOSE)
    diagonal = problems.Quadratic(jnp.ones((5, 4)) * 2, jnp.asarray(b))
    full = problems.Quadratic(2 * jnp.tile(jnp.eye(4), (5, 1, 1)), jnp.asarray(b))
    y = jnp.asarray(rng.standard_normal((5, 4)))
    np.testing.assert_allclose(diagonal.grad(y), full.grad(y), **CLOSE)
    np.testing.assert_allclose(diagonal.hvp(y, y), full.hvp(y, y), **CLOSE)


def test_gradient_noise_has_the_variance_it_names():
    p = problems.quadratic(3, 5, noise=0.7)
    x = jnp.ones((3, 5))
    draws = jax.vmap(lambda i: p.grad(x, p.sample(jax.random.key(0), i)) - p.grad(x))(jnp.arange(20_000))
    squared = jnp.sum(draws**2, axis=2)  # its mean is noise^2 per node
    assert np.all(np.abs(squared.mean(axis=0) - 0.49) < 3 * squared.std(axis=0) / np.sqrt(20_000))
    assert np.all(np.abs(draws.mean(axis=0)) < 4 * draws.std(axis=0) / np.sqrt(20_000))


def test_heterogeneity_moves_the_minimizers_and_nothing_else():
    one, ten = problems.quadratic(6, 4, zeta=1.0), problems.quadratic(6, 4, zeta=10.0)
    np.testing.assert_array_equal(one.A, ten.A)
    np.testing.assert_allclose(10 * one.minimizer, ten.minimizer, **CLOSE)


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (problems.Quadratic(np.ones((4, 2)), np.ones((4, 3))), r"got A \(4, 2\) and b \(4, 3\)"),
        (problems.Quadratic(np.ones((4, 2)), np.full((4, 2), np.nan)), "b of the Quadratic has NaN .* node 0"),
        (problems.Quadratic(np.triu(np.ones((4, 2, 2))), np.ones((4, 2))), "symmetric.*Use"),
        (problems.Quadratic(np.ones((4, 2)), np.ones((4, 2)), noise=-1.0), "cannot be negative; got -1"),
        (
            dataclasses.replace(PROBLEMS["logistic"], counts=jnp.asarray([3, 0, 2, 1])),
            "node 1 has no data; give every node at least one sample",
        ),
        (dataclasses.replace(PROBLEMS["logistic"], minibatch=0), "at least one sample; got 0"),
        (dataclasses.replace(PROBLEMS["logistic"], l2=-1.0), "l2 is the weight of a regularizer"),
    ],
)
def test_a_problem_that_makes_no_sense_is_refused(problem, message):
    with pytest.raises(ValueError, match=message):
        run(DSGD(lr=0.1), problem, networks.ring(4), rounds=1)


def test_data_that_do_not_fit_the_model_are_refused():
    digits, line = data.digits(), data.synthetic_regression(20, 3)
    with pytest.raises(ValueError, match=r"digits has 10 classes. Use softmax"):
        problems.logistic(digits, data.iid(digits, n=2))
    with pytest.raises(ValueError, match=r"real targets\. Use least_squares"):
        problems.softmax(line, data.iid(line, n=2))
    with pytest.raises(ValueError, match="make the partition from this dataset"):
        problems.least_squares(line, data.iid(digits, n=2))
    with pytest.raises(ValueError, match="NaN"):
        data.dataset(np.array([[1.0], [np.nan]]), np.array([0, 1]))
    with pytest.raises(ValueError, match=r"labels \[-1\] outside"):
        data.dataset(np.ones((3, 1)), np.array([-1, 1, 1]))


@pytest.mark.parametrize(("seed", "l2"), [(1, 1e-3), (7, 0.1), (10, 1.0)])
def test_small_logistic_regressions_are_solved_where_their_value_falls_no_more(seed, l2):
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((40, 3))
    found = data.dataset(inputs, (inputs @ rng.standard_normal(3) + rng.standard_normal(40) > 0).astype(int))
    solved = problems.solve(problems.logistic(found, data.iid(found, n=4), l2=l2))
    assert np.linalg.norm(jax.grad(solved.objective)(solved.minimizer)) <= 1e-10
