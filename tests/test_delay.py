"""Methods whose messages are late, or lost without anybody's knowing: what is kept, and what is refused."""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import CASES, OTHERS, SERVER, UNDIRECTED, D, N, gradients, quadratic
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import delays as reference
from rounds import fold, keys_of

from jaxdec import algorithms as A
from jaxdec import checks, module, networks, problems, run, step_size, sweep, testing, theory
from jaxdec.algorithms.delaying import Delayed
from jaxdec.loop import Keys
from jaxdec.networks import delays, lossy, outages, sleeping
from jaxdec.spec import from_toml
from jaxdec.types import Cost

pytestmark = pytest.mark.sampled(14)

CLOSE = {"rtol": 0, "atol": 1e-12}
ROUNDS, SEED = 60, 7
KEYS = Keys.of(SEED)
X0 = np.random.default_rng(0).standard_normal((N, D))
RING, PUSH = networks.ring(N), networks.random_digraph(N, 0.2)
DENSE = networks.static(np.asarray(UNDIRECTED.W.dense()), form="dense")
PAIRS = np.random.default_rng(2).integers(0, 4, (N, N)).astype(float)
BURSTS = outages.GilbertElliott(0.3, 5.0)
LATE = [
    2,
    PAIRS,
    delays.Uniform(0, 3),
    delays.Uniform(1, 4, per="message"),
    delays.Bandwidth(bandwidth=60.0, latency=0.25),
    delays.Bandwidth(bandwidth=32.0 * (1 + PAIRS)),
]
ITERATES = [A.DSGD(lr=0.3), A.DSGD(lr=0.3, form="cta"), A.DSGDm(lr=0.1, momentum=0.7)]
LOCAL = [A.DAdam(lr=0.1, b1=0.7), A.DFedSAM(lr=0.1, local_steps=2, radius=0.1)]  # whose fixed points are not known
MASS = [A.PushSumGossip(), A.StochasticGradientPush(lr=0.1)]
LONGEST = 5


def on(method: Any, *undirected: Any) -> Any:
    return PUSH if checks.facts(method).mixes == "mass" else (undirected or (UNDIRECTED,))[0]


def name(value: Any) -> str:
    return type(value).__name__ if dataclasses.is_dataclass(value) else "numbers"


# One by one on the host.


def pairs(W: Any, numbers: Any) -> np.ndarray:
    """Of numbers on the arcs of W in some rounds, (rounds, n, k), those of pairs of nodes, (rounds, n, n)."""
    numbers, exists, sender = (np.asarray(a) for a in (numbers, W.arcs.exists, W.arcs.sender))
    found = np.zeros((len(numbers), N, N), numbers.dtype)
    for i, s in np.argwhere(exists):
        found[:, i, sender[i, s]] = numbers[:, i, s]
    return found


def rounds_late(law: Any, W: Any, keys: Any, bits: int) -> np.ndarray:
    """How late the messages of each round are, (rounds, n, n)."""
    of = lambda t: law.of(W.arcs, jnp.asarray(keys), fold(keys_of(KEYS, t)[1], "delay"), bits)
    return pairs(W, jax.vmap(of)(jnp.arange(ROUNDS)))


def arriving(network: Any, W: Any) -> np.ndarray:
    """What arrives in each round, (rounds, n, n)."""

    def at(memory, t):
        memory, world = network.at(memory, t, keys_of(KEYS, t)[0])
        return memory, world.W.arcs.arrived

    return pairs(W, jax.lax.scan(at, network.init(KEYS.network), jnp.arange(ROUNDS))[1])


def again(method: Any, mix: Any, grad: Any) -> np.ndarray:
    """The method on the host; `mix` makes one of the messages' fates."""
    if isinstance(method, A.DSGD):
        return reference.dsgd(mix(), grad, X0, ROUNDS, lr=method.lr, form=method.form)
    if isinstance(method, A.DSGDm):
        return reference.dsgdm(mix(), grad, X0, ROUNDS, lr=method.lr, momentum=method.momentum)
    if isinstance(method, A.DAdam):
        return reference.dadam(mix(), grad, X0, ROUNDS, lr=method.lr, b1=method.b1, b2=method.b2, eps=method.eps)
    if isinstance(method, A.DFedSAM):
        steps = {"local_steps": method.local_steps, "radius": method.radius}
        return reference.dfedsam(mix(), grad, X0, ROUNDS, lr=method.lr, **steps)
    lr = method.lr if isinstance(method, A.StochasticGradientPush) else None
    return reference.push_sum(mix(), mix(), grad, X0, ROUNDS, lr=lr)


