"""Local methods at a server: against loops over clients, what they reduce to, and who is absent."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rounds
from jax.tree_util import Partial
from local_server import (
    EXACT,
    KEYS,
    NETWORKS,
    PROBLEM,
    ROUNDS,
    SEED,
    X0,
    D,
    K,
    N,
    everywhere,
    grad,
    hutchinson,
    model,
    path,
    present,
)
from reference import local as reference
from rounds import round_of
from undirected import same

import jaxdec
from jaxdec import algorithms as A
from jaxdec import networks, problems, scaling
from jaxdec.loop import _compiled as compiled
from jaxdec.networks.servers import Mean

pytestmark = pytest.mark.sampled(12)

# Against loops


@everywhere
def test_local_sgd_is_its_loop(network):
    settings = {"lr": 0.2, "local_steps": K, "outer_lr": 0.7}
    same(model(A.LocalSGD(**settings), network), reference.local_sgd(grad, X0, ROUNDS, present(network), **settings))


@everywhere
@pytest.mark.parametrize("option", ["I", "II"])
def test_scaffold_is_its_loop_and_the_servers_variate_is_the_mean_of_the_clients(network, option):
    settings = {"lr": 0.2, "local_steps": K, "outer_lr": 0.7, "option": option}
    expected, variates = reference.scaffold(grad, X0, ROUNDS, present(network), clients=N, **settings)
    found = path(A.SCAFFOLD(**settings), network)
    same(found[".x"][:, 0], expected)
    same(found[".c"][:, 0], variates[:, 0])
    same(found[".c_i"], variates[:, 1:])
    same(found[".c"][:, 0], found[".c_i"].mean(axis=1))


@everywhere
def test_fedopt_is_its_loop(network):
    server = Partial(optax.adam, learning_rate=0.05, b1=0.8, b2=0.9, eps=1e-4)
    client = Partial(optax.sgd, learning_rate=0.2, momentum=0.5)
    expected = reference.fed_opt(
        grad, X0, ROUNDS, present(network), server=reference.AdamVector(0.05, 0.8, 0.9, 1e-4),
        client=lambda: reference.Momentum(0.2, 0.5), local_steps=K,
    )  # fmt: skip
    same(model(A.FedOpt(server, client, local_steps=K), network), expected)


@everywhere
@pytest.mark.thinned(3)
def test_fedopt_with_optimizers_that_clients_keep_is_its_loop(network):
    server, client = (
        Partial(optax.sgd, learning_rate=0.7),
        Partial(optax.adam, learning_rate=0.1, b1=0.8, b2=0.9, eps=0.1),
    )
    expected = reference.fed_opt(
        grad, X0, ROUNDS, present(network), server=reference.Momentum(0.7, 0.0),
        client=lambda: reference.AdamVector(0.1, 0.8, 0.9, 0.1), local_steps=K, keep=N,
    )  # fmt: skip
    same(model(A.FedOpt(server, client, local_steps=K, buffers="keep"), network), expected)


SCALINGS = {
    "adam": (scaling.Adam(beta=0.9, alpha=0.1), {"beta": 0.9}),
    "adagrad": (scaling.AdaGrad(alpha=0.1, rule="add"), {"rule": "add"}),
    "rmsprop": (scaling.RMSProp(beta=0.9, alpha=0.1, start="identity"), {"beta": 0.9, "start": "identity"}),
    "oasis": (scaling.OASIS(beta=0.9, alpha=0.1), {"beta": 0.9}),
    "adahessian": (scaling.AdaHessian(beta=0.9, alpha=0.1, rule="add"), {"beta": 0.9, "rule": "add"}),
}
VARIANTS = [  # every scaling, choice and network at least once
    ("adam", "everybody", {}),
    ("adam", "Bernoulli", {"scope": "local", "average_scalings": True}),
    ("adam", "everybody", {"count": "steps", "at": "last", "average": "squares"}),
    ("adagrad", "cohort", {"momentum": 0.7, "buffers": "keep"}),
    ("rmsprop", "Bernoulli", {"average": "squares", "momentum": 0.7, "form": "ema"}),
    ("rmsprop", "cohort", {"at": "last"}),
    ("oasis", "cohort", {"momentum": 0.7}),
    ("oasis", "cohort", {"scope": "local", "momentum": 0.7, "buffers": "reset"}),
    ("adahessian", "Bernoulli", {"at": "last", "momentum": 0.7, "buffers": "keep"}),
]


def composed(one, *, scope="global", momentum=None, form="heavy ball", buffers="average", **choices):
    """The method of the choices that the reference has as options."""
    part = None if momentum is None else A.HeavyBall(momentum, form, buffers)
    make = A.LocalSAVIC if scope == "local" else A.SAVIC
    return make(lr=0.05, local_steps=K, scaling=one, momentum=part, **choices)


@pytest.mark.parametrize(("kind", "name", "options"), VARIANTS)
@pytest.mark.thinned(3)
def test_savic_is_its_loop(kind, name, options):
    one, settings = SCALINGS[kind]
    network = NETWORKS[name]
    statistic = hutchinson(K) if one.products else grad
    renamed = {"average_diagonals": options.get("average_scalings", False), "by": K if "count" in options else 1}
    kept = {k: v for k, v in options.items() if k not in ("average_scalings", "count")}
    expected = reference.savic(
        grad, statistic, X0, ROUNDS, present(network), clients=N, lr=0.05, local_steps=K,
        diagonal=lambda: reference.Diagonal(kind, D, alpha=0.1, **settings), **renamed, **kept,
    )  # fmt: skip
    same(model(composed(one, **options), network), expected)


# What they reduce to


@everywhere
def test_savic_without_scaling_is_local_sgd(network):
    expected = model(A.LocalSGD(lr=0.2, local_steps=K), network)
    for one in (scaling.Identity(), scaling.RMSProp(beta=1.0, alpha=1.0, start="identity")):
        same(model(A.SAVIC(lr=0.2, local_steps=K, scaling=one), network), expected)


def test_savic_that_communicates_in_every_step_is_adam_on_the_mean_gradient_without_momentum():
    x, adam, found = X0, reference.AdamVector(0.05, 0.0, 0.9, 1e-3), [X0]
    for t in range(ROUNDS):
        x = adam.step(x, sum(grad(i, x, t) for i in range(N)) / N)
        found.append(x)
    one = scaling.Adam(beta=0.9, alpha=1e-3, rule="add")
    same(model(A.SAVIC(lr=0.05, local_steps=1, scaling=one)), found)


def test_savic_of_one_client_is_preconditioned_sgd_of_one_node():
    alone = PROBLEM.take(jnp.asarray([2]))
    D_, x, found = reference.Diagonal("rmsprop", D, alpha=0.1, beta=0.9), X0, [X0]
    for t in range(ROUNDS):
        for k in range(K):
            g = grad(2, x, t * K + k)
            if k == 0:
                D_.update(g)
            x = x - 0.05 * g / D_.hat()
        found.append(x)
    one = scaling.RMSProp(beta=0.9, alpha=0.1)
    same(model(A.SAVIC(lr=0.05, local_steps=K, scaling=one), networks.server(1), alone), found)


def test_local_and_global_scaling_of_one_client_with_one_step_are_one():
    alone, settings = PROBLEM.take(jnp.asarray([2])), {"lr": 0.05, "local_steps": 1}
    paths = [
        model(make(**settings, scaling=scaling.OASIS(alpha=0.1)), networks.server(1), alone)
        for make in (A.SAVIC, A.LocalSAVIC)
    ]
    same(*paths)


def test_within_a_round_dhat_is_constant_and_one_for_all():
    """The round's move is then -lr Σ_k mean_i g_i / Dhat, with the Dhat that is left in the state."""
    found = path(A.SAVIC(lr=0.05, local_steps=K, scaling=scaling.Adam(beta=0.9, alpha=0.1)))
    dhat = np.maximum(np.abs(found[".scaling.D"][:, 0]), 0.1)
    assert dhat.min() >= 0.1
    for t in range(ROUNDS):
        x, total = found[".x"][t, 0], 0
        for i in range(N):
            y = x
            for k in range(K):
                g = grad(i, y, t * K + k)
                y, total = y - 0.05 * g / dhat[t + 1], total + g / N
        same(found[".x"][t + 1, 0] - x, -0.05 * total / dhat[t + 1])


