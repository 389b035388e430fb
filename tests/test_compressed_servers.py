"""Compressed methods of a server: the loops over clients, what they conserve, what equals what, where they go."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from cases import X0, D, N, quadratic
from reference import compressed as reference
from server_cases import CLOSE, COHORT, EVERYBODY, EXACT, GRAD, SHORT, SOME, TOP, downs, present, result, states, ups

from jaxdec import algorithms as A
from jaxdec import compressors as C
from jaxdec import networks, run

NOISE, ROUNDS = 0.5, 800  # one length, so that a method is compiled once; references are compared over the first 20
KEPT = C.Scaled(C.RandP(p=0.6))
MINIMIZER = np.asarray(quadratic(0.0).minimizer)
GRADIENTS = np.asarray(quadratic(0.0).grad(jnp.tile(MINIMIZER, (N, 1))))


def found(method: Any, network: Any = EVERYBODY, noise: float = 0.0) -> dict[str, np.ndarray]:
    return states(method, network, noise, ROUNDS)


def models(method: Any, network: Any = EVERYBODY, noise: float = NOISE) -> np.ndarray:
    return found(method, network, noise)["x"][:, 0]


def spent(method: Any, network: Any = EVERYBODY) -> Any:
    return result(method, network, NOISE, ROUNDS).cost


# Twenty rounds against the loops over clients.

EF21 = A.EF21(lr=0.1, compressor=TOP)
EF21_ZERO = A.EF21(lr=0.1, compressor=TOP, start="zero", momentum=0.5)
EF21_BC = A.EF21(lr=0.1, compressor=KEPT, down_compressor=TOP)
EF21_SGDM = A.EF21SGDM(lr=0.1, compressor=TOP, momentum=0.7)
LOOPS = [
    (EF21, EVERYBODY, reference.ef21, {}),
    (EF21_ZERO, COHORT, reference.ef21, {"smart": False, "momentum": 0.5}),
    (EF21_BC, SOME, reference.ef21, {"up": KEPT, "down": TOP}),
    (EF21_SGDM, COHORT, reference.ef21, {"average": 0.7}),
]


@pytest.mark.parametrize(("method", "network", "loop", "options"), LOOPS, ids=lambda v: type(v).__name__)
def test_twenty_rounds_equal_the_loop_over_clients(method, network, loop, options):
    given = {"up": ups(options.get("up", TOP), network), "present": lambda t: present(network, t)}
    if "down" in options:
        given["down"] = downs(options["down"], network)
    expected = loop(GRAD, X0, SHORT, n=N, lr=0.1, **{**options, **given})
    np.testing.assert_allclose(models(method, network)[: SHORT + 1], expected, **CLOSE)


# EF21.


@pytest.mark.parametrize(
    ("method", "network"), [(EF21, EVERYBODY), (EF21_BC, SOME), (EF21_SGDM, COHORT)], ids=["EF21", "BC", "SGDM"]
)
def test_the_servers_memory_is_the_mean_of_the_clients_and_the_minimizer_is_reached(method, network):
    states = found(method, network)
    np.testing.assert_allclose(states["hbar"][:, 0], states["h"].mean(axis=1), rtol=0, atol=1e-10)
    np.testing.assert_allclose(states["h"][-1], GRADIENTS, rtol=0, atol=1e-5)
    assert np.abs(states["x"][-1, 0] - MINIMIZER).max() < 1e-6
    assert np.abs(GRADIENTS).max() > 0.1


def test_ef21_converges_linearly_where_plain_top_1_stalls():
    """In every hundred rounds the distance falls to a tenth or less; plain top-1 ends where its bias leaves it."""
    distance = np.linalg.norm(models(EF21, noise=0.0) - MINIMIZER, axis=1)[100:501:100]
    assert np.all((distance[1:] < 0.1 * distance[:-1]) | (distance[1:] < 1e-12))
    x, A_i, b = np.array(X0), np.asarray(quadratic(0.0).A), np.asarray(quadratic(0.0).b)
    for _ in range(800):
        g = np.einsum("nij,j->ni", A_i, x) - b
        x = x - 0.1 * np.mean(np.where(np.abs(g) == np.abs(g).max(axis=1, keepdims=True), g, 0), axis=0)
    assert np.abs(x - MINIMIZER).max() > 1e-2


def test_without_compression_ef21_is_sgd():
    plain = A.EF21(lr=0.1, compressor=EXACT, momentum=0.5)
    np.testing.assert_allclose(models(plain), models(A.SGD(lr=0.1, momentum=0.5)), **CLOSE)


@pytest.mark.slow
def test_without_momentum_ef21_sgdm_is_ef21():
    np.testing.assert_allclose(
        models(A.EF21SGDM(lr=0.1, compressor=TOP, momentum=0.0), SOME), models(EF21, SOME), **CLOSE
    )


@pytest.mark.slow
def test_momentum_lowers_the_floor_that_noise_leaves_ef21():
    """The same small step: through top-1 noise of single gradients does not average out, that of momenta does."""
    averaged, single = A.EF21SGDM(lr=0.02, compressor=TOP, momentum=0.9), A.EF21(lr=0.02, compressor=TOP)
    floor = lambda m: np.sqrt(np.mean(np.sum((models(m, noise=5.0)[400:] - MINIMIZER) ** 2, axis=1)))
    assert floor(averaged) < 0.8 * floor(single)


def test_ef21_pays_for_what_is_sent():
    one, rounds = 32 + 2, np.arange(ROUNDS + 1)  # a number and its place among 3
    cost = spent(EF21)
    np.testing.assert_allclose(cost.grads, rounds)
    np.testing.assert_allclose(cost.bits, 32 * D + one * rounds)
    np.testing.assert_allclose(cost.bits_down, 32 * D * rounds)
    cost = spent(EF21_SGDM, COHORT)  # the first gradients are of all clients
    np.testing.assert_allclose(cost.grads, 1 + 2 / N * rounds)
    np.testing.assert_allclose(cost.bits, 32 * D + one * 2 / N * rounds)
    np.testing.assert_allclose(spent(EF21_BC, SOME).bits_down, one * rounds)  # also what those absent have missed


# What is refused.


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (A.EF21(lr=0.1, compressor=C.RandK(k=1)), r"EF21 needs a contractive compressor.*Scaled\(RandK"),
        (A.EF21(lr=0.1, compressor=TOP, down_compressor=C.RandK(k=1)), "EF21 needs a contractive compressor"),
        (A.EF21(lr=0.1, compressor=TOP, momentum=1.0), "EF21.momentum"),
        (A.EF21(lr=0.1, compressor=TOP, start="none"), "EF21.start is one of 'gradient', 'zero'"),  # type: ignore[arg-type]
        (A.EF21SGDM(lr=0.1, compressor=C.RandP(p=0.5), momentum=0.5), r"EF21SGDM needs a contractive compressor"),
        (A.EF21SGDM(lr=0.1, compressor=TOP, momentum=-0.1), "EF21SGDM.momentum"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(method, message):
    with pytest.raises(ValueError, match=message):
        run(method, quadratic(0.0), networks.server(N), rounds=1)
