"""What the exhibits on compressed methods are made of; `test_exhibits.py` judges their claims."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec import algorithms, networks, problems, run
from jaxdec.compressors import Identity
from jaxdec.papers import beer, bits


def test_no_hessian_of_the_mean_loss_exceeds_one_and_one_is_attained():
    inputs = np.asarray(beer.scaled("breast cancer").inputs)
    np.testing.assert_allclose(inputs[:, -1], inputs[0, -1], rtol=1e-12)
    most = np.linalg.eigvalsh(inputs.T @ inputs / len(inputs) / 4)[-1]
    np.testing.assert_allclose(most, 1.0, rtol=1e-10)


def test_the_ring_has_the_weights_that_average_fastest():
    W = np.asarray(beer.network().W.dense())
    own = 1 - 4 / (2 * (1 - np.cos(2 * np.pi / beer.NODES)) + 4)
    np.testing.assert_allclose(np.diag(W), own, rtol=1e-10)
    np.testing.assert_allclose(W.sum(axis=0), 1, rtol=1e-12)
    eigenvalues = np.linalg.eigvalsh(W)
    np.testing.assert_allclose(eigenvalues[0], -eigenvalues[-2], rtol=1e-10)


def test_the_error_is_one_at_zero_and_zero_at_the_minimizer():
    one = bits.problem("breast cancer", 0.1)
    x = jnp.broadcast_to(one.minimizer, (bits.NODES, one.d))
    for scale, expected in ((0.0, 1.0), (1.0, 0.0), (3.0, 2.0)):
        found = bits.error(one, SimpleNamespace(x=scale * x))
        np.testing.assert_allclose(found, expected, atol=1e-14)


def test_messages_are_of_about_the_same_length():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((1, 124)))
    lengths = [
        float(np.max(method.compressor(jax.random.key(0), x, (124,)).bits))
        for place in (bits.TORUS, bits.SERVER)
        for name, method in bits.methods(place, 6).items()
        if "32 bits" not in name
    ]
    assert len(lengths) == 12
    assert max(lengths) < 1.05 * min(lengths) < 300


def test_plain_messages_that_are_whole_make_gradient_descent():
    problem, network = problems.quadratic(6, 3, zeta=1.0), networks.server(6)
    ends = [
        run(method, problem, network, rounds=20, every=20, metrics=()).state.x
        for method in (bits.Plain(lr=0.1, compressor=Identity()), algorithms.SGD(lr=0.1))
    ]
    np.testing.assert_allclose(*ends, rtol=0, atol=1e-12)


@pytest.mark.parametrize("place", [bits.TORUS, bits.SERVER])
def test_every_compressed_method_of_the_figure_is_named_by_what_it_sends(place):
    for name, method in bits.methods(place, 3).items():
        assert ("top 3" in name) == ("TopK(k=3)" in repr(method))
