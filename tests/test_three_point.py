"""Three-point compressors: against a loop over clients, which are other methods, their promise, what they send."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rounds
from cases import X0, D, N, quadratic
from reference import compressed as reference
from server_cases import CLOSE, EVERYBODY, GRAD, KEYS, NOISE, SHORT, TOP, Q, result, states, ups

from jaxdec import algorithms as A
from jaxdec import compressors as C
from jaxdec import networks, run
from jaxdec.compressors import three_point
from jaxdec.spec import from_toml

pytestmark = pytest.mark.sampled(2)

Change, Difference, Lazy = three_point.Change, three_point.Difference, three_point.Lazy
Reset, Then = three_point.Reset, three_point.Then
ROUNDS = 800
V2, V4, V5 = Then(Change(Q), TOP), Then(Difference(C.TopK(k=2)), TOP), Reset(Change(C.TopK(k=2)), 0.3)
V3 = Then(Lazy(Difference(TOP), 2.0), TOP)
ALL = [Difference(TOP), three_point.lag(4.0), Lazy(Difference(TOP), 4.0), V2, V3, V4, V5]


def three(mechanism: Any) -> Any:
    return A.ThreePC(lr=0.1, mechanism=mechanism)


def models(method: Any, noise: float = NOISE, count: int = SHORT) -> np.ndarray:
    return states(method, EVERYBODY, noise, count)["x"][:, 0]


def same(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a, b, **CLOSE)


def top(k: int) -> Any:
    return lambda v: np.where(np.abs(v) >= np.sort(np.abs(v))[-k], v, 0)


def coin(t: int) -> bool:
    key = rounds.fold(rounds.keys_of(KEYS, t)[1], "up")
    return bool(jax.random.bernoulli(jax.random.fold_in(key, 2), 0.3))


QUANTIZED = ups(Q)


def v2(t, i, h, y, x):
    b = h + QUANTIZED(t, i, x - y)
    return b + top(1)(x - b)


def v4(t, i, h, y, x):
    b = h + top(2)(x - h)
    return b + top(1)(x - b)


LOOPS = [
    (V2, v2),
    (three_point.lag(4.0), lambda t, i, h, y, x: x if np.sum((x - h) ** 2) > 4 * np.sum((x - y) ** 2) else h),
    (V4, v4),
    (V5, lambda t, i, h, y, x: x if coin(t) else h + top(2)(x - y)),
]


@pytest.mark.parametrize(("mechanism", "loop"), LOOPS, ids=lambda m: type(m).__name__)
@pytest.mark.thinned(4)
def test_twenty_rounds_equal_the_loop_over_clients(mechanism, loop):
    same(models(three(mechanism)), reference.three_pc(GRAD, X0, SHORT, n=N, lr=0.1, mechanism=loop))


@pytest.mark.slow
def test_compositions_are_the_methods_that_they_are_called():
    same(models(three(Difference(TOP))), models(A.EF21(lr=0.1, compressor=TOP)))
    lazy = models(A.CLAG(lr=0.1, compressor=TOP, trigger=4.0))
    same(models(three(Lazy(Difference(TOP), 4.0))), lazy)
    same(models(three(Then(Difference(TOP), TOP))), models(A.EF21(lr=0.1, compressor=C.TopK(k=2))))
    descent = models(A.SGD(lr=0.1))
    for mechanism in (Difference(C.Identity()), Reset(Change(TOP), 1.0), Then(Change(C.Identity()), TOP)):
        same(models(three(mechanism)), descent)


@pytest.mark.slow
@pytest.mark.parametrize("mechanism", ALL, ids=lambda m: type(m).__name__)
def test_all_of_them_reach_the_minimizer_however_different_the_clients(mechanism):
    np.testing.assert_allclose(models(three(mechanism), 0.0, ROUNDS)[-1], quadratic(0.0).minimizer, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("mechanism", ALL, ids=lambda m: type(m).__name__)
def test_a_memory_that_is_right_stays_so_and_others_come_nearer_where_nothing_moves(mechanism):
    """Where x = y what the inequality says is E|C_hy(x) - x|^2 <= (1 - a) |h - y|^2, and LAG sends unless h = y."""
    rng, keys = np.random.default_rng(0), jax.random.split(jax.random.key(0), 40)  # a coin is one for all rows
    x, h = jnp.asarray(rng.standard_normal((100, D))), jnp.asarray(rng.standard_normal((100, D)))
    away = lambda a: float(jnp.mean(jnp.sum((a - x) ** 2, axis=-1)))
    found = jax.vmap(lambda key: mechanism(key, h, x, x, (D,)).value)(keys)
    assert float(jnp.mean(jnp.sum((found - x[None]) ** 2, axis=-1))) < 0.9 * away(h)
    same(mechanism(keys[0], x, x, x, (D,)).value, x)


@pytest.mark.slow
def test_messages_are_counted_and_silence_costs_nothing():
    t, bits = np.arange(ROUNDS + 1), 32 + 2
    spent = lambda mechanism: result(three(mechanism), EVERYBODY, 0.0, ROUNDS).cost
    np.testing.assert_allclose(spent(V4).vectors, 1 + 2 * t)
    np.testing.assert_allclose(spent(V4).bits, 32 * D + 3 * bits * t)
    lag = spent(three_point.lag(4.0))
    np.testing.assert_allclose(lag.bits, 32 * D * lag.vectors, rtol=1e-12)
    assert lag.vectors[-1] < 0.8 * ROUNDS
    v5, resets = result(three(V5), EVERYBODY, NOISE, SHORT).cost, sum(coin(t) for t in range(SHORT))
    np.testing.assert_allclose(v5.bits[-1], 32 * D * (1 + resets) + 2 * bits * (SHORT - resets))


FILE = """
rounds = 10
problem = { type = "quadratic", n = 6, d = 3 }
network = { type = "server", n = 6 }
[algorithm]
type = "ThreePC"
lr = 0.1
[algorithm.mechanism]
type = "Then"
first = { type = "Change", compressor = { type = "RandK", k = 1 } }
compressor = { type = "TopK", k = 1 }
"""


def test_a_file_may_compose_them(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text(FILE, encoding="utf-8")
    mechanism = Then(Change(C.RandK(k=1)), C.TopK(k=1))
    assert repr(from_toml(path)["algorithms"]) == repr(A.ThreePC(lr=0.1, mechanism=mechanism))


def test_what_is_no_mechanism_or_wrong_in_itself_is_refused():
    for mechanism, says in ((TOP, "three-point compressor like"), (Difference, "needs a three-point compressor")):
        with pytest.raises(TypeError, match=says):
            run(three(mechanism), quadratic(0.0), networks.server(N), rounds=1)
    for mechanism, says in (
        (Difference(Q), "Difference needs a contractive compressor"),
        (Then(Change(Q), Q), "Then needs a contractive compressor"),
        (Lazy(Difference(TOP), -1.0), "Lazy.trigger"),
        (Reset(Change(Q), 0.0), r"Reset.probability is a probability in \(0, 1\]"),
    ):
        with pytest.raises(ValueError, match=says):
            run(three(mechanism), quadratic(0.0), networks.server(N), rounds=1)
