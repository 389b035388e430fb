"""Integers are what they are: tokens of any kind learn alike, bytes are images where they look so or are said to be."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

from jaxdec import data, networks, problems, run
from jaxdec.algorithms import DSGD

pytestmark = pytest.mark.sampled(2)

RNG = np.random.default_rng(0)
TOKENS = RNG.integers(0, 250, size=(120, 5))
KINDS = ("uint8", "int16", "uint16", "int64", "uint32")


class Embedding(linen.Module):
    """The mean of the tokens' vectors, and a layer."""

    cast: bool = True

    @linen.compact
    def __call__(self, tokens):
        tokens = tokens.astype(int) if self.cast else tokens
        return linen.Dense(10)(linen.Embed(256, 8)(tokens).reshape(len(tokens), -1, 8).mean(axis=1))


class NnxEmbedding(nnx.Module):
    def __init__(self, rngs):
        self.embed, self.out = nnx.Embed(256, 8, rngs=rngs), nnx.Linear(8, 10, rngs=rngs)

    def __call__(self, tokens):
        return self.out(self.embed(tokens).mean(axis=1))


def learned(network: Any, tokens: np.ndarray, **options):
    labels = TOKENS.reshape(120, -1)[:, 0] % 10
    task = data.dataset(tokens, labels, test_inputs=tokens[:9], test_targets=labels[:9], classes=10, **options)
    problem = problems.neural(network, task, data.iid(task, 4), batch_size=8)
    return run(DSGD(lr=0.5), problem, networks.ring(4), rounds=10, every=10, metrics=["loss", "test"]).metrics


@pytest.mark.parametrize("kind", ["uint8", "int64", "float64"])
def test_tokens_of_any_kind_learn_alike(kind):
    expected, found = learned(Embedding(), TOKENS.astype("int32")), learned(Embedding(), TOKENS.astype(kind))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
    assert expected["loss"][-1] < expected["loss"][0]


def losses(network: Any, tokens: np.ndarray):
    task = data.dataset(tokens, np.arange(120) % 10)
    problem = problems.neural(network, task, data.iid(task, 2))
    return np.asarray(problem.loss(jnp.stack([problem.init(jax.random.key(k)) for k in range(2)])))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("network", [Embedding(cast=False), NnxEmbedding])
def test_a_network_that_takes_integers_alone_gets_them(network, kind):
    np.testing.assert_array_equal(losses(network, TOKENS.astype(kind)), losses(network, TOKENS.astype("int32")))


@pytest.mark.parametrize("shape", [(120, 8, 8), (120, 4, 4, 4), (120, 16, 1), (120, 2, 32), (120, 64)])
@pytest.mark.parametrize("cast", [True, False])
def test_bytes_of_any_shape_that_a_network_embeds_are_tokens(shape, cast):
    tokens = RNG.integers(0, 250, size=shape)
    expected, found = (losses(Embedding(cast), tokens.astype(kind)) for kind in ("int32", "uint8"))
    np.testing.assert_array_equal(found, expected)


class Seen(linen.Module):
    """A sum of the inputs as they come, times a parameter."""

    @linen.compact
    def __call__(self, inputs):
        total = jnp.sum(inputs.reshape(len(inputs), -1), axis=1, keepdims=True)
        return total * self.param("one", linen.initializers.ones, (1, 2))


def seen(inputs, **options):
    task = data.dataset(inputs, np.arange(len(inputs)) % 2, **options)
    problem = problems.neural(Seen(), task, data.iid(task, 2), loss=lambda outputs, y: outputs[:, 0])
    return float(problem.objective(jnp.ones(2)))


