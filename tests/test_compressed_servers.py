"""Compressed methods of a server: the loops over clients, what they conserve, what equals what, where they go."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rounds
from cases import X0, D, N, quadratic
from reference import compressed as reference
from server_cases import (
    CLOSE,
    COHORT,
    EVERYBODY,
    EXACT,
    GRAD,
    KEYS,
    OMEGA,
    SEED,
    SHORT,
    SOME,
    TOP,
    Q,
    downs,
    keys_of,
    present,
    result,
    states,
    ups,
)

from jaxdec import algorithms as A
from jaxdec import compressors as C
from jaxdec import data, networks, problems, run, testing

pytestmark = pytest.mark.sampled(14)

NOISE, ROUNDS, FEW = 0.5, 800, 6
KEPT, ONE = C.Scaled(C.RandP(p=0.6)), C.RandK(k=1)
A_I, B_I = np.asarray(quadratic(0.0).A), np.asarray(quadratic(0.0).b)
MINIMIZER = np.asarray(quadratic(0.0).minimizer)
GRADIENTS = np.asarray(quadratic(0.0).grad(jnp.tile(MINIMIZER, (N, 1))))


def found(method: Any, network: Any = EVERYBODY, noise: float = 0.0) -> dict[str, np.ndarray]:
    return states(method, network, noise, ROUNDS)


def models(method: Any, network: Any = EVERYBODY, noise: float = NOISE) -> np.ndarray:
    return found(method, network, noise)["x"][:, 0]


def eager(method: Any, network: Any = EVERYBODY, count: int = SHORT) -> np.ndarray:
    """The models of the first rounds, with noise, without compiling them, which takes longer."""
    with jax.disable_jit():
        found = testing.trajectory(method, quadratic(NOISE), network, rounds=count, x0=X0, seed=SEED)
    return found.states[".x"][:, 0]


def spent(method: Any, network: Any = EVERYBODY) -> Any:
    return result(method, network, NOISE, ROUNDS).cost


# Twenty rounds against the loops over clients.

EF21 = A.EF21(lr=0.1, compressor=TOP)
EF21_ZERO = A.EF21(lr=0.1, compressor=TOP, start="zero", momentum=0.5)
EF21_BC = A.EF21(lr=0.1, compressor=KEPT, down_compressor=TOP)
EF21_SGDM = A.EF21SGDM(lr=0.1, compressor=TOP, momentum=0.7)
LOOPS = [
    (EF21, EVERYBODY, reference.ef21, {}),
    (EF21_ZERO, COHORT, reference.ef21, {"smart": False, "momentum": 0.5}),
    (EF21_BC, SOME, reference.ef21, {"up": KEPT, "down": TOP}),
    (EF21_SGDM, COHORT, reference.ef21, {"average": 0.7}),
]


@pytest.mark.parametrize(("method", "network", "loop", "options"), LOOPS, ids=lambda v: type(v).__name__)
def test_twenty_rounds_equal_the_loop_over_clients(method, network, loop, options):
    given = {"up": ups(options.get("up", TOP), network), "present": lambda t: present(network, t)}
    if "down" in options:
        given["down"] = downs(options["down"], network)
    expected = loop(GRAD, X0, SHORT, n=N, lr=0.1, **{**options, **given})
    np.testing.assert_allclose(eager(method, network), expected, **CLOSE)


def exactly(i: int, x: np.ndarray, k: int | None) -> np.ndarray:
    """Client i's k-th stochastic gradient, or its exact one."""
    return A_I[i] @ x - B_I[i] if k is None else GRAD(i, x, k)


def draws(name: str, draw: Any) -> list[Any]:
    """What the first rounds of a run draw with the key of that name."""
    at = lambda t: draw(rounds.fold(rounds.keys_of(KEYS, t)[1], name))
    return list(np.asarray(jax.vmap(at)(jnp.arange(SHORT))))


LAZY = A.CLAG(lr=0.1, compressor=TOP, trigger=4.0)
MARINA = A.MARINA(lr=0.1, compressor=Q, probability=0.3)
VR = A.VRMARINA(lr=0.1, compressor=Q, probability=0.3)
PP = A.PPMARINA(lr=0.1, compressor=ONE, probability=0.3, clients=4)
DASHA = A.DASHA(lr=0.1, compressor=Q)
MVR = A.DASHAMVR(lr=0.1, compressor=Q, b=0.4)
SIGNUM = A.SignSGD(lr=0.01, momentum=0.6)
COINS = draws("coin", lambda key: jax.random.bernoulli(key, 0.3))
DRAWN = draws("clients", lambda key: jax.random.randint(key, (4,), 0, N))
KNOWN = 1 / (2 * OMEGA + 1)


