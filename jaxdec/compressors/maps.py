"""Compressors: what a node sends instead of its vector, and how many bits that takes.

One draw per row, made before anything else and of the shape of x, so that all configurations of a seed see the same
numbers. `blocks` are the sizes of the parameter tensors inside d; with per_block=True each of them is compressed on its
own, with its own norm and its own constants.

| compressor | unbiased | constant, E‖C(x) - x‖² ≤ omega ‖x‖² or ≤ (1 - delta) ‖x‖² | bits of a message |
|---|---|---|---|
| `Identity` | yes | omega = 0, delta = 1 | 32 d |
| `Quantization(levels)` | yes | omega = min(d / s², √d / s) in the l2 norm | 32 + ⌈d log2(2s + 1)⌉, or in a code |
| `NaturalCompression()` | yes | omega = 1/8 | 9 d |
| `NaturalDithering(levels)` | yes | omega = 1/8 + min(√d l, d l² / 4) in the l2 norm, l = 2^(1-s) | as `Quantization` |
| `ternary()` | yes | omega of `Quantization(1, "linf")` | 32 + ⌈d log2(3)⌉ |
| `RandK(k)` | yes | omega = d / k - 1 | 32 k |
| `RandP(p)` | yes | omega = (1 - p) / p | 32 for each entry kept |
| `TopK(k)` | no | delta = k / d | k (32 + ⌈log2 d⌉) |
| `ScaledSign()` | no | delta = 1 / d | 32 + d |
| `RankR(rank)`, of symmetric (d, d) matrices | no | delta = rank / d | rank (32 d + 1) |
| `Scaled(compressor)` | no | delta = 1 / (1 + omega) | the compressor's |
"""

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.compressors import codes
from jaxdec.compressors.largest import largest
from jaxdec.types import Iterates, PRNGKey, ScalarLike, Vector

__all__ = [
    "Blocks",
    "Compressor",
    "Identity",
    "Message",
    "Quantization",
    "RandK",
    "RandP",
    "Scaled",
    "ScaledSign",
    "TopK",
    "bits_authors",
    "levels_for_bits",
    "require_compressor",
    "require_contractive",
    "require_three_point",
    "require_unbiased",
]

Blocks = tuple[int, ...]


class Message(NamedTuple):
    """What the rows of x become at the receivers."""

    value: Iterates  # (n, d), what is decoded
    bits: ScalarLike | Float[Array, " n"]  # the length of a row's message; one number where all rows' are equal

    @property
    def mean_bits(self) -> ScalarLike:
        """The mean length over the rows, for `Cost`: a Python number where the length is known in advance."""
        return self.bits if isinstance(self.bits, int | float) else jnp.mean(self.bits)


class Compressor(Protocol):
    """A random map of the rows of x, with its constant: `omega` if it is unbiased, `delta` if it is contractive."""

    unbiased: ClassVar[bool]  # whether E C(x) = x

    def __call__(self, key: PRNGKey, x: Iterates, blocks: Blocks | None = None) -> Message: ...
    def check(self) -> None: ...


@module
class Identity:
    """C(x) = x: no compression, at 32 bits an entry."""

    unbiased: ClassVar[bool] = True

    def __call__(self, key: PRNGKey, x: Iterates, blocks: Blocks | None = None) -> Message:
        return Message(x, 32 * x.shape[1])

    def omega(self, blocks: Blocks) -> float:
        return 0.0

    def delta(self, blocks: Blocks) -> float:
        return 1.0

    def check(self) -> None: ...


