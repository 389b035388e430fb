"""Neural networks: any Flax (linen) module that maps inputs to class scores."""

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from jaxdec._module import module, static
from jaxdec.data import Dataset, Partition
from jaxdec.problems.finite_sum import FiniteSum, finite_sum
from jaxdec.types import ScalarLike, Vector

if TYPE_CHECKING:  # whoever has a network has imported Flax; the others do not wait for it
    from flax import linen


@module
class Neural:
    """loss(x; a, y) = log Σ_c exp z_c - z_y with z = network(a), x all of its parameters, flattened in one vector.

    Made by `neural`. Everything is static and hashable, so that equal networks share compiled programs.
    """

    network: "linen.Module" = static()
    classes: int = static()
    shape: tuple[int, ...] = static()  # of one sample
    shapes: tuple[tuple[int, ...], ...] = static()  # of the parameter tensors
    tree: PyTree = static()  # how they are nested

    @property
    def d(self) -> int:
        return sum(self.blocks)

    @property
    def blocks(self) -> tuple[int, ...]:
        return tuple(math.prod(shape) for shape in self.shapes)

    def init(self, key, dtype):
        """The network's own initialization."""
        return ravel_pytree(self.network.init(key, jnp.zeros((1, *self.shape), dtype)))[0].astype(dtype)

    def parameters(self, x: Vector) -> PyTree:
        """The network's variables from their vector."""
        tensors = jnp.split(x, np.cumsum(self.blocks)[:-1])
        return jax.tree.unflatten(self.tree, [a.reshape(s) for a, s in zip(tensors, self.shapes, strict=True)])

    def losses(self, x, inputs, targets):
        # One-hot rather than a gather of the label's logit: its gradient would be a scatter, several times slower.
        return optax.softmax_cross_entropy(self.logits(x, inputs), jax.nn.one_hot(targets, self.classes, dtype=x.dtype))

    def scores(self, x, inputs, targets):
        logits = self.logits(x, inputs)
        losses = optax.softmax_cross_entropy(logits, jax.nn.one_hot(targets, self.classes, dtype=x.dtype))
        right = jnp.argmax(logits, axis=1) == targets
        return {"loss": jnp.mean(losses), "accuracy": jnp.mean(right, dtype=x.dtype)}

    def logits(self, x: Vector, inputs: Array) -> Array:
        """The scores of the classes, (b, classes). Bytes, of images, are scaled to [0, 1]."""
        scale = 255 if jnp.issubdtype(inputs.dtype, jnp.integer) else 1
        return jnp.asarray(self.network.apply(self.parameters(x), inputs.astype(x.dtype) / scale))


def neural(
    network: "linen.Module",
    data: Dataset,
    partition: Partition,
    *,
    batch_size: int | None = None,
    l2: ScalarLike = 0.0,
    nonconvex: ScalarLike = 0.0,
) -> FiniteSum:
    """Classification by a neural network, with the softmax cross entropy as its loss.

    Args:
        network: a Flax (linen) module, called with inputs of shape (b, ...) and returning (b, classes) scores. It has
            parameters and nothing else: no batch statistics, which nodes would have to agree on, and no dropout. Its
            fields are hashable, as Flax wants them anyway.
        data: labelled samples; bytes are scaled to [0, 1].
        partition: who holds what, see `jaxdec.data`.
        batch_size: samples in a minibatch; None means that every gradient is exact.
        l2: the weight of ‖x‖²/2, over all parameters: weight decay inside the gradient.
        nonconvex: the weight of Σ x²/(1 + x²).

    Raises:
        ValueError: if the data have no classes, the network's outputs are not one score per class, or it has state.

    >>> from flax import linen
    >>> from jaxdec import data
    >>> digits = data.digits()
    >>> network = linen.Sequential([linen.Dense(16), linen.relu, linen.Dense(10)])
    >>> problem = neural(network, digits, data.iid(digits, n=4), batch_size=8)
    >>> problem.d, problem.blocks
    (1210, (16, 1024, 10, 160))
    """
    if data.classes is None:
        raise ValueError(f"a neural problem classifies; {data.name} has real targets. Use least_squares")
    shape = tuple(data.inputs.shape[1:])
    outputs, variables = jax.eval_shape(
        lambda key: network.init_with_output(key, jnp.zeros((2, *shape))), jax.random.key(0)
    )
    if extra := sorted(set(variables) - {"params"}):
        raise ValueError(
            f"{type(network).__name__} has the collections {', '.join(extra)} beside its parameters; statistics of "
            "batches are not part of the vector that nodes exchange. Use GroupNorm or LayerNorm"
        )
    if not variables.get("params"):
        raise ValueError(f"{type(network).__name__} has no parameters to optimize")
    if getattr(outputs, "shape", None) != (2, data.classes):
        raise ValueError(
            f"{type(network).__name__} maps 2 inputs of shape {shape} to {getattr(outputs, 'shape', type(outputs))}; "
            f"expected (2, {data.classes}), a score for each class of {data.name}"
        )
    leaves, tree = jax.tree.flatten(variables)
    model: Any = Neural(network, data.classes, shape, tuple(leaf.shape for leaf in leaves), tree)
    return finite_sum(model, data, partition, batch_size=batch_size, l2=l2, nonconvex=nonconvex)
