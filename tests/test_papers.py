"""The claims of the papers' experiments, on reduced versions of them; the full ones are marked slow."""

import io

import jax
import matplotlib as mpl
import numpy as np
import pytest

from jaxdec import graphs, networks, run
from jaxdec.algorithms import LocalDSGD
from jaxdec.papers import momentum_tracking
from jaxdec.papers.kgt import quadratics
from jaxdec.papers.reproduce import computed
from jaxdec.results import best

mpl.use("Agg")


def drawn(figure):
    """The legend of a figure that could be saved, and its panels."""
    figure.savefig(io.BytesIO(), dpi=30)
    return [text.get_text() for text in figure.legends[0].get_texts()], figure.axes


# K-GT.


@pytest.mark.parametrize("K", [1, 5])
def test_local_sgd_comes_to_rest_at_the_fixed_point_of_its_recursion(K):
    W = graphs.metropolis(graphs.ring(20)).toarray()
    for zeta in (10.0, 100.0):
        problem = quadratics.least_squares(20, 10, zeta=zeta, sigma=0.0)
        method = LocalDSGD(lr=quadratics.STEP / K, local_steps=K)
        x = run(method, problem, networks.ring(20), rounds=4000, every=4000, x0=np.ones(10)).state.x
        expected = quadratics.fixed_point(problem, W, quadratics.STEP / K, K)
        np.testing.assert_allclose(x, expected, rtol=0, atol=1e-10)


def test_local_steps_save_as_much_communication_until_the_network_is_the_bottleneck():
    results, _ = computed(quadratics.SAVING, "fast", progress=False)
    assert all(claim.judged(results).holds for claim in quadratics.SAVING.claims)
    needed = quadratics.rounds_to(results).sel(algorithm="K-GT").isel(problem=0)
    b = 10.0 * np.random.default_rng(0).standard_normal((16, 10))
    steps = np.log(1e-5 / np.linalg.norm(1 - b.mean(axis=0))) / np.log(1 - 0.005)  # of gradient descent
    for K, rounds in zip(needed["local_steps"].values, needed.values, strict=True):
        assert rounds == np.ceil(steps / K)
    assert needed[0] == pytest.approx(2723, rel=0.1)


# Momentum Tracking.


def final_accuracy(dataset):
    chosen = best(dataset, "node_test_accuracy", largest=True)
    return chosen["node_test_accuracy"].isel(round=-1).mean("seed")


@pytest.mark.slow
def test_momentum_tracking_is_first_and_dsgd_far_behind_when_there_is_little_time():
    steps = {"DSGDm": (0.005, 0.02), "DecentLaM": (0.05,), "Momentum Tracking": (0.05,)}
    chosen = {name: (momentum_tracking.METHODS[name][0], lrs) for name, lrs in steps.items()}
    short = momentum_tracking.experiment(rounds=160, every=80, seeds=1, methods=chosen)
    accuracy = final_accuracy(short)
    dsgdm, decentlam, tracking = accuracy.values
    assert tracking > decentlam + 0.03
    assert decentlam > dsgdm + 0.12
    names, _ = drawn(momentum_tracking.figure(short))
    assert names == ["DSGDm", "DecentLaM", "Momentum Tracking"]


@pytest.mark.slow
def test_all_methods_reach_the_accuracy_of_the_independent_program():
    accuracy = final_accuracy(momentum_tracking.experiment())
    for method, expected in momentum_tracking.ACCURACY.items():
        assert float(accuracy.sel(algorithm=method)) == pytest.approx(expected, abs=0.05), method
    behind, ahead = accuracy.sel(algorithm=["DSGD", "DSGDm"]), accuracy.drop_sel(algorithm=["DSGD", "DSGDm"])
    assert ahead.min() > behind.max() + 0.12
    assert accuracy.idxmax() == "Momentum Tracking"
    assert np.sort(accuracy)[-1] > np.sort(accuracy)[-2] + 0.02


# Precision.


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.thinned(2)
def test_every_experiment_fixes_its_own_precision(x64):
    with jax.enable_x64(x64):
        network = momentum_tracking.experiment(
            rounds=1, every=1, seeds=1, methods={"DSGD": (LocalDSGD(lr=0.1, local_steps=1), (0.1,))}
        )
    assert {str(v.dtype) for v in network.data_vars.values()} == {"float32"}