@pytest.mark.parametrize(
    ("shape", "images", "scaled"),
    [
        ((28, 28), None, True),
        ((4, 4, 1), None, True),
        ((8, 8, 3), None, True),
        ((6, 5, 4), None, True),
        ((784,), None, False),
        ((784,), True, True),
        ((28, 28), False, False),
        ((8, 8, 3), False, False),
        ((2, 16), None, False),
        ((3, 4, 5), None, False),
        ((3, 4, 5), True, True),
        ((2, 2, 2, 2), None, False),
    ],
)
def test_bytes_are_images_where_they_look_so_or_are_said_to_be(shape, images, scaled):
    pictures = RNG.integers(256, size=(6, *shape), dtype=np.uint8)
    total = pictures.reshape(6, -1).sum(axis=1).mean()
    np.testing.assert_allclose(seen(pictures, images=images), total / 255 if scaled else total, rtol=1e-12)
    np.testing.assert_allclose(seen(pictures.astype(np.int32)), total, rtol=1e-12)
    np.testing.assert_allclose(seen(pictures.astype(np.float64), images=images), total, rtol=1e-12)


def test_what_is_augmented_are_images():
    pictures = RNG.integers(256, size=(12, 6, 6), dtype=np.uint8)
    task = data.dataset(pictures, np.arange(12) % 2)
    augment = problems.augment.Normalize(0.0, 1.0)
    problem = problems.neural(Seen(), task, data.iid(task, 2), loss=lambda outputs, y: outputs[:, 0], augment=augment)
    expected = pictures.reshape(12, -1).sum(axis=1).mean() / 255
    np.testing.assert_allclose(problem.objective(jnp.ones(2)), expected, rtol=1e-12)


class Next(linen.Module):
    """Scores of the next token at each place."""

    @linen.compact
    def __call__(self, tokens):
        return linen.Dense(7)(linen.Embed(7, 4)(tokens))


TEXT = RNG.integers(0, 7, size=(24, 6))
SEQUENCES = data.dataset(TEXT[:, :-1], TEXT[:, 1:], test_inputs=TEXT[:4, :-1], test_targets=TEXT[:4, 1:], classes=7)


def of_sequence(logits, tokens):
    return optax.softmax_cross_entropy_with_integer_labels(logits, tokens).mean(axis=1)


def test_targets_have_any_shape_of_which_the_loss_makes_a_number_for_each_sample():
    problem = problems.neural(Next(), SEQUENCES, data.iid(SEQUENCES, 3), loss=of_sequence, batch_size=4)
    x = problem.init(jax.random.key(0))
    logits = Next().apply(problem.model.parameters(x), jnp.asarray(TEXT[:, :-1]))
    np.testing.assert_allclose(problem.objective(x), of_sequence(logits, TEXT[:, 1:]).mean(), rtol=1e-6)
    right = jnp.argmax(logits[:4], axis=-1) == TEXT[:4, 1:]
    np.testing.assert_allclose(problem.test(x)["test_accuracy"], right.mean(), rtol=1e-6)
    found = run(DSGD(lr=0.5), problem, networks.ring(3), rounds=4, every=4, metrics=["loss"]).metrics["loss"]
    assert found[-1] < found[0]


def test_real_targets_may_be_vectors():
    task = data.dataset(RNG.normal(size=(20, 3)), RNG.normal(size=(20, 2)))
    loss = lambda outputs, targets: jnp.sum(optax.l2_loss(outputs, targets), axis=1)
    problem = problems.neural(linen.Dense(2), task, data.iid(task, 2), loss=loss, batch_size=4)
    assert problem.grad(jnp.zeros((2, problem.d)), problem.sample(jax.random.key(0), 0)).shape == (2, 8)


def test_targets_that_do_not_fit_are_refused():
    parts = data.iid(SEQUENCES, 3)
    with pytest.raises(ValueError, match=r"targets of shape \(5,\); say which loss"):
        problems.neural(Next(), SEQUENCES, parts)
    loss = optax.softmax_cross_entropy_with_integer_labels
    with pytest.raises(ValueError, match=r"has shape \(2, 5\); expected \(2,\), a number for each sample"):
        problems.neural(Next(), SEQUENCES, parts, loss=loss)
    with pytest.raises(ValueError, match=r"a linear model has one target a sample, .* shape \(5,\); flatten"):
        problems.softmax(SEQUENCES, parts)
    with pytest.raises(ValueError, match=r"a sample of 'custom' has \(5,\) labels, not one to partition by"):
        data.dirichlet(SEQUENCES, 3, 1.0)
    assert len(data.split(SEQUENCES, 0.25)[1].test_targets) == 6
