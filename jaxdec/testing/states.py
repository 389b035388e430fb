"""All states of a run, for comparisons: what metrics, which are numbers, do not keep."""

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdec import costs, loop
from jaxdec._module import seed_key
from jaxdec.metrics import named
from jaxdec.testing.expect import leaves
from jaxdec.types import Cost

__all__ = ["Trajectory", "everything", "trajectory"]

_compiled = jax.jit(loop.simulate, static_argnames=("rounds", "every", "metrics"))


class Trajectory(NamedTuple):
    """A run, round by round."""

    states: dict[str, np.ndarray]  # every array of the state, by its path, such as ".x": (records, ...)
    state: Any  # the last
    cost: Cost  # (records,) each, cumulative


def everything(problem: Any, state: Any) -> dict[str, jax.Array]:
    """Every array of the state, by its path."""
    return leaves(state)


def trajectory(
    algorithm: Any, problem: Any, network: Any, *, rounds: int, every: int = 1, x0: Any = None, seed: int = 0
) -> Trajectory:
    """What `jaxdec.run` computes, with all states.

    Args:
        algorithm: see `jaxdec.run`.
        problem: see `jaxdec.run`.
        network: see `jaxdec.run`.
        rounds: see `jaxdec.run`.
        every: see `jaxdec.run`.
        x0: see `jaxdec.run`.
        seed: see `jaxdec.run`.

    >>> from jaxdec import algorithms, networks, problems
    >>> found = trajectory(algorithms.NIDS(lr=0.1), problems.quadratic(8, 3), networks.ring(8), rounds=5)
    >>> {name: array.shape for name, array in found.states.items()}
    {'.c': (6, 8, 3), '.x': (6, 8, 3)}
    """
    parts = loop.prepare(algorithm, problem, network, x0, rounds=rounds, every=every)
    recorded = {"every": every, "metrics": named((everything,))}
    trace = _compiled(*parts, seed_key(seed), None, rounds=rounds, **recorded)
    states: dict[str, np.ndarray] = {name: np.asarray(array) for name, array in trace.metrics.items()}
    return Trajectory(states, trace.carry.state, costs.total(trace.start, trace.spent, rounds, every, parts[1].d))
