"""Compressed methods with local steps at a server: against loops over clients, what they conserve, what equals what."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rounds
from cases import gradients
from local_server import CURVATURES, EXACT, KEYS, NETWORKS, PROBLEM, ROUNDS, X0, D, K, N, grad, path, present
from reference import compressed_local as reference
from undirected import same

import jaxdec
from jaxdec import algorithms as A
from jaxdec import compressors as C
from jaxdec import networks, problems
from jaxdec.algorithms import compressed_scaffnew

pytestmark = pytest.mark.sampled(8)

TOP, Q, EVERYBODY, SOME = C.TopK(k=2), C.Quantization(levels=2), NETWORKS["everybody"], NETWORKS["Bernoulli"]
P = 0.4


def key(name, t):
    return rounds.fold(rounds.keys_of(KEYS, t)[1], name)


def compress(compressor):
    """The messages of round t, as a run draws them."""
    return lambda t, v: np.asarray(compressor(key("up", t), jnp.asarray(v), (D,)).value)


LENGTHS = [int(jax.random.geometric(key("steps", t), P)) for t in range(ROUNDS)]
LONG = gradients(PROBLEM, KEYS.data, sum(LENGTHS))


@pytest.mark.parametrize("network", [EVERYBODY, SOME], ids=["everybody", "Bernoulli"])
@pytest.mark.parametrize("steps", [1, K])
def test_what_compression_leaves_out_is_the_loops_and_only_delayed(steps, network):
    method = A.MemSGD(lr=0.1, compressor=TOP) if steps == 1 else A.QsparseLocalSGD(0.1, steps, TOP)
    given = {"clients": N, "lr": 0.1, "local_steps": steps, "compress": compress(TOP)}
    expected, errors = reference.qsparse(grad, X0, ROUNDS, present(network), **given)
    found = path(method, network)
    same(found[".x"][:, 0], expected)
    same(found[".e"], errors)
    if steps == 1:
        ahead = found[".x"][:, 0] - found[".e"].mean(axis=1)
        for t in range(ROUNDS):
            moved = sum(grad(i, expected[t], t) for i in present(network)(t)) / N
            same(ahead[t + 1], ahead[t] - 0.1 * moved)


@pytest.mark.parametrize("network", [EVERYBODY, SOME], ids=["everybody", "Bernoulli"])
@pytest.mark.parametrize("kind", [A.FedPAQ, A.FedCOM, A.FedCOMGATE])
def test_fedpaq_and_fedcom_are_their_loops_and_the_corrections_of_the_gate_sum_to_zero(kind, network):
    outer = {} if kind is A.FedPAQ else {"outer_lr": 0.5}
    given = {"clients": N, "lr": 0.1, "local_steps": K, "compress": compress(Q), "outer_lr": 1.0} | outer
    gate = kind is A.FedCOMGATE
    expected, corrections = reference.fedcom(grad, X0, ROUNDS, present(network), gate=gate, **given)
    found = path(kind(lr=0.1, local_steps=K, compressor=Q, **outer), network)
    same(found[".x"][:, 0], expected)
    if gate:
        same(found[".c"], corrections)
        same(found[".c"].sum(axis=1), 0)


@pytest.mark.parametrize("senders", [2, 3])
def test_compressed_scaffnew_is_its_loop_and_its_control_variates_sum_to_zero(senders):
    sends = [np.asarray(compressed_scaffnew.pattern(key("pattern", t), N, D, senders)) for t in range(ROUNDS)]
    given = {"clients": N, "lr": 0.2, "prob": P, "eta": N * (senders - 1) / (senders * (N - 1))}
    expected, variates = reference.compressed_scaffnew(LONG, X0, LENGTHS, sends, **given)
    found = path(A.CompressedScaffnew(lr=0.2, probability=P, senders=senders))
    same(found[".x"][:, 0], expected)
    same(found[".h"], variates)
    same(found[".h"].sum(axis=1), 0)


@pytest.mark.parametrize(("n", "d", "senders"), [(5, 3, 2), (4, 10, 3), (7, 7, 7), (3, 50, 2)])
def test_of_each_coordinate_as_many_send_and_each_client_sends_as_much(n, d, senders):
    drawn = np.stack([compressed_scaffnew.pattern(jax.random.key(k), n, d, senders) for k in range(200)])
    assert np.all(drawn.sum(axis=1) == senders)
    assert np.all(np.isin(drawn.sum(axis=2), (senders * d // n, -(-senders * d // n))))
    assert np.abs(drawn.mean(axis=0) - senders / n).max() < 0.2  # five deviations of 200 draws


def test_locodl_is_its_algorithm_iteration_by_iteration_and_its_control_variates_sum_to_zero():
    omega = float(Q.omega((D,)))
    share = 1 / (1 + omega / N)
    given = {"lr": 0.2, "prob": P, "l2": 0.3, "omega": omega, "rho": share, "chi": share, "compress": compress(Q)}
    expected, variates = reference.locodl(LONG, X0, LENGTHS, clients=N, **given)
    found = path(A.LoCoDL(lr=0.2, probability=P, compressor=Q, l2=0.3))
    same(found[".x"][:, 0], expected)
    same(found[".h"], [u for u, _ in variates])
    same(found[".k"][:, 0], [v for _, v in variates])
    same(found[".h"].mean(axis=1) + found[".k"][:, 0], 0)


# What equals what.


@pytest.mark.slow
def test_identity_compressors_give_back_the_uncompressed_method():
    exact = C.Identity()
    local = path(A.LocalSGD(lr=0.1, local_steps=K))[".x"]
    for method in (A.FedPAQ(0.1, K, exact), A.FedCOM(0.1, K, exact), A.QsparseLocalSGD(0.1, K, exact)):
        same(path(method)[".x"], local)
    half = path(A.LocalSGD(lr=0.1, local_steps=K, outer_lr=0.5))[".x"]
    same(path(A.FedCOM(0.1, K, exact, outer_lr=0.5))[".x"], half)
    same(path(A.MemSGD(lr=0.1, compressor=exact))[".x"], path(A.SGD(lr=0.1))[".x"])
    scaffold = path(A.SCAFFOLD(lr=0.1, local_steps=K, option="II"))[".x"]
    same(path(A.FedCOMGATE(0.1, K, exact))[".x"], scaffold)
    scaffnew = path(A.Scaffnew(lr=0.2, probability=P))[".x"]
    same(path(A.CompressedScaffnew(lr=0.2, probability=P, senders=N))[".x"], scaffnew)
    assert A.EF14 is A.MemSGD


def test_locodl_without_compression_is_scaffnew_of_both_parts():
    """Of 2 n clients, whose f are the n without their ridge, and n times the ridge."""
    l2, d = 0.3, D
    ridge = np.tile(l2 * np.eye(d), (N, 1, 1))
    both = problems.Quadratic(
        jnp.asarray(np.concatenate([CURVATURES - ridge, ridge])),
        jnp.asarray(np.concatenate([np.asarray(PROBLEM.b), np.zeros((N, d))])),
    )
    expected = path(A.Scaffnew(lr=0.2, probability=P), networks.server(2 * N), both)[".x"]
    same(path(A.LoCoDL(lr=0.2, probability=P, compressor=C.Identity(), l2=l2), problem=EXACT)[".x"], expected)


# Where they go.


@pytest.mark.parametrize(
    ("method", "variates"),
    [
        (A.FedCOMGATE(lr=0.1, local_steps=K, compressor=C.Quantization(levels=4), outer_lr=0.5), "c"),
        (A.CompressedScaffnew(lr=0.5, probability=P, senders=2), "h"),
        (A.LoCoDL(lr=0.5, probability=P, compressor=C.RandK(k=1), l2=0.2), "h"),
    ],
    ids=lambda v: type(v).__name__,
)
@pytest.mark.thinned(3)
def test_the_fixed_point_is_the_minimizer_with_the_clients_gradients_in_the_control_variates(method, variates):
    found = path(method, problem=EXACT, rounds=2000)
    x = np.asarray(EXACT.minimizer)
    l2 = getattr(method, "l2", 0.0)
    same(found[".x"][-1, 0], x)
    same(found[f".{variates}"][-1], [(CURVATURES[i] - l2 * np.eye(D)) @ x - np.asarray(EXACT.b)[i] for i in range(N)])


@pytest.mark.slow
def test_where_functions_differ_fedpaq_and_error_feedback_of_steps_stall():
    for method in (A.FedPAQ(0.1, K, Q), A.MemSGD(lr=0.1, compressor=C.TopK(k=1)), A.QsparseLocalSGD(0.1, K, TOP)):
        away = np.abs(path(method, problem=EXACT, rounds=2000)[".x"][-1, 0] - np.asarray(EXACT.minimizer)).max()
        assert 1e-4 < away < 1.0


# What they cost.


def test_compressed_scaffnew_sends_the_coordinates_of_its_pattern():
    method = A.CompressedScaffnew(lr=0.2, probability=P, senders=2)
    cost = jaxdec.run(method, PROBLEM, EVERYBODY, rounds=ROUNDS, seed=5, metrics=()).cost
    np.testing.assert_allclose(cost.bits, 32 * 2 * D / N * np.arange(ROUNDS + 1), rtol=1e-12)
    np.testing.assert_allclose(cost.grads, np.cumsum([0, *LENGTHS]), rtol=1e-12)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (A.MemSGD(lr=0.1, compressor=C.RandK(k=1)), "MemSGD needs a contractive compressor"),
        (A.QsparseLocalSGD(0.1, 0, TOP), "QsparseLocalSGD.local_steps is an integer"),
        (A.FedPAQ(0.1, K, TOP), "FedPAQ needs an unbiased compressor"),
        (A.FedCOM(0.1, 0, Q), "FedCOM.local_steps is an integer"),
        (A.FedCOMGATE(0.1, K, TOP), "FedCOMGATE needs an unbiased compressor"),
        (A.CompressedScaffnew(0.1, 0.5, 1), "CompressedScaffnew.senders is an integer of at least 2"),
        (A.CompressedScaffnew(0.1, 0.0, 2), "CompressedScaffnew.probability"),
        (A.CompressedScaffnew(0.1, 0.5, 2, eta=2.0), r"CompressedScaffnew.eta.*\(0, 1\]; got 2.0"),
        (A.LoCoDL(0.1, 0.5, TOP), "LoCoDL needs an unbiased compressor"),
        (A.LoCoDL(0.1, 0.5, Q, l2=-1.0), "LoCoDL.l2"),
        (A.LoCoDL(0.1, 0.5, Q, rho=0.0), r"LoCoDL.rho.*\(0, 1\]; got 0.0"),
    ],
)
def test_what_is_wrong_is_refused(method, message):
    with pytest.raises(ValueError, match=message):
        jaxdec.run(method, EXACT, EVERYBODY, rounds=1)
