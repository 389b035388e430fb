"""A server and its clients: who takes part, what is sent and counted, and what is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rounds
from cases import X0, D, N, quadratic
from server_cases import (
    BOTH,
    COHORT,
    EVERYBODY,
    KEYS,
    NOISE,
    SHORT,
    SOME,
    TOP,
    Q,
    homogeneous,
    keys_of,
    present,
    result,
)

import jaxdec
from jaxdec import algorithms as A
from jaxdec import compressors as C
from jaxdec import data, networks, problems

pytestmark = pytest.mark.sampled(12)

# Who takes part.


def test_coins_are_independent_given_that_not_all_fail():
    p, n, draws = 0.3, 3, 40000
    network = networks.server(n, participation=p)
    active = np.asarray(
        jax.vmap(lambda key: rounds.present(network, n, 0, key))(jax.random.split(jax.random.key(1), draws))
    )
    assert active.any(axis=1).all()
    codes = np.bincount(active @ (1 << np.arange(n)), minlength=2**n)
    for code, found in enumerate(codes):
        k = bin(code).count("1")
        law = p**k * (1 - p) ** (n - k) / (1 - (1 - p) ** n) if code else 0.0
        assert abs(found / draws - law) <= 4 * np.sqrt(law * (1 - law) / draws)


@pytest.mark.parametrize("p", [1e-6, 0.999999, 1.0])
def test_coins_of_extreme_probabilities_leave_somebody(p):
    network = dataclasses.replace(SOME, n=4, participation=p)
    active = np.asarray(
        jax.vmap(lambda key: rounds.present(network, 4, 0, key))(jax.random.split(jax.random.key(2), 4000))
    )
    assert active.any(axis=1).all()
    if p < 0.5:
        np.testing.assert_allclose(active.mean(axis=0), 0.25, atol=0.03)
    else:
        assert active.mean() > 0.99


def test_cohorts_are_uniform_subsets_of_their_size():
    network = networks.server(5, cohort=2)
    clients = jax.vmap(lambda key: network.at((), jnp.asarray(0), key)[1].clients)(
        jax.random.split(jax.random.key(3), 20000)
    )
    assert clients.shape == (20000, 2)
    assert np.all(clients[:, 0] < clients[:, 1])
    pairs = np.bincount(np.asarray(clients) @ [5, 1], minlength=25)
    np.testing.assert_allclose(pairs[pairs > 0] / 20000, 0.1, atol=0.01)
    assert np.sum(pairs > 0) == 10


def test_who_takes_part_does_not_depend_on_the_algorithm_or_the_record():
    one = jaxdec.run(A.SGD(lr=0.1), quadratic(NOISE), SOME, rounds=20, x0=X0)
    other = jaxdec.run(A.SGD(lr=0.2), quadratic(NOISE), SOME, rounds=20, every=10, x0=X0)
    np.testing.assert_allclose(np.asarray(one.cost.grads)[::10], other.cost.grads, rtol=1e-14)


def test_a_cohort_costs_what_its_clients_cost():
    sizes = []

    class Counting:
        def __getattr__(self, name):
            return getattr(quadratic(NOISE), name)

        def take(self, clients):
            sizes.append(clients.shape[0])
            return quadratic(NOISE).take(clients)

        def grad(self, x, batch=None):
            raise AssertionError("the gradient of all clients")

    r = rounds.round_of(COHORT, N, key=KEYS.init, key_data=KEYS.data)
    method = A.RandMCM(lr=0.1, **BOTH)
    state, _ = method.init(quadratic(NOISE), jnp.tile(X0, (N, 1)), r)
    _, cost = method.step(Counting(), state, r)
    assert sizes == [2]
    assert cost.grads == cost.vectors == 2 / N


# What is sent.


@pytest.mark.parametrize(
    ("method", "up", "down"),
    [
        (A.SGD(lr=0.1), 32 * D, 32 * D), (A.QSGD(lr=0.1, compressor=Q), 37, 32 * D),
        (A.DIANA(lr=0.1, compressor=Q), 37, 32 * D), (A.BiQSGD(lr=0.1, **BOTH), 37, 37),
        (A.Artemis(lr=0.1, **BOTH), 37, 37), (A.MCM(lr=0.1, **BOTH), 37, 37), (A.RandMCM(lr=0.1, **BOTH), 37, 37),
        (A.DORE(lr=0.1, **BOTH), 37, 37),
        (A.DoubleSqueeze(lr=0.1, compressor=TOP, down_compressor=TOP), 34, 34),
    ],
)  # fmt: skip
@pytest.mark.thinned(4)
def test_bits_up_and_down_are_those_of_the_messages(method, up, down):
    assert float(Q(jax.random.key(0), jnp.ones((1, D)), (D,)).bits) == 37 == 32 + np.ceil(D * np.log2(3))
    start = 32 * D * (type(method) in (A.DIANA, A.Artemis, A.MCM, A.RandMCM, A.DORE))
    worlds = [(EVERYBODY, 1.0), (networks.server(N, broadcast="once"), 1 / N)]
    for network, heard in worlds if type(method) in (A.Artemis, A.MCM, A.RandMCM) else worlds[:1]:
        spent = result(method, network, NOISE, SHORT).cost
        alike = 1 if isinstance(method, A.RandMCM) else heard
        np.testing.assert_allclose(spent.bits, start + up * np.arange(SHORT + 1))
        np.testing.assert_allclose(spent.bits_down, down * alike * np.arange(SHORT + 1))


def test_absent_clients_send_nothing_and_are_sent_what_they_missed_of_steps():
    for network in (SOME, COHORT):
        shares = np.cumsum([len(present(network, t)) / N for t in range(SHORT)])
        sgd = result(A.SGD(lr=0.1), network, NOISE, SHORT).cost
        np.testing.assert_allclose(sgd.grads[1:], shares)
        np.testing.assert_allclose(sgd.bits[1:], 32 * D * shares)
        np.testing.assert_allclose(sgd.bits_down[1:], 32 * D * shares)
        artemis = result(A.Artemis(lr=0.1, **BOTH), network, NOISE, SHORT).cost
        np.testing.assert_allclose(artemis.bits_down[1:], 37 * np.arange(1, SHORT + 1))


def test_bits_of_random_length_are_those_of_the_clients_that_send():
    kept = C.RandP(p=0.5)
    spent = np.diff(result(A.QSGD(lr=0.1, compressor=kept), SOME, NOISE, SHORT).cost.bits)
    for t in range(5):
        length = np.asarray(kept(keys_of(t)[1], jnp.ones((N, D)), (D,)).bits)
        np.testing.assert_allclose(spent[t], length[present(SOME, t)].sum() / N)


def test_the_authors_count_of_bits_to_two_decimals():
    from jaxdec.papers.mcm.methods import METHODS, bits_of_figures

    one_way, both = (3336.25, 79360), (3336.25, 3336.25)
    expected = {"SGD": (79360, 79360), "DIANA": one_way} | dict.fromkeys(("MCM", "Rand-MCM", "Artemis", "DORE"), both)
    for name in METHODS:
        np.testing.assert_allclose(bits_of_figures(name, 124), expected[name], atol=0.005)
    half = {"levels": 2, "p": 0.5}
    np.testing.assert_allclose(bits_of_figures("MCM", 124, **half), [5415.04 / 2] * 2, atol=0.005)
    np.testing.assert_allclose(bits_of_figures("Artemis", 124, **half), [5415.04 / 2, 5415.04], atol=0.005)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: networks.server(8, participation=0.0), r"participation is the probability .* in \(0, 1\]; got 0.0"),
        (lambda: networks.server(8, participation=1.5), "got 1.5"),
        (lambda: networks.server(8, cohort=9), "at most n=8 take part; got 9"),
        (lambda: networks.server(8, cohort=0), "the size of a cohort is an integer of at least 1; got 0"),
        (lambda: networks.server(8, cohort=2, participation=0.5), "give participation or cohort"),
        (lambda: networks.server(8, broadcast="twice"), "broadcast is one of 'each', 'once'"),
        (lambda: jaxdec.run(A.MCM(lr=0.1, **BOTH), quadratic(0.0), SOME, rounds=1), "MCM needs every node"),
        (lambda: jaxdec.run(A.SGD(lr=0.1), quadratic(0.0), networks.ring(N), rounds=1), "SGD needs a server"),
        (lambda: jaxdec.run(A.DSGD(lr=0.1), quadratic(0.0), EVERYBODY, rounds=1), "DSGD needs a doubly stochastic W"),
        (lambda: jaxdec.run(A.QSGD(lr=0.1, compressor=TOP), quadratic(0.0), EVERYBODY, rounds=1), "unbiased"),
        (lambda: A.MCM(lr=1, compressor=C.Quantization(levels=0), down_compressor=Q).check(), "levels is an integer"),
        (lambda: A.DIANA(lr=1, compressor=Q, memories="two").check(), "memories is one of 'n', 'one', 'authors'"),
        (lambda: A.RandMCM(lr=1, **BOTH, reset=4).check(), 'down_memories="n" there is none; got reset=4'),
        (lambda: A.DistEFSGD(lr=1, **BOTH).check(), "contractive"),
        (lambda: A.MCM.from_theory(homogeneous(), EVERYBODY, down_alpha=0.9), "0 < down_alpha"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Minibatches without replacement.


def test_minibatches_without_replacement_are_uniform_subsets():
    digits = data.digits()
    parts = data.from_lists([range(5), range(5, 12), range(20, 24)], len(digits.targets))
    problem = problems.softmax(digits, parts, batch_size=3)
    problem = dataclasses.replace(problem, sampling="subset")
    draws = np.asarray(jax.vmap(lambda i: problem.sample(jax.random.key(0), i))(jnp.arange(20000)))
    ordered = np.sort(draws, axis=2)
    assert np.all(np.diff(ordered, axis=2) > 0)
    for node, (m, subsets) in enumerate(((5, 10), (7, 35), (4, 4))):
        codes = np.unique(ordered[:, node] @ [m * m, m, 1], return_counts=True)[1]
        assert len(codes) == subsets
        np.testing.assert_allclose(codes / 20000, 1 / subsets, atol=4 * np.sqrt(1 / subsets / 20000))
    taken = problem.take(jnp.array([2, 0]))
    np.testing.assert_array_equal(taken.sample(jax.random.key(0), 5), draws[5][[2, 0]])
    whole = dataclasses.replace(problem, minibatch=4)
    np.testing.assert_array_equal(np.sort(whole.sample(jax.random.key(0), 0)[2]), np.arange(4))
    with pytest.raises(
        ValueError, match="a minibatch of 5 without replacement needs as many samples, and node 2 has 4"
    ):
        dataclasses.replace(problem, minibatch=5).check()
