"""Quadratics whose parameters are tensors: two matrices, one of which is worth compressing, and a vector."""

from typing import Any

from jaxdec import module, problems, static, testing

__all__ = ["PROBLEM", "SHAPES", "Tensors", "tensors"]

SHAPES = ((4, 3), (2,), (2, 2))


@module
class Tensors(problems.Problem):
    """A problem with other shapes of the same parameters."""

    inner: Any
    shapes: tuple[tuple[int, ...], ...] = static()

    @property
    def n(self):
        return self.inner.n

    @property
    def d(self):
        return self.inner.d

    @property
    def minimizer(self):
        return self.inner.minimizer

    def sample(self, key_data, i):
        return self.inner.sample(key_data, i)

    def loss(self, x, batch=None):
        return self.inner.loss(x, batch)

    def grad(self, x, batch=None):
        return self.inner.grad(x, batch)

    def take(self, clients):
        return Tensors(self.inner.take(clients), self.shapes)


def tensors(noise: float, n: int = 6, shapes: tuple[tuple[int, ...], ...] = SHAPES) -> Tensors:
    return Tensors(testing.quadratic(n, 18, noise=noise), shapes)


PROBLEM = tensors(0.0)
