"""DiLoCo and its kin: against loops over nodes, what they are one of another, what is sent, and what Muon is given."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rounds as drawn
from flax import linen
from jax.tree_util import Partial
from local_server import NETWORKS, PROBLEM, ROUNDS, SEED, X0, K, N, everywhere, grad, model, path, present
from reference import local, low_communication
from undirected import same

import jaxdec
from jaxdec import algorithms as A
from jaxdec import data, networks, problems
from jaxdec.algorithms.diloco import nesterov
from jaxdec.networks.operators import Dense

pytestmark = pytest.mark.sampled(12)

EVERYBODY = NETWORKS["everybody"]
ADAMW = Partial(optax.adamw, learning_rate=0.1, b1=0.8, b2=0.9, eps=0.1, weight_decay=0.2)
OUTER = Partial(nesterov, learning_rate=0.6, momentum=0.5)
SGD = Partial(optax.sgd, learning_rate=0.2)
ONE = Partial(optax.sgd, learning_rate=1.0)
adamw = partial(low_communication.AdamW, 0.1, 0.8, 0.9, 0.1, 0.2)
outer = partial(low_communication.Nesterov, 0.6, 0.5)


# Against loops.


@everywhere
def test_diloco_is_its_loop(network):
    expected = local.fed_opt(
        grad, X0, ROUNDS, present(network), server=outer(), client=adamw, local_steps=K, keep=N
    )  # fmt: skip
    same(model(A.DiLoCo(ADAMW, K, OUTER), network), expected)


STREAMS = [  # fragments, those of the parameters, period, delay, alpha
    (2, (0, 0, 1), None, 0, 0.0),
    (2, (0, 0, 1), 3, 2, 0.4),
    (3, (0, 1, 2), 4, 1, 0.5),
]


@everywhere
@pytest.mark.parametrize(("fragments", "of", "period", "delay", "alpha"), STREAMS)
@pytest.mark.thinned(4)
def test_streaming_diloco_is_its_loop(network, fragments, of, period, delay, alpha):
    method = A.StreamingDiLoCo(ADAMW, 2, fragments, period, delay, alpha, OUTER)
    expected = low_communication.streaming_diloco(
        grad, X0, ROUNDS, present(network), clients=N, inner=adamw, outer=outer, local_steps=2, of=of,
        period=period or fragments, delay=delay, alpha=alpha,
    )  # fmt: skip
    same(model(method, network), expected)


# What they are one of another.


@everywhere
def test_diloco_with_sgd_inside_and_out_is_local_sgd(network):
    same(model(A.DiLoCo(SGD, K, ONE), network), model(A.LocalSGD(lr=0.2, local_steps=K), network))


@everywhere
@pytest.mark.thinned(3)
def test_diloco_is_fedopt_whose_clients_keep_their_optimizers(network):
    same(model(A.DiLoCo(ADAMW, K, OUTER), network), model(A.FedOpt(OUTER, ADAMW, K, buffers="keep"), network))


def test_a_step_of_sgd_inside_is_minibatch_sgd_with_the_outer_optimizer():
    x, optimizer, found = X0, outer(), [X0]
    for t in range(ROUNDS):
        x = optimizer.step(x, sum(grad(i, x, t) for i in range(N)) / N)
        found.append(x)
    same(model(A.DiLoCo(ONE, 1, OUTER)), found)


@everywhere
def test_one_fragment_that_is_sent_in_every_round_is_diloco_at_its_cost(network):
    how = {"rounds": 12, "seed": SEED, "x0": X0}
    whole, streamed = (
        jaxdec.run(method, PROBLEM, network, **how)
        for method in (A.DiLoCo(ADAMW, K, OUTER), A.StreamingDiLoCo(ADAMW, K, outer_optimizer=OUTER))
    )
    same(whole.state.x, streamed.state.x)
    jax.tree.map(same, whole.state.inner, streamed.state.inner)
    for name, spent in whole.cost._asdict().items():
        np.testing.assert_allclose(getattr(streamed.cost, name), spent, rtol=1e-12, err_msg=name)


def test_one_fragment_in_steps_is_diloco_seen_step_by_step():
    steps = A.StreamingDiLoCo(ADAMW, 1, period=4, outer_optimizer=OUTER)
    same(model(steps, rounds=20)[::4], model(A.DiLoCo(ADAMW, 4, OUTER), rounds=5))


@pytest.mark.parametrize("outside", [OUTER, Partial(optax.adam, learning_rate=0.1)], ids=["Nesterov", "Adam"])
def test_on_the_complete_graph_it_is_diloco_whatever_the_optimizers(outside):
    found = path(A.DecentralizedDiLoCo(ADAMW, K, outside), networks.complete(N))[".x"]
    same(found, np.broadcast_to(path(A.DiLoCo(ADAMW, K, outside))[".x"], found.shape))


def test_noloco_is_decentralized_diloco_with_a_heavy_ball_and_sends_one_vector():
    network = networks.random_matchings(N, pool=9)
    ball = Partial(optax.sgd, learning_rate=0.6, momentum=0.5)
    expected = path(A.DecentralizedDiLoCo(ADAMW, K, ball), network)[".x"]
    for given, vectors in ((None, 1), (0.6, 2)):
        method = A.NoLoCo(ADAMW, K, outer_lr=0.6, momentum=0.5, consensus_lr=given)
        same(path(method, network)[".x"], expected)
        assert jaxdec.run(method, PROBLEM, network, rounds=3).cost.vectors[-1] == 3 * vectors


def test_decentralized_diloco_with_sgd_inside_and_out_is_local_dsgd():
    network = networks.ring(N)
    same(
        path(A.DecentralizedDiLoCo(SGD, K, ONE), network)[".x"],
        path(A.LocalDSGD(lr=0.2, local_steps=K), network)[".x"],
    )


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("n", [2, 4])
def test_random_pairs_agree_in_the_mean_square_up_to_the_bound_of_noloco(n, momentum):
    """The mean of the steps' Kronecker squares over all matchings, each step as the method takes it."""
    pairs = {2: [[1, 0]], 4: [[1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]]}[n]
    flat = problems.Quadratic(jnp.zeros((n, 2 * n)), jnp.zeros((n, 2 * n)), 0.0)
    away = np.kron(np.eye(2), np.eye(n) - 1 / n)  # of the disagreement alone

    def radius(share):
        bound = 2 * (1 - momentum**2) / (1 + momentum - momentum * n / (n - 1))
        method, squares = A.NoLoCo(SGD, 1, momentum=momentum, consensus_lr=share * bound), []
        for peers in pairs:
            W = Dense(jnp.asarray((np.eye(n) + np.eye(n)[peers]) / 2))
            r = dataclasses.replace(drawn.round_of(networks.complete(n), n), W=W)
            state, _ = method.init(flat, jnp.eye(n, 2 * n), r)  # the unit vectors of X and M, one a column
            after, _ = method.step(flat, state._replace(m=jnp.eye(n, 2 * n, n)), r)
            step = away @ np.concatenate([after.x, after.m]) @ away
            squares.append(np.kron(step, step))
        return np.abs(np.linalg.eigvals(sum(squares) / len(squares))).max()

    assert radius(0.98) < 1 < radius(1.02)


