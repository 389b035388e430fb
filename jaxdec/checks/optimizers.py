"""Optimizers of optax that a method is given, still to be made."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from jaxdec._module import cast
from jaxdec.checks.numbers import real, weight

__all__ = ["optimizer"]

NOT_NEGATIVE = ("learning_rate", "weight_decay", "momentum", "decay", "b1", "b2", "eps", "eps_root")


def optimizer(name: str, given: Any) -> None:
    """Refuse what is no optimizer that is still to be made, or whose first step is not finite or goes uphill.

    Later steps of a schedule are not seen, nor is a first step of zero.
    """
    import optax

    if not isinstance(given, Partial):
        raise TypeError(
            f"{name} is an optax optimizer that is still to be made, jax.tree_util.Partial(optax.adam, "
            f"learning_rate=0.01), so that its numbers stay traced; got {given!r}"
        )
    numbers = [*((f"argument {k}", v) for k, v in enumerate(given.args)), *given.keywords.items()]
    for key, value in ((k, v) for k, v in numbers if not callable(v)):
        if isinstance(value, bool):
            raise ValueError(
                f"{key} of {name} is a switch, and the numbers in a Partial are traced; bind it inside, by a function: "
                f"def mine(**kw): return optax.{given.func.__name__}(**kw, {key}={value})"
            )
        if any(real(leaf) is None for leaf in jax.tree.leaves(value)):
            raise ValueError(f"{key} of {name} is a real number; got {value!r}")
        if key in NOT_NEGATIVE:
            weight(f"{key} of {name}", value, "a number of an optimizer")
    made = given()
    if not isinstance(made, optax.GradientTransformation):
        raise TypeError(f"{name} makes an optax optimizer, with init and update; it makes {made!r}")
    if np.any(wrong := ~np.isfinite(first := np.asarray(_first(cast(given, float))))):
        raise ValueError(f"{name} makes a first step of {first[wrong][0]}; give finite numbers to {shown(given)}")
    if np.any(first > 0):
        raise ValueError(
            f"{name} makes steps along the gradient, uphill: {shown(given)} moves by {first[first > 0][0]:.3g} where "
            "the gradient is 1; give a positive learning rate"
        )


def shown(given: Partial) -> str:
    """The optimizer with its numbers, as it was given."""
    told = [*map(str, given.args), *(f"{k}={v}" for k, v in given.keywords.items())]
    return f"{given.func.__name__}({', '.join(told)})"


@jax.jit
def _first(given: Partial) -> Any:
    """The first step from 0 where the gradient is 1 in every coordinate."""
    made, x = given(), jnp.zeros((1, 2))
    return made.update(jnp.ones_like(x), made.init(x), x)[0]