def of_places(t: int, place: int, v: np.ndarray) -> np.ndarray:
    """The message of the client that was drawn at that place."""
    rows = jnp.where(jnp.arange(4)[:, None] == place, jnp.asarray(v)[None], 0.0)
    return np.asarray(ONE(keys_of(t)[1], rows, (D,)).value)[place]


OTHER_LOOPS = [
    (LAZY, EVERYBODY, reference.clag, {"up": ups(TOP), "trigger": 4.0}),
    (MARINA, EVERYBODY, reference.marina, {"up": ups(Q), "coins": COINS}),
    (VR, EVERYBODY, reference.marina, {"up": ups(Q), "coins": COINS, "minibatches": True}),
    (PP, EVERYBODY, reference.marina, {"up": of_places, "coins": COINS, "some": lambda t: DRAWN[t]}),
    (DASHA, EVERYBODY, reference.dasha, {"up": ups(Q), "a": KNOWN}),
    (MVR, EVERYBODY, reference.dasha, {"up": ups(Q), "a": KNOWN, "b": 0.4}),
    (SIGNUM, SOME, reference.sign_sgd, {"lr": 0.01, "momentum": 0.6, "present": lambda t: present(SOME, t)}),
]


@pytest.mark.thinned(2)
@pytest.mark.parametrize(("method", "network", "loop", "options"), OTHER_LOOPS, ids=lambda v: type(v).__name__)
def test_twenty_rounds_of_others_equal_the_loop_over_clients(method, network, loop, options):
    expected = loop(exactly, X0, SHORT, **{"n": N, "lr": 0.1, **options})
    np.testing.assert_allclose(eager(method, network), expected, **CLOSE)


# EF21.


@pytest.mark.parametrize(
    ("method", "network"), [(EF21, EVERYBODY), (EF21_BC, SOME), (EF21_SGDM, COHORT)], ids=["EF21", "BC", "SGDM"]
)
def test_the_servers_memory_is_the_mean_of_the_clients_and_the_minimizer_is_reached(method, network):
    states = found(method, network)
    np.testing.assert_allclose(states["hbar"][:, 0], states["h"].mean(axis=1), rtol=0, atol=1e-10)
    np.testing.assert_allclose(states["h"][-1], GRADIENTS, rtol=0, atol=1e-5)
    assert np.abs(states["x"][-1, 0] - MINIMIZER).max() < 1e-6
    assert np.abs(GRADIENTS).max() > 0.1


def test_ef21_converges_linearly_where_plain_top_1_stalls():
    """In every hundred rounds the distance falls to a tenth or less; plain top-1 ends where its bias leaves it."""
    distance = np.linalg.norm(models(EF21, noise=0.0) - MINIMIZER, axis=1)[100:501:100]
    assert np.all((distance[1:] < 0.1 * distance[:-1]) | (distance[1:] < 1e-12))
    x, A_i, b = np.array(X0), np.asarray(quadratic(0.0).A), np.asarray(quadratic(0.0).b)
    for _ in range(800):
        g = np.einsum("nij,j->ni", A_i, x) - b
        x = x - 0.1 * np.mean(np.where(np.abs(g) == np.abs(g).max(axis=1, keepdims=True), g, 0), axis=0)
    assert np.abs(x - MINIMIZER).max() > 1e-2


def test_without_compression_ef21_is_sgd():
    plain = A.EF21(lr=0.1, compressor=EXACT, momentum=0.5)
    np.testing.assert_allclose(models(plain), models(A.SGD(lr=0.1, momentum=0.5)), **CLOSE)


@pytest.mark.slow
def test_without_momentum_ef21_sgdm_is_ef21():
    np.testing.assert_allclose(
        models(A.EF21SGDM(lr=0.1, compressor=TOP, momentum=0.0), SOME), models(EF21, SOME), **CLOSE
    )


