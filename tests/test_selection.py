"""Which clients of a server take part: among those awake, by selections, and by their losses."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdec
from jaxdec import algorithms as A
from jaxdec import compressors, data, networks, problems, spec
from jaxdec.networks import server, sleeping
from jaxdec.networks.outages import AtLeast, Cyclic, Independent, Markov, Poisson, Trace
from jaxdec.networks.selection import BySize
from jaxdec.types import Round

pytestmark = pytest.mark.sampled(12)

N, D = 6, 3
PROBLEM = problems.quadratic(N, D, zeta=2.0)
UNEQUAL = np.array([0.1, 0.2, 0.3, 0.5, 0.7, 0.8])
SIZES = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 30.0])
V = np.arange(1.0, N + 1)[:, None] * np.array([1.0, -2.0])
GIVEN = np.random.default_rng(0).random((8, N)) < 0.6
GIVEN[3] = True  # nobody is awake
GIVEN[4] = False


@partial(jax.jit, static_argnames="rounds")
def watched(network, seed, rounds):
    """Who takes part, whether somebody does, and the mean of V as a method takes it, of the first rounds of a run."""
    key = jax.random.key(seed)

    def step(memory, t):
        at = jax.random.fold_in(key, t)
        memory, world = network.at(memory, t, at)
        r = Round(N, jnp.dtype(float), t, key, at, **world._asdict())
        active = jnp.ones(r.m, bool) if r.active is None else r.active
        nodes = jnp.arange(N) if r.clients is None else r.clients
        present = jnp.zeros(N, bool).at[nodes].set(active)
        somebody = jnp.asarray(True) if r.idle is None else ~r.idle
        return memory, (present, somebody, r.mean(r.rows(jnp.asarray(V)))[0], jnp.broadcast_to(r.p, (N,)))

    return jax.lax.scan(step, network.init(key), jnp.arange(rounds))[1]


def seen(network, *, rounds, seeds):
    """The same of many seeds, (seeds * rounds, ...)."""
    found = jax.vmap(lambda seed: watched(network, seed, rounds))(jnp.arange(seeds))
    return tuple(np.asarray(a).reshape(seeds * rounds, *a.shape[2:]) for a in found)


SERVERS = {
    "everybody": server(N),
    "coins": server(N, participation=0.5),
    "cohort": server(N, cohort=2),
}
ACTIVITIES = {
    "independent": Independent(0.5),
    "unequal": Independent(UNEQUAL),
    "bursts": Markov(0.5, 3.0),
    "arrivals": Poisson(0.7),
    "two awake": AtLeast(2, 0.7),
    "two of unequal": AtLeast(2, UNEQUAL),
}
UNBIASED = {f"{s}, {a}": sleeping(SERVERS[s], ACTIVITIES[a]) for s in SERVERS for a in ACTIVITIES}
UNBIASED |= {
    "by size": server(N, cohort=3, selection=BySize(SIZES)),
    "by size, replaced": server(N, cohort=3, selection=BySize(SIZES, replace=True)),
    "round robin": server(N, cohort=4, selection="round robin"),
    "round robin, independent": sleeping(server(N, cohort=2, selection="round robin"), 0.5),
}


@pytest.mark.parametrize("name", UNBIASED)
@pytest.mark.thinned(5)
def test_what_divides_by_p_has_the_mean_over_all_clients_for_its_expectation(name):
    present, somebody, mean, p = seen(UNBIASED[name], rounds=2, seeds=8000)
    assert np.all(np.isfinite(mean[somebody]))
    np.testing.assert_array_equal(present.any(axis=1), somebody)
    error = mean[somebody].mean(axis=0) - V.mean(axis=0)
    assert np.all(np.abs(error) <= 5 * mean[somebody].std(axis=0) / np.sqrt(somebody.sum() / 2) + 1e-12)
    if name != "by size, replaced":  # there p goes with the round
        q = p[0]
        np.testing.assert_array_less(
            np.abs(present[somebody].mean(axis=0) - q), 5 * np.sqrt(q * (1 - q) / (somebody.sum() / 2)) + 1e-9
        )


PERIODS = {"a trace": Trace(GIVEN, repeat=True), "drawn": Cyclic(8, 3), "given": Cyclic(4, 2, [0, 1, 2, 3, 0, 1])}


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.thinned(3)
def test_over_the_rounds_of_a_period_the_mean_is_that_over_all_clients(name, period):
    """Exactly, where no coins are drawn besides."""
    for seed in range(3):
        network = sleeping(SERVERS[name], PERIODS[period])
        present, somebody, mean, p = (np.asarray(a) for a in watched(network, seed, 8 if name == "everybody" else 4000))
        assert np.all(np.isfinite(mean))
        several = somebody.sum()
        away = 1e-12 if name == "everybody" else 5 * mean[somebody].std(axis=0) / np.sqrt(several)
        assert np.all(np.abs(mean[somebody].mean(axis=0) - V.mean(axis=0)) <= away)
        if name == "everybody":
            np.testing.assert_allclose(present[somebody].mean(axis=0), p[0], rtol=1e-6)


def test_a_cohort_is_of_those_awake_as_many_as_there_are():
    failed = np.random.default_rng(1).random((60, N)) < 0.6
    for chosen in ("uniform", "round robin"):
        network = server(N, cohort=3, selection=chosen)
        network = sleeping(network, Trace(failed)) if chosen == "uniform" else sleeping(network, 0.6)
        asleep = failed
        if chosen == "round robin":
            _, own = jax.random.split(jax.random.key(0))
            memory = network.activity.init(own, (N,))
            asleep = np.asarray(jax.lax.scan(network.activity.at, memory, jnp.arange(60))[1])
        present = np.asarray(watched(network, 0, 60)[0])
        assert not np.any(present & asleep)
        np.testing.assert_array_equal(present.sum(axis=1), np.minimum(3, (~asleep).sum(axis=1)))


@pytest.mark.parametrize("name", [*SERVERS, "round robin"])
@pytest.mark.thinned(2)
def test_where_nobody_sleeps_those_take_part_who_would_without_sleep(name):
    plain = SERVERS.get(name, server(N, cohort=4, selection="round robin"))
    awake = sleeping(plain, 0.0)
    at = lambda network, t: network.at(network.init(jax.random.key(0)), jnp.asarray(t), jax.random.key(t))[1]
    rows = lambda world: [] if world.clients is None else world.clients.tolist()
    if name != "round robin":  # who is first is drawn with the key of init, which sleep splits
        for t in range(5):
            one, other = at(plain, t), at(awake, t)
            assert rows(one) == rows(other)
            np.testing.assert_array_equal(other.active if one.active is None else other.active == one.active, True)
    np.testing.assert_allclose(at(plain, 0).p, at(awake, 0).p, rtol=1e-6)


# What methods do with it.

METHODS = {
    "SGD": A.SGD(lr=0.05),
    "LocalSGD": A.LocalSGD(lr=0.05, local_steps=2),
    "SCAFFOLD": A.SCAFFOLD(lr=0.05, local_steps=2),
    "DIANA": A.DIANA(lr=0.05, compressor=compressors.Quantization(levels=4), memories="one", momentum=0.5),
    "Artemis": A.Artemis(lr=0.05, compressor=compressors.Quantization(levels=4),
                         down_compressor=compressors.Quantization(levels=4)),
    "power of choice": A.PowerOfChoice(A.SCAFFOLD(lr=0.05, local_steps=2), clients=1),
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("chosen", ["everybody", "cohort"])
@pytest.mark.thinned(4)
def test_where_all_sleep_nothing_happens_and_who_is_absent_keeps_what_it_has(name, chosen):
    network = sleeping(SERVERS[chosen], Trace(GIVEN))
    found = jaxdec.testing.trajectory(METHODS[name], PROBLEM, network, rounds=8, x0=np.ones(D), seed=2)
    present = np.asarray(watched_in_a_run(network, 2, 8))
    for array in found.states.values():
        assert np.all(np.isfinite(array))
        np.testing.assert_array_equal(array[4], array[3])
        if array.ndim > 1 and array.shape[1] == N:
            for t in range(8):
                np.testing.assert_array_equal(array[t + 1][~present[t]], array[t][~present[t]])
    assert np.abs(found.states[".x"][3] - found.states[".x"][2]).max() > 0
    for entry in ("grads", "vectors", "bits", "bits_down", "rounds_present"):
        spent = np.diff(getattr(found.cost, entry))
        assert spent[3] == 0
        assert np.all(np.delete(spent, 3) > 0)
    np.testing.assert_allclose(np.diff(found.cost.rounds_present), present.mean(axis=1))


def watched_in_a_run(network, seed, rounds):
    """Who takes part in the first rounds of a run."""
    who = lambda problem, state, world: {"who": _present(world)}
    return jaxdec.run(A.SGD(lr=0.1), PROBLEM, network, rounds=rounds, seed=seed, metrics=(who,)).metrics["who"][1:]


def _present(world):
    nodes = jnp.arange(N) if world.clients is None else world.clients
    return jnp.zeros(N, bool).at[nodes].set(jnp.ones(nodes.shape, bool) if world.active is None else world.active)


def test_costs_of_those_awake_are_counted():
    asleep = Trace(GIVEN)
    present = 1 - GIVEN.mean(axis=1)
    spent = jaxdec.run(A.LocalSGD(lr=0.1, local_steps=3), PROBLEM, sleeping(server(N), asleep), rounds=8).cost
    np.testing.assert_allclose(np.diff(spent.grads), 3 * present)
    np.testing.assert_allclose(np.diff(spent.bits), 32 * D * present)
    np.testing.assert_allclose(np.diff(spent.bits_down), 32 * D * present)
    once = sleeping(server(N, broadcast="once"), asleep)
    spent = jaxdec.run(A.LocalSGD(lr=0.1, local_steps=3), PROBLEM, once, rounds=8).cost
    np.testing.assert_allclose(np.diff(spent.bits_down), 32 * D / N * (present > 0))


def test_scaffold_keeps_the_mean_of_its_control_variates_and_reaches_the_minimizer_while_clients_sleep():
    for chosen in SERVERS.values():
        network = sleeping(chosen, Markov(0.4, 4.0))
        end = jaxdec.run(A.SCAFFOLD(lr=0.1, local_steps=2), PROBLEM, network, rounds=1500, every=1500)
        np.testing.assert_allclose(end.state.c, end.state.c_i.mean(axis=0, keepdims=True), atol=1e-12)
        assert end.metrics["distance"][-1] < 1e-9


@pytest.mark.parametrize("chosen", ["uniform", "round robin"])
@pytest.mark.thinned(2)
def test_a_run_of_a_server_that_is_cut_goes_on_to_the_bit(chosen, tmp_path):
    network = sleeping(server(N, cohort=3, selection=chosen), Markov(0.5, 6.0))
    go = partial(jaxdec.run, A.SCAFFOLD(lr=0.1, local_steps=2), PROBLEM, network, every=5, seed=1)
    whole = go(rounds=90)
    for rounds in (35, 90):
        cut = go(rounds=rounds, checkpoint=tmp_path / "run", checkpoint_every=5)
    jax.tree.map(np.testing.assert_array_equal, cut.state, whole.state)
    np.testing.assert_array_equal(cut.cost.grads, whole.cost.grads)


def test_the_probability_of_sleep_is_swept_in_one_program_and_all_methods_meet_the_same():
    network = sleeping(server(N, cohort=3), 0.5)
    over = {"network.activity.probability": [0.0, 0.5, 0.9]}
    methods = {"LocalSGD": A.LocalSGD(lr=0.1, local_steps=2), "SGD": A.SGD(lr=0.1)}
    found = jaxdec.sweep(methods, PROBLEM, network, over=over, rounds=20, seeds=2)
    assert found.attrs["programs"] == 2
    one, other = (found.rounds_present.sel(algorithm=name).values for name in methods)
    np.testing.assert_array_equal(one, other)
    in_32_bits = jaxdec.run(methods["SGD"], PROBLEM, network, rounds=20, x0=np.zeros(D, np.float32))
    in_64_bits = jaxdec.run(methods["SGD"], PROBLEM, network, rounds=20, x0=np.zeros(D))
    assert in_32_bits.state.x.dtype == np.float32
    np.testing.assert_array_equal(in_32_bits.cost.rounds_present, in_64_bits.cost.rounds_present)


# Selections.


@pytest.mark.parametrize(("n", "m"), [(6, 1), (6, 4), (5, 3), (4, 3)])
def test_round_robin_takes_every_client_m_times_in_n_rounds(n, m):
    network = server(n, cohort=m, selection="round robin")
    memory, present, firsts = network.init(jax.random.key(0)), np.zeros((2 * n, n), int), set()
    for t in range(2 * n):
        memory, world = network.at(memory, jnp.asarray(t), jax.random.key(t))
        present[t, np.asarray(world.clients)] = 1
    assert np.all(present.sum(axis=1) == m)
    np.testing.assert_array_equal(present[:n].sum(axis=0), m)
    gaps = [np.diff(np.flatnonzero(present[:, i])).max() for i in range(n)]
    assert max(gaps) <= -(-n // m)
    firsts = {int(network.init(jax.random.key(seed))) for seed in range(60)}
    assert firsts == set(range(n))


def test_clients_by_size_are_drawn_one_after_the_other_or_independently():
    share = SIZES / SIZES.sum()
    present, *_ = seen(server(N, cohort=2, selection=BySize(SIZES)), rounds=1, seeds=20000)
    pairs = np.bincount(present @ (1 << np.arange(N)), minlength=2**N) / len(present)
    for i, j in itertools.combinations(range(N), 2):
        law = share[i] * share[j] * (1 / (1 - share[i]) + 1 / (1 - share[j]))
        assert abs(pairs[(1 << i) + (1 << j)] - law) <= 5 * np.sqrt(law * (1 - law) / len(present))
    network = server(N, cohort=3, selection=BySize(SIZES, replace=True))
    times = 3 * np.asarray(jax.vmap(partial(_weights, network))(jax.random.split(jax.random.key(1), 20000)))
    np.testing.assert_allclose(times, np.round(times), atol=1e-6)
    np.testing.assert_allclose(times.sum(axis=1), 3, atol=1e-6)
    assert np.all(np.abs(times.mean(axis=0) - 3 * share) <= 5 * np.sqrt(3 * share * (1 - share) / 20000))
    thrice = share[-1] ** 3
    assert abs(np.mean(times[:, -1] > 2.5) - thrice) <= 5 * np.sqrt(thrice * (1 - thrice) / 20000)


def _weights(network, key):
    """What each client weighs in a round's mean, (n,)."""
    _, world = network.at(network.init(key), jnp.asarray(0), key)
    return jnp.zeros(N).at[world.clients].add(world.W.dense()[0])