@pytest.mark.parametrize("network", [UNDIRECTED, DENSE, RING], ids=["table", "dense", "circulant"])
@pytest.mark.parametrize("law", LATE, ids=name)
@pytest.mark.parametrize("method", ITERATES + LOCAL + MASS, ids=name)
@pytest.mark.thinned(19)
def test_a_delayed_method_is_its_messages_one_by_one(method, law, network):
    network, wrapped = on(method, network), A.delayed(method, law, longest=LONGEST)
    found = testing.trajectory(wrapped, quadratic(0.5), network, rounds=ROUNDS, x0=X0, seed=SEED)
    bits = 32 * (D + (checks.facts(method).mixes == "mass"))
    late = rounds_late(wrapped.delay, network.W, found.state.keys, bits)
    fate = reference.added_up if checks.facts(method).mixes == "mass" else reference.last_arrived
    expected = again(
        method,
        lambda: fate(np.asarray(network.W.dense()), lambda t: late[t]),
        gradients(quadratic(0.5), KEYS.data, 2 * ROUNDS),
    )
    np.testing.assert_allclose(found.states[".x"], expected, **CLOSE)
    plain = testing.trajectory(method, quadratic(0.5), network, rounds=ROUNDS, x0=X0, seed=SEED)
    assert np.abs(plain.states[".x"] - found.states[".x"]).max() > 1e-3
    for entry in ("grads", "vectors", "bits", "rounds_present"):
        np.testing.assert_array_equal(getattr(found.cost, entry), getattr(plain.cost, entry))


@pytest.mark.parametrize("network", [UNDIRECTED, DENSE, RING], ids=["table", "dense", "circulant"])
@pytest.mark.parametrize("method", ITERATES + LOCAL, ids=name)
@pytest.mark.thinned(4)
def test_a_method_that_holds_is_its_messages_one_by_one(method, network):
    losing = lossy(network, BURSTS, rule="arcs")
    found = testing.trajectory(A.held(method), quadratic(0.5), losing, rounds=ROUNDS, x0=X0, seed=SEED)
    arrived = arriving(losing, network.W)
    assert 0 < np.mean(arrived) < np.mean(np.asarray(network.W.dense()) > 0)
    mix = lambda: reference.held(np.asarray(network.W.dense()), lambda t: arrived[t])
    expected = again(method, mix, gradients(quadratic(0.5), KEYS.data, 2 * ROUNDS))
    np.testing.assert_allclose(found.states[".x"], expected, **CLOSE)


# Without delay or loss.


@pytest.mark.parametrize("method", [ITERATES[2], MASS[1], *ITERATES[:2], MASS[0]], ids=name)
@pytest.mark.thinned(3)
def test_without_delay_it_is_the_method_itself(method):
    paths = lambda a: testing.trajectory(a, quadratic(0.5), on(method), rounds=ROUNDS, x0=X0, seed=SEED).states[".x"]
    plain = paths(method)
    np.testing.assert_array_equal(paths(A.delayed(method, 0)), plain)
    np.testing.assert_allclose(paths(A.delayed(method, 0, longest=3)), plain, **CLOSE)
    if checks.facts(method).mixes == "iterates":
        np.testing.assert_allclose(paths(A.held(method)), plain, **CLOSE)


# What is kept.


