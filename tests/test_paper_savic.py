"""What the exhibits on SAVIC are made of; its claims are judged in `test_exhibits.py`."""

from dataclasses import replace

import numpy as np
import pytest

from jaxdec import data
from jaxdec.papers.savic import convex


def test_multiplying_features_leaves_the_minimum_where_it_is():
    cancer = data.breast_cancer()
    scaled = convex.badly_scaled(cancer, 0)
    factors = scaled.inputs / cancer.inputs
    np.testing.assert_allclose(factors, np.broadcast_to(factors[0], factors.shape), rtol=1e-10)
    assert factors.min() > 10**-1.5
    assert factors.max() < 10**0.5
    assert not np.array_equal(convex.badly_scaled(cancer, 1).inputs, scaled.inputs)


@pytest.mark.parametrize("budget", ["fast", "default"])
def test_tuning_and_reporting_are_of_the_same_problems(budget):
    change = {"given": "breast cancer", "splits": ("labels",), "draws": 1}
    searches = replace(convex.CONVEX, default=convex.CONVEX.default | change, fast={}).searches(budget)
    assert list(searches) == ["labels, standardized", "labels, scaling 0"]
    assert {name for one in searches.values() for name in one["algorithms"]} <= set(convex.METHODS)