def test_ef21_pays_for_what_is_sent():
    one, rounds = 32 + 2, np.arange(ROUNDS + 1)  # a number and its place among 3
    cost = spent(EF21)
    np.testing.assert_allclose(cost.grads, rounds)
    np.testing.assert_allclose(cost.bits, 32 * D + one * rounds)
    np.testing.assert_allclose(cost.bits_down, 32 * D * rounds)
    cost = spent(EF21_SGDM, COHORT)  # the first gradients are of all clients
    np.testing.assert_allclose(cost.grads, 1 + 2 / N * rounds)
    np.testing.assert_allclose(cost.bits, 32 * D + one * 2 / N * rounds)
    np.testing.assert_allclose(spent(EF21_BC, SOME).bits_down, one * rounds)  # also what those absent have missed


def test_lazy_clients_reach_the_minimizer_with_fewer_messages_and_pay_for_those():
    assert np.abs(models(LAZY, noise=0.0)[-1] - MINIMIZER).max() < 1e-6
    cost = result(LAZY, EVERYBODY, 0.0, ROUNDS).cost
    assert 0.1 * ROUNDS < cost.vectors[-1] < 0.9 * ROUNDS
    np.testing.assert_allclose(cost.bits, 32 * D + (32 + 2) * (cost.vectors - 1), rtol=1e-12)
    never = A.CLAG(lr=0.1, compressor=TOP, trigger=0.0)
    np.testing.assert_allclose(eager(never, count=FEW), eager(EF21, count=FEW), **CLOSE)


# MARINA and DASHA.


def test_without_compression_marina_and_dasha_are_gradient_descent():
    x, exact = np.array(X0), [np.array(X0)]
    for _ in range(FEW):
        x = x - 0.1 * np.mean([exactly(i, x, None) for i in range(N)], axis=0)
        exact.append(x)
    for method in (
        A.MARINA(lr=0.1, compressor=EXACT, probability=0.3),
        A.MARINA(lr=0.1, compressor=Q, probability=1.0),
        A.VRMARINA(lr=0.1, compressor=Q, probability=1.0),
        A.PPMARINA(lr=0.1, compressor=Q, probability=1.0, clients=2),
        A.DASHA(lr=0.1, compressor=EXACT),
    ):
        np.testing.assert_allclose(eager(method, count=FEW), exact, **CLOSE, err_msg=repr(method))


@pytest.mark.parametrize("method", [VR, PP, DASHA], ids=lambda m: type(m).__name__)
def test_the_noise_of_compression_and_of_drawing_vanishes_at_the_minimizer(method):
    """Also that of minibatches in VR-MARINA: that of the quadratic is added, and the same at both points."""
    noise = NOISE if method is VR else 0.0
    distance = np.linalg.norm(models(method, noise=noise) - MINIMIZER, axis=1)
    assert distance[-1] < 1e-6
    assert np.median(distance[400:500]) < 0.1 * np.median(distance[200:300])


def test_the_servers_estimate_is_the_mean_of_what_it_knows_of_the_clients():
    with jax.disable_jit():
        states = testing.trajectory(MVR, quadratic(NOISE), EVERYBODY, rounds=SHORT, x0=X0, seed=SEED).states
    np.testing.assert_allclose(states[".g"][:, 0], states[".k"].mean(axis=1), **CLOSE)


SAMPLES = 12  # of each client, 2 in a minibatch


def finite_sum() -> Any:
    rng = np.random.default_rng(0)
    samples = data.dataset(rng.standard_normal((4 * SAMPLES, 2)), rng.standard_normal(4 * SAMPLES))
    return problems.least_squares(samples, data.iid(range(4 * SAMPLES), 4), bias=False, batch_size=2)


def test_a_full_gradient_is_paid_only_in_the_rounds_that_take_one():
    problem, network = finite_sum(), networks.server(4)
    full, q = 32 * problem.d, float(Q(jax.random.key(0), jnp.ones((1, problem.d))).bits)
    coins = np.asarray(draws("coin", lambda key: jax.random.bernoulli(key, 0.3)))
    assert 0 < coins.sum() < SHORT
    some = A.PPMARINA(lr=0.1, compressor=Q, probability=0.3, clients=2)
    for method, grads, bits in (
        (A.MARINA(lr=0.1, compressor=Q, probability=0.3), SAMPLES, np.where(coins, full, q)),
        (VR, np.where(coins, SAMPLES, 2 * 2), np.where(coins, full, q)),
        (some, np.where(coins, SAMPLES, 2 * SAMPLES * 2 / 4), np.where(coins, full, q * 2 / 4)),
    ):
        cost = run(method, problem, network, rounds=SHORT, seed=SEED, metrics=()).cost
        np.testing.assert_allclose(cost.grads[-1], SAMPLES + np.sum(np.broadcast_to(grads, SHORT)), rtol=1e-12)
        np.testing.assert_allclose(cost.bits[-1], full + np.sum(np.broadcast_to(bits, SHORT)), rtol=1e-12)