def test_a_client_that_may_be_drawn_twice_has_no_memory():
    network = server(N, cohort=3, selection=BySize(SIZES, replace=True))
    for method in (METHODS["SCAFFOLD"], METHODS["DIANA"]):
        with pytest.raises(ValueError, match=r"remembers something of each client.* without replacement"):
            jaxdec.run(method, PROBLEM, network, rounds=1)
    for method in (METHODS["SGD"], METHODS["LocalSGD"]):
        assert np.all(np.isfinite(jaxdec.run(method, PROBLEM, network, rounds=20).state.x))


# Power of choice.


def reference(problem, cohorts, x0, *, m, lr, K):
    """Local SGD of the m clients of highest loss in each cohort, client by client; exact gradients."""
    x, path = x0, [x0]
    for clients in cohorts:
        losses = np.asarray(problem.loss(jnp.tile(x, (N, 1))))
        best = sorted(clients, key=lambda i: -losses[i])[:m]
        ends = []
        for i in best:
            y = x
            for _ in range(K):
                y = y - lr * np.asarray(problem.grad(jnp.tile(y, (N, 1))))[i]
            ends.append(y)
        x = np.mean(ends, axis=0)
        path.append(x)
    return np.array(path)


@pytest.mark.parametrize("kind", ["sleep", "cohort", "by size"])
@pytest.mark.thinned(3)
def test_power_of_choice_takes_those_of_the_highest_losses(kind):
    network = server(N, cohort=4, selection=BySize(SIZES) if kind == "by size" else "uniform")
    network = sleeping(network, 0.6) if kind == "sleep" else network
    present = watched_in_a_run(network, 3, 12)
    cohorts = [np.flatnonzero(row) for row in present]
    method = A.PowerOfChoice(A.LocalSGD(lr=0.1, local_steps=2), clients=2)
    found = jaxdec.testing.trajectory(method, PROBLEM, network, rounds=12, x0=np.ones(D), seed=3)
    kept = [c for c in cohorts if len(c)]
    path = reference(PROBLEM, kept, np.ones(D), m=2, lr=0.1, K=2)
    x = found.states[".x"][:, 0]
    moved = np.r_[True, [len(c) > 0 for c in cohorts]]
    np.testing.assert_allclose(x[moved], path, rtol=0, atol=1e-12)
    assert kind != "sleep" or {len(c) for c in cohorts} >= {1, 2, 3}


