"""Sweeps: cells, programs, common random numbers, divergence, and the labelled result."""

import jax
import numpy as np
import pytest

from jaxdec import algorithms as A
from jaxdec import data, networks, problems, run, sweep
from jaxdec.metrics import consensus, named
from jaxdec.sweep import best, diverged, execute, plan

PROBLEM, RING = problems.quadratic(6, 3, noise=0.2), networks.ring(6)
CLOSE = {"rtol": 0, "atol": 1e-12}


def test_dimensions_are_named_after_what_is_swept():
    results = sweep(
        {"plain": A.LocalDSGD(lr=0.1, local_steps=1), "tracked": A.KGT(lr=0.1, local_steps=1)},
        PROBLEM,
        [RING, networks.complete(6)][:1],
        over={"local_steps": [1, 2], "lr": [0.05, 0.1, 0.2]},
        seeds=[4, 9],
        rounds=6,
        every=3,
        progress=False,
    )
    assert dict(results.sizes) == {"algorithm": 2, "network": 1, "local_steps": 2, "lr": 3, "seed": 2, "round": 3}
    assert results.attrs["programs"] == 4  # two algorithms by two numbers of local steps
    assert results.grads.dims == ("algorithm", "network", "local_steps", "lr", "round")
    for label, make in (("plain", A.LocalDSGD), ("tracked", A.KGT)):
        alone = run(make(lr=0.1, local_steps=2), PROBLEM, RING, rounds=6, every=3, seed=9)
        cell = results.sel(algorithm=label, local_steps=2, lr=0.1, seed=9).squeeze("network")
        for name, values in alone.metrics.items():
            np.testing.assert_allclose(cell[name], values, **CLOSE)
        np.testing.assert_array_equal(cell.grads, alone.cost.grads)
        np.testing.assert_array_equal(cell.bits, alone.cost.bits)


def test_a_grid_of_step_sizes_and_seeds_costs_one_trace():
    before = execute._grid._cache_size()
    for grid in ([0.01, 0.02, 0.03, 0.04, 0.05], [1, 2, 3, 4, 5]):
        sweep(A.DSGD(lr=0.1), PROBLEM, RING, over={"lr": grid}, seeds=3, rounds=2)
    assert execute._grid._cache_size() == before + 1


def test_all_configurations_of_a_seed_see_the_same_noise_unless_they_are_to_be_independent():
    arguments = {"over": {"lr": [0.1, 0.1, 0.1]}, "seeds": 1, "rounds": 3}
    paired = sweep(A.DSGD(lr=0.1), PROBLEM, RING, **arguments).distance.isel(seed=0, round=-1)
    independent = sweep(A.DSGD(lr=0.1), PROBLEM, RING, paired=False, **arguments).distance.isel(seed=0, round=-1)
    assert len(np.unique(paired)) == 1
    assert len(np.unique(independent)) == 3


def test_what_configurations_share_is_not_batched_over_them():
    """The minibatch gather and the random bits of a seed are made once, whatever the number of configurations."""
    digits = data.digits()
    problem = problems.softmax(digits, data.iid(digits, n=4), batch_size=5)

    def lowered(cells):
        lrs = plan.Axis("lr", list(range(cells)), [0.1 * (k + 1) for k in range(cells)])
        found = plan.cells(A.DSGD(lr=0.1), problem, networks.ring(4), [lrs], None, rounds=2, every=1)
        (group,) = plan.groups(found)
        return execute._grid.lower(
            group.leaves,
            jax.numpy.arange(cells),
            jax.random.split(jax.random.key(0), 1),
            structure=group.structure,
            batched=group.batched,
            paired=True,
            rounds=2,
            every=1,
            metrics=named((consensus,)),
        ).as_text()

    text = lowered(13)
    assert "13x4x650" in text  # the iterates of all cells
    assert "13x4x5xui32" not in text  # but one draw of random bits
    assert "13x4x5x65" not in text  # and one gather of inputs
    assert "4x5x65" in text


def test_a_cell_that_diverges_leaves_its_neighbours_untouched():
    calm = sweep(A.DSGD(lr=0.1), PROBLEM, RING, over={"lr": [0.1, 0.2]}, seeds=2, rounds=400, every=100)
    wild = sweep(A.DSGD(lr=0.1), PROBLEM, RING, over={"lr": [0.1, 90.0]}, seeds=2, rounds=400, every=100)
    np.testing.assert_allclose(wild.loss.sel(lr=0.1), calm.loss.sel(lr=0.1), **CLOSE)
    lost = diverged(wild)
    assert lost.sel(lr=90.0).all()
    assert not lost.sel(lr=0.1).any()


def test_the_best_cell_has_the_best_median_and_diverged_cells_never_win():
    results = sweep(
        [A.DSGD(lr=0.1), A.GradientTracking(lr=0.1)], PROBLEM, RING,
        over={"lr": [1e-4, 0.2, 90.0]}, seeds=3, rounds=300, every=100,
    )  # fmt: skip
    chosen = best(results)
    assert chosen.lr.dims == ("algorithm",)
    np.testing.assert_array_equal(chosen.lr, [0.2, 0.2])
    np.testing.assert_array_equal(chosen.loss, results.loss.sel(lr=0.2))


def test_problems_and_networks_can_be_swept_too():
    results = sweep(
        A.GradientTracking(lr=0.1),
        {f"zeta={z}": problems.quadratic(6, 3, zeta=z) for z in (0.0, 1.0)},
        {"ring": RING, "complete": networks.complete(6)},
        seeds=1,
        rounds=10,
    )
    assert dict(results.sizes) == {"problem": 2, "network": 2, "seed": 1, "round": 11}
    assert results.attrs["programs"] == 2  # the two problems differ in numbers, the two networks in form
    alone = run(A.GradientTracking(lr=0.1), problems.quadratic(6, 3, zeta=1.0), RING, rounds=10)
    np.testing.assert_allclose(
        results.loss.sel(problem="zeta=1.0", network="ring").isel(seed=0), alone.metrics["loss"], **CLOSE
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"over": {"le": [1.0]}}, "DSGD has no field 'le' to sweep; did you mean 'lr'.*fields are lr, form"),
        ({"over": {"lr.start": [1.0]}}, "float has no field 'start'"),
        ({"over": {"lr": [0.1, -1.0]}}, "DSGD.lr is a step size, which is positive and finite; got -1.0"),
        ({"over": {"lr": []}}, r"over\['lr'\] is a list of values to sweep; got \[\]"),
        ({"over": {"lr": 0.1}}, "is a list of values"),
        ({"over": {"form": "atc"}}, "is a list of values"),
        ({"seeds": 0}, "seeds is an integer of at least 1; got 0"),
        ({"seeds": [1, 1]}, "a list of different ones"),
        ({"algorithms": [A.DSGD(lr=0.1), A.DSGD(lr=0.2)]}, "two algorithms are called DSGD; give a mapping"),
        ({"algorithms": []}, "at least one algorithm"),
        ({"networks": networks.ring(4)}, "problem has 6 nodes and the network 4"),
        ({"rounds": 7, "every": 2}, "not a multiple"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused_before_anything_is_compiled(change, message):
    arguments = {"algorithms": A.DSGD(lr=0.1), "problems": PROBLEM, "networks": RING, "rounds": 2} | change
    before = execute._grid._cache_size()
    with pytest.raises(ValueError, match=message):
        sweep(**arguments)
    assert execute._grid._cache_size() == before
