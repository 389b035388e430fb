"""Laws of all programs: shapes, the start, what is compiled, runs and what is drawn.

A law is a function of the subject that says what was seen, or raises `LawBroken`.
"""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec import loop
from jaxdec._module import cast
from jaxdec.metrics import named
from jaxdec.sweeps import sweep
from jaxdec.testing.defaults import keys
from jaxdec.testing.expect import CLOSE, LawBroken, NotTested, expect, gap, leaves
from jaxdec.testing.subject import SHORT, Step, Subject

__all__ = [
    "PLATFORMS",
    "a_run_is_its_steps",
    "a_seed_repeats_itself",
    "a_sweep_is_its_runs",
    "another_number_reuses_the_program",
    "countable",
    "init_takes_no_step",
    "lowers_for_every_platform",
    "minibatches_are_those_of_the_seed",
    "no_key_is_used_twice",
    "numbers_of",
    "step_keeps_shapes",
]

PLATFORMS = ("cpu", "cuda", "tpu")


def step_keeps_shapes(s: Subject) -> str:
    for dtype in (jnp.float32, jnp.float64):
        before, after = s.shapes(dtype)
        shape = (1, s.problem.d) if s.is_server else (s.n, s.problem.d)
        x = leaves(before).get(".x")
        expect(
            x is not None and x.shape == shape,
            f"expected a state with the field x of shape {shape}, got {_shown(before)}; look at what init returns",
        )
        expect(
            jax.tree.structure(before) == jax.tree.structure(after),
            f"expected init and step to return states of one structure, got {jax.tree.structure(before)} and "
            f"{jax.tree.structure(after)}; look at what step returns",
        )
        for (name, old), new in zip(leaves(before).items(), jax.tree.leaves(after), strict=True):
            expect(
                old.shape == new.shape and old.dtype == new.dtype,
                f"expected state{name} to stay {old.dtype}{list(old.shape)}, got {new.dtype}{list(new.shape)} after a "
                f"step in {dtype.__name__}; look at the line of step that computes it",
            )
            expect(
                not jnp.issubdtype(new.dtype, jnp.floating) or new.dtype == dtype,
                f"expected state{name} in the precision of x0, {dtype.__name__}, got {new.dtype}; look for an array "
                "that is made with a dtype of its own",
            )
    return f"{len(jax.tree.leaves(after))} arrays, the same in float32 and float64"


def _shown(state: Any) -> str:
    return ", ".join(f"{name} {list(a.shape)}" for name, a in leaves(state).items())


# The start.


def init_takes_no_step(s: Subject) -> str:
    x, x0 = s.hand[0].after.x, np.asarray(s.x0, float)
    if s.is_server:
        away, expected = gap(x, x0.mean(axis=0, keepdims=True)), "the mean of x0"
    else:
        away, expected = float(np.abs(np.asarray(x) - x0).max()), "x0"
    expect(
        away <= (CLOSE if s.is_server else 0),
        f"expected state.x to be {expected} before the first round, it is {away:.2g} away; look at what init returns",
    )
    return f"state.x is {expected}"


# Programs.


def another_number_reuses_the_program(s: Subject) -> str:
    numbers = numbers_of(s.algorithm)
    changed = dataclasses.replace(s.algorithm, **{name: 0.9 * value for name, value in numbers.items()})
    traced = []

    def counted(*parts):
        traced.append(1)
        return loop.simulate(*parts, rounds=2, every=1, metrics=())

    program = jax.jit(counted)
    for algorithm in (s.algorithm, changed):
        program.trace(*s.prepared(algorithm=algorithm), jax.random.key(0))
    expect(
        len(traced) == 1,
        f"expected one program for two values of {' and '.join(numbers)}, got two; look for a field that is declared "
        "static() and is not a count or a choice",
    )
    return f"one program for any {', '.join(numbers)}"


def numbers_of(algorithm: Any) -> dict[str, Any]:
    """The fields that hold a number which is no count."""
    values = {f.name: getattr(algorithm, f.name) for f in dataclasses.fields(algorithm)}
    return {name: v for name, v in values.items() if isinstance(v, float | np.floating | jax.Array) and np.ndim(v) == 0}


def no_key_is_used_twice(s: Subject) -> str:
    with jax.debug_key_reuse(True):
        try:
            jax.jit(partial(loop.simulate, rounds=2, every=1, metrics=())).trace(*s.prepared(), jax.random.key(0))
        except jax.errors.KeyReuseError as error:
            raise LawBroken(
                "expected every key to be used once, two draws use the same one; take r.fold(name) or r.keys(name), "
                f"which are different keys for different names ({str(error).splitlines()[0]})"
            ) from error
    return "all keys differ"


