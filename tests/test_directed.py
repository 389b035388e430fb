"""Methods for directed graphs and methods with compressed gossip: the references, what is conserved, where they go."""

import dataclasses
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rounds
from cases import UNDIRECTED, X0, D, N, gradients, quadratic
from reference import directed as reference
from rounds import round_of

import jaxdec
from jaxdec import algorithms as A
from jaxdec import compressors as C
from jaxdec import graphs, networks, testing

pytestmark = pytest.mark.sampled(14)

CLOSE = {"rtol": 0, "atol": 1e-12}
ROUNDS, SHORT = 2000, 20  # one length, so that a method is compiled once; references are compared over the first 20
START = np.random.default_rng(5).standard_normal((N, D))
MEAN = START.mean(axis=0)
MINIMIZER = np.asarray(quadratic(0.0).minimizer)

DIGRAPH = graphs.random_digraph(N, 0.2)
PUSH = networks.static(DIGRAPH, weights="column_stochastic")
PAIR = networks.push_pull(DIGRAPH)
BALANCED = networks.directed_ring(N)  # doubly stochastic, not symmetric
SWITCHING = networks.periodic([graphs.random_digraph(N, 0.1, seed=s) for s in range(3)], weights="column_stochastic")

FINE, TOP, KEPT = C.Quantization(levels=50), C.TopK(k=2), C.Scaled(C.RandP(p=0.6))
FEW = C.RandK(k=2)
PUSH_SUM, SGP, PUSH_DIGING = A.PushSumGossip(), A.StochasticGradientPush(lr=0.1), A.PushDIGing(lr=0.05)
QPS_GOSSIP, QPS_SGD = A.QuantizedPushSumGossip(FINE), A.QuantizedPushSum(lr=0.1, compressor=FINE)
PULLED, PULLED_CTA = A.AB(lr=0.1), A.AB(lr=0.1, form="cta")
CHOCO_GOSSIP = A.ChocoGossip(consensus_lr=0.6, compressor=C.TopK(k=1))
CHOCO_SGD = A.ChocoSGD(lr=0.1, consensus_lr=0.6, compressor=TOP)


@cache
def result(method: Any, network: Any, noise: float = 0.5, same_start: bool = False) -> Any:
    x0 = X0 if same_start else START
    return testing.trajectory(method, quadratic(noise), network, rounds=ROUNDS, x0=x0, seed=7)


def states(method: Any, network: Any, *options: Any) -> dict[str, np.ndarray]:
    """Every array of the state in every round."""
    return {name.strip("."): array for name, array in result(method, network, *options).states.items()}


def first(method: Any, network: Any, *options: Any) -> dict[str, np.ndarray]:
    return {k: v[: SHORT + 1] for k, v in states(method, network, *options).items()}


KEYS = rounds.keys(7)
GRAD = gradients(quadratic(0.5), KEYS.data, SHORT + 1)


def key_of_message(t: int):
    return rounds.fold(rounds.keys_of(KEYS, t)[1], "message")


def messages(compressor: Any):
    """What node i sends for v in round t, drawn as `run` draws it: for the references."""
    compress = jax.jit(lambda key, x: compressor(key, x, (D,)).value)
    return lambda t, i, v: np.asarray(compress(key_of_message(t), np.where(np.arange(N)[:, None] == i, v, 0.0)))[i]


# Twenty rounds against the loops over nodes. Those of methods with masses return the numerators as well.

