"""Augmentation of images inside jit, on the gathered minibatch: functions of (images, key).

Images are (b, height, width, channels) or (b, height, width), floating-point, bytes having been scaled to [0, 1] by the
problem. A key draws what is random, for each image on its own; without a key (exact gradients, test) an image passes
through what is random unchanged, and only `Normalize` acts.

>>> crop_and_flip = chain(Crop(4), Flip(), Normalize(0.5, 0.5))
>>> images = jnp.linspace(0, 1, 2 * 32 * 32 * 3).reshape(2, 32, 32, 3)
>>> crop_and_flip(images, jax.random.key(0)).shape
(2, 32, 32, 3)
>>> bool(jnp.all(crop_and_flip(images, None) == 2 * images - 1))
True
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.types import PRNGKey, ScalarLike

__all__ = ["ATTEMPTS", "Chain", "Crop", "Erase", "Flip", "Normalize", "chain"]


@module
class Crop:
    """A window of the image's own size at a random place of the image with zeros around it.

    The zeros are those of the image as it comes: after `Normalize` they are the mean, before it black.
    """

    padding: int = static(default=4)  # rows and columns of zeros at each side

    random: ClassVar[bool] = True

    def __call__(self, images: Array, key: PRNGKey | None) -> Array:
        if key is None:
            return images
        b, height, width = images.shape[:3]
        top, left = jax.random.randint(key, (2, b, 1), 0, 2 * self.padding + 1) - self.padding
        row, column = top + jnp.arange(height), left + jnp.arange(width)
        # One gather for both directions: two of them, fused with what follows, are ten times slower on a CPU.
        pixel = lambda image, row, column: image[row[:, None], column]
        moved = jax.vmap(pixel)(images, jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1))
        inside = ((row >= 0) & (row < height))[:, :, None] & ((column >= 0) & (column < width))[:, None]
        return jnp.where(_per_pixel(inside, images), moved, 0)

    def check(self, shape: tuple[int, ...]) -> None:
        checks.integer("Crop.padding", self.padding)
        _image("Crop", shape)


@module
class Flip:
    """The image mirrored left to right, with probability p."""

    p: ScalarLike = 0.5

    random: ClassVar[bool] = True

    def __call__(self, images: Array, key: PRNGKey | None) -> Array:
        if key is None:
            return images
        mirrored = jax.random.bernoulli(key, self.p, (len(images),))
        return jnp.where(_per_image(mirrored, images), jnp.flip(images, axis=2), images)

    def check(self, shape: tuple[int, ...]) -> None:
        _probability("Flip.p", self.p)
        _image("Flip", shape)


@module
class Erase:
    """A random rectangle of the image overwritten, with probability p.

    Its area is a share of the image's drawn uniformly from `area`, its height over its width is drawn from `aspect`,
    uniformly in the logarithm, and its place uniformly from those inside the image. A rectangle that does not fit is
    drawn again, up to ten times; if none fits, the image stays as it is.

    Source: Zhong, Zheng, Kang, Li and Yang, "Random Erasing Data Augmentation", arXiv:1708.04896, with the
    log-uniform aspect and the defaults of torchvision's `RandomErasing`
    (https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.RandomErasing.html).
    """

    p: ScalarLike = 0.5
    area: tuple[ScalarLike, ScalarLike] = (0.02, 0.33)
    aspect: tuple[ScalarLike, ScalarLike] = (0.3, 3.3)
    value: ScalarLike = 0.0

    random: ClassVar[bool] = True

    def __call__(self, images: Array, key: PRNGKey | None) -> Array:
        if key is None:
            return images
        b, height, width = images.shape[:3]
        key, where = jax.random.split(key)
        erased, *words = jax.random.uniform(key, (1 + 2 * ATTEMPTS, b))
        share = self.area[0] + (self.area[1] - self.area[0]) * jnp.stack(words[:ATTEMPTS])
        low, high = jnp.log(jnp.stack([jnp.asarray(a, share.dtype) for a in self.aspect]))
        ratio = jnp.exp(low + (high - low) * jnp.stack(words[ATTEMPTS:]))
        area = share * height * width
        h, w = (jnp.rint(jnp.sqrt(a)).astype(int) for a in (area * ratio, area / ratio))  # (ATTEMPTS, b)
        fits = (h < height) & (w < width)
        first = jnp.argmax(fits, axis=0)
        h, w = (jnp.take_along_axis(a, first[None], axis=0)[0] for a in (h, w))
        top, left = jnp.floor(jax.random.uniform(where, (2, b)) * jnp.stack([height - h + 1, width - w + 1])).astype(
            int
        )
        inside = _within(jnp.arange(height), top, h)[:, :, None] & _within(jnp.arange(width), left, w)[:, None]
        chosen = (erased < self.p) & jnp.any(fits, axis=0)
        inside = _per_pixel(inside & chosen[:, None, None], images)
        return jnp.where(inside, jnp.asarray(self.value, images.dtype), images)

    def check(self, shape: tuple[int, ...]) -> None:
        _probability("Erase.p", self.p)
        _image("Erase", shape)
        for name, (low, high), most in (("area", self.area, 1), ("aspect", self.aspect, np.inf)):
            if not 0 < low <= high <= most:
                bound = "" if most == np.inf else f" <= {most}"
                raise ValueError(f"Erase.{name} is a pair 0 < low <= high{bound}; got ({low}, {high})")


ATTEMPTS = 10


def _within(line: Array, first: Array, count: Array) -> Array:
    """Whether each line is among the `count` lines from `first` on, (b, lines)."""
    return (line >= first[:, None]) & (line < (first + count)[:, None])


@module
class Normalize:
    """(image - mean) / deviation, with a number or a value for each channel. Acts on test images, too."""

    mean: ScalarLike | Float[Array, " channels"] = 0.5
    deviation: ScalarLike | Float[Array, " channels"] = 0.5

    random: ClassVar[bool] = False

    def __call__(self, images: Array, key: PRNGKey | None) -> Array:
        mean, deviation = (_per_channel(v, images) for v in (self.mean, self.deviation))
        return (images - mean) / deviation

    def check(self, shape: tuple[int, ...]) -> None:
        for name in ("mean", "deviation"):
            value = np.asarray(getattr(self, name))
            if value.ndim and value.shape != shape[-1:]:
                raise ValueError(
                    f"Normalize.{name} has shape {value.shape}, but a sample has shape {shape}: give a number, or one "
                    f"for each of its {shape[-1] if shape else 0} channels"
                )
            if not np.all(np.isfinite(value)) or (name == "deviation" and np.any(value <= 0)):
                raise ValueError(f"Normalize.{name} is finite{', and positive' if name != 'mean' else ''}; got {value}")


@module
class Chain:
    """Several augmentations, one after the other. Made by `chain`."""

    parts: tuple[Any, ...]

    @property
    def random(self) -> bool:
        return any(getattr(part, "random", True) for part in self.parts)

    def __call__(self, images: Array, key: PRNGKey | None) -> Array:
        for k, part in enumerate(self.parts):
            images = part(images, None if key is None else jax.random.fold_in(key, k))
        return images

    def check(self, shape: tuple[int, ...]) -> None:
        for part in self.parts:
            checks.own(part, shape)


def chain(*parts: Any) -> Chain:
    """The augmentations in this order.

    Raises:
        ValueError: if there is none.
    """
    if not parts:
        raise ValueError("a chain has at least one augmentation; got none. Leave augment=None for none")
    return Chain(parts)


def _per_image(values: Array, images: Array) -> Array:
    return values.reshape(-1, *(1,) * (images.ndim - 1))


def _per_pixel(values: Array, images: Array) -> Array:
    return values.reshape(*values.shape, *(1,) * (images.ndim - 3))


def _per_channel(value: Any, images: Array) -> Array:
    value = jnp.asarray(value, images.dtype)
    return value.reshape((1,) * (images.ndim - value.ndim) + value.shape) if value.ndim else value


def _image(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) not in (2, 3):
        raise ValueError(
            f"{name} needs images (height, width, channels) or (height, width); a sample has shape {tuple(shape)}. "
            "Give the dataset inputs of that shape, not flattened ones"
        )


def _probability(name: str, value: Any) -> None:
    if not np.all((np.asarray(value) >= 0) & (np.asarray(value) <= 1)):
        raise ValueError(f"{name} is a probability; got {value}")
