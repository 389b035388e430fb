"""What the experiments on SAVIC show, on phishing where it is at hand."""

from functools import cache
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from jaxdec import data
from jaxdec.papers import savic as paper


def test_a_best_step_at_the_edge_of_those_run_is_seen():
    excess = np.full((2, 1, 4, 1, 1), np.nan)
    excess[0, 0, 1:, 0, 0] = [1.0, 0.1, np.inf]  # run with 2, 3, 4; best at 3
    excess[1, 0, :3, 0, 0] = [1.0, 0.5, 0.2]  # run with 1, 2, 3; best at 3
    results = xr.Dataset(
        {"excess": (("algorithm", "problem", "lr", "seed", "round"), excess)},
        {"algorithm": ["a", "b"], "problem": ["0"], "lr": [1.0, 2.0, 3.0, 4.0], "seed": [0], "round": [0]},
    ).assign(loss=lambda d: d["excess"])
    assert paper.best(results)["lr"].values.ravel().tolist() == [3.0, 3.0]
    assert paper.at_edge(results).values.ravel().tolist() == [False, True]
    np.testing.assert_allclose(paper.best(results).values.ravel(), [-1.0, np.log10(0.2)], rtol=1e-12)


def test_multiplying_features_leaves_the_minimum_where_it_is():
    cancer = data.breast_cancer()
    scaled = paper.badly_scaled(cancer, 0)
    factors = scaled.inputs / cancer.inputs
    np.testing.assert_allclose(factors, np.broadcast_to(factors[0], factors.shape), rtol=1e-10)
    assert factors.min() > 10**-1.5
    assert factors.max() < 10**0.5
    assert not np.array_equal(paper.badly_scaled(cancer, 1).inputs, scaled.inputs)


@cache
def results(how: str) -> Any:
    try:
        phishing = paper.phishing()
        partition = paper.split(phishing, how)  # type: ignore[arg-type]
    except FileNotFoundError as error:
        pytest.skip(str(error))
    return paper.experiment(phishing, partition, progress=False)


each_split = pytest.mark.parametrize("how", ["iid", "clusters"])


@pytest.mark.slow
@each_split
def test_on_badly_scaled_data_each_global_scaling_gains_a_third_of_a_decade(how):
    medians = paper.medians(results(how))
    for name in paper.GLOBAL:
        assert medians.sel(algorithm="Local SGD") - medians.sel(algorithm=name) > 0.3, name
    assert not paper.at_edge(results(how)).any()


@pytest.mark.slow
def test_on_badly_scaled_data_that_differ_oasis_with_local_scaling_is_the_worst():
    medians = paper.medians(results("clusters"))
    others = medians.drop_sel(algorithm="OASIS, local")
    assert medians.sel(algorithm="OASIS, local") - others.max() > 0.2


@pytest.mark.slow
@each_split
def test_on_standardized_data_no_global_scaling_gains(how):
    ends = paper.best(results(how)).sel(problem=paper.STANDARDIZED)
    for name in paper.GLOBAL:
        assert ends.sel(algorithm="Local SGD") - ends.sel(algorithm=name) < 0.15, name


@pytest.mark.slow
def test_the_figure_draws_every_method():
    figure = paper.figure(results("clusters"))
    assert [text.get_text() for text in figure.axes[2].get_yticklabels()] == list(paper.METHODS)
    plt.close(figure)
