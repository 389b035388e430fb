"""`run` and `simulate`: the only time loop. An outer scan over records, an inner scan over rounds."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, ArrayLike, PyTree

from jaxdec import algorithms as _algorithms
from jaxdec import checks
from jaxdec._module import Constant, at_round, cast
from jaxdec.metrics import DEFAULT, Measures, measure, named
from jaxdec.types import Cost, Metric, Round, World, frozen


class Keys(NamedTuple):
    """The five streams that a seed's key is split into."""

    x0: Any  # for problem.init
    data: Any  # for problem.sample, with the index of the gradient
    init: Any  # for algorithm.init
    rounds: Any  # for the network and the step, with the round
    network: Any  # for network.init


class Carry(NamedTuple):
    """What goes from round to round, and from one stretch of a run to the next."""

    memory: PyTree  # the network's
    state: PyTree  # the algorithm's


class Trace(NamedTuple):
    """What `simulate` returns: records are stacked on the leading axis, costs are still in their parts."""

    carry: Carry  # the last
    metrics: dict[str, Array]  # (records, ...) each
    start: Cost  # of init
    spent: Cost  # of one round where it is a Constant, else (records - 1,), summed over a window


def simulate(algorithm, problem, network, x0, key, since=None, *, rounds: int, every: int, metrics: Measures) -> Trace:
    """The whole experiment as a pure function, to be compiled and vmapped.

    `x0` is (n, d), or None for the problem's own start. Schedules are evaluated here, so that an algorithm's step size
    is always a number. `since` is None, or (t, carry) of a run to go on with: `rounds` more, recorded after t.

    A node that does not take part keeps its rows of the state, unless the algorithm sees to that itself, and the costs
    of such a method are scaled by who takes part (gradients) and by what is sent (vectors and bits).
    """
    keys = Keys(*jax.random.split(key, 5))
    if x0 is None:
        x0 = jnp.broadcast_to(problem.init(keys.x0), (problem.n, problem.d))
    freezes = checks.facts(algorithm).absent == "frozen"
    seen = lambda world: _opaque(world._replace(W=None))  # by metrics: that of the last round before a record

    def at(memory, t) -> tuple[PyTree, World, Any, Round]:
        key_network, key_step = jax.random.split(jax.random.fold_in(keys.rounds, t))
        memory, world = network.at(memory, t, key_network)
        r = Round(problem.n, x0.dtype, t, keys.data, key_step, **world._asdict())
        return memory, world, at_round(algorithm, t, x0.dtype), r

    def step(carry, t):
        carry, _ = carry
        memory, world, now, r = at(carry.memory, t)
        state, cost = now.step(problem, carry.state, r)
        if freezes and not r.everybody:
            state = frozen(world.active, carry.state, state)
        if freezes:
            cost = _present(cost, r)
        return (Carry(memory, state), seen(world)), _opaque(cost)

    def window(carry, t):
        blank = jax.eval_shape(lambda memory: seen(network.at(memory, t, keys.network)[1]), carry.memory)
        blank = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), blank)
        (carry, world), costs = jax.lax.scan(step, (carry, blank), t + jnp.arange(every))
        spent = jax.tree.map(lambda c: jnp.sum(c, axis=0), costs)
        return carry, (measure(metrics, problem, carry.state, _plain(world)), spent)

    if since is not None:
        t, carry = since
        carry, (records, spent) = jax.lax.scan(window, carry, t + jnp.arange(0, rounds, every))
        return Trace(carry, records, _opaque(Cost()), spent)
    memory = network.init(keys.network)
    _, world, now, r = at(memory, jnp.asarray(0))
    state, start = now.init(problem, x0, replace(r, key=keys.init))
    first = measure(metrics, problem, state, world._replace(W=None))
    carry, (later, spent) = jax.lax.scan(window, Carry(memory, state), jnp.arange(0, rounds, every))
    records = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, later)
    return Trace(carry, records, _opaque(start), spent)