def test_power_of_choice_pays_for_losses_and_for_sending_the_model_to_all_candidates():
    method = A.PowerOfChoice(A.LocalSGD(lr=0.1, local_steps=5), clients=2)
    spent = jaxdec.run(method, PROBLEM, server(N, cohort=4), rounds=3).cost
    np.testing.assert_allclose(np.diff(spent.grads), (4 + 2 * 5) / N)
    np.testing.assert_allclose(np.diff(spent.vectors), 2 / N)
    np.testing.assert_allclose(np.diff(spent.bits), (2 * 32 * D + 4 * 32) / N)
    np.testing.assert_allclose(np.diff(spent.bits_down), 4 * 32 * D / N)
    once = jaxdec.run(method, PROBLEM, server(N, cohort=4, broadcast="once"), rounds=3).cost
    np.testing.assert_allclose(np.diff(once.bits_down), 32 * D / N)
    network = sleeping(server(N, cohort=4), 0.5)
    many = watched_in_a_run(network, 0, 20).sum(axis=1)
    slept = jaxdec.run(method, PROBLEM, network, rounds=20).cost
    np.testing.assert_allclose(np.diff(slept.grads) * N, many + 5 * np.minimum(2, many))
    np.testing.assert_allclose(np.diff(slept.bits) * N, 32 * many + 32 * D * np.minimum(2, many))
    np.testing.assert_allclose(np.diff(slept.bits_down) * N, 32 * D * many)


