"""Laws of augmentation: what it makes of an image, against loops over pixels; what it leaves alone without a key."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from jaxdec import data, networks, problems, run
from jaxdec.algorithms import DSGD
from jaxdec.problems import augment

KEY = jax.random.key(0)
IMAGES = np.random.default_rng(0).uniform(1, 2, (300, 6, 5, 2))  # no pixel is 0
apply = jax.jit(lambda part, images, key: part(images, key))


def windows(image, padding):
    """All crops of one image, by slicing."""
    height, width = image.shape[:2]
    padded = np.pad(image, [(padding, padding)] * 2 + [(0, 0)] * (image.ndim - 2))
    size = 2 * padding + 1
    return np.stack([padded[i : i + height, j : j + width] for i in range(size) for j in range(size)])


def test_crops_are_all_windows_of_the_padded_image_equally_often():
    found = np.asarray(apply(augment.Crop(1), IMAGES, KEY))
    which = [np.flatnonzero(np.all(windows(a, 1) == b, axis=(1, 2, 3))) for a, b in zip(IMAGES, found, strict=True)]
    assert all(len(w) == 1 for w in which)
    counts = np.bincount(np.concatenate(which), minlength=9)
    assert np.all(np.abs(counts - 300 / 9) < 4 * np.sqrt(300 / 9))


def test_flips_mirror_left_to_right_with_their_probability():
    found = np.asarray(apply(augment.Flip(0.3), IMAGES, KEY))
    flipped = np.array([np.array_equal(a[:, ::-1], b) for a, b in zip(IMAGES, found, strict=True)])
    kept = np.array([np.array_equal(a, b) for a, b in zip(IMAGES, found, strict=True)])
    assert np.all(flipped ^ kept)
    assert abs(flipped.mean() - 0.3) < 4 * np.sqrt(0.21 / 300)


def test_erased_are_rectangles_of_the_stated_area_and_aspect_anywhere():
    images = np.random.default_rng(1).uniform(1, 2, (2000, 12, 10))
    found = np.asarray(apply(augment.Erase(0.6, value=-7.0), images, KEY))
    erased = found == -7
    assert np.array_equal(found[~erased], images[~erased])
    some = np.any(erased, axis=(1, 2))
    assert abs(some.mean() - 0.6) < 4 * np.sqrt(0.24 / 2000)
    rows, columns = erased[some].any(axis=2), erased[some].any(axis=1)
    h, w = rows.sum(axis=1), columns.sum(axis=1)
    for lines, size in ((rows, h), (columns, w)):
        first = lines.argmax(axis=1)
        after = np.arange(lines.shape[1]) - first[:, None]
        assert np.array_equal(lines, (after >= 0) & (after < size[:, None]))
        assert lines[:, 0].any()
        assert lines[:, -1].any()
    assert np.array_equal(erased[some], rows[:, :, None] & columns[:, None, :])
    assert np.all((h < 12) & (w < 10))
    # What rounding to whole pixels leaves of the bounds.
    assert np.all((h + 0.5) * (w + 0.5) >= 0.02 * 120)
    assert np.all((h - 0.5) * (w - 0.5) <= 0.33 * 120)
    assert np.all(((h + 0.5) / (w - 0.5) >= 0.3) & ((h - 0.5) / (w + 0.5) <= 3.3))
    # E[area] = (0.02 + 0.33) / 2, less what does not fit.
    assert 0.13 < (h * w).mean() / 120 < 0.18


def test_without_a_key_images_are_normalized_and_nothing_else():
    parts = augment.chain(augment.Crop(2), augment.Flip(), augment.Normalize((1.0, 2.0), (0.5, 4.0)), augment.Erase())
    assert parts.random
    np.testing.assert_allclose(parts(IMAGES, None), (IMAGES - [1, 2]) / [0.5, 4], rtol=1e-15)
    assert not augment.chain(augment.Normalize()).random


def test_a_chain_is_its_parts_in_order_each_with_its_own_key():
    parts = augment.Crop(2), augment.Erase(1.0)
    found = apply(augment.chain(*parts), IMAGES, KEY)
    expected = apply(parts[1], apply(parts[0], IMAGES, jax.random.fold_in(KEY, 0)), jax.random.fold_in(KEY, 1))
    np.testing.assert_array_equal(found, expected)


def test_bytes_are_scaled_before_and_training_alone_is_random():
    rng = np.random.default_rng(0)
    pictures, labels = rng.integers(256, size=(24, 4, 4), dtype=np.uint8), np.arange(24) % 3
    small = data.dataset(pictures, labels, test_inputs=pictures[:6], test_targets=labels[:6])

    class Sum(problems.Model):
        """loss = x times the sum of the image's pixels."""

        shapes = ((1,),)

        def losses(self, x, inputs, targets):
            return x[0] * inputs.sum(axis=(1, 2))

    jax.tree_util.register_static(Sum)
    parts = augment.chain(augment.Crop(3), augment.Normalize(0.25, 0.5))
    split = data.iid(small, n=4)
    problem = problems.finite_sum(Sum(), small, split, batch_size=6, sampling="subset", augment=parts)
    x = jnp.ones((4, 1), jnp.float64)
    drawn, exact, test = jax.jit(lambda p: (p.grad(x, p.sample(KEY, 0)), p.grad(x), p.test(x[0])))(problem)
    normal = lambda images: ((images / 255 - 0.25) / 0.5).sum(axis=(-1, -2)).mean(axis=-1)
    np.testing.assert_allclose(exact[:, 0], normal(pictures[np.asarray(problem.indices)]), rtol=1e-12)
    np.testing.assert_allclose(test["test_loss"], normal(pictures[:6]), rtol=1e-12)
    assert np.all(drawn < exact)  # crops are darker


