"""The networks of the papers, as Flax modules that map (b, height, width, channels) to (b, classes).

`Transformer` maps tokens (b, length) to scores of the next one, (b, length, classes).

A network with dropout has an argument `train`; `problems.neural` sets it for the gradients of minibatches. `conv` is
the layer that convolves: `nn.Conv`, which is fast for per-node weights, or another with the arguments of `linen.Conv`.

`MNISTCNN`, `FashionSimpleNet` and `LeNet` start as the layers of PyTorch do, weights and biases uniform in ±1/√fan_in:
of a third of the variance that the others have from Flax, with which MCM loses 7 points of accuracy in its first ten
epochs on MNIST.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen

from jaxdec.nn import layers as nn

__all__ = [
    "MLP",
    "MNISTCNN",
    "VGG11",
    "FashionSimpleNet",
    "LeNet",
    "LeNetGroupNorm",
    "ResNet",
    "SigmoidNet",
    "Softmax",
    "Transformer",
]

_pool = partial(nn.max_pool, window_shape=(2, 2), strides=(2, 2))
_norm = partial(linen.GroupNorm, epsilon=1e-5)  # that of PyTorch


def _flat(x):
    return x.reshape(len(x), -1)


def _as_in_pytorch(fan_in: int) -> dict[str, Any]:
    """How layers of PyTorch start: weights and biases uniform in ±1/√fan_in."""

    def within(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -(fan_in**-0.5), fan_in**-0.5)

    return {"kernel_init": within, "bias_init": within}


def _dense(features, x):
    return linen.Dense(features, **_as_in_pytorch(x.shape[-1]))(x)


def _conv(kind, channels, side, x, **how):
    return kind(channels, (side, side), **how, **_as_in_pytorch(side**2 * x.shape[-1]))(x)


class Softmax(linen.Module):
    """Softmax regression: one dense layer."""

    classes: int = 10

    @linen.compact
    def __call__(self, x):
        return linen.Dense(self.classes)(_flat(x))


class MLP(linen.Module):
    """A perceptron with hidden layers of rectified units.

    >>> import jax
    >>> MLP((64, 32), classes=3).init_with_output(jax.random.key(0), jnp.ones((2, 8, 8, 1)))[0].shape
    (2, 3)
    """

    hidden: Sequence[int] = (100,)
    classes: int = 10

    @linen.compact
    def __call__(self, x):
        x = _flat(x)
        for features in self.hidden:
            x = linen.relu(linen.Dense(features)(x))
        return linen.Dense(self.classes)(x)


class SigmoidNet(linen.Module):
    """One hidden layer of ten sigmoid units, of quantized push-sum: Taheri et al. (2020), arXiv:2002.09964."""

    hidden: int = 10
    classes: int = 10

    @linen.compact
    def __call__(self, x):
        x = linen.sigmoid(linen.Dense(self.hidden)(_flat(x)))
        return linen.Dense(self.classes)(x)


class MNISTCNN(linen.Module):
    """The network of PyTorch's first MNIST example: 21 840 parameters for 28 x 28 x 1.

    Two convolutions, the second with dropout of whole channels, and two dense layers with dropout between; both rates
    are 1/2. It is the MNIST network of Philippenko and Dieuleveut (2021), arXiv:2102.12528.
    """

    classes: int = 10
    conv: Any = nn.Conv

    @linen.compact
    def __call__(self, x, train: bool = False):
        x = linen.relu(_pool(_conv(self.conv, 10, 5, x, padding="VALID")))
        x = _conv(self.conv, 20, 5, x, padding="VALID")
        x = linen.Dropout(0.5, broadcast_dims=(1, 2), deterministic=not train)(x)
        x = linen.relu(_dense(50, _flat(linen.relu(_pool(x)))))
        x = linen.Dropout(0.5, deterministic=not train)(x)
        return _dense(self.classes, x)


class FashionSimpleNet(linen.Module):
    """The Fashion-MNIST network of arXiv:2102.12528: 421 642 parameters for 28 x 28 x 1.

    Two 3 x 3 convolutions with 32 and 64 channels, each rectified and pooled, then dropout with rate 1/2 and dense
    layers of 128 and 10.
    """

    classes: int = 10
    conv: Any = nn.Conv

    @linen.compact
    def __call__(self, x, train: bool = False):
        x = _pool(linen.relu(_conv(self.conv, 32, 3, x, padding=1)))
        x = _pool(linen.relu(_conv(self.conv, 64, 3, x, padding=1)))
        x = linen.Dropout(0.5, deterministic=not train)(_flat(x))
        x = linen.relu(_dense(128, x))
        return _dense(self.classes, x)


class LeNet(linen.Module):
    """LeNet with tanh, the CIFAR-10 network of arXiv:2102.12528: 62 006 parameters for 32 x 32 x 3.

    Convolutions of 5 x 5 to 6 and 16 channels, dense layers of 120, 84 and 10. How it pools is a choice, here the
    maximum over 2 x 2.
    """

    classes: int = 10
    conv: Any = nn.Conv

    @linen.compact
    def __call__(self, x):
        for channels in (6, 16):
            x = _pool(linen.tanh(_conv(self.conv, channels, 5, x, padding="VALID")))
        x = _flat(x)
        for features in (120, 84):
            x = linen.tanh(_dense(features, x))
        return _dense(self.classes, x)


class LeNetGroupNorm(linen.Module):
    """LeNet with GroupNorm of Momentum Tracking, arXiv:2209.15505: 62 050 parameters for 32 x 32 x 3.

    Each of the two convolutions is rectified, pooled and then normalized, in 2 and in 4 groups, as in
    github.com/yukiTakezawa/MomentumTracking, model/lenet_cifar10.py.
    """

    classes: int = 10
    conv: Any = nn.Conv

    @linen.compact
    def __call__(self, x):
        for channels, groups in ((6, 2), (16, 4)):
            x = _norm(groups)(_pool(linen.relu(self.conv(channels, (5, 5), padding="VALID")(x))))
        x = _flat(x)
        for features in (120, 84):
            x = linen.relu(linen.Dense(features)(x))
        return linen.Dense(self.classes)(x)


class VGG11(linen.Module):
    """VGG-11 with GroupNorm in 8 groups, of arXiv:2209.15505: 9 231 114 parameters for 32 x 32 x 3.

    3 x 3 convolutions, each normalized and rectified, with five poolings, and one dense layer, as in
    github.com/yukiTakezawa/MomentumTracking, model/vgg.py.
    """

    classes: int = 10
    conv: Any = nn.Conv

    @linen.compact
    def __call__(self, x):
        for stage in ((64,), (128,), (256, 256), (512, 512), (512, 512)):
            for channels in stage:
                x = linen.relu(_norm(8)(self.conv(channels, (3, 3), padding=1)(x)))
            x = _pool(x)
        return linen.Dense(self.classes)(_flat(x))


class ResNet(linen.Module):
    """ResNet-18 or ResNet-34 for small images, with GroupNorm in 8 groups: 11 173 962 or 21 282 122 parameters.

    A 3 x 3 convolution to 64 channels and four stages of two-convolution blocks with 64, 128, 256 and 512 channels, the
    last three halving the image, then the mean over the image and a dense layer: He et al. (2015), arXiv:1512.03385,
    without the first pooling, which is for larger images. No convolution has a bias.
    """

    depth: Literal[18, 34] = 18
    classes: int = 10
    conv: Any = nn.Conv

    @linen.compact
    def __call__(self, x):
        blocks = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
        if self.depth not in blocks:
            raise ValueError(f"ResNet has a depth of 18 or 34; got {self.depth}")
        x = linen.relu(_norm(8)(self._convolution(64, 3)(x)))
        for stage, count in enumerate(blocks[self.depth]):
            for k in range(count):
                x = self._block(x, 64 * 2**stage, stride=2 if stage > 0 and k == 0 else 1)
        return linen.Dense(self.classes)(jnp.mean(x, axis=(1, 2)))

    def _convolution(self, channels: int, size: int, stride: int = 1):
        return self.conv(channels, (size, size), strides=(stride, stride), padding=size // 2, use_bias=False)

    def _block(self, x, channels: int, stride: int):
        y = linen.relu(_norm(8)(self._convolution(channels, 3, stride)(x)))
        y = _norm(8)(self._convolution(channels, 3)(y))
        if x.shape != y.shape:
            x = _norm(8)(self._convolution(channels, 1, stride)(x))
        return linen.relu(x + y)


class Transformer(linen.Module):
    """A small decoder that scores the next token at each place: some 117 000 parameters for `data.text()`.

    Tokens and places are embedded; each layer adds causal attention and then two dense layers, four times as wide
    between, with GELU, both of what is normalized; a last normalization and a dense layer give the scores. It is the
    decoder of Vaswani et al. (2017), arXiv:1706.03762, with the normalization in front, as in GPT-2, and a table of
    places that is learnt. Its length is that of the samples.

    >>> import jax
    >>> tokens = jnp.arange(10).reshape(2, 5)
    >>> Transformer(classes=10, width=16, heads=2).init_with_output(jax.random.key(0), tokens)[0].shape
    (2, 5, 10)
    """

    classes: int
    layers: int = 2
    width: int = 64
    heads: int = 4

    @linen.compact
    def __call__(self, tokens):
        place = self.param("places", linen.initializers.normal(0.02), (tokens.shape[1], self.width))
        x = linen.Embed(self.classes, self.width, name="tokens")(tokens) + place[None]
        for k in range(self.layers):
            x = _Layer(self.heads, name=f"layer_{k}")(x)
        return linen.Dense(self.classes, name="scores")(linen.LayerNorm()(x))


class _Layer(linen.Module):
    """A layer of the transformer, whose kernels are matrices."""

    heads: int

    @linen.compact
    def __call__(self, x):
        b, length, width = x.shape
        queries_keys_values = linen.Dense(3 * width, name="attention")(linen.LayerNorm()(x))
        q, k, v = jnp.moveaxis(queries_keys_values.reshape(b, length, 3, self.heads, -1), 2, 0)
        heard = jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(x.shape)
        x = x + linen.Dense(width, name="heard")(heard)
        wide = linen.gelu(linen.Dense(4 * width, name="wide")(linen.LayerNorm()(x)))
        return x + linen.Dense(width, name="narrow")(wide)
