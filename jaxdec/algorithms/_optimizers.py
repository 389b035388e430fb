"""What methods with optimizers of optax share: each row of iterates is given to them as its parameter tensors.

An optimizer sees a tuple of them, in the order of `problem.shapes`: one that treats matrices otherwise than vectors, as
Muon, or looks at the norm of each tensor, as LAMB, finds those of the model, and nothing of another node.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from jaxdec.types import Iterates, Round, Vector

__all__ = ["local", "nesterov", "started", "stepped"]

Shapes = Sequence[tuple[int, ...]]


def nesterov(**numbers: Any) -> Any:
    """SGD of optax with Nesterov's momentum: `Partial(nesterov, learning_rate=0.7, momentum=0.9)`."""
    import optax

    return optax.sgd(**numbers, nesterov=True)


def started(optimizer: Partial, shapes: Shapes, x: Iterates) -> Any:
    """The states of an optimizer at each row of x."""
    return jax.vmap(lambda row: optimizer().init(_tensors(row, shapes)))(x)


def stepped(optimizer: Partial, shapes: Shapes, g: Iterates, state: Any, x: Iterates) -> tuple[Iterates, Any]:
    """A step of an optimizer from each row of x, and its states after it."""
    import optax

    def one(g, state, x):
        tensors = _tensors(x, shapes)
        updates, state = optimizer().update(_tensors(g, shapes), state, tensors)
        moved: Any = optax.apply_updates(tensors, updates)
        return jnp.concatenate([a.ravel() for a in moved]), state

    return jax.vmap(one)(g, state, x)


def local(
    optimizer: Partial, problem: Any, r: Round, K: int, y: Float[Array, "m d"], state: Any
) -> tuple[Float[Array, "m d"], Any]:
    """K steps of each row's optimizer with its own stochastic gradients, fresh in every step."""

    def one(k, carry):
        y, state = carry
        return stepped(optimizer, problem.shapes, problem.grad(y, r.draw(problem, k, K)), state, y)

    return jax.lax.fori_loop(0, K, one, (y, state))


def _tensors(x: Vector, shapes: Shapes) -> tuple[Array, ...]:
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    return tuple(part.reshape(shape) for part, shape in zip(jnp.split(x, ends), shapes, strict=True))
