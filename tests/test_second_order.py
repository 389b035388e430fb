"""Second-order methods: against loops over nodes, where they are Newton's method, how fast they are, what they send."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import samples
from reference import second_order as reference
from samples import DATA, KEYS, SHARES, SIZES, D, N
from undirected import SAME_HESSIAN, same

import jaxdec
from jaxdec import algorithms as A
from jaxdec import compressors as C
from jaxdec import data, graphs, networks, problems, testing
from jaxdec.compressors.symmetric import packed, side, unpacked

pytestmark = pytest.mark.sampled(2)

W = graphs.lazy(graphs.metropolis(graphs.ring(N))).toarray()
GRAPH, SERVER, COMPLETE = networks.static(W, form="dense"), networks.server(N), networks.complete(N)
ROUNDS, ALL, HALF = 20, 32 * D, D * (D + 1) // 2
X0 = np.random.default_rng(4).standard_normal((N, D))

# Logistic regression of unequal shares: of a linear model whose Hessians change.
INPUTS, L2 = np.asarray(DATA.inputs), 0.1
LABELS = (np.asarray(DATA.targets) > 0).astype(int)
LABELLED = data.dataset(INPUTS, LABELS)
LISTS = [np.asarray(row)[:m] for row, m in zip(SHARES.indices, SIZES, strict=True)]


def solved(problem: Any) -> Any:
    """With its minimizer, to rounding: by Newton's method from near it."""
    x = jnp.zeros(D)
    for _ in range(20):
        x = x - jnp.linalg.solve(jax.hessian(problem.objective)(x), jax.grad(problem.objective)(x))
    return dataclasses.replace(problem, minimizer=x, minimum=problem.objective(x))


LOGISTIC = solved(problems.logistic(LABELLED, SHARES, bias=False, batch_size=2, l2=L2))
MINIMIZER = np.asarray(LOGISTIC.minimizer)


def grad(i, x):
    A, y = INPUTS[LISTS[i]], LABELS[LISTS[i]]
    return A.T @ (1 / (1 + np.exp(-A @ x)) - y) / len(y) + L2 * x


def hessian(i, x):
    A = INPUTS[LISTS[i]]
    p = 1 / (1 + np.exp(-A @ x))
    return (A.T * (p * (1 - p))) @ A / len(p) + L2 * np.eye(D)


def run(method: Any, problem: Any = LOGISTIC, network: Any = SERVER, x0: Any = X0[0], rounds: int = ROUNDS) -> Any:
    return testing.trajectory(method, problem, network, rounds=rounds, x0=x0, seed=1)


def model(*given: Any, **options: Any) -> np.ndarray:
    return run(*given, **options).states[".x"][:, 0]


FEDNL = partial(reference.fednl, n=N)
LOOPS = [
    (A.DANE(lr=0.9, penalty=0.2, local_steps=2), partial(reference.dane, n=N)),
    (A.NetworkDANE(lr=0.8, penalty=0.3), partial(reference.network_dane, W=W)),
    (A.GIANT(products=2, lr=0.7), partial(reference.giant, n=N)),
    (A.FedNL(C.TopK(k=2), start="zero", lr=0.9), partial(FEDNL, compress=reference.top_k(2))),
    (A.NewtonRaphsonConsensus(lr=0.4, curvature=0.15), partial(reference.newton_raphson_consensus, W=W)),
]
VARIANTS = [
    (A.NetworkDANE(penalty=0.5, local_steps=2), partial(reference.network_dane, W=W)),
    (A.FedNL(C.RankR(rank=1), curvature=0.12, alpha=0.8), partial(FEDNL, compress=reference.rank_r(1))),
]
EACH = [*LOOPS, *(pytest.param(*variant, marks=pytest.mark.slow) for variant in VARIANTS)]


@pytest.mark.parametrize(("method", "loop"), EACH, ids=lambda v: type(v).__name__)
def test_twenty_rounds_equal_the_loop_over_nodes(method, loop):
    given = {k: v for k, v in vars(method).items() if k != "compressor" and v is not None}
    if "W" in loop.keywords:
        same(run(method, network=GRAPH, x0=X0).states[".x"], loop(grad, hessian, x0=X0, rounds=ROUNDS, **given))
    else:
        same(model(method), loop(grad, hessian, X0[0], ROUNDS, **given))


