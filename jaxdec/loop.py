"""`run` and `simulate`: the only time loop. An outer scan over records, an inner scan over rounds."""

import operator
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, PyTree

from jaxdec import algorithms as _algorithms
from jaxdec import checks, costs, live, placement, returned
from jaxdec._module import Keys, at_round, cast, seed_data
from jaxdec.describe import describe, source
from jaxdec.live.bar import bar
from jaxdec.live.watch import watch
from jaxdec.metrics import DEFAULT, Measures, measure, named
from jaxdec.results.result import Asked, Result
from jaxdec.storage.places import located
from jaxdec.storage.segments import Segments, SoFar, advance
from jaxdec.storage.segments import length as segment_length
from jaxdec.threefry import unrolled
from jaxdec.types import Cost, Metric, Round, Tally, World, frozen

__all__ = [
    "Carry",
    "Keys",
    "Outline",
    "Trace",
    "catalogue",
    "check",
    "fitted",
    "joined",
    "measured",
    "outline",
    "prepare",
    "ready",
    "run",
    "simulate",
    "start",
]


class Carry(NamedTuple):
    """What goes from round to round, and from one stretch of a run to the next."""

    memory: PyTree  # the network's
    state: PyTree  # the algorithm's


class Trace(NamedTuple):
    """What `simulate` returns: records are stacked on the leading axis, costs are still in their parts."""

    carry: Any  # the last Carry, or None where it is not asked for
    metrics: dict[str, Array]  # (records, ...) each
    start: Cost  # of init
    spent: Any  # a Cost, of one round where it is a Constant, else (records - 1,), summed over a window; None without


def joined(start: Trace, later: Trace, axis: int = 0) -> Trace:
    """The trace of a start and of rounds that went on from it."""
    both = lambda a, b: np.concatenate([np.asarray(a), np.asarray(b)], axis)
    return later._replace(metrics=jax.tree.map(both, start.metrics, later.metrics), start=start.start)


def simulate(
    algorithm, problem, network, x0, key, since=None, *, rounds: int, every: int, metrics: Measures, remat: bool = False
) -> Trace:
    """The whole experiment as a pure function, to be compiled and vmapped.

    `x0` is (n, d), or None for the problem's own start. Schedules are evaluated here, so that an algorithm's step size
    is always a number. `since` is None, or (t, carry) of a run to go on with: `rounds` more, recorded after t. With 0
    rounds there is a start alone, recorded.

    With `remat` the rounds between two records are computed again where the whole is differentiated, so that their
    states are not held: those of rounds / every + every rounds are.

    A node that does not take part keeps its rows of the state, unless the algorithm sees to that itself, and the costs
    of such a method are scaled by who takes part (gradients) and by what is sent (vectors and bits).
    """
    keys = Keys.split(unrolled(key))
    checks.sizes("problem", problem)
    checks.sizes("network", network)
    if x0 is None:
        x0 = jnp.broadcast_to(problem.init(keys.x0), (problem.n, problem.d))
    freezes = checks.facts(algorithm).absent == "frozen"
    seen = lambda world: costs.opaque(world._replace(W=None))  # by metrics: that of the last round before a record

    def at(memory, t) -> tuple[PyTree, World, Any, Round]:
        key_network, key_step = keys.of_round(t)
        memory, world = returned.world(network, network.at(memory, t, key_network))
        r = Round(problem.n, x0.dtype, t, keys.data, key_step, **world._asdict())
        return memory, world, at_round(algorithm, t, x0.dtype), r

    def step(carry, t):
        carry, _ = carry
        memory, world, now, r = at(carry.memory, t)
        state, cost = returned.outcome(now, "step", now.step(problem, carry.state, r), r.m)
        state = returned.carried(now, carry.state, state)
        if freezes and world.active is not None:
            state = frozen(world.active, carry.state, state)
        if world.idle is not None:
            state = jax.tree.map(lambda old, new: jnp.where(world.idle, old, new), carry.state, state)
        return (Carry(memory, state), seen(world)), costs.opaque(costs.priced(cost, r, scaled=freezes))

    def window(carry, t):
        blank = jax.eval_shape(lambda memory: seen(network.at(memory, t, keys.network)[1]), carry.memory)
        blank = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), blank)
        (carry, world), each = jax.lax.scan(step, (carry, blank), t + jnp.arange(every))
        total = lambda c: c.summed() if isinstance(c, Tally) else jnp.sum(c, axis=0)
        spent = jax.tree.map(total, each, is_leaf=lambda c: isinstance(c, Tally))
        return carry, (measured(metrics, problem, carry.state, costs.plain(world)), spent)

    window = jax.checkpoint(window) if remat else window
    if since is not None:
        t, carry = since
        go = jax.lax.scan if rounds > every or remat else _once  # whose loop has no derivative
        carry, (records, spent) = go(window, carry, t + jnp.arange(0, rounds, every))
        return Trace(carry, records, costs.opaque(Cost()), spent)
    memory = network.init(keys.network)
    _, world, now, r = at(memory, jnp.asarray(0))
    state, start = returned.outcome(now, "init", now.init(problem, x0, replace(r, key=keys.init)), problem.n)
    start = costs.priced(start, replace(r, active=None, clients=None), scaled=False)
    start = start._replace(rounds_present=0, messages=0, lost=0)
    state = returned.started(now, state, x0, problem.n if freezes and not r.everybody else None)
    begun = None if world.seconds is None else jnp.zeros_like(world.seconds)  # before the first event
    before = measured(metrics, problem, state, world._replace(W=None, seconds=begun))
    first = jax.tree.map(lambda a: a[None], before)
    if not rounds:
        return Trace(Carry(memory, state), first, costs.opaque(start), None)
    carry, (later, spent) = jax.lax.scan(window, Carry(memory, state), jnp.arange(0, rounds, every))
    records = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, later)
    return Trace(carry, records, costs.opaque(start), spent)


