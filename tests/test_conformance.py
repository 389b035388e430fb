"""The conformance battery: every law that every algorithm obeys, over the table in cases.py."""

import dataclasses
import inspect
from functools import cache, partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, OTHERS, X0, Case, D, N, gradients, quadratic
from rounds import round_of

import jaxdec
from jaxdec import algorithms, networks
from jaxdec.loop import Keys, cast, prepare, simulate
from jaxdec.loop import _compiled as compiled
from jaxdec.metrics import distance, named

ROUNDS = 3000  # enough for the slowest to converge; the references are compared over the first 20
CLOSE = {"rtol": 0, "atol": 1e-12}


def by_case(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


each, each_program = by_case(CASES), by_case(CASES + OTHERS)


def states(problem, state):
    """Every array of the state, recorded as it is."""
    return {f"state.{k}": v for k, v in state._asdict().items() if isinstance(v, jax.Array)}


@cache
def trajectory(case: Case, noise: float, lr_factor: float = 1.0) -> Any:
    """One program per case: the noise and the step size are traced."""
    algorithm = dataclasses.replace(case.algorithm, lr=case.algorithm.lr * lr_factor)
    metrics = (states, distance)
    return jaxdec.run(algorithm, quadratic(noise), case.network, rounds=ROUNDS, x0=X0, seed=7, metrics=metrics)


@jax.jit
def init(algorithm, problem, network, x0, key_network, key_data, key):
    r = round_of(network, problem.n, key=key_network, key_data=key_data, dtype=x0.dtype)
    return algorithm.init(problem, x0, dataclasses.replace(r, key=key))[0]


@jax.jit
def step(algorithm, problem, network, state, t, key_network, key_data, key):
    r = round_of(network, problem.n, t, key=key_network, key_data=key_data, dtype=state.x.dtype)
    return algorithm.step(problem, state, dataclasses.replace(r, key=key))[0]


def rounds_by_hand(algorithm, problem, network, rounds: int, seed: int = 7, dtype=jnp.float64) -> list[Any]:
    """The states of a run without its loop."""
    algorithm, problem, network, x0 = prepare(algorithm, problem, network, X0.astype(dtype), rounds=1, every=1)
    keys = Keys(*jax.random.split(jax.random.key(seed), 5))
    found = []
    for t in range(rounds):
        key_network, key = jax.random.split(jax.random.fold_in(keys.rounds, t))
        if t == 0:
            found.append(init(algorithm, problem, network, x0, key_network, keys.data, keys.init))
        found.append(step(algorithm, problem, network, found[-1], jnp.asarray(t), key_network, keys.data, key))
    return found


def test_every_exported_algorithm_has_a_row():
    exported = {v for _, v in inspect.getmembers(algorithms, inspect.isclass)}
    assert {type(case.algorithm) for case in CASES + OTHERS} == exported


@each
def test_twenty_rounds_equal_the_loop_over_nodes(case):
    keys = Keys(*jax.random.split(jax.random.key(7), 5))
    grad = gradients(quadratic(0.5), keys.data, 100)
    W = np.asarray(case.network.W.dense())
    expected = case.reference(W, grad, np.tile(X0, (N, 1)), 20)
    np.testing.assert_allclose(trajectory(case, 0.5).metrics["state.x"][:21], expected, **CLOSE)


@each
def test_init_takes_no_step(case):
    np.testing.assert_array_equal(trajectory(case, 0.5).metrics["state.x"][0], np.tile(X0, (N, 1)))


@each
def test_exact_methods_reach_the_minimizer_and_biased_ones_do_not(case):
    result = trajectory(case, 0.0)
    error = np.abs(result.state.x - np.asarray(quadratic(0.0).minimizer)).max()
    assert error < 1e-12 if case.exact else error > 1e-3


@each
def test_what_tracking_adds_sums_to_zero(case):
    if case.zero_sum is None:
        pytest.skip("has no correction that sums to zero")
    c = trajectory(case, 0.5).metrics[f"state.{case.zero_sum}"]
    assert np.abs(c.sum(axis=1)).max() < 1e-12
    assert np.abs(c[1:]).max() > 0.1


@each
def test_another_step_size_reuses_the_program(case):
    trajectory(case, 0.5)
    before = compiled._cache_size()
    trajectory(case, 0.5, lr_factor=0.9)
    assert compiled._cache_size() == before


@each
def test_a_cell_of_a_sweep_equals_its_single_run_at_any_stride(case):
    lr = case.algorithm.lr
    problem = quadratic(0.5)
    results = jaxdec.sweep(
        case.algorithm, problem, case.network, over={"lr": [0.9 * lr, lr]}, seeds=[7, 8], rounds=20, every=5, x0=X0,
        metrics=(distance,),
    )  # fmt: skip
    for factor, cell in ((0.9, results.isel(lr=0)), (1.0, results.isel(lr=1))):
        expected = trajectory(case, 0.5, lr_factor=factor).metrics["distance"][:21:5]
        np.testing.assert_allclose(cell.distance.sel(seed=7), expected, **CLOSE)
    assert np.abs(results.distance.sel(seed=7) - results.distance.sel(seed=8)).max() > 1e-3


@each_program
def test_step_keeps_structure_shapes_and_dtypes(case):
    for dtype in (jnp.float32, jnp.float64):
        x0 = jnp.asarray(np.tile(X0, (N, 1)), dtype)
        parts = [cast(part, dtype) for part in (case.algorithm, quadratic(0.5), case.network)]

        def both(algorithm, problem, network, x0, key):
            r = round_of(network, N, key=key, dtype=x0.dtype)
            state, _ = algorithm.init(problem, x0, r)
            return state, algorithm.step(problem, state, r)[0]

        before, after = jax.eval_shape(both, *parts, x0, jax.random.key(0))
        assert before.x.shape == ((1, D) if case.algorithm.requires == "server" else (N, D))
        chex.assert_trees_all_equal_shapes_and_dtypes(before, after)
        assert {leaf.dtype for leaf in jax.tree.leaves(after) if jnp.issubdtype(leaf.dtype, jnp.floating)} == {
            jnp.dtype(dtype)
        }


@each
def test_a_run_is_its_steps_one_after_the_other(case):
    by_hand = rounds_by_hand(case.algorithm, quadratic(0.5), case.network, rounds=4)
    np.testing.assert_allclose(by_hand[-1].x, trajectory(case, 0.5).metrics["state.x"][4], **CLOSE)


@each
def test_relabelling_nodes_permutes_the_trajectory(case):
    order = np.random.default_rng(0).permutation(N)
    W = np.asarray(case.network.W.dense())
    renamed = networks.static(W[np.ix_(order, order)], form="dense")
    original = rounds_by_hand(case.algorithm, quadratic(0.5), case.network, rounds=3)[-1]
    permuted = rounds_by_hand(case.algorithm, quadratic(0.5).take(order), renamed, rounds=3)[-1]
    np.testing.assert_allclose(permuted.x, original.x[order], **CLOSE)


@each
def test_alone_a_node_runs_the_centralized_method(case):
    alone = quadratic(0.5).take(np.array([2]))
    result = rounds_by_hand(case.algorithm, alone, networks.static(np.ones((1, 1))), rounds=5)
    keys = Keys(*jax.random.split(jax.random.key(7), 5))
    expected = case.reference(np.ones((1, 1)), gradients(alone, keys.data, 40), X0[None], 5)
    np.testing.assert_allclose(np.stack([s.x for s in result]), expected, **CLOSE)


@each
def test_reported_cost_is_the_counted_cost(case):
    """Gradients by the samples that are drawn, a sample drawn again being reused; vectors by products with W."""
    drawn: set[int] = set()
    products = []

    class Problem:
        def __getattr__(self, name):
            return getattr(quadratic(0.5), name)

        def sample(self, key_data, i):
            drawn.add(int(i))
            return quadratic(0.5).sample(key_data, i)

    class W:
        def __matmul__(self, x):
            products.append(x.ndim)
            return case.network.W @ x

        def __getattr__(self, name):
            return getattr(case.network.W, name)

    key = jax.random.key(0)
    with jax.disable_jit():
        r = dataclasses.replace(round_of(case.network, N, key=key), W=W())
        state, start = case.algorithm.init(Problem(), jnp.tile(X0, (N, 1)), r)
        total, spent = start.grads, []
        for t in range(3):
            products.clear()
            state, cost = case.algorithm.step(Problem(), state, dataclasses.replace(r, t=jnp.asarray(t)))
            total += cost.grads
            spent.append((cost.vectors, products.count(2)))  # the mass of push-sum is a number
    assert total == len(drawn)
    assert all(reported == counted for reported, counted in spent)


@each_program
def test_lowers_in_float32_for_every_platform(case):
    with jax.enable_x64(False):
        x0 = jnp.asarray(np.tile(X0, (N, 1)), jnp.float32)
        parts = [cast(part, jnp.float32) for part in (case.algorithm, quadratic(0.5), case.network)]
        whole = partial(simulate, rounds=4, every=2, metrics=named((distance,)))
        exported = jax.export.export(jax.jit(lambda *a: whole(*a).metrics), platforms=("cpu", "cuda", "tpu"))(
            *parts, x0, jax.random.key(0)
        )
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert "f64" not in exported.mlir_module()


@pytest.fixture
def debug_key_reuse():
    jax.config.update("jax_debug_key_reuse", True)
    yield
    jax.config.update("jax_debug_key_reuse", False)


def test_no_key_is_used_twice(debug_key_reuse):
    for case in CASES + OTHERS:
        parts = prepare(case.algorithm, quadratic(0.5), case.network, X0, rounds=2, every=1)
        jax.jit(partial(simulate, rounds=2, every=1, metrics=())).trace(*parts, jax.random.key(0))
