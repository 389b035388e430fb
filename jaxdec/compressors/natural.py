"""Compressors that round to powers of two, and ternary ones."""

import math
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.compressors.maps import Blocks, Message, Quantization, _blockwise, _constant
from jaxdec.types import Iterates, PRNGKey, ScalarLike, Vector

__all__ = ["NaturalCompression", "NaturalDithering", "ternary"]


@module
class NaturalCompression:
    r"""Natural compression: each entry is rounded at random to one of the two powers of two next to it. Unbiased.

    ::

        C(x)_j = sign(x_j) 2^e (1 + [u_j < |x_j| / 2^e - 1]),   2^e ≤ |x_j| < 2^(e+1),   u_j uniform on [0, 1);
        C(0) = 0

    Variance: (|x_j| - 2^e) (2^(e+1) - |x_j|) of each entry, at most x_j² / 8, attained at |x_j| = (4/3) 2^e. So
    omega = 1/8 in every dimension.
    Bits: 9 d, a sign and the 8 bits of a float32's exponent, in which 0 has a code of its own.
    Reference: Horváth, Ho, Horváth, Sahu, Canini, Richtárik (2019), arXiv:1905.10988.

    >>> NaturalCompression()(jax.random.key(0), jnp.array([[1.0, -4.0, 0.0]]))
    Message(value=Array([[ 1., -4.,  0.]], dtype=float...), bits=27)
    """

    unbiased: ClassVar[bool] = True

    def check(self) -> None: ...

    def __call__(self, key: PRNGKey, x: Iterates, blocks: Blocks | None = None) -> Message:
        return Message(_rounded(x, jax.random.uniform(key, x.shape, x.dtype)), 9 * x.shape[1])

    def omega(self, blocks: Blocks) -> float:
        return 1 / 8


@module
class NaturalDithering:
    r"""Natural dithering: entries are rounded at random to 0, 2^(1-s), ..., 1/4, 1/2 or 1 times the vector's norm.

    ::

        C(x)_j = ‖x‖ sign(x_j) times |x_j| / ‖x‖ rounded at random to the level below or above it;   C(0) = 0

    Symbols: s is `levels`, traced; `norm` is "l2" or "linf".
    omega: entries of at least 2^(1-s) add at most x_j² / 8, as for `NaturalCompression`, and those below l = 2^(1-s)
    y (l - y) ‖x‖² with y = |x_j| / ‖x‖. In the l2 norm these are at most min(√d l, d l² / 4), in the l∞ norm, as for
    `Quantization`, (√(1 + (d-1) l²) - 1) / 2; omega is 1/8 more. Derived here.
    Bits: 32 for each norm, and ⌈d log2(2s + 1)⌉ for the entries: with the same number of levels as `Quantization` at
    the same length, but dense near zero.
    Reference: Horváth, Ho, Horváth, Sahu, Canini, Richtárik (2019), arXiv:1905.10988, with base 2.

    >>> message = NaturalDithering(levels=3, norm="linf")(jax.random.key(0), jnp.array([[8.0, -4.0, 2.0, 0.0]]))
    >>> message.value, float(message.bits)
    (Array([[ 8., -4.,  2.,  0.]], dtype=float...), 44.0)
    """

    unbiased: ClassVar[bool] = True
    levels: ScalarLike
    norm: Literal["l2", "linf"] = static(default="l2")
    per_block: bool = static(default=False)

    def check(self) -> None:
        if not checks.bounded(self.levels, lambda s: np.isfinite(s) & (s >= 1) & (np.floor(s) == s)):
            raise ValueError(f"NaturalDithering.levels is an integer of at least 1; got {self.levels}")
        checks.choice("NaturalDithering.norm", self.norm, ("l2", "linf"))

    def __call__(self, key: PRNGKey, x: Iterates, blocks: Blocks | None = None) -> Message:
        s = jnp.asarray(self.levels, x.dtype)

        def dither(x, u):
            norm = jnp.linalg.norm(x, 2 if self.norm == "l2" else np.inf, axis=1, keepdims=True)
            y, least = x / jnp.where(norm == 0, 1, norm), 2 ** (1 - s)
            level = jnp.where(jnp.abs(y) < least, jnp.sign(y) * least * (u < jnp.abs(y) / least), _rounded(y, u))
            return Message(norm * jnp.clip(level, -1, 1), 32 + jnp.ceil(x.shape[1] * jnp.log2(2 * s + 1)))

        return _blockwise(dither, self, blocks, x, jax.random.uniform(key, x.shape, x.dtype))

    def omega(self, blocks: Blocks) -> ScalarLike | Vector:
        l = 2.0 ** (1 - self.levels)
        if self.norm == "l2":
            return _constant(lambda d: 1 / 8 + jnp.minimum(math.sqrt(d) * l, d * l**2 / 4), self, blocks)
        return _constant(lambda d: 1 / 8 + (jnp.sqrt(1 + (d - 1) * l**2) - 1) / 2, self, blocks)


def ternary(per_block: bool = False) -> Quantization:
    """Ternary quantization, TernGrad: the largest magnitude, and 0 or a sign for each entry. Unbiased.

    C(x)_j = max|x| sign(x_j) [u_j < |x_j| / max|x|]: `Quantization` with one level in the l∞ norm.
    Reference: Wen, Xu, Yan, Wu, Wang, Chen, Li (2017), arXiv:1705.07878, without its clipping.

    Args:
        per_block: whether each parameter tensor has a magnitude of its own, the paper's layer-wise form.

    >>> ternary()
    Quantization(levels=1, norm='linf')
    """
    return Quantization(levels=1, norm="linf", per_block=per_block)


def _rounded(x: Float[Array, "n d"], u: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """To a power of two next to each entry, so that the mean is the entry; what is not finite stays as it is."""
    mantissa, exponent = jnp.frexp(jnp.abs(x))  # in [1/2, 1), and 0 for 0
    power = jnp.ldexp(jnp.where(u < 2 * mantissa - 1, 1.0, 0.5).astype(x.dtype), exponent)
    return jnp.where(jnp.isfinite(x), jnp.sign(x) * power, x)
