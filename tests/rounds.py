"""Rounds made by hand, as the loop makes them, and runs that record whole arrays."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec.loop import Keys, Result, _compiled, prepare, total_cost
from jaxdec.metrics import named
from jaxdec.types import Round


def keys(seed: int) -> Keys:
    """The streams of a seed."""
    return Keys(*jax.random.split(jax.random.key(seed), 5))


def round_of(network: Any, n: int, t: Any = 0, *, key: Any = None, key_data: Any = None, dtype: Any = float) -> Round:
    """Round t of a network without memory: its world is drawn with `key`, which is also that of the step."""
    key = jax.random.key(0) if key is None else key
    _, world = network.at(network.init(key), jnp.asarray(t), key)
    return Round(n, jnp.dtype(dtype), jnp.asarray(t), key if key_data is None else key_data, key, **world._asdict())


def present(network: Any, n: int, t: Any, key: Any) -> Any:
    """Who takes part in round t, (n,)."""
    _, world = network.at(network.init(key), t, key)
    if world.clients is not None:
        return jnp.zeros(n, bool).at[world.clients].set(True)
    return jnp.ones(n, bool) if world.active is None else world.active


def recorded(algorithm: Any, problem: Any, network: Any, *, rounds, metrics, every=1, x0=None, seed=0) -> Result:
    """`run`, but that its metrics may be arrays of any shape, such as whole states."""
    parts = prepare(algorithm, problem, network, x0, rounds=rounds, every=every)
    static = {"rounds": rounds, "every": every, "metrics": named(metrics)}
    trace = _compiled(*parts, jax.random.key(seed), None, **static)
    spent = total_cost(trace, rounds, every, problem.d)
    return Result(trace.carry.state, trace.metrics, spent, np.arange(0, rounds + 1, every))
