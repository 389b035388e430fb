"""Loss that neither end of an arc knows of, the methods of running sums that stand it, and masses that sink."""

import dataclasses
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import running_sums as reference

import jaxdec
from jaxdec import algorithms as A
from jaxdec import checks, graphs, networks, problems, testing
from jaxdec.loop import prepare, simulate
from jaxdec.metrics import named
from jaxdec.networks import lossy, one_way, operators, sleeping
from jaxdec.networks.outages import GilbertElliott
from jaxdec.testing.defaults import gradients, keys, round_keys

pytestmark = pytest.mark.sampled(14)

CLOSE = {"rtol": 0, "atol": 1e-12}
N, D, SEED = 9, 3, 7
DIGRAPH = networks.random_digraph(N, 0.15)
LOSSY = lossy(DIGRAPH, 0.3, "arcs")
X0 = np.random.default_rng(0).standard_normal((N, D))
MEAN = X0.mean(axis=0)
PROBLEM = problems.quadratic(N, D, zeta=10.0, L=1.0, mu=0.5)
ROBUST, SGP, SONATA = A.RobustPushSum(), A.RobustStochasticGradientPush(lr=0.1, floor=0.1), A.ASYSONATA(lr=0.05)


def masses(problem, state):
    """By how much the total of numerators and that of masses, held and under way, are off; and the error of x."""
    total = jnp.sum(jnp.c_[state.u, state.y], axis=0) + jnp.sum(state.flight, axis=(0, 1))
    return {
        "gone": jnp.abs(total - jnp.r_[jnp.sum(X0, axis=0), N]).max(),
        "error": jnp.abs(state.x - jnp.mean(X0, axis=0, keepdims=True)).max(),
        "under way": jnp.sum(state.flight[..., -1]),
    }


# What is conserved, and where it goes.


def test_the_average_is_exact_under_loss_that_nobody_knows_of_where_plain_push_sum_loses_mass():
    found = jaxdec.run(ROBUST, PROBLEM, LOSSY, rounds=400, x0=X0, metrics=(masses,)).metrics
    assert found["error"][-1] < 1e-10
    assert found["gone"].max() < 1e-12
    assert found["under way"][1:].mean() > 0.1 * N  # and some is lost all the time
    with pytest.warns(UserWarning, match="it loses the mass of push-sum"):
        plain = jaxdec.run(A.PushSumGossip(), PROBLEM, lossy(DIGRAPH, 0.3, "drop"), rounds=400, x0=X0, strict=False)
    assert plain.state.y.sum() < 1e-3 * N
    assert np.abs(plain.state.x - MEAN[None]).max() > 0.01  # consensus, on another point