def test_a_loss_costs_all_the_data_of_a_client():
    digits = data.digits()
    parts = data.from_lists([range(5), range(5, 12), range(20, 24)], len(digits.targets))
    problem = problems.softmax(digits, parts, batch_size=3)
    method = A.PowerOfChoice(A.LocalSGD(lr=0.1, local_steps=2), clients=1)
    spent = jaxdec.run(method, problem, server(3), rounds=4).cost
    np.testing.assert_allclose(np.diff(spent.grads) * 3, 5 + 7 + 4 + 2 * 3)
    exact = problems.softmax(digits, parts)
    spent = np.diff(jaxdec.run(method, exact, server(3), rounds=4).cost.grads) * 3 - (5 + 7 + 4)
    assert set(np.round(spent, 9)) <= {10.0, 14.0, 8.0}


def test_of_as_many_candidates_as_are_chosen_it_is_the_method_itself():
    for inner in (METHODS["SCAFFOLD"], A.SGD(lr=lambda t: 0.1 / (1 + t))):
        go = partial(jaxdec.run, network=server(N, cohort=3), problem=PROBLEM, rounds=15)
        one, other = go(A.PowerOfChoice(inner, clients=3)), go(inner)
        np.testing.assert_allclose(one.state.x, other.state.x, rtol=0, atol=1e-12)