@pytest.mark.parametrize("law", LATE[1:4], ids=name)
@pytest.mark.parametrize("method", ITERATES, ids=name)
@pytest.mark.thinned(4)
def test_old_iterates_lead_to_the_fixed_point_of_the_method(method, law):
    final = lambda a, network: run(a, quadratic(0.0), network, rounds=1500, every=1500, metrics=["loss"]).state.x
    there = final(method, UNDIRECTED)
    assert float(np.ptp(there, axis=0).max()) > 1e-2  # not the minimizer's
    np.testing.assert_allclose(final(A.delayed(method, law, longest=LONGEST), UNDIRECTED), there, rtol=0, atol=1e-11)


@pytest.mark.parametrize("loss", [0.3, BURSTS], ids=name)
@pytest.mark.parametrize("network", [RING, UNDIRECTED], ids=["ring", "lollipop"])
@pytest.mark.parametrize("method", ITERATES, ids=name)
@pytest.mark.thinned(5)
def test_holding_keeps_the_fixed_point_of_the_method_under_unknown_loss(method, network, loss):
    final = lambda a, network: run(a, quadratic(0.0), network, rounds=3000, every=3000, metrics=["loss"]).state.x
    found = final(A.held(method), lossy(network, loss, rule="arcs"))
    np.testing.assert_allclose(found, final(method, network), rtol=0, atol=1e-10)


@pytest.mark.slow
def test_in_float32_fixed_points_are_kept_too():
    single = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), quadratic(0.0))
    for method in ITERATES:
        final = lambda a, network: run(
            a, single, network, rounds=1500, every=1500, metrics=["loss"], x0=X0.astype("f4")
        )
        there = final(method, UNDIRECTED).state.x
        late = final(A.delayed(method, delays.Uniform(0, 3)), UNDIRECTED).state.x
        held = final(A.held(method), lossy(UNDIRECTED, 0.3, rule="arcs")).state.x
        assert late.dtype == held.dtype == jnp.float32
        np.testing.assert_allclose(np.stack([late, held]), np.stack([there, there]), rtol=0, atol=2e-6)


def total(states: dict[str, np.ndarray]) -> np.ndarray:
    """Numerators and masses over all nodes, with what is on its way: (rounds + 1, d + 1)."""
    u = states[".method.u"].sum(axis=1) + states[".sent[0]"].sum(axis=(1, 2))
    y = states[".method.y"].sum(axis=1) + states[".sent[1]"].sum(axis=(1, 2))
    return np.concatenate([u, y[:, None]], axis=1)


FAILING = {
    "reliable": PUSH,
    "lost": lossy(PUSH, 0.3, rule="sender"),
    "bursts": lossy(PUSH, BURSTS, rule="sender"),
    "asleep": sleeping(RING, BURSTS),
    "changing": networks.random_matchings(N, pool=10),
    "hub": networks.static(networks.star(N).W.dense(), form="dense"),
}


@pytest.mark.parametrize("per", ["message", "arc"])
@pytest.mark.parametrize("network", FAILING.values(), ids=FAILING)
@pytest.mark.thinned(5)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(least=st.integers(0, 2), more=st.integers(0, 4), seed=st.integers(0, 2**20))
def test_mass_is_conserved_with_what_is_on_its_way(network, per, least, more, seed):
    method = A.delayed(A.PushSumGossip(), delays.Uniform(least, least + more, per=per), longest=7)
    states = testing.trajectory(method, quadratic(0.0), network, rounds=50, x0=X0, seed=seed).states
    kept = np.tile([*X0.sum(axis=0), N], (51, 1))
    np.testing.assert_allclose(total(states), kept, **CLOSE)
    assert states[".method.y"].min() > 0
    assert np.any(states[".sent[0]"][1:]) == (least + more > 0)


@pytest.mark.parametrize("law", LATE, ids=name)
@pytest.mark.thinned(6)
def test_late_push_sum_finds_the_mean(law):
    method = A.delayed(A.PushSumGossip(), law, longest=LONGEST)
    result = run(method, quadratic(0.0), PUSH, rounds=400, every=400, x0=X0, metrics=["loss"])
    np.testing.assert_allclose(result.state.x, np.tile(X0.mean(axis=0), (N, 1)), rtol=0, atol=1e-9)


