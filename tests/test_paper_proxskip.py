"""ProxSkip's exhibits: the steps and the split of the authors' code; claims that published numbers alone bear out."""

import jax
import numpy as np
import pytest
import xarray as xr

from jaxdec import data
from jaxdec.papers import proxskip


def results(curves, rounds, sizes):
    """An exhibit's results whose excess loss is constant for each method and minibatch size."""
    table = [[[[value] * len(rounds)] for value in curves[b].values()] for b in sizes]
    coords = {"batch_size": list(sizes), "algorithm": list(curves[sizes[0]]), "seed": [0], "round": list(rounds)}
    return xr.Dataset({"suboptimality": (tuple(coords), table)}, coords)


def published(factor=1.0):
    ends = {16: 5.4e-5, 32: 1.8e-5, 64: 1.5e-5}
    curves = {b: {"ProxSkip": floor * factor, "VR-ProxSkip": ends[b]} for b, floor in proxskip.FLOORS["a9a"].items()}
    return results(curves, range(0, 2001, 100), (16, 32, 64))


def held(exhibit, found, budget="default"):
    (one,) = proxskip.PAPER.chosen([exhibit])
    return {claim.name: claim.judged(found).holds for claim in one.claims if budget in claim.budgets}


def test_the_published_numbers_bear_out_the_claims_on_floors_and_half_of_them_do_not():
    assert all(held("floors", published()).values())
    assert not all(held("floors", published(0.5)).values())
    flat = published().copy(deep=True)
    flat["suboptimality"][:, :, :, :] = 3e-4
    wrong = held("floors", flat)
    assert not any(holds for name, holds in wrong.items() if "logs" in name or "below" in name or "sizes" in name)


def test_a_run_that_never_comes_near_bears_out_no_claim_of_variance_reduction():
    curves = {b: {"ProxSkip": 1e-4, "VR-ProxSkip": 1e-4} for b in (16, 32)}
    found = held("variance-reduction", results(curves, range(0, 4001, 100), (16, 32)))
    assert sum(found.values()) == 1  # that ProxSkip stays away


@pytest.mark.parametrize("b", [1, 4, 50])
def test_the_smoothness_lies_between_that_of_the_mean_and_that_of_the_worst_sample(b):
    """The former for all samples together, the latter for one."""
    inputs = np.random.default_rng(0).standard_normal((50, 4))
    mean, worst = np.linalg.norm(inputs, 2) ** 2 / 200, (inputs**2).sum(axis=1).max() / 4
    found = proxskip.smoothness(inputs, b)
    np.testing.assert_allclose(found, {1: worst, 50: mean}.get(b, found), rtol=1e-12)
    assert mean * (1 - 1e-12) <= found <= worst * (1 + 1e-12)


def test_clients_hold_labels_in_turn_and_the_regularizer_is_a_share_of_the_smoothness():
    with jax.enable_x64(True):
        problem, L = proxskip.problem(proxskip.STAND_IN, 4, 100.0)
    labels = data.breast_cancer().targets
    held = zip(np.asarray(problem.indices), problem.counts, strict=True)
    kinds = [len(np.unique(labels[row[: int(m)]])) for row, m in held]
    assert problem.n == 20
    assert kinds.count(2) <= 1
    np.testing.assert_allclose(problem.l2, L / 100)
    assert float(jax.numpy.linalg.norm(jax.grad(problem.objective)(problem.minimizer))) < 1e-7
