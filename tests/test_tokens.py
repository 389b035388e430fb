"""Integers are what they are: tokens of any kind learn alike, bytes are images where they look so or are said to be."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

from jaxdec import data, models, networks, problems, run
from jaxdec.algorithms import DSGD

pytestmark = pytest.mark.sampled(12)

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
    with pytest.raises(ValueError, match=r"expected \(2, 5, 7\), a score for each class of custom at each place"):
        problems.neural(Embedding(), SEQUENCES, parts)
    loss = optax.softmax_cross_entropy_with_integer_labels
    with pytest.raises(ValueError, match=r"has shape \(2, 5\); expected \(2,\), a number for each sample"):
        problems.neural(Next(), SEQUENCES, parts, loss=loss)
    with pytest.raises(ValueError, match=r"a linear model has one target a sample, .* shape \(5,\); flatten"):
        problems.softmax(SEQUENCES, parts)
    with pytest.raises(ValueError, match=r"a sample of 'custom' has \(5,\) labels, not one to partition by"):
        data.dirichlet(SEQUENCES, 3, 1.0)
    assert len(data.split(SEQUENCES, 0.25)[1].test_targets) == 6


def test_the_loss_of_a_sequence_is_the_mean_cross_entropy_of_its_tokens():
    given, usual = (
        problems.neural(Next(), SEQUENCES, data.iid(SEQUENCES, 3), batch_size=4, **loss)
        for loss in ({"loss": of_sequence}, {})
    )
    x = usual.init(jax.random.key(0))
    np.testing.assert_allclose(usual.objective(x), given.objective(x), rtol=1e-12)
    rows, batch = jnp.stack([x] * 3), usual.sample(jax.random.key(1), 0)
    np.testing.assert_allclose(usual.grad(rows, batch), given.grad(rows, batch), rtol=1e-9, atol=1e-15)
    tested, alike = usual.test(x), given.test(x)
    np.testing.assert_allclose(tested["test_bits"] * np.log(2), tested["test_loss"], rtol=1e-12)
    np.testing.assert_allclose([tested[name] for name in alike], list(alike.values()), rtol=1e-12)


# Text.


FOX = "the quick brown fox jumps over the lazy dog. " * 9


@pytest.mark.parametrize(("length", "test_fraction"), [(1, 0.5), (7, 0.1), (40, 0.0), (200, 0.3)])
def test_windows_of_a_text_are_the_text_and_their_targets_what_comes_next(length, test_fraction):
    task, letters = data.text(FOX, length, test_fraction), np.array(list(data.alphabet(FOX)))
    parts = [task.inputs, task.targets], [task.test_inputs, task.test_targets]
    inputs, targets = (np.concatenate([a for a in both if a is not None]) for both in zip(*parts, strict=True))
    count = (len(FOX) - 1) // length
    assert inputs.shape == targets.shape == (count, length)
    assert len(task.targets) == count - np.ceil(test_fraction * count)
    assert "".join(letters[inputs.ravel()]) == FOX[: count * length]
    assert "".join(letters[targets.ravel()]) == FOX[1 : count * length + 1]
    assert task.classes == len(set(FOX))


def test_the_text_that_is_there_is_english_of_the_standard_library():
    task, letters = data.text(length=100), data.alphabet()
    assert task.classes == len(letters) > 90
    assert task.inputs.size > 300_000
    assert "statement" in "".join(letters[k] for k in task.inputs[:50].ravel())
    assert "pydoc" in task.name
    parts = data.contiguous(task, 8)
    np.testing.assert_array_equal(np.concatenate([parts.node(i) for i in range(8)]), np.arange(len(task.inputs)))
    assert np.ptp(parts.counts) <= 1


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"source": "aaaaaaaa", "length": 2}, ValueError, "8 characters, 1 of them different"),
        ({"source": "hello", "length": 3}, ValueError, "has 1 windows of 3 and one more"),
        ({"source": "", "length": 3}, ValueError, "has 0 windows"),
        ({"source": b"hello"}, TypeError, "source is a text, a str; got bytes"),
        ({"source": FOX, "length": 0}, ValueError, "length is an integer of at least 1"),
        ({"source": FOX, "test_fraction": 1.0}, ValueError, "at least 0 and below 1; got 1.0"),
        ({"source": "abcdefg", "length": 3, "test_fraction": 0.9}, ValueError, "holds out all 2 windows"),
    ],
)
def test_what_is_no_text_to_learn_from_is_refused(given, error, says):
    with pytest.raises(error, match=says):
        data.text(**given)


def test_a_transformer_sees_nothing_of_what_it_is_to_predict():
    network, tokens = models.Transformer(classes=9, width=8, heads=2), jnp.asarray(RNG.integers(0, 9, (2, 6)))
    scores, variables = network.init_with_output(jax.random.key(0), tokens)
    changed = network.apply(variables, tokens.at[:, 4].add(1) % 9)
    np.testing.assert_array_equal(scores[:, :4], changed[:, :4])
    assert np.all(np.any(np.asarray(scores[:, 4:] != changed[:, 4:]), axis=-1))


@pytest.mark.parametrize("nodes", ["map", "vmap"])
def test_a_transformer_learns_a_text(nodes):
    task = data.text(FOX, length=8, test_fraction=0.2)
    network = models.Transformer(task.classes, layers=1, width=16, heads=2)
    problem = problems.neural(network, task, data.contiguous(task, 3), batch_size=4, nodes=nodes)
    found = run(DSGD(lr=1.0), problem, networks.ring(3), rounds=60, every=60, metrics=["loss", "test"]).metrics
    assert found["loss"][-1] < 0.8 * np.log(task.classes)
    assert found["test_accuracy"][-1] > 0.2
    assert "params/tokens/embedding" in problem.model.names
    assert len(problem.model.names) == len(problem.shapes)