def test_scaffold_with_everybody_is_kgt_on_the_complete_graph():
    settings = {"lr": 0.1, "local_steps": K, "outer_lr": 0.7}
    mine = path(A.SCAFFOLD(**settings))
    theirs = path(A.KGT(**settings), networks.complete(N))
    same(np.broadcast_to(mine[".x"], theirs[".x"].shape)[1:], theirs[".x"][1:])
    same(mine[".c"] - mine[".c_i"], theirs[".c"])


@pytest.mark.parametrize("option", ["I", "II"])
def test_scaffold_finds_the_minimizer_where_local_sgd_stalls(option):
    network = NETWORKS["cohort"]
    rounds = {"problem": EXACT, "network": network, "rounds": 600}
    error = np.linalg.norm(model(A.SCAFFOLD(lr=0.1, local_steps=K, option=option), **rounds)[-1] - EXACT.minimizer)
    assert error < 1e-10
    assert np.linalg.norm(model(A.LocalSGD(lr=0.1, local_steps=K), **rounds)[-1] - EXACT.minimizer) > 1e-2


@everywhere
@pytest.mark.thinned(3)
def test_fedopt_with_sgd_at_both_ends_is_local_sgd(network):
    server, client = Partial(optax.sgd, learning_rate=0.7), Partial(optax.sgd, learning_rate=0.2)
    expected = model(A.LocalSGD(lr=0.2, local_steps=K, outer_lr=0.7), network)
    same(model(A.FedOpt(server, client, local_steps=K), network), expected)


