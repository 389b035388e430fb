"""Regularizers that all nodes share, with their proximal steps: of what is not smooth, such as an l1 norm or a box."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.types import Iterates, Scalar, ScalarLike, Vector

__all__ = ["L1", "Box", "GroupNorm"]


@module
class L1:
    """weight ‖x‖_1, whose proximal step shrinks every entry, to zero where it is small.

    >>> L1(0.5).prox(jnp.array([[2.0, -0.1]]), 1.0)
    Array([[ 1.5, -0. ]], dtype=float...)
    """

    weight: ScalarLike

    def value(self, x: Vector) -> Scalar:
        return self.weight * jnp.sum(jnp.abs(x))

    def prox(self, x: Iterates, step: ScalarLike) -> Iterates:
        return jnp.sign(x) * jnp.maximum(jnp.abs(x) - step * self.weight, 0)

    def check(self, d: int) -> None:
        checks.weight("L1.weight", self.weight)


@module
class Box:
    """0 where low <= x <= high, infinite elsewhere: its proximal step, whatever its length, goes to the nearest point.

    >>> Box(-1.0, 1.0).prox(jnp.array([[2.0, -0.1]]), 1.0)
    Array([[ 1. , -0.1]], dtype=float...)
    """

    low: ScalarLike | Float[Array, " d"]
    high: ScalarLike | Float[Array, " d"]

    def value(self, x: Vector) -> Scalar:
        inside = jnp.all((x >= self.low) & (x <= self.high))
        return jnp.where(inside, jnp.zeros((), x.dtype), jnp.inf)

    def prox(self, x: Iterates, step: ScalarLike) -> Iterates:
        low, high = (jnp.broadcast_to(jnp.asarray(a, x.dtype), x.shape[1:])[None] for a in (self.low, self.high))
        return jnp.clip(x, low, high)

    def check(self, d: int) -> None:
        low, high = checks.real(self.low), checks.real(self.high)
        if low is None or high is None or any(a.shape not in ((), (d,)) for a in (low, high)):
            raise ValueError(f"the bounds of a Box are numbers, or one for each of the d={d} parameters; got {self}")
        if not (low <= high).all():
            raise ValueError(f"the low of a Box is at most its high; got {self.low} and {self.high}")


@module
class GroupNorm:
    """weight Σ_k ‖x_k‖ over blocks x_k of `size` parameters, whose proximal step sets whole blocks to zero.

    >>> GroupNorm(1.0, size=2).prox(jnp.array([[3.0, 4.0, 0.1, 0.0]]), 1.0)
    Array([[2.4, 3.2, 0. , 0. ]], dtype=float...)
    """

    weight: ScalarLike
    size: int = static()

    def value(self, x: Vector) -> Scalar:
        return self.weight * jnp.sum(jnp.linalg.norm(x.reshape(-1, self.size), axis=1))

    def prox(self, x: Iterates, step: ScalarLike) -> Iterates:
        blocks = x.reshape(len(x), -1, self.size)
        norm = jnp.linalg.norm(blocks, axis=2, keepdims=True)
        kept = jnp.maximum(1 - step * self.weight / jnp.where(norm > 0, norm, 1), 0)
        return (kept * blocks).reshape(x.shape)

    def check(self, d: int) -> None:
        checks.weight("GroupNorm.weight", self.weight)
        checks.integer("GroupNorm.size", self.size)
        if d % self.size:
            raise ValueError(f"GroupNorm.size divides the number of parameters, d={d}; got {self.size}")


def __dir__() -> list[str]:
    return __all__
