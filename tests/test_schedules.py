"""Schedules: any function of the round is a step size, alone, swept and stored, and one that is none is refused."""

import json

import jax
import numpy as np
import optax
import pytest

from jaxdec import algorithms as A
from jaxdec import networks, problems, run, sweep
from jaxdec.describe import brief, describe

pytestmark = pytest.mark.sampled(12)

PROBLEM, RING = problems.quadratic(6, 3, noise=0.3), networks.ring(6)
COSINE = optax.cosine_decay_schedule(0.1, 10)
ROUNDS = {"rounds": 8, "every": 4}
START = np.ones(3)


def halving(start, t):
    return start * 0.5**t


def by_hand(lr):
    """The last iterates of DSGD, one round at a time, each with the number that the schedule has for it."""
    x = np.ones((6, 3))
    data = jax.random.split(jax.random.key(0), 5)[1]
    for t in range(8):
        x = np.asarray(RING.W @ (x - float(lr(t)) * PROBLEM.grad(x, PROBLEM.sample(data, t))))
    return x


SCHEDULES = {
    "optax": COSINE,
    "function": lambda t: 0.1 / (t + 1),
    "Partial": jax.tree_util.Partial(halving, 0.2),
    "warm-up from zero": optax.linear_schedule(0.0, 0.1, 4),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.thinned(4)
def test_a_function_of_the_round_is_the_step_size_of_every_round(name):
    lr = SCHEDULES[name]
    found = run(A.DSGD(lr=lr), PROBLEM, RING, x0=START, **ROUNDS).state.x
    np.testing.assert_allclose(found, by_hand(lr), rtol=0, atol=1e-12)


def test_swept_functions_are_a_program_each_and_partials_are_one():
    functions = [COSINE, optax.exponential_decay(0.1, 5, 0.5), lambda t: 0.1 / (t + 1), lambda t: 0.2 / (t + 1)]
    partials = [jax.tree_util.Partial(halving, start) for start in (0.1, 0.2, 0.3)]
    for values, programs in ((functions, 4), (partials, 1), ([*partials, 0.1, 0.2], 2)):
        found = sweep(A.DSGD(lr=0.1), PROBLEM, RING, over={"lr": values}, seeds=1, x0=START, **ROUNDS)
        assert found.attrs["programs"] == programs
        for k, lr in enumerate(values):
            alone = run(A.DSGD(lr=lr), PROBLEM, RING, x0=START, **ROUNDS)
            np.testing.assert_allclose(found["loss"][k, 0], alone.metrics["loss"], rtol=0, atol=1e-12)


def test_coordinates_tell_schedules_apart_by_what_they_hold():
    factors = (0.1, 0.2)
    values = [
        *(optax.cosine_decay_schedule(0.1, steps) for steps in (10, 20)),
        *(lambda t, c=c: c / (t + 1) for c in factors),
        *(lambda t: 0.1 / (t + 1), lambda t: 0.2 / (t + 1)),
        *(jax.tree_util.Partial(halving, c) for c in factors),
    ]
    labels = [brief(value) for value in values]
    assert len(set(labels)) == len(values)
    assert labels[0] == "cosine_decay_schedule(alpha=0, decay_steps=10, exponent=1, init_value=0.1)"
    assert labels[-1] == "halving(0.2)"
    assert len({json.dumps(describe(value)) for value in values}) == len(values)
    found = sweep(A.DSGD(lr=0.1), PROBLEM, RING, over={"lr": values[:2] + values[-2:]}, seeds=1, metrics=(), **ROUNDS)
    assert found["lr"].values.tolist() == labels[:2] + labels[-2:]


def test_a_schedule_is_described_by_what_it_was_made_of():
    again = optax.cosine_decay_schedule(0.1, 10)
    COSINE(0)  # which makes a float of the number of steps that it holds
    assert brief(COSINE) == brief(again)
    assert describe(COSINE) == describe(again) != describe(optax.cosine_decay_schedule(0.2, 10))
    make = lambda factor: lambda t: factor * 0.5**t
    assert describe(make(0.1)) == describe(make(0.1)) != describe(make(0.2))
    some = optax.exponential_decay(0.1, 5, 0.5)  # it has a cell that a branch left empty
    assert describe(some)["init_value"] == 0.1


def test_a_stored_sweep_of_schedules_goes_on_with_schedules_made_again(tmp_path):
    def go(decay):
        values = [optax.cosine_decay_schedule(0.1, decay), jax.tree_util.Partial(halving, 0.1)]
        return sweep(A.DSGD(lr=0.1), PROBLEM, RING, over={"lr": values}, seeds=2, store=tmp_path / "s", **ROUNDS)

    first, again = go(10), go(10)
    np.testing.assert_array_equal(first["loss"], again["loss"])
    assert again.attrs["run_seconds"] == 0
    with pytest.raises(ValueError, match="decay_steps"):
        go(20)


@pytest.mark.parametrize(
    ("lr", "message"),
    [
        (lambda t: -0.1, "at round 0 it is -0.1"),
        (lambda t: np.nan, "at round 0 it is nan"),
        (lambda t: 0.1 - 0.02 * t, "at round 7 it is -0.04"),
        (lambda t: np.ones(3), r"returns a number; at round 0 it returns float64\[3\]"),
        (lambda t: None, "returns a number; at round 0 it returns object"),
        (optax.linear_schedule(0.1, -0.1, 7), "DSGD.lr is a schedule of step sizes, finite and not negative"),
    ],
)
def test_what_is_no_step_size_at_the_first_or_last_round_is_refused_before_anything_is_compiled(lr, message):
    with pytest.raises(ValueError, match=message):
        run(A.DSGD(lr=lr), PROBLEM, RING, **ROUNDS)
    with pytest.raises(ValueError, match=message):
        sweep(A.DSGD(lr=0.1), PROBLEM, RING, over={"lr": [0.1, lr]}, **ROUNDS)
