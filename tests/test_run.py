"""`run`: records, costs, schedules, traces, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdec
from jaxdec import algorithms as A
from jaxdec import loop, metrics, networks, problems, run
from jaxdec.loop import outline, prepare, simulate
from jaxdec.types import Cost

pytestmark = pytest.mark.sampled(12)

PROBLEM, RING = problems.quadratic(6, 3, noise=0.2), networks.ring(6)
CLOSE = {"rtol": 0, "atol": 1e-12}


def test_records_are_at_every_stride_from_zero_to_the_end():
    result = run(A.DSGD(lr=0.1), PROBLEM, RING, rounds=12, every=4)
    assert result.rounds.tolist() == [0, 4, 8, 12]
    dataset = result.to_xarray()
    assert dataset.sizes == {"round": 4}
    assert set(dataset.data_vars) == {"loss", "suboptimality", "grad_norm_sq", "consensus", "distance"}
    assert dataset.loss.dims == ("round",)
    assert set(dataset.coords) == {"round", "grads", "vectors", "bits", "bits_down"}


def test_metrics_are_those_of_the_mean_iterate():
    result = run(A.DSGD(lr=0.1), PROBLEM, RING, rounds=3, x0=np.ones(3))
    x = result.state.x
    mean = jnp.tile(jnp.mean(x, axis=0), (6, 1))
    last = {name: values[-1] for name, values in result.metrics.items()}
    np.testing.assert_allclose(last["loss"], jnp.mean(PROBLEM.loss(mean)), **CLOSE)
    np.testing.assert_allclose(last["grad_norm_sq"], jnp.sum(jnp.mean(PROBLEM.grad(mean), axis=0) ** 2), **CLOSE)
    np.testing.assert_allclose(last["consensus"], jnp.mean(jnp.sum((x - mean) ** 2, axis=1)), **CLOSE)
    np.testing.assert_allclose(last["distance"], jnp.linalg.norm(mean[0] - PROBLEM.minimizer), **CLOSE)


def test_a_seed_fixes_everything_and_another_changes_it():
    final = lambda seed: run(A.DSGD(lr=0.1), PROBLEM, RING, rounds=5, seed=seed).state.x
    np.testing.assert_array_equal(final(3), final(3))
    assert np.abs(final(3) - final(4)).max() > 1e-3


def test_five_step_sizes_cost_one_trace_and_each_number_of_local_steps_one_more(monkeypatch):
    traces, rounds = [], 7  # as no other test here has
    traced = lambda *a, **k: traces.append(k["rounds"]) or simulate(*a, **k)
    monkeypatch.setattr(loop, "simulate", traced)
    for lr in (0.1, 0.2, 1, np.float32(0.3), jnp.asarray(0.4)):
        run(A.LocalDSGD(lr=lr, local_steps=2), PROBLEM, RING, rounds=rounds)
    assert traces.count(rounds) == 1
    for local_steps in (3, 4):
        run(A.LocalDSGD(lr=0.1, local_steps=local_steps), PROBLEM, RING, rounds=rounds)
    assert traces.count(rounds) == 3


def test_costs_add_up_in_float64_and_uncounted_bits_are_those_of_the_vectors():
    cost = run(A.KGT(lr=0.1, local_steps=4, start="paper"), PROBLEM, RING, rounds=6, every=2).cost
    np.testing.assert_array_equal(cost.grads, 4 * np.array([0, 2, 4, 6]))
    np.testing.assert_array_equal(cost.vectors, 1 + 2 * np.array([0, 2, 4, 6]))
    np.testing.assert_array_equal(cost.bits, 32 * 3 * cost.vectors)
    np.testing.assert_array_equal(cost.bits_down, 0)


@jaxdec.module
class Chatty:
    """Costs that are known only as the run goes."""

    requires = "symmetric"

    def init(self, problem, x0, r):
        return A.dsgd.State(x0), Cost(bits=7)

    def step(self, problem, s, r):
        return s, Cost(vectors=1.0 * (r.t % 2), bits=1.0 * r.t)


def test_costs_that_are_traced_are_summed_inside_a_window():
    cost = run(Chatty(), PROBLEM, RING, rounds=6, every=3, metrics=()).cost
    np.testing.assert_array_equal(cost.bits, [7, 7 + 0 + 1 + 2, 7 + 0 + 1 + 2 + 3 + 4 + 5])
    np.testing.assert_array_equal(cost.vectors, [0, 1, 3])


def decaying(start, half_life, t):
    return start * 0.5 ** (t / half_life)


def test_schedules_are_called_with_the_round_and_share_one_program():
    before = loop._compiled._cache_size()
    states = {}
    for start in (0.1, 0.2):
        lr = jax.tree_util.Partial(decaying, start, 2.0)
        states[start] = run(A.DSGD(lr=lr), PROBLEM, RING, rounds=3, x0=np.ones(3), seed=1).state.x
    assert loop._compiled._cache_size() == before + 1
    x = jnp.ones((6, 3))
    keys = loop.Keys.of(1)
    for t in range(3):
        x = RING.W @ (x - decaying(0.2, 2.0, t) * PROBLEM.grad(x, PROBLEM.sample(keys.data, t)))
    np.testing.assert_allclose(states[0.2], x, **CLOSE)


def test_the_dtype_of_the_start_is_the_dtype_of_the_run():
    result = run(A.KGT(lr=0.1, local_steps=2), PROBLEM, RING, rounds=2, x0=np.ones(3, np.float64))
    assert result.state.x.dtype == jnp.float64
    with jax.enable_x64(False):
        single = problems.quadratic(6, 3)
        result = run(A.KGT(lr=0.1, local_steps=2), single, RING, rounds=2, x0=np.ones(3, np.float64))
    assert result.state.x.dtype == jnp.float32


def test_a_run_that_diverges_holds_what_is_not_finite():
    result = run(A.DSGD(lr=100.0), PROBLEM, RING, rounds=400, every=100)
    assert np.isfinite(result.metrics["loss"][0])
    assert not np.isfinite(result.metrics["loss"][-1])


def test_metrics_may_be_named_and_may_be_ones_own():
    mine = {"spread": metrics.consensus, "largest": lambda problem, state: jnp.max(jnp.abs(state.x))}
    result = run(A.DSGD(lr=0.1), PROBLEM, RING, rounds=2, metrics=mine)
    assert set(result.metrics) == {"spread", "largest"}


def test_metrics_may_be_names_and_may_see_the_world_and_what_they_give_is_known_before_compiling():
    honest = lambda problem, state, world: jnp.asarray(1.0 if world.honest is None else 0.0)
    seen = {"all": honest, "per node": lambda problem, state: problem.loss(state.x), "small": lambda p, s: 2}
    result = run(A.DSGD(lr=0.1), PROBLEM, RING, rounds=2, metrics={"f": "loss", **seen})
    expected = run(A.DSGD(lr=0.1), PROBLEM, RING, rounds=2, metrics=["loss"]).metrics["loss"]
    np.testing.assert_array_equal(result.metrics["f"], expected)
    np.testing.assert_array_equal(result.metrics["all"], 1)
    assert result.to_xarray()["per node"].dims == ("round", "node")
    known = outline(prepare(A.DSGD(lr=0.1), PROBLEM, RING, None, rounds=2, every=1), metrics.named(seen))
    assert {name: of.shape for name, of in known.metrics.items()} == {"all": (), "per node": (6,), "small": ()}
    assert known.carry.state.x.shape == (6, 3)


def test_what_is_known_before_compiling_is_traced_once(monkeypatch):
    traces = []
    monkeypatch.setattr(loop, "simulate", lambda *a, **k: traces.append(k["rounds"]) or simulate(*a, **k))
    mine = lambda problem, state: jnp.sum(state.x)
    for lr in (0.1, 0.2, 0.3):
        run(A.DSGD(lr=lr), PROBLEM, RING, rounds=2, metrics={"mine": mine})
    assert sorted(traces) == [1, 2]  # of one round, for what is known, and the program


@pytest.mark.parametrize(
    ("mine", "error", "message"),
    [
        ({"x": lambda p, s: s.x}, ValueError, r"'x' gives an array of shape \(6, 3\); a metric gives a number"),
        ({"x": lambda p, s: s.x[0]}, ValueError, r"'x' gives an array of shape \(3,\)"),
        ({"z": lambda p, s: jnp.sum(s.x) + 1j}, ValueError, "'z' is of dtype complex128; give real numbers"),
        ({"t": lambda p, s: "large"}, TypeError, "'t' gives str; a metric gives a number"),
        ({"t": lambda p, s: {"a": {"b": 1.0}}}, TypeError, "'a' gives dict; a metric gives a number"),
        ({"round": metrics.loss}, ValueError, "a metric cannot be called 'round', which is the name of a dimension"),
        ({"t": lambda p, s: {"bits": 1.0}}, ValueError, "cannot be called 'bits'"),
        ({"node": metrics.loss, "algorithm": metrics.loss}, ValueError, "cannot be called 'node'"),
        ({"a": lambda p, s: {"b": 1.0}, "b": metrics.loss}, ValueError, "two metrics give a value called 'b'"),
    ],
)  # fmt: skip
def test_metrics_that_results_cannot_have_are_refused_before_anything_is_compiled(mine, error, message):
    before = loop._compiled._cache_size()
    with pytest.raises(error, match=message):
        run(A.DSGD(lr=0.1), PROBLEM, RING, rounds=2, metrics=mine)
    assert loop._compiled._cache_size() == before


def test_a_broken_law_is_an_error_or_where_asked_for_a_warning_that_the_result_keeps():
    given = A.EXTRA(lr=0.05), PROBLEM, networks.static(np.eye(6) / 2 + np.roll(np.eye(6), 1, axis=1) / 2)
    with pytest.raises(ValueError, match="EXTRA needs a symmetric W"):
        run(*given, rounds=3)
    with pytest.warns(UserWarning, match="EXTRA runs without a symmetric W .*it loses its fixed point"):
        result = run(*given, rounds=3, strict=False)
    assert result.to_xarray().attrs["broken_laws"] == "symmetric"
    assert run(A.EXTRA(lr=0.05), PROBLEM, RING, rounds=3).to_xarray().attrs["broken_laws"] == ""
    with pytest.raises(ValueError, match="needs a server"):  # without which no step can be taken
        run(A.SCAFFOLD(lr=0.1, local_steps=2), PROBLEM, RING, rounds=3, strict=False)


def test_local_dsgd_stalls_at_a_floor_that_grows_as_zeta_squared():
    floors = []
    for zeta in (1.0, 10.0):
        problem = problems.quadratic(8, 4, zeta=zeta)
        result = run(A.LocalDSGD(lr=0.1, local_steps=5), problem, networks.ring(8), rounds=2000, every=1000)
        d = result.metrics["distance"]
        np.testing.assert_allclose(d[1], d[2], rtol=1e-10)  # it has stalled
        floors.append(float(d[-1]) ** 2)
    np.testing.assert_allclose(floors[1] / floors[0], 100, rtol=1e-8)
    assert floors[0] > 1e-4


@pytest.mark.parametrize("local_steps", [1, 3, 10])
def test_kgt_reaches_the_minimizer_for_any_number_of_local_steps(local_steps):
    problem = problems.quadratic(8, 4, zeta=10.0)
    result = run(
        A.KGT(lr=0.2 / local_steps, local_steps=local_steps), problem, networks.ring(8), rounds=3000, every=3000
    )
    assert result.metrics["distance"][-1] < 1e-12
    np.testing.assert_allclose(result.state.c, -problem.grad(jnp.tile(problem.minimizer, (8, 1))), rtol=0, atol=1e-11)


ROW = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.25, 0.25, 0.5]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": networks.ring(5)}, "problem has 6 nodes and the network 5.*n=6"),
        ({"network": networks.static(np.kron(np.eye(1), np.roll(np.eye(6), 1, 0) * 0.5 + np.eye(6) * 0.5) * 1.1)},
         "needs a doubly stochastic W .*row sums in \\[1.1, 1.1\\]"),
        ({"rounds": 10, "every": 3}, "rounds=10 is not a multiple of every=3; take rounds=12 or 9"),
        ({"rounds": 0}, "rounds is a positive integer; got 0"),
        ({"every": 1.5}, "every is a positive integer; got 1.5"),
        ({"algorithm": A.DSGD(lr=-0.1)}, "DSGD.lr is a step size, which is positive and finite; got -0.1"),
        ({"algorithm": A.DSGD(lr=0.0)}, "got 0.0"),
        ({"algorithm": A.DSGD(lr=np.nan)}, "got nan"),
        ({"algorithm": A.DSGD(lr="0.1")}, "got 0.1"),
        ({"algorithm": A.KGT(lr=0.1, local_steps=0)}, "KGT.local_steps is an integer of at least 1; got 0"),
        ({"algorithm": A.KGT(lr=0.1, local_steps=2.0)}, "got 2.0"),
        ({"algorithm": A.KGT(lr=0.1, local_steps=2, outer_lr=0)}, "KGT.outer_lr is a step size"),
        ({"algorithm": A.DSGD(lr=0.1, form="act")}, "DSGD.form is one of 'atc', 'cta'; got 'act'"),
        ({"algorithm": A.MomentumTracking(lr=0.1, momentum=1.0)}, r"momentum lies in \[0, 1\); got 1.0"),
        ({"x0": np.ones(4)}, r"x0 has shape \(4,\); expected \(d,\) = \(3,\) .* \(n, d\) = \(6, 3\)"),
        ({"x0": np.array([1.0, np.inf, 0.0])}, "x0 has 1 entries that are NaN or infinite"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_anything_is_compiled(change, message):
    arguments = {"algorithm": A.DSGD(lr=0.1), "problem": PROBLEM, "network": RING, "rounds": 6} | change
    before = loop._compiled._cache_size()
    with pytest.raises(ValueError, match=message):
        run(**arguments)
    assert loop._compiled._cache_size() == before


def test_a_class_in_place_of_an_algorithm_is_refused():
    with pytest.raises(TypeError, match=r"got the class DSGD; write DSGD\(lr=...\)"):
        run(A.DSGD, PROBLEM, RING, rounds=1)
