"""Methods with compression up and down: the loops over clients, what equals what, memories, and what theory says."""

import dataclasses
import warnings
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import X0, D, N, quadratic
from reference import server as reference
from server_cases import (
    BOTH,
    CLOSE,
    COHORT,
    EVERYBODY,
    EXACT,
    GRAD,
    NOISE,
    RATE,
    SHORT,
    SOME,
    TOP,
    TOPS,
    Q,
    downs,
    homogeneous,
    keys_of,
    messages,
    models,
    present,
    states,
    ups,
)

import jaxdec
from jaxdec import algorithms as A
from jaxdec import compressors as C
from jaxdec import networks, testing

pytestmark = pytest.mark.sampled(12)

SCHEDULE = jax.tree_util.Partial(lambda a, t: a / jnp.sqrt(t + 1.0), 0.1)
NO = {"up": lambda t, i, v: v}
WAYS = {"up": ups(Q), "down": downs(Q)}
MEMORY = {"alpha": RATE, "smart": True}
SERVER_METHODS = [
    (A.SGD(lr=0.1, momentum=0.5), reference.diana, {**NO, "momentum": 0.5}),
    (A.QSGD(lr=0.1, compressor=Q), reference.diana, {"up": ups(Q)}),
    (A.BiQSGD(lr=0.1, **BOTH), reference.diana, {"up": ups(Q), "down": downs(Q)}),
    (A.DIANA(lr=0.1, compressor=Q), reference.diana, {"up": ups(Q), **MEMORY}),
    (A.DIANA(lr=0.1, compressor=Q, memories="one"), reference.diana, {"up": ups(Q), "memories": "one", **MEMORY}),
    (A.Artemis(lr=0.1, momentum=0.5, **BOTH), reference.diana, {**WAYS, "momentum": 0.5, **MEMORY}),
    (A.DORE(lr=0.1, **BOTH), reference.dore, {**WAYS, "form": "code", "feedback": 0.1, **MEMORY}),
    (
        A.DORE(lr=0.1, form="original", feedback=0.5, outer_lr=0.8, alpha=0.1, **BOTH), reference.dore,
        {**WAYS, "form": "original", "feedback": 0.5, "outer_lr": 0.8, "alpha": 0.1, "smart": True},
    ),
    (A.MCM(lr=0.1, momentum=0.5, **BOTH), reference.mcm, {"momentum": 0.5, "down_alpha": RATE, **MEMORY}),
    (
        A.MCM(lr=0.1, memories="one", start="zero", **BOTH), reference.mcm,
        {"memories": "one", "down_alpha": RATE, "alpha": RATE},
    ),
    (A.MCM(lr=0.1, down_memory=False, **BOTH), reference.mcm, {"down_memory": False, "down_alpha": 0, **MEMORY}),
    (A.Ghost(lr=0.1, **BOTH), reference.undegraded, {"up": ups(Q), "down": downs(Q), "ghost": True, **MEMORY}),
    (A.ArtemisND(lr=0.1, **BOTH), reference.undegraded, {"up": ups(Q), "down": downs(Q), "ghost": False, **MEMORY}),
    (
        A.DoubleSqueeze(lr=0.1, compressor=TOP, down_compressor=C.ScaledSign()), reference.double_squeeze,
        {"up": ups(TOP), "down": downs(C.ScaledSign())},
    ),
    (
        A.DistEFSGD(lr=SCHEDULE, compressor=TOP, down_compressor=TOP), reference.double_squeeze,
        {"up": ups(TOP), "down": downs(TOP), "feedback": None, "lr": [0.1 / np.sqrt(t + 1) for t in range(SHORT)]},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("method", "loop", "options"), SERVER_METHODS, ids=lambda v: type(v).__name__)
@pytest.mark.thinned(2)
def test_twenty_rounds_equal_the_loop_over_clients(method, loop, options):
    if loop is reference.mcm:
        # The reference sends at the end of a round what the method sends at the start of the next.
        options = {"up": ups(Q), "down": downs(Q), **options}
    if loop in (reference.diana, reference.dore):
        options = {"present": lambda t: range(N), **options}
    expected = loop(GRAD, X0, SHORT, **{"n": N, "lr": 0.1, **options})
    np.testing.assert_allclose(models(method), expected, **CLOSE)


PARTIAL = [
    (A.SGD(lr=0.1), reference.diana, {}),
    (A.DIANA(lr=0.1, compressor=Q), reference.diana, {"alpha": RATE}),
    (A.DIANA(lr=0.1, compressor=Q, memories="one"), reference.diana, {"alpha": RATE, "memories": "one"}),
    (A.DIANA(lr=0.1, compressor=Q, memories="authors"), reference.diana, {"alpha": RATE, "memories": "authors"}),
    (A.Artemis(lr=0.1, memories="authors", **BOTH), reference.diana, {"alpha": RATE, "memories": "authors"}),
    (A.Artemis(lr=0.1, **BOTH), reference.diana, {"alpha": RATE}),
    (
        A.DORE(lr=0.1, memories="one", **BOTH), reference.dore,
        {"alpha": RATE, "form": "code", "feedback": 0.1, "memories": "one"},
    ),
    (A.RandMCM(lr=0.1, **BOTH), reference.rand_mcm, {}),
    (A.RandMCM(lr=0.1, memories="one", **BOTH), reference.rand_mcm, {"memories": "one"}),
    (A.RandMCM(lr=0.1, down_memories="one", reset=4, **BOTH), reference.rand_mcm, {"single": True, "reset": 4}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "loop", "options"), PARTIAL, ids=lambda v: type(v).__name__)
@pytest.mark.parametrize("network", [pytest.param(SOME, marks=pytest.mark.slow), COHORT], ids=["coins", "cohorts"])
@pytest.mark.thinned(3)
def test_twenty_rounds_with_absent_clients_equal_the_loop_over_clients(method, loop, options, network):
    options = {"up": ups(getattr(method, "compressor", EXACT), network), **options}
    if loop is reference.rand_mcm:
        options |= {"down": messages(Q, network, 2), "alpha": RATE, "down_alpha": RATE}
    elif hasattr(method, "down_compressor"):
        options |= {"down": downs(Q, network)}
    p = float(network.at((), jnp.asarray(0), keys_of(0)[0])[1].p)
    S = [present(network, t) for t in range(SHORT)]
    assert min(map(len, S)) < N
    expected = loop(GRAD, X0, SHORT, n=N, lr=0.1, present=lambda t: S[t], p=p, **options)
    np.testing.assert_allclose(models(method, network), expected, **CLOSE)


# What is equal to what.

LR = {"lr": 0.1}
EQUAL = [
    (A.MCM(**LR, compressor=Q, down_compressor=EXACT), A.DIANA(**LR, compressor=Q)),
    (A.RandMCM(**LR, compressor=Q, down_compressor=EXACT), A.DIANA(**LR, compressor=Q)),
    (A.Artemis(**LR, compressor=Q, down_compressor=EXACT), A.DIANA(**LR, compressor=Q)),
    (A.Ghost(**LR, compressor=Q, down_compressor=EXACT), A.DIANA(**LR, compressor=Q)),
    (A.ArtemisND(**LR, compressor=Q, down_compressor=EXACT), A.DIANA(**LR, compressor=Q)),
    (A.DIANA(**LR, compressor=Q, alpha=0.0), A.QSGD(**LR, compressor=Q)),
    (A.DIANA(**LR, compressor=Q, memories="one"), A.DIANA(**LR, compressor=Q)),
    (A.MCM(**LR, memories="one", **BOTH), A.MCM(**LR, **BOTH)),
    (A.MCM(**LR, down_alpha=0.0, **BOTH), A.MCM(**LR, down_memory=False, **BOTH)),
    (A.Artemis(**LR, alpha=0.0, **BOTH), A.BiQSGD(**LR, **BOTH)),
    (A.DORE(**LR, feedback=0.0, **BOTH), A.Artemis(**LR, **BOTH)),
    (A.DORE(**LR, form="original", feedback=0.0, **BOTH), A.Artemis(**LR, **BOTH)),
    (A.DoubleSqueeze(**LR, **TOPS), A.DistEFSGD(**LR, **TOPS)),
    *[
        (method, A.SGD(**LR))
        for method in (
            A.QSGD(**LR, compressor=EXACT), A.DIANA(**LR, compressor=EXACT), A.DIANA(**LR, compressor=EXACT, alpha=0.3),
            A.MCM(**LR, compressor=EXACT, down_compressor=EXACT, alpha=0.3, down_alpha=0.7),
            A.RandMCM(**LR, compressor=EXACT, down_compressor=EXACT),
            A.DoubleSqueeze(**LR, compressor=EXACT, down_compressor=EXACT),
        )
    ],
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:MCM.down_alpha = 0")
@pytest.mark.parametrize(("one", "other"), EQUAL, ids=lambda m: type(m).__name__)
@pytest.mark.thinned(3)
def test_methods_that_are_equal_take_the_same_steps(one, other):
    x0 = np.zeros(D) if getattr(other, "down_memory", True) is False else X0
    runs = [testing.trajectory(m, quadratic(NOISE), EVERYBODY, rounds=SHORT, x0=x0) for m in (one, other)]
    np.testing.assert_allclose(*(r.states[".x"] for r in runs), **CLOSE)


def test_with_one_client_mcm_is_rand_mcm():
    problem = quadratic(NOISE).take(jnp.arange(1))
    runs = [
        testing.trajectory(method(lr=0.1, **BOTH), problem, networks.server(1), rounds=SHORT, x0=X0)
        for method in (A.MCM, A.RandMCM)
    ]
    np.testing.assert_allclose(*(r.states[".x"] for r in runs), **CLOSE)


def test_cohorts_of_all_clients_and_certain_coins_are_everybody():
    assert "reliable" in networks.server(N, cohort=N).provides
    coins = dataclasses.replace(SOME, participation=1.0)
    method = A.RandMCM(lr=0.1, start="gradient", **BOTH)
    np.testing.assert_allclose(models(method, coins), models(method), **CLOSE)


# Memories.


def test_the_servers_single_memory_is_the_mean_of_the_clients_and_that_of_the_authors_is_divided_by_p():
    for network, p in ((EVERYBODY, 1), (SOME, 0.6 / (1 - 0.4**N)), (COHORT, 2 / N)):
        for memories, divided in (("one", 1), ("authors", p)):
            found = states(A.DIANA(lr=0.1, compressor=Q, memories=memories), network, NOISE, SHORT)
            assert np.abs(found["up.h"]).max() > 0.1
            np.testing.assert_allclose(found["up.hbar"][:, 0], found["up.h"].mean(axis=1) / divided, **CLOSE)


def test_memories_of_absent_clients_do_not_move():
    for network in (SOME, COHORT):
        found = states(A.RandMCM(lr=0.1, **BOTH), network, NOISE, SHORT)
        for t, name in product(range(SHORT), ("up.h", "down.h")):
            moved = np.any(found[name][t + 1] != found[name][t], axis=1)
            assert set(np.flatnonzero(moved)) <= set(present(network, t))
        assert np.all(np.any(found["up.h"][-1] != 0, axis=1))


@pytest.mark.parametrize("network", [SOME, pytest.param(COHORT, marks=pytest.mark.slow)], ids=["coins", "cohorts"])
def test_with_absent_clients_a_single_memory_leaves_no_error_and_one_for_each_client_does(network):
    """The gradients of those who take part do not sum to zero at the minimizer, unless those of all are in a memory."""
    minimizer = np.asarray(quadratic(0.0).minimizer)
    error = {}
    for memories in ("n", "one", "authors"):
        x = states(A.Artemis(lr=0.05, memories=memories, **BOTH), network)["x"][-1, 0]
        error[memories] = np.linalg.norm(x - minimizer)
    assert error["one"] < 1e-10
    assert error["authors"] < 1e-10
    assert error["n"] > 1e-2


def test_a_memory_contracts_at_the_rate_of_its_law():
    compressor, v, alpha = C.RandK(k=1), jnp.array([[1.0, -2.0, 3.0]]), 0.2
    D = jax.vmap(lambda key: compressor(key, v, (3,)).value)(jax.random.split(jax.random.key(0), 20000))
    omega, norm = compressor.omega((3,)), np.sum(v**2)
    np.testing.assert_allclose(np.mean(D, axis=0), v, atol=0.1)
    np.testing.assert_allclose(np.mean(np.sum((D - v[None]) ** 2, axis=2)), omega * norm, rtol=0.02)
    left = ((1 - alpha) ** 2 + alpha**2 * omega) * norm
    np.testing.assert_allclose(np.mean(np.sum((alpha * D - v[None]) ** 2, axis=2)), left, rtol=0.02)


WITH = [A.DIANA(lr=0.1, compressor=Q), A.MCM(lr=0.1, **BOTH), A.RandMCM(lr=0.1, **BOTH), A.Artemis(lr=0.1, **BOTH)]
WITHOUT = [A.QSGD(lr=0.1, compressor=Q), A.BiQSGD(lr=0.1, **BOTH), A.ArtemisND(lr=0.1, **BOTH)]


@pytest.mark.parametrize("method", WITH, ids=lambda m: type(m).__name__)
def test_with_memory_and_exact_gradients_heterogeneity_leaves_no_error(method):
    x, problem = states(method)["x"][:, 0], quadratic(0.0)
    assert np.abs(x[-1] - problem.minimizer).max() < 1e-10
    h = states(method)["up.h"][-1]
    np.testing.assert_allclose(h, problem.grad(jnp.tile(problem.minimizer, (N, 1))), atol=1e-8)


@pytest.mark.parametrize("method", WITHOUT, ids=lambda m: type(m).__name__)
def test_without_memory_heterogeneity_leaves_an_error(method):
    x = states(method)["x"][500:, 0]
    assert np.sqrt(np.mean(np.sum((x - np.asarray(quadratic(0.0).minimizer)) ** 2, axis=1))) > 1e-2


def test_what_error_feedback_leaves_out_is_only_delayed():
    for method in (
        A.DoubleSqueeze(lr=0.1, compressor=TOP, down_compressor=C.ScaledSign()),
        A.DistEFSGD(lr=SCHEDULE, compressor=TOP, down_compressor=C.ScaledSign()),
    ):
        found = states(method, EVERYBODY, NOISE, SHORT)
        left = found["e"].mean(axis=1) + found["E"][:, 0]
        for t in range(SHORT):
            lr = float(method.lr(t)) if callable(method.lr) else method.lr
            before = float(method.lr(max(t - 1, 0))) if callable(method.lr) else method.lr
            g = np.mean([GRAD(i, found["x"][t, 0], t) for i in range(N)], axis=0)
            moved = (found["x"][t + 1, 0] - lr * left[t + 1]) - (found["x"][t, 0] - before * left[t])
            np.testing.assert_allclose(moved, -lr * g, **CLOSE)


# What theory says.


def test_the_lyapunov_quantity_decreases_in_every_round():
    problem, L, seeds = homogeneous(), 1.0, 200
    method = A.MCM.from_theory(problem, EVERYBODY)
    omega = float(Q.omega((10,)))
    c = 8 * float(method.lr) * L * omega * (omega + 1)

    def V(problem, s):
        return jnp.sum((s.x - problem.minimizer[None]) ** 2) + c * jnp.sum((s.x - s.H) ** 2)

    def gap(problem, s):
        return jnp.mean(problem.loss(jnp.tile(s.x, (N, 1)))) - problem.minimum

    found = jaxdec.sweep(method, problem, EVERYBODY, seeds=seeds, rounds=60, metrics=(V, gap), progress=False)
    change = found["V"].diff("round")
    error = change.std("seed", ddof=1) / np.sqrt(seeds)
    assert bool((change.mean("seed") <= 2 * error).all())
    assert float(found["V"].mean("seed")[-1]) < 0.7 * float(found["V"].mean("seed")[0])


def test_the_bound_holds_with_equality_and_is_above_its_simple_form():
    problem = homogeneous()
    for up, down in ((Q, Q), (EXACT, Q), (Q, EXACT), (EXACT, EXACT)):
        lr = float(A.MCM.from_theory(problem, EVERYBODY, compressor=up, down_compressor=down).lr)
        wu, wd = float(up.omega((10,))), float(down.omega((10,)))
        a = 1 / (2 * (wd + 1))
        assert lr * (1 + wu / N) + 4 * lr**2 * wd / a * (1 + 2 / a + wu / N) == pytest.approx(1, abs=1e-9)
        simple = 1 / (2 * (1 + wu / N))
        if wd:
            simple = min(simple, 1 / (4 * np.sqrt(wd * (wd + 1) * (4 * wd + 5 + wu / N))))
        assert lr >= simple


@pytest.mark.parametrize(
    ("problem", "network", "settings", "message"),
    [
        (quadratic(0.0), EVERYBODY, {}, "without unequal f_i$"),
        (homogeneous(), EVERYBODY, {"alpha": None, "momentum": 0.5}, "memory of the gradients .*, momentum"),
        (homogeneous(), networks.server(N, cohort=2), {}, "absent clients"),
        (dataclasses.replace(homogeneous(), A=-homogeneous().A), EVERYBODY, {"L": 1.0}, "not convex"),
    ],
)
def test_from_theory_says_what_it_does_not_cover(problem, network, settings, message):
    with pytest.warns(UserWarning, match=message):
        A.MCM.from_theory(problem, network, **settings)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (A.MCM(lr=0.1, down_alpha=1.0, **BOTH), r"MCM.down_alpha = 1 is outside .* = 1.73 in the mean.* diverges"),
        (A.MCM(lr=0.1, down_alpha=0.0, **BOTH), r"MCM.down_alpha = 0: .*stalls"),
        (A.DIANA(lr=0.1, compressor=Q, alpha=0.5), r"DIANA.alpha = 0.5 is outside .*no bound covers"),
        (A.DoubleSqueeze(lr=0.1, **BOTH), r"DoubleSqueeze.feedback = 1.0 with a Quantization.*Scaled\(Quantization"),
    ],
)
def test_settings_that_the_theory_forbids_warn_of_what_will_happen(method, message):
    with pytest.warns(UserWarning, match=message):
        jaxdec.run(method, quadratic(0.0), EVERYBODY, rounds=1, x0=X0)


def test_a_divergent_rate_diverges_and_allowed_ones_agree():
    x_star = np.asarray(quadratic(0.0).minimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        errors = {
            a: np.abs(states(A.MCM(lr=0.3, down_alpha=a, **BOTH))["x"][-1, 0] - x_star).max() for a in (0.0, 0.1, 1.0)
        }
    assert errors[0.1] < 1e-9
    assert not errors[0.0] < 1e-3
    assert not errors[1.0] < 1e-3