def test_a_run_takes_augmentation_and_epochs():
    rng = np.random.default_rng(0)
    pictures = data.dataset(rng.integers(256, size=(24, 4, 4, 1), dtype=np.uint8), np.arange(24) % 3)
    network = linen.Sequential([lambda x: x.reshape(len(x), -1), linen.Dense(3)])
    problem = problems.neural(network, pictures, data.iid(pictures, n=4), batch_size=4)
    problem = dataclasses.replace(problem, augment=augment.chain(augment.Flip(), augment.Crop(1)), sampling="epochs")
    result = run(DSGD(lr=0.5), problem, networks.ring(4), rounds=60, every=60)
    assert result.metrics["loss"][-1] < result.metrics["loss"][0]


@pytest.mark.parametrize(
    ("part", "shape", "message"),
    [
        (augment.Crop(0), (4, 4, 3), "Crop.padding is an integer of at least 1; got 0"),
        (augment.Crop(), (784,), r"Crop needs images .* a sample has shape \(784,\)"),
        (augment.Flip(1.5), (4, 4, 3), "Flip.p is a probability; got 1.5"),
        (augment.Erase(area=(0.3, 0.2)), (4, 4, 3), r"Erase.area is a pair 0 < low <= high <= 1; got \(0.3, 0.2\)"),
        (augment.Erase(aspect=(0.0, 2.0)), (4, 4, 3), r"Erase.aspect is a pair 0 < low <= high; got"),
        (augment.Normalize((0.5, 0.5)), (4, 4, 3), r"Normalize.mean has shape \(2,\), .* each of its 3 channels"),
        (augment.Normalize(0.5, 0.0), (4, 4, 3), "Normalize.deviation is finite, and positive; got 0.0"),
        (augment.chain(augment.Flip(), augment.Crop(0)), (4, 4), "Crop.padding"),
    ],
)
def test_what_does_not_fit_the_images_is_refused(part, shape, message):
    with pytest.raises(ValueError, match=message):
        part.check(shape)


def test_an_empty_chain_is_refused():
    with pytest.raises(ValueError, match="at least one augmentation"):
        augment.chain()