REFERENCES = [
    (PUSH_SUM, PUSH, reference.push_sum_gossip, {}),
    (SGP, PUSH, reference.push_sum_sgd, {"grad": GRAD, "lr": 0.1}),
    (PUSH_DIGING, PUSH, reference.push_diging, {"grad": GRAD, "lr": 0.05}),
    (QPS_GOSSIP, PUSH, reference.qps_gossip, {"quantize": messages(FINE)}),
    (A.QuantizedPushSumGossip(FEW), PUSH, reference.qps_gossip, {"quantize": messages(FEW)}),
    (QPS_SGD, PUSH, reference.qps_sgd, {"grad": GRAD, "lr": 0.1, "quantize": messages(FINE)}),
    (A.DirectlyQuantizedPushSum(FINE), PUSH, reference.direct_quantized_push_sum, {"quantize": messages(FINE)}),
    (PULLED, PAIR, reference.ab_push_pull, {"grad": GRAD, "lr": 0.1, "form": "atc"}),
    (PULLED_CTA, PAIR, reference.ab_push_pull, {"grad": GRAD, "lr": 0.1, "form": "cta"}),
    (CHOCO_GOSSIP, UNDIRECTED, reference.choco_gossip, {"consensus_lr": 0.6, "compress": messages(C.TopK(k=1))}),
    (
        A.ChocoSGD(lr=0.1, consensus_lr=0.6, compressor=KEPT), UNDIRECTED, reference.choco_sgd,
        {"grad": GRAD, "lr": 0.1, "consensus_lr": 0.6, "compress": messages(KEPT)},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("method", "network", "loop", "options"), REFERENCES)
@pytest.mark.thinned(2)
def test_twenty_rounds_equal_the_loop_over_nodes(method, network, loop, options):
    Ws = [np.asarray(W.dense()) for W in (network.W if network is PAIR else [network.W])]
    expected = loop(*Ws, x0=START, rounds=SHORT, **options)
    x, numerators = expected if isinstance(expected, tuple) else (expected, None)
    found = first(method, network)
    np.testing.assert_allclose(found["x"], x, **CLOSE)
    if numerators is not None:
        np.testing.assert_allclose(found["u"], numerators, **CLOSE)


# What is conserved.

ANY = [
    C.Identity(), C.Quantization(levels=1), C.Quantization(levels=2, norm="linf"), C.RandK(k=1), C.RandP(p=0.5),
    C.TopK(k=1), C.ScaledSign(), C.Scaled(C.RandK(k=1)),
]  # fmt: skip


@pytest.mark.parametrize("compressor", ANY, ids=lambda c: type(c).__name__)
def test_communication_conserves_the_sum_for_every_compressor(compressor):
    for method, network, field in (
        (A.QuantizedPushSumGossip(compressor), PUSH, "u"),
        (A.QuantizedGossip(consensus_lr=jnp.asarray(0.9), compressor=compressor), UNDIRECTED, "x"),
        (A.ChocoGossip(consensus_lr=jnp.asarray(0.9), compressor=compressor), UNDIRECTED, "x"),
    ):
        round_ = round_of(network, N, key=KEYS.init, key_data=KEYS.data)
        state, _ = method.init(quadratic(0.0), jnp.asarray(START), round_)
        for t in range(3):
            state, _ = method.step(quadratic(0.0), state, dataclasses.replace(round_, key=key_of_message(t)))
        x = np.asarray(getattr(state, field))
        assert np.abs(x - START).max() > 1e-2
        np.testing.assert_allclose(x.sum(axis=0), START.sum(axis=0), rtol=0, atol=1e-14 * np.abs(x).max() * N)


@pytest.mark.parametrize("method", [SGP, A.QuantizedPushSum(lr=0.1, compressor=FEW)], ids=lambda m: type(m).__name__)
def test_the_sum_of_numerators_moves_by_the_gradients_alone(method):
    found = first(method, PUSH)
    steps = np.array([[0.1 * GRAD(i, found["x"][t + 1, i], t) for i in range(N)] for t in range(SHORT)])
    np.testing.assert_allclose(np.diff(found["u"].sum(axis=1), axis=0), -steps.sum(axis=1), **CLOSE)
    assert np.abs(steps).max() > 0.1


@pytest.mark.parametrize(("method", "field"), [(PUSH_SUM, "y"), (QPS_GOSSIP, "y"), (SGP, "y"), (PUSH_DIGING, "v")])
def test_masses_are_positive_and_sum_to_n(method, field):
    y, W = states(method, PUSH)[field], np.asarray(PUSH.W.dense())
    np.testing.assert_allclose(y.sum(axis=1), N, **CLOSE)
    np.testing.assert_allclose(y[SHORT], np.linalg.matrix_power(W, SHORT) @ np.ones(N), **CLOSE)
    assert y.min() > 0
    assert np.abs(y - 1).max() > 0.1


@pytest.mark.parametrize(("method", "network"), [(PUSH_DIGING, PUSH), (PULLED, PAIR), (PULLED_CTA, PAIR)])
def test_trackers_follow_the_mean_gradient(method, network):
    found = states(method, network)
    np.testing.assert_allclose(found["y"].sum(axis=1), found["g"].sum(axis=1), **CLOSE)


# What the methods reduce to.


def test_without_compression_quantized_push_sum_is_push_sum():
    for quantized, exact in (
        (A.QuantizedPushSum(lr=0.1, compressor=C.Identity()), SGP),
        (A.QuantizedPushSumGossip(C.Identity()), PUSH_SUM),
        (A.DirectlyQuantizedPushSum(C.Identity()), PUSH_SUM),
    ):
        found, expected = states(quantized, PUSH), states(exact, PUSH)
        for field in ("x", "u", "y"):
            np.testing.assert_allclose(found[field], expected[field], **CLOSE)


def test_doubly_stochastic_weights_keep_all_masses_at_one():
    for method in (PUSH_SUM, QPS_GOSSIP, SGP):
        np.testing.assert_allclose(states(method, BALANCED)["y"], 1, **CLOSE)


def test_on_doubly_stochastic_weights_push_sum_sgd_is_dsgd_a_round_later():
    pushed, dsgd = (states(method, BALANCED, 0.5, True)["x"] for method in (SGP, A.DSGD(lr=0.1)))
    np.testing.assert_allclose(pushed[1:], dsgd[:-1], **CLOSE)


@pytest.mark.slow
def test_on_doubly_stochastic_weights_trackers_are_gradient_tracking():
    pair = networks.push_pull(BALANCED.W)
    semi_atc, cta = (first(A.GradientTracking(lr=0.1, form=form), BALANCED)["x"] for form in ("semi-atc", "cta"))
    np.testing.assert_allclose(first(A.PushDIGing(lr=0.1), BALANCED)["x"], semi_atc, **CLOSE)
    np.testing.assert_allclose(first(PULLED, pair)["x"], semi_atc, **CLOSE)
    np.testing.assert_allclose(first(PULLED_CTA, pair)["x"], cta, **CLOSE)


@pytest.mark.parametrize(
    "method", [SGP, A.QuantizedPushSum(lr=0.1, compressor=C.Identity())], ids=lambda m: type(m).__name__
)
def test_on_the_complete_graph_it_is_minibatch_sgd(method):
    found, x = first(method, networks.complete(N))["x"], MEAN
    for t in range(SHORT):
        np.testing.assert_allclose(found[t + 1], np.tile(x, (N, 1)), **CLOSE)
        x = x - 0.1 * np.mean([GRAD(i, x, t) for i in range(N)], axis=0)


def test_choco_without_compression_is_dsgd_and_exact_gossip():
    choco = A.ChocoSGD(lr=0.1, consensus_lr=1.0, compressor=C.Identity())
    np.testing.assert_allclose(states(choco, UNDIRECTED)["x"], states(A.DSGD(lr=0.1), UNDIRECTED)["x"], **CLOSE)
    W = np.asarray(UNDIRECTED.W.dense())
    exact = [np.linalg.matrix_power(W, t) @ START for t in range(SHORT + 1)]
    for method in (
        A.ChocoGossip(consensus_lr=1.0, compressor=C.Identity()),
        A.QuantizedGossip(compressor=C.Identity()),
    ):
        np.testing.assert_allclose(first(method, UNDIRECTED)["x"], exact, **CLOSE)


# Where they go.


@pytest.mark.parametrize(
    ("method", "network"),
    [
        (PUSH_SUM, PUSH), (PUSH_SUM, SWITCHING), (QPS_GOSSIP, PUSH), (QPS_GOSSIP, networks.one_peer_exponential(N)),
        (CHOCO_GOSSIP, UNDIRECTED),
    ],
)  # fmt: skip
def test_gossip_finds_the_mean_and_takes_no_gradients(method, network):
    np.testing.assert_allclose(states(method, network)["x"][-1], np.tile(MEAN, (N, 1)), **CLOSE)
    assert result(method, network).cost.grads[-1] == 0


def test_directly_compressed_gossip_does_not_find_the_mean():
    direct = A.QuantizedGossip(consensus_lr=1.0, compressor=C.RandP(p=0.6))
    errors = np.abs(states(direct, UNDIRECTED)["x"] - MEAN).max(axis=(1, 2))
    assert errors[500:].min() > 1e-2
    differences = A.ChocoGossip(consensus_lr=1.0, compressor=KEPT)
    assert np.abs(states(differences, UNDIRECTED)["x"][-1] - MEAN).max() < 1e-12
    pushed = states(A.DirectlyQuantizedPushSum(FINE), PUSH)
    drift = np.abs(pushed["u"].sum(axis=1) - START.sum(axis=0)).max(axis=1)[500:]
    assert np.median(drift) > 0.1  # a random walk, which may pass by where it began


def test_where_column_stochastic_weights_change_numerators_keep_moving_and_so_does_the_error_of_quantization():
    found = states(QPS_GOSSIP, SWITCHING)
    assert np.abs(found["x"] - MEAN).max(axis=(1, 2))[500:].min() > 1e-5
    assert np.abs(np.diff(found["u"], axis=0)).max(axis=(1, 2))[500:].min() > 1e-2


@pytest.mark.parametrize(
    ("method", "network"), [(PUSH_DIGING, PUSH), (PUSH_DIGING, SWITCHING), (PULLED, PAIR), (PULLED_CTA, PAIR)]
)
def test_trackers_reach_the_minimizer_of_heterogeneous_quadratics(method, network):
    x = states(method, network, 0.0)["x"]
    assert np.abs(x[-1] - MINIMIZER).max() < 1e-12
    assert np.abs(x[0] - MINIMIZER).max() > 1


@pytest.mark.parametrize(("method", "network"), [(SGP, PUSH), (QPS_SGD, PUSH), (CHOCO_SGD, UNDIRECTED)])
def test_methods_without_tracking_stall_at_a_distance_of_the_order_of_their_step(method, network):
    slower = dataclasses.replace(method, lr=0.01)
    far, near = (np.abs(states(m, network, 0.0)["x"][-1] - MINIMIZER).max() for m in (method, slower))
    assert far > 1e-2
    assert near < 0.3 * far


# What is sent, and what is refused.


@pytest.mark.parametrize(
    ("method", "network", "vectors", "bits"),
    [
        (PUSH_SUM, PUSH, 1, 32 * (D + 1)),
        (SGP, PUSH, 1, 32 * (D + 1)),
        (PUSH_DIGING, PUSH, 2, 32 * (2 * D + 1)),
        (PULLED, PAIR, 2, 32 * 2 * D),
        (QPS_GOSSIP, PUSH, 1, 32 + np.ceil(D * np.log2(101)) + 32),
        (QPS_SGD, PUSH, 1, 32 + np.ceil(D * np.log2(101)) + 32),
        (CHOCO_GOSSIP, UNDIRECTED, 1, 32 + 2),
    ],
)
def test_bits_are_those_of_the_messages_and_the_masses(method, network, vectors, bits):
    spent = result(method, network).cost
    np.testing.assert_array_equal(spent.bits, bits * np.arange(ROUNDS + 1))
    np.testing.assert_array_equal(spent.vectors, vectors * np.arange(ROUNDS + 1))


def test_bits_of_random_length_are_averaged_over_the_nodes():
    spent = np.diff(result(A.ChocoSGD(lr=0.1, consensus_lr=0.6, compressor=KEPT), UNDIRECTED).cost.bits)
    for t in range(5):
        np.testing.assert_allclose(spent[t], np.mean(KEPT(key_of_message(t), jnp.ones((N, D)), (D,)).bits), rtol=1e-12)
    assert np.ptp(spent) > 0


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (A.ChocoGossip(consensus_lr=0.4, compressor=C.RandP(p=0.5)), r"ChocoGossip needs a contractive.*Scaled\(RandP"),
        (A.ChocoSGD(lr=0.1, consensus_lr=0.4, compressor=FINE), r"ChocoSGD needs a contractive.*Scaled\(Quantization"),
        (A.ChocoSGD(lr=0.1, consensus_lr=-1.0, compressor=TOP), "ChocoSGD.consensus_lr is a step size"),
        (A.QuantizedPushSum(lr=0.1, compressor=C.TopK), "QuantizedPushSum needs a compressor.*got .*TopK"),
        (A.QuantizedPushSumGossip(C.RandP(p=1.5)), "RandP.p is a probability"),
        (A.QuantizedPushSum(lr=0.1, compressor=TOP), "QuantizedPushSum needs an unbiased compressor, and TopK is"),
        (A.QuantizedPushSumGossip(C.ScaledSign()), "QuantizedPushSumGossip needs an unbiased compressor, and Scaled"),
        (A.DirectlyQuantizedPushSum(abs), "DirectlyQuantizedPushSum needs a compressor.*abs"),
        (A.QuantizedGossip(compressor=None), "QuantizedGossip needs a compressor.*None"),
        (A.AB(lr=0.1, form="dtc"), "AB.form is one of 'atc', 'cta'; got 'dtc'"),
    ],
)
def test_settings_that_are_wrong_are_refused(method, message):
    with pytest.raises((ValueError, TypeError), match=message):
        jaxdec.run(method, quadratic(0.0), UNDIRECTED, rounds=1)