@module
class Quantization:
    r"""s-quantization (QSGD): each entry is rounded at random to one of s levels of the vector's norm.

    ::

        C(x)_j = ‖x‖ sign(x_j) floor(s |x_j| / ‖x‖ + u_j) / s,   u_j uniform on [0, 1);   C(0) = 0

    Symbols: s is `levels`, traced, since no shape depends on it; `norm` is "l2" or "linf".
    Variance: E‖C(x) - x‖² = ‖x‖² Σ_j f_j (1 - f_j) / s², f_j the fractional part of s |x_j| / ‖x‖, in either norm.
    omega: in the l2 norm min(d / s², √d / s), Lemma 3.1 of the reference. In the l∞ norm (√(1 + (d-1)/s²) - 1) / 2,
    attained: the largest entry is exact and the others add q/s - q² with q = f/s ≤ |x_j| / ‖x‖, so that omega solves
    omega = (d - 1) max_q (q/s - (1 + omega) q²) = (d - 1) / (4 s² (1 + omega)).
    Bits: 32 for each norm, and ⌈d log2(2s + 1)⌉ for the entries, each of 2s + 1 values. With code = "elias" the entries
    take what they do in the code of the reference, `codes.sparse`: few where most of them are 0, as in the l2 norm with
    fewer than √d levels, and more than the fixed length where few are. With code = "arithmetic" it is an adaptive one,
    `codes.arithmetic`, which comes near their entropy whatever they are.
    Reference: Alistarh, Grubic, Li, Tomioka, Vojnovic (2017), arXiv:1610.02132, Section 3.1, for the l2 norm.

    >>> compressor = Quantization(levels=levels_for_bits(4))
    >>> message = compressor(jax.random.key(0), jnp.array([[0.0, 5.0]]))
    >>> message.value, float(message.bits), round(float(compressor.omega((2,))), 4)
    (Array([[0., 5.]], dtype=float...), 40.0, 0.0408)
    """

    unbiased: ClassVar[bool] = True
    levels: ScalarLike
    norm: Literal["l2", "linf"] = static(default="l2")
    per_block: bool = static(default=False)
    code: Literal["fixed", "elias", "arithmetic"] = static(default="fixed")

    def check(self) -> None:
        checks.choice("Quantization.code", self.code, ("fixed", "elias", "arithmetic"))
        if not checks.bounded(self.levels, lambda s: np.isfinite(s) & (s >= 1) & (np.floor(s) == s)):
            hint = "For B bits an entry take levels_for_bits(B), for no compression Identity()"
            raise ValueError(f"Quantization.levels is an integer of at least 1; got {self.levels}. {hint}")
        checks.choice("Quantization.norm", self.norm, ("l2", "linf"))

    def __call__(self, key: PRNGKey, x: Iterates, blocks: Blocks | None = None) -> Message:
        s = jnp.asarray(self.levels, x.dtype)

        def quantize(x, u):
            norm = jnp.linalg.norm(x, 2 if self.norm == "l2" else np.inf, axis=1, keepdims=True)
            level = jnp.floor(s * (jnp.abs(x) / jnp.where(norm == 0, 1, norm)) + u)
            level = jnp.minimum(level, s)  # rounding may reach s + 1, for which there is no code
            if self.code == "fixed":
                bits = jnp.ceil(x.shape[1] * jnp.log2(2 * s + 1))
            else:
                bits = codes.sparse(level) if self.code == "elias" else codes.arithmetic(level, s)
            return Message(norm * jnp.sign(x) * level / s, 32 + bits)

        return _blockwise(quantize, self, blocks, x, jax.random.uniform(key, x.shape, x.dtype))

    def omega(self, blocks: Blocks) -> ScalarLike | Vector:
        s = self.levels
        if self.norm == "l2":
            return _constant(lambda d: jnp.minimum(d / s**2, math.sqrt(d) / s), self, blocks)
        return _constant(lambda d: (d - 1) / s**2 / (jnp.sqrt(1 + (d - 1) / s**2) + 1) / 2, self, blocks)


@module
class RandK:
    """Exact rand-k: k entries, every k-subset alike, times d / k.

    `k` is static, since it is the shape of what is kept; the entries for k are among those for k + 1. With
    per_block=True it is k entries of each parameter tensor, or k[b] of tensor b.
    Variance: omega ‖x‖² exactly. Bits: the values alone; the positions do not depend on x, so whoever knows the seed
    draws the same ones. Reference: Stich, Cordonnier, Jaggi (2018), arXiv:1809.07599.

    >>> message = RandK(k=2)(jax.random.key(0), jnp.ones((1, 4)))
    >>> jnp.sort(message.value), message.bits
    (Array([[0., 0., 2., 2.]], dtype=float...), 64)
    """

    unbiased: ClassVar[bool] = True
    k: int | tuple[int, ...] = static()
    per_block: bool = static(default=False)

    def check(self) -> None:
        _check_k(self)

    def __call__(self, key: PRNGKey, x: Iterates, blocks: Blocks | None = None) -> Message:
        def keep(x, u, k):
            return Message(jnp.where(largest(u, k), x * (x.shape[1] / k), 0), 32 * k)

        return _blockwise(keep, self, blocks, x, jax.random.uniform(key, x.shape, x.dtype))

    def omega(self, blocks: Blocks) -> ScalarLike | Vector:
        return _constant(lambda d, k: d / k - 1, self, blocks)


