"""Statistics over seeds: against numbers known by hand, against SciPy, and by how often they are right."""

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from jaxdec import algorithms, networks, problems, sweep
from jaxdec.results import statistics
from jaxdec.results.statistics import bootstrap, mean, median, paired_differences, quantiles


def runs(values, **coordinates):
    """Values (algorithm, seed, round) as a dataset with costs."""
    a, s, r = np.shape(values)
    return xr.Dataset(
        {"loss": (("algorithm", "seed", "round"), np.asarray(values, float))},
        {"algorithm": [f"A{k}" for k in range(a)], "seed": range(s), "round": range(r), "grads": ("round", range(r))},
        {"rounds": r} | coordinates,
    )


def test_location_and_spread_are_numpys_on_finite_values_and_keep_the_labels():
    dataset = runs(np.random.default_rng(0).normal(size=(2, 7, 3))).transpose("seed", ...)
    values = dataset.loss.transpose("algorithm", "round", "seed").values
    for function, expected in ((median, np.median(values, -1)), (mean, np.mean(values, -1))):
        found = function(dataset)
        assert found.loss.dims == ("algorithm", "round")
        np.testing.assert_allclose(found.loss, expected, rtol=1e-15)
        assert set(found.coords) == {"algorithm", "round", "grads"}
        assert found.attrs == dataset.attrs
    found = quantiles(dataset.loss, [0.1, 0.9])
    assert found.dims == ("algorithm", "round", "quantile")
    np.testing.assert_allclose(found.sel(quantile=0.9), np.quantile(values, 0.9, axis=-1), rtol=1e-15)


@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf])
def test_a_diverged_run_counts_as_the_worst(lost):
    dataset = runs([[[0.1], [0.3], [0.2], [lost], [lost]]]).squeeze(["algorithm", "round"])
    assert float(median(dataset).loss) == 0.3
    assert float(mean(dataset).loss) == np.inf
    np.testing.assert_array_equal(quantiles(dataset, [0.0, 0.25, 0.6, 0.75, 1.0]).loss.values.ravel(),
                                  [0.1, 0.2, np.inf, np.inf, np.inf])  # fmt: skip
    accuracy = dataset.rename(loss="test_accuracy")
    assert float(median(accuracy).test_accuracy) == 0.1
    assert quantiles(accuracy, 0.1).test_accuracy.item() == -np.inf
    band = bootstrap(dataset.loss).values.ravel()
    assert band[0] >= 0.1
    assert (band[1], band[2]) == (0.3, np.inf)


def test_the_bootstrap_is_scipys_percentile_method_where_all_runs_are_finite():
    dataset = runs(np.random.default_rng(1).lognormal(size=(3, 9, 4)))
    for statistic, function in (("median", np.median), ("mean", np.mean)):
        found = bootstrap(dataset, statistic, confidence=0.9, resamples=500, seed=3).loss
        values = (dataset.loss.transpose("algorithm", "round", "seed").values,)
        theirs = scipy.stats.bootstrap(
            values, function, axis=-1, confidence_level=0.9, n_resamples=500, method="percentile",
            random_state=np.random.default_rng(3),
        ).confidence_interval  # fmt: skip
        np.testing.assert_allclose(found.sel(bound="low"), theirs.low, rtol=1e-12)
        np.testing.assert_allclose(found.sel(bound="high"), theirs.high, rtol=1e-12)
        np.testing.assert_allclose(found.sel(bound="estimate"), function(values[0], axis=-1), rtol=1e-15)


def test_the_bootstrap_does_not_depend_on_how_it_is_cut_and_is_seeded(monkeypatch):
    dataset = runs(np.random.default_rng(2).normal(size=(2, 6, 5)))
    whole = bootstrap(dataset, resamples=100).loss
    monkeypatch.setattr(statistics, "BLOCK", 1700)
    np.testing.assert_array_equal(bootstrap(dataset, resamples=100).loss, whole)
    assert not np.array_equal(bootstrap(dataset, resamples=100, seed=1).loss, whole)


def test_ninety_percent_intervals_of_a_mean_cover_it_nine_times_in_ten():
    values = xr.DataArray(np.random.default_rng(3).normal(size=(2000, 40)), dims=("trial", "seed"))
    found = bootstrap(values, "mean", confidence=0.9, resamples=400)
    covered = float(((found.sel(bound="low") < 0) & (found.sel(bound="high") > 0)).mean())
    # A percentile interval is that of a normal with the plug-in variance, whose factor is (S - 1)/S: 0.888 for S = 40.
    # Four standard errors of 2000 trials are 0.028.
    assert abs(covered - 0.888) < 0.028


