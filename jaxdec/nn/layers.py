"""Layers for networks whose weights differ from node to node: used like those of Flax, and fast under `vmap`.

`vmap` makes of a convolution with per-node kernels a grouped convolution, which is slow. `Conv` and `convolution`
choose another way where that is faster, by the platform that the program is compiled for; benchmarks/convolution.py has
the table. The pooling here takes maxima of slices where windows do not overlap, which spares the slow gradient of
`lax.reduce_window`.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax.numpy as jnp
from flax import linen
from jax import lax
from jaxtyping import Array, Float

from jaxdec.nn.per_node import WAYS, Way, convolve

__all__ = ["Conv", "Way", "avg_pool", "convolution", "max_pool"]


@cache
def convolution(way: Way | None = None) -> Callable[..., Array]:
    """A stand-in for `jax.lax.conv_general_dilated`, with the same arguments.

    It covers two-dimensional convolutions of (b, h, w, c) with (kh, kw, c, o) without dilation or groups, of any
    strides and padding, and hands all others to `lax` as they are. Flax's nnx takes it too:
    `nnx.Conv(..., conv_general_dilated=convolution())`.

    Args:
        way: "native" is `lax.conv_general_dilated`, "im2col" a matrix product; with " map" kernels that differ are
            worked off one after the other, without it together. None chooses by platform.

    Raises:
        ValueError: if there is no such way; when called, if the kernel is larger than the padded images.

    >>> x, kernel = jnp.ones((2, 8, 8, 3)), jnp.ones((5, 5, 3, 6))
    >>> convolution()(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")).shape
    (2, 4, 4, 6)
    """
    if way is not None and way not in WAYS:
        raise ValueError(f"no way of convolution {way!r}; expected one of {', '.join(WAYS)}, or None to choose")

    def conv_general_dilated(lhs, rhs, window_strides, padding, *, dimension_numbers=None, **options):
        numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
        plain = numbers == lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
        if not plain or any(not _default(value) for value in options.values()):
            return lax.conv_general_dilated(
                lhs, rhs, window_strides, padding, dimension_numbers=dimension_numbers, **options
            )
        strides: Any = tuple(int(s) for s in window_strides)
        if isinstance(padding, str):
            padding = lax.padtype_to_pads(lhs.shape[1:3], rhs.shape[:2], strides, padding)
        pads: Any = tuple((int(low), int(high)) for low, high in padding)
        if any(a + sum(p) < k for a, p, k in zip(lhs.shape[1:3], pads, rhs.shape[:2], strict=True)):
            raise ValueError(
                f"a kernel of {rhs.shape[0]} x {rhs.shape[1]} does not fit into images of {lhs.shape[1]} x "
                f"{lhs.shape[2]} with padding {pads}; give the network larger images, or pad"
            )
        dtype = jnp.result_type(lhs, rhs)
        return convolve(lhs.astype(dtype), rhs.astype(dtype), strides, pads, way)

    return conv_general_dilated


def _default(value: Any) -> bool:
    """Whether a dilation, group count or precision is what it is when not given."""
    return value is None or (all(v == 1 for v in value) if isinstance(value, Sequence) else value == 1)


class Conv(linen.Conv):
    """`flax.linen.Conv`, with `convolution` behind it; the parameters are the same.

    >>> import jax
    >>> variables = Conv(6, (5, 5), padding="VALID").init(jax.random.key(0), jnp.ones((2, 32, 32, 3)))
    >>> jax.tree.map(jnp.shape, variables["params"])
    {'bias': (6,), 'kernel': (5, 5, 3, 6)}
    """

    conv_general_dilated: Any = convolution()


def max_pool(
    inputs: Float[Array, "b h w c"],
    window_shape: tuple[int, int],
    strides: tuple[int, int] | None = None,
    padding: Any = "VALID",
) -> Float[Array, "b h2 w2 c"]:
    """`flax.linen.max_pool`: the strides are 1 where not given. Of equal entries the first gets the whole gradient.

    >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1), (2, 2), strides=(2, 2))[0, :, :, 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """
    if strides != window_shape or padding != "VALID":
        return linen.max_pool(inputs, window_shape, strides, padding)
    x = _windows(inputs, window_shape)
    return _largest(_largest(x, 4), 2)


def avg_pool(
    inputs: Float[Array, "b h w c"],
    window_shape: tuple[int, int],
    strides: tuple[int, int] | None = None,
    padding: Any = "VALID",
    count_include_pad: bool = True,
) -> Float[Array, "b h2 w2 c"]:
    """`flax.linen.avg_pool`: the strides are 1 where not given.

    >>> avg_pool(jnp.arange(16.0).reshape(1, 4, 4, 1), (2, 2), strides=(2, 2))[0, :, :, 0].tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    if strides != window_shape or padding != "VALID":
        return linen.avg_pool(inputs, window_shape, strides, padding, count_include_pad)
    return jnp.mean(_windows(inputs, window_shape), axis=(2, 4))


def _windows(x, window):
    """(b, h2, kh, w2, kw, c); rows and columns that fill no window are left out."""
    (b, h, w, c), (kh, kw) = x.shape, window
    if h < kh or w < kw:
        raise ValueError(f"a window of {kh} x {kw} does not fit into images of {h} x {w}; give larger images")
    return x[:, : h // kh * kh, : w // kw * kw].reshape(b, h // kh, kh, w // kw, kw, c)


def _largest(x, axis):
    """The maximum along an axis, nan where there is one. Of equal entries the first gets the gradient, as in `lax`."""
    best, *others = (lax.index_in_dim(x, k, axis, keepdims=False) for k in range(x.shape[axis]))
    for other in others:
        best = jnp.where((best >= other) | jnp.isnan(best), best, other)
    return best
