"""What a run costs, counted message by message: per node over all nodes, whoever takes part."""

from itertools import pairwise, product
from math import comb

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rounds
from jax.tree_util import Partial

import jaxdec
from jaxdec import algorithms as A
from jaxdec import compressors, data, networks, problems, results, scaling, sweep
from jaxdec.networks.servers import Mean
from jaxdec.problems.linear import LeastSquares
from jaxdec.types import Round, Tally

pytestmark = pytest.mark.sampled(14)

N, D, K, ROUNDS, SEED = 6, 5, 3, 10, 7
PROBLEM = problems.quadratic(N, D, noise=0.1)
WHO = {"everybody": {}, "coins": {"participation": 0.4}, "cohort": {"cohort": 2}}

# Messages one by one.

FULL = 32 * D  # bits of a d-vector
Q, TOP = compressors.Quantization(levels=1), compressors.TopK(k=1)
SHORT, ONE = 32 + 8, 32 + 3  # its norm and 5 signs of three kinds; a number and its place among 5
BOTH, TOPS = {"compressor": Q, "down_compressor": Q}, {"compressor": TOP, "down_compressor": TOP}
SGD = Partial(optax.sgd, learning_rate=0.1)
local = {"lr": 0.1, "local_steps": K}
METHODS = {  # a client's gradients, vectors up and their bits, the bits of the server's message, and to whom that goes:
    # a model to those who take part, a step to all, now or later, its own to each of those who take part; vectors first
    "SGD": (A.SGD(lr=0.1), 1, 1, FULL, FULL, "model", 0),
    "QSGD": (A.QSGD(lr=0.1, compressor=Q), 1, 1, SHORT, FULL, "model", 0),
    "BiQSGD": (A.BiQSGD(lr=0.1, **BOTH), 1, 1, SHORT, SHORT, "step", 0),
    "DIANA": (A.DIANA(lr=0.1, compressor=Q, start="gradient"), 1, 1, SHORT, FULL, "model", 1),
    "Artemis": (A.Artemis(lr=0.1, start="zero", **BOTH), 1, 1, SHORT, SHORT, "step", 0),
    "DORE": (A.DORE(lr=0.1, start="gradient", memories="one", **BOTH), 1, 1, SHORT, SHORT, "step", 1),
    "RandMCM": (A.RandMCM(lr=0.1, start="zero", **BOTH), 1, 1, SHORT, SHORT, "own", 0),
    "LocalSGD": (A.LocalSGD(**local), K, 1, FULL, FULL, "model", 0),
    "SCAFFOLD I": (A.SCAFFOLD(**local, option="I"), K + 1, 2, 2 * FULL, 2 * FULL, "model", 0),
    "SCAFFOLD II": (A.SCAFFOLD(**local), K, 2, 2 * FULL, 2 * FULL, "model", 0),
    "FedOpt": (A.FedOpt(SGD, SGD, local_steps=K), K, 1, FULL, FULL, "model", 0),
    "SAVIC": (A.SAVIC(**local, scaling=scaling.OASIS(alpha=0.1)), K + 1, 2, 2 * FULL, 2 * FULL, "model", 0),
    "LocalSAVIC": (A.LocalSAVIC(**local, scaling=scaling.Adam(alpha=0.1)), K, 1, FULL, FULL, "model", 0),
    "MCM": (A.MCM(lr=0.1, **BOTH), 1, 1, SHORT, SHORT, "step", 1),
    "Ghost": (A.Ghost(lr=0.1, start="zero", **BOTH), 1, 1, SHORT, SHORT, "step", 0),
    "ArtemisND": (A.ArtemisND(lr=0.1, start="zero", **BOTH), 1, 1, SHORT, SHORT, "step", 0),
    "DoubleSqueeze": (A.DoubleSqueeze(lr=0.1, **TOPS), 1, 1, ONE, ONE, "step", 0),
    "DistEFSGD": (A.DistEFSGD(lr=0.1, **TOPS), 1, 1, ONE, ONE, "step", 0),
}


