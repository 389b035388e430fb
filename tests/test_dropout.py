"""Dropout is found in the network: it is on in training and off elsewhere, or the network is refused."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from jaxdec import data, models, problems
from jaxdec.nn.dropout import SWITCHES

pytestmark = pytest.mark.sampled(12)

rng = np.random.default_rng(0)
SAMPLES = data.dataset(rng.standard_normal((24, 4)), np.arange(24) % 3)


def problem(network: Any, batch_size: int | None = 3):
    return problems.neural(network, SAMPLES, data.iid(SAMPLES, n=4), batch_size=batch_size)


def linen_with(arguments: str, layer: str, fields: str = "") -> Any:
    """A linen module whose `__call__` has these arguments, and a layer before a dense one."""
    lines = ["class Net(linen.Module):", *fields.splitlines(), "@linen.compact", f"def __call__(self, x{arguments}):"]
    text = "\n ".join(lines) + f"\n  return linen.Dense(3)({layer})"
    names = {"linen": linen, "jax": jax}
    exec(text, names)
    return names["Net"]


DROPOUT = "linen.Dropout(0.5, deterministic={})(x)"
OWN = "x * jax.random.bernoulli(self.make_rng('{}'), 0.5, x.shape) if {} else x"

SWITCHED = {
    f", {star}{name}{default}": linen_with(f", {star}{name}{default}", DROPOUT.format(f"not {name}" if on else name))()
    for name, on in SWITCHES.items()
    for star in ("", "*, ")
    for default in ("", f"={not on}", f"={on}")
} | {
    "a mask of one's own": linen_with(", training=False", OWN.format("dropout", "training"))(),
    "a stream of another name": linen_with(", train=False", OWN.format("noise", "train"))(),
}


@pytest.mark.parametrize("name", SWITCHED)
@pytest.mark.thinned(2)
def test_dropout_of_any_switch_is_on_in_training_and_off_elsewhere(name):
    p, x = problem(SWITCHED[name]), None
    x = jnp.tile(p.init(jax.random.key(0)), (4, 1))
    assert p.random
    (positions, keys), (_, others) = p.sample(jax.random.key(1), 0), p.sample(jax.random.key(1), 1)
    grad = jax.jit(p.grad)
    assert jnp.any(grad(x, (positions, keys)) != grad(x, (positions, others)))
    plain = problem(linen_with("", "x")())
    np.testing.assert_allclose(p.loss(x), plain.loss(x), rtol=1e-6)
    np.testing.assert_allclose(p.objective(x[0]), plain.objective(x[0]), rtol=1e-6)


def test_the_start_does_not_depend_on_the_switch():
    starts = [problem(network).init(jax.random.key(0)) for network in SWITCHED.values()]
    assert all(jnp.array_equal(start, starts[0]) for start in starts)


NEVER, ALWAYS = "has dropout that stays off in training", "draws random numbers where it is evaluated"
REFUSED = {
    "a switch of another name": (linen_with(", enable=False", DROPOUT.format("not enable")), NEVER),
    "a mode": (linen_with(", mode='eval'", DROPOUT.format("mode == 'eval'")), NEVER),
    "a mode without default": (linen_with(", mode", DROPOUT.format("mode == 'eval'")), "needs the argument 'mode'"),
    "a field": (linen_with("", DROPOUT.format("not self.train"), "train: bool = False"), NEVER),
    "off": (linen_with("", DROPOUT.format("True")), NEVER),
    "on": (linen_with("", DROPOUT.format("False")), ALWAYS),
    "neither": (linen_with("", DROPOUT.format("None")), "nothing says whether its dropout is on"),
    "one of two": (
        linen_with(", train=False", f"linen.Dropout(0.2)({DROPOUT.format('not train')}, deterministic=True)"),
        NEVER,
    ),
    "attention": (
        linen_with("", "linen.MultiHeadDotProductAttention(2, dropout_rate=0.5, deterministic=True)(x[:, None])[:, 0]"),
        NEVER,
    ),
    "a mask of one's own": (
        linen_with(", noisy=False", OWN.format("dropout", "noisy")),
        "as dropout does, where its argument noisy is True",
    ),
    "a mask by a field": (
        linen_with("", OWN.format("dropout", "self.noisy"), "noisy: bool = False"),
        "as dropout does, where its field noisy is True",
    ),
    "a mask always": (linen_with("", OWN.format("noise", "True")), ALWAYS),
}


@pytest.mark.parametrize("name", REFUSED)
def test_dropout_that_nothing_switches_is_refused_with_a_sentence_about_dropout(name):
    network, message = REFUSED[name]
    for batch_size in (3, None):
        with pytest.raises(ValueError, match=message) as error:
            problem(network(), batch_size)
        assert "dropout" in str(error.value)
        assert "mage" not in str(error.value)
        assert "\n" not in str(error.value)


def test_sequences_are_asked_as_well():
    for off, message in ((True, NEVER), (False, ALWAYS), (None, "nothing says")):
        with pytest.raises(ValueError, match=message):
            problem(linen.Sequential([linen.Dense(8), linen.Dropout(0.5, deterministic=off), linen.Dense(3)]))


def test_a_network_without_dropout_is_not_random_whatever_its_arguments():
    for network in (
        linen_with(", train=False", "x")(),
        linen_with("", "linen.Dropout(0.0)(x, deterministic=True)")(),
        linen_with(", train", "linen.Dropout(0.0)(x, deterministic=not train)")(),
        linen_with("", "x", "noisy: bool = False")(),
        models.MLP(classes=3),
    ):
        assert not problem(network, None).random


class Dropped(nnx.Module):
    """An nnx module with dropout; `on` is handed to it where it is not None."""

    def __init__(self, rngs, on=None, rate=0.5):
        self.dropout, self.dense, self.on = nnx.Dropout(rate, rngs=rngs), nnx.Linear(4, 3, rngs=rngs), on

    def __call__(self, x):
        return self.dense(self.dropout(x) if self.on is None else self.dropout(x, deterministic=not self.on))


class Told(Dropped):
    def __call__(self, x, training):
        return self.dense(self.dropout(x, deterministic=not training))


class Moded(Dropped):
    def __call__(self, x, mode):
        return self.dense(x)


class Streamless(Dropped):
    def __init__(self, rngs):
        self.dropout, self.dense, self.on = nnx.Dropout(0.5), nnx.Linear(4, 3, rngs=rngs), None


class Forgotten(nnx.Module):
    """Its switch is one that nothing sets."""

    def __init__(self, rngs):
        self.dense, self.rngs, self.training = nnx.Linear(4, 3, rngs=rngs), rngs, False

    def __call__(self, x):
        return self.dense(x * jax.random.bernoulli(self.rngs.dropout(), 0.5, x.shape) if self.training else x)


def test_nnx_modules_are_asked_as_well():
    assert problem(Dropped).random
    assert problem(Told).random
    assert not problem(partial(Dropped, rate=0.0), None).random
    for network, message in (
        (partial(Dropped, on=True), ALWAYS),
        (partial(Dropped, on=False), NEVER),
        (Moded, "needs the argument 'mode'"),
        (Streamless, "not in training, with dropout on"),
        (Forgotten, "Forgotten keeps a stream of random numbers, as for dropout"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            problem(network)
        assert "mage" not in str(error.value)


def test_a_class_for_a_module_and_a_module_for_a_class_are_told():
    with pytest.raises(TypeError, match=r"network is the class MLP, and a linen module is given made; write MLP\("):
        problem(models.MLP)
    with pytest.raises(TypeError, match=r"an nnx module that is made, of class Dropped.*give the class, or a function"):
        problem(Dropped(nnx.Rngs(0)))
    with pytest.raises(TypeError, match=r"network is a linen module or a function of nnx.Rngs.*got int"):
        problem(3)