# Hessians, and symmetric matrices as vectors.


def test_the_hessians_of_problems_are_what_their_products_and_definitions_say():
    x, clients, full = jnp.asarray(X0), jnp.array([4, 1]), testing.quadratic(N, D, noise=0.3)
    batch = LOGISTIC.sample(KEYS.data, jnp.asarray(3))
    each, some = np.stack([hessian(i, X0[i]) for i in range(N)]), np.asarray(clients)
    some_of = LOGISTIC.take(clients)
    found = jax.jit(lambda: (LOGISTIC.hessian(x), some_of.hessian(x[clients]), LOGISTIC.hessian(x, batch)))
    whole, part, noisy = found()
    same(whole, each)
    same(part, each[some])
    same(jnp.einsum("nij,nj->ni", noisy, x), LOGISTIC.hvp(x, x, batch))
    same(full.hessian(x), full.A)
    same(problems.Quadratic(x**2, x).hessian(x), [np.diag(row**2) for row in X0])
    same(problems.Composite(full, problems.regularizers.L1(0.1)).hessian(x), full.A)
    same(problems.base.Taken(full, clients).hessian(x[clients]), full.A[some])


def test_a_symmetric_matrix_is_a_vector_of_its_norm_and_comes_back():
    H = np.random.default_rng(0).standard_normal((5, 4, 4))
    H = jnp.asarray(H + H.transpose(0, 2, 1))
    same(unpacked(packed(H)), H)
    same(jnp.linalg.norm(packed(H), axis=1), jnp.linalg.norm(H, axis=(1, 2)))
    with pytest.raises(ValueError, match=r"vectors of d \(d \+ 1\) / 2 entries, and these have 7"):
        side(7)


def test_rank_r_is_the_nearest_matrix_of_its_rank_and_keeps_its_promise():
    H = np.random.default_rng(1).standard_normal((50, 5, 5))
    H = H + H.transpose(0, 2, 1)
    for rank in (1, 3, 5):
        compressor = C.RankR(rank=rank)
        message = compressor(jax.random.key(0), packed(jnp.asarray(H)))
        found = np.asarray(unpacked(message.value))
        # Of two magnitudes that nearly agree the vectors are known to rounding over their difference.
        np.testing.assert_allclose(found, [reference.rank_r(rank)(one) for one in H], rtol=0, atol=1e-9)
        lost = np.linalg.norm(found - H, axis=(1, 2)) ** 2 / np.linalg.norm(H, axis=(1, 2)) ** 2
        assert np.all(lost <= 1 - compressor.delta((15,)) + 1e-12)
        assert message.bits == rank * (32 * 5 + 1)
    with pytest.raises(ValueError, match=r"RankR\.rank = 6 does not fit matrices of 5 rows"):
        C.RankR(rank=6).delta((15,))


# Where they are Newton's method, or one another.


@pytest.mark.slow
def test_on_quadratics_with_equal_hessians_one_round_is_enough():
    n, minimizer = SAME_HESSIAN.n, np.asarray(SAME_HESSIAN.minimizer)
    mu = float(SAME_HESSIAN.mu)
    for method in (
        A.DANE(),
        A.GIANT(products=D),
        A.FedNL(C.TopK(k=1), curvature=mu),
        A.FedNL(C.Identity()),
        A.NewtonRaphsonConsensus(lr=1.0, curvature=mu),
    ):
        graph = isinstance(method, A.NewtonRaphsonConsensus)
        found = run(method, SAME_HESSIAN, networks.complete(n) if graph else networks.server(n), rounds=1)
        same(found.states[".x"][1], np.tile(minimizer, (n if graph else 1, 1)))


@pytest.mark.slow
def test_one_newton_step_of_dane_is_giant_and_network_dane_on_a_complete_graph_begins_as_dane():
    same(model(A.DANE(lr=0.7)), model(A.GIANT(products=D, lr=0.7)))
    given = {"lr": 0.9, "penalty": 0.3, "local_steps": 2}
    network = run(A.NetworkDANE(**given), network=COMPLETE).states[".x"]
    same(network[:2].mean(axis=1), model(A.DANE(**given))[:2])


