"""Every network has the parameters of its paper, and the gradient of the same network written by hand."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from jax import lax

from jaxdec import models, nn

pytestmark = pytest.mark.sampled(3)

MNIST, CIFAR = (28, 28, 1), (32, 32, 3)


class ByHand:
    """The layers, written out with `jax.lax`; parameters are taken in the order of their use."""

    def __init__(self, parameters):
        self.parameters, self.used = parameters, {}

    def take(self, kind):
        k = self.used[kind] = self.used.get(kind, -1) + 1
        return self.parameters[f"{kind}_{k}"]

    def conv(self, x, padding=0, stride=1):
        p = self.take("Conv")
        numbers = ("NHWC", "HWIO", "NHWC")
        x = lax.conv_general_dilated(
            x, p["kernel"], (stride, stride), [(padding, padding)] * 2, dimension_numbers=numbers
        )
        return x + p["bias"][None, None, None] if "bias" in p else x

    def dense(self, x):
        p = self.take("Dense")
        return x @ p["kernel"] + p["bias"][None]

    def norm(self, x, groups):
        p = self.take("GroupNorm")
        b, h, w, c = x.shape
        x = x.reshape(b, h * w, groups, c // groups)
        x = x - x.mean(axis=(1, 3), keepdims=True)
        x = x / jnp.sqrt((x**2).mean(axis=(1, 3), keepdims=True) + 1e-5)
        return x.reshape(b, h, w, c) * p["scale"][None, None, None] + p["bias"][None, None, None]

    def pool(self, x):
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


relu = lambda x: jnp.where(x > 0, x, 0)
flat = lambda x: x.reshape(len(x), -1)


def softmax(net, x):
    return net.dense(flat(x))


def mlp(net, x):
    return net.dense(relu(net.dense(flat(x))))


def sigmoids(net, x):
    return net.dense(1 / (1 + jnp.exp(-net.dense(flat(x)))))


def mnist_cnn(net, x):
    x = relu(net.pool(net.conv(x)))
    x = relu(net.pool(net.conv(x)))
    return net.dense(relu(net.dense(flat(x))))


def fashion(net, x):
    x = net.pool(relu(net.conv(x, 1)))
    x = net.pool(relu(net.conv(x, 1)))
    return net.dense(relu(net.dense(flat(x))))


def lenet(net, x):
    x = net.pool(jnp.tanh(net.conv(x)))
    x = net.pool(jnp.tanh(net.conv(x)))
    return net.dense(jnp.tanh(net.dense(jnp.tanh(net.dense(flat(x))))))


def lenet_group_norm(net, x):
    x = net.norm(net.pool(relu(net.conv(x))), 2)
    x = net.norm(net.pool(relu(net.conv(x))), 4)
    return net.dense(relu(net.dense(relu(net.dense(flat(x))))))


def vgg(net, x):
    for plan in "1p", "1p", "11p", "11p", "11p":
        for what in plan:
            x = net.pool(x) if what == "p" else relu(net.norm(net.conv(x, 1), 8))
    return net.dense(flat(x))


def resnet(*counts):
    def network(net, x):
        x = relu(net.norm(net.conv(x, 1), 8))
        for stage, count in enumerate(counts):
            for k in range(count):
                stride = 2 if stage and not k else 1
                y = relu(net.norm(net.conv(x, 1, stride), 8))
                y = net.norm(net.conv(y, 1), 8)
                x = relu(y + (net.norm(net.conv(x, 0, stride), 8) if stride == 2 else x))
        return net.dense(x.mean(axis=(1, 2)))

    return network


# The parameters counted by hand, layer by layer; those of the papers are 21840, 421642 and 62006.
_BASIC = lambda i, o, first: 9 * o * (i + o) + 4 * o + (first and i != o) * (i * o + 2 * o)


def _resnet(counts):
    total, i = 9 * 3 * 64 + 2 * 64, 64
    for o, count in zip((64, 128, 256, 512), counts, strict=True):
        for k in range(count):
            total, i = total + _BASIC(i, o, k == 0), o
    return total + 5130


_VGG = sum(9 * i * o + 3 * o for i, o in itertools.pairwise((3, 64, 128, 256, 256, *[512] * 4)))

NETWORKS = {
    "softmax": (models.Softmax(), softmax, MNIST, 7850),
    "MLP": (models.MLP((100,)), mlp, MNIST, 79510),
    "sigmoids": (models.SigmoidNet(), sigmoids, MNIST, 7960),
    "MNIST-CNN": (models.MNISTCNN(), mnist_cnn, MNIST, 21840),
    "FashionSimpleNet": (models.FashionSimpleNet(), fashion, MNIST, 421642),
    "LeNet": (models.LeNet(), lenet, CIFAR, 62006),
    "LeNet, GroupNorm": (models.LeNetGroupNorm(), lenet_group_norm, CIFAR, 62006 + 2 * (6 + 16)),
    "VGG-11": (models.VGG11(), vgg, CIFAR, _VGG + 5130),
    "ResNet-18": (models.ResNet(18), resnet(2, 2, 2, 2), CIFAR, _resnet((2, 2, 2, 2))),
    "ResNet-34": (models.ResNet(34), resnet(3, 4, 6, 3), CIFAR, _resnet((3, 4, 6, 3))),
}
BIG = ("VGG-11", "ResNet-18", "ResNet-34")
each = pytest.mark.parametrize("name", [pytest.param(k, marks=pytest.mark.slow) if k in BIG else k for k in NETWORKS])


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_are_as_many_as_in_the_papers(name):
    network, _, shape, count = NETWORKS[name]
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, *shape)))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == count
    assert set(variables) == {"params"}


def test_the_counts_of_the_big_ones_are_the_known_ones():
    assert [NETWORKS[name][3] for name in BIG] == [9231114, 11173962, 21282122]


@each
@pytest.mark.thinned(2)
def test_gradients_are_those_of_the_network_written_by_hand(name):
    network, by_hand, shape, _ = NETWORKS[name]
    rng = np.random.default_rng(1)
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, *shape)))["params"]
    wide = lambda leaf: rng.standard_normal(leaf.shape) / max(1, np.prod(leaf.shape[:-1])) ** 0.5
    variables = jax.tree.map(lambda leaf: jnp.asarray(wide(leaf)), variables)
    images, labels = jnp.asarray(rng.standard_normal((2, *shape))), jnp.asarray([3, 7])

    def loss(logits):
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(2), labels])

    ours, theirs = jax.jit(
        lambda p: (
            jax.value_and_grad(lambda p: loss(network.apply({"params": p}, images)))(p),
            jax.value_and_grad(lambda p: loss(by_hand(ByHand(p), images)))(p),
        )
    )(variables)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * float(jnp.max(jnp.abs(b))))


def test_dropout_drops_whole_channels_and_half_of_the_units():
    network, images = models.MNISTCNN(), jnp.ones((64, *MNIST))
    catch = {"capture_intermediates": lambda module, _: isinstance(module, linen.Dropout), "mutable": True}

    @jax.jit
    def states(key):
        variables = network.init(jax.random.key(0), images)
        noisy = network.apply(variables, images, train=True, rngs={"dropout": key}, **catch)[1]
        return noisy, network.apply(variables, images, **catch)[1]

    noisy, plain = states(jax.random.key(1))
    (channels, units), (whole, _) = (
        [state["intermediates"][f"Dropout_{k}"]["__call__"][0] for k in (0, 1)] for state in (noisy, plain)
    )
    kept = np.asarray(jnp.any(channels != 0, axis=(1, 2)))
    np.testing.assert_allclose(channels, 2 * whole * kept[:, None, None], rtol=1e-6)
    assert abs(kept.mean() - 0.5) < 0.1
    assert np.mean(np.asarray(units) == 0) > 0.4


def test_a_depth_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="depth of 18 or 34; got 50"):
        models.ResNet(50).init(jax.random.key(0), jnp.zeros((1, *CIFAR)))  # type: ignore[arg-type]


@pytest.mark.slow
def test_another_convolution_can_be_put_in():
    images = jnp.asarray(np.random.default_rng(2).standard_normal((2, *MNIST)))
    native = models.MNISTCNN(conv=partial(nn.Conv, conv_general_dilated=nn.convolution("native")))
    variables = models.MNISTCNN().init(jax.random.key(0), images)
    np.testing.assert_allclose(native.apply(variables, images), models.MNISTCNN().apply(variables, images), atol=1e-10)


@pytest.mark.parametrize("network", [models.MNISTCNN(), models.FashionSimpleNet()])
def test_networks_of_pytorch_start_as_its_layers_do(network):
    """Weights and biases uniform in ±1/√fan_in, of every layer its own."""
    variables = network.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))["params"]
    for layer in variables.values():
        bound = np.prod(layer["kernel"].shape[:-1]) ** -0.5
        for drawn in layer.values():
            assert np.abs(drawn).max() <= bound
            assert np.abs(np.abs(drawn).mean() / bound - 1 / 2) < 4 / np.sqrt(12 * drawn.size)