def test_the_mean_moves_by_the_gradients_alone():
    method = A.delayed(A.StochasticGradientPush(lr=0.1), delays.Uniform(0, 4, per="message"))
    states = testing.trajectory(method, quadratic(0.5), PUSH, rounds=50, x0=X0, seed=SEED).states
    grad = gradients(quadratic(0.5), KEYS.data, 50)
    moved = [sum(grad(i, states[".x"][t + 1, i], t) for i in range(N)) for t in range(50)]
    np.testing.assert_allclose(np.diff(total(states), axis=0)[:, :-1], -0.1 * np.array(moved), **CLOSE)
    np.testing.assert_allclose(total(states)[:, -1], N, **CLOSE)


# Delays.


def test_delays_are_of_their_law():
    arcs, key = DENSE.W.arcs, jax.random.key(0)
    keys = lambda seed: jax.random.key_data(jax.random.split(jax.random.key(seed), N))
    for per in ("arc", "message"):
        law = delays.Uniform(1, 4, per=per)
        drawn = [np.asarray(law.of(arcs, keys(k), jax.random.fold_in(key, k), 96)) for k in range(60)]
        share = np.bincount(np.ravel(drawn), minlength=5) / np.size(drawn)
        np.testing.assert_allclose(share, [0, 0.25, 0.25, 0.25, 0.25], atol=0.03)
        later = [np.asarray(law.of(arcs, keys(0), jax.random.fold_in(key, k), 96)) for k in range(5)]
        assert (np.ptp(later, axis=0).max() == 0) == (per == "arc")
    once = delays.Uniform(0, 9)
    table, dense, there = (
        pairs(W, numbers[None])
        for W, numbers in (
            (UNDIRECTED.W, once.of(UNDIRECTED.W.arcs, keys(3), key, 96)),
            (DENSE.W, once.of(DENSE.W.arcs, keys(3), key, 96)),
            (UNDIRECTED.W, np.asarray(UNDIRECTED.W.arcs.exists)),
        )
    )
    np.testing.assert_array_equal(table, dense * there)  # whatever the layout
    bits = [(96, 0), (97, 0), (96, 1.5), (64, 0.0)]
    expected = [np.ceil(latency + bits / 32.0) for bits, latency in bits]
    for dtype in (jnp.float32, jnp.float64):
        laws = [delays.Bandwidth(jnp.asarray(32.0, dtype), jnp.asarray(latency, dtype)) for _, latency in bits]
        found = [int(law.of(arcs, keys(0), key, b).max()) for law, (b, _) in zip(laws, bits, strict=True)]
        assert found == expected == [law.longest(b) for law, (b, _) in zip(laws, bits, strict=True)]


def test_longer_messages_take_longer():
    slow = delays.Bandwidth(bandwidth=32.0 * D)  # a vector in a round; the mass is one number more
    found = [A.delayed(method, slow, longest=2) for method in (A.DSGD(lr=0.1), A.PushSumGossip())]
    assert [law.delay.longest(bits) for law, bits in zip(found, (32 * D, 32 * (D + 1)), strict=True)] == [1, 2]
    one = testing.trajectory(found[1], quadratic(0.0), PUSH, rounds=9, x0=X0).states[".x"]
    two = testing.trajectory(A.delayed(A.PushSumGossip(), 2), quadratic(0.0), PUSH, rounds=9, x0=X0).states[".x"]
    np.testing.assert_array_equal(one, two)
    with pytest.raises(ValueError, match=r"of 128 bits take up to 2 rounds, and longest=1"):
        run(A.delayed(A.PushSumGossip(), slow, longest=1), quadratic(0.0), PUSH, rounds=1)


# A wrapped method is a method.


