"""The base of all problems: four things are needed, the gradient and all the rest have a default."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxdec._module import derived, module
from jaxdec.problems import proximal
from jaxdec.types import Batch, Iterates, PRNGKey, Scalar, ScalarLike, Vector

__all__ = ["Problem", "Taken"]


class Problem:
    """n local objectives f_i over d parameters; the network minimizes their mean.

    A problem of one's own is a `@module` that inherits from this class and has `n`, `d`, `sample` and `loss`; see
    `types.Problem` for what each is. `n` and `d` are known when compiling: properties of shapes, or `static()`. The
    gradient is that of `loss` unless `grad` says how it is computed.

    >>> @module
    ... class Distance(Problem):
    ...     b: Any  # (n, d): f_i(x) = ‖x - b_i‖²/2
    ...
    ...     @derived
    ...     def n(self):
    ...         return self.b.shape[0]
    ...
    ...     @derived
    ...     def d(self):
    ...         return self.b.shape[1]
    ...
    ...     def sample(self, key_data, i):
    ...         return None
    ...
    ...     def loss(self, x, batch=None):
    ...         return jnp.sum((x - self.b) ** 2, axis=1) / 2
    >>> problem = Distance(jnp.ones((4, 2)))
    >>> float(problem.objective(jnp.zeros(2)))
    1.0
    >>> problem.grad(jnp.zeros((4, 2)))[0]
    Array([-1., -1.], dtype=float...)
    """

    @derived
    def n(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} needs n, the number of its nodes: a property, or static()")

    @derived
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

    def part_grads(self, x: Iterates, batch: Batch = None) -> tuple[Int[Array, "n b"], Float[Array, "n b d"]]:
        """The parts in a minibatch, or all, and their gradients; where f_i is its one part that is the exact one."""
        return jnp.zeros((x.shape[0], 1), jnp.int32), self.grad(x)[:, None]

    @derived
    def minimizer(self) -> Any:
        """Of the mean, (d,): not known."""
        return None

    @derived
    def minimum(self) -> Any:
        """The least value of the mean: not known."""
        return None

    @derived
    def L(self) -> Any:
        """The largest smoothness constant among the f_i: not known."""
        return None

    @derived
    def mu(self) -> Any:
        """The strong convexity of the mean: not known."""
        return None

    @derived
    def convex(self) -> bool | None:
        """Whether the mean is convex, which is asked outside of compiled functions: not known."""
        return None

    @derived
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """One vector."""
        return ((self.d,),)

    @derived
    def blocks(self) -> tuple[int, ...]:
        """The sizes of the tensors of `shapes`."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @derived
    def batch_size(self) -> Any:
        """A gradient counts as one sample."""
        return 1

    @derived
    def data_size(self) -> Any:
        """The samples that a node has, or each, (n,): those of an exact loss. One, where there are none."""
        return 1

    @derived
    def parts(self) -> int:
        """How many parts f_i is the mean of, at most, of which minibatches are drawn: one, f_i itself."""
        return 1

    @derived
    def dtype(self) -> Any:
        """That of a run that starts at `init`: of the floating-point arrays among the fields, or else JAX's default."""
        arrays = [a for a in jax.tree.leaves(self) if isinstance(a, np.ndarray | jax.Array) and a.ndim]
        canonical = jax.dtypes.canonicalize_dtype  # float64 is float32 where JAX has no other, without a warning
        return jnp.result_type(*(canonical(a.dtype) for a in arrays if jnp.issubdtype(a.dtype, jnp.floating)), 0.0)

    def init(self, key: PRNGKey) -> Vector:
        """The origin, whatever the key."""
        return jnp.zeros(self.d, self.dtype)

    def objective(self, x: Vector) -> Scalar:
        return jnp.mean(self.loss(jnp.broadcast_to(x, (self.n, *x.shape))))

    def suboptimality(self, x: Vector) -> Scalar | None:
        """The objective at x less `minimum`, where that is known."""
        return None if self.minimum is None else self.objective(x) - self.minimum

    def hvp(self, x: Iterates, v: Iterates, batch: Batch = None) -> Iterates:
        """Hessian-vector products, by differentiating `grad`."""
        return jax.jvp(lambda x: self.grad(x, batch), (x,), (v,))[1]

    def hessian(self, x: Iterates, batch: Batch = None) -> Float[Array, "n d d"]:
        """The Hessians, by their products with the unit vectors: n d² numbers, and as much time as d gradients."""
        column = lambda e: self.hvp(x, jnp.broadcast_to(e, x.shape), batch)
        return jax.vmap(column, out_axes=2)(jnp.eye(x.shape[1], dtype=x.dtype))

    def prox(self, x: Iterates, step: ScalarLike | Float[Array, "n 1"]) -> Iterates:
        """argmin_z f_i(z) + ‖z - x_i‖² / (2 step_i), by Newton's method with conjugate gradients.

        The gradient at what is found is at most ε^(2/3) (1 + ‖∇f_i(x_i)‖) in norm, ε being the spacing of the dtype at
        1. It needs two derivatives of `loss`, and curvatures above -1/step: without them there may be no minimizer.
        """
        return proximal.newton(self.grad, self.hvp, x, step)

    @derived
    def regularizer(self) -> Any:
        """What all nodes share beside the f_i, see `problems.composite`: nothing."""
        return None

    def prox_regularizer(self, x: Iterates, step: ScalarLike) -> Iterates:
        """The proximal step of the regularizer, row by row: x itself where there is none."""
        return x

    def curvature(self) -> tuple[Any, Any] | None:
        """L and mu, or bounds that hold everywhere, where they are known; on the host."""
        return None if self.L is None or self.mu is None else (self.L, self.mu)

    def variance(self, x: Iterates) -> ScalarLike | None:
        """sigma² = (1/n) Σ_i E‖g_i - ∇f_i(x_i)‖² of the minibatch gradients, where it can be computed exactly."""
        return None

    def test(self, x: Vector) -> Mapping[str, Scalar]:
        """Nothing is held out."""
        return {}

    def over_nodes(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """All nodes together, by `jax.vmap`."""
        return jax.vmap(f)

    def take(self, clients: Int[Array | np.ndarray, " m"]) -> Any:
        """A view that computes all nodes and keeps those; a problem that can compute them alone says how."""
        return Taken(self, clients)

    def check(self) -> None:
        """Whatever can be wrong with the problem's fields; nothing here."""


@module
class Taken(Problem):
    """Some nodes of a problem that does not know how to compute them alone: rows of the whole.

    A minibatch is that of all nodes.
    """

    whole: Any
    clients: Int[Array | np.ndarray, " m"]

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
        size = self.whole.batch_size
        return size[self.clients] if jnp.ndim(size) else size

    @property
    def data_size(self):
        size = self.whole.data_size
        return size[self.clients] if jnp.ndim(size) else size

    def init(self, key):
        return self.whole.init(key)

    def sample(self, key_data, i):
        return self.whole.sample(key_data, i)

    def loss(self, x, batch=None):
        return self.whole.loss(self._among_all(x), batch)[self.clients]

    def grad(self, x, batch=None):
        return self.whole.grad(self._among_all(x), batch)[self.clients]

    def hvp(self, x, v, batch=None):
        return self.whole.hvp(self._among_all(x), self._among_all(v), batch)[self.clients]

    def hessian(self, x, batch=None):
        return self.whole.hessian(self._among_all(x), batch)[self.clients]

    def prox(self, x, step):
        if jnp.ndim(step):
            step = jnp.ones((self.whole.n, 1), x.dtype).at[self.clients].set(step)
        return self.whole.prox(self._among_all(x), step)[self.clients]

    @property
    def regularizer(self):
        return self.whole.regularizer

    def prox_regularizer(self, x, step):
        return self.whole.prox_regularizer(x, step)

    def test(self, x):
        return self.whole.test(x)

    def over_nodes(self, f):
        return self.whole.over_nodes(f)

    def take(self, clients):
        return Taken(self.whole, self.clients[clients])

    def _among_all(self, x):
        """X at its nodes, and at all others the first of its rows, where the problem is as well defined as there."""
        return jnp.broadcast_to(x[:1], (self.whole.n, self.d)).at[self.clients].set(x)
