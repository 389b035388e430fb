"""Simulated time: the model by hand, for runs and for sweeps."""

import dataclasses
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

from jaxdec import algorithms as A
from jaxdec import networks, plotting, problems, run, sweep
from jaxdec import results as timing

mpl.use("Agg")

LINK = timing.Link(latency=0.5, bandwidth=100.0, seconds_per_gradient=3.0)


def test_a_round_takes_its_gradients_its_messages_and_their_bits():
    result = run(A.KGT(lr=0.1, local_steps=4), problems.quadratic(6, 5), networks.ring(6), rounds=4, every=2)
    compute, message = 4 * 3.0, 0.5 + 2 * 32 * 5 / 100  # a round has 4 gradients and a message of two vectors
    for options, factor in (({}, 1), ({"degree": 2}, 2), ({"degree": 2, "parallel": True}, 1)):
        seconds = timing.add_time(result, LINK, **options)["seconds"]
        np.testing.assert_allclose(seconds, np.array([0, 2, 4]) * (compute + factor * message), rtol=1e-12)
    twice = timing.add_time(result, LINK, messages=2)["seconds"]
    np.testing.assert_allclose(twice - timing.add_time(result, LINK)["seconds"], [0, 1, 2], rtol=1e-12)


def test_what_init_spends_is_spent_at_round_0():
    result = run(A.GradientTracking(lr=0.1), problems.quadratic(6, 5), networks.ring(6), rounds=2)
    assert float(timing.add_time(result, LINK)["seconds"][0]) == 3.0


def test_a_server_answers_after_its_clients():
    spent = {"grads": [0, 1, 2], "vectors": [0, 1, 2], "bits": [0, 200, 400], "bits_down": [0, 100, 200]}
    results = xr.Dataset(coords={"round": [0, 1, 2]} | {name: ("round", v) for name, v in spent.items()})
    np.testing.assert_allclose(timing.add_time(results, LINK)["seconds"], [0, 3 + 0.5 + 2 + 0.5 + 1, 14])


def test_sweeps_are_timed_cell_by_cell_and_drawn_over_time():
    results = sweep(
        {"GT": A.GradientTracking(lr=0.1), "DSGD": A.DSGD(lr=0.1)},
        problems.quadratic(6, 5),
        {"ring": networks.ring(6), "complete": networks.complete(6)},
        seeds=2,
        rounds=4,
        progress=False,
    )
    degree = xr.DataArray([2, 5], dims="network", coords={"network": ["ring", "complete"]})
    timed = timing.add_time(results, LINK, degree=degree)
    assert timed["seconds"].dims == ("algorithm", "network", "round")
    last = timed["seconds"].isel(round=-1)
    expected = [[15 + d * 4 * (0.5 + 2 * 1.6), 12 + d * 4 * (0.5 + 1.6)] for d in (2, 5)]
    np.testing.assert_allclose(last.transpose("network", "algorithm"), expected, rtol=1e-12)
    ax = plotting.curves(timed.sel(network="ring"), "distance", x="seconds")
    assert ax.get_xlabel() == "simulated time in seconds"
    np.testing.assert_allclose(ax.lines[0].get_xdata(), timed["seconds"].sel(algorithm="GT", network="ring"))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("latency", -1.0, "not negative; got -1.0"), ("bandwidth", 0.0, "positive; got 0.0"),
     ("seconds_per_gradient", float("nan"), "not negative; got nan")],
)  # fmt: skip
def test_a_link_that_makes_no_sense_is_refused(field, value, message):
    wrong: dict[str, Any] = {field: value}
    with pytest.raises(ValueError, match=f"{field} of a Link is a number, {message}"):
        dataclasses.replace(LINK, **wrong)


def test_results_without_costs_are_refused():
    with pytest.raises(ValueError, match="these have no grads, bits, bits_down"):
        timing.add_time(xr.Dataset(coords={"round": [0, 1]}), LINK)
