"""Simulated time: the model by hand, for runs and for sweeps."""

import dataclasses
import heapq
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

import hypothesis
import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from hypothesis import strategies as st

from jaxdec import algorithms as A
from jaxdec import graphs, networks, plotting, problems, run, sweep
from jaxdec import results as timing
from jaxdec.loop import Keys
from jaxdec.networks import clocks, outages

pytestmark = pytest.mark.sampled(12)

mpl.use("Agg")

LINK = timing.Link(latency=0.5, bandwidth=100.0, seconds_per_gradient=3.0)


def test_a_round_takes_its_gradients_its_messages_and_their_bits():
    result = run(A.KGT(lr=0.1, local_steps=4), problems.quadratic(6, 5), networks.ring(6), rounds=4, every=2)
    compute, message = 4 * 3.0, 0.5 + 2 * 32 * 5 / 100  # a round has 4 gradients and a message of two vectors
    for options, factor in (({}, 1), ({"degree": 2}, 2), ({"degree": 2, "parallel": True}, 1)):
        seconds = timing.add_time(result, LINK, **options)["seconds"]
        np.testing.assert_allclose(seconds, np.array([0, 2, 4]) * (compute + factor * message), rtol=1e-12)
    twice = timing.add_time(result, LINK, messages=2)["seconds"]
    np.testing.assert_allclose(twice - timing.add_time(result, LINK)["seconds"], [0, 1, 2], rtol=1e-12)


def test_what_init_spends_is_spent_at_round_0():
    result = run(A.GradientTracking(lr=0.1), problems.quadratic(6, 5), networks.ring(6), rounds=2)
    assert float(timing.add_time(result, LINK)["seconds"][0]) == 3.0


def test_a_server_answers_after_its_clients():
    spent = {"grads": [0, 1, 2], "vectors": [0, 1, 2], "bits": [0, 200, 400], "bits_down": [0, 100, 200]}
    results = xr.Dataset(coords={"round": [0, 1, 2]} | {name: ("round", v) for name, v in spent.items()})
    np.testing.assert_allclose(timing.add_time(results, LINK)["seconds"], [0, 3 + 0.5 + 2 + 0.5 + 1, 14])


def test_sweeps_are_timed_cell_by_cell_and_drawn_over_time():
    results = sweep(
        {"GT": A.GradientTracking(lr=0.1), "DSGD": A.DSGD(lr=0.1)},
        problems.quadratic(6, 5),
        {"ring": networks.ring(6), "complete": networks.complete(6)},
        seeds=2,
        rounds=4,
        progress=False,
    )
    degree = xr.DataArray([2, 5], dims="network", coords={"network": ["ring", "complete"]})
    timed = timing.add_time(results, LINK, degree=degree)
    assert timed["seconds"].dims == ("algorithm", "network", "round")
    last = timed["seconds"].isel(round=-1)
    expected = [[15 + d * 4 * (0.5 + 2 * 1.6), 12 + d * 4 * (0.5 + 1.6)] for d in (2, 5)]
    np.testing.assert_allclose(last.transpose("network", "algorithm"), expected, rtol=1e-12)
    ax = plotting.curves(timed.sel(network="ring"), "distance", x="seconds")
    assert ax.get_xlabel() == "simulated time in seconds"
    np.testing.assert_allclose(ax.lines[0].get_xdata(), timed["seconds"].sel(algorithm="GT", network="ring"))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("latency", -1.0, "not negative; got -1.0"), ("bandwidth", 0.0, "positive; got 0.0"),
     ("seconds_per_gradient", float("nan"), "not negative; got nan")],
)  # fmt: skip
def test_a_link_that_makes_no_sense_is_refused(field, value, message):
    wrong: dict[str, Any] = {field: value}
    with pytest.raises(ValueError, match=f"{field} of a Link is a number, {message}"):
        dataclasses.replace(LINK, **wrong)


def test_results_without_costs_are_refused():
    with pytest.raises(ValueError, match="these have no grads, bits, bits_down"):
        timing.add_time(xr.Dataset(coords={"round": [0, 1]}), LINK)


# Clocks: against events on the host, one after another.


class Went(NamedTuple):
    """A round by hand: [i, j] is the arc on which i hears j."""

    present: np.ndarray
    used: np.ndarray
    arrived: np.ndarray