def test_facts_are_computed_from_the_method():
    late, at_once = A.delayed(A.DSGD(lr=0.1), 2), A.delayed(A.DSGD(lr=0.1), 0)
    assert checks.facts(late).requires == {"doubly stochastic", "arcs", "fixed"}
    assert checks.facts(at_once) == checks.facts(A.DSGD(lr=0.1))._replace(mixes=None)
    assert checks.facts(A.delayed(A.PushSumGossip(), 2)).requires == {"column stochastic", "arcs"}
    assert checks.facts(A.held(A.DSGD(lr=0.1))).requires == {"doubly stochastic", "arcs", "fixed arcs"}
    with pytest.raises(ValueError, match="Held needs a doubly stochastic W"):
        run(A.held(A.DSGD(lr=0.1)), quadratic(0.0), lossy(PUSH, 0.3, rule="arcs"), rounds=1)
    with pytest.raises(ValueError, match="Held needs arcs that stay"):
        run(A.held(A.DSGD(lr=0.1)), quadratic(0.0), networks.random_matchings(N), rounds=1)
    with pytest.raises(ValueError, match="Delayed needs a fixed W"):
        run(late, quadratic(0.0), networks.random_matchings(N), rounds=1)
    with pytest.raises(ValueError, match="Delayed needs a column stochastic W"):
        run(A.delayed(A.PushSumGossip(), 2), quadratic(0.0), lossy(PUSH, 0.3, rule="arcs"), rounds=1)
    with pytest.raises(ValueError, match="no exact limit is known for Delayed"):
        theory.stability_limit(late, RING)


def test_delays_and_step_sizes_are_swept():
    late, lrs, seeds = [0, 1, 3], [0.05, 0.2], [0, 1]
    method = A.delayed(A.DSGD(lr=0.1), 0, longest=3)
    over = {"delay.rounds": late, "method.lr": lrs}
    found = sweep(method, quadratic(0.5), RING, over=over, seeds=seeds, rounds=20, progress=False, metrics=["loss"])
    for k, rounds in enumerate(late):
        for l, lr in enumerate(lrs):
            one = run(
                A.delayed(A.DSGD(lr=lr), rounds, longest=3), quadratic(0.5), RING, rounds=20, seed=1, metrics=["loss"]
            )
            cell = found.loss.isel({"delay.rounds": k, "method.lr": l}).sel(seed=1)
            np.testing.assert_allclose(cell, one.metrics["loss"], rtol=1e-12)
    with pytest.raises(ValueError, match="take up to 4 rounds, and longest=3"):
        sweep(method, quadratic(0.5), RING, over={"delay.rounds": [0, 4]}, rounds=2, progress=False)


def test_the_probability_of_loss_is_swept_under_holding():
    network, over = lossy(RING, 0.1, rule="arcs"), {"network.loss.probability": [0.1, 0.4], "method.lr": [0.1, 0.2]}
    found = sweep(
        A.held(A.DSGD(lr=0.1)), quadratic(0.5), network, over=over, rounds=20, seeds=2, progress=False, metrics=["loss"]
    )
    one = run(A.held(A.DSGD(lr=0.2)), quadratic(0.5), lossy(RING, 0.4, rule="arcs"), rounds=20, metrics=["loss"])
    np.testing.assert_allclose(found.loss.isel(dict.fromkeys(over, 1)).sel(seed=0), one.metrics["loss"], rtol=1e-12)


def test_schedules_of_the_method_are_those_of_the_round():
    falling = optax.exponential_decay(0.3, 1, 0.9)
    for wrap in (A.held, partial(A.delayed, delay=0, longest=2)):
        paths = [
            testing.trajectory(method, quadratic(0.5), RING, rounds=20, x0=X0).states[".x"]
            for method in (A.DSGD(lr=falling), wrap(A.DSGD(lr=falling)))
        ]
        np.testing.assert_allclose(*paths, **CLOSE)
        with pytest.raises(ValueError, match=r"method\.lr is a schedule of step sizes.* at round 4"):
            run(wrap(A.DSGD(lr=lambda t: 0.3 - 0.1 * t)), quadratic(0.5), RING, rounds=5)
        with pytest.raises(ValueError, match=r"method\.lr is a step size"):
            run(wrap(A.DSGD(lr=-1.0)), quadratic(0.5), RING, rounds=5)


