"""Gradients through the simulator are those of finite differences, in memory that grows with the square root of N."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec import algorithms as A
from jaxdec import compressors, gradients, networks, problems, run
from jaxdec.loop import simulate
from jaxdec.metrics import named

PROBLEM = problems.quadratic(6, 3, zeta=1.0, noise=0.1)
RING = networks.ring(6)


def slope(f, x, h=1e-5):
    """By central differences, whose error is h² times a third derivative."""
    return (f(x + h) - f(x - h)) / (2 * h)


@pytest.mark.parametrize("rounds", [7, *(pytest.param(k, marks=pytest.mark.slow) for k in (1, 16))])
def test_a_value_is_what_run_ends_with(rounds):
    method = A.MomentumTracking(lr=0.05, momentum=0.5)
    network = networks.lossy(RING, 0.3)
    found = gradients.final("distance", rounds=rounds, seed=3)(method, PROBLEM, network)
    expected = run(method, PROBLEM, network, rounds=rounds, seed=3).metrics["distance"][-1]
    assert np.allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("method", "by"),
    [
        (A.DSGDm(lr=0.05, momentum=0.5), ("lr", "momentum")),
        pytest.param(A.KGT(lr=0.05, local_steps=3), ("lr",), marks=pytest.mark.slow),
        pytest.param(A.MomentumTracking(lr=0.05, momentum=0.5), ("lr", "momentum"), marks=pytest.mark.slow),
    ],
    ids=["DSGDm", "KGT", "MomentumTracking"],
)
def test_a_gradient_is_that_of_finite_differences(method, by):
    value = gradients.final("loss", rounds=11)
    found = jax.grad(value)(method, PROBLEM, RING)
    for name in by:
        f = lambda x, name=name: float(value(replace(method, **{name: x}), PROBLEM, RING))
        assert np.isclose(getattr(found, name), slope(f, getattr(method, name)), rtol=1e-6), name


def test_a_gradient_by_the_weights_of_a_graph_is_that_of_finite_differences():
    W = np.asarray(RING.W.dense())
    network = networks.static(W, form="dense")
    value = gradients.final("consensus", rounds=9)
    method = A.GradientTracking(lr=0.1)
    found = jax.grad(value, argnums=2)(method, PROBLEM, network)
    E = np.zeros_like(W)
    E[1, 0] = 1.0
    at = lambda h: float(value(method, PROBLEM, replace(network, W=replace(network.W, matrix=jnp.asarray(W + h * E)))))
    assert np.isclose(found.W.matrix[1, 0], slope(at, 0.0), rtol=1e-6)


@pytest.mark.slow
def test_a_gradient_by_a_problem_is_that_of_finite_differences():
    value = gradients.final("loss", rounds=9)
    by = jax.grad(lambda noise: value(A.DSGD(lr=0.1), replace(PROBLEM, noise=noise), RING))
    f = lambda noise: float(value(A.DSGD(lr=0.1), replace(PROBLEM, noise=noise), RING))
    assert np.isclose(by(0.1), slope(f, 0.1), rtol=1e-6)


@pytest.mark.slow
def test_what_is_computed_again_is_the_same():
    method, key = A.DSGDm(lr=0.05, momentum=0.5), jax.random.key(0)

    def last(remat, method):
        asked = {"rounds": 12, "every": 4, "metrics": named(("loss",)), "remat": remat}
        return simulate(method, PROBLEM, RING, None, key, **asked).metrics["loss"][-1]

    held, again = (jax.grad(partial(last, remat))(method) for remat in (False, True))
    assert np.allclose(held.lr, again.lr, rtol=1e-12)
    assert np.allclose(held.momentum, again.momentum, rtol=1e-12)


def test_memory_grows_with_the_square_root_of_the_rounds():
    problem = problems.quadratic(6, 512)

    def held(rounds):
        value = gradients.final("loss", rounds=rounds)
        by = lambda lr: value(A.DSGDm(lr=lr, momentum=0.5), problem, RING)
        return jax.jit(jax.grad(by)).lower(0.1).compile().memory_analysis().temp_size_in_bytes

    few, many = held(64), held(1024)  # 16 times as many
    assert many < 6 * few  # 4 times, and what does not depend on them


@pytest.mark.slow
def test_values_are_mapped_over():
    value = gradients.final("loss", rounds=5)
    lrs = jnp.asarray([0.05, 0.1])
    found = jax.vmap(lambda lr: value(A.DSGD(lr=lr), PROBLEM, RING))(lrs)
    assert np.allclose(found, [value(A.DSGD(lr=float(lr)), PROBLEM, RING) for lr in lrs], rtol=1e-12)


def test_what_cannot_be_run_is_refused_before_it_is_traced():
    with pytest.raises(ValueError, match="D2 needs"):
        gradients.final("loss", rounds=5)(A.D2(lr=0.1), PROBLEM, networks.random_matchings(6))
    several = lambda problem, state: {"a": state.x[0, 0], "b": state.x[0, 0]}
    with pytest.raises(ValueError, match="the metric gives a, b; give a function of one number"):
        gradients.final(several, rounds=5)(A.DSGD(lr=0.1), PROBLEM, RING)


@pytest.mark.slow
def test_a_random_compressor_has_the_same_draws_on_both_sides_of_a_difference():
    problem = problems.quadratic(6, 8)
    method = A.ChocoSGD(lr=0.05, consensus_lr=0.2, compressor=compressors.Scaled(compressors.RandK(k=3)))
    value = gradients.final("loss", rounds=11)
    found = jax.grad(lambda lr: value(replace(method, consensus_lr=lr), problem, RING))(0.2)
    assert np.isclose(
        found, slope(lambda x: float(value(replace(method, consensus_lr=x), problem, RING)), 0.2), rtol=1e-5
    )