def test_ties_are_broken_at_random():
    equal = problems.Quadratic(jnp.ones((N, D)), jnp.zeros((N, D)), 0.0)
    method, chosen = A.PowerOfChoice(METHODS["SCAFFOLD"], clients=1), np.zeros(N)
    for seed in range(30):
        start = jaxdec.run(method, equal, server(N), rounds=1, x0=np.ones(D), seed=seed)
        chosen += np.any(np.asarray(start.state.c_i) != 0, axis=1)
    assert chosen.sum() == 30
    assert np.sum(chosen > 0) >= 4


def test_selections_and_activities_are_written_in_a_file(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text("""
        rounds = 2
        [algorithms.PowerOfChoice]
        clients = 2
        method = {type = "LocalSGD", lr = 0.1, local_steps = 2}
        [problem]
        type = "quadratic"
        n = 3
        d = 2
        [networks.chosen]
        type = "server"
        n = 3
        cohort = 2
        selection = {type = "BySize", sizes = [1, 2, 3]}
        [networks.asleep]
        type = "sleeping"
        network = {type = "server", n = 3, cohort = 2, selection = "round robin"}
        activity = {type = "AtLeast", k = 1, probability = 0.3}
        [networks.observed]
        type = "sleeping"
        network = {type = "server", n = 3}
        activity = {type = "Trace", failed = [[0, 1, 0], [0, 0, 1]]}
        """)
    found = jaxdec.sweep(**spec.from_toml(path))
    assert np.all(np.isfinite(found.distance))


# What is refused.


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: server(N, cohort=2, selection="best"), ValueError, "selection is one of 'uniform', 'round robin'"),
        (lambda: server(N, cohort=2, selection=3), TypeError, r"a selection such as selection.BySize\(sizes\)"),
        (lambda: server(N, selection="round robin"), ValueError, r"RoundRobin\(\) is of a cohort: pass cohort"),
        (lambda: server(N, cohort=2, selection=BySize([1, 2])), ValueError, "size of a client's data .* 6 nodes"),
        (lambda: server(N, cohort=2, selection=BySize(3.0)), ValueError, r"sizes are those .* 6 clients, \(6,\)"),
        (lambda: server(N, cohort=2, selection=BySize(SIZES - 1)), ValueError, "positive.*that of node 0 is not"),
        (lambda: sleeping(server(N), 1.0), ValueError, r"lies in \[0, 1\)"),
        (lambda: sleeping(server(N), [0.1]), ValueError, "one for each of 6 nodes"),
        (lambda: sleeping(server(N), "often"), TypeError, "activity is the probability"),
        (lambda: sleeping(server(N, cohort=2, selection=BySize(SIZES)), 0.1), ValueError, 'selection="uniform"'),
        (lambda: sleeping(server(N, cohort=2, selection="round robin"), UNEQUAL), ValueError, "beside round robin"),
        (lambda: sleeping(server(N, cohort=2, selection="round robin"), Cyclic(3, 1)), ValueError, "beside round"),
        (lambda: networks.asynchronous(sleeping(server(N), 0.1)), ValueError, "an event is at a server or on a graph"),
        (lambda: sleeping(sleeping(server(N), 0.1), 0.1), ValueError, "of a graph with one W"),
        (lambda: A.PowerOfChoice(A.DSGD(lr=0.1), clients=1).check(), ValueError, "DSGD needs a? ?doubly stochastic"),
        (lambda: A.PowerOfChoice(A.LocalSGD, clients=1).check(), TypeError, "is a method of a server"),
        (lambda: A.PowerOfChoice(A.LocalSGD(lr=-1.0, local_steps=1), clients=1).check(), ValueError, "LocalSGD.lr is"),
        (lambda: A.PowerOfChoice(A.SGD(lr=0.1), clients=0).check(), ValueError, "integer of at least 1; got 0"),
        (
            lambda: jaxdec.run(A.PowerOfChoice(A.SGD(lr=0.1), clients=4), PROBLEM, server(N, cohort=3), rounds=1),
            ValueError, "clients=4 among the candidates of a round, of whom this network has 3: take .* at least 4",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(build, error, message):
    with pytest.raises(error, match=message):
        build()