def clipped(**options):
    return optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(**options))


def test_an_optimizer_at_the_clients_sees_one_client_at_a_time():
    method = A.FedOpt(Partial(optax.sgd, learning_rate=1.0), Partial(clipped, learning_rate=0.2), local_steps=1)
    step = [grad(i, X0, 0) * min(1, 0.1 / np.linalg.norm(grad(i, X0, 0))) for i in range(N)]
    same(model(method, rounds=1)[1], X0 - 0.2 * np.mean(step, axis=0))


@pytest.mark.parametrize("optimizer", [optax.yogi, optax.adagrad, optax.adamw, optax.lion])
def test_any_optax_optimizer_is_a_server(optimizer):
    client = Partial(optax.sgd, learning_rate=0.1)
    x = model(A.FedOpt(Partial(optimizer, learning_rate=0.05), client, local_steps=K), rounds=300)
    assert np.linalg.norm(x[-1] - EXACT.minimizer) < 0.5 * np.linalg.norm(X0 - EXACT.minimizer)


# Who is absent


PARTIAL = {
    "LocalSGD": A.LocalSGD(lr=0.2, local_steps=K),
    "SCAFFOLD I": A.SCAFFOLD(lr=0.2, local_steps=K, option="I"),
    "SCAFFOLD II": A.SCAFFOLD(lr=0.2, local_steps=K),
    "FedOpt": A.FedOpt(Partial(optax.adam, learning_rate=0.1), Partial(optax.adam, learning_rate=0.1), local_steps=K),
    "SAVIC": composed(scaling.AdaHessian(), momentum=0.5),
    "SAVIC local": composed(scaling.OASIS(alpha=0.1), scope="local", momentum=0.5, buffers="keep"),
}
each = pytest.mark.parametrize("algorithm", PARTIAL.values(), ids=PARTIAL)


@each
@pytest.mark.thinned(3)
def test_a_cohort_equals_the_mask_of_its_members_and_the_absent_neither_count_nor_change(algorithm):
    network = NETWORKS["cohort"]
    active = rounds.present(network, N, 0, jax.random.key(3))

    @jax.jit
    def both(x0, key, poison):
        r = round_of(network, N, 1, key=key, key_data=KEYS.data)
        masked = dataclasses.replace(r, W=Mean(N, active), active=active, p=jnp.asarray(0.4), clients=None)
        state, _ = algorithm.init(PROBLEM, x0, r)
        state = jax.tree.map(lambda a: a + 0.1 * jnp.arange(a.shape[0])[:, None] if a.ndim == 2 else a, state)
        cohort, one = algorithm.step(PROBLEM, state, r)
        # The absent would answer with infinity, were they asked.
        bad = problems.Quadratic(PROBLEM.A, jnp.where(active[:, None], PROBLEM.b, poison), PROBLEM.noise)
        return state, cohort, algorithm.step(bad, state, masked)[0], one, algorithm.step(PROBLEM, state, masked)[1]

    before, cohort, masked, cost, masked_cost = both(jnp.tile(X0, (N, 1)), jax.random.key(3), jnp.inf)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=0, atol=1e-12), cohort, masked)
    moved = [
        np.any(np.asarray(new != old), axis=1)
        for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(cohort), strict=True)
        if old.ndim == 2 and old.shape[0] == N
    ]
    assert all(np.array_equal(rows, active) for rows in moved)
    for name in ("grads", "vectors", "bits_down"):
        assert float(getattr(cost, name)) == float(getattr(masked_cost, name))


