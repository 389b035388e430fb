"""Federated methods: against loops over clients, what they reduce to, what they conserve, and where they end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rounds
from local_server import (
    CURVATURES,
    EXACT,
    KEYS,
    NETWORKS,
    PROBLEM,
    ROUNDS,
    SEED,
    X0,
    D,
    K,
    N,
    grad,
    model,
    path,
    present,
)
from reference import federated as reference
from undirected import same

import jaxdec
from jaxdec import algorithms as A

pytestmark = pytest.mark.sampled(4)

B = np.asarray(PROBLEM.b)
MINIMIZER = np.asarray(EXACT.minimizer)
AT_MINIMIZER = np.einsum("nij,j->ni", CURVATURES, MINIMIZER) - B  # the clients' gradients there
SOME, COHORT, ALL = NETWORKS["Bernoulli"], NETWORKS["cohort"], NETWORKS["everybody"]


def full(i, x):
    return CURVATURES[i] @ x - B[i]


def prox(i, x, step):
    return np.linalg.solve(np.eye(D) + step * CURVATURES[i], x + step * B[i])


def coins(probability: float) -> np.ndarray:
    flip = lambda t: jax.random.bernoulli(rounds.fold(rounds.keys_of(KEYS, t)[1], "coin"), probability)
    return np.asarray(jax.vmap(flip)(jnp.arange(ROUNDS)))


# Against loops. Methods whose clients may be absent are on a network where they are.

LR = {"lr": 0.2}
LOCAL = {"lr": 0.2, "local_steps": K}
STEPS = {"lr": 0.2, "steps": K}
UNEQUAL = (1, 3, 2, 1, 3)
NOVA = {"momentum": 0.5, "penalty": 0.3, "outer_lr": 0.7, "outer_momentum": 0.4}
ADAPTIVE = {"b1": 0.8, "b2": 0.9, "tau": 1e-2}


def servers(network, **options):
    return reference.served(grad, X0, ROUNDS, present(network), **STEPS, **options)


LOOPS = {
    "FedProx": (
        A.FedProx(**LOCAL, penalty=0.5), SOME,
        lambda who: reference.fedprox(grad, X0, ROUNDS, who, **STEPS, penalty=0.5),
    ),
    "FedDyn": (
        A.FedDyn(**LOCAL, penalty=0.5), COHORT,
        lambda who: reference.feddyn(grad, X0, ROUNDS, who, clients=N, **STEPS, penalty=0.5),
    ),
    "FedPD": (
        A.FedPD(**LOCAL, penalty=0.7, skip=0.4), ALL,
        lambda who: reference.fedpd(grad, X0, coins(0.6), clients=N, **STEPS, penalty=0.7),
    ),
    "FedADMM": (
        A.FedADMM(**LOCAL, penalty=0.7, outer_lr=0.9), SOME,
        lambda who: reference.fedadmm(grad, X0, ROUNDS, who, clients=N, **STEPS, penalty=0.7, outer_lr=0.9),
    ),
    "FedSplit": (A.FedSplit(lr=0.8), ALL, lambda who: reference.fedsplit(prox, X0, ROUNDS, clients=N, lr=0.8)),
    "FedLT": (
        A.FedLT(**LOCAL, penalty=0.8), COHORT,
        lambda who: reference.fedlt(grad, X0, ROUNDS, who, clients=N, **STEPS, penalty=0.8),
    ),
    "FedNova": (
        A.FedNova(lr=0.2, local_steps=UNEQUAL, **NOVA), COHORT,
        lambda who: reference.fednova(grad, X0, ROUNDS, who, lr=0.2, steps=UNEQUAL, **NOVA),
    ),
    "FedExP": (
        A.FedExP(**LOCAL, eps=1e-2), SOME,
        lambda who: reference.fedexp(grad, X0, ROUNDS, who, **STEPS, eps=1e-2),
    ),
    "FedAvgM": (
        A.FedAvgM(**LOCAL, momentum=0.6, outer_lr=0.5), COHORT,
        lambda who: servers(COHORT, server=reference.HeavyBall(0.6, lr=0.5)),
    ),
    "SlowMo": (
        A.SlowMo(**LOCAL, outer_lr=0.5, outer_momentum=0.6, momentum=0.4), SOME,
        lambda who: servers(SOME, server=reference.HeavyBall(0.6, 0.5, unit=0.2), momentum=0.4),
    ),
    "Mime": (
        A.Mime(**LOCAL, momentum=0.6, outer_lr=0.9), SOME,
        lambda who: reference.mime(grad, full, X0, ROUNDS, who, **STEPS, momentum=0.6, outer_lr=0.9),
    ),
    "MimeLite": (
        A.MimeLite(**LOCAL, momentum=0.6), COHORT,
        lambda who: reference.mime(grad, full, X0, ROUNDS, who, **STEPS, momentum=0.6, lite=True),
    ),
} | {
    make.__name__: (
        make(0.2, K, 0.05, **ADAPTIVE), SOME,
        lambda who, rule=rule: servers(SOME, server=reference.Adaptive(rule, 0.05, **ADAPTIVE)),
    )
    for make, rule in ((A.FedAdam, "adam"), (A.FedYogi, "yogi"), (A.FedAdagrad, "adagrad"))
}  # fmt: skip


@pytest.mark.parametrize("name", LOOPS)
def test_twenty_rounds_equal_the_loop_over_clients(name):
    method, network, loop = LOOPS[name]
    same(model(method, network), loop(present(network)))


# Where they end, and what is conserved on the way.

EXACT_METHODS = [
    # method, a field that holds a multiple of the gradients at the minimizer, and the factor
    (A.FedDyn(**LOCAL, penalty=0.5), "g", 1.0),
    (A.FedPD(**LOCAL, penalty=0.7), "u", -1.0),
    (A.FedADMM(**LOCAL, penalty=0.7), "u", -1.0),
    (A.FedSplit(lr=0.8), "z", -0.8),
    (A.FedLT(**LOCAL, penalty=0.8), "z", -0.8),
    (A.Mime(**LOCAL, momentum=0.6), None, 0.0),
]


@pytest.mark.parametrize(("method", "field", "factor"), EXACT_METHODS, ids=lambda v: type(v).__name__)
@pytest.mark.thinned(3)
def test_the_minimizer_is_reached_where_local_sgd_stalls(method, field, factor):
    found = path(method, ALL, EXACT, rounds=600)
    np.testing.assert_allclose(found[".x"][-1, 0], MINIMIZER, rtol=0, atol=1e-10)
    if field is not None:
        about = MINIMIZER if field == "z" else 0.0
        np.testing.assert_allclose(found[f".{field}"][-1], about + factor * AT_MINIMIZER, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_local_sgd_and_those_that_reduce_to_it_stall():
    far = model(A.LocalSGD(**LOCAL), ALL, EXACT, rounds=600)[-1]
    assert np.abs(far - MINIMIZER).max() > 5e-3  # 0.0073
    for method in (A.FedAvgM(**LOCAL, momentum=0.5), A.SlowMo(**LOCAL, outer_momentum=0.5)):
        np.testing.assert_allclose(model(method, ALL, EXACT, rounds=600)[-1], far, rtol=0, atol=1e-10)
    held = model(A.FedProx(**LOCAL, penalty=2.0), ALL, EXACT, rounds=600)[-1]
    assert np.abs(held - MINIMIZER).max() > 5e-3  # 0.0080, no nearer than local SGD


@pytest.mark.slow
def test_rounds_that_fedpd_skips_keep_it_from_the_minimizer_in_proportion_to_its_penalty():
    def away(penalty):
        method = A.FedPD(lr=0.1, local_steps=10, penalty=penalty, skip=0.2)
        found = path(method, ALL, EXACT, rounds=900)[".x"][300:, 0]
        return np.median(np.abs(found - MINIMIZER).max(axis=1))

    far = [away(penalty) for penalty in (0.35, 0.7, 1.4)]  # 0.0025, 0.0046, 0.0101
    assert far[0] > 1e-3
    assert 1.5 < far[1] / far[0] < 2.5
    assert 1.5 < far[2] / far[1] < 2.5


def test_what_the_server_holds_is_the_mean_of_what_the_clients_hold():
    dyn = path(A.FedDyn(**LOCAL, penalty=0.5), COHORT)
    same(dyn[".h"][:, 0], dyn[".g"].mean(axis=1))
    lt = path(A.FedLT(**LOCAL, penalty=0.8), COHORT)
    same(lt[".x"][:, 0], lt[".z"].mean(axis=1))
    admm = path(A.FedADMM(**LOCAL, penalty=0.7), COHORT)
    same(admm[".x"][:, 0], (admm[".y"] + admm[".u"] / 0.7).mean(axis=1))


REDUCED = [
    A.FedProx(**LOCAL, penalty=0.0),
    A.FedNova(**LOCAL),
    A.FedExP(**LOCAL, eps=1e6),
    A.FedAvgM(**LOCAL, momentum=0.0),
    A.SlowMo(**LOCAL, outer_momentum=0.0),
    A.MimeLite(**LOCAL, momentum=0.0),
]


@pytest.mark.parametrize("method", REDUCED, ids=lambda m: type(m).__name__)
@pytest.mark.thinned(6)
def test_without_what_they_add_they_are_local_sgd(method):
    same(model(method, SOME), model(A.LocalSGD(**LOCAL), SOME))


@pytest.mark.slow
def test_fednova_is_not_biased_by_unequal_steps():
    """Its fixed point goes to the minimizer with lr, where that of plain averages goes to that of Σ K_i f_i."""
    weights = np.array(UNEQUAL, float)[:, None, None]
    biased = np.linalg.solve((weights * CURVATURES).sum(axis=0), (weights[..., 0] * B).sum(axis=0))
    found = model(A.FedNova(lr=0.002, local_steps=UNEQUAL), ALL, EXACT, rounds=4000)[-1]
    assert np.abs(found - MINIMIZER).max() < 0.05 * np.abs(biased - MINIMIZER).max()


# What they cost.


def test_a_client_pays_for_the_local_steps_that_it_makes():
    method = A.FedNova(lr=0.1, local_steps=UNEQUAL)
    cost = jaxdec.run(method, PROBLEM, ALL, rounds=4, every=4, x0=X0, metrics=()).cost
    np.testing.assert_array_equal(N * cost.grads, [0, 4 * sum(UNEQUAL)])
    halves = jaxdec.run(method, PROBLEM, COHORT, rounds=ROUNDS, every=ROUNDS, x0=X0, seed=SEED, metrics=()).cost
    expected = sum(UNEQUAL[i] for t in range(ROUNDS) for i in present(COHORT)(t))
    np.testing.assert_array_equal(N * halves.grads, [0, expected])


def test_fedpd_pays_for_messages_in_the_rounds_that_have_some():
    cost = jaxdec.run(A.FedPD(**LOCAL, penalty=0.7, skip=0.4), PROBLEM, ALL, rounds=ROUNDS, x0=X0, seed=SEED).cost
    np.testing.assert_array_equal(cost.vectors, np.cumsum([0, *coins(0.6)]))
    np.testing.assert_array_equal(cost.bits_down, 32 * D * cost.vectors)


@pytest.mark.parametrize(
    ("method", "says"),
    [
        (A.FedNova(lr=0.1, local_steps=(1, 2)), "one for each of the 5 clients; got 2"),
        (A.FedNova(lr=0.1, local_steps=(1, 2, 0, 1, 1)), "each of FedNova.local_steps is an integer of at least 1"),
        (A.FedNova(lr=0.1, local_steps=()), r"one for each client; got \(\)"),
        (A.FedProx(**LOCAL, penalty=-1.0), "FedProx.penalty is a weight"),
        (A.FedDyn(**LOCAL, penalty=0.0), "FedDyn.penalty is a step size, which is positive"),
        (A.FedPD(**LOCAL, penalty=1.0, skip=1.0), r"lies in \[0, 1\)"),
    ],
)
def test_bad_input_is_refused(method, says):
    with pytest.raises(ValueError, match=says):
        jaxdec.run(method, PROBLEM, ALL, rounds=1)
