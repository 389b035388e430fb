"""The claims of the papers' experiments, on reduced versions of them; the full ones are marked slow."""

import matplotlib as mpl
import numpy as np
import pytest

from jaxdec import graphs, networks, run
from jaxdec.algorithms import LocalDSGD
from jaxdec.papers.kgt import floors, saving
from jaxdec.papers.reproduce import computed

mpl.use("Agg")


# K-GT.


@pytest.mark.parametrize("K", [1, 5])
def test_local_sgd_comes_to_rest_at_the_fixed_point_of_its_recursion(K):
    W = graphs.metropolis(graphs.ring(20)).toarray()
    for zeta in (10.0, 100.0):
        problem = floors.least_squares(20, 10, zeta=zeta, sigma=0.0)
        method = LocalDSGD(lr=floors.STEP / K, local_steps=K)
        x = run(method, problem, networks.ring(20), rounds=4000, every=4000, x0=np.ones(10)).state.x
        expected = floors.fixed_point(problem, W, floors.STEP / K, K)
        np.testing.assert_allclose(x, expected, rtol=0, atol=1e-10)


def test_local_steps_save_as_much_communication_until_the_network_is_the_bottleneck():
    results, _ = computed(saving.SAVING, "fast", progress=False)
    assert all(claim.judged(results).holds for claim in saving.SAVING.claims)
    needed = saving.rounds_to(results).sel(algorithm="K-GT").isel(problem=0)
    b = 10.0 * np.random.default_rng(0).standard_normal((16, 10))
    steps = np.log(1e-5 / np.linalg.norm(1 - b.mean(axis=0))) / np.log(1 - 0.005)  # of gradient descent
    for K, rounds in zip(needed["local_steps"].values, needed.values, strict=True):
        assert rounds == np.ceil(steps / K)
    assert needed[0] == pytest.approx(2723, rel=0.1)
