"""Diagonal preconditioners: what every one keeps, and each against its definition, one row and one update at a time."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference.local import KINDS, Diagonal

from jaxdec import networks, problems, run, scaling
from jaxdec.algorithms import SAVIC, HeavyBall, LocalSAVIC

pytestmark = pytest.mark.sampled(12)

D, UPDATES = 4, 20
CLASSES: dict[str, Any] = {
    "adam": scaling.Adam,
    "rmsprop": scaling.RMSProp,
    "adagrad": scaling.AdaGrad,
    "oasis": scaling.OASIS,
    "adahessian": scaling.AdaHessian,
}
SETTINGS = [
    (kind, rule, start)
    for kind in CLASSES
    for rule in ("max", "add")
    for start in (("statistic", "identity", "zero") if kind in ("rmsprop", "oasis") else ("statistic",))
]
STATISTICS = np.random.default_rng(0).standard_normal((UPDATES, 2, D)) * 10.0 ** np.arange(-4, 0)


def make(kind, rule, start):
    options = {"rule": rule, "alpha": 1e-2} | ({} if kind == "adagrad" else {"beta": 0.9})
    return CLASSES[kind](**options | ({"start": start} if kind in ("rmsprop", "oasis") else {}))


@pytest.mark.parametrize(("kind", "rule", "start"), SETTINGS)
def test_the_recursion_is_its_definition_and_dhat_never_falls_below_alpha(kind, rule, start):
    one: Any = make(kind, rule, start)
    state = one.init(jnp.zeros((2, D)))
    options = {} if kind == "adagrad" else {"beta": 0.9}
    loops = [Diagonal(kind, D, alpha=1e-2, rule=rule, start=start, **options) for _ in range(2)]
    found, expected = [], []
    for t, S in enumerate(STATISTICS):
        by = 1 + t % 2  # k may grow by more than one
        state = one.update(state, S, by)
        found.append(np.stack([state.D, one.diagonal(state)]))
        for row, loop in enumerate(loops):
            loop.update(S[row], by)
        expected.append(np.stack([[loop.D for loop in loops], [loop.hat() for loop in loops]]))
    found = np.array(found)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)
    assert np.all(found[:, 1] >= 1e-2)
    assert np.any(np.abs(found[:, 0]) < 1e-2) or start == "identity"  # the floor was needed


@pytest.mark.parametrize("kind", ["adam", "adahessian"])
def test_a_corrected_recursion_is_adams_second_moment_with_its_bias_removed(kind):
    one: Any = CLASSES[kind](beta=0.9, alpha=1e-9)
    state, v = one.init(jnp.zeros((2, D))), np.zeros((2, D))
    for t, S in enumerate(STATISTICS):
        state = one.update(state, S)
        v = 0.9 * v + 0.1 * S**2
        np.testing.assert_allclose(state.D, np.sqrt(v / (1 - 0.9 ** (t + 1))), rtol=1e-12)


@pytest.mark.parametrize("kind", ["rmsprop", "oasis"])
def test_how_slowly_the_identity_is_forgotten_is_the_choice_of_the_start(kind):
    slow: Any = CLASSES[kind](start="identity")
    quick: Any = CLASSES[kind](start="statistic")
    S = jnp.full((1, D), 0.01)
    a, b = slow.init(S), quick.init(S)
    a, b = jax.lax.fori_loop(0, 100, lambda _, ab: (slow.update(ab[0], S), quick.update(ab[1], S)), (a, b))
    assert jnp.all(slow.diagonal(a) > 0.9)
    np.testing.assert_allclose(quick.diagonal(b), 0.01, rtol=1e-12)


def test_hutchinson_is_exact_for_diagonal_hessians_and_unbiased_for_others():
    keys = jax.random.split(jax.random.key(0), 3)
    diagonal = problems.quadratic(3, D)
    x = jnp.ones((3, D))
    np.testing.assert_allclose(scaling.hutchinson(diagonal, x, None, keys), diagonal.A, rtol=1e-14)
    rng = np.random.default_rng(1)
    A = rng.standard_normal((3, D, D))
    A = A + A.transpose(0, 2, 1)
    full = problems.Quadratic(jnp.asarray(A), jnp.zeros((3, D)))
    draws = jax.vmap(lambda k: scaling.hutchinson(full, x, None, jax.random.split(k, 3)))
    many = np.asarray(draws(jax.random.split(jax.random.key(1), 20000)))
    error = (many.mean(axis=0) - np.einsum("njj->nj", A)) / (many.std(axis=0) / np.sqrt(20000))
    assert np.abs(error).max() < 4.5


def test_the_steps_of_adam_and_rmsprop_are_those_of_optax():
    for mine, theirs in (
        (scaling.Adam(beta=0.9, alpha=1e-3, rule="add"), optax.scale_by_adam(b1=0.0, b2=0.9, eps=1e-3)),
        (
            scaling.RMSProp(beta=0.9, alpha=1e-3, rule="add", start="zero"),
            optax.scale_by_rms(0.9, 1e-3, eps_in_sqrt=False),
        ),
    ):
        first = mine.init(jnp.zeros((1, D))), theirs.init(jnp.zeros((1, D)))

        def both(states, g, mine: Any = mine, theirs=theirs):
            s = mine.update(states[0], g)
            updates, state = theirs.update(g, states[1])
            return (s, state), (g / mine.diagonal(s), updates)

        ours, expected = jax.lax.scan(both, first, STATISTICS[:, :1])[1]
        np.testing.assert_allclose(ours, expected, rtol=1e-12)


def savic(one, **options):
    return SAVIC(**{"lr": 0.1, "local_steps": 2, "scaling": one} | options)


@pytest.mark.parametrize(
    ("algorithm", "error", "says"),
    [
        (savic(scaling.Adam), TypeError, "object of jaxdec.scaling"),
        (savic("adam"), TypeError, "got 'adam'"),
        (savic(scaling.Adam(alpha=0.0)), ValueError, "Adam.alpha"),
        (savic(scaling.Adam(beta=1.0)), ValueError, "Adam.beta"),
        (savic(scaling.RMSProp(beta=1.1)), ValueError, r"in \[0, 1\].*1.1"),
        (savic(scaling.OASIS(rule="sum")), ValueError, "OASIS.rule is one of"),  # type: ignore[arg-type]
        (savic(scaling.OASIS(start="one")), ValueError, "OASIS.start is one of"),  # type: ignore[arg-type]
        (savic(scaling.Identity(), at="here"), ValueError, "SAVIC.at is one of"),
        (savic(scaling.Identity(), momentum=HeavyBall(1.0)), ValueError, r"HeavyBall.momentum lies in \[0, 1\)"),
        (savic(scaling.Identity(), momentum=HeavyBall(0.5, "nesterov")), ValueError, "HeavyBall.form is one of"),  # type: ignore[arg-type]
        (savic(scaling.Identity(), momentum=0.9), TypeError, r"SAVIC.momentum is None or .*HeavyBall.*got 0.9"),
        (LocalSAVIC(0.1, 2, "adam"), TypeError, "LocalSAVIC.scaling is an object"),  # type: ignore[arg-type]
        (savic(scaling.Identity(), local_steps=0), ValueError, "SAVIC.local_steps"),
    ],
)
def test_bad_settings_are_refused_with_their_name_and_value(algorithm, error, says):
    with pytest.raises(error, match=says):
        run(algorithm, problems.quadratic(3, D), networks.server(3), rounds=1)


def test_every_scaling_follows_the_protocol():
    assert sorted(CLASSES) == sorted(KINDS)
    x = jnp.ones((3, D))
    for one in (scaling.Identity(), *(partial(make, kind, "max", "statistic")() for kind in CLASSES)):
        state = one.init(x)
        S = one.statistic(problems.quadratic(3, D), x, 2 * x, None, jax.random.split(jax.random.key(0), 3))
        assert S.shape == x.shape
        assert jax.tree.structure(one.update(state, S)) == jax.tree.structure(state)
        assert jax.tree.map(jnp.shape, one.update(state, S)) == jax.tree.map(jnp.shape, state)
