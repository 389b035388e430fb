"""Compressed methods of graphs: the loops over nodes, what they conserve, what equals what, where they go."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rounds
from cases import UNDIRECTED, D, N, gradients, quadratic
from reference import compressed as reference
from reference import decentralized

from jaxdec import algorithms as A
from jaxdec import compressors as C
from jaxdec import graphs, networks, run, testing

pytestmark = pytest.mark.sampled(14)

CLOSE = {"rtol": 0, "atol": 1e-12}
ROUNDS, SHORT, FEW = (
    1500,
    20,
    6,
)  # one length, so that a method is compiled once; references are compared over the first 20
START = np.random.default_rng(5).standard_normal((N, D))
MINIMIZER = np.asarray(quadratic(0.0).minimizer)
GRADIENTS = np.asarray(quadratic(0.0).grad(jnp.tile(MINIMIZER, (N, 1))))
KEYS = rounds.keys(7)
GRAD = gradients(quadratic(0.5), KEYS.data, SHORT + 2)
W = np.asarray(UNDIRECTED.W.dense())
PAIR = networks.push_pull(graphs.random_digraph(N, 0.3))
RC = np.asarray(PAIR.W.R.dense()), np.asarray(PAIR.W.C.dense())

TWO_BITS = C.Quantization(levels=C.levels_for_bits(2), norm="linf")
SHORTER, TOP, EXACT = C.Scaled(TWO_BITS), C.TopK(k=1), C.Identity()
RATE = 1 / (2 * (float(TWO_BITS.omega((D,))) + 1))


@cache
def result(method: Any, network: Any = UNDIRECTED, noise: float = 0.5) -> Any:
    return testing.trajectory(method, quadratic(noise), network, rounds=ROUNDS, x0=START, seed=7)


def states(method: Any, network: Any = UNDIRECTED, noise: float = 0.5) -> dict[str, np.ndarray]:
    return {name.strip("."): array for name, array in result(method, network, noise).states.items()}


@cache
def eager(method: Any, network: Any = UNDIRECTED, count: int = SHORT) -> dict[str, np.ndarray]:
    """The first rounds, with noise, without compiling them, which takes longer."""
    with jax.disable_jit():
        found = testing.trajectory(method, quadratic(0.5), network, rounds=count, x0=START, seed=7)
    return {name.strip("."): array for name, array in found.states.items()}


def messages(compressor: Any, name: str):
    """What node i sends for v in round t, drawn as `run` draws it."""
    compress = jax.jit(lambda key, x: compressor(key, x, (D,)).value)
    key = lambda t: rounds.fold(rounds.keys_of(KEYS, t)[1], name)
    return lambda t, i, v: np.asarray(compress(key(t), np.where(np.arange(N)[:, None] == i, v, 0.0)))[i]


def pair(compressor: Any) -> dict[str, Any]:
    return {name: messages(compressor, name) for name in ("x", "y")}


# Twenty rounds against the loops over nodes.

STEPS = {"lr": 0.05, "consensus_lr": 0.8}
BEER = A.BEER(**STEPS, compressor=SHORTER)
MOTEF = A.MoTEF(**STEPS, compressor=TOP, momentum=0.6)
LEADS = {"lr": 0.2, "consensus_lr": 0.7}
LEAD = A.LEAD(**LEADS, compressor=TWO_BITS)
CGT = A.CGT(**STEPS, compressor=TWO_BITS)
CGT_TOP = A.CGT(**STEPS, compressor=TOP)
CPP = A.CPP(lr=0.05, consensus_lr=0.4, compressor=TWO_BITS)
SQUEEZE = A.DeepSqueeze(**STEPS, compressor=C.TopK(k=2))
DCD = A.DCDPSGD(lr=0.1, compressor=C.Quantization(levels=7, norm="linf"))
ECD = A.ECDPSGD(lr=0.1, compressor=C.Quantization(levels=50, norm="linf"))
LOOPS = [
    (BEER, W, reference.beer, {**STEPS, **pair(SHORTER)}),
    (MOTEF, W, reference.beer, {**STEPS, **pair(TOP), "momentum": 0.6}),
    (
        LEAD,
        W,
        reference.lead,
        {"lr": 0.2, "consensus_lr": 0.7, "alpha": RATE, "message": messages(TWO_BITS, "message")},
    ),
    (CGT, W, reference.cgt, {**STEPS, **pair(TWO_BITS), "alpha": RATE}),
    (CGT_TOP, W, reference.cgt, {**STEPS, **pair(TOP), "alpha": 1.0}),
    (CPP, RC, reference.cgt, {"lr": 0.05, "consensus_lr": 0.4, **pair(TWO_BITS), "alpha": RATE}),
    (SQUEEZE, W, reference.deep_squeeze, {**STEPS, "message": messages(C.TopK(k=2), "message")}),
    (DCD, W, reference.dcd_psgd, {"lr": 0.1, "message": messages(DCD.compressor, "message")}),
    (ECD, W, reference.ecd_psgd, {"lr": 0.1, "message": messages(ECD.compressor, "message")}),
]


@pytest.mark.parametrize(("method", "W", "loop", "options"), LOOPS, ids=lambda v: type(v).__name__)
def test_twenty_rounds_equal_the_loop_over_nodes(method, W, loop, options):
    found = eager(method, PAIR if isinstance(W, tuple) else UNDIRECTED)
    np.testing.assert_allclose(found["x"], loop(W, GRAD, START, SHORT, **options), **CLOSE)


# What is equal to what.


def test_beer_without_compression_is_gradient_tracking_once_everything_was_sent():
    mixed = np.eye(N) + 0.8 * (W - np.eye(N))
    for method in (A.BEER(**STEPS, compressor=EXACT), A.MoTEF(**STEPS, compressor=EXACT, momentum=0.0)):
        x = eager(method, count=FEW)["x"]
        later = lambda i, x, k: GRAD(i, x, k + 1)
        expected = decentralized.gradient_tracking(mixed, later, x[1], FEW - 1, lr=0.05, form="cta")
        np.testing.assert_allclose(x[1:], expected, **CLOSE)


def test_without_compression_each_method_is_what_it_compresses():
    once = {"lr": 0.1, "consensus_lr": 1.0, "compressor": EXACT}
    tracked = decentralized.gradient_tracking(W, GRAD, START, FEW, lr=0.1, form="cta")
    for method, expected in (
        (A.LEAD(lr=0.1, compressor=EXACT), decentralized.nids(W, GRAD, START, FEW, lr=0.1)),
        (A.LEAD(lr=0.1, compressor=EXACT, alpha=0.3), decentralized.nids(W, GRAD, START, FEW, lr=0.1)),
        (A.CGT(**once), tracked),
        (A.CGT(**once, alpha=0.7), tracked),
        (A.DeepSqueeze(**once), decentralized.dsgd(W, GRAD, START, FEW, lr=0.1, form="atc")),
        (A.DCDPSGD(lr=0.1, compressor=EXACT), decentralized.dsgd(W, GRAD, START, FEW, lr=0.1, form="cta")),
        (A.ECDPSGD(lr=0.1, compressor=EXACT), decentralized.dsgd(W, GRAD, START, FEW, lr=0.1, form="cta")),
    ):
        np.testing.assert_allclose(eager(method, count=FEW)["x"], expected, **CLOSE, err_msg=repr(method))
    np.testing.assert_allclose(
        eager(A.CPP(**once), PAIR, FEW)["x"], eager(A.AB(lr=0.1, form="cta"), PAIR, FEW)["x"], **CLOSE
    )


# What is conserved.


def test_trackers_have_the_mean_of_what_they_track_and_corrections_sum_to_zero():
    for method, network, tracked in (
        (BEER, UNDIRECTED, "g"),
        (MOTEF, UNDIRECTED, "m"),
        (CGT, UNDIRECTED, "g"),
        (CPP, PAIR, "g"),
    ):
        found = eager(method, network)
        np.testing.assert_allclose(found["y"].mean(axis=1), found[tracked].mean(axis=1), **CLOSE)
    for method in (BEER, MOTEF, CGT):
        found = eager(method)
        moved = np.diff(found["x"].mean(axis=1), axis=0)
        np.testing.assert_allclose(moved, -0.05 * found["y"].mean(axis=1)[:-1], **CLOSE)
    np.testing.assert_allclose(eager(LEAD)["c"].sum(axis=1), 0, atol=1e-12)
    x = eager(SQUEEZE)["x"]
    g = [np.mean([GRAD(i, x[t, i], t) for i in range(N)], axis=0) for t in range(SHORT)]
    np.testing.assert_allclose(np.diff(x.mean(axis=1), axis=0), -0.05 * np.array(g), **CLOSE)


# Where they go.


def error(method: Any, network: Any = UNDIRECTED) -> np.ndarray:
    return np.linalg.norm(states(method, network, 0.0)["x"] - MINIMIZER, axis=2).max(axis=1)


@pytest.mark.parametrize(
    ("method", "network"),
    [(BEER, UNDIRECTED), (MOTEF, UNDIRECTED), (LEAD, UNDIRECTED), (CGT, UNDIRECTED), (CPP, PAIR)],
    ids=lambda v: type(v).__name__,
)
def test_convergence_is_linear_through_two_bits_and_through_top_1(method, network):
    distance = error(method, network)[250::250]
    assert np.all((distance[1:] < 0.5 * distance[:-1]) | (distance[1:] < 1e-10)), distance
    assert distance[-1] < 1e-6


def test_choco_stalls_where_beer_and_lead_do_not():
    choco = A.ChocoSGD(**STEPS, compressor=SHORTER)
    assert error(choco)[500:].min() > 1e-2
    assert error(BEER)[-1] < 1e-6
    assert error(LEAD)[-1] < 1e-6


@pytest.mark.slow
def test_dcd_psgd_diverges_through_coarse_messages_where_choco_does_not():
    """On the ring the least eigenvalue is -1/3, and omega = 2 is four times (1 + λ) / (1 - λ)."""
    few, ring = C.RandK(k=1), networks.ring(N)
    ends = [
        run(method, quadratic(0.0), ring, rounds=400, x0=START, metrics=["distance"]).metrics["distance"][-1]
        for method in (A.DCDPSGD(lr=0.01, compressor=few), A.ChocoSGD(0.01, 0.2, C.Scaled(few)))
    ]
    assert not ends[0] < 1e3
    assert ends[1] < 1


@pytest.mark.slow
def test_lead_ends_at_the_minimizer_with_the_gradients_there_and_nothing_left_to_send():
    found = states(LEAD, UNDIRECTED, 0.0)
    np.testing.assert_allclose(found["c"][-1], -GRADIENTS, atol=1e-6)
    np.testing.assert_allclose(found["h"][-1], np.tile(MINIMIZER, (N, 1)), atol=1e-6)


# What it costs, and what is refused.


def test_what_is_sent_is_paid_for():
    two, top = 32 + np.ceil(D * np.log2(3)), 32 + 2  # a norm and signs of three kinds; a number and its place
    for method, network, vectors, bits in (
        (BEER, UNDIRECTED, 2, 2 * two), (MOTEF, UNDIRECTED, 2, 2 * top), (LEAD, UNDIRECTED, 1, two),
        (CGT, UNDIRECTED, 2, 2 * two), (CPP, PAIR, 2, 2 * two), (SQUEEZE, UNDIRECTED, 1, 2 * top),
        (DCD, UNDIRECTED, 1, 32 + np.ceil(D * np.log2(15))),
    ):  # fmt: skip
        with jax.disable_jit():
            cost = run(method, quadratic(0.5), network, rounds=3, x0=START, metrics=()).cost
        np.testing.assert_allclose(cost.vectors[-1], 3 * vectors)
        np.testing.assert_allclose(cost.bits[-1], 3 * bits, err_msg=repr(method))


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (A.BEER(**STEPS, compressor=TWO_BITS), r"BEER needs a contractive compressor.*Scaled\(Quantization"),
        (A.MoTEF(**STEPS, compressor=TWO_BITS, momentum=0.5), "MoTEF needs a contractive compressor"),
        (A.MoTEF(**STEPS, compressor=TOP, momentum=1.0), "MoTEF.momentum"),
        (A.LEAD(lr=0.1, compressor=TOP), "LEAD needs an unbiased compressor"),
        (A.DeepSqueeze(**STEPS, compressor=TWO_BITS), "DeepSqueeze needs a contractive compressor"),
        (A.DCDPSGD(lr=0.1, compressor=TOP), "DCDPSGD needs an unbiased compressor"),
        (A.ECDPSGD(lr=0.1, compressor=TOP), "ECDPSGD needs an unbiased compressor"),
    ],
)
def test_what_is_wrong_is_refused(method, message):
    with pytest.raises(ValueError, match=message):
        run(method, quadratic(0.0), UNDIRECTED, rounds=1)


def test_methods_that_keep_copies_need_every_message():
    lossy = networks.lossy(networks.ring(N), 0.1)
    for method in (BEER, MOTEF, LEAD, CGT, DCD, ECD):
        with pytest.raises(ValueError, match="keeps copies of its neighbours' vectors, which"):
            run(method, quadratic(0.0), lossy, rounds=1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "method", [A.LEAD(lr=0.1, compressor=TWO_BITS, alpha=0.9), A.CGT(**STEPS, compressor=TWO_BITS, alpha=0.9)]
)
def test_a_rate_of_the_memories_beyond_the_theory_warns(method):
    with pytest.raises(UserWarning, match=r"alpha = 0.9 is outside"):
        run(method, quadratic(0.0), UNDIRECTED, rounds=1)