@pytest.mark.parametrize(
    ("method", "network"),
    [
        (A.delayed(A.DSGDm(lr=0.1), delays.Uniform(0, 3, per="message")), UNDIRECTED),
        (
            A.delayed(A.StochasticGradientPush(lr=0.1, floor=0.05), delays.Uniform(0, 3)),
            lossy(PUSH, BURSTS, rule="sender"),
        ),
        (A.delayed(A.DSGD(lr=0.1), 0), UNDIRECTED),
        (A.held(A.DSGD(lr=0.1)), lossy(UNDIRECTED, BURSTS, rule="arcs")),
    ],
    ids=lambda a: type(a.method).__name__ if hasattr(a, "method") else "",
)
@pytest.mark.thinned(3)
def test_a_run_goes_on_with_what_is_on_its_way_to_the_bit(method, network, tmp_path):
    go = partial(run, method, quadratic(0.5), network, metrics=["loss", "consensus"], seed=3)
    go(rounds=15, checkpoint=tmp_path, checkpoint_every=5)
    resumed, whole = go(rounds=30, checkpoint=tmp_path, checkpoint_every=5), go(rounds=30)
    for a, b in zip(jax.tree.leaves(resumed.state), jax.tree.leaves(whole.state), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(resumed.metrics["consensus"], whole.metrics["consensus"])


def test_a_sweep_of_wrapped_methods_is_stored_and_taken_up(tmp_path):
    methods = {
        "late": A.delayed(A.DSGD(lr=0.1), 2),
        "later": A.delayed(A.DSGD(lr=0.1), 3),
        "held": A.held(A.DSGDm(lr=0.1)),
    }
    how = {"store": tmp_path / "store", "progress": False, "metrics": ["loss"], "seeds": 2}
    first = sweep(methods, quadratic(0.5), RING, rounds=10, **how)
    longer = sweep(methods, quadratic(0.5), RING, rounds=20, **how)
    np.testing.assert_array_equal(first.loss, longer.loss.isel(round=slice(11)))
    again = sweep(methods, quadratic(0.5), RING, rounds=20, progress=False, metrics=["loss"], seeds=2)
    np.testing.assert_array_equal(again.loss, longer.loss)


def test_a_file_may_ask_for_delays(tmp_path):
    file = tmp_path / "late.toml"
    file.write_text(
        "rounds = 2\n[algorithms.late]\ntype = 'delayed'\nmethod = {type = 'DSGD', lr = 0.1}\n"
        "delay = {type = 'Uniform', least = 0, most = 3}\n[algorithms.held]\ntype = 'held'\n"
        "method = {type = 'DSGDm', lr = 0.1}\n[problem]\ntype = 'quadratic'\nn = 6\nd = 3\n[network]\n"
        "type = 'ring'\nn = 6\n"
    )
    made = from_toml(file)["algorithms"]
    assert isinstance(made["late"], Delayed)
    assert made["late"].longest == 3
    assert isinstance(made["held"].method, A.DSGDm)


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [A.delayed(A.DSGD(lr=0.1), 2), A.delayed(A.DSGDm(lr=0.1), delays.Uniform(0, 2)), A.held(A.DSGD(lr=0.1))],
    ids=name,
)
def test_a_wrapped_method_obeys_the_laws_of_methods(method):
    broken = [
        f"{law}: {verdict}"
        for law in testing.laws(method, quadratic(0.5), DENSE)
        if (verdict := broken_by(law)) is not None
    ]
    assert not broken


def broken_by(law: testing.Law) -> str | None:
    try:
        law()
    except testing.NotTested:
        return None
    except testing.LawBroken as error:
        return str(error)
    return None


# What is refused.


OTHER = {type(case.algorithm): case.algorithm for case in CASES + OTHERS}
STANDS = {type(method): method for method in ITERATES + LOCAL + MASS}