def _once(window, carry, ts):
    """`lax.scan` over a single window, in a loop that XLA does not know to be of one turn.

    It would put such a one into its surroundings, and round otherwise than where the rounds are not cut.
    """
    (t,) = ts
    blank = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(window, carry, t)[1])
    turn = lambda turns: (turns[0] + 1, *window(turns[1], t))
    one = jax.lax.optimization_barrier(jnp.asarray(1))
    _, carry, found = jax.lax.while_loop(lambda turns: turns[0] < one, turn, (jnp.asarray(0), carry, blank))
    return carry, jax.tree.map(lambda a: a[None], found)


def measured(metrics: Measures, problem: Any, state: Any, world: World) -> dict[str, Array]:
    """All metrics of one state, by name, and when it was, where that has a time.

    A value that is no number, or two of one name, are refused.
    """
    found: dict[str, Array] = {} if world.seconds is None else {"seconds": world.seconds}
    for metric in metrics:
        for name, value in measure((metric,), problem, state, world).items():
            checks.called(name)
            if name in found:
                raise ValueError(f"two metrics give a value called {name!r}; name one of them otherwise")
            if not isinstance(value, jax.Array | np.ndarray | np.generic | bool | int | float | complex):
                raise TypeError(
                    f"the metric {name!r} gives {type(value).__name__}; a metric gives a number, (n,) or a dict of such"
                )
            found[name] = checks.kept(f"the metric {name!r}", value)
    return found


class Outline(NamedTuple):
    """What is known of a run before it is compiled: shapes and dtypes."""

    carry: Carry
    metrics: dict[str, jax.ShapeDtypeStruct]  # of one record


def outline(parts: tuple[Any, Any, Any, Any], metrics: Measures) -> Outline:
    """The shapes of what a run carries and records, from its algorithm, problem, network and x0, ready to run.

    Those of equal structure and shapes are traced once, for one round.

    Raises:
        TypeError: if a metric gives what is no number.
        ValueError: if it gives another shape than () or (n,), a dtype that is not kept, or has a name that is taken.
    """
    leaves, structure = jax.tree.flatten(parts)
    shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
    checks.sizes("problem", parts[1])
    return _outline(structure, shapes, metrics, operator.index(parts[1].n), jax.config.jax_enable_x64)  # type: ignore[attr-defined]