# What is kept, and what is sent.


@everywhere
@pytest.mark.parametrize("make", [A.DiLoCo, A.StreamingDiLoCo])
def test_the_optimizer_of_a_client_counts_the_local_steps_that_it_took(network, make):
    kept = path(make(ADAMW, K, outer_optimizer=OUTER), network)
    (name,) = (name for name in kept if name.endswith("count") and "inner" in name)
    active = drawn.presence(network, N, SEED, ROUNDS)
    np.testing.assert_array_equal(kept[name][1:], K * np.cumsum(active, axis=0))


def test_a_fragment_is_paid_for_in_the_round_that_sends_it():
    problem, method = problems.quadratic(4, 10), A.StreamingDiLoCo(ADAMW, 1, fragments=3, period=5, delay=2)
    sizes, d, rounds = (4, 3, 3), 10, 15
    up = np.zeros(rounds + 1)
    for t in range(rounds):
        up[t + 1] = sum(size for p, size in enumerate(sizes) if (t + 1 - (p + 1) * 5 // 3) % 5 == 0)
    down = np.zeros(rounds + 1)
    down[1], down[4:] = d, up[1:-3]  # the model at the start; then each fragment after its two rounds under way
    for network, share in ((networks.server(4), 1), (networks.server(4, cohort=2), 0.5)):
        cost = jaxdec.run(method, problem, network, rounds=rounds).cost
        np.testing.assert_array_equal(cost.bits, share * 32 * np.cumsum(up))
        np.testing.assert_allclose(cost.vectors, share * np.cumsum(up) / d, rtol=1e-14)
    assert np.sum(up) == 3 * d
    each = jaxdec.run(method, problem, networks.server(4), rounds=rounds).cost
    np.testing.assert_array_equal(each.bits_down, 32 * np.cumsum(down))
    once = jaxdec.run(method, problem, networks.server(4, broadcast="once"), rounds=rounds).cost
    np.testing.assert_array_equal(once.bits_down, 8 * np.cumsum(down))


def test_fragments_are_runs_of_parameters_or_the_tensors_that_are_named():
    shapes = ((3,), (2, 3), (1,))
    method = A.StreamingDiLoCo(SGD, 1, fragments=(1, 0, 1))
    where, given = zip(*method.parts(shapes), strict=True)
    assert [w.tolist() for w in where] == [[3, 4, 5, 6, 7, 8], [0, 1, 2, 9]]
    assert given == (((2, 3),), ((3,), (1,)))
    runs = A.StreamingDiLoCo(SGD, 1, fragments=3).parts(shapes)
    assert [part.where.tolist() for part in runs] == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert A.StreamingDiLoCo(SGD, 1).parts(shapes)[0].shapes == shapes


@pytest.mark.parametrize(
    "method",
    [
        A.DiLoCo(ADAMW, 2),
        A.StreamingDiLoCo(ADAMW, 2, fragments=2, period=3, delay=1, alpha=0.5),
        A.NoLoCo(ADAMW, 2),
        A.DecentralizedDiLoCo(ADAMW, 2),
    ],
    ids=lambda method: type(method).__name__,
)
def test_a_run_that_is_taken_up_again_is_the_same_to_the_bit(method, tmp_path):
    network = networks.server(N, cohort=3) if method.requires == "server" else networks.random_matchings(N, pool=9)
    how = {"x0": X0, "seed": 1, "every": 2, "metrics": ["consensus", "loss"]}
    whole = jaxdec.run(method, PROBLEM, network, rounds=8, **how)
    for rounds in (4, 8):
        cut = jaxdec.run(method, PROBLEM, network, rounds=rounds, checkpoint=tmp_path, checkpoint_every=2, **how)
    jax.tree.map(np.testing.assert_array_equal, (whole.state, whole.metrics), (cut.state, cut.metrics))


# Muon, and other optimizers that look at tensors.


RNG = np.random.default_rng(0)
TASK = data.dataset(RNG.normal(size=(24, 5)), RNG.normal(size=(24, 4)))
LAYER = problems.neural(linen.Dense(4), TASK, data.iid(TASK, 3), loss=lambda y, t: jnp.sum(optax.l2_loss(y, t), axis=1))
MUON = Partial(optax.contrib.muon, learning_rate=0.1)


def tensors(x):
    return tuple(jnp.asarray(a) for a in LAYER.model.tensors(x))


def flat(tree):
    return jnp.concatenate([a.ravel() for a in tree])


LAMB = Partial(optax.lamb, learning_rate=0.1)


@pytest.mark.parametrize(("inner", "outside"), [(MUON, OUTER), (SGD, MUON), (LAMB, MUON)])
def test_optimizers_are_given_the_tensors_of_the_model_one_clients_at_a_time(inner, outside):
    found = jaxdec.run(A.DiLoCo(inner, 2, outside), LAYER, networks.server(3), rounds=3, seed=2)
    x = LAYER.init(drawn.keys(2).x0)
    states, server = [inner().init(tensors(x)) for _ in range(3)], outside().init(tensors(x))
    for _ in range(3):
        moves = []
        for i in range(3):
            y = tensors(x)
            for _ in range(2):
                g = LAYER.grad(jnp.tile(flat(y), (3, 1)))[i]
                updates, states[i] = inner().update(tensors(g), states[i], y)
                y = optax.apply_updates(y, updates)
            moves.append(x - flat(y))
        updates, server = outside().update(tensors(sum(moves) / 3), server, tensors(x))
        x = flat(optax.apply_updates(tensors(x), updates))
    np.testing.assert_allclose(found.state.x[0], x, rtol=1e-9, atol=1e-10)


def directions(method):
    """The singular values of what two rounds do to the layer's matrix."""
    x = jaxdec.run(method, LAYER, networks.server(3), rounds=2, seed=2).state.x[0]
    return np.linalg.svd(tensors(x - LAYER.init(drawn.keys(2).x0))[1], compute_uv=False)


@pytest.mark.parametrize(
    "make",
    [
        lambda outside: A.DiLoCo(SGD, 2, outside),
        lambda outside: A.FedOpt(outside, SGD, 2),
        lambda outside: A.StreamingDiLoCo(SGD, 2, (0, 1), outer_optimizer=outside),
    ],
    ids=["DiLoCo", "FedOpt", "StreamingDiLoCo"],
)
def test_muon_at_the_server_moves_every_direction_of_a_matrix_alike(make):
    first, *_, last = directions(make(MUON))
    assert first < 2 * last
    if isinstance(make(ONE), A.DiLoCo):
        first, *_, last = directions(make(ONE))
        assert first > 2 * last


# Bad input.


@pytest.mark.parametrize(
    ("method", "error", "says"),
    [
        (lambda: A.DiLoCo(optax.adamw(0.1), 2), TypeError, "DiLoCo.inner_optimizer is an optax optimizer"),
        (lambda: A.DiLoCo(ADAMW, 0), ValueError, "DiLoCo.local_steps is an integer of at least 1; got 0"),
        (lambda: A.DiLoCo(ADAMW, 2, Partial(optax.sgd, learning_rate=-0.1)), ValueError, "DiLoCo.outer_optimizer"),
        (lambda: A.StreamingDiLoCo(ADAMW, 2, 2, delay=2), ValueError, "DiLoCo.delay is an integer of at most 1"),
        (lambda: A.StreamingDiLoCo(ADAMW, 2, 3, period=2), ValueError, "DiLoCo.period is an integer of at least 3"),
        (lambda: A.StreamingDiLoCo(ADAMW, 2, 0), ValueError, "DiLoCo.fragments is an integer of at least 1"),
        (lambda: A.StreamingDiLoCo(ADAMW, 2, 4), ValueError, "3 parameters are not cut into 4 fragments"),
        (lambda: A.StreamingDiLoCo(ADAMW, 2, (0, 2)), ValueError, "no tensor is in fragment 1"),
        (lambda: A.StreamingDiLoCo(ADAMW, 2, (0, 1)), ValueError, r"2 tensors are, and the problem has 1, of .*3"),
        (lambda: A.StreamingDiLoCo(ADAMW, 2, alpha=1.0), ValueError, "StreamingDiLoCo.alpha lies in"),
    ],
)
def test_what_is_no_diloco_is_refused(method, error, says):
    with pytest.raises(error, match=says):
        jaxdec.run(method(), PROBLEM, EVERYBODY, rounds=1)


def test_noloco_refuses_weights_that_are_none():
    ring = networks.ring(N)
    for given, says in (({"momentum": 1.0}, "NoLoCo.momentum lies"), ({"consensus_lr": -1.0}, "NoLoCo.consensus_lr")):
        with pytest.raises(ValueError, match=says):
            jaxdec.run(A.NoLoCo(ADAMW, 2, **given), PROBLEM, ring, rounds=1)
    with pytest.raises(ValueError, match="doubly stochastic"):
        jaxdec.run(A.NoLoCo(ADAMW, 2), PROBLEM, EVERYBODY, rounds=1)