@pytest.mark.parametrize("kind", sorted(OTHER, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_a_method_that_does_not_say_what_it_mixes_is_refused_with_the_reason(kind):
    method = OTHER[kind]
    if kind not in STANDS:
        with pytest.raises(ValueError, match=rf"delayed cannot wrap {kind.__name__}: (it|its) .{{30}}"):
            A.delayed(method, 2)
    if checks.facts(method).mixes != "iterates":
        with pytest.raises(ValueError, match=rf"held cannot wrap {kind.__name__}: (it|its|what) .{{30}}"):
            A.held(method)


def test_those_that_say_what_they_mix_are_tested_and_named():
    kinds = {getattr(A, name) for name in A.__all__ if isinstance(getattr(A, name), type)}
    assert {kind for kind in kinds if checks.facts(kind).mixes} == STANDS.keys()
    with pytest.raises(ValueError, match="Those that say so") as refused:
        A.held(A.D2(lr=0.1))
    assert all(kind.__name__ in str(refused.value) for kind in STANDS)


def test_the_reason_is_the_methods():
    reasons = {
        A.ADPSGD(lr=0.1): "events that have times",
        SERVER[0]: "go to a server and back",
        OTHER[A.ChocoSGD]: "copies of its neighbours' vectors",
        A.GradientTracking(lr=0.1): "a tracker.*the fixed point is another",
    }
    for method, reason in reasons.items():
        with pytest.raises(ValueError, match=reason):
            A.delayed(method, 2)
    with pytest.raises(ValueError, match=r"mass that is used again is counted twice.*running sums"):
        A.held(A.PushSumGossip())
    for wrapped in (A.delayed(A.DSGD(lr=0.1), 2), A.held(A.DSGD(lr=0.1))):
        with pytest.raises(ValueError, match=r"held cannot wrap (Delayed|Held): it"):
            A.held(wrapped)
    with pytest.raises(TypeError, match="the class DSGD; write DSGD"):
        A.delayed(A.DSGD, 2)
    with pytest.raises(ValueError, match=r'weight of what is lost goes elsewhere.*rule="arcs"'):
        run(A.held(A.DSGD(lr=0.1)), quadratic(0.0), lossy(RING, 0.3), rounds=1)


class State(NamedTuple):
    x: Any


@module
class Inside:
    """Mixes within a loop, where nothing can be remembered."""

    requires = "doubly stochastic"
    mixes = "iterates"
    lr: float = step_size()

    def init(self, problem, x0, r):
        return State(x0), Cost()

    def step(self, problem, s, r):
        return State(jax.lax.fori_loop(0, 3, lambda k, x: r.W @ x, s.x)), Cost(vectors=3)


def test_a_product_inside_of_a_loop_is_refused():
    for method in (A.delayed(Inside(lr=0.1), 2), A.held(Inside(lr=0.1))):
        with pytest.raises(ValueError, match="Inside multiplies by W inside of a loop"):
            run(method, quadratic(0.0), RING, rounds=1)


@pytest.mark.parametrize(
    ("delay", "longest", "error", "says"),
    [
        (-1, None, ValueError, "whole number of rounds"),
        (1.5, None, ValueError, "whole number of rounds"),
        (np.nan, None, ValueError, "whole number of rounds"),
        (True, None, TypeError, "a number or"),
        ("late", None, TypeError, "delays.Uniform"),
        (3, 2, ValueError, "take up to 3 rounds, and longest=2"),
        (3, 2.5, ValueError, "Delayed.longest"),
        (3, -1, ValueError, "Delayed.longest"),
        (delays.Uniform(2, 1), None, ValueError, "least is at most"),
        (delays.Uniform(0, 1.5), None, ValueError, "Uniform.most"),
        (delays.Uniform(0, 1, per="link"), None, ValueError, "Uniform.per is one of"),
        (delays.Bandwidth(0.0), 3, ValueError, "Bandwidth.bandwidth"),
        (delays.Bandwidth(1.0, -1.0), 3, ValueError, "Bandwidth.latency"),
        (delays.Bandwidth(1.0), None, ValueError, "depends on the length of messages"),
    ],
)
def test_what_is_no_delay_is_refused(delay, longest, error, says):
    with pytest.raises(error, match=says):
        A.delayed(A.DSGD(lr=0.1), delay, longest=longest)


def test_delays_of_pairs_are_of_all_pairs():
    with pytest.raises(ValueError, match=r"\(n, n\) = \(6, 6\).*shape \(5, 5\)"):
        run(A.delayed(A.DSGD(lr=0.1), np.ones((5, 5))), problems.quadratic(6, 3), networks.ring(6), rounds=1)