@pytest.mark.slow
def test_on_quadratics_newton_raphson_consensus_goes_as_fast_as_w_averages():
    problem = testing.quadratic(N, D, noise=0.0)
    H, b = np.asarray(problem.A), np.asarray(problem.b)
    method = A.NewtonRaphsonConsensus(lr=1.0, curvature=float(problem.mu) / 100)
    x = run(method, problem, GRAPH, X0, rounds=80).states[".x"]
    for t in (1, 5, 20, 80):
        P = np.linalg.matrix_power(W, t)
        same(x[t], np.stack([np.linalg.solve(np.tensordot(P[i], H, 1), P[i] @ b) for i in range(N)]))
    errors = np.abs(x - np.asarray(problem.minimizer)).max(axis=(1, 2))
    rate = (errors[60] / errors[30]) ** (1 / 30)
    np.testing.assert_allclose(rate, np.sort(np.abs(np.linalg.eigvalsh(W)))[-2], rtol=1e-2)


# How fast they are.


def errors(method: Any, problem: Any, network: Any = SERVER, rounds: int = 12) -> np.ndarray:
    x = run(method, problem, network, np.asarray(problem.minimizer) + 0.3, rounds=rounds).states[".x"]
    return np.linalg.norm(x - np.asarray(problem.minimizer), axis=2).max(axis=1)


def alike() -> Any:
    """All nodes have all samples."""
    everything = data.from_lists([np.arange(sum(SIZES))] * N, sum(SIZES), allow_shared=True)
    return solved(problems.logistic(LABELLED, everything, bias=False, l2=L2))


@pytest.mark.slow
def test_where_nodes_are_alike_the_error_squares_from_round_to_round():
    problem = alike()
    methods = [(A.DANE(), SERVER), (A.GIANT(products=D), SERVER)]
    methods.append((A.NewtonRaphsonConsensus(lr=1.0, curvature=0.01), COMPLETE))
    for method, network in methods:
        e = errors(method, problem, network)
        far = np.flatnonzero(e > 1e-7)  # of later ones the square is below rounding
        assert len(far) >= 3
        assert np.all(e[far + 1] < e[far] ** 2)
        assert e[-1] < 1e-14


@pytest.mark.slow
@pytest.mark.parametrize("given", [{}, {"curvature": 0.1}], ids=["l I", "projected"])
@pytest.mark.parametrize("compressor", [C.TopK(k=2), C.RankR(rank=1), C.RandK(k=3)], ids=lambda c: type(c).__name__)
def test_fednl_is_superlinear_through_any_compressor_where_nodes_differ(compressor, given):
    e = errors(A.FedNL(compressor, **given), LOGISTIC, rounds=60)
    last = int(np.argmax(e < 1e-12))
    assert last > 0
    ratios = e[1:last] / e[: last - 1]
    assert ratios[-1] < 0.3 * ratios[:3].max()
    assert np.all(np.diff(np.log(e[: last + 1])) < 0)


@pytest.mark.slow
def test_dane_is_linear_where_nodes_differ_and_exact_at_the_end():
    for method, network in (
        (A.DANE(penalty=0.3), SERVER),
        (A.DANE(penalty=0.3, local_steps=3), SERVER),
        (A.GIANT(products=2, lr=0.5), SERVER),
        (A.NetworkDANE(penalty=0.5), GRAPH),
        (A.NewtonRaphsonConsensus(lr=0.3, curvature=0.05), GRAPH),
    ):
        e = errors(method, LOGISTIC, network, rounds=1000)
        assert e[-1] < 1e-12


@pytest.mark.slow
def test_in_float32_they_go_as_near_as_float32_can():
    with jax.enable_x64(False):
        problem = solved(problems.logistic(LABELLED, SHARES, bias=False, l2=L2))
        for method, network in (
            (A.DANE(penalty=0.3), SERVER),
            (A.GIANT(products=2, lr=0.5), SERVER),
            (A.FedNL(C.RankR(rank=1)), SERVER),
            (A.NetworkDANE(penalty=0.5), GRAPH),
            (A.NewtonRaphsonConsensus(lr=0.3, curvature=0.05), GRAPH),
        ):
            result = jaxdec.run(method, problem, network, rounds=600, every=600)
            assert result.state.x.dtype == jnp.float32
            assert result.metrics["distance"][-1] < 1e-5


