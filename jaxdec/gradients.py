"""Gradients through the simulator: how what a run ends with changes with a step size, a momentum or W."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from jaxdec import checks
from jaxdec._module import cast, seed_key
from jaxdec.loop import check, simulate, start
from jaxdec.metrics import Measures, named
from jaxdec.types import Metric

__all__ = ["final"]


def final(
    metric: Metric | str = "loss", *, rounds: int, seed: int = 0, x0: ArrayLike | None = None
) -> Callable[[Any, Any, Any], Array]:
    """What a metric is after some rounds, as a pure function of (algorithm, problem, network).

    It can be differentiated, compiled and mapped: an algorithm, a problem and a network are pytrees of their numbers,
    and so is a gradient by one of them. Rounds are computed again on the way back: of N rounds the states of about 2
    sqrt(N) are held at once. Where nothing is traced the parts are checked as `run` does; under `jax.grad` they are
    not.

    Args:
        metric: what `run` takes as one of its metrics; a number, to be differentiated.
        rounds: how many.
        seed: as of `run`: the randomness does not depend on what is differentiated by.
        x0: the start, (d,) or (n, d); None takes the problem's own.

    Raises:
        ValueError: if the metric gives several values.

    >>> from jaxdec import algorithms, networks, problems
    >>> distance = final("distance", rounds=50)
    >>> given = algorithms.DSGDm(lr=0.01, momentum=0.5), problems.quadratic(8, 3), networks.ring(8)
    >>> slope = jax.grad(distance)(*given)  # by all numbers of the algorithm
    >>> bool(slope.lr < 0), bool(slope.momentum < 0)  # larger ones would be better
    (True, True)
    """
    rounds, seed = checks.integer("rounds", rounds), checks.seed("seed", seed)
    measures, key = named((metric,)), seed_key(seed)

    def value(algorithm: Any, problem: Any, network: Any) -> Array:
        given = algorithm, problem, network
        if not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(given)):
            check(*given, rounds=rounds, every=rounds)
        x, dtype = start(problem, x0)
        return _end(*(cast(part, dtype) for part in given), x, key, rounds=rounds, metrics=measures)

    return value


@partial(jax.jit, static_argnames=("rounds", "metrics"))
def _end(algorithm, problem, network, x0, key, *, rounds: int, metrics: Measures) -> Array:
    """The metric at the end, by windows of about sqrt(rounds) that are computed again on the way back."""
    go = partial(simulate, algorithm, problem, network, x0, key, metrics=metrics, remat=True)
    every = math.isqrt(rounds - 1) + 1
    rest = rounds % every
    trace = go(rounds=rounds - rest, every=every)
    if rest:
        trace = go((jnp.asarray(rounds - rest), trace.carry), rounds=rest, every=rest)
    found = {name: a[-1] for name, a in trace.metrics.items() if name != "seconds"}
    if len(found) != 1:
        raise ValueError(f"the metric gives {', '.join(found) or 'nothing'}; give a function of one number")
    return next(iter(found.values()))