def simulated(present, grads, vectors, up, down, to, first, once):
    """The totals after every round, all clients together, one client and one message after the other."""
    total = {"grads": 0, "vectors": first * N, "bits": first * N * FULL, "bits_down": 0, "rounds_present": 0}
    found = [dict(total)]
    for taking_part in present:
        for i in range(N):
            if taking_part[i]:
                total["grads"] += grads
                total["vectors"] += vectors
                total["bits"] += up
                total["rounds_present"] += 1
            if (taking_part[i] or to == "step") and (to == "own" or not once):
                total["bits_down"] += down
        if once and to != "own":
            total["bits_down"] += down
        found.append(dict(total))
    return {name: np.array([at[name] for at in found]) for name in total}


QUICK = ("coins", "each"), ("cohort", "once")
CASES = [
    pytest.param(name, *how, marks=[] if k % 2 == 0 and how == QUICK[k // 2 % 2] else [pytest.mark.slow])
    for (k, name), how in product(enumerate(METHODS), product(WHO, ("each", "once")))
    if "everybody" in how or METHODS[name][0].absent == "own"
]


@pytest.mark.parametrize(("name", "who", "broadcast"), CASES)
def test_a_server_pays_for_each_gradient_and_each_message(name, who, broadcast):
    method, *counts = METHODS[name]
    network = networks.server(N, **WHO[who], broadcast=broadcast)
    expected = simulated(rounds.presence(network, N, SEED, ROUNDS), *counts, once=broadcast == "once")
    with jax.disable_jit():  # compiling takes longer than ten rounds
        cost = jaxdec.run(method, PROBLEM, network, rounds=ROUNDS, seed=SEED, metrics=["consensus"]).cost
    for entry, total in expected.items():
        np.testing.assert_allclose(N * getattr(cost, entry), total, rtol=1e-14, err_msg=entry)


# Unequal shares.

SHARES = (10, 30, 55, 180)  # 68.75 in the mean


def shared() -> problems.FiniteSum:
    rng = np.random.default_rng(0)
    samples = data.dataset(rng.standard_normal((sum(SHARES), 2)), rng.standard_normal(sum(SHARES)))
    ends = np.cumsum((0, *SHARES))
    parts = data.from_lists([range(a, b) for a, b in pairwise(ends)], sum(SHARES))
    return problems.least_squares(samples, parts, bias=False)


def who(network, n):
    """Who takes part in each round, (ROUNDS, n), where the network may have a memory."""
    streams = rounds.keys(SEED)

    def step(memory, t):
        memory, world = network.at(memory, t, rounds.keys_of(streams, t)[0])
        if world.clients is not None:
            return memory, jnp.zeros(n, bool).at[world.clients].set(True)
        return memory, jnp.ones(n, bool) if world.active is None else world.active

    return np.asarray(jax.lax.scan(step, network.init(streams.network), jnp.arange(ROUNDS))[1])


def test_exact_gradients_cost_the_samples_of_those_present():
    n, sizes = len(SHARES), np.array(SHARES)
    for method, network, times in (
        (A.SGD(lr=0.01), networks.server(n), 1), (A.SGD(lr=0.01), networks.server(n, cohort=2), 1),
        (A.LocalSGD(lr=0.01, local_steps=K), networks.server(n, participation=0.3), K),
        (A.LocalSGD(lr=0.01, local_steps=K), networks.server(n, cohort=1), K),
        (A.DSGD(lr=0.01), networks.sleeping(networks.ring(n), 0.4), 1),
    ):  # fmt: skip
        present = who(network, n)
        cost = jaxdec.run(method, shared(), network, rounds=ROUNDS, every=5, seed=SEED).cost
        expected = np.concatenate([[0], np.cumsum(times * present @ sizes)])[::5]
        np.testing.assert_array_equal(n * cost.grads, expected)
        np.testing.assert_allclose(n * cost.rounds_present, [0, present[:5].sum(), present.sum()], rtol=1e-15)
    tracked = jaxdec.run(A.GradientTracking(lr=0.01), shared(), networks.ring(n), rounds=3).cost
    np.testing.assert_array_equal(tracked.grads, 68.75 * np.arange(1, 5))


def test_counts_are_exact_also_in_float32():
    sizes = (1, 33331, 16669)  # 50001 / 3 is no float32; nor is a third
    with jax.enable_x64(False):
        table = jnp.zeros((3, max(sizes)), jnp.int32)
        problem = problems.FiniteSum(LeastSquares(1), jnp.ones((2, 1)), jnp.ones(2), table, jnp.asarray(sizes))
        for network, present in (
            (networks.server(3), np.ones((ROUNDS, 3), int)),
            (
                networks.server(3, participation=0.5),
                rounds.presence(networks.server(3, participation=0.5), 3, 3, ROUNDS),
            ),
        ):
            cost = jaxdec.run(A.LocalSGD(lr=0.01, local_steps=7), problem, network, rounds=ROUNDS, seed=3).cost
            expected = np.cumsum(7 * present.astype(np.int64) @ np.array(sizes)) / 3
            # Thirds, of which each is rounded in float64; in float32 they would be 6e-8 away.
            np.testing.assert_allclose(cost.grads[1:], expected, rtol=1e-15)
            np.testing.assert_allclose(cost.vectors[1:], np.cumsum(present.sum(axis=1)) / 3, rtol=1e-15)


def test_tallies_are_exact_beyond_32_bits():
    with jax.enable_x64(False):
        counts = jnp.full(3, 2**31 - 1, jnp.int32)
        assert float(Tally.of(counts, 1, 3)) == 2**31 - 1
        stacked = jax.vmap(lambda c: Tally.of(c, 2, 3))(jnp.tile(counts, (100, 1)))
        assert float(stacked.summed()) == 200 * (2**31 - 1)
        rounds = Tally(jnp.zeros(40_000, jnp.int32), jnp.full(40_000, 65_535, jnp.int32), 1, 1)
        assert float(rounds.summed()) == 40_000 * 65_535  # more than 2^31
        assert float(Tally.of(jnp.full(40_000, 65_535, jnp.int32), 1, 1)) == 40_000 * 65_535


# The time that it takes.


def test_a_round_lasts_as_long_as_for_those_who_take_part():
    link = results.Link(latency=0.0, bandwidth=32_000.0, seconds_per_gradient=1.0)
    problem, method = problems.quadratic(100, 1000), A.LocalSGD(lr=0.1, local_steps=5)
    for network in (networks.server(100), networks.server(100, cohort=10), networks.server(100, participation=0.1)):
        found = jaxdec.run(method, problem, network, rounds=10, every=5, metrics=["consensus"])
        np.testing.assert_allclose(results.add_time(found, link)["seconds"], [0, 35, 70], rtol=1e-12)


def test_how_many_rounds_nodes_took_part_in_is_told_where_that_is_not_all():
    how = {"rounds": 4, "every": 2, "seeds": 2, "metrics": ["consensus"], "progress": False}
    whole = {"all": networks.server(N), "once": networks.server(N, broadcast="once")}
    assert "rounds_present" not in sweep(A.SGD(lr=0.1), PROBLEM, whole, **how).coords
    found = sweep(A.SGD(lr=0.1), PROBLEM, whole | {"two": networks.server(N, cohort=2)}, **how)["rounds_present"]
    np.testing.assert_allclose(found.sel(network="two"), [0, 2 / 3, 4 / 3], rtol=1e-15)
    np.testing.assert_allclose(found.sel(network="all"), [0, 2, 4], rtol=1e-15)


# The probability of taking part.


def outcomes(n, p):
    """Who takes part, and with what probability: coins, given that not all fail."""
    for code in range(1, 2**n):
        active = np.array([code >> i & 1 for i in range(n)], bool)
        yield active, p ** active.sum() * (1 - p) ** (~active).sum() / (1 - (1 - p) ** n)


def round_with(network, active):
    n, key = network.n, jax.random.key(0)
    _, world = network.at((), jnp.asarray(0), key)
    active = jnp.asarray(active)
    return Round(n, jnp.dtype(float), jnp.asarray(0), key, key, Mean(n, active), active, p=world.p)


@pytest.mark.parametrize("p", [0.1, 0.5])
@pytest.mark.parametrize("method", [A.SGD(lr=0.1), A.QSGD(lr=0.1, compressor=compressors.Identity())])
def test_the_mean_step_of_coins_is_that_of_everybody(p, method):
    n = 2
    problem, network = problems.quadratic(n, 3, zeta=1.0), networks.server(n, participation=p)
    x0 = jnp.ones((n, 3))
    mean = 0.0
    for active, probability in outcomes(n, p):
        r = round_with(network, active)
        state, _ = method.init(problem, x0, r)
        mean = mean + probability * (method.step(problem, state, r)[0].x - state.x)
    np.testing.assert_allclose(mean[0], -0.1 * problem.grad(x0).mean(axis=0), rtol=1e-13)


def test_a_hundred_equal_clients_that_rarely_take_part_step_as_far_as_everybody():
    n, p = 100, 0.01
    network = networks.server(n, participation=p)
    problem = problems.Quadratic(jnp.ones((n, 1)), jnp.ones((n, 1)), None)  # a gradient of -1 at zero
    lengths = []
    for k in range(1, n + 1):
        r = round_with(network, np.arange(n) < k)
        state, _ = A.SGD(lr=0.1).init(problem, jnp.zeros((n, 1)), r)
        lengths.append(float(A.SGD(lr=0.1).step(problem, state, r)[0].x[0, 0]) if k < 4 else lengths[0] * k)
    np.testing.assert_allclose(lengths[:3], lengths[0] * np.arange(1, 4), rtol=1e-13)

    law = [comb(n, k) * p**k * (1 - p) ** (n - k) / (1 - (1 - p) ** n) for k in range(1, n + 1)]
    np.testing.assert_allclose(np.dot(law, lengths), 0.1, rtol=1e-12)


# A single memory.


@pytest.mark.parametrize("memories", ["n", "one", "authors"])
@pytest.mark.parametrize("where", ["anywhere", "minimizer"])
def test_the_estimate_with_a_single_memory_is_unbiased_and_the_authors_at_the_minimizer_alone(memories, where):
    """Two rounds, over all who may take part in them; the memories, which are exact, follow the gradients at rest."""
    n, p, alpha = 3, 0.4, 0.5
    problem, network = problems.quadratic(n, 2, zeta=1.0), networks.server(n, participation=p)
    x = jnp.tile(problem.minimizer if where == "minimizer" else jnp.ones(2), (n, 1))
    method = A.DIANA(
        lr=0.0, compressor=compressors.Identity(), alpha=alpha, memories=memories, start="zero", momentum=0.0
    )
    first, second, h = 0.0, 0.0, 0.0
    for active, probability in outcomes(n, p):
        r = round_with(network, active)
        state, _ = method.init(problem, x, r)
        after, _ = method.step(problem, state, r)
        first, h = first + probability * after.v, h + probability * after.up.h.mean(axis=0)
        for later, chance in outcomes(n, p):
            second = second + probability * chance * method.step(problem, after, round_with(network, later))[0].v
    g, true_p = problem.grad(x).mean(axis=0), p / (1 - (1 - p) ** n)
    np.testing.assert_allclose(h, alpha * true_p * g, atol=1e-13)
    np.testing.assert_allclose(first[0], g, atol=1e-13)
    bias = (1 / true_p - 1) * h if memories == "authors" else 0 * h
    np.testing.assert_allclose(second[0], g + bias, atol=1e-13)
    assert (np.abs(bias).max() > 1e-2) == (memories == "authors" and where == "anywhere")


@pytest.mark.parametrize("memories", ["one", "authors"])
def test_memories_that_start_at_the_gradients_step_as_far_as_the_gradient(memories):
    problem = problems.Quadratic(jnp.ones((10, 1)), jnp.ones((10, 1)), None)
    method = A.DIANA(lr=0.1, compressor=Q, memories=memories, start="gradient")
    for network in (networks.server(10), networks.server(10, cohort=1), networks.server(10, participation=0.1)):
        state = jaxdec.run(method, problem, network, rounds=1).state
        np.testing.assert_allclose(state.x, [[0.1]], rtol=1e-13)


def test_a_reset_is_of_the_clients_of_that_round():
    network = networks.server(N, cohort=2)
    method = A.RandMCM(lr=0.1, **BOTH, down_memories="one", reset=3)
    found = jaxdec.testing.trajectory(method, PROBLEM, network, rounds=ROUNDS, x0=np.ones(D), seed=SEED).states
    present, H = rounds.presence(network, N, SEED, ROUNDS), found[".down.h"]
    for t in range(ROUNDS):
        assert set(np.flatnonzero(np.any(H[t + 1] != H[t], axis=1))) <= set(np.flatnonzero(present[t]))
