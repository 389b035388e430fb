"""Models of what fails: their laws, what they are given, and how they go on."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxdec
from jaxdec import algorithms as A
from jaxdec import graphs, networks, problems
from jaxdec._module import cast
from jaxdec.networks import averages, counts, lossy, sleeping
from jaxdec.networks.outages import AtLeast, Cyclic, GilbertElliott, Independent, Markov, Poisson, Trace

pytestmark = pytest.mark.sampled(12)

N = 6
RING = networks.ring(N)
PROBLEM = problems.quadratic(N, 3)
UNEQUAL = np.array([0.0, 0.1, 0.3, 0.5, 0.7, 0.9])


@partial(jax.jit, static_argnames=("n", "rounds"))
def drawn(model, seed, *, n, rounds):
    """Who is asleep in the first rounds of a run, (rounds, n)."""
    memory = model.init(jax.random.key(seed), (n,))
    return jax.lax.scan(model.at, memory, jnp.arange(rounds))[1]


def several(model, *, n=N, rounds, seeds):
    """The same of many seeds, (seeds, rounds, n)."""
    return np.asarray(jax.vmap(lambda seed: drawn(model, seed, n=n, rounds=rounds))(jnp.arange(seeds)), float)


def near(found, expected, draws):
    """Frequencies against probabilities, to five standard deviations."""
    expected = np.asarray(expected, float)
    assert np.all(np.abs(found - expected) <= 5 * np.sqrt(expected * (1 - expected) / draws) + 1e-12)


def subsets(awake):
    """All sets of nodes that may be awake, (2^n, n), with their probabilities."""
    sets = np.array(list(itertools.product([0, 1], repeat=len(awake))))
    return sets, np.prod(np.where(sets == 1, awake, 1 - np.asarray(awake)), axis=1)


# Their laws.


@pytest.mark.parametrize("asleep", [0.6, np.array([0.1, 0.9, 0.5, 0.7])], ids=["equal", "unequal"])
@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.thinned(3)
def test_at_least_k_awake_is_the_law_of_coins_given_that_k_are(k, asleep):
    rounds = 20000
    awake = 1 - np.asarray(drawn(AtLeast(k, asleep), 0, n=4, rounds=rounds), int)
    sets, law = subsets(np.broadcast_to(1 - asleep, 4))
    law = np.where(sets.sum(axis=1) >= k, law, 0) / law[sets.sum(axis=1) >= k].sum()
    assert awake.sum(axis=1).min() >= k
    near(np.bincount(awake @ [8, 4, 2, 1], minlength=16) / rounds, law, rounds)


@pytest.mark.parametrize("model", [Independent(UNEQUAL), Markov(UNEQUAL, 12.0), Poisson(1 - UNEQUAL)], ids=str)
def test_every_node_has_a_law_of_its_own_from_the_start(model):
    asleep = several(model, rounds=3, seeds=4000)
    near(asleep.mean(axis=0), np.tile(np.asarray(model.probability), (3, 1)), 4000)


def test_a_node_of_poisson_arrivals_is_awake_if_one_falls_into_the_round():
    asleep = several(Poisson(0.7), rounds=4, seeds=2000)
    near(asleep.mean(axis=(0, 2)), np.exp(-0.7), 2000 * N)
    both = np.mean(asleep[:, 1:] * asleep[:, :-1], axis=(0, 2))  # rounds do not know of each other
    near(both, np.exp(-1.4), 2000 * N / 2)


def test_cyclic_nodes_are_awake_in_the_first_rounds_of_their_period():
    offsets = np.array([0, 1, 2, 3, -1, 7])
    asleep = np.asarray(drawn(Cyclic(5, 2, offsets), 0, n=N, rounds=20))
    np.testing.assert_array_equal(asleep, (np.arange(20)[:, None] + offsets) % 5 >= 2)
    together = np.asarray(drawn(Cyclic(5, 2, 0), 0, n=N, rounds=20))
    assert np.all(together == together[:, :1])
    apart = several(Cyclic(5, 2), rounds=10, seeds=2000)
    np.testing.assert_array_equal(apart[:, 5:], apart[:, :5])
    near(apart.mean(axis=(0, 2)), 0.6, 2000 * N)  # in every round, over seeds


@settings(max_examples=8, deadline=None)
@given(
    awake=st.lists(st.floats(0.05, 1.0), min_size=4, max_size=4),
    w=st.lists(st.floats(0.1, 1.0), min_size=5, max_size=5),
    k=st.integers(1, 4),
)
def test_probabilities_of_taking_part_are_sums_over_all_who_may_be_awake(awake, w, k):
    for a in (np.array(awake), awake[0]):
        sets, law = subsets(np.broadcast_to(a, 4))
        many = sets.sum(axis=1)
        law = np.where(many >= k, law, 0)
        expected = (law * np.array(w)[many]) @ sets / law.sum()
        np.testing.assert_allclose(np.broadcast_to(counts.shares(a, 4, jnp.array(w), k), 4), expected, rtol=1e-4)
        plain = np.where(many >= 1, subsets(np.broadcast_to(a, 4))[1], 0)
        np.testing.assert_allclose(np.broadcast_to(counts.shares(a, 4), 4), plain @ sets / plain.sum(), rtol=1e-6)


@settings(max_examples=5, deadline=None)
@given(q=st.lists(st.floats(0.01, 1.0), min_size=5, max_size=5), m=st.integers(1, 4))
def test_who_is_among_the_first_is_a_sum_over_all_orders(q, m):
    share, expected = np.array(q) / np.sum(q), np.zeros(5)
    for order in itertools.permutations(range(5), m):
        taken = np.cumsum(np.r_[0, share[list(order)]])[:-1]
        expected[list(order)] += np.prod(share[list(order)] / (1 - taken))
    np.testing.assert_allclose(counts.inclusion(jnp.array(q), m), expected, rtol=1e-4)


def test_the_law_of_how_many_are_awake_holds_for_many_nodes_in_32_bits():
    law = np.asarray(counts.binomial(100_000, np.float32(0.3)), float)
    mean = law @ np.arange(100_001)
    np.testing.assert_allclose([law.sum(), mean], [1, 30_000], rtol=1e-5)
    np.testing.assert_allclose(law @ (np.arange(100_001) - mean) ** 2, 21_000, rtol=1e-3)


# Traces.

FORMS = {
    "circulant": networks.ring(N),
    "table": networks.static(graphs.path(N), form="table"),
    "dense": networks.static(graphs.star(N), form="dense"),
    "complete": networks.complete(N),
    "matchings": networks.random_matchings(N, pool=20),
    "periodic": networks.periodic([graphs.ring(N), graphs.complete(N)]),
}


def at_rounds(network, rounds, seed=0):
    """W and who is awake in the first rounds."""
    memory = network.init(jax.random.key(seed))
    for t in range(rounds):
        memory, world = network.at(memory, jnp.asarray(t), jax.random.fold_in(jax.random.key(seed), t))
        yield np.asarray(world.W.dense()), world


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.thinned(3)
def test_of_a_trace_those_messages_are_lost_that_it_says(name):
    one_way = np.random.default_rng(0).random((4, N, N)) < 0.4
    both_ways = one_way | one_way.swapaxes(1, 2)
    for failed, rule in ((both_ways, "link"), (one_way, "drop")):
        lost = [W for W, _ in at_rounds(lossy(FORMS[name], Trace(failed), rule), 4)]
        bare = [W for W, _ in at_rounds(lossy(FORMS[name], 0.0, rule), 4)]
        for t in range(4):
            off = ~np.eye(N, dtype=bool)
            np.testing.assert_allclose(lost[t][off], np.where(failed[t], 0, bare[t])[off], atol=1e-12)
            if rule == "link":
                np.testing.assert_allclose(lost[t].sum(axis=0), 1, atol=1e-12)


def test_of_a_trace_those_nodes_sleep_that_it_says_and_it_begins_again():
    failed = np.random.default_rng(1).random((3, N)) < 0.5
    for given_ in (failed, failed.astype(int), failed.tolist(), failed.astype(int).tolist()):
        network = sleeping(RING, Trace(given_, repeat=True))
        awake = [np.asarray(world.active) for _, world in at_rounds(network, 7)]
        np.testing.assert_array_equal(awake, ~failed[np.arange(7) % 3])


def test_a_trace_lasts_as_long_as_it_does():
    failed = np.zeros((10, N), bool)
    for network in (sleeping(RING, Trace(failed)), lossy(sleeping(RING, Trace(failed)), 0.1),
                    sleeping(lossy(RING, Trace(np.zeros((10, N, N), bool))), 0.1)):  # fmt: skip
        assert network.lasts == 10
        jaxdec.run(A.DSGD(lr=0.1), PROBLEM, network, rounds=10)
        for go in (jaxdec.run, jaxdec.sweep):
            with pytest.raises(ValueError, match=r"10 rounds, and the run has 11: run fewer, .*repeat=True"):
                go(A.DSGD(lr=0.1), PROBLEM, network, rounds=11)
    again = sleeping(RING, Trace(failed, repeat=True))
    assert again.lasts is None
    jaxdec.run(A.DSGD(lr=0.1), PROBLEM, again, rounds=11)


def test_averages_of_a_trace_are_over_its_rounds():
    asleep = np.zeros((2, N), bool)
    asleep[1] = True
    found = averages.moments(sleeping(RING, Trace(asleep)), 50)
    np.testing.assert_allclose(found.mean, (RING.W.dense() + np.eye(N)) / 2, atol=1e-12)


# How they go on, and what they do not depend on.

MODELS = {
    "bursts": Markov(0.4, 6.0),
    "unequal": Independent(UNEQUAL),
    "cyclic": Cyclic(7, 3),
    "arrivals": Poisson(0.8),
    "two awake": AtLeast(2, 0.7),
    "trace": Trace(np.random.default_rng(2).random((90, N)) < 0.4),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.thinned(6)
def test_a_run_that_is_cut_goes_on_to_the_bit(name, tmp_path):
    network, method = sleeping(lossy(RING, GilbertElliott(0.3, 8.0)), MODELS[name]), A.GradientTracking(lr=0.1)
    at = {"every": 10, "x0": np.arange(3.0 * N).reshape(N, 3), "seed": 3}
    whole = jaxdec.run(method, PROBLEM, network, rounds=90, **at)
    kept = {"checkpoint": tmp_path / "run", "checkpoint_every": 10}
    for rounds in (30, 70, 90):  # inside of blocks of coins, of bursts and of the trace
        cut = jaxdec.run(method, PROBLEM, network, rounds=rounds, **at, **kept)
    jax.tree.map(np.testing.assert_array_equal, cut.state, whole.state)
    np.testing.assert_array_equal(cut.metrics["distance"], whole.metrics["distance"])


@pytest.mark.parametrize("name", MODELS)
def test_failures_are_the_same_in_both_precisions(name):
    one, other = (np.asarray(drawn(cast(MODELS[name], dtype), 5, n=N, rounds=80)) for dtype in ("float32", "float64"))
    np.testing.assert_array_equal(one, other)


SWEPT = {
    "network.activity.probability": (0.3, [UNEQUAL * 0.9, UNEQUAL[::-1] * 0.9]),
    "network.activity.rate": (Poisson(1.0), [0.5, 1.0, 2.0]),
}


@pytest.mark.parametrize("field", SWEPT)
def test_laws_are_swept_in_one_program_and_the_order_of_the_list_does_not_matter(field):
    activity, values = SWEPT[field]
    network = sleeping(RING, np.full(N, 0.3) if activity == 0.3 else activity)
    go = partial(jaxdec.sweep, A.GradientTracking(lr=0.1), PROBLEM, network, rounds=20, seeds=2)
    one, other = (go(over=[{field: v} for v in order]) for order in (values, values[::-1]))
    assert one.attrs["programs"] == 1
    np.testing.assert_array_equal(one.distance.values, other.distance.values[::-1])
    assert np.ptp(one.distance.values[..., -1], axis=0).min() > 0


# What is refused.


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: sleeping(RING, Trace(np.zeros((5, N + 1), bool))), r"\(T, 6\) for 6 nodes; got .* \(5, 7\)"),
        (lambda: sleeping(RING, Trace(np.zeros((0, N), bool))), r"got an array of shape \(0, 6\)"),
        (lambda: sleeping(RING, Trace(np.full((5, N), 0.5))), "True and False, or of 1 and 0; got one of float64"),
        (lambda: sleeping(RING, Trace([[1, 0], [1]])), "rows of equally many"),
        (lambda: lossy(RING, Trace(np.zeros((5, N), bool))), r"is sent by j is lost, \(T, 6, 6\)"),
        (lambda: lossy(RING, Trace(np.tile(np.eye(N, k=1, dtype=bool), (2, 1, 1)))), r"swapaxes\(1, 2\).*sender"),
        (lambda: sleeping(RING, [0.1, 0.2]), r"one number, or one for each of 6 nodes; got .* \(2,\)"),
        (lambda: sleeping(RING, np.full(N, 1.0)), r"lies in \[0, 1\)"),
        (lambda: sleeping(RING, Markov(UNEQUAL, np.full(2, 10.0))), r"burst is one number, .* got an array of shape"),
        (lambda: lossy(RING, UNEQUAL), "one number for all links"),
        (lambda: lossy(RING, Poisson(1.0)), r"Poisson is of nodes.*Trace\(failed\)"),
        (lambda: lossy(RING, AtLeast(1, 0.1)), "AtLeast is of nodes"),
        (lambda: sleeping(RING, Poisson(0.0)), "rate of arrivals, in events per round, is finite and positive"),
        (lambda: sleeping(RING, Poisson(np.ones(3))), "one for each of the 6 nodes"),
        (lambda: sleeping(RING, Cyclic(3, 4)), "awake=4 rounds of a period of 3 cannot be: take awake from 1 to 3"),
        (lambda: sleeping(RING, Cyclic(3, 0)), "integer of at least 1; got 0"),
        (lambda: sleeping(RING, Cyclic(3, 1, 0.5)), "offset is an integer"),
        (lambda: sleeping(RING, Cyclic(3, 1, [0, 1])), "offset is one number, or one for each of 6"),
        (lambda: sleeping(RING, AtLeast(7, 0.1)), "k=7 nodes cannot be awake of n=6"),
        (lambda: sleeping(RING, AtLeast(0, 0.1)), "integer of at least 1; got 0"),
        (lambda: sleeping(RING, AtLeast(2, Markov(0.1, 3.0))), "independently: give the probability .* not Gilbert"),
        (lambda: sleeping(RING, AtLeast(2, 1.0)), r"lies in \[0, 1\)"),
        (lambda: sleeping(networks.push_pull(graphs.ring(N)), 0.1), "provides fixed, push-pull"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
