"""`lastmap` gives what `jax.vmap` gives: of single primitives, of control flow, and of every algorithm's program."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, OTHERS, N, quadratic
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from jaxdec import algorithms as A
from jaxdec import data, networks, problems
from jaxdec.loop import prepare, simulate
from jaxdec.metrics import consensus, loss, named
from jaxdec.sweeps.lastmap import lastmap
from jaxdec.testing.programs import numbers_of

CELLS = 3
few = settings(max_examples=25, deadline=None, derandomize=True)


def same(found, expected, rtol=1e-9):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        raw = jnp.issubdtype(b.dtype, jax.dtypes.prng_key)
        a, b = (np.asarray(jax.random.key_data(k) if raw else k) for k in (a, b))
        exact = b.dtype.kind != "f"
        np.testing.assert_allclose(a, b, rtol=0 if exact else rtol, atol=0 if exact else rtol * np.abs(b).max(initial=1))


def fallbacks(f, *args, in_axes):
    """The primitives that are left to `jax.vmap`."""
    names = []
    jax.eval_shape(lastmap(f, in_axes, fell_back=names.append), *args)
    return set(names)


def agree(f, *args, in_axes=0, without=True):
    """f mapped by either, and, unless told, without a primitive that fell back."""
    names = []
    same(lastmap(f, in_axes, fell_back=names.append)(*args), jax.vmap(f, in_axes)(*args))
    assert not (names and without), names


# Programs of algorithms.

PROBLEM = quadratic(0.5)


def program(algorithm, network, problem=PROBLEM, *, paired=True, rounds=4):
    """A run as a function of the algorithm's numbers (of x0 where it has none) and a key; and its arguments."""
    x0 = np.random.default_rng(0).standard_normal((problem.n, problem.d))
    parts = prepare(algorithm, problem, network, x0, rounds=rounds, every=2)
    swept = {name: 1.0 for name in numbers_of(parts[0])}
    leaves, structure = jax.tree.flatten(parts[0])

    def one(scale, key):
        algorithm = jax.tree.unflatten(structure, [scale * a if a.ndim == 0 and a.dtype.kind == "f" else a for a in leaves])
        start = parts[3] if swept else scale * parts[3]
        return simulate(algorithm, *parts[1:3], start, key, rounds=rounds, every=2, metrics=named((loss, consensus)))

    keys = jax.random.key(7) if paired else jax.random.split(jax.random.key(7), CELLS)
    return one, (jnp.linspace(0.8, 1.0, CELLS), keys), (0, None if paired else 0)


@pytest.mark.thinned(6)
@pytest.mark.parametrize("paired", [True, False], ids=["one key", "own keys"])
@pytest.mark.parametrize("case", CASES + OTHERS, ids=lambda case: case.name)
def test_every_program_of_the_battery_is_that_of_vmap(case, paired):
    one, args, in_axes = program(case.algorithm, case.network, paired=paired)
    names = []
    found = jax.jit(lastmap(one, in_axes, fell_back=names.append))(*args)
    assert not names
    same(found, jax.jit(jax.vmap(one, in_axes))(*args), rtol=1e-8)
