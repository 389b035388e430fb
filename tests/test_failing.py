"""Networks that fail: what they conserve, how they fail, and what methods reach on them."""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdec
from jaxdec import algorithms as A
from jaxdec import compressors, graphs, networks, problems
from jaxdec.loop import Carry, prepare, simulate
from jaxdec.metrics import named
from jaxdec.networks import lossy, sleeping
from jaxdec.networks.outages import ROUNDS, GilbertElliott, Independent, Markov

pytestmark = pytest.mark.sampled(14)

CLOSE = {"rtol": 0, "atol": 1e-12}
N, D = 15, 4
RING = networks.ring(N)
PROBLEM = problems.quadratic(N, D, zeta=10.0, L=1.0, mu=0.5)
ZERO = problems.Quadratic(jnp.zeros((N, D, D)), jnp.zeros((N, D)), 0.0)
X0 = np.random.default_rng(0).standard_normal((N, D))
BURSTS = GilbertElliott(0.3, 5.0)


# What is conserved.


class Chances(NamedTuple):
    """How messages are lost and nodes sleep; a burst of 1 / (1 - p) is none."""

    lost: Any
    lost_for: Any
    asleep: Any
    asleep_for: Any


WAYS = Chances(
    lost=np.array([0.4, 0.4, 0.0, 0.0, 0.3]),
    lost_for=np.array([1 / 0.6, 8.0, 1.0, 1.0, 5.0]),
    asleep=np.array([0.0, 0.0, 0.3, 0.3, 0.2]),
    asleep_for=np.array([1.0, 1.0, 1 / 0.7, 8.0, 5.0]),
)


@partial(jax.jit, static_argnames="rounds")
def gossip(network, x, key, rounds):
    """X = W X, by the rounds of a network."""

    def step(carry, t):
        memory, x = carry
        memory, world = network.at(memory, t, jax.random.fold_in(key, t))
        return (memory, world.W @ x), None

    return jax.lax.scan(step, (network.init(key), x), jnp.arange(rounds))[0][1]


@partial(jax.jit, static_argnames="rounds")
def gossip_in_all_ways(network, x, key, rounds):
    def one(chances):
        loss = GilbertElliott(chances.lost, chances.lost_for)
        activity = Markov(chances.asleep, chances.asleep_for)
        return gossip(dataclasses.replace(network, activity=activity, inner=_with_loss(network, loss)), x, key, rounds)

    return jax.vmap(one)(WAYS)


def _with_loss(network, loss):
    return dataclasses.replace(network.inner, loss=loss)


SYMMETRIC = {
    "ring": (graphs.ring(9), ("circulant", "table", "dense")),
    "path": (graphs.path(7), ("table", "dense")),
    "star": (graphs.star(9), ("table", "dense")),
    "complete": (graphs.complete(6), ("average", "circulant", "table")),
    "torus": (graphs.torus(3, 4), ("circulant",)),
    "grid": (graphs.grid(3, 3), ("dense",)),
    "hypercube": (graphs.hypercube(8), ("circulant",)),
    "exponential": (graphs.exponential(10), ("circulant",)),
    "semantic exponential": (graphs.semantic_exponential(10), ("table",)),
    "Erdős-Rényi": (graphs.erdos_renyi(12, 0.4, seed=1), ("dense",)),
    "regular": (graphs.random_regular(12, 4, seed=1), ("table",)),
    "small world": (graphs.small_world(12, 4, 0.2, seed=1), ("table",)),
    "tree": (graphs.tree(10), ("table",)),
}
FAMILIES = {
    f"{name}, {form}": networks.static(graph, form=form) for name, (graph, forms) in SYMMETRIC.items() for form in forms
}
FAMILIES |= {
    "matchings": networks.random_matchings(9, pool=20),
    "random Erdős-Rényi": networks.random_erdos_renyi(10, 0.3, pool=20),
    "periodic circulants": networks.periodic([graphs.ring(8), graphs.lazy(graphs.metropolis(graphs.ring(8)))]),
    "periodic, dense": networks.periodic([graphs.ring(6), graphs.complete(6)]),
}