@pytest.mark.parametrize("rounds", [3000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_in_float32_the_average_stays_within_1e_5(rounds):
    x0 = X0.astype(np.float32)
    found = jaxdec.run(ROBUST, PROBLEM, LOSSY, rounds=rounds, every=rounds // 10, x0=x0, metrics=(masses,))
    assert found.state.flight.dtype == np.float32
    assert found.metrics["error"][1:].max() < 1e-5


KINDS = {
    "ring": networks.ring(N),
    "directed ring": networks.directed_ring(N),
    "dense": networks.static(graphs.random_digraph(N, 0.5, seed=1), weights="column_stochastic", form="dense"),
    "star": networks.star(N),
    "complete": networks.complete(N),
    "periodic": networks.periodic(
        [graphs.random_digraph(N, 0.1, seed=s) for s in range(3)], weights="column_stochastic"
    ),
    "periodic, dense": networks.periodic([graphs.ring(N), graphs.complete(N)]),
    "matchings": networks.random_matchings(N, pool=10),
    "one peer": networks.one_peer_exponential(N),
    "k out": networks.random_k_out(N, 2, weights="column_stochastic", pool=10),
    "matcha": networks.matcha(graphs.ring(N), 0.5),
    "asleep": sleeping(networks.ring(N), 0.3),
    "known loss too": lossy(networks.random_erdos_renyi(N, 0.3, pool=10), 0.2, "sender"),
    "lossy twice": lossy(networks.ring(N), 0.2, "arcs"),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.thinned(5)
def test_mass_held_and_under_way_is_conserved_on_every_kind_of_network(name):
    bursts = GilbertElliott(0.3, 3.0)
    found = jaxdec.run(
        ROBUST, PROBLEM, lossy(KINDS[name], bursts, "arcs"), rounds=600, every=20, x0=X0, metrics=(masses,)
    ).metrics
    assert found["gone"].max() < 1e-12
    assert found["under way"][1:].max() > 1e-3
    assert found["error"][-1] < 0.05 * found["error"][0]


def rounds_of(network, count):
    """The weights of some rounds as matrices, and on which arcs something arrives, as a run of this seed sees them."""
    network = prepare(ROBUST, PROBLEM, network, X0, rounds=1, every=1)[2]
    streams = keys(SEED)

    @jax.jit
    def every():
        def step(memory, t):
            memory, world = network.at(memory, t, round_keys(streams, t)[0])
            arcs = world.W.arcs
            return memory, (world.W.own, arcs.weight, arcs.sender, arcs.exists, arcs.arrived)

        return jax.lax.scan(step, network.init(streams.network), jnp.arange(count))[1]

    Ws, here = np.zeros((count, N, N)), np.zeros((count, N, N), bool)
    for t, (own, weight, sender, exists, arrived) in enumerate(zip(*map(np.asarray, every()), strict=True)):
        i, s = np.nonzero(exists)
        Ws[t] = np.diag(own)
        Ws[t, i, sender[i, s]] = weight[i, s]
        here[t, i, sender[i, s]] = arrived[i, s]
    return Ws, here


REFERENCES = [
    (ROBUST, lambda W, grad, rounds, arrived: reference.push_sum(W, X0, rounds, arrived)),
    (
        SGP,
        lambda W, grad, rounds, arrived: reference.gradient_push(
            W, grad, X0, rounds, lr=0.1, floor=0.1, arrived=arrived
        ),
    ),
    (SONATA, lambda W, grad, rounds, arrived: reference.asy_sonata(W, grad, X0, rounds, lr=0.05, arrived=arrived)),
]


@pytest.mark.parametrize(("method", "loop"), REFERENCES, ids=lambda m: type(m).__name__)
def test_mass_under_way_is_the_difference_of_the_totals_of_the_papers(method, loop):
    rounds, problem = 30, dataclasses.replace(testing.quadratic(N, D), noise=0.5)
    for network in (LOSSY, lossy(KINDS["k out"], 0.3, "arcs")):
        Ws, here = rounds_of(network, rounds)
        assert here.mean() < 0.8 * (Ws != 0).mean()
        grad = gradients(problem, keys(SEED).data, rounds + 1)
        expected = loop(Ws, grad, rounds, lambda t, i, j, here=here: here[t, i, j])
        found = testing.trajectory(method, problem, network, rounds=rounds, x0=X0, seed=SEED).states[".x"]
        np.testing.assert_allclose(found, expected, **CLOSE)


@pytest.mark.parametrize(
    ("robust", "plain", "over"),
    [
        (ROBUST, A.PushSumGossip(), DIGRAPH),
        (SGP, A.StochasticGradientPush(lr=0.1, floor=0.1), DIGRAPH),
        (SONATA, A.GradientTracking(lr=0.05), networks.ring(N)),
    ],
    ids=lambda m: type(m).__name__,
)
def test_without_loss_they_are_the_plain_methods(robust, plain, over):
    run = partial(jaxdec.run, problem=PROBLEM, rounds=50, every=50, x0=X0, metrics=())
    expected = run(plain, network=over).state.x
    for network in (over, lossy(over, 0.0, "arcs")):
        np.testing.assert_allclose(run(robust, network=network).state.x, expected, **CLOSE)


def test_asy_sonata_reaches_the_minimizer_and_tracks_the_gradients():
    tracked = lambda problem, state: jnp.abs(
        jnp.sum(state.g - state.y, axis=0) - jnp.sum(state.flight, axis=(0, 1))
    ).max()
    how = {"rounds": 4000, "every": 200, "seeds": 2, "metrics": {"distance": "distance", "off": tracked}}
    over = {"network.loss.burst": [1 / 0.7, 5.0]}  # the first is no burst
    for network in (DIGRAPH, networks.ring(N)):
        found = jaxdec.sweep(SONATA, PROBLEM, lossy(network, GilbertElliott(0.3, 5.0), "arcs"), over=over, **how)
        assert found.attrs["programs"] == 1
        assert float(found.off.max()) < 1e-11
        assert float(found.distance.isel(round=0).min()) > 0.1
        assert float(found.distance.isel(round=-1).max()) < 1e-9


# The network.


@pytest.mark.parametrize("form", ["table", "circulant", "dense", "average"])
@pytest.mark.thinned(2)
def test_weights_are_those_of_the_reliable_network_and_as_much_is_lost_as_was_asked(form):
    graph = graphs.complete(N) if form == "average" else graphs.ring(N)
    network = networks.static(graph, form=form)
    Ws, here = rounds_of(lossy(network, 0.3, "arcs"), 2000)
    np.testing.assert_array_equal(Ws, np.broadcast_to(Ws[0], Ws.shape))
    np.testing.assert_allclose(Ws[0], network.W.dense(), **CLOSE)
    arcs = (Ws[0] != 0) & ~np.eye(N, dtype=bool)
    assert not np.any(here[:, ~arcs])
    share = here[:, arcs].mean(axis=0)
    np.testing.assert_allclose(share, 0.7, atol=5 * np.sqrt(0.21 / len(here)))
    one, other = (here[:, *k] for k in ((0, 1), (1, 0)))
    assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(len(here))  # each way has its coins


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3), st.sampled_from([2, 5]), st.floats(0, 0.9))
def test_slots_of_the_union_hold_the_same_arcs_in_every_round(seed, size, n, density):
    rng = np.random.default_rng(seed)
    Ws = np.where(rng.random((size, n, n)) < density, rng.uniform(0.1, 1, (size, n, n)), 0) + np.eye(n)
    pools = [operators.operator(W, form="table") for W in Ws]
    width = max(int(np.max(np.sum(W != 0, axis=1))) for W in Ws)
    tables = []
    for operator in pools:
        arcs = operator.by_arcs().arcs
        pad = np.broadcast_to(np.arange(n)[:, None], (n, width - arcs.sender.shape[1]))
        tables.append(np.concatenate([np.asarray(arcs.sender), pad], axis=1))
    who = one_way.union(np.stack(tables))
    if who is None:
        assert size == 1 or all(np.array_equal(t, tables[0]) for t in tables)
        return
    assert who.sender.shape[1] == np.max(np.sum(np.any(Ws != 0, axis=0), axis=1)) - 1  # no wider than it must be
    for W, operator in zip(Ws, pools, strict=True):
        arcs = one_way.laid(operator.by_arcs().arcs, who)
        found, here = np.zeros((n, n)), np.zeros((n, n), bool)
        i, s = np.nonzero(np.asarray(who.exists))
        found[i, who.sender[i, s]] = np.asarray(arcs.weight)[i, s]
        here[i, who.sender[i, s]] = np.asarray(arcs.arrived)[i, s]
        others = np.where(np.eye(n), 0, W)
        np.testing.assert_allclose(found, others, rtol=1e-6)
        np.testing.assert_array_equal(here, others != 0)


def test_there_is_no_product_and_the_error_says_what_to_do():
    network = lossy(networks.ring(N), 0.3, "arcs")
    assert network.provides == {"arcs"}
    _, world = network.at(network.init(jax.random.key(0)), jnp.asarray(0), jax.random.key(1))
    for ask in (lambda W: W @ X0, lambda W: W.dense(), lambda W: W.masked(W.arcs.arrived, "drop")):
        with pytest.raises(TypeError, match=r"there is no W of a round.*RobustPushSum.*W.own and W.arcs"):
            ask(world.W)
    with (
        pytest.warns(UserWarning, match="DSGD runs without a doubly stochastic W"),
        pytest.raises(TypeError, match="there is no W of a round"),
    ):
        jaxdec.run(A.DSGD(lr=0.1), PROBLEM, network, rounds=1, strict=False)


@pytest.mark.parametrize(
    ("method", "network", "message"),
    [
        (ROBUST, networks.static(graphs.random_digraph(N, 0.2), weights="row_stochastic"), "column stochastic W"),
        (
            SONATA, lossy(networks.static(graphs.random_digraph(N, 0.2), weights="row_stochastic"), 0.1, "arcs"),
            r"ASYSONATA needs a column stochastic W.*this network's is arcs, fixed, fixed arcs, row stochastic",
        ),
        (ROBUST, lossy(DIGRAPH, 0.1, "drop"), "RobustPushSum needs a column stochastic W"),
        (ROBUST, KINDS["matchings"], r"needs arcs that stay .*slot of its own.*lossy\(network, loss, rule"),
        (SGP, KINDS["k out"], "needs arcs that stay"),
        (ROBUST, lossy(KINDS["k out"], 0.1, "sender"), "needs arcs that stay"),
        (ROBUST, networks.server(N), "needs"),
        (ROBUST, networks.push_pull(graphs.ring(N)), "needs"),
        (
            A.DSGD(lr=0.1), LOSSY,
            r"This network is for ASYSONATA, RobustPushSum, RobustStochasticGradientPush",
        ),
        (A.PushSumGossip(), LOSSY, r"PushSumGossip needs a column stochastic W .*this network's is arcs"),
        (A.PushDIGing(lr=0.1), LOSSY, "RobustStochasticGradientPush"),
    ],
)  # fmt: skip
def test_what_would_lose_mass_is_refused_before_anything_is_traced(method, network, message):
    with pytest.raises(ValueError, match=message):
        jaxdec.run(method, PROBLEM, network, rounds=1)


@pytest.mark.parametrize("rule", ["link", "sender", "self", "renormalize", "drop"])
def test_no_other_rule_goes_around_a_loss_that_nobody_knows_of(rule):
    with pytest.raises(ValueError, match=r"wrap the other way round|Rules that fit it"):
        lossy(LOSSY, 0.1, rule)
    with pytest.raises(ValueError, match=r"wrap the other way round, lossy\(sleeping"):
        sleeping(lossy(networks.ring(N), 0.1, "arcs"), 0.1)


def test_lost_messages_are_paid_for_and_those_of_sleepers_are_not():
    how = {"rounds": 20, "every": 20, "x0": X0}
    for method, vectors, bits in ((ROBUST, 1, 32 * (D + 1)), (SGP, 1, 32 * (D + 1)), (SONATA, 2, 64 * D)):
        spent = jaxdec.run(method, PROBLEM, LOSSY, **how).cost
        np.testing.assert_array_equal((spent.vectors[-1], spent.bits[-1]), (20 * vectors, 20 * bits))
    asleep = jaxdec.run(SONATA, PROBLEM, lossy(KINDS["asleep"], 0.3, "arcs"), **how).cost
    assert 0.3 * 40 < asleep.vectors[-1] < 0.7 * 40  # both ends are awake in 0.49 of the rounds
    assert 0.5 * 21 < asleep.grads[-1] < 0.9 * 21


# Programs.


def test_a_run_goes_on_to_the_bit_with_mass_under_way():
    parts = prepare(SONATA, PROBLEM, lossy(KINDS["k out"], GilbertElliott(0.3, 4.0), "arcs"), X0, rounds=1, every=1)
    go = jax.jit(simulate, static_argnames=("rounds", "every", "metrics"))
    kept, key = {"every": 10, "metrics": named(("distance",))}, jax.random.key(6)
    whole = go(*parts, key, rounds=100, **kept)
    first = jax.tree.map(np.asarray, go(*parts, key, rounds=70, **kept))  # as they are stored
    assert np.any(first.carry.state.flight != 0)
    second = go(*parts, key, (jnp.asarray(70), first.carry), rounds=30, **kept)
    jax.tree.map(np.testing.assert_array_equal, second.carry, whole.carry)


def test_the_probability_of_a_loss_that_nobody_knows_of_is_swept_in_one_program():
    how = {"rounds": 40, "every": 20, "x0": X0, "metrics": (masses,)}
    found = jaxdec.sweep(ROBUST, PROBLEM, LOSSY, over={"network.loss.probability": [0.0, 0.3, 0.6]}, seeds=2, **how)
    assert found.attrs["programs"] == 1
    alone = jaxdec.run(ROBUST, PROBLEM, LOSSY, seed=1, **how)
    np.testing.assert_allclose(
        found.error.sel({"network.loss.probability": 0.3, "seed": 1}), alone.metrics["error"], **CLOSE
    )
    assert float(found["under way"].isel(round=-1, seed=0).diff("network.loss.probability").min()) > 0


LAWS = [
    pytest.param(law, id=f"{type(method).__name__}: {law}")
    for method, exact in ((SGP, None), (SONATA, True))
    for law in testing.laws(method, network=lossy(networks.random_digraph(6, 0.2), 0.3, "arcs"), exact=exact)
]


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
def test_methods_obey_the_laws_of_all_methods_under_loss(law):
    law()


# Masses that sink.

HARSH = lossy(DIGRAPH, GilbertElliott(0.3, 5.0), "sender")
PUSHING = [A.StochasticGradientPush(lr=0.1), A.PushDIGing(lr=0.1), A.RobustStochasticGradientPush(lr=0.1)]


@cache
def in_bursts(method: Any) -> Any:
    network = lossy(DIGRAPH, GilbertElliott(0.3, 5.0), "arcs") if checks.facts(method).stands_loss else HARSH
    with pytest.warns(
        UserWarning, match="masses y sink while a node hears nobody, and steps of lr / y explode; give floor"
    ):
        return jaxdec.sweep(
            method, PROBLEM, network, over={"floor": [0.0, 0.1]}, seeds=3, rounds=1500, every=1500, metrics=["distance"]
        ).distance.isel(round=-1)


@pytest.mark.parametrize("method", PUSHING, ids=lambda m: type(m).__name__)
def test_where_masses_sink_in_bursts_steps_explode_and_with_a_floor_of_lr_times_the_curvature_they_do_not(method):
    found = in_bursts(method)
    assert not np.any(found.sel(floor=0.0) < 1e3)  # or NaN
    exact = isinstance(method, A.PushDIGing)
    assert float(found.sel(floor=0.1).max()) < (1e-9 if exact else 5 * float(np.sum(PROBLEM.minimizer**2)) + 5)


@pytest.mark.parametrize("method", PUSHING, ids=lambda m: type(m).__name__)
def test_with_a_floor_or_where_masses_cannot_sink_there_is_no_warning(method):
    floored = dataclasses.replace(method, floor=0.1)
    network = LOSSY if checks.facts(method).stands_loss else HARSH
    jaxdec.run(floored, PROBLEM, network, rounds=1)  # a warning is an error here
    jaxdec.run(method, PROBLEM, DIGRAPH, rounds=1)
    if network is HARSH:
        jaxdec.run(method, PROBLEM, lossy(networks.ring(N), 0.1), rounds=1)


def test_a_floor_that_no_mass_reaches_changes_nothing_to_the_bit():
    for method in PUSHING:
        x = [
            jaxdec.run(dataclasses.replace(method, floor=floor), PROBLEM, DIGRAPH, rounds=30, every=30).state.x
            for floor in (0.0, 1e-3)
        ]
        np.testing.assert_array_equal(*x)


@pytest.mark.parametrize("floor", [-0.1, float("nan"), float("inf"), "low"])
def test_a_floor_that_is_no_mass_is_refused(floor):
    for method in PUSHING:
        with pytest.raises(ValueError, match=rf"{type(method).__name__}.floor is a mass, which is finite"):
            jaxdec.run(dataclasses.replace(method, floor=floor), PROBLEM, DIGRAPH, rounds=1)
