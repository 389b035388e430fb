"""Divergence is decided once for a run and is so for all its metrics; what was not run is not what is not a number."""

import io

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from jaxdec import algorithms as A
from jaxdec import networks, problems, run, sweep, tune
from jaxdec.metrics import loss
from jaxdec.results.export import table, tidy
from jaxdec.results.summary import best, diverged, masked, ran, summarize, wild
from jaxdec.sweeps import load
from jaxdec.sweeps.search import Goal

pytestmark = pytest.mark.sampled(12)

PROBLEM, RING = problems.quadratic(4, 2), networks.ring(4)


def runs(losses, accuracies):
    """Of step sizes, (lr, seed), at the last of two rounds."""
    start = lambda last, first: np.stack([np.full(np.shape(last), first), last], -1)
    named = {"loss": start(losses, 2.3), "test_accuracy": start(accuracies, 0.1)}
    dims = ("lr", "seed", "round")
    lrs = [0.1, 1.0, 10.0][: len(losses)]
    return xr.Dataset({k: (dims, v) for k, v in named.items()}, {"lr": lrs, "seed": [0, 1], "round": [0, 5]})


LOST = runs([[0.5, 0.6], [np.nan, np.inf]], [[0.7, 0.7], [0.85, 0.85]])


def test_a_run_whose_loss_is_not_finite_is_not_the_best_by_its_accuracy():
    assert float(best(LOST, "test_accuracy").lr) == 0.1
    assert diverged(LOST).values.tolist() == [[False, False], [True, True]]
    row = summarize(LOST, "test_accuracy").iloc[0]
    assert (row.lr, row.test_accuracy, row.diverged, row.runs) == (0.1, 0.7, 2, 4)
    goal = Goal("test_accuracy", None, None, "rounds", True, 5, 5, None, {})
    scores, lost = goal.scores(LOST.rename(lr="cell"))
    assert scores[:, 0].tolist() == [-0.7, np.inf]
    assert lost.tolist() == [False, True]


def test_where_one_metric_is_not_finite_none_counts_and_earlier_rounds_do():
    found = masked(LOST)
    assert np.isnan(found.test_accuracy.sel(lr=1.0, round=5)).all()
    assert (found.test_accuracy.sel(lr=1.0, round=0) == 0.1).all()
    assert (found.test_accuracy.sel(lr=0.1) == LOST.test_accuracy.sel(lr=0.1)).all()
    shown = summarize(LOST.isel(lr=[1]), "test_accuracy").iloc[0]
    assert np.isinf(shown.test_accuracy)
    assert (shown.diverged, shown.runs) == (2, 2)
    whole = runs([[0.5, 0.6]], [[0.7, 0.7]])
    assert masked(whole).identical(whole)


def test_a_metric_that_never_was_a_number_does_not_make_a_run_diverge():
    """As the accuracy of a node that has no data."""
    nodes = ("lr", "seed", "round", "node"), np.stack([np.full((2, 2, 2), 0.5), np.full((2, 2, 2), np.nan)], -1)
    dataset = runs([[0.5, 0.6], [0.7, 0.8]], [[0.7, 0.7], [0.6, 0.6]]).assign(node_accuracy=nodes)
    assert not diverged(dataset).any()
    assert masked(dataset).identical(dataset)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from(["loss", "accuracy"]))
def test_what_is_counted_on_the_host_is_what_has_diverged(seed, main):
    rng = np.random.default_rng(seed)
    drawn = lambda *shape: rng.choice([0.1, 0.5, 0.9, np.inf, -np.inf, np.nan], shape)
    dims = ("lr", "seed", "round")
    shapes = {main: (dims, drawn(3, 2, 3)), "other": (dims, drawn(3, 2, 3))}
    dataset = xr.Dataset(shapes | {"each": ((*dims, "node"), drawn(3, 2, 3, 2))})
    there = ran(dataset).values
    with np.errstate(invalid="ignore"):
        found = wild({str(k): v.values for k, v in dataset.data_vars.items()}, 2, main)
        np.testing.assert_array_equal(found & there, diverged(dataset).values)


@pytest.mark.parametrize("metrics", [{"loss": lambda p, s: loss(p, s) * np.nan}, {"a": lambda p, s: np.inf}])
def test_what_is_nan_from_round_0_was_run_and_has_diverged(tmp_path, metrics):
    arguments = {"rounds": 2, "metrics": metrics}
    results = sweep(A.DSGD(lr=0.1), PROBLEM, RING, seeds=3, store=tmp_path, progress=False, **arguments)
    assert (results.attrs["diverged"], results.attrs["runs_done"]) == (3, 3)
    assert load(tmp_path).equals(results)
    assert ran(results).all()
    assert summarize(results)[["diverged", "runs"]].values.tolist() == [[3, 3]]
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table(results, "title"))
    assert "3 of 3" in console.export_text()
    assert len(tidy(results)) == 9
    alone = run(A.DSGD(lr=0.1), PROBLEM, RING, **arguments)
    assert alone.attrs["diverged"] == 1


def test_a_run_is_done_where_all_its_stretches_are_there(tmp_path):
    go = lambda rounds: sweep(A.DSGD(lr=0.1), PROBLEM, RING, seeds=2, rounds=rounds, store=tmp_path, progress=False)
    go(2)
    go(4)
    (tmp_path / "done/0.0.0.0.json").unlink()
    found = load(tmp_path)
    assert found.attrs["runs_done"] < found.attrs["runs"]
    assert not found.done.all()


def test_tune_refuses_what_is_no_number_per_run_before_anything_is_run(monkeypatch):
    monkeypatch.setattr("jaxdec.sweeps.search.Search.evaluate", lambda *_: pytest.fail("was run"))
    arguments = {"over": {"lr": [0.1, 0.2]}, "rounds": 2, "seeds": 1}
    with pytest.raises(ValueError, match=r"there is no metric 'lss'; there are .*loss"):
        tune(A.DSGD(lr=0.1), PROBLEM, RING, metric="lss", **arguments)
    each = {"each": lambda p, s: s.x[:, 0]}
    with pytest.raises(ValueError, match=r"'each' is a number for each node"):
        tune(A.DSGD(lr=0.1), PROBLEM, RING, metric="each", metrics=each, **arguments)
