"""Push-pull pairs of which messages are lost: what W keeps, and AB."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec import algorithms as A
from jaxdec import graphs, networks, problems, run
from jaxdec.networks.outages import GilbertElliott

pytestmark = pytest.mark.sampled(12)


@pytest.mark.parametrize("form", ["atc", "cta"])
def test_ab_reaches_the_minimizer_where_arcs_of_both_matrices_are_lost(form):
    network = networks.push_pull(graphs.random_digraph(10, 0.3))
    problem = problems.quadratic(10, 2, zeta=10.0, L=1.0, mu=0.5)
    for loss in (0.3, GilbertElliott(0.3, 5.0)):
        failing = networks.lossy(network, loss, "sender")
        result = run(A.AB(lr=0.02, form=form), problem, failing, rounds=8000, every=8000)
        assert float(jnp.max(jnp.linalg.norm(result.state.x - problem.minimizer[None], axis=1))) < 1e-9
    lost = float(result.to_xarray().lost[-1]) / 8000
    assert lost == pytest.approx(0.3, abs=0.02)


def test_rows_of_r_and_columns_of_c_sum_to_one_whatever_is_lost():
    failing = networks.lossy(networks.push_pull(graphs.random_digraph(10, 0.3)), 0.5, "sender")
    memory = failing.init(jax.random.key(0))
    for t in range(5):
        memory, world = failing.at(memory, jnp.asarray(t), jax.random.key(t))
        R, C = (np.asarray(W.dense()) for W in world.W)
        np.testing.assert_allclose(R.sum(axis=1), 1, rtol=0, atol=1e-14)
        np.testing.assert_allclose(C.sum(axis=0), 1, rtol=0, atol=1e-14)
        np.testing.assert_array_equal(R == 0, C == 0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: networks.lossy(networks.push_pull(graphs.ring(6)), 0.1), 'loses messages by the rule "sender".*got'),
        (
            lambda: networks.lossy(networks.push_pull(graphs.random_digraph(6, 0.2), graphs.ring(6)), 0.1, "sender"),
            "R and C of a pair that loses messages are over the same arcs",
        ),
        (lambda: networks.lossy(networks.push_pull(graphs.ring(6)), 1.0, "sender"), r"in \[0, 1\)"),
    ],
)
def test_pairs_that_cannot_lose_messages_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
