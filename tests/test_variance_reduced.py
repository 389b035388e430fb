"""Variance-reduced methods of graphs: against loops over nodes and samples, what they reduce to, where they go."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rounds
import samples
from cases import quadratic
from flax import linen
from reference import variance as reference
from samples import EXACT, KEYS, PROBLEM, ROUNDS, SEED, START, N
from undirected import same

import jaxdec
from jaxdec import algorithms as A
from jaxdec import data, graphs, networks, problems, testing

pytestmark = pytest.mark.sampled(3)

W = graphs.metropolis(graphs.path(N)).toarray()
GRAPH = networks.static(W, form="dense")
ALPHA = float(np.sort(np.abs(np.linalg.eigvalsh(W)))[-2])
SAMPLES = samples.samples()


@cache
def result(method, problem=PROBLEM):
    return testing.trajectory(method, problem, GRAPH, rounds=ROUNDS, x0=START, seed=SEED)


def states(method, problem=PROBLEM):
    return result(method, problem).states


def path(method, problem=PROBLEM):
    return states(method, problem)[".x"]


def coins(name, probability):
    """The coins of all nodes in each round."""
    flip = lambda key, i: jax.random.bernoulli(jax.random.fold_in(key, i), probability)
    key = lambda t: rounds.fold(rounds.keys_of(KEYS, t)[1], name)
    return np.asarray(jax.vmap(lambda t: jax.vmap(flip, (None, 0))(key(t), jnp.arange(N)))(jnp.arange(ROUNDS)))


CHEBYSHEV = A.DESTRESS(lr=0.05, period=4, probability=0.6, inner_gossips=2, outer_gossips=3, contraction=ALPHA)
SAGA, SVRG, SARAH = A.GTSAGA(lr=0.05), A.GTSVRG(lr=0.05, period=4), A.GTSARAH(lr=0.05, inner_steps=3)
HSGD, SPIDER = A.GTHSGD(lr=0.05, beta=0.3), A.DSPIDERSFO(lr=0.05, period=4)
EDGES = {"local_steps": 3, "penalty": 0.5, "consensus_lr": 0.2, "relaxation": 0.6}
ADMM = A.LTADMMVR(lr=0.05, **EDGES)
GOSSIPS = {"inner": reference.chebyshev(W, ALPHA, 2), "outer": reference.chebyshev(W, ALPHA, 3)}
LOOPS = [
    (SAGA, reference.gt_saga, {}),
    (SVRG, reference.gt_svrg, {"period": 4}),
    (SARAH, reference.gt_sarah, {"inner_steps": 3}),
    (HSGD, reference.gt_hsgd, {"beta": 0.3}),
    (CHEBYSHEV, reference.destress, {"period": 4, "coins": coins("takes part", 0.6), "prob": 0.6, **GOSSIPS}),
    (SPIDER, reference.d_spider_sfo, {"period": 4}),
    (ADMM, reference.lt_admm_vr, {"renewal": "never", "stored": "used", **EDGES}),
]
NEXT = {"renewal": "round", "stored": "next", **EDGES}
VARIANTS = [
    (A.LTADMMVR(lr=0.05, **NEXT), reference.lt_admm_vr, NEXT),
    (A.GTSAGA(lr=0.05, form="atc"), reference.gt_saga, {"form": "atc"}),
    (A.GTSVRG(lr=0.05, period=3, form="atc"), reference.gt_svrg, {"period": 3, "form": "atc"}),
    (A.DGET(lr=0.05, period=4), reference.gt_sarah, {"inner_steps": 3}),
    (
        A.DESTRESS(lr=0.05, period=4, inner_gossips=2),
        reference.destress,
        {"period": 4, "coins": np.ones((ROUNDS, N)), "prob": 1.0, "inner": W @ W, "outer": W},
    ),
]
EACH = [*LOOPS, *(pytest.param(*variant, marks=pytest.mark.slow) for variant in VARIANTS)]


@pytest.mark.parametrize(("method", "loop", "given"), EACH, ids=lambda v: type(v).__name__)
def test_twenty_rounds_equal_the_loop_over_nodes_and_samples(method, loop, given):
    same(path(method), loop(W, SAMPLES, START, ROUNDS, lr=0.05, **given))


# What is conserved, what equals what.


@pytest.mark.parametrize("method", [SAGA, SVRG, SARAH, HSGD], ids=lambda m: type(m).__name__)
def test_the_mean_of_the_trackers_is_that_of_the_estimates(method):
    found = states(method)
    same(found[".y"].mean(axis=1), found[".v"].mean(axis=1))


def test_destress_tracks_the_mean_of_exact_gradients_and_the_corrections_of_d_spider_sum_to_zero():
    found = states(CHEBYSHEV)
    same(found[".y"].mean(axis=1), found[".g"].mean(axis=1))
    same(states(SPIDER)[".c"].sum(axis=1), 0)


def test_the_table_has_the_gradients_where_samples_were_last_drawn_and_their_mean():
    found = states(SAGA)
    x, table = found[".x"], [[START[i]] * m for i, m in enumerate(samples.SIZES)]
    for t in range(ROUNDS):
        for i in range(N):
            for j in SAMPLES.drawn(i, t):
                table[i][j] = x[t + 1, i]
    for i, m in enumerate(samples.SIZES):
        rows = [SAMPLES.part(i, j, table[i][j]) for j in range(m)]
        same(found[".table.g"][-1, i, :m], rows)
        same(found[".table.mean"][-1, i], np.mean(rows, axis=0))


@pytest.mark.parametrize("method", [SAGA, SVRG, SARAH], ids=lambda m: type(m).__name__)
@pytest.mark.thinned(3)
def test_with_exact_gradients_they_are_gradient_tracking(method):
    same(path(method, EXACT), path(A.GradientTracking(lr=0.05, form="cta"), EXACT))


@pytest.mark.slow
def test_a_full_gradient_in_every_round_is_the_exact_method():
    tracking = path(A.GradientTracking(lr=0.05, form="cta"), EXACT)
    for method in (A.GTSVRG(lr=0.05, period=1), A.GTSARAH(lr=0.05, inner_steps=0), A.DGET(lr=0.05, period=1)):
        same(path(method), tracking)
    same(path(A.DSPIDERSFO(lr=0.05, period=1)), path(A.D2(lr=0.05), EXACT))
    same(path(A.DSPIDERSFO(lr=0.05, period=4), EXACT), path(A.D2(lr=0.05), EXACT))
    same(path(A.GTHSGD(lr=0.05, beta=0.3), EXACT), path(A.GTSAGA(lr=0.05, form="atc"), EXACT))


def test_with_exact_gradients_lt_admm_vr_is_lt_admm():
    same(path(ADMM, EXACT), path(A.LTADMM(lr=0.05, **EDGES), EXACT))


def test_chebyshevs_gossips_contract_as_that_polynomial_says():
    """Where W contracts by alpha, K gossips by 1 / T_K(1 / alpha), which is less than alpha^K."""
    given = lambda a: A.DESTRESS(lr=0.1, period=3, contraction=a)
    gossip = lambda K, a=ALPHA: np.asarray(given(a)._mixing(GRAPH.W, K) @ jnp.eye(N))
    for K in (1, 2, 5):
        same(gossip(K), reference.chebyshev(W, ALPHA, K))
        same(gossip(K).sum(axis=1), 1)
        same(gossip(K, None), np.linalg.matrix_power(W, K))
    norm = lambda M: np.linalg.norm(M - 1 / N, 2)
    assert norm(gossip(5)) < 0.5 * norm(gossip(5, None))


# Where they go, with minibatches.

CANCER = data.breast_cancer()
SORTED = data.shards(CANCER, N, per_node=1)
REDUCED = [
    A.GTSAGA(lr=0.2),
    A.GTSAGA(lr=0.2, form="atc"),
    A.GTSVRG(lr=0.2, period=20),
    A.GTSVRG(lr=0.2, period=20, form="atc"),
    A.GTSARAH(lr=0.2, inner_steps=20),
    A.DGET(lr=0.2, period=20),
    A.DESTRESS(lr=0.2, period=20, inner_gossips=3, outer_gossips=3, contraction=ALPHA),
    A.LTADMMVR(lr=0.2, local_steps=3, penalty=0.3, consensus_lr=0.1),
    A.DSPIDERSFO(lr=0.2, period=20),
]


@cache
def logistic(dtype):
    problem = problems.logistic(CANCER, SORTED, batch_size=8, l2=0.1)
    return problems.solve(problem)


def excess(method, dtype="float64", count=4000):
    with jax.enable_x64(dtype == "float64"):
        L = float(logistic(dtype).curvature()[0])
        method = type(method)(**{**vars(method), "lr": method.lr / L})
        result = jaxdec.run(method, logistic(dtype), networks.ring(N), rounds=count, every=count // 4, seed=1)
        return np.asarray(result.metrics["suboptimality"]), np.asarray(result.metrics["consensus"])


# In float32 the corrections of D2 grow by rounding, and with them where it stalls.
BOTH = [(m, dtype) for dtype in ("float64", "float32") for m in REDUCED[: None if dtype == "float64" else -1]]


@pytest.mark.parametrize(("method", "dtype"), BOTH, ids=lambda m: str(getattr(m, "form", "")) + type(m).__name__)
@pytest.mark.thinned(17)
def test_minibatches_do_not_stop_them_on_a_strongly_convex_logistic_problem(method, dtype):
    """Linearly to 1e-10 of the loss above its least value, in float64; to rounding in float32."""
    found, consensus = excess(method, dtype)
    assert found[-1] < (1e-10 if dtype == "float64" else 1e-6)
    assert consensus[-1] < (1e-10 if dtype == "float64" else 1e-6)


@pytest.mark.slow
def test_minibatches_stop_gradient_tracking_gt_hsgd_and_lt_admm():
    edges = {"local_steps": 3, "penalty": 0.3, "consensus_lr": 0.1}
    for method in (A.GradientTracking(lr=0.2), A.GTHSGD(lr=0.2, beta=0.2), A.LTADMM(lr=0.2, **edges)):
        assert excess(method)[0][-1] > 1e-7


# What they cost.


WHOLE, ROUND = np.mean(samples.SIZES), np.arange(1, ROUNDS + 1)
DUE = ROUND % 4 == 0


def test_a_full_gradient_is_paid_only_in_the_rounds_that_take_one():
    """Of all at the start, later of those whose round it is; a minibatch has two samples, of which both points cost."""
    for method in (SVRG, SARAH, SPIDER):
        expected = np.cumsum([WHOLE, *np.where(DUE, WHOLE, 4)])
        np.testing.assert_allclose(result(method).cost.grads, expected, rtol=1e-12)
    np.testing.assert_allclose(result(SAGA).cost.grads[1:], WHOLE + 2 * ROUND, rtol=1e-12)
    np.testing.assert_allclose(result(ADMM).cost.grads[1:], WHOLE + 3 * 2 * ROUND, rtol=1e-12)
    np.testing.assert_allclose(result(HSGD).cost.grads[1:], 2 + 4 * ROUND, rtol=1e-12)


def test_destress_pays_for_the_nodes_that_take_part_and_for_every_gossip():
    cost, taken = result(CHEBYSHEV).cost, coins("takes part", 0.6).mean(axis=1)
    np.testing.assert_allclose(cost.grads, np.cumsum([WHOLE, *np.where(DUE, WHOLE, 4 * taken)]), rtol=1e-12)
    np.testing.assert_allclose(cost.vectors[1:], np.cumsum(np.where(DUE, 2 + 3, 2 + 2)), rtol=1e-12)
    np.testing.assert_allclose(cost.messages, cost.vectors, rtol=1e-12)


def shapes(jaxpr):
    """Of all that a program computes, inner programs included."""
    found = {v.aval.shape for e in jaxpr.eqns for v in e.outvars}
    inner = [getattr(p, "jaxpr", p) for e in jaxpr.eqns for p in jax.tree.leaves(list(e.params.values()))]
    return found.union(*(shapes(p) for p in inner if hasattr(p, "eqns")))


KEY_PAIR = jax.random.split(jax.random.key(0), 2)


def conditions(method, network, x0, seeds=2):
    """The branches of a step, with so many seeds together."""
    r = rounds.round_of(network, N)
    state, _ = method.init(PROBLEM, x0, r)
    step = lambda key: method.step(PROBLEM, state, type(r)(**{**vars(r), "key": key, "key_data": key}))[0]
    jaxpr = jax.make_jaxpr(jax.vmap(step) if seeds > 1 else lambda keys: step(keys[0]))(KEY_PAIR)
    return [[shapes(branch.jaxpr) for branch in e.params["branches"]] for e in jaxpr.eqns if e.primitive.name == "cond"]


def test_a_full_gradient_is_a_branch_of_the_program_also_of_seeds_together():
    largest = {(N, max(samples.SIZES)), (2, N, max(samples.SIZES))}
    for method in (SVRG, SARAH, SPIDER, CHEBYSHEV):
        ((other, full),) = conditions(method, GRAPH, jnp.asarray(START))
        assert largest & full
        assert not largest & other


# What is refused.

COUNTS = [
    (A.GTSVRG(lr=0.1, period=0), "GTSVRG.period is a number of rounds, an integer of at least 1; got 0"),
    (A.GTSVRG(lr=0.1, period=2, form="both"), "GTSVRG.form is one of 'cta', 'atc'"),
    (A.GTSAGA(lr=0.1, form="both"), "GTSAGA.form is one of 'cta', 'atc'"),
    (A.GTSARAH(lr=0.1, inner_steps=-1), "GTSARAH.inner_steps .* at least 0; got -1"),
    (A.DGET(lr=0.1, period=2.5), "DGET.period .* got 2.5"),
    (A.DSPIDERSFO(lr=0.1, period=0), "DSPIDERSFO.period"),
    (A.GTHSGD(lr=0.1, beta=1.5), r"GTHSGD.beta.*in \[0, 1\]; got 1.5"),
    (A.LTADMMVR(lr=0.1, local_steps=0), "LTADMMVR.local_steps"),
    (A.LTADMMVR(lr=0.1, local_steps=2, renewal="always"), "LTADMMVR.renewal is one of 'never', 'round'"),
    (A.LTADMMVR(lr=0.1, local_steps=2, stored="both"), "LTADMMVR.stored is one of 'used', 'next'"),
    (A.DESTRESS(lr=0.1, period=0), "DESTRESS.period"),
    (A.DESTRESS(lr=0.1, period=2, probability=0.0), r"DESTRESS.probability.*in \(0, 1\]; got 0.0"),
    (A.DESTRESS(lr=0.1, period=2, inner_gossips=0), "DESTRESS.inner_gossips is an integer"),
    (A.DESTRESS(lr=0.1, period=2, contraction=1.0), r"DESTRESS.contraction.*in \(0, 1\); got 1.0"),
]


@pytest.mark.parametrize(("method", "message"), COUNTS)
def test_what_is_wrong_is_refused(method, message):
    with pytest.raises(ValueError, match=message):
        jaxdec.run(method, quadratic(0.0), networks.ring(6), rounds=1)


def test_a_table_of_samples_whose_loss_is_random_or_that_no_machine_holds_is_refused(monkeypatch):
    pictures = data.dataset(np.zeros((N, 4, 4, 1)), np.arange(N) % 2, images=True)
    flip, held = problems.augment.Flip(), data.iid(pictures, n=N)
    network = linen.Sequential([lambda x: x.reshape(len(x), -1), linen.Dense(2)])
    flipped = problems.neural(network, pictures, held, batch_size=1, augment=flip)
    with pytest.raises(ValueError, match="remembers the gradient of each sample"):
        jaxdec.run(A.GTSAGA(lr=0.1), flipped, GRAPH, rounds=1)
    monkeypatch.setattr("jaxdec.checks.room.machine", lambda: 500)
    with pytest.raises(ValueError, match="6 nodes times 5 samples times 3 parameters, would take 720 bytes"):
        A.GTSAGA(lr=0.1).advise(PROBLEM)
