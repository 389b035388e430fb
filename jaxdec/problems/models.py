"""The base of all models: what one sample costs under parameters x, and what is known of that."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxdec._module import derived
from jaxdec.types import PRNGKey, Vector

__all__ = ["Model"]


class Model:
    """What a sample costs under parameters x; `FiniteSum` maps it over samples and nodes.

    A model of one's own is a `@module` that inherits from this class and has `shapes` and `losses`. If its losses are
    `random`, as those of a network with dropout, it gets a key with every minibatch, as
    `losses(x, inputs, targets, key)`; exact losses and `scores` have none, and are those of the model without noise.
    """

    bend: ClassVar[float | None] = (
        None  # bounds the loss's second derivative in the scores, where those are linear in x
    )
    convex: ClassVar[bool | None] = None  # whether the losses are convex in x, where that is known
    quadratic: ClassVar[bool] = False  # whether they are (score - target)² / 2

    @derived
    def random(self) -> bool:
        """Whether a key makes the losses random: no."""
        return False

    @derived
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the parameter tensors, which x holds one after the other; static."""
        raise NotImplementedError(
            f"{type(self).__name__} needs shapes, those of its parameter tensors, such as ((d,),)"
        )

    @derived
    def blocks(self) -> tuple[int, ...]:
        """Their sizes."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @derived
    def d(self) -> int:
        """How many parameters there are."""
        return sum(self.blocks)

    def tensors(self, x: Vector) -> list[Array]:
        """The parameter tensors of a vector."""
        parts = jnp.split(x, np.cumsum(self.blocks)[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def init(self, key: PRNGKey, dtype: Any) -> Vector:
        """The origin, whatever the key."""
        return jnp.zeros(self.d, dtype)

    def losses(self, x: Vector, inputs: PyTree, targets: PyTree) -> Float[Array, " b"]:
        raise NotImplementedError(f"{type(self).__name__} needs losses(x, inputs, targets), a number for each sample")

    def scores(self, x: Vector, inputs: PyTree, targets: PyTree) -> dict[str, Float[Array, ""]]:
        """Named metrics of x on a set of samples: the mean loss."""
        return {"loss": jnp.mean(self.losses(x, inputs, targets))}

    def over_nodes(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """A function of one node mapped over all of them: together, by `jax.vmap`."""
        return jax.vmap(f)