def shapes(jaxpr: Any) -> set[tuple[int, ...]]:
    """Of all that a program computes, inner programs included."""
    found = {v.aval.shape for e in jaxpr.eqns for v in e.outvars}
    inner = [getattr(p, "jaxpr", p) for e in jaxpr.eqns for p in jax.tree.leaves(list(e.params.values()))]
    return found.union(*(shapes(p) for p in inner if hasattr(p, "eqns")))


def test_a_full_gradient_is_a_branch_of_the_program():
    """A round whose coin does not say so computes nothing of the size of all clients' data."""
    problem, network = finite_sum(), networks.server(4)
    r = rounds.round_of(network, 4)
    for method in (VR, A.PPMARINA(lr=0.1, compressor=Q, probability=0.3, clients=2)):
        state, _ = method.init(problem, jnp.zeros((4, problem.d)), r)
        jaxpr = jax.make_jaxpr(lambda s, m=method: m.step(problem, s, r)[0])(state)
        (cond,) = [e for e in jaxpr.eqns if e.primitive.name == "cond"]
        other, full = (shapes(branch.jaxpr) for branch in cond.params["branches"])
        assert (4, SAMPLES) in full
        assert (4, SAMPLES) not in other


def test_majority_vote_ends_near_the_minimizer_of_equal_functions_and_not_of_different_ones():
    method = A.SignSGD(lr=jax.tree_util.Partial(lambda a, t: a / jnp.sqrt(t + 1.0), 0.1))
    same, different = problems.quadratic(8, 3, zeta=0.0), problems.quadratic(8, 3, zeta=10.0)
    ends = [run(method, p, networks.server(8), rounds=ROUNDS, every=ROUNDS) for p in (same, different)]
    assert ends[0].metrics["distance"][-1] < 0.05
    assert ends[1].metrics["distance"][-1] > 0.2


# What is refused.


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (A.EF21(lr=0.1, compressor=C.RandK(k=1)), r"EF21 needs a contractive compressor.*Scaled\(RandK"),
        (A.EF21(lr=0.1, compressor=TOP, down_compressor=C.RandK(k=1)), "EF21 needs a contractive compressor"),
        (A.EF21(lr=0.1, compressor=TOP, momentum=1.0), "EF21.momentum"),
        (A.EF21(lr=0.1, compressor=TOP, start="none"), "EF21.start is one of 'gradient', 'zero'"),  # type: ignore[arg-type]
        (A.EF21SGDM(lr=0.1, compressor=C.RandP(p=0.5), momentum=0.5), r"EF21SGDM needs a contractive compressor"),
        (A.EF21SGDM(lr=0.1, compressor=TOP, momentum=-0.1), "EF21SGDM.momentum"),
        (A.CLAG(lr=0.1, compressor=Q, trigger=1.0), "CLAG needs a contractive compressor"),
        (A.CLAG(lr=0.1, compressor=TOP, trigger=-1.0), "CLAG.trigger"),
        (A.MARINA(lr=0.1, compressor=TOP, probability=0.5), "MARINA needs an unbiased compressor"),
        (A.MARINA(lr=0.1, compressor=Q, probability=0.0), r"MARINA.probability.*in \(0, 1\]; got 0.0"),
        (A.VRMARINA(lr=0.1, compressor=Q, probability=1.5), "VRMARINA.probability"),
        (A.PPMARINA(lr=0.1, compressor=Q, probability=0.5, clients=0), "PPMARINA.clients is an integer"),
        (A.DASHA(lr=0.1, compressor=TOP), "DASHA needs an unbiased compressor"),
        (A.DASHA(lr=0.1, compressor=Q, a=1.5), r"DASHA.a.*in \[0, 1\]; got 1.5"),
        (A.DASHAMVR(lr=0.1, compressor=Q, b=0.0), r"DASHAMVR.b.*in \(0, 1\]; got 0.0"),
        (A.SignSGD(lr=0.1, momentum=1.0), "SignSGD.momentum"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(method, message):
    with pytest.raises(ValueError, match=message):
        run(method, quadratic(0.0), networks.server(N), rounds=1)