@lru_cache(maxsize=256)
def _outline(structure: Any, shapes: Any, metrics: Measures, n: int, x64: bool) -> Outline:
    parts = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*leaf) for leaf in shapes])
    go = partial(simulate, rounds=1, every=1, metrics=metrics)
    trace = jax.eval_shape(go, *parts, jax.random.key(0))
    found = {name: jax.ShapeDtypeStruct(a.shape[1:], a.dtype) for name, a in trace.metrics.items()}
    checks.measured(found, n)
    return Outline(trace.carry, found)


@partial(jax.jit, static_argnames=("rounds", "every", "metrics"))
def _compiled(algorithm, problem, network, x0, seed, since, *, rounds: int, every: int, metrics: Measures) -> Trace:
    """`simulate` from the data of a seed's key, which is made in the program: outside it took a tenth of a call."""
    key = jax.random.wrap_key_data(seed)
    return simulate(algorithm, problem, network, x0, key, since, rounds=rounds, every=every, metrics=metrics)


def run(
    algorithm: Any,
    problem: Any,
    network: Any,
    *,
    rounds: int,
    every: int = 1,
    seed: int = 0,
    x0: ArrayLike | None = None,
    metrics: Iterable[Metric | str] | Mapping[str, Metric | str] = DEFAULT,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    callback: live.Callback | Sequence[live.Callback] | None = None,
    callback_every: int | None = None,
    progress: bool = False,
    strict: bool = True,
    devices: int | Sequence[Any] | None = None,
) -> Result:
    """Run one experiment, recording at rounds 0, every, 2 every, ..., rounds.

    Args:
        algorithm: an object of `jaxdec.algorithms`, or your own.
        problem: an object of `jaxdec.problems`, or your own.
        network: an object of `jaxdec.networks`, or your own, with as many nodes as the problem.
        rounds: how many communication rounds; a multiple of `every`.
        every: the stride of the records. What is computed does not depend on it.
        seed: from 0 to 2**63 - 1. All randomness is a function of it and of what is drawn, never of the configuration:
            runs of one seed see the same minibatches, so that their comparison is paired.
        x0: the start, (d,) for all nodes or (n, d); None takes the problem's own. Its dtype is the run's.
        metrics: functions of (problem, state) or (problem, state, world), names of those in `jaxdec.metrics`, or a
            mapping of names to either. Each gives a number, (n,) with one for each node, or a dict of such. Pass the
            same functions again to reuse the compiled program: each new one, as a lambda in a loop is, makes another,
            of some 2 MB, which JAX keeps until `jax.clear_caches()`.
        checkpoint: a directory for the run's state, from which the same call goes on if it was killed, or is to have
            more rounds; the result is that of an undisturbed run.
        checkpoint_every: how many rounds from one checkpoint to the next, a multiple of `every`; None makes ten.
        callback: what is called with the records that are new, a `live.Seen`, while the run goes on: a function, or a
            list of them, such as the writers of `jaxdec.live`. It changes nothing of the result, but where one asks to
            stop: then that ends there, and its attribute `stopped` says why. One that goes on from a checkpoint begins
            with the records that are there.
        callback_every: how many rounds from one call to the next, a multiple of `every`; None makes ten calls.
        progress: whether to show a progress bar, in a terminal or in a notebook.
        strict: whether a law that the algorithm needs, and the network does not have, is an error. If not it is a
            warning, and recorded in the result; without some laws no step can be taken, and they stay errors.
        devices: how many devices, or which, the nodes are laid over in equal shares; None takes one. It changes nothing
            of the result but the last bits. Between them goes what mixing needs: of a ring the rows at the ends of each
            share, of the complete graph a mean, else all rows of what is mixed.

    Raises:
        TypeError: if something is not what belongs in its place.
        ValueError: before anything is compiled, if the parts do not fit together, a metric has a shape or a name that
            results cannot have, or the checkpoints are another run's.
        OSError: if a checkpoint cannot be written; those that are there are unharmed.

    >>> from jaxdec import algorithms, networks, problems
    >>> result = run(algorithms.KGT(lr=0.1, local_steps=5), problems.quadratic(8, 3), networks.ring(8), rounds=100)
    >>> float(result.metrics["distance"][-1]) < 1e-3
    True
    """
    rounds, every = checks.horizon(rounds, every)
    seed, strict = checks.seed("seed", seed), checks.flag("strict", strict)
    progress, stretch = checks.flag("progress", progress), checks.checkpoints(checkpoint, checkpoint_every, every)
    given = algorithm, problem, network, x0
    broken = check(algorithm, problem, network, rounds=rounds, every=every, strict=strict)
    parts = ready(*given, rounds=rounds)
    laws, measures, key = tuple(sorted(broken)), named(metrics), seed_data(seed)
    if (where := placement.nodes(devices, problem.n)) is not None:
        begin = parts[1].init(Keys.of(seed).x0) if parts[3] is None else parts[3]
        parts = *parts[:3], jnp.broadcast_to(begin, (problem.n, problem.d))
    over = lambda tree: placement.over_nodes(tree, problem.n, where)
    parts = over(parts)
    carried, of_record = outline(parts, measures)
    seers = watch(callback, callback_every, every, of_record)
    if stretch and seers.stretch:
        checks.multiple("checkpoint_every", stretch, seers.stretch, "callback_every")
    recorded = sum(a.size * a.dtype.itemsize for a in of_record.values()) + 8 * len(Cost._fields)
    checks.affordable(f"{rounds // every + 1} records", recorded * (rounds // every + 1), "take a larger every")
    at = np.arange(0, rounds + 1, every)
    seconds = [0.0, 0.0]  # of compiling and of running

    def program(since: Any = None, *, rounds: int) -> Trace:
        began = time.perf_counter()
        trace = _compiled(*parts, key, since, rounds=rounds, every=every, metrics=measures)
        called = time.perf_counter()  # a call returns when it is compiled, and before it has run
        jax.block_until_ready(trace)
        for k, taken in enumerate((called - began, time.perf_counter() - called)):
            seconds[k] += taken
        return trace

    def origin(stopped: str | None = None) -> Callable[[], dict[str, Any]]:
        by_name = {m.name: m.metric for m in measures}
        return Asked(*given, seed, every, by_name, laws, seconds[0], seconds[1], stopped).attributes

    if checkpoint is None and not seers.callbacks and not progress:
        trace = program(rounds=rounds)
        spent = costs.total(trace.start, trace.spent, rounds, every, parts[1].d)
        return Result(trace.carry.state, trace.metrics, spent, at, origin())
    structure = jax.tree.structure(carried)

    def piece(t: int, more: int, so_far: SoFar | None) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
        if so_far is None:
            start, past = program(rounds=0), None
            trace = joined(start, program((jnp.asarray(t), start.carry), rounds=more))
        else:
            trace = program((jnp.asarray(t), jax.tree.unflatten(structure, over(so_far.state))), rounds=more)
            past = t, Cost._make(so_far.records[name] for name in Cost._fields)
        spent = costs.total(trace.start, trace.spent, more, every, parts[1].d, past)._asdict()
        leaves = jax.tree.leaves(trace.carry)
        return jax.tree.map(np.asarray, trace.metrics) | spent, list(map(np.asarray, leaves)) if kept else leaves

    names = ("algorithm", "problem", "network", "x0")
    kept = None
    if checkpoint is not None:
        about = {name: describe(part) for name, part in zip(names, given, strict=True)}
        about |= {"seed": seed, "every": every, "metrics": {m.name: describe(m.metric) for m in measures}}
        about |= {"broken_laws": list(laws), "jaxdec": source(), "x64": bool(jnp.result_type(float) == jnp.float64)}
        kept = Segments(located(checkpoint), about, stretch=stretch or 1, end=rounds)
        if (there := kept.rounds()) > rounds:
            raise ValueError(
                f"{checkpoint} holds a checkpoint of round {there}, and this run is to have {rounds}; ask for more"
            )
    labels = {name: type(part).__name__ for name, part in zip(names[:3], given, strict=False)}
    length = seers.stretch or stretch or segment_length(rounds, every)
    with bar(progress, labels["algorithm"], rounds) as shown:
        seers = seers._replace(callbacks=(*seers.callbacks, *shown))
        tell = lambda new: seers.tell([labels], [seed], new.t, every, rounds, new.records)
        end, stopped = advance(piece, kept, begin=0, end=rounds, length=length, tell=tell)
    state = jax.tree.unflatten(structure, map(jnp.asarray, end.state)).state
    spent = Cost._make(end.records.pop(name) for name in Cost._fields)
    return Result(state, end.records, spent, at[at <= end.t], origin(stopped))


def prepare(algorithm, problem, network, x0, *, rounds, every, strict=True):
    """Check that the parts fit together, and make them ready to run."""
    check(algorithm, problem, network, rounds=rounds, every=every, strict=strict)
    return ready(algorithm, problem, network, x0, rounds=rounds)


def check(algorithm, problem, network, *, rounds, every, strict=True) -> frozenset[str]:
    """Check that the parts fit together; the laws that do not hold, where that is no error."""
    checks.horizon(rounds, every)
    for kind, given in (("algorithm", algorithm), ("problem", problem), ("network", network)):
        checks.part(kind, given)
    checks.parts(problem, network, rounds)
    return checks.algorithm(algorithm, network, problem, among=catalogue(), strict=strict, rounds=rounds)


def ready(algorithm, problem, network, x0, *, rounds=None):
    """Give all numbers the dtype of the iterates."""
    x0, dtype = start(problem, x0)
    algorithm = fitted("algorithm", algorithm, dtype, rounds)
    return algorithm, fitted("problem", problem, dtype), fitted("network", network, dtype), x0


def fitted(kind: str, part: Any, dtype: Any, rounds: int | None = None) -> Any:
    """A part with its numbers in the dtype of the run; refuse one whose numbers are right in another dtype alone.

    Args:
        kind: "algorithm", "problem" or "network".
        part: as it was checked.
        dtype: of the run.
        rounds: how many there are to be.
    """
    checks.holds(kind, part, dtype)
    made = cast(part, dtype)
    if kind == "algorithm" and dtype != np.float64:
        try:
            checks.settings(made, rounds, dtype)
        except ValueError as error:
            raise ValueError(f"{error}, in {np.dtype(dtype).name}, in which this run is computed") from error
    return made


def start(problem: Any, x0: Any) -> tuple[Any, Any]:
    """x0 as (n, d), or None for the problem's own, and the dtype of the run."""
    if x0 is None:
        leaves, structure = jax.tree.flatten(problem)
        if not all(map(_typed, leaves)):
            return None, jax.eval_shape(problem.init, jax.random.key(0)).dtype
        return None, _own(structure, tuple(map(jax.typeof, leaves)), jax.config.jax_enable_x64)  # type: ignore[attr-defined]
    x0 = checks.start(x0, problem)
    return x0, x0.dtype


def _typed(leaf: Any) -> bool:
    """Whether a leaf has a type for JAX, as texts, functions and integers of many bits have not."""
    if isinstance(leaf, int):
        return abs(leaf) < 2**31
    return isinstance(leaf, float | jax.Array) or (isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind != "O")


@lru_cache(maxsize=256)
def _own(structure: Any, leaves: Any, x64: bool) -> Any:
    """The dtype of the start of a problem's own, from its structure and the types of its leaves."""
    own = lambda leaves, key: jax.tree.unflatten(structure, leaves).init(key)
    return jax.eval_shape(own, leaves, jax.random.key(0)).dtype


def catalogue() -> Iterator[type]:
    """All classes of `jaxdec.algorithms`, for errors that say which of them would fit."""
    return (kind for name in _algorithms.__all__ if isinstance(kind := getattr(_algorithms, name), type))