def _present(cost: Cost, r: Round) -> Cost:
    """The cost of a round of a graph method: an absent node computes nothing, a silent arc carries nothing."""
    if not r.everybody:
        cost = cost._replace(grads=r.share * cost.grads)
    if not isinstance(r.sent, int):
        cost = cost._replace(vectors=r.sent * cost.vectors, bits=None if cost.bits is None else r.sent * cost.bits)
    return cost


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
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
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
        checkpoint: a directory for the run's state, from which the same call goes on if it was killed, or is to have
            more rounds; the result is that of an undisturbed run.
        checkpoint_every: how many rounds from one checkpoint to the next, a multiple of `every`; None makes ten.

    Raises:
        ValueError: before anything is compiled, if the parts do not fit together or the checkpoints are another run's.

    >>> from jaxdec import algorithms, networks, problems
    >>> result = run(algorithms.KGT(lr=0.1, local_steps=5), problems.quadratic(8, 3), networks.ring(8), rounds=100)
    >>> float(result.metrics["distance"][-1]) < 1e-3
    True
    """
    stretch = checks.checkpoints(checkpoint, checkpoint_every, rounds, every)
    given = algorithm, problem, network, x0
    parts = prepare(*given, rounds=rounds, every=every)
    recorded = {"every": every, "metrics": named(metrics)}

    def piece(t: int, more: int, so_far: Any = None) -> tuple[Any, dict[str, Any], Cost]:
        """`more` rounds from round t on, where the state is that of so_far."""
        since = None if so_far is None else (jnp.asarray(t), so_far[0])
        trace = _compiled(*parts, jax.random.key(seed), since, rounds=more, **recorded)
        past = None if so_far is None else (t, so_far[2])
        return trace.carry, trace.metrics, total_cost(trace, more, every, parts[1].d, past)

    if checkpoint is None:
        carry, records, cost = piece(0, rounds)
    else:
        from jaxdec.checkpoint import run_in_stretches
        from jaxdec.describe import describe

        like = jax.eval_shape(partial(simulate, rounds=every, **recorded), *parts, jax.random.key(seed)).carry
        about = {
            name: describe(part) for name, part in zip(("algorithm", "problem", "network", "x0"), given, strict=True)
        }
        about |= {"seed": seed, "every": every, "metrics": {m.name: describe(m.metric) for m in named(metrics)}}
        about |= {"x64": bool(jnp.result_type(float) == jnp.float64)}
        horizon = {"rounds": rounds, "every": every, "stretch": stretch}
        carry, records, cost = run_in_stretches(piece, like, checkpoint, about, **horizon)
    return Result(carry.state, records, cost, np.arange(0, rounds + 1, every))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Result:
    """One experiment."""

    state: Any  # the last state; state.x is the nodes' estimate, (n, d), or (1, d) for a server's model
    metrics: dict[str, Any]  # (records,) each
    cost: Cost  # (records,) each, cumulative: everything spent up to that record
    rounds: np.ndarray  # (records,) the recorded rounds

    def to_xarray(self) -> xr.Dataset:
        """The metrics over the dimension `round`, with what was spent as further coordinates."""
        variables = {name: ("round", np.asarray(v)) for name, v in self.metrics.items()}
        spent = {name: ("round", v) for name, v in self.cost._asdict().items()}
        return xr.Dataset(variables, {"round": self.rounds, **spent})


def prepare(algorithm, problem, network, x0, *, rounds, every, strict=True):
    """Check that the parts fit together, and give all numbers the dtype of the iterates."""
    checks.horizon(rounds, every)
    checks.parts(problem, network)
    checks.algorithm(algorithm, network, problem, among=catalogue(), strict=strict, rounds=rounds)
    if x0 is None:
        dtype = jax.eval_shape(problem.init, jax.random.key(0)).dtype
    else:
        x0 = checks.start(x0, problem)
        dtype = x0.dtype
    return cast(algorithm, dtype), cast(problem, dtype), cast(network, dtype), x0


def catalogue() -> Iterator[type]:
    """All classes of `jaxdec.algorithms`, for errors that say which of them would fit."""
    return (kind for kind in map(_algorithms.__dict__.get, _algorithms.__all__) if isinstance(kind, type))


def _opaque(values: Any) -> Any:
    """Python numbers as constants, which stay out of the program and come out as they were."""
    return type(values)._make(Constant(v) if isinstance(v, int | float | np.number) else v for v in values)


def _plain(values: Any) -> Any:
    return type(values)._make(v.value if isinstance(v, Constant) else v for v in values)


def total_cost(trace: Trace, rounds: int, every: int, d: int, since: tuple[int, Cost] | None = None) -> Cost:
    """What was spent up to each record, in float64 on the host; bits that an algorithm does not count are 32 d vectors.

    Entries have shape (..., records), leading axes being those of the trace. With `since`, the round at which a run was
    taken up again and what had been spent at its records until then, the records are those after it.
    """
    start, spent = (
        c if c.bits is not None else c._replace(bits=_times(c.vectors, 32 * d)) for c in (trace.start, trace.spent)
    )
    t, past = since or (0, Cost._make([None] * 4))
    records = np.arange(t, t + rounds + 1, every, dtype=np.float64)

    def entry(a, b, before):
        if before is None:
            before = (
                np.asarray([a.value], np.float64) if isinstance(a, Constant) else np.asarray(a, np.float64)[..., None]
            )
        if isinstance(b, Constant):
            total = before[..., :1] + b.value * records
        else:
            b = np.asarray(b, np.float64)
            total = np.cumsum(np.concatenate([np.broadcast_to(before[..., -1:], (*b.shape[:-1], 1)), b], -1), -1)
        return total if since is None else total[..., 1:]

    return Cost._make(entry(*parts) for parts in zip(start, spent, past, strict=True))


def _times(a, factor) -> Any:
    return Constant(a.value * factor) if isinstance(a, Constant) else np.asarray(a, np.float64) * factor