@module
class RandP:
    """Bernoulli rand-p: each entry is kept with probability p, times 1 / p.

    `p` is traced; the entries kept for p are among those for a larger p. Parameter tensors make no difference.
    Variance: omega ‖x‖² exactly. Bits: 32 for each entry that was kept; positions as for `RandK`.
    """

    unbiased: ClassVar[bool] = True
    p: ScalarLike

    def check(self) -> None:
        if not checks.bounded(self.p, lambda p: (p > 0) & (p <= 1)):
            raise ValueError(f"RandP.p is a probability in (0, 1]; got {self.p}")

    def __call__(self, key: PRNGKey, x: Iterates, blocks: Blocks | None = None) -> Message:
        p = jnp.asarray(self.p, x.dtype)
        kept = jax.random.uniform(key, x.shape, x.dtype) < p
        return Message(jnp.where(kept, x / p, 0), 32 * jnp.sum(kept, axis=1, dtype=x.dtype))

    def omega(self, blocks: Blocks) -> ScalarLike:
        return (1 - self.p) / self.p


@module
class TopK:
    """Top-k: the k entries of largest magnitude, ties to the lower index; `k` as in `RandK`. Biased.

    Bits: a value and a position for each entry. Reference: Stich, Cordonnier, Jaggi (2018), arXiv:1809.07599.

    >>> TopK(k=2)(jax.random.key(0), jnp.array([[1.0, -4.0, 3.0, 2.0]]))
    Message(value=Array([[ 0., -4.,  3.,  0.]], dtype=float...), bits=68)
    """

    unbiased: ClassVar[bool] = False
    k: int | tuple[int, ...] = static()
    per_block: bool = static(default=False)

    def check(self) -> None:
        _check_k(self)

    def __call__(self, key: PRNGKey, x: Iterates, blocks: Blocks | None = None) -> Message:
        def keep(x, k):
            return Message(jnp.where(largest(jnp.abs(x), k), x, 0), k * (32 + (x.shape[1] - 1).bit_length()))

        return _blockwise(keep, self, blocks, x)

    def delta(self, blocks: Blocks) -> ScalarLike | Vector:
        return _constant(lambda d, k: k / d, self, blocks)


@module
class ScaledSign:
    """C(x)_j = (‖x‖_1 / d) sign(x_j): one bit an entry and one magnitude. Biased.

    E‖C(x) - x‖² = (1 - ‖x‖_1² / (d ‖x‖²)) ‖x‖² exactly, and ‖x‖_1 ≥ ‖x‖ gives delta = 1 / d. An entry 0 is sent as +,
    since one bit has no third value; C(0) = 0. Reference: Karimireddy, Rebjock, Stich, Jaggi (2019), arXiv:1901.09847.

    >>> ScaledSign()(jax.random.key(0), jnp.array([[1.0, -5.0]]))
    Message(value=Array([[ 3., -3.]], dtype=float...), bits=34)
    """

    unbiased: ClassVar[bool] = False
    per_block: bool = static(default=False)

    def check(self) -> None: ...

    def __call__(self, key: PRNGKey, x: Iterates, blocks: Blocks | None = None) -> Message:
        def sign(x):
            return Message(jnp.mean(jnp.abs(x), axis=1, keepdims=True) * jnp.where(x < 0, -1, 1), x.shape[1] + 32)

        return _blockwise(sign, self, blocks, x)

    def delta(self, blocks: Blocks) -> ScalarLike | Vector:
        return _constant(lambda d: 1 / d, self, blocks)


@module
class Scaled:
    """C / (1 + omega): an unbiased compressor made contractive, for methods with error feedback.

    With delta = 1 / (1 + omega): E‖delta C(x) - x‖² ≤ (delta² (1 + omega) - 2 delta + 1) ‖x‖² = (1 - delta) ‖x‖².

    >>> Scaled(RandK(k=1)).delta((4,))
    0.25
    """

    unbiased: ClassVar[bool] = False
    compressor: Any

    def check(self) -> None:
        require_unbiased(self.compressor, "Scaled")

    def __call__(self, key: PRNGKey, x: Iterates, blocks: Blocks | None = None) -> Message:
        message = self.compressor(key, x, blocks)
        delta = jnp.asarray(self.delta(blocks or (x.shape[1],)), x.dtype)
        return message._replace(value=jnp.broadcast_to(delta, x.shape) * message.value)

    def delta(self, blocks: Blocks) -> ScalarLike | Vector:
        return 1 / (1 + self.compressor.omega(blocks))


def levels_for_bits(bits: int) -> int:
    """The levels of a quantization at `bits` bits an entry, its sign among them: 2^(bits - 1) - 1."""
    checks.integer("the number of bits of an entry, its sign among them,", bits, 2)
    return 2 ** (bits - 1) - 1