COSTS = [  # gradients, vectors up and vectors down of a client that takes part
    (PARTIAL["LocalSGD"], K, 1, 1),
    (PARTIAL["SCAFFOLD I"], K + 1, 2, 2),
    (PARTIAL["SCAFFOLD II"], K, 2, 2),
    (PARTIAL["FedOpt"], K, 1, 1),
    (PARTIAL["SAVIC"], K + 1, 3, 3),
    (PARTIAL["SAVIC local"], 2 * K, 1, 1),
    (composed(scaling.Adam()), K, 2, 2),
    (composed(scaling.Adam(), scope="local", average_scalings=True), K, 2, 2),
    (composed(scaling.Identity(), momentum=0.5), K, 2, 2),
]


@pytest.mark.parametrize(("algorithm", "grads", "up", "down"), COSTS)
def test_the_cost_is_what_is_computed_and_sent(algorithm, grads, up, down):
    """Python numbers, which never enter the loop, unless participation is random."""
    for network, share in ((NETWORKS["everybody"], 1), (NETWORKS["cohort"], 2 / N)):
        cost = _cost(algorithm, network)
        assert cost.bits is None
        np.testing.assert_allclose(cost[:2], (share * grads, share * up), rtol=1e-15)
        np.testing.assert_allclose(cost.bits_down, share * 32 * D * down, rtol=1e-15)


def _cost(algorithm, network):
    r = round_of(network, N, key=KEYS.rounds, key_data=KEYS.data)
    found = []

    def step(x0):
        state, cost = algorithm.init(PROBLEM, x0, r)
        found.extend((cost, algorithm.step(PROBLEM, state, r)[1]))

    jax.eval_shape(step, jnp.tile(X0, (N, 1)))
    assert found[0].grads == found[0].vectors == 0
    return found[1]


def test_with_random_participation_those_present_are_what_is_paid_for():
    network = NETWORKS["Bernoulli"]
    result = jaxdec.run(A.LocalSGD(lr=0.1, local_steps=K), PROBLEM, network, rounds=ROUNDS, x0=X0, seed=SEED)
    shares = np.cumsum([0] + [len(present(network)(t)) / N for t in range(ROUNDS)])
    np.testing.assert_allclose(result.cost.grads, K * shares, rtol=1e-12)
    np.testing.assert_allclose(result.cost.vectors, shares, rtol=1e-12)


# Sweeps and bad input


def test_numbers_in_an_optimizer_or_a_scaling_are_traced():
    client = Partial(optax.sgd, learning_rate=0.1)
    methods = [
        lambda v: A.FedOpt(Partial(optax.adam, learning_rate=v, b1=v), client, local_steps=K),
        lambda v: A.SAVIC(lr=v, local_steps=K, scaling=scaling.Adam(beta=v, alpha=v), momentum=A.HeavyBall(v)),
    ]
    for method in methods:
        path(method(0.1))
        before = compiled._cache_size()
        path(method(0.2))
        assert compiled._cache_size() == before
    results = jaxdec.sweep(
        methods[0](0.1), PROBLEM, NETWORKS["everybody"],
        over={"server_optimizer": [Partial(optax.adam, learning_rate=v, b1=0.9) for v in (0.05, 0.1)]},
        seeds=[SEED], rounds=10, x0=X0,
    )  # fmt: skip
    assert results.attrs["programs"] == 1


@pytest.mark.parametrize(
    ("algorithm", "error", "says"),
    [
        (A.LocalSGD(lr=0.1, local_steps=0), ValueError, "LocalSGD.local_steps is an integer of at least 1; got 0"),
        (A.SCAFFOLD(lr=0.1, local_steps=2, option="III"), ValueError, "SCAFFOLD.option is one of"),  # type: ignore[arg-type]
        (A.FedOpt(optax.sgd(0.1), Partial(optax.sgd, learning_rate=0.1), local_steps=2), TypeError, "server_optimizer"),  # type: ignore[arg-type]
        (A.FedOpt(Partial(optax.sgd, learning_rate=0.1), Partial(dict), local_steps=2), TypeError, r"it makes \{\}"),
        (A.LocalDSGD(lr=0.1, local_steps=2), ValueError, "doubly stochastic"),
    ],
)
def test_bad_input_is_refused(algorithm, error, says):
    with pytest.raises(error, match=says):
        jaxdec.run(algorithm, PROBLEM, NETWORKS["everybody"], rounds=1)
