"""Networks of which a round is one event, and their methods: equal to a queue of events on the host."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from cases import UNDIRECTED, X0, D, N, gradients, quadratic
from reference import asynchronous as reference

from jaxdec import algorithms as A
from jaxdec import networks, problems, run, sweep, testing, theory
from jaxdec.loop import Keys
from jaxdec.networks import clocks
from jaxdec.spec import from_toml

pytestmark = pytest.mark.sampled(14)

CLOSE = {"rtol": 0, "atol": 1e-12}
EVENTS, SEED = 2000, 7
SPEEDS = np.asarray([1.0, 1.1, 1.2, 1.3, 0.9, 0.1])
KEYS = Keys.of(SEED)
SERVER = networks.server(N)
TIES = [1.0, 1.0, 1.0, 0.5, 0.5, 0.125]


def durations(network, count: int = EVENTS + 1) -> np.ndarray:
    """How long the computations of all nodes take, (n, count)."""
    one = lambda i, c: network.speed.seconds(KEYS.network, i, c, network.n)
    every = jax.vmap(jax.vmap(one, (None, 0)), (0, None))
    return np.broadcast_to(every(jnp.arange(network.n), jnp.arange(count)), (network.n, count))


@pytest.mark.parametrize(
    ("method", "network", "again"),
    [
        (
            A.AsynchronousSGD(lr=0.03),
            networks.asynchronous(SERVER, speed=clocks.Exponential(SPEEDS)),
            partial(reference.asynchronous_sgd, lr=0.03, adaptive=True),
        ),
        (
            A.FedAsync(lr=0.1, local_steps=3, mixing=0.3, rho=0.1),
            networks.asynchronous(SERVER, speed=clocks.LogNormal(SPEEDS, spread=0.7)),
            partial(
                reference.fedasync, lr=0.1, local_steps=3, alpha=0.3, rho=0.1, weight=lambda tau: (tau + 1) ** -0.5
            ),
        ),
        (
            A.FedBuff(lr=0.1, local_steps=3, buffer_size=4, outer_lr=0.5, exponent=0.5),
            networks.asynchronous(SERVER, speed=clocks.Trace(np.random.default_rng(0).uniform(0.5, 3, (N, 50)))),
            partial(reference.fedbuff, lr=0.1, local_steps=3, size=4, outer_lr=0.5, exponent=0.5),
        ),
        (
            A.RennalaSGD(lr=0.3, batch_size=4),
            networks.asynchronous(SERVER, speed=TIES),
            partial(reference.rennala_sgd, lr=0.3, batch=4),
        ),
        (
            A.RennalaSGD(lr=0.3, batch_size=5),
            networks.asynchronous(SERVER, speed=clocks.Exponential(SPEEDS), latency=0.1),
            partial(reference.rennala_sgd, lr=0.3, batch=5, latency=0.1),
        ),
        (
            A.RingmasterASGD(lr=0.1, threshold=8),
            networks.asynchronous(SERVER, speed=clocks.Exponential(SPEEDS)),
            partial(reference.ringmaster_asgd, lr=0.1, threshold=8),
        ),
    ],
    ids=lambda a: type(a).__name__ if dataclasses.is_dataclass(a) else "",
)
@pytest.mark.thinned(2)
def test_a_method_of_a_server_is_a_queue_of_events(method, network, again):
    found, _, spent = testing.trajectory(method, quadratic(0.5), network, rounds=EVENTS, x0=X0, seed=SEED)
    grad = gradients(quadratic(0.5), KEYS.data, 3 * EVENTS)
    path, times = again(durations(network), grad, X0, EVENTS)
    np.testing.assert_allclose(found["seconds"], times, rtol=1e-13)
    np.testing.assert_allclose(found[".x"][:, 0], path, **CLOSE)
    assert len(np.unique(path, axis=0)) > EVENTS / 10  # it moved
    steps = method.local_steps if isinstance(method, A.FedAsync | A.FedBuff) else 1
    one = [spent.grads / steps, spent.vectors, spent.rounds_present, spent.bits / 32 / D, spent.bits_down / 32 / D]
    np.testing.assert_allclose(one, np.tile(np.arange(EVENTS + 1) / N, (5, 1)))  # an event costs what one spends


@pytest.mark.parametrize(
    ("method", "again"),
    [
        (A.ADPSGD(lr=0.1), reference.ad_psgd),
        (A.A2CiD2(lr=0.1, eta=0.4, alpha=1.3), partial(reference.a2cid2, eta=0.4, alpha=1.3)),
    ],
    ids=lambda a: type(a).__name__ if dataclasses.is_dataclass(a) else "",
)
def test_averaging_in_pairs_is_a_queue_of_events(method, again):
    network = networks.asynchronous(nx.lollipop_graph(4, 2), speed=clocks.Exponential(SPEEDS), latency=0.1)
    x0 = np.random.default_rng(0).standard_normal((N, D))
    found, _, spent = testing.trajectory(method, quadratic(0.5), network, rounds=EVENTS, x0=x0, seed=SEED)
    met = jax.vmap(jax.vmap(partial(network.met, KEYS.network), (None, 0)), (0, None))
    meets = np.asarray(met(jnp.arange(N), jnp.arange(EVENTS + 1)))
    grad = gradients(quadratic(0.5), KEYS.data, EVENTS)
    path, times = again(durations(network), meets, grad, x0, EVENTS, lr=0.1, latency=0.1)
    np.testing.assert_allclose(found["seconds"], times, rtol=1e-13)
    np.testing.assert_allclose(found[".x"], path, **CLOSE)
    arcs = 2 * nx.lollipop_graph(4, 2).number_of_edges()
    np.testing.assert_allclose(spent.vectors[-1] * arcs, 2 * EVENTS)  # one each way
    np.testing.assert_allclose(spent.grads[-1] * N, EVENTS)
    for i, neighbours in nx.lollipop_graph(4, 2).adjacency():  # uniformly, and neighbours alone
        share = np.bincount(meets[i], minlength=N) / meets[i].size
        np.testing.assert_allclose(share[list(neighbours)], 1 / len(neighbours), atol=0.05)
        assert share[list(neighbours)].sum() == pytest.approx(1)


# A2CiD2.

LONG = networks.asynchronous(networks.ring(32), speed=clocks.Exponential(1.0))
STILL = problems.Quadratic(jnp.zeros((32, 2)), jnp.zeros((32, 2)), 0.0)  # no gradients
APART = np.random.default_rng(1).standard_normal((32, 2))
BETWEEN = theory.momentum_between(LONG)


def test_without_flow_a2cid2_is_ad_psgd():
    network = networks.asynchronous(UNDIRECTED, speed=clocks.Exponential(SPEEDS))
    how = {"rounds": 200, "x0": X0, "seed": SEED}
    one = testing.trajectory(A.A2CiD2(lr=0.1, eta=0.0, alpha=0.7), quadratic(0.5), network, **how).states
    two = testing.trajectory(A.ADPSGD(lr=0.1), quadratic(0.5), network, **how).states
    for name in (".x", ".start", ".began", ".k"):
        np.testing.assert_allclose(one[name], two[name], **CLOSE)


def test_flowing_and_meeting_keep_the_mean():
    method = A.A2CiD2(lr=0.1, eta=BETWEEN.eta, alpha=BETWEEN.alpha)
    found = testing.trajectory(method, STILL, LONG, rounds=EVENTS, x0=APART).states
    total = (found[".x"] + found[".y"]).sum(axis=1)  # which the flow does not change
    np.testing.assert_allclose(total, np.tile(2 * APART.sum(axis=0), (EVENTS + 1, 1)), **CLOSE)
    late = (found["seconds"][:, None] - found[".last"])[..., None]
    now = (found[".x"] + found[".y"]) / 2 + np.exp(-2 * BETWEEN.eta * late) * (found[".x"] - found[".y"]) / 2
    np.testing.assert_allclose(now.sum(axis=1), np.tile(APART.sum(axis=0), (EVENTS + 1, 1)), **CLOSE)


def test_the_momentum_agrees_faster_on_a_ring_as_theory_says():
    spent = {"rounds": 32 * 50, "every": 32, "seeds": 8, "x0": APART, "metrics": ["consensus"], "progress": False}
    apart = {}
    for method in (A.ADPSGD(lr=0.1), A.A2CiD2(lr=0.1, eta=BETWEEN.eta, alpha=BETWEEN.alpha)):
        found = sweep(method, STILL, LONG, **spent).isel(round=slice(15, None))
        seconds, consensus = (a.mean("seed").values.ravel() for a in (found.seconds, found.consensus))
        slope, _ = np.polyfit(seconds, np.log(consensus), 1)
        apart[type(method).__name__] = -slope
    promised = (BETWEEN.chi_1 / BETWEEN.chi_2) ** 0.5  # 7.3, of means over realizations; squares fall 4.7 times faster
    assert apart["A2CiD2"] > promised / 2 * apart["ADPSGD"]
    assert apart["A2CiD2"] < 1 / (BETWEEN.chi_1 * BETWEEN.chi_2) ** 0.5  # the square of the slowest mean
    np.testing.assert_allclose(apart["ADPSGD"], 1 / BETWEEN.chi_1, rtol=0.15)


@pytest.mark.parametrize("speed", [2.0, SPEEDS], ids=["alike", "unlike"])
def test_chi_are_what_their_definitions_say(speed):
    graph, latency = nx.lollipop_graph(4, 2), 0.1
    found = theory.momentum_between(networks.asynchronous(graph, speed=clocks.LogNormal(speed), latency=latency))
    rate, L = 1 / (1 / np.broadcast_to(speed, N) + latency), np.zeros((N, N))
    for i, j in graph.edges:
        e = np.eye(N)[i] - np.eye(N)[j]
        L += (rate[i] / graph.degree[i] + rate[j] / graph.degree[j]) * np.outer(e, e)
    resistance = [np.linalg.pinv(L)[[i, j, i, j], [i, j, j, i]] @ [1, 1, -1, -1] for i, j in graph.edges]
    np.testing.assert_allclose(found.chi_1, 1 / np.linalg.eigvalsh(L)[1])
    np.testing.assert_allclose(found.chi_2, max(resistance) / 2)
    np.testing.assert_allclose(found.eta, 0.5 / np.sqrt(found.chi_1 * found.chi_2))
    np.testing.assert_allclose(found.alpha, 0.5 * np.sqrt(found.chi_1 / found.chi_2))
    assert found.chi_2 <= found.chi_1


def test_swift_is_a_queue_of_events():
    network = networks.asynchronous(UNDIRECTED, speed=clocks.Exponential(SPEEDS), hears="all")
    x0 = np.random.default_rng(0).standard_normal((N, D))
    method = A.SWIFT(lr=0.1, period=2)
    found, _, spent = testing.trajectory(method, quadratic(0.5), network, rounds=EVENTS, x0=x0, seed=SEED)
    grad, W = gradients(quadratic(0.5), KEYS.data, EVENTS), np.asarray(UNDIRECTED.W.dense())
    path, times = reference.swift(durations(network), W, grad, x0, EVENTS, lr=0.1, period=2)
    np.testing.assert_allclose(found["seconds"], times, rtol=1e-13)
    np.testing.assert_allclose(found[".x"], path, **CLOSE)
    degree, ended = np.count_nonzero(W, axis=1) - 1, np.asarray(found[".count"][-1])
    np.testing.assert_allclose(spent.vectors[-1] * degree.sum(), ended // 2 @ degree)


def test_rennala_with_equal_speeds_and_a_batch_of_all_is_sgd():
    rounds, network = 40, networks.asynchronous(SERVER, speed=3.0)
    event = testing.trajectory(A.RennalaSGD(lr=0.3, batch_size=N), quadratic(0), network, rounds=rounds * N, x0=X0)
    round = testing.trajectory(A.SGD(lr=0.3), quadratic(0), SERVER, rounds=rounds, x0=X0)
    np.testing.assert_allclose(event.states[".x"][::N], round.states[".x"], **CLOSE)
    np.testing.assert_allclose(event.states["seconds"][::N], np.arange(rounds + 1) / 3)
    for entry in ("grads", "vectors", "bits", "bits_down"):
        np.testing.assert_allclose(getattr(event.cost, entry)[::N], getattr(round.cost, entry))


def test_late_models_and_gradients_weigh_less():
    tau, method = jnp.asarray([0.0, 4.0, 5.0]), A.FedAsync(lr=0.1, local_steps=1)
    weights = {"constant": [1, 1, 1], "polynomial": [1, 5**-0.5, 6**-0.5], "hinge": [1, 1, 1 / 11]}
    for form, expected in weights.items():
        found = dataclasses.replace(method, form=form, a=10.0 if form == "hinge" else 0.5).weight(tau)
        np.testing.assert_allclose(found, expected)


def test_events_have_times_and_gradients_an_age():
    metrics = ["loss", "staleness"]
    network = networks.asynchronous(SERVER)  # all nodes end together, and take their turns
    found = run(A.AsynchronousSGD(lr=0.1), quadratic(0), network, rounds=5 * N, every=N, metrics=metrics).to_xarray()
    np.testing.assert_allclose(found.seconds, np.arange(6))
    np.testing.assert_allclose(found.staleness[1:], (N - 1) / 2)
    np.testing.assert_allclose(found.max_staleness[1:], N - 1)
    assert set(found.data_vars) == {"loss", "staleness", "max_staleness"}
    plain = run(A.SGD(lr=0.1), quadratic(0), SERVER, rounds=2, metrics=metrics).to_xarray()
    assert set(plain.data_vars) == {"loss"}
    assert "seconds" not in plain.coords


def test_a_speed_is_swept_and_the_others_keep_their_times():
    network = networks.asynchronous(SERVER, speed=clocks.Exponential(SPEEDS))
    slower = networks.asynchronous(SERVER, speed=clocks.Exponential(np.where(np.arange(N) == 2, 0.5, SPEEDS)))
    others = np.arange(N) != 2
    one, two = durations(network, 50), durations(slower, 50)
    np.testing.assert_array_equal(one[others], two[others])
    np.testing.assert_allclose(two[2], one[2] * 1.2 / 0.5)
    rates = [2.0, 4.0]
    alike = networks.asynchronous(SERVER, speed=clocks.Exponential(1.0))
    how, over = {"rounds": 20, "metrics": ["loss"]}, {"network.speed.rate": rates}
    found = sweep(A.AsynchronousSGD(lr=0.1), quadratic(0.5), alike, over=over, seeds=2, progress=False, **how)
    two, four = (found.seconds.isel({"network.speed.rate": k}) for k in (0, 1))
    np.testing.assert_allclose(two, 2 * four)  # the same draws: twice the speed is half the time
    alike = dataclasses.replace(alike, speed=clocks.Exponential(4.0))
    single = run(A.AsynchronousSGD(lr=0.1), quadratic(0.5), alike, seed=1, **how)
    np.testing.assert_allclose(four.sel(seed=1), single.to_xarray().seconds)
    np.testing.assert_allclose(found.loss.isel({"network.speed.rate": 1}).sel(seed=1), single.metrics["loss"])


def test_a_run_goes_on_between_two_events(tmp_path):
    network = networks.asynchronous(networks.ring(N), speed=clocks.LogNormal(SPEEDS))
    go = partial(run, A.ADPSGD(lr=0.1), quadratic(0.5), network, metrics=["loss"])
    go(rounds=20, checkpoint=tmp_path, checkpoint_every=5)
    resumed, whole = go(rounds=40, checkpoint=tmp_path, checkpoint_every=5), go(rounds=40)
    for name in ("loss", "seconds"):
        np.testing.assert_array_equal(resumed.metrics[name], whole.metrics[name])


@pytest.mark.parametrize(
    ("model", "variance"),
    [
        (clocks.Fixed(4.0), 0.0),
        (clocks.Exponential(4.0), 1.0),
        (clocks.LogNormal(4.0, spread=0.5), np.expm1(0.25)),
        (clocks.Trace(np.tile([0.125, 0.375], (N, 1))), 0.25),
    ],
    ids=lambda a: type(a).__name__,
)
def test_computations_take_one_over_the_rate_on_average(model, variance):
    times = 4 * durations(networks.asynchronous(SERVER, speed=model), 4000)
    np.testing.assert_allclose(times.mean(axis=1), 1, atol=0.06)
    np.testing.assert_allclose(times.var(), variance, rtol=0.1)
    np.testing.assert_allclose(model.rates(N), 4)


def test_what_cannot_run_asynchronously_is_told_what_does():
    server, ring = networks.asynchronous(SERVER), networks.asynchronous(networks.ring(N))
    with pytest.raises(ValueError, match=r"SGD cannot run asynchronously.*for AsynchronousSGD, FedAsync, .*Ringmaster"):
        run(A.SGD(lr=0.1), quadratic(0), server, rounds=1)
    with pytest.raises(ValueError, match=r"DSGD cannot run asynchronously.*This network is for A2CiD2, ADPSGD$"):
        run(A.DSGD(lr=0.1), quadratic(0), ring, rounds=1, strict=False)
    with pytest.raises(ValueError, match=r'SWIFT needs an asynchronous graph with hears="all"'):
        run(A.SWIFT(lr=0.1), quadratic(0), ring, rounds=1, strict=False)
    with pytest.raises(ValueError, match=r"ADPSGD needs a doubly stochastic W .*This network is for SWIFT"):
        run(A.ADPSGD(lr=0.1), quadratic(0), networks.asynchronous(networks.ring(N), hears="all"), rounds=1)
    with pytest.raises(ValueError, match=r"FedBuff needs a server .*ADPSGD"):
        run(A.FedBuff(lr=0.1, local_steps=1), quadratic(0), ring, rounds=1)
    with pytest.raises(ValueError, match=r"ADPSGD needs an asynchronous network .*networks.asynchronous\("):
        run(A.ADPSGD(lr=0.1), quadratic(0), networks.ring(N), rounds=1)


def asynchronous(what=SERVER, **how):
    return lambda: networks.asynchronous(what, **how)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (asynchronous(speed=[1.0, -1.0, 1, 1, 1, 1]), ValueError, "positive.*node 1 is not"),
        (asynchronous(SERVER, speed=clocks.Exponential(0.0)), ValueError, "positive"),
        (asynchronous(SERVER, speed=np.inf), ValueError, "finite and positive"),
        (asynchronous(SERVER, speed=[1.0, 2.0]), ValueError, r"each of the 6 nodes.*shape \(2,\)"),
        (asynchronous(SERVER, speed="fast"), TypeError, "clocks.Exponential"),
        (asynchronous(SERVER, speed=True), TypeError, "clocks.Exponential"),
        (
            asynchronous(SERVER, speed=clocks.Trace(np.ones((5, 9)))),
            ValueError,
            r"\(6, count\).*\(5, 9\)",
        ),
        (asynchronous(SERVER, speed=clocks.Trace(np.ones(6))), ValueError, r"\(6, count\)"),
        (asynchronous(SERVER, speed=clocks.Trace(np.zeros((6, 2)))), ValueError, "positive"),
        (asynchronous(SERVER, speed=clocks.LogNormal(1.0, spread=-1.0)), ValueError, "spread"),
        (asynchronous(SERVER, speed=clocks.Trace([[1.0]] * 5 + [[1.0, 2.0]])), ValueError, "rows of equally many"),
        (asynchronous(SERVER, speed=[1.0, 2.0, "fast"]), ValueError, "speed is a list of numbers"),
        (asynchronous(SERVER, hears="all"), ValueError, "of graphs"),
        (asynchronous(SERVER, latency=-1.0), ValueError, "latency.*not negative"),
        (asynchronous(networks.ring(N), hears="some"), ValueError, "hears is one of 'one', 'all'"),
        (asynchronous(SERVER, latency=[1.0]), ValueError, "latency"),
        (asynchronous(networks.server(N, cohort=2)), ValueError, "without participation and cohort"),
        (asynchronous(networks.directed_ring(N)), ValueError, "undirected"),
        (asynchronous(networks.random_matchings(N)), ValueError, "does not change.*not Varying"),
        (asynchronous(networks.lossy(networks.ring(N), 0.1)), ValueError, "not Lossy"),
        (
            lambda: networks.lossy(networks.asynchronous(networks.ring(N)), 0.1),
            ValueError,
            "wraps a network of a graph",
        ),
        (lambda: A.A2CiD2(lr=0.1, eta=-1.0, alpha=1.0).check(), ValueError, r"A2CiD2\.eta"),
        (lambda: A.A2CiD2(lr=0.1, eta=1.0, alpha=np.inf).check(), ValueError, r"A2CiD2\.alpha"),
        (lambda: theory.momentum_between(networks.ring(N)), ValueError, "in pairs on networks.asynchronous"),
        (lambda: theory.momentum_between(asynchronous(SERVER)()), ValueError, "in pairs"),
        (lambda: theory.momentum_between(asynchronous(networks.ring(N), hears="all")()), ValueError, "in pairs"),
        (lambda: A.SWIFT(lr=0.1, period=0).check(), ValueError, "period"),
        (lambda: A.RennalaSGD(lr=0.1, batch_size=0).check(), ValueError, "batch_size"),
        (lambda: A.RingmasterASGD(lr=0.1, threshold=1.5).check(), ValueError, "threshold"),
        (lambda: A.FedAsync(lr=0.1, local_steps=1, mixing=0.0).check(), ValueError, "mixing"),
        (lambda: A.FedAsync(lr=0.1, local_steps=1, b=-1.0).check(), ValueError, r"FedAsync\.b"),
        (lambda: A.FedBuff(lr=0.1, local_steps=1, exponent=-1.0).check(), ValueError, "exponent"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(make, error, says):
    with pytest.raises(error, match=says):
        make()


def test_speeds_that_were_changed_are_checked_when_they_run():
    network = dataclasses.replace(networks.asynchronous(SERVER), speed=clocks.Fixed(-1.0))
    with pytest.raises(ValueError, match="positive"):
        run(A.AsynchronousSGD(lr=0.1), problems.quadratic(N, D), network, rounds=1)


def test_lists_are_arrays_and_a_file_may_ask_for_clocks(tmp_path):
    file = tmp_path / "events.toml"
    file.write_text(
        "rounds = 2\n[algorithm]\ntype = 'AsynchronousSGD'\nlr = 0.1\n[problem]\ntype = 'quadratic'\nn = 2\nd = 3\n"
        "[network]\ntype = 'asynchronous'\nnetwork = {type = 'server', n = 2}\n"
        "speed = {type = 'Exponential', rate = [1.0, 0.5]}"
    )
    network = from_toml(file)["networks"]
    np.testing.assert_array_equal(network.speed.rate, [1.0, 0.5])
    run(A.AsynchronousSGD(lr=0.1), problems.quadratic(2, 3), network, rounds=2, metrics=["loss"])
