"""What `init`, `step` and `at` return is looked at while they are traced, so that it costs nothing when they run.

An error here comes before anything is compiled, and says what to write.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxdec._module import shown
from jaxdec.types import Cost, Tally, World

__all__ = ["carried", "outcome", "started", "world"]


def world(network: Any, returned: Any) -> tuple[Any, World]:
    """What a network's `at` returned: the memory and the world."""
    if not (isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], World)):
        raise TypeError(
            f"at of {type(network).__name__} returns {_kind(returned)}; it returns the memory and the world: write "
            "`return memory, World(W)`"
        )
    return returned


def outcome(algorithm: Any, method: str, returned: Any, rows: int) -> tuple[Any, Cost]:
    """What an algorithm's `init` or `step` returned: the state and the cost, whose grads may be each row's own."""
    name = f"{type(algorithm).__name__}.{method}"
    if not (isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], Cost)):
        raise TypeError(
            f"{name} returns {_kind(returned)}; it returns the state and what the round cost: write "
            "`return State(x), Cost(grads=..., vectors=...)`"
        )
    state, cost = returned
    if isinstance(state, Mapping) or not hasattr(state, "x"):
        raise TypeError(
            f"the state that {name} returns is {_kind(state)}; write a NamedTuple with a field x, the nodes' iterates "
            "(n, d): `class State(NamedTuple): x: Any`"
        )
    for entry, value in cost._asdict().items():
        if value is None or isinstance(value, Tally) or not jnp.ndim(value):
            continue
        if entry != "grads" or jnp.shape(value) != (rows,):
            each = f", or that of each of the {rows} nodes that compute, ({rows},)" if entry == "grads" else ""
            raise TypeError(
                f"the cost that {name} returns has {entry} of shape {jnp.shape(value)}; it is one number, the mean "
                f"over the nodes{each}"
            )
    return state, cost


def started(algorithm: Any, state: Any, x0: Any, rows: int | None) -> Any:
    """The state of `init`: x as x0 or of one row, and `rows` on every leading axis where absent nodes keep theirs."""
    name, x = type(algorithm).__name__, state.x
    n, d = x0.shape
    if jnp.shape(x) not in ((n, d), (1, d)) or x.dtype != x0.dtype:
        raise TypeError(
            f"x of the state that {name}.init returns is {_array(x)}; it is as x0, {_array(x0)}, or (1, d) for a "
            "server's model: begin with x0 and keep its dtype"
        )
    if rows is not None:
        for where, leaf in jax.tree.leaves_with_path(state):
            if jnp.shape(leaf)[:1] != (rows,):
                raise TypeError(
                    f"{jax.tree_util.keystr(where)} of {name}'s state is {_array(leaf)}, without the nodes' axis "
                    f"n={rows} in front, and nodes of this network that are absent keep their rows; give it that "
                    'axis, or write `absent = "own"` in the class and see to absent nodes in step'
                )
    return state


def carried(algorithm: Any, before: Any, after: Any) -> Any:
    """The state of `step`, whose parts, shapes and dtypes are those it had."""
    name = type(algorithm).__name__
    old, new = ({jax.tree_util.keystr(p): a for p, a in jax.tree.leaves_with_path(s)} for s in (before, after))
    for where in [*old, *(k for k in new if k not in old)]:
        a, b = (_array(s[where]) if where in s else "nothing" for s in (old, new))
        if a != b:
            raise TypeError(
                f"{name}.step makes {b} of {where} of its state, which was {a}; a state keeps its shapes and dtypes "
                "from round to round: write the same in init and in step"
            )
    if jax.tree.structure(before) != jax.tree.structure(after):
        raise TypeError(
            f"{name}.step returns {_kind(after)} where init returns {_kind(before)}; write one class of state for both"
        )
    return after


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if type(value) is tuple:
        return f"({', '.join(map(_kind, value))})"
    return f"an array {_array(value)}" if isinstance(value, jax.Array) else f"of class {type(value).__name__}"


def _array(a: Any) -> str:
    return shown(jax.ShapeDtypeStruct(jnp.shape(a), jnp.result_type(a)))
