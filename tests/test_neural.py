"""Neural problems: the vector of parameters is the network's, and losses are those of Flax and optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen

from jaxdec import data, networks, problems, run
from jaxdec.algorithms import DSGD

rng = np.random.default_rng(0)
IMAGES = rng.integers(256, size=(24, 4, 4, 1), dtype=np.uint8)
LABELS = np.arange(24) % 3
PICTURES = data.dataset(IMAGES, LABELS, test_inputs=IMAGES[:6], test_targets=LABELS[:6])


class Small(linen.Module):
    """A convolution and a dense layer."""

    @linen.compact
    def __call__(self, x):
        x = linen.tanh(linen.Conv(2, (3, 3))(x))
        return linen.Dense(3)(x.reshape(len(x), -1))


def problem(network=None, **options):
    return problems.neural(network or Small(), PICTURES, data.iid(PICTURES, n=4), **options)


def test_losses_and_gradients_are_those_of_the_network():
    p, network = problem(batch_size=3, l2=0.1), Small()
    variables = network.init(jax.random.key(7), jnp.zeros((1, 4, 4, 1)))
    x = p.init(jax.random.key(7))
    leaves = jax.tree.leaves(variables)
    assert p.blocks == tuple(leaf.size for leaf in leaves)
    np.testing.assert_allclose(x, np.concatenate([leaf.ravel() for leaf in leaves]), rtol=1e-6)

    @jax.jit
    @jax.value_and_grad
    def loss(variables, images, labels):
        size = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(variables))
        logits = network.apply(variables, images)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels)) + 0.05 * size

    variables = jax.tree.map(lambda a: jnp.asarray(a, float), variables)
    x = jnp.tile(jnp.asarray(x, float), (4, 1))
    batch = p.sample(jax.random.key(0), 5)
    for positions in (batch, None):
        values, slopes = jax.jit(lambda b: (p.loss(x, b), p.grad(x, b)))(positions)
        for i, row in enumerate(np.asarray(p.indices)):
            index = row if positions is None else row[np.asarray(positions[i])]
            value, slope = loss(variables, IMAGES[index] / 255, LABELS[index])
            np.testing.assert_allclose(values[i], value, rtol=1e-10)
            flat = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(slope)])
            np.testing.assert_allclose(slopes[i], flat, rtol=0, atol=1e-10)
    right = jnp.argmax(network.apply(variables, jnp.asarray(IMAGES[:6] / 255)), axis=1) == LABELS[:6]
    assert float(p.test(x[0])["test_accuracy"]) == pytest.approx(float(jnp.mean(right)))


def test_equal_networks_share_a_program():
    traced = []

    def counted(p, x):
        traced.append(1)
        return p.loss(x)

    f = jax.jit(counted)
    x = jnp.zeros((4, problem().d))
    f(problem(l2=0.1), x), f(problem(l2=0.2), x)
    assert len(traced) == 1


def test_a_network_learns_on_a_network_of_nodes():
    result = run(DSGD(lr=0.5), problem(batch_size=6), networks.ring(4), rounds=100, every=100)
    assert result.metrics["loss"][-1] < 0.5 * result.metrics["loss"][0]


class Normalized(linen.Module):
    """A network with batch statistics."""

    @linen.compact
    def __call__(self, x):
        return linen.Dense(3)(linen.BatchNorm(use_running_average=False)(x.reshape(len(x), -1)))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (linen.Sequential([lambda x: x.reshape(len(x), -1), linen.Dense(2)]), r"to \(2, 2\); expected \(2, 3\)"),
        (Normalized(), "collections batch_stats .* Use GroupNorm"),
        (linen.Sequential([lambda x: x.reshape(len(x), -1)[:, :3]]), "no parameters"),
    ],
)
def test_networks_that_do_not_fit_are_refused(network, message):
    with pytest.raises(ValueError, match=message):
        problem(network)


def test_real_targets_are_refused():
    line = data.synthetic_regression(20, 3)
    with pytest.raises(ValueError, match=r"real targets\. Use least_squares"):
        problems.neural(linen.Dense(1), line, data.iid(line, n=2))