def bits_authors(n: int, d: int | Blocks, levels: int) -> float:
    """Bits of one direction of one round as the code of the MCM paper counts them, for its figures alone.

    n (3 + 3/2) ln(2 (s² + d) / (s (s + √d))) s (s + √d) + 32, and 32 n d for s = 0, no compression; a tuple d of
    parameter tensors is summed over. QSGD's bound is (3 + (3/2 + o(1)) log2(...)) s (s + √d) + 32 for each message.
    Reference: the code of Philippenko, Dieuleveut (2021), arXiv:2102.12528, whose figures count one round an epoch.

    >>> round(bits_authors(20, 124, levels=1), 2)
    3336.25
    """
    if not isinstance(d, int):
        return sum(bits_authors(n, size, levels) for size in d)
    if levels == 0:
        return 32.0 * n * d
    sparsity = levels * (levels + math.sqrt(d))
    return n * (3 + 3 / 2) * math.log(2 * (levels**2 + d) / sparsity) * sparsity + 32


def require_unbiased(compressor: Any, algorithm: str) -> None:
    """Refuse a compressor that is biased or whose fields are wrong."""
    require_compressor(compressor, algorithm)
    if not compressor.unbiased:
        raise ValueError(
            f"{algorithm} needs an unbiased compressor, and {type(compressor).__name__} is biased. Use "
            "Quantization(levels=1), RandK(k=...) or RandP(p=...), or an algorithm with error feedback"
        )


def require_contractive(compressor: Any, algorithm: str) -> None:
    """Refuse a compressor that is not contractive or whose fields are wrong."""
    require_compressor(compressor, algorithm)
    if not hasattr(compressor, "delta"):
        name = type(compressor).__name__
        raise ValueError(
            f"{algorithm} needs a contractive compressor, and the error of {name} may exceed the vector. Use "
            f"Scaled({name}(...)), TopK(k=...) or ScaledSign(), or an algorithm for unbiased compressors"
        )


def require_compressor(compressor: Any, algorithm: str) -> None:
    if isinstance(compressor, type) or not hasattr(compressor, "unbiased"):
        raise TypeError(f"{algorithm} needs a compressor like Quantization(levels=1) or Identity(); got {compressor!r}")
    compressor.check()


def require_three_point(mechanism: Any, algorithm: str) -> None:
    """Refuse what is no three-point compressor, or one whose parts are wrong."""
    if isinstance(mechanism, type) or hasattr(mechanism, "unbiased") or not callable(mechanism):
        raise TypeError(
            f"{algorithm} needs a three-point compressor like three_point.Difference(TopK(k=1)); got {mechanism!r}"
        )
    checks.own(mechanism)


def _blockwise(f: Callable[..., Message], compressor: Any, blocks: Blocks | None, *arrays: Array) -> Message:
    """The messages of the blocks put together: f of the columns of `arrays` and, where there is one, of k."""
    settings = _settings(compressor, arrays[0].shape[1], blocks)
    ends = np.cumsum([size for size, *_ in settings])[:-1]
    columns = zip(*(jnp.split(a, ends, axis=1) for a in arrays), strict=True)
    messages = [f(*arrays, *k) for arrays, (_, *k) in zip(columns, settings, strict=True)]
    return Message(jnp.concatenate([m.value for m in messages], axis=1), sum(m.bits for m in messages))


def _constant(f: Callable[..., ScalarLike], compressor: Any, blocks: Blocks) -> ScalarLike | Vector:
    """A constant as a function of d and, where there is one, of k: one number, or for each entry that of its block."""
    settings = _settings(compressor, sum(blocks), blocks)
    if not compressor.per_block:
        return f(*settings[0])
    return jnp.concatenate([jnp.full(size, f(size, *k)) for size, *k in settings])


def _settings(compressor: Any, d: int, blocks: Blocks | None) -> list[tuple[int, ...]]:
    """The size of each vector that is compressed on its own, and k where the compressor has one."""
    name, sizes = type(compressor).__name__, blocks if compressor.per_block else (d,)
    if sizes is None:
        raise ValueError(f"{name}(per_block=True) needs the sizes of the parameter tensors: pass blocks=problem.blocks")
    if sum(sizes) != d:
        raise ValueError(f"{name} got blocks {sizes}, of {sum(sizes)} entries in all, for vectors of {d}")
    if not hasattr(compressor, "k"):
        return [(size,) for size in sizes]
    ks = compressor.k if isinstance(compressor.k, tuple) else (compressor.k,) * len(sizes)
    if len(ks) != len(sizes) or not all(1 <= k <= size for k, size in zip(ks, sizes, strict=True)):
        raise ValueError(f"{name}.k = {compressor.k} does not fit vectors of sizes {sizes}: keep one to all entries")
    return list(zip(sizes, ks, strict=True))


def _check_k(compressor: Any) -> None:
    for k in compressor.k if isinstance(compressor.k, tuple) else (compressor.k,):
        checks.integer(f"{type(compressor).__name__}.k", k)