def test_paired_differences_see_through_noise_that_all_algorithms_share():
    rng = np.random.default_rng(4)
    shared, own = rng.normal(size=(1, 30, 1)) * 10, rng.normal(size=(2, 30, 1)) * 0.01
    values = shared + own + np.array([0.0, 0.1])[:, None, None]
    found = paired_differences(runs(values), reference="A0")
    low, middle, high = found.difference.sel(algorithm="A1").squeeze().values
    assert 0.09 < low < middle < high < 0.11
    assert float(found.won.sel(algorithm="A1").squeeze()) == 0.0
    np.testing.assert_array_equal(found.difference.sel(algorithm="A0"), 0.0)
    assert float(found.won.sel(algorithm="A0").squeeze()) == 0.5
    apart = bootstrap(runs(values).loss).squeeze()
    assert float(apart.sel(algorithm="A1", bound="low")) < float(apart.sel(algorithm="A0", bound="high"))


def test_ratios_wins_and_ties_by_hand():
    values = [[[1.0], [2.0], [np.nan], [np.nan]], [[0.5], [2.0], [3.0], [np.inf]]]
    found = paired_differences(runs(values), reference="A0", relative=True).sel(algorithm="A1").squeeze()
    assert float(found.won) == (1 + 0.5 + 1 + 0.5) / 4
    assert float(found.difference.sel(bound="estimate")) == np.median([0.5, 1.0, 0.0, 1.0])
    accuracy = runs(np.array(values)).rename(loss="test_accuracy")
    won = paired_differences(accuracy, "test_accuracy", reference="A0").won.sel(algorithm="A1").squeeze()
    assert float(won) == (0 + 0.5 + 1 + 0.5) / 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: bootstrap(d.isel(seed=[0])), "at least two of 'seed'; got 1"),
        (lambda d: bootstrap(d, "mode"), "statistic is one of 'median', 'mean'; got 'mode'"),
        (lambda d: bootstrap(d, confidence=95), "confidence lies strictly between 0 and 1; got 95"),
        (lambda d: bootstrap(d, resamples=0), "resamples is an integer of at least 1; got 0"),
        (lambda d: quantiles(d, 10), r"quantiles lie in \[0, 1\]; got \[10.\]"),
        (lambda d: median(d.loss, "seeds"), "no dimension 'seeds'; they have algorithm, seed, round"),
        (lambda d: paired_differences(d, reference="B"), "no algorithm 'B'; there are A0, A1"),
        (lambda d: paired_differences(d, "los", reference="A0"), "no metric 'los'; there are loss"),
        (lambda d: paired_differences(d.isel(algorithm=0), reference="A0"), "no dimension 'algorithm'"),
    ],
)
def test_what_makes_no_sense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(runs(np.ones((2, 3, 1))))


def test_printed_differences_show_their_numbers():
    dataset = runs([[[2.0, 0.5], [2.0, 0.6], [2.0, 0.7]], [[2.0, 0.25], [2.0, 0.35], [2.0, 0.75]]])
    found = paired_differences(dataset, reference="A0")
    for shown in (repr(found), repr(found.isel(round=-1)), found._repr_html_()):
        for number in ("-0.25", "0.05", "0.6667"):
            assert number in shown
        assert "loss at round 1" in shown
    assert "the last of 2" in repr(found)
    assert max(map(len, repr(found).splitlines())) <= 80
    assert "<xarray" in repr(found[["won"]])  # a part of it is shown as any dataset is
    ratio = paired_differences(dataset, reference="A0", relative=True)
    assert "ratio to A0" in repr(ratio.isel(round=-1).sel(algorithm="A1"))


def test_runs_are_compared_by_their_labels():
    problem, ring = problems.quadratic(4, 2, noise=0.1), networks.ring(4)
    one = lambda lr: sweep(algorithms.DSGD(lr=lr), problem, ring, seeds=3, rounds=2)
    slow, fast = one(0.1), one(0.2)
    given = {"slow": slow, "fast": fast}
    found = paired_differences(given, "distance", reference="slow").isel(round=-1).sel(algorithm="fast")
    expected = (fast.distance - slow.distance).isel(round=-1).median()
    np.testing.assert_allclose(found.difference.sel(bound="estimate"), expected)
    np.testing.assert_allclose(mean(given).distance.sel(algorithm="fast"), fast.distance.mean("seed"))


def test_a_comparison_says_in_a_sentence_who_is_better_or_that_it_cannot_be_told():
    noise = np.random.default_rng(0).standard_normal(20)
    losses = xr.DataArray([1 + 0.1 * noise, 1.2 + 0.1 * noise, 1 + 0.1 * noise[::-1]], dims=("algorithm", "seed"))
    dataset = xr.Dataset({"loss": losses, "test_accuracy": losses}, {"algorithm": ["A", "worse", "same"]})
    for relative, equal in ((False, "0"), (True, "1")):
        worse, same = paired_differences(dataset, reference="A", relative=relative).sentences()
        assert worse.startswith(f"worse is worse than A: the interval of the {'ratio' if relative else 'difference'}, ")
        assert worse.endswith(f"is on one side of {equal}.")
        assert same.startswith("same and A are not told apart: ")
    more = paired_differences(dataset, "test_accuracy", reference="A")
    assert more.sentences()[0].startswith("worse is better than A: ")
    assert more.sel(algorithm="worse").sentences()[0].startswith("worse is better than A: ")
    assert more.sentences()[1] in " ".join(repr(more).split())
    assert more.sentences()[0] in more._repr_html_()