def by_hand(network, seed, rounds, reliable=None):
    """The rounds of a run, from matrices: on an arc that fails the weight is 0, and it is paid for by those awake.

    `reliable` is the network on which nothing fails, where something may.
    """
    keys, others = Keys.of(seed), ~np.eye(network.n, dtype=bool)
    matrices = lambda W: sum(np.asarray(one.dense()) != 0 for one in (W if isinstance(W, tuple) else (W,))) > 0
    memory, found, at = network.init(keys.network), [], jax.jit(lambda *of: network.at(*of))
    for t in range(rounds):
        memory, world = at(memory, jnp.asarray(t), keys.of_round(t)[0])
        present = np.ones(network.n, bool) if world.active is None else np.asarray(world.active)
        if world.clients is not None:
            present = np.isin(np.arange(network.n), world.clients)
        heard = others & (matrices(world.W) if "server" not in network.provides else False)
        used = heard if reliable is None else others & matrices(reliable.W) & present & present[:, None]
        found.append(Went(present, used, heard))
    return found


class Model(NamedTuple):
    duration: Any  # of a gradient, (node, number of its round) -> seconds
    grads: float
    bits: float  # of one message
    messages: int
    latency: np.ndarray
    bandwidth: np.ndarray
    parallel: bool
    everyone: bool


def by_events(rounds, model, init_grads=0.0):
    """When each round is over, by a queue of events: what is computed, and what arrives."""
    n, queue, order = len(rounds[0].present), [], count()
    counts, reached, came = np.zeros(n, int), set(), {}
    ended = [[0.0] * n for _ in range(len(rounds) + 1)]

    def push(time, what, *about):
        heapq.heappush(queue, (time, next(order), what, about))

    def begin(node, t, now):
        ended[t][node] = now
        if t < len(rounds):
            works = rounds[t].present[node]
            push(now + (model.grads * model.duration(node, counts[node]) if works else 0.0), "ready", node, t, 0)
            counts[node] += works

    def waits_for(node, t, m):
        of = lambda arcs, what: {(i, j, what) for i, j in zip(*np.nonzero(arcs), strict=True)}
        sent, heard = of(rounds[t].used, "sent"), of(rounds[t].arrived, "heard")
        if not model.everyone:
            sent, heard = {arc for arc in sent if arc[1] == node}, {arc for arc in heard if arc[0] == node}
        there = range(n) if model.everyone else [node]
        return all((other, t, m) in reached for other in there) and sent | heard <= came.get((t, m), set())

    def look(now):
        for node, t, m in sorted(reached - done):
            if waits_for(node, t, m):
                done.add((node, t, m))
                if m + 1 < model.messages:
                    push(now, "ready", node, t, m + 1)
                else:
                    begin(node, t + 1, now)

    done = set()
    for node in range(n):
        begin(node, 0, init_grads * model.duration(node, 0))
    while queue:
        now, _, what, about = heapq.heappop(queue)
        if what == "ready":
            node, t, m = about
            reached.add(about)
            sent = now
            for i in np.flatnonzero(rounds[t].used[:, node]):
                lasts = model.latency[i, node] + model.bits / model.bandwidth[i, node]
                sent = now + lasts if model.parallel else sent + lasts
                push(sent, "arrives", i, node, t, m)
        else:
            i, node, t, m = about
            came.setdefault((t, m), set()).add((i, node, "sent"))
            if rounds[t].arrived[i, node]:
                came[t, m].add((i, node, "heard"))
        look(now)
    return [max(times) for times in ended]


