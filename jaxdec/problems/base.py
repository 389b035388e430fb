"""The base of all problems: five things are required, the rest has a default."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdec._module import module
from jaxdec.types import Batch, Iterates, PRNGKey, Scalar, Vector


class Problem:
    """n local objectives f_i over d parameters; the network minimizes their mean.

    A problem of one's own is a `@module` that inherits from this class and has `n`, `d`, `sample`, `loss` and `grad`;
    see `types.Problem` for what each is. `n` and `d` are known when compiling: properties of shapes, or `static()`.

    >>> @module
    ... class Distance(Problem):
    ...     b: Any  # (n, d): f_i(x) = ‖x - b_i‖²/2
    ...
    ...     @property
    ...     def n(self):
    ...         return self.b.shape[0]
    ...
    ...     @property
    ...     def d(self):
    ...         return self.b.shape[1]
    ...
    ...     def sample(self, key_data, i):
    ...         return None
    ...
    ...     def loss(self, x, batch=None):
    ...         return jnp.sum((x - self.b) ** 2, axis=1) / 2
    ...
    ...     def grad(self, x, batch=None):
    ...         return x - self.b
    >>> float(Distance(jnp.ones((4, 2))).objective(jnp.zeros(2)))
    1.0
    """

    minimizer: Any = None  # (d,), of the mean, where it is known
    minimum: Any = None  # the least value of the mean, where it is known
    L: Any = None  # the largest smoothness constant among the f_i, where it is known
    mu: Any = None  # the strong convexity of the mean, where it is known

    @property
    def n(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} needs n, the number of its nodes: a property, or static()")

    @property
    def d(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} needs d, the number of parameters: a property, or static()")

    def sample(self, key_data: PRNGKey, i: Int[Array, ""]) -> Batch:
        raise NotImplementedError(
            f"{type(self).__name__} needs sample(key_data, i), the minibatch of gradient number i; return None where "
            "gradients are exact"
        )

    def loss(self, x: Iterates, batch: Batch = None) -> Float[Array, " n"]:
        raise NotImplementedError(f"{type(self).__name__} needs loss(x, batch), the f_i(x_i) of all nodes, (n,)")

    def grad(self, x: Iterates, batch: Batch = None) -> Iterates:
        """The gradients of `loss`."""
        return jax.grad(lambda x: jnp.sum(self.loss(x, batch)))(x)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """One vector."""
        return ((self.d,),)

    @property
    def blocks(self) -> tuple[int, ...]:
        """The sizes of the tensors of `shapes`."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @property
    def batch_size(self) -> Any:
        """A gradient counts as one sample."""
        return 1

    def init(self, key: PRNGKey) -> Vector:
        """The origin, whatever the key."""
        return jnp.zeros(self.d)

    def objective(self, x: Vector) -> Scalar:
        return jnp.mean(self.loss(jnp.broadcast_to(x, (self.n, *x.shape))))

    def suboptimality(self, x: Vector) -> Scalar | None:
        """The objective at x less `minimum`, where that is known."""
        return None if self.minimum is None else self.objective(x) - self.minimum

    def hvp(self, x: Iterates, v: Iterates, batch: Batch = None) -> Iterates:
        """Hessian-vector products, by differentiating `grad`."""
        return jax.jvp(lambda x: self.grad(x, batch), (x,), (v,))[1]

    def test(self, x: Vector) -> Mapping[str, Scalar]:
        """Nothing is held out."""
        return {}

    def over_nodes(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """All nodes together, by `jax.vmap`."""
        return jax.vmap(f)

    def take(self, clients: Int[Array, " m"]) -> Any:
        """A view that computes all nodes and keeps those; a problem that can compute them alone says how."""
        return Taken(self, clients)

    def check(self) -> None:
        """Whatever can be wrong with the problem's fields; nothing here."""


@module
class Taken(Problem):
    """Some nodes of a problem that does not know how to compute them alone."""

    whole: Any
    clients: Int[Array, " m"]

    @property
    def n(self) -> int:
        return self.clients.shape[0]

    @property
    def d(self) -> int:
        return self.whole.d

    @property
    def shapes(self):
        return self.whole.shapes

    @property
    def batch_size(self):
        return self.whole.batch_size

    def sample(self, key_data, i):
        return self.whole.sample(key_data, i)

    def loss(self, x, batch=None):
        return self.whole.loss(self._among_all(x), batch)[self.clients]

    def grad(self, x, batch=None):
        return self.whole.grad(self._among_all(x), batch)[self.clients]

    def hvp(self, x, v, batch=None):
        return self.whole.hvp(self._among_all(x), self._among_all(v), batch)[self.clients]

    def test(self, x):
        return self.whole.test(x)

    def _among_all(self, x):
        return jnp.zeros((self.whole.n, self.d), x.dtype).at[self.clients].set(x)
