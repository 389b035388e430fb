"""Variance-reduced methods of a server, and GradSkip: against loops over clients, what equals what, where they go."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rounds
import samples
from cases import quadratic
from reference import variance as reference
from samples import EXACT, KEYS, PROBLEM, ROUNDS, SEED, START, N
from test_variance_reduced import CANCER, conditions
from undirected import same

import jaxdec
from jaxdec import algorithms as A
from jaxdec import compressors, data, networks, problems, testing

pytestmark = pytest.mark.sampled(3)

SERVER, SAMPLES, X0 = networks.server(N), samples.samples(), START[0]


@cache
def result(method, problem=PROBLEM):
    return testing.trajectory(method, problem, SERVER, rounds=ROUNDS, x0=X0, seed=SEED)


def states(method, problem=PROBLEM):
    return result(method, problem).states


def model(method, problem=PROBLEM):
    return states(method, problem)[".x"][:, 0]


def draws(name, draw):
    """What a step draws in each round with a key of that name."""
    key = lambda t: rounds.fold(rounds.keys_of(KEYS, t)[1], name)
    return np.asarray(jax.vmap(lambda t: draw(key(t)))(jnp.arange(ROUNDS)))


COINS = draws("coin", lambda key: jax.random.bernoulli(key, 0.3))
DUE = np.arange(1, ROUNDS + 1) % 4 == 0
SAGA, SVRG, LSVRG = A.SAGA(lr=0.1), A.SVRG(lr=0.1, period=4), A.LSVRG(lr=0.1, probability=0.3)
SARAH, PAGE = A.SARAH(lr=0.1, period=4), A.PAGE(lr=0.1, probability=0.3)
LOOPS = [
    (SAGA, reference.saga, {}),
    (SVRG, reference.svrg, {"period": 4}),
    (LSVRG, reference.l_svrg, {"coins": COINS}),
    (SARAH, reference.page, {"whole": DUE}),
    (PAGE, reference.page, {"whole": COINS}),
]


@pytest.mark.parametrize(("method", "loop", "given"), LOOPS, ids=lambda v: type(v).__name__)
def test_twenty_rounds_equal_the_loop_over_clients_and_samples(method, loop, given):
    same(model(method), loop(SAMPLES, X0, ROUNDS, lr=0.1, **given))


def test_page_is_vr_marina_without_compression():
    same(model(PAGE), model(A.VRMARINA(lr=0.1, probability=0.3, compressor=compressors.Identity())))


@pytest.mark.slow
def test_with_exact_gradients_and_in_every_round_a_full_one_they_are_gradient_descent():
    descent = model(A.SGD(lr=0.1), EXACT)
    for method, *_ in LOOPS:
        same(model(method, EXACT), descent)
    for method in (A.SVRG(lr=0.1, period=1), A.SARAH(lr=0.1, period=1), A.PAGE(lr=0.1, probability=1.0)):
        same(model(method), descent)


# GradSkip.

P, Q = 0.3, np.array([0.0, 0.3, 0.6, 0.8, 0.9, 1.0])
SKIP = A.GradSkip(lr=0.2, probability=P, persistence=jnp.asarray(Q))
LENGTHS = draws("steps", lambda key: jax.random.geometric(key, P)).tolist()


def resting():
    """In how many iterations each client goes on in each round, (rounds, n); n of them at most."""
    one = lambda key, q: jax.random.geometric(key, jnp.where(q < 1, 1 - q, 1)) - 1
    each = lambda key: jax.vmap(lambda i, q: one(jax.random.fold_in(key, i), q))(jnp.arange(N), jnp.asarray(Q))
    return np.where(Q < 1, draws("rests", each), max(LENGTHS))


def test_gradskip_is_its_algorithm_iteration_by_iteration_whatever_coins_fall_after_the_first():
    rng = np.random.default_rng(0)
    eta = rng.random((sum(LENGTHS), N)) < 0.5
    starts = np.cumsum([0, *LENGTHS[:-1]])
    for t, (start, length) in enumerate(zip(starts, LENGTHS, strict=True)):
        for i, going_on in enumerate(resting()[t]):
            eta[start : start + min(going_on, length), i] = True
            if going_on < length:
                eta[start + going_on, i] = False
    expected, shifts = reference.gradskip(SAMPLES, X0, LENGTHS, lr=0.2, prob=P, eta=eta)
    found = states(SKIP, EXACT)
    same(found[".x"][:, 0], expected)
    same(found[".h"], shifts)
    same(found[".h"].sum(axis=1), 0)


def test_gradskip_whose_clients_go_on_is_scaffnew_and_whose_clients_rest_is_gradient_descent():
    given = {"lr": 0.2, "probability": P}
    same(model(A.GradSkip(**given, persistence=1.0)), model(A.Scaffnew(**given)))
    same(model(A.GradSkip(**given, persistence=0.0), EXACT), model(A.SGD(lr=0.2 / P), EXACT))


def test_gradskip_pays_for_gradients_up_to_that_at_which_a_client_rests():
    each = np.minimum(resting() + 1, np.array(LENGTHS)[:, None])
    spent = result(SKIP, EXACT).cost.grads[1:]
    np.testing.assert_allclose(spent, np.cumsum((each * samples.SIZES).mean(axis=1)), rtol=1e-12)
    assert each.mean() < 0.8 * np.mean(LENGTHS)


@pytest.mark.slow
def test_gradskip_needs_as_many_communications_as_scaffnew_and_fewer_gradients():
    """One client of condition 100, seven of condition 2: about 10 gradients a round of the one, 2 of the others."""
    rng = np.random.default_rng(0)
    most = np.array([1.0] + [0.02] * 7)
    A_i = np.stack([np.linspace(0.01, top, 5) for top in most])
    problem = problems.Quadratic(jnp.asarray(A_i), jnp.asarray(rng.standard_normal((8, 5)) * most[:, None]))
    persistence = jnp.asarray((1 - 0.01 / most) / (1 - 0.1**2))
    skip = A.GradSkip(lr=1.0, probability=0.1, persistence=jnp.minimum(persistence, 1))
    run = lambda method: jaxdec.run(method, problem, networks.server(8), rounds=800, every=10)
    fewer, all_ = run(skip), run(A.Scaffnew(lr=1.0, probability=0.1))
    to = lambda found: 10 * int(np.argmax(np.asarray(found.metrics["distance"]) < 1e-6))
    assert 0 < to(fewer) < 1.3 * to(all_)
    assert fewer.cost.grads[-1] < 0.4 * all_.cost.grads[-1]


# Where they go, with minibatches.

REDUCED = [
    A.SAGA(lr=0.2),
    A.SVRG(lr=0.2, period=20),
    A.LSVRG(lr=0.2, probability=0.05),
    A.SARAH(lr=0.2, period=20),
    A.PAGE(lr=0.2, probability=0.05),
]


@cache
def logistic(dtype):
    return problems.solve(problems.logistic(CANCER, data.shards(CANCER, N, per_node=1), batch_size=8, l2=0.1))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("method", REDUCED, ids=lambda m: type(m).__name__)
@pytest.mark.thinned(10)
def test_minibatches_do_not_stop_them_on_a_strongly_convex_logistic_problem(method, dtype):
    """Linearly to 1e-10 of the loss above its least value, in float64; to rounding in float32."""
    with jax.enable_x64(dtype == "float64"):
        method = type(method)(**{**vars(method), "lr": method.lr / float(logistic(dtype).curvature()[0])})
        result = jaxdec.run(method, logistic(dtype), SERVER, rounds=4000, every=1000, seed=1)
        found = np.asarray(result.metrics["suboptimality"])
    assert found[-1] < (1e-10 if dtype == "float64" else 1e-6)


# What they cost.


def test_a_full_gradient_is_paid_only_in_the_rounds_that_take_one():
    whole, t = np.mean(samples.SIZES), np.arange(ROUNDS)
    for method, start, grads in (
        (SAGA, whole, 2 + 0 * t),
        (SVRG, 0, np.where(t % 4 == 0, whole, 4)),
        (LSVRG, whole, 4 + COINS * whole),
        (SARAH, whole, np.where(DUE, whole, 4)),
        (PAGE, whole, np.where(COINS, whole, 4)),
    ):
        np.testing.assert_allclose(result(method).cost.grads, np.cumsum([start, *grads]), rtol=1e-12)


def test_a_full_gradient_is_a_branch_of_the_program():
    """By a clock it is one of seeds together as well; a coin is each seed's."""
    largest = {(N, max(samples.SIZES)), (2, N, max(samples.SIZES))}
    for method, seeds in ((SVRG, 2), (SARAH, 2), (LSVRG, 1), (PAGE, 1)):
        ((other, full),) = conditions(method, SERVER, jnp.asarray(START), seeds)
        assert largest & full
        assert not largest & other


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (A.SVRG(lr=0.1, period=0), "SVRG.period is a number of rounds, an integer of at least 1; got 0"),
        (A.SARAH(lr=0.1, period=1.5), "SARAH.period"),
        (A.LSVRG(lr=0.1, probability=0.0), r"LSVRG.probability.*\(0, 1\]; got 0.0"),
        (A.PAGE(lr=0.1, probability=1.5), r"PAGE.probability.*\(0, 1\]; got 1.5"),
        (A.GradSkip(lr=0.1, probability=0.0, persistence=0.5), "GradSkip.probability"),
        (A.GradSkip(lr=0.1, probability=0.5, persistence=1.5), r"GradSkip.persistence.*\[0, 1\]; got 1.5"),
    ],
)
def test_what_is_wrong_is_refused(method, message):
    with pytest.raises(ValueError, match=message):
        jaxdec.run(method, quadratic(0.0), networks.server(6), rounds=1)