N, D, ROUNDS, SEEDS = 6, 3, 12, [0, 5]
DIGRAPH = networks.random_digraph(N, 0.3)
BURSTS = networks.lossy(DIGRAPH, outages.GilbertElliott(probability=0.3, burst=3), "sender")
# A method, its network, the same without loss, gradients and vectors of a round, messages, gradients of init.
RING, FULL, PAIR = networks.ring(N), networks.complete(N), networks.push_pull(graphs.random_digraph(N, 0.3))
DROWSY = networks.sleeping(networks.lossy(FULL, 0.3), 0.3)
GRAPHS = {
    "ring": (A.DSGD(lr=0.1), RING, None, 1, 1, 1, 0),
    "two messages": (A.AugDGM(lr=0.1), networks.grid(2, 3), None, 1, 2, 2, 1),
    "directed": (A.StochasticGradientPush(lr=0.1), DIGRAPH, None, 1, 1 + 1 / D, 1, 0),
    "push-pull": (A.AB(lr=0.1), PAIR, None, 1, 2, 1, 1),
    "changing": (A.DSGD(lr=0.1), networks.random_matchings(N, pool=9), None, 1, 1, 1, 0),
    "loss": (A.KGT(lr=0.1, local_steps=3), networks.lossy(RING, 0.4), RING, 3, 2, 1, 0),
    "bursts": (A.StochasticGradientPush(lr=0.1, floor=0.1), BURSTS, DIGRAPH, 1, 1 + 1 / D, 1, 0),
    "sleep": (A.DSGD(lr=0.1), networks.sleeping(FULL, 0.3), FULL, 1, 1, 1, 0),
    "sleep and loss": (A.AugDGM(lr=0.1), DROWSY, FULL, 1, 2, 2, 1),
}
MODELS = {
    "fixed": clocks.Fixed(np.linspace(0.5, 2.0, N)),
    "exponential": clocks.Exponential(np.linspace(0.5, 2.0, N)),
    "log-normal": clocks.LogNormal(np.full(N, 1.5), spread=0.8),
    "trace": clocks.Trace(np.random.default_rng(2).uniform(0.1, 3.0, (N, 5))),
}


def drawn(clock, seed, n=N):
    key, one = Keys.of(seed).network, jax.jit(lambda key, i, c: clock.seconds(key, i, c, n))
    return lru_cache(None)(lambda node, c: float(one(key, node, c)))


@lru_cache(None)
def swept(name, every=1):
    method, network, *_ = GRAPHS[name]
    task, how = problems.quadratic(N, D), {"metrics": ["consensus"], "progress": False}
    return sweep(method, task, network, seeds=SEEDS, rounds=ROUNDS, every=every, **how)


def at_random(seed=3):
    rng = np.random.default_rng(seed)
    return timing.Link(latency=rng.uniform(0.1, 2.0, (N, N)), bandwidth=rng.uniform(50.0, 500.0, (N, N)))


QUICK = ("ring", "directed", "push-pull", "sleep and loss")