# What is conserved, and what they cost.


def test_means_and_sums_are_conserved():
    s = run(A.NetworkDANE(lr=0.8, penalty=0.3), network=GRAPH, x0=X0).states
    same(s[".y"].mean(axis=1), s[".g"].mean(axis=1))
    s = run(A.NewtonRaphsonConsensus(lr=0.4, curvature=0.15), network=GRAPH, x0=X0).states
    same(s[".y"].sum(axis=1), s[".g"].sum(axis=1))
    same(s[".z"].sum(axis=1), s[".h"].sum(axis=1))
    s = run(A.FedNL(C.TopK(k=2), start="zero", lr=0.9)).states
    same(s[".hbar"][:, 0], s[".h"].mean(axis=1))


def test_a_hessian_counts_as_d_gradients_and_a_matrix_as_half_its_numbers():
    m, t = np.mean(SIZES), np.arange(ROUNDS + 1)
    giant, dane = run(A.GIANT(products=2, lr=0.7)).cost, run(A.DANE(lr=0.9, penalty=0.2, local_steps=2)).cost
    np.testing.assert_allclose(giant.grads, 3 * m * t)
    np.testing.assert_allclose(dane.grads, 2 * (1 + D) * m * t)
    for cost in (giant, dane):
        np.testing.assert_allclose(cost.bits, 2 * ALL * t)
        np.testing.assert_allclose(cost.bits_down, 2 * ALL * t)
        np.testing.assert_allclose(cost.messages, 2 * t)
    consensus = run(A.NewtonRaphsonConsensus(lr=0.4, curvature=0.15), network=GRAPH, x0=X0).cost
    np.testing.assert_allclose(consensus.bits, 32 * (D + HALF) * t)
    np.testing.assert_allclose(consensus.grads, (1 + D) * m * t)
    fednl = run(A.FedNL(C.TopK(k=2), start="zero", lr=0.9)).cost
    np.testing.assert_allclose(fednl.bits, (ALL + 2 * (32 + 3) + 32) * t)
    np.testing.assert_allclose(fednl.vectors, (1 + HALF / D) * t)


@pytest.mark.slow
def test_first_hessians_are_sent_whole_and_are_those_of_the_first_round():
    m, t = np.mean(SIZES), np.arange(ROUNDS + 1)
    cost = run(A.FedNL(C.RankR(rank=1), curvature=0.12)).cost
    np.testing.assert_allclose(cost.bits, 32 * HALF + (ALL + 32 * D + 1) * t)
    np.testing.assert_allclose(cost.grads, (1 + D) * m * t)


def test_what_is_wrong_is_refused(monkeypatch):
    for method, says in (
        (A.DANE(local_steps=0), "DANE.local_steps"),
        (A.DANE(penalty=-1.0), "DANE.penalty"),
        (A.NetworkDANE(penalty=-1.0), "NetworkDANE.penalty"),
        (A.GIANT(products=0), "GIANT.products"),
        (A.FedNL(C.TopK(k=1), start="first"), "FedNL.start is one of 'hessian', 'zero'"),
        (A.FedNL(C.TopK(k=1), curvature=0.0), "FedNL.curvature"),
        (A.NewtonRaphsonConsensus(lr=0.1, curvature=-1.0), "NewtonRaphsonConsensus.curvature"),
    ):
        network = GRAPH if "server" not in type(method).requires else SERVER
        with pytest.raises(ValueError, match=says):
            jaxdec.run(method, LOGISTIC, network, rounds=1)
    monkeypatch.setattr("jaxdec.checks.room.machine", lambda: 400)
    with pytest.raises(ValueError, match="Hessians of FedNL, 6 nodes times 3² numbers, would take 432 bytes"):
        A.FedNL(C.TopK(k=1)).advise(samples.PROBLEM)
