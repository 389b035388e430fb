"""`run`: the only time loop. An outer scan over records, an inner scan over rounds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import ArrayLike

from jaxdec import checks
from jaxdec._module import at_round
from jaxdec.metrics import DEFAULT, measure, named
from jaxdec.types import Cost, Metric, Round


@jax.tree_util.register_static
@dataclass(frozen=True)
class Number:
    """A Python number on its way through jit and scan: it stays out of the program and comes out as it was."""

    value: float


class Keys(NamedTuple):
    """The four streams that a seed's key is split into."""

    x0: Any  # for problem.init
    data: Any  # for problem.sample, with the index of the gradient
    init: Any  # for algorithm.init
    rounds: Any  # for the network and the step, with the round


class Trace(NamedTuple):
    """What `simulate` returns: records are stacked on the leading axis, costs are still in their parts."""

    state: Any  # the last state
    metrics: dict[str, jax.Array]  # (records,) each
    start: Cost  # of init
    spent: Cost  # of one round where it is a Number, else (records - 1,), summed over a window


def simulate(algorithm, problem, network, x0, key, *, rounds: int, every: int, metrics) -> Trace:
    """The whole experiment as a pure function, to be compiled and vmapped.

    `x0` is (n, d), or None for the problem's own start. Schedules are evaluated here, so that an algorithm's step size
    is always a number.
    """
    keys = Keys(*jax.random.split(key, 4))
    if x0 is None:
        x0 = jnp.broadcast_to(problem.init(keys.x0), (problem.n, problem.d))

    def at(t) -> tuple[Any, Round]:
        key_network, key_step = jax.random.split(jax.random.fold_in(keys.rounds, t))
        W, active, p, *clients = network.at(t, key_network)
        return at_round(algorithm, t, x0.dtype), Round(t, W, active, p, keys.data, key_step, *clients)

    def step(state, t):
        now, r = at(t)
        state, cost = now.step(problem, state, r)
        return state, _opaque(cost)

    def window(state, t):
        state, costs = jax.lax.scan(step, state, t + jnp.arange(every))
        return state, (measure(metrics, problem, state), jax.tree.map(lambda c: jnp.sum(c, axis=0), costs))

    now, r = at(jnp.asarray(0))
    state, start = now.init(problem, x0, r._replace(key=keys.init))
    first = measure(metrics, problem, state)
    state, (later, spent) = jax.lax.scan(window, state, jnp.arange(0, rounds, every))
    records = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, later)
    return Trace(state, records, _opaque(start), spent)


_compiled = jax.jit(simulate, static_argnames=("rounds", "every", "metrics"))


def run(
    algorithm: Any,
    problem: Any,
    network: Any,
    *,
    rounds: int,
    every: int = 1,
    seed: int = 0,
    x0: ArrayLike | None = None,
    metrics: Iterable[Metric] | Mapping[str, Metric] = DEFAULT,
) -> "Result":
    """Run one experiment, recording at rounds 0, every, 2 every, ..., rounds.

    Args:
        algorithm: an object of `jaxdec.algorithms`, or your own.
        problem: an object of `jaxdec.problems`, or your own.
        network: an object of `jaxdec.networks`, or your own, with as many nodes as the problem.
        rounds: how many communication rounds; a multiple of `every`.
        every: the stride of the records. What is computed does not depend on it.
        seed: all randomness is a function of it and of what is drawn, never of the configuration: runs of one seed see
            the same minibatches, so that their comparison is paired.
        x0: the start, (d,) for all nodes or (n, d); None takes the problem's own. Its dtype is the run's.
        metrics: functions of (problem, state), or a mapping of names to them. Pass the same functions again to reuse
            the compiled program.

    Raises:
        ValueError: before anything is compiled, if the parts do not fit together.

    >>> from jaxdec import algorithms, networks, problems
    >>> result = run(algorithms.KGT(lr=0.1, local_steps=5), problems.quadratic(8, 3), networks.ring(8), rounds=100)
    >>> float(result.metrics["distance"][-1]) < 1e-3
    True
    """
    algorithm, problem, network, x0 = prepare(algorithm, problem, network, x0, rounds=rounds, every=every)
    trace = _compiled(
        algorithm, problem, network, x0, jax.random.key(seed), rounds=rounds, every=every, metrics=named(metrics)
    )
    return Result(
        trace.state, trace.metrics, total_cost(trace, rounds, every, problem.d), np.arange(0, rounds + 1, every)
    )


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Result:
    """One experiment."""

    state: Any  # the last state; state.x is the nodes' estimate, (n, d), or (1, d) for a server's model
    metrics: dict[str, jax.Array]  # (records,) each
    cost: Cost  # (records,) each, cumulative: everything spent up to that record
    rounds: np.ndarray  # (records,) the recorded rounds

    def to_xarray(self) -> xr.Dataset:
        """The metrics over the dimension `round`, with what was spent as further coordinates."""
        variables = {name: ("round", np.asarray(v)) for name, v in self.metrics.items()}
        spent = {name: ("round", v) for name, v in self.cost._asdict().items()}
        return xr.Dataset(variables, {"round": self.rounds, **spent})


def prepare(algorithm, problem, network, x0, *, rounds, every):
    """Check that the parts fit together, and give all numbers the dtype of the iterates."""
    checks.horizon(rounds, every)
    checks.parts(problem, network)
    checks.algorithm(algorithm, network, problem)
    if x0 is None:
        dtype = jax.eval_shape(problem.init, jax.random.key(0)).dtype
    else:
        x0 = checks.start(x0, problem)
        dtype = x0.dtype
    return cast(algorithm, dtype), cast(problem, dtype), cast(network, dtype), x0


def cast(tree: Any, dtype: Any) -> Any:
    """Every number and floating-point array as an array of `dtype`, so that 0.1, float32(0.1) and 1 compile once."""

    def leaf(a):
        number = isinstance(a, int | float | np.number) and not isinstance(a, bool)
        return jnp.asarray(a, dtype if number or jnp.issubdtype(jnp.result_type(a), jnp.floating) else None)

    return jax.tree.map(leaf, tree)


def _opaque(cost: Cost) -> Any:
    return Cost._make(Number(v) if isinstance(v, int | float | np.number) else v for v in cost)


def total_cost(trace: Trace, rounds: int, every: int, d: int) -> Cost:
    """What was spent up to each record, in float64 on the host; bits that an algorithm does not count are 32 d vectors.

    Entries have shape (..., records), leading axes being those of the trace.
    """
    start, spent = (
        c if c.bits is not None else c._replace(bits=_times(c.vectors, 32 * d)) for c in (trace.start, trace.spent)
    )
    records = np.arange(0, rounds + 1, every, dtype=np.float64)

    def entry(a, b):
        a = np.float64(a.value) if isinstance(a, Number) else np.asarray(a, np.float64)[..., None]
        if isinstance(b, Number):
            return a + b.value * records
        summed = np.cumsum(np.asarray(b, np.float64), axis=-1)
        return a + np.concatenate([np.zeros_like(summed[..., :1]), summed], axis=-1)

    return Cost._make(entry(a, b) for a, b in zip(start, spent, strict=True))


def _times(a, factor) -> Any:
    return Number(a.value * factor) if isinstance(a, Number) else np.asarray(a, np.float64) * factor
