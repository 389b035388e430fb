"""A convolution whose kernel may differ from node to node, as one primitive with its own rule for `vmap`.

With T(x, w, y) = Σ x[b, s i + k, c] w[k, c, o] y[b, i, o], s the strides and x padded, the convolution is dT/dy, and
its two gradients are dT/dx and dT/dw. One primitive gives all three, each bilinear in the other two arrays, so it can
be differentiated any number of times in either mode. Under `vmap` the arrays get leading axes, of size 1 where they are
shared. How those are worked off is decided where the program is lowered, for the platform that it is lowered for.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

__all__ = ["CHOSEN", "WAYS", "Way", "convolve"]

Way = Literal["native", "native map", "im2col", "im2col map"]
WAYS: tuple[Way, ...] = ("native", "native map", "im2col", "im2col map")

# Measured on CPUs (benchmarks/convolution.py). Elsewhere by reasoning: a native convolution under vmap is a grouped
# one, which cuDNN runs slowly (github.com/pytorch/pytorch/issues/70954 and 73764), and a loop launches many small
# kernels.
CHOSEN: dict[str, Way] = {"cpu": "im2col map", "elsewhere": "im2col"}

_AXES = {"x": {"b": -4, "c": -1}, "w": {"c": -2, "o": -1}, "y": {"b": -4, "o": -1}}
_MISSING = {"x": "o", "w": "b", "y": "c"}  # the axis that the two others have
_NUMBERS = ("NHWC", "HWIO", "NHWC")


def convolve(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "kh kw c o"],
    strides: tuple[int, int],
    pads: tuple[tuple[int, int], tuple[int, int]],
    way: Way | None = None,
) -> Float[Array, "b h2 w2 o"]:
    """The two-dimensional convolution (cross-correlation) of images with a kernel; `way` None chooses by platform."""
    b, *sides, _ = x.shape
    sides = [(a + sum(p) - k) // s + 1 for a, k, s, p in zip(sides, kernel.shape, strides, pads, strict=False)]
    return _p.bind(x, kernel, of="y", shape=(b, *sides, kernel.shape[3]), strides=strides, pads=pads, way=way)


def _compute(first, second, *, of, shape, strides, pads, way, platform):
    how, _, loop = (way or CHOSEN.get(platform, CHOSEN["elsewhere"])).partition(" ")
    contract = partial(_native if how == "native" else _im2col, of=of, shape=shape, strides=strides, pads=pads)
    return _stacked(contract, *_others(of), of, first, second, _each if loop else jax.vmap)


def _others(of: str) -> tuple[str, str]:
    first, second = (name for name in "xwy" if name != of)
    return first, second


def _stacked(contract: Callable, one: str, two: str, of: str, first, second, over: Callable):
    """`contract` over the leading axes: what shares an array is one larger product, the rest goes through `over`."""
    if first.ndim == 4:
        return contract(first, second)
    again = lambda a, b: _stacked(contract, one, two, of, a, b, over)
    if first.shape[0] == 1:
        return _split(again(first[0], _merge(second, two, _MISSING[one])), of, _MISSING[one], second.shape[0])
    if second.shape[0] == 1:
        return _split(again(_merge(first, one, _MISSING[two]), second[0]), of, _MISSING[two], first.shape[0])
    return over(again)(first, second)


def _merge(a, name, axis):
    """The leading axis into another one, as its major part."""
    at = _AXES[name][axis]
    a = jnp.moveaxis(a, 0, at - 1)
    return a.reshape(*a.shape[: at - 1], -1, *a.shape[a.ndim + at + 1 :])


def _split(a, name, axis, size):
    at = a.ndim + _AXES[name][axis]
    return jnp.moveaxis(a.reshape(*a.shape[:at], size, -1, *a.shape[at + 1 :]), at, 0)


def _each(f: Callable) -> Callable:
    return lambda a, b: lax.map(lambda pair: f(*pair), (a, b))


def _native(first, second, *, of, shape, strides, pads):
    convolution = lambda x, w: lax.conv_general_dilated(x, w, strides, pads, dimension_numbers=_NUMBERS)
    if of == "y":
        return convolution(first, second)
    if of == "x":
        missing = jax.ShapeDtypeStruct((second.shape[0], *shape[1:3], first.shape[2]), first.dtype)
        return jax.linear_transpose(lambda x: convolution(x, first), missing)(second)[0]
    missing = jax.ShapeDtypeStruct((*shape[:2], first.shape[3], second.shape[3]), first.dtype)
    return jax.linear_transpose(lambda w: convolution(first, w), missing)(second)[0]


def _im2col(first, second, *, of, shape, strides, pads):
    """One matrix product. The samples are the minor axis of the patches, so that they are copied in long runs."""
    if of == "y":
        _, *sides, _ = shape
        kh, kw, c, o = second.shape
        columns = _patches(first, (kh, kw), sides, strides, pads)
        return (second.reshape(-1, o).T @ columns).reshape(o, *sides, -1).transpose(3, 1, 2, 0)
    if of == "x":
        kh, kw, c, o = first.shape
        b, *sides, _ = second.shape
        columns = first.reshape(-1, o) @ second.transpose(3, 1, 2, 0).reshape(o, -1)
        missing = jax.ShapeDtypeStruct((b, *shape[1:3], c), columns.dtype)
        return jax.linear_transpose(lambda x: _patches(x, (kh, kw), sides, strides, pads), missing)(columns)[0]
    kh, kw, *_ = shape
    _, *sides, o = second.shape
    columns = _patches(first, (kh, kw), sides, strides, pads)
    return (columns @ second.transpose(1, 2, 0, 3).reshape(-1, o)).reshape(kh, kw, first.shape[3], o)


def _patches(x, window, sides, strides, pads):
    """(kh kw c, h2 w2 b): what each entry of the kernel meets."""
    x = jnp.pad(x.transpose(3, 1, 2, 0), ((0, 0), *pads, (0, 0)))
    cut = lambda at: tuple(slice(k, k + s * (n - 1) + 1, s) for k, s, n in zip(at, strides, sides, strict=True))
    met = [x[:, *cut((i, j))] for i in range(window[0]) for j in range(window[1])]
    return jnp.concatenate(met).reshape(-1, math.prod(sides) * x.shape[3])


def _abstract(first, second, *, of, shape, strides, pads, way):
    lead = jnp.broadcast_shapes(first.shape[:-4], second.shape[:-4])
    return jax.core.ShapedArray((*lead, *shape), jnp.promote_types(first.dtype, second.dtype))


def _transpose(name: str, ct, first, second, *, of, shape, **options):
    one, two = _others(of)
    missing, known = (first, {two: second}) if name == "first" else (second, {one: first})
    wanted = one if name == "first" else two
    arrays = [(known | {of: ct})[each] for each in _others(wanted)]
    result = _p.bind(*arrays, of=wanted, shape=missing.aval.shape[-4:], **options)
    shared = tuple(k for k, size in enumerate(missing.aval.shape[:-4]) if size == 1)
    return jnp.sum(result, axis=shared, keepdims=True) if shared else result


def _batch(arrays, dims, **params):
    lead = [a[None] if d is None else jnp.moveaxis(a, d, 0) for a, d in zip(arrays, dims, strict=True)]
    return _p.bind(*lead, **params), 0


_p: Any = Primitive("convolve")
_p.def_abstract_eval(_abstract)
_p.def_impl(lambda a, b, **params: jax.jit(partial(_compute, **params, platform=jax.default_backend()))(a, b))
ad.defbilinear(_p, partial(_transpose, "first"), partial(_transpose, "second"))
batching.primitive_batchers[_p] = _batch
for _platform in ("cpu", None):
    mlir.register_lowering(
        _p, mlir.lower_fun(partial(_compute, platform=_platform), multiple_results=False), platform=_platform
    )