def lowers_for_every_platform(s: Subject) -> str:
    with jax.enable_x64(False):
        parts = [cast(part, jnp.float32) for part in (s.algorithm, s.problem, s.network)]
        whole = partial(loop.simulate, rounds=4, every=2, metrics=named((_summary,)))
        program = jax.jit(lambda *a: whole(*a).metrics)
        exported = jax.export.export(program, platforms=PLATFORMS)(
            *parts, jnp.asarray(np.asarray(s.x0), jnp.float32), jax.random.key(0)
        )
    expect(
        "f64" not in exported.mlir_module(),
        "expected float32 alone, the program has float64 in it",
    )
    return ", ".join(exported.platforms) + ", in float32"


# Runs.


def _summary(problem: Any, state: Any) -> Any:
    """A number that depends on every entry of x."""
    return jnp.sum(state.x * jnp.cos(jnp.arange(state.x.size, dtype=state.x.dtype)).reshape(state.x.shape))


def a_run_is_its_steps(s: Subject) -> str:
    found = s.ran
    for t, step in enumerate(s.hand):
        for name, leaf in leaves(step.after).items():
            away = gap(found[name][t], leaf)
            expect(
                away < CLOSE,
                f"expected run to compute state{name} of round {t} as steps one after the other do, it is {away:.2g} "
                "away; look for something that step remembers outside of its state",
            )
    return f"the same states, over {len(s.hand) - 1} rounds"


def a_sweep_is_its_runs(s: Subject) -> str:
    """At another stride."""
    swept = next(iter(numbers_of(s.algorithm).items()), None)
    over = {} if swept is None else {swept[0]: [0.9 * swept[1], swept[1]]}
    how = {"rounds": SHORT, "every": 5, "x0": jnp.asarray(s.x0, float), "metrics": (_summary,)}
    results = sweep(s.algorithm, s.problem, s.network, over=over, seeds=[s.seed, s.seed + 1], progress=False, **how)
    cell = results._summary.sel(seed=s.seed) if swept is None else results._summary.isel({swept[0]: 1}).sel(seed=s.seed)
    x = s.ran[".x"][: SHORT + 1 : 5]
    away = gap(cell, [_summary(None, _X(row)) for row in x])
    expect(
        away < CLOSE,
        f"expected a cell of a sweep, recorded every 5 rounds, to equal its single run, it is {away:.2g} away; look "
        "for something that step remembers outside of its state",
    )
    return "the same numbers" + (f", swept over {swept[0]}" if swept else "")


class _X(NamedTuple):
    x: Any


def a_seed_repeats_itself(s: Subject) -> str:
    first, second = s.ran, s.run(s.problem)
    expect(
        all(np.array_equal(first[name], second[name], equal_nan=True) for name in first),
        "expected two runs of one seed to be equal to the bit, they differ; look for a random number that is not "
        "drawn with a key of the round",
    )
    other = s.by_hand(2, keys=keys(s.seed + 1), count=False)[-1].after.x
    differ = gap(other, s.hand[2].after.x) > 1e-6
    expect(
        differ or not s.hand[1].seen.drawn or not _draws_noise(s),
        "expected another seed to give another trajectory where gradients are noisy, it gives the same; look for a "
        "minibatch that is drawn with a key of your own: take r.draw(problem)",
    )
    return "to the bit; another seed differs" if differ else "to the bit; nothing is random"


def _draws_noise(s: Subject) -> bool:
    one, other = (s.problem.sample(keys(seed).data, jnp.asarray(0)) for seed in (s.seed, s.seed + 1))
    return any(gap(a, b) > 0 for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def minibatches_are_those_of_the_seed(s: Subject) -> str:
    known, drawn = np.asarray(jax.random.key_data(s.keys.data)), set()
    for t, step in enumerate(s.hand):
        countable(step)
        expect(
            all(np.array_equal(key, known) for key in step.seen.keys),
            "expected minibatches to be drawn with r.key_data, that all methods of a seed draw with, another key is "
            "used; take r.draw(problem)",
        )
        new = set(step.seen.drawn) - drawn
        expect(
            t < 2 or not step.seen.drawn or bool(new),
            f"expected a new minibatch in every round, round {t - 1} draws only those numbered "
            f"{sorted(step.seen.drawn)}, which were drawn before; look at the number that sample is given, t K + k",
        )
        drawn |= new
    return f"{len(drawn)} in {len(s.hand) - 1} rounds" if drawn else "none is drawn"


def countable(step: Step) -> None:
    if step.seen.missed:
        raise NotTested(f"cannot be counted: {step.seen.missed[0]}")