@pytest.mark.parametrize("network", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.thinned(4)
def test_the_mean_is_kept_whatever_is_lost_and_whoever_sleeps(network):
    x = np.random.default_rng(1).standard_normal((network.n, 2))
    wrapped = sleeping(lossy(network, BURSTS), Markov(0.3, 5.0))
    late = np.asarray(gossip_in_all_ways(wrapped, x, jax.random.key(3), 1000))
    np.testing.assert_allclose(late.mean(axis=1), np.tile(x.mean(axis=0), (len(late), 1)), **CLOSE)
    assert np.all(late.std(axis=1) < 0.2 * x.std(axis=0))  # and there is gossip


def test_independent_failures_keep_the_mean_too():
    for network in (lossy(RING, 0.3), sleeping(RING, 0.3), lossy(sleeping(RING, 0.2), 0.2)):
        x = np.asarray(gossip(network, X0, jax.random.key(0), 1000))
        np.testing.assert_allclose(x.mean(axis=0), X0.mean(axis=0), **CLOSE)
        np.testing.assert_allclose(x, np.tile(X0.mean(axis=0), (N, 1)), atol=1e-9)


def test_mass_that_is_lost_goes_back_to_its_sender():
    for network in (networks.random_digraph(N, 0.2), networks.directed_ring(N), networks.one_peer_exponential(N)):
        for loss in (Independent(0.3), BURSTS):
            pushed = lossy(network, loss, "sender")
            mass = np.asarray(gossip(pushed, np.c_[np.ones(N), X0], jax.random.key(0), 1000))
            np.testing.assert_allclose(mass.mean(axis=0), np.r_[1, X0.mean(axis=0)], **CLOSE)
            np.testing.assert_allclose(mass[:, 1:] / mass[:, :1], np.tile(X0.mean(axis=0), (N, 1)), atol=1e-6)


def test_of_ones_links_keep_all_dropping_keeps_what_its_expectation_says_and_the_others_keep_ones():
    ring = networks.ring(16)
    many = jax.random.split(jax.random.key(0), 2000)
    ones = np.ones((16, 1))
    mean = lambda rule, x: np.asarray(jax.vmap(lambda key: gossip(lossy(ring, 0.1, rule), x, key, 100).mean())(many))
    np.testing.assert_allclose(mean("link", ones), 1, **CLOSE)
    np.testing.assert_allclose(mean("self", ones), 1, **CLOSE)
    np.testing.assert_allclose(mean("renormalize", ones), 1, **CLOSE)
    dropped = mean("drop", ones)  # E W is constant, with rows that sum to 1 - 0.1 * 2 / 3
    np.testing.assert_allclose(dropped.mean(), (1 - 0.2 / 3) ** 100, atol=5 * dropped.std() / np.sqrt(len(many)))
    ramp = np.arange(16.0)[:, None]
    for rule in ("self", "renormalize"):  # consensus, but not on the mean
        assert mean(rule, ramp).std() > 0.1
    np.testing.assert_allclose(mean("link", ramp), 7.5, **CLOSE)


# How it fails.


@pytest.mark.parametrize("model", [Independent(0.3), Markov(0.3, 1 / 0.7), Markov(0.3, 5.0), Markov(0.7, 4.0)])
def test_outages_have_their_stationary_law_from_the_start_and_the_correlation_of_their_chain(model):
    links, rounds = 4000, 3 * 4 + 1
    memory = model.init(jax.random.key(1), (links,))
    assert memory.failed.shape[0] == 4  # so that the rounds span blocks
    step = lambda memory, t: model.at(memory, t)
    failed = np.asarray(jax.lax.scan(step, memory, jnp.arange(rounds))[1], float)
    p = model.probability
    correlation = 1 - 1 / ((1 - p) * model.burst) if isinstance(model, GilbertElliott) else 0.0
    np.testing.assert_allclose(failed.mean(axis=1), p, atol=5 * np.sqrt(p * (1 - p) / links))
    centred = (failed - p) / np.sqrt(p * (1 - p))
    lag = np.mean(centred[1:] * centred[:-1], axis=1)  # within blocks and between them
    np.testing.assert_allclose(lag, correlation, atol=5 * 1.6 / np.sqrt(links))


def test_mean_lengths_of_bursts_are_those_asked_for():
    model = GilbertElliott(0.2, 6.0)
    step = lambda memory, t: model.at(memory, t)
    failed = np.asarray(jax.lax.scan(step, model.init(jax.random.key(2), (200,)), jnp.arange(2000))[1])
    ends = np.sum(failed[:-1] & ~failed[1:])
    np.testing.assert_allclose(failed.sum() / ends, 6.0, rtol=5 / np.sqrt(ends))
    assert model.init(jax.random.key(2), (200,)).failed.shape == (ROUNDS, 200)


def test_all_methods_of_a_seed_meet_the_same_failures():
    """Without gradients each of them is gossip: they go the same way, and another seed another."""
    network = sleeping(lossy(RING, BURSTS), 0.2)
    methods = [A.DSGD(lr=0.1), A.GradientTracking(lr=0.3), A.KGT(lr=0.1, local_steps=2), A.DSGDm(lr=0.1, momentum=0.5)]
    ends = [jaxdec.run(m, ZERO, network, rounds=30, every=30, x0=X0, seed=4).state.x for m in methods]
    for end in ends[1:]:
        np.testing.assert_allclose(end, ends[0], **CLOSE)
    other = jaxdec.run(methods[0], ZERO, network, rounds=30, every=30, x0=X0, seed=5)
    assert np.abs(other.state.x - ends[0]).max() > 1e-3


def test_a_network_that_changes_does_not_change_otherwise_where_it_fails():
    matchings = networks.random_matchings(N, pool=20)
    plain, failing = (jaxdec.run(A.DSGD(lr=0.1), ZERO, n, rounds=9, x0=X0) for n in (matchings, lossy(matchings, 0.0)))
    np.testing.assert_allclose(failing.state.x, plain.state.x, **CLOSE)


def test_a_run_goes_on_inside_a_burst_to_the_bit():
    network = sleeping(lossy(RING, BURSTS), Markov(0.3, 4.0))
    parts = prepare(A.GradientTracking(lr=0.1), PROBLEM, network, X0, rounds=1, every=1)
    go = jax.jit(simulate, static_argnames=("rounds", "every", "metrics"))
    kept = {"every": 10, "metrics": named(("distance",))}
    key = jax.random.key(6)
    whole = go(*parts, key, rounds=150, **kept)
    first = go(*parts, key, rounds=70, **kept)
    assert np.any(first.carry.memory.inner.failed.failed[70 % ROUNDS - 1])  # some links are down when it stops
    first = jax.tree.map(np.asarray, first)  # as they are stored
    second = go(*parts, key, (jnp.asarray(70), first.carry), rounds=80, **kept)
    jax.tree.map(np.testing.assert_array_equal, second.carry, whole.carry)
    np.testing.assert_array_equal(second.metrics["distance"], whole.metrics["distance"][8:])


def test_what_is_lost_is_paid_for_and_what_sleeps_is_not():
    silence = lambda problem, state, world: {"awake": jnp.mean(world.active, dtype=float), "sent": world.sent}
    run = partial(jaxdec.run, A.GradientTracking(lr=0.1), PROBLEM, rounds=40)
    lost = run(lossy(RING, 0.5)).cost
    np.testing.assert_array_equal((lost.grads[-1], lost.vectors[-1], lost.bits[-1]), (41, 80, 80 * 32 * D))
    for network in (sleeping(RING, 0.4), lossy(sleeping(RING, 0.4), 0.3), sleeping(lossy(RING, 0.3), 0.4)):
        found = run(network, metrics=(silence,))
        awake, sent = found.metrics["awake"][1:], found.metrics["sent"][1:]
        np.testing.assert_allclose(found.cost.grads[-1], 1 + awake.sum(), **CLOSE)
        np.testing.assert_allclose(found.cost.vectors[-1], 2 * sent.sum(), **CLOSE)
        np.testing.assert_allclose(awake.mean(), 0.6, atol=5 * np.sqrt(0.24 / (40 * N)))
        assert np.all(sent <= awake)  # a link needs both its ends
        np.testing.assert_allclose(sent.mean(), 0.36, atol=0.1)


def test_what_was_silent_before_a_node_slept_is_not_paid_for_and_what_was_lost_is():
    """Nested failures against a count of arcs that are used: the coins of matchings, and both ends awake."""
    matcha, counts = networks.matcha(graphs.ring(16), 0.6), []
    for network in (sleeping(matcha, 0.3), sleeping(lossy(matcha, 0.5), 0.3), lossy(sleeping(matcha, 0.3), 0.5)):
        memory = network.init(jax.random.key(1))
        for t, key in enumerate(jax.random.split(jax.random.key(2), 8)):
            inner = matcha.at((), jnp.asarray(t), key)[1].W.arcs
            memory, world = network.at(memory, jnp.asarray(t), key)
            awake = np.asarray(world.active)
            before = np.asarray(inner.exists & inner.used)
            used = before & awake[:, None] & awake[np.asarray(inner.sender)]
            np.testing.assert_allclose(world.sent, used.sum() / np.asarray(inner.exists).sum(), **CLOSE)
            counts.append((before.sum(), used.sum()))
    assert len(set(counts)) > 8
    assert all(used < before for before, used in counts if before)


def test_a_node_that_sleeps_keeps_its_rows():
    fields = ("x", "y", "g")
    row = lambda a: a @ jnp.sqrt(jnp.arange(1.0, D + 1))  # a number for each node, which changes where its row does
    seen = lambda problem, state, world: {k: row(getattr(state, k)) for k in fields} | {"active": world.active}
    found = jaxdec.run(A.GradientTracking(lr=0.1), PROBLEM, sleeping(RING, 0.5), rounds=30, metrics=(seen,)).metrics
    for field in fields:
        np.testing.assert_array_equal(np.diff(found[field], axis=0) != 0, found["active"][1:])


# What methods reach.

TRACKERS = {
    "cta": (A.GradientTracking(lr=1.0, form="cta"), (0.05, 0.1, 0.2)),
    "semi-atc": (A.GradientTracking(lr=1.0), (0.05, 0.1, 0.2)),
    "atc": (A.GradientTracking(lr=1.0, form="atc"), (0.05, 0.1, 0.2)),
    "K-GT": (A.KGT(lr=1.0, local_steps=4), (0.0125, 0.025, 0.04)),
    "Momentum Tracking": (A.MomentumTracking(lr=1.0, momentum=0.5), (0.03, 0.06, 0.1)),
}


@pytest.mark.parametrize("name", TRACKERS)
@pytest.mark.thinned(2)
def test_trackers_reach_the_minimizer_on_a_ring_that_fails(name):
    method, steps = TRACKERS[name]
    rounds = {"rounds": 4000, "every": 4000, "seeds": 1, "metrics": ("distance", "consensus")}
    # A burst of 1 / 0.7 rounds is none: losses of 0.3 are independent.
    over = {"lr": steps, "network.loss.burst": [1 / 0.7, 5.0]}
    lost = jaxdec.sweep(method, PROBLEM, lossy(RING, BURSTS), over=over, **rounds)
    slept = jaxdec.sweep(method, PROBLEM, sleeping(RING, Markov(0.3, 5.0)), over={"lr": steps}, **rounds)
    for found in (lost, slept):
        assert found.attrs["programs"] == 1
        assert float(found.distance.isel(round=0).min()) > 0.1
        assert float(found.distance.isel(round=-1).max()) < 1e-9
        assert float(found.consensus.isel(round=-1).max()) < 1e-18


def test_probabilities_are_swept_in_one_program():
    method, options = A.GradientTracking(lr=0.1), {"rounds": 40, "every": 20, "x0": X0}
    network = sleeping(lossy(RING, 0.3), 0.2)
    over = {"network.inner.loss.probability": [0.0, 0.3, 0.6], "network.activity.probability": [0.0, 0.2]}
    found = jaxdec.sweep(method, PROBLEM, network, over=over, seeds=2, **options)
    assert found.attrs["programs"] == 1
    alone = jaxdec.run(method, PROBLEM, network, seed=1, **options)
    here = found.distance.sel({"network.inner.loss.probability": 0.3, "network.activity.probability": 0.2, "seed": 1})
    np.testing.assert_allclose(here, alone.metrics["distance"], **CLOSE)
    swept = jaxdec.sweep(method, PROBLEM, lossy(RING, 0.3), over={"network.loss.probability": [0.1, 0.5]}, **options)
    assert swept.attrs["programs"] == 1


def test_networks_that_fail_over_different_graphs_are_one_program():
    graphs_ = {str(seed): lossy(networks.random_regular(N + 1, 4, seed=seed), 0.2) for seed in range(3)}
    found = jaxdec.sweep(A.DSGD(lr=0.1), problems.quadratic(N + 1, 3), graphs_, seeds=1, rounds=5)
    assert found.attrs["programs"] == 1


# What is refused, and what is warned of.

CHANGING = {
    "matchings": networks.random_matchings(N),
    "periodic": networks.periodic([graphs.ring(N), np.eye(N), np.eye(N)]),
    "lossy": lossy(RING, 0.3),
    "sleeping": sleeping(RING, 0.3),
}


@pytest.mark.parametrize("network", CHANGING.values(), ids=CHANGING)
def test_d2_and_led_are_refused_where_w_changes(network):
    for method in (A.D2(lr=0.05), A.ExactDiffusion(lr=0.05), A.LED(lr=0.05, local_steps=2)):
        with pytest.raises(ValueError, match=r"needs a fixed W \(W is the same in every round\).*GradientTracking"):
            jaxdec.run(method, PROBLEM, network, rounds=1)


@pytest.mark.parametrize("name", ["EXTRA", "NIDS", "ProxSkip"])
@pytest.mark.thinned(3)
def test_what_they_conserve_and_their_fixed_point_stand_a_w_that_changes_and_convergence_is_not_promised(name):
    method, dual, sign = {
        "EXTRA": (A.EXTRA(lr=0.1), "c", -1),
        "NIDS": (A.NIDS(lr=0.1), "c", -1),
        "ProxSkip": (A.ProxSkip(lr=0.1, probability=0.5, consensus_lr=0.5), "h", 1),
    }[name]
    network = sleeping(lossy(networks.random_matchings(N), BURSTS), 0.2)
    sums = lambda problem, state: jnp.abs(jnp.sum(getattr(state, dual), axis=0)).max()
    with pytest.warns(UserWarning, match=rf"{name} on a network that is not fixed: convergence is not promised"):
        found = jaxdec.run(method, PROBLEM, network, rounds=200, every=10, x0=X0, metrics={"sums": sums})
    assert np.abs(getattr(found.state, dual)).max() > 0.1
    assert found.metrics["sums"].max() < 1e-11
    with pytest.warns(UserWarning, match="convergence is not promised"):
        parts = prepare(method, PROBLEM, network, X0, rounds=1, every=1)
    x = jnp.tile(PROBLEM.minimizer, (N, 1))
    state = type(found.state)(x, sign * PROBLEM.grad(x))
    memory = parts[2].init(jax.random.key(0))
    go = jax.jit(partial(simulate, rounds=100, every=100, metrics=()))
    stayed = go(*parts, jax.random.key(1), (jnp.asarray(0), Carry(memory, state))).carry.state
    np.testing.assert_allclose(stayed.x, x, atol=1e-10)


def test_methods_that_keep_copies_need_every_message_and_warn_where_w_changes():
    top, few = compressors.TopK(k=2), compressors.RandK(k=2)
    methods = [
        A.ChocoSGD(lr=0.1, consensus_lr=0.3, compressor=top),
        A.ChocoGossip(consensus_lr=0.3, compressor=top),
        A.QuantizedPushSum(lr=0.1, compressor=few),
        A.QuantizedPushSumGossip(compressor=few),
    ]
    for network in (lossy(RING, 0.1), sleeping(RING, 0.1)):
        for method in methods:
            with pytest.raises(ValueError, match="keeps copies of its neighbours' vectors, which"):
                jaxdec.run(method, PROBLEM, network, rounds=1)
    for method in methods[:2]:
        with pytest.warns(UserWarning, match="must follow all of its messages, and the cost counts"):
            jaxdec.run(method, PROBLEM, CHANGING["matchings"], rounds=1)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: lossy(networks.directed_ring(6), 0.1), r'"link" is for a W that is symmetric.*"sender", "self".*drop'),
        (lambda: lossy(networks.random_digraph(6, 0.2), 0.1), r'Rules that fit it: "sender", "drop"'),
        (
            lambda: lossy(lossy(RING, 0.1, "self"), 0.1),
            r'provides arcs, row stochastic. .*"self", "renormalize", "drop"',
        ),
        (
            lambda: sleeping(networks.directed_ring(6), 0.1),
            r'symmetric W.*lossy\(network, loss, rule="sender"\)',
        ),
        (lambda: sleeping(networks.push_pull(graphs.ring(6)), 0.1), "one W, such as .*provides fixed, push-pull"),
        (lambda: lossy(RING, 0.1, "lose"), "rule is one of 'link'.*got 'lose'"),
        (lambda: lossy(RING, 1.0), r"probability of failing lies in \[0, 1\); got 1.0"),
        (lambda: lossy(RING, -0.1), r"lies in \[0, 1\); got -0.1"),
        (lambda: sleeping(RING, Markov(1.2, 3.0)), r"lies in \[0, 1\); got 1.2"),
        (lambda: lossy(RING, GilbertElliott(0.3, 0.5)), "burst is how many rounds.* at least 1 .*got 0.5"),
        (lambda: lossy(RING, GilbertElliott(0.9, 5.0)), "here at least 9.*got 5.0"),
    ],
)
def test_bad_input_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_what_is_no_model_is_refused():
    for wrong in ("often", None, True, networks.ring(3)):
        with pytest.raises(TypeError, match="loss is the probability of independent outages or a model of them"):
            lossy(RING, wrong)


def test_a_probability_that_is_swept_out_of_range_is_refused_before_anything_runs():
    with pytest.raises(ValueError, match=r"lies in \[0, 1\); got 1.5"):
        jaxdec.sweep(
            A.DSGD(lr=0.1), PROBLEM, sleeping(lossy(RING, 0.1), 0.1), seeds=1, rounds=1,
            over={"network.inner.loss.probability": [0.1, 1.5]},
        )  # fmt: skip