@pytest.mark.parametrize(
    ("name", "clock"),
    [
        pytest.param(name, clock, marks=[] if name in QUICK else [pytest.mark.slow])
        for name, clock in zip(GRAPHS, [*MODELS] * 3, strict=False)
    ],
)
def test_rounds_end_when_an_event_queue_says(name, clock):
    _, network, reliable, grads, vectors, messages, before = GRAPHS[name]
    link, parallel, results = at_random(), len(name) % 2 == 0, swept(name)
    went = {seed: by_hand(network, seed, ROUNDS, reliable) for seed in SEEDS}
    for wait_for in ("all", "neighbours"):
        how = {"compute": MODELS[clock], "wait_for": wait_for, "parallel": parallel}
        found = timing.add_clock(results, network, link, **how)["seconds"]
        for seed in SEEDS:
            of = drawn(MODELS[clock], seed), grads, vectors * 32 * D / messages, messages
            model = Model(*of, link.latency, link.bandwidth, parallel, wait_for == "all")
            one = found.sel(seed=seed) if "seed" in found.dims else found
            np.testing.assert_allclose(one, by_events(went[seed], model, before), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("who", [{"cohort": 3}, {"participation": 0.6}, {"cohort": 2, "broadcast": "once"}, {}])
def test_a_server_waits_for_the_last_of_those_who_take_part(who):
    network, clock, rng = networks.server(N, **who), MODELS["exponential"], np.random.default_rng(4)
    method, how = A.LocalSGD(lr=0.1, local_steps=2), {"rounds": 9, "progress": False}
    results = sweep(method, problems.quadratic(N, D), network, seeds=SEEDS, **how)
    link = timing.Link(latency=rng.uniform(0.1, 2.0, N), bandwidth=rng.uniform(50.0, 500.0, N))
    barrier, waiting = (
        timing.add_clock(results, network, link, compute=clock, wait_for=wait_for)["seconds"]
        for wait_for in ("all", "neighbours")
    )
    np.testing.assert_array_equal(barrier, waiting)
    for seed in SEEDS:
        duration, ended, counts = drawn(clock, seed), [0.0], np.zeros(N, int)
        for went in by_hand(network, seed, 9):
            answers = []
            for i in np.flatnonzero(went.present):
                heapq.heappush(
                    answers, ended[-1] + 2 * duration(i, counts[i]) + 2 * (link.latency[i] + 32 * D / link.bandwidth[i])
                )
                counts[i] += 1
            while len(answers) > 1:
                heapq.heappop(answers)
            ended.append(answers[0])
        np.testing.assert_allclose(barrier.sel(seed=seed), ended, rtol=1e-9)


def test_equal_speeds_and_links_make_both_disciplines_one_and_that_of_the_mean():
    link = timing.Link(latency=0.5, bandwidth=100.0, seconds_per_gradient=3.0)
    for name in ("ring", "loss"):
        results, network = swept(name), GRAPHS[name][1]
        mean = timing.add_time(results, link, degree=2)["seconds"]
        for wait_for in ("all", "neighbours"):
            found = timing.add_clock(results, network, link, wait_for=wait_for)["seconds"]
            np.testing.assert_allclose(found, np.broadcast_to(mean, found.shape), rtol=1e-12)
    results, network = run(A.SGD(lr=0.1), problems.quadratic(N, D), networks.server(N), rounds=4), networks.server(N)
    mean = timing.add_time(results, link)["seconds"]
    np.testing.assert_allclose(timing.add_clock(results, network, link)["seconds"], mean, rtol=1e-12)


@hypothesis.settings(max_examples=25, deadline=None, derandomize=True)
@hypothesis.given(
    st.sampled_from(["ring", "two messages", "push-pull", "bursts", "sleep and loss"]),
    st.sampled_from([*MODELS]),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_who_waits_for_all_is_never_faster_than_who_waits_for_neighbours(name, clock, parallel, seed):
    how = {"compute": MODELS[clock], "parallel": parallel}
    results, network, link = swept(name), GRAPHS[name][1], at_random(seed)
    barrier, waiting = (
        timing.add_clock(results, network, link, wait_for=wait_for, **how)["seconds"].values
        for wait_for in ("all", "neighbours")
    )
    assert np.all(barrier >= waiting - 1e-9)
    assert np.all(np.diff(waiting, axis=-1) >= 0)


def test_seconds_do_not_depend_on_the_stride_of_the_records():
    how = {"compute": MODELS["exponential"], "wait_for": "neighbours"}
    for name in ("sleep and loss", "two messages"):
        all_, some = (timing.add_clock(swept(name, e), GRAPHS[name][1], at_random(), **how)["seconds"] for e in (1, 4))
        np.testing.assert_allclose(some, all_.sel(round=some["round"]), rtol=1e-9)


def test_a_sweep_of_methods_networks_and_probabilities_is_timed_cell_by_cell():
    given = {"lossy": networks.lossy(RING, 0.2), "sleepy": networks.sleeping(RING, 0.2)}
    methods = {"DSGD": A.DSGD(lr=0.1), "GT": A.AugDGM(lr=0.1)}
    how = {"seeds": SEEDS, "rounds": 6, "progress": False, "metrics": ["loss"]}
    options = {"compute": MODELS["exponential"], "wait_for": "neighbours"}
    task = problems.quadratic(N, D)
    found = timing.add_clock(sweep(methods, task, given, **how), given, at_random(), **options)
    assert found["seconds"].dims == ("algorithm", "network", "seed", "round")
    for label, name in (("DSGD", "lossy"), ("GT", "sleepy")):
        result = run(methods[label], task, given[name], rounds=6, seed=5, metrics=["loss"])
        one = timing.add_clock(result, given[name], at_random(), **options)["seconds"]
        np.testing.assert_allclose(found["seconds"].sel(algorithm=label, network=name, seed=5), one, rtol=1e-9)
    seconds = found["seconds"]
    at = timing.at_times(found, [seconds.isel(round=0).max(), seconds.isel(round=-1).min()])
    assert at.sizes == {"algorithm": 2, "network": 2, "seed": 2, "round": 2}
    assert np.isfinite(at.loss).all()
    over = sweep(methods["DSGD"], task, given["sleepy"], over={"network.activity.probability": [0.1, 0.6]}, **how)
    seconds = timing.add_clock(over, given["sleepy"], at_random(), **options)["seconds"]
    network = networks.sleeping(RING, 0.6)
    one = timing.add_clock(run(methods["DSGD"], task, network, rounds=6), network, at_random(), **options)["seconds"]
    np.testing.assert_allclose(seconds.isel(seed=0).sel({"network.activity.probability": 0.6}), one, rtol=1e-9)


def test_a_method_says_how_many_messages_wait_for_each_other():
    link = timing.Link(latency=1.0, seconds_per_gradient=0.5)
    runs = {"one": A.GradientTracking(lr=0.1), "two": A.AugDGM(lr=0.1)}
    runs = {label: run(method, problems.quadratic(N, D), RING, rounds=4) for label, method in runs.items()}
    for seconds in (timing.add_time(runs, link), timing.add_clock(runs, RING, link, parallel=True)):
        last = seconds["seconds"].isel(round=-1)
        np.testing.assert_allclose([last.sel(algorithm=label).item() for label in ("one", "two")], [6.5, 10.5])


def test_a_clock_that_does_not_fit_is_refused():
    results, link = swept("ring"), timing.Link(seconds_per_gradient=1.0)
    for network, one, how, message in (
        (networks.complete(N), link, {}, "give the network that the results are of"),
        (RING, link, {"compute": 1.0}, "said twice"),
        (RING, timing.Link(latency=np.ones(N)), {}, r"latency is a number, or \(6, 6\), one for each arc"),
        (RING, timing.Link(), {"compute": np.ones(3)}, "speed"),
        (RING, link, {"wait_for": "nobody"}, "wait_for"),
        ({"other": networks.complete(N), "one": RING}, link, {}, "the network None of the results is missing"),
    ):
        with pytest.raises(ValueError, match=message):
            timing.add_clock(results, network, one, **how)
    with pytest.raises(ValueError, match="seconds already"):
        timing.add_clock(timing.add_clock(results, RING, link), RING, link)
    with pytest.raises(ValueError, match="record of round 0"):
        timing.add_clock(results.isel(round=slice(1, None)), RING, link)
    unpaired = sweep(A.DSGD(lr=0.1), problems.quadratic(N, D), RING, seeds=1, rounds=1, paired=False, progress=False)
    with pytest.raises(ValueError, match="paired=False"):
        timing.add_clock(unpaired, RING, link)
    with pytest.raises(ValueError, match="add_clock takes one of each arc"):
        timing.add_time(results, at_random())


# What the network did.


@pytest.mark.filterwarnings("ignore:DSGD runs without")
def test_the_shares_lost_and_awake_are_those_of_the_masks():
    bursts = networks.lossy(RING, outages.GilbertElliott(probability=0.4, burst=4))
    for network, reliable in (
        (bursts, RING),
        (BURSTS, DIGRAPH),
        (networks.lossy(networks.lossy(RING, 0.3), 0.3, "self"), RING),
        (DROWSY, FULL),
        (networks.lossy(networks.sleeping(FULL, 0.3), 0.3), FULL),
    ):
        how = {"rounds": 40, "every": 4, "seed": 3, "strict": False, "metrics": ["consensus"]}
        result = run(A.DSGD(lr=0.1), problems.quadratic(N, D), network, **how)
        went = by_hand(network, 3, 40, reliable)
        lost = [(w.used & ~w.arrived).sum() / max(1, w.used.sum()) for w in went]
        awake = [w.present.mean() for w in went]
        np.testing.assert_allclose(result.cost.lost[1:], np.cumsum(lost)[3::4], rtol=1e-12)
        found = timing.add_shares(result)
        for name, each in (("share_lost", lost), ("share_awake", awake)):
            np.testing.assert_allclose(found[name][0, 1:], np.reshape(each, (10, 4)).mean(axis=1), rtol=1e-12)
            assert np.isnan(found[name][0, 0])


def test_where_nothing_is_lost_results_do_not_speak_of_it():
    method, task = A.DSGD(lr=0.1), problems.quadratic(N, D)
    for network in (RING, networks.sleeping(RING, 0.3), networks.lossy(RING, 0.0)):
        assert {"lost", "messages"}.isdisjoint(run(method, task, network, rounds=4).to_xarray().coords)
        assert "lost" not in sweep(method, task, network, seeds=1, rounds=2, progress=False).coords
    assert isinstance(RING.at((), jnp.asarray(0), jax.random.key(0))[1].lost, int)
    mixed = {"ring": RING, "lossy": networks.lossy(RING, 0.5)}
    found = sweep(A.AugDGM(lr=0.1), problems.quadratic(N, D), mixed, seeds=2, rounds=20, progress=False)
    assert np.all(found["lost"].sel(network="ring") == 0)
    assert np.all(found["lost"].sel(network="lossy", round=20) > 0)
    np.testing.assert_array_equal(found["messages"].sel(network="ring"), 2 * found["round"])
    ax = plotting.curves(timing.add_shares(found).sel(network="lossy"), "share_lost")
    assert ax.get_ylabel()
