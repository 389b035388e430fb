"""Neural networks: any Flax module, linen or nnx, with any loss of optax."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.data import Dataset, Partition
from jaxdec.data.sources import dense, pixels
from jaxdec.nn import dropout
from jaxdec.problems.finite_sums import FiniteSum, finite_sum
from jaxdec.problems.models import Model
from jaxdec.types import PRNGKey, ScalarLike, Vector

__all__ = ["BLOCK", "Loss", "Neural", "neural"]

Loss = Callable[[Array, Array], Array]

BLOCK = 250  # samples that go through a network at once when there is no minibatch: bounds the memory


@module
class Neural(Model):
    """loss(x; a, y) = loss(network(a), y), x all of the network's parameters, flattened in one vector.

    Made by `neural`. Everything is static and hashable, so that equal networks share compiled programs. Flax is
    imported by whoever has a network, and the others do not wait for it.
    """

    network: Any = static()  # a linen.Module, or a function of nnx.Rngs that makes an nnx.Module
    loss: Loss | None = static()  # of (outputs, targets); None is the softmax cross entropy, of sequences their mean
    classes: int | None = static()
    shape: tuple[int, ...] = static()  # of one sample
    shapes: tuple[tuple[int, ...], ...] = static()  # of the parameter tensors
    tree: Any = static()  # how they are nested
    integers: bool = static(default=False)  # whether it gets integer inputs as such; else bytes are scaled to [0, 1]
    random: bool = static(default=False)  # whether a key makes the losses random: dropout
    convolutional: bool = static(default=False)
    nodes: Literal["map", "vmap"] | None = static(default=None)

    def init(self, key, dtype):
        """The network's own initialization."""
        inputs = jnp.zeros((1, *self.shape), jnp.int32 if self.integers else dtype)
        return ravel_pytree(dropout.init(self.network, key, inputs))[0].astype(dtype)

    def parameters(self, x: Vector) -> PyTree:
        """The network's variables from their vector."""
        return jax.tree.unflatten(self.tree, self.tensors(x))

    @property
    def names(self) -> tuple[str, ...]:
        """What the network calls its parameter tensors, in the order of `shapes`: params/Dense_0/bias and so on."""
        leaves = jax.tree.leaves_with_path(jax.tree.unflatten(self.tree, range(len(self.shapes))))
        return tuple(jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves)

    def over_nodes(self, f: Callable) -> Callable:
        """`f`, of one node, for all: one after the other where the network convolves on a CPU, else together.

        Measured in benchmarks/convolution.py: the activations of one node stay in the CPU's cache. Elsewhere it is
        `vmap` by reasoning: one node does not fill an accelerator.
        """
        one_by_one = (
            self.convolutional and jax.default_backend() == "cpu" if self.nodes is None else self.nodes == "map"
        )
        return (lambda *args: jax.lax.map(lambda of_node: f(*of_node), args)) if one_by_one else jax.vmap(f)

    def losses(self, x, inputs, targets, key: PRNGKey | None = None):
        """The losses (b,), with dropout if there is a key."""
        if key is not None:
            return self._losses(self.outputs(x, inputs, key), targets)
        return _in_blocks(lambda a, y: self._losses(self.outputs(x, a), y), inputs, targets)

    def scores(self, x, inputs, targets):
        def each(inputs, targets):
            outputs = self.outputs(x, inputs)
            losses = self._losses(outputs, targets)
            if self.classes is None or outputs.shape != (*targets.shape, self.classes):
                return {"loss": losses}
            right = (jnp.argmax(outputs, axis=-1) == targets).astype(x.dtype)
            if right.ndim == 1:
                return {"loss": losses, "accuracy": right}
            bits = {} if self.loss is not None else {"bits": losses / math.log(2)}  # per token
            return {"loss": losses, "accuracy": right.reshape(len(right), -1).mean(axis=1)} | bits

        return jax.tree.map(jnp.mean, _in_blocks(each, inputs, targets))

    def outputs(self, x: Vector, inputs: Array, key: PRNGKey | None = None) -> Array:
        """What the network makes of the inputs, (b, classes) for classes."""
        if jnp.issubdtype(inputs.dtype, jnp.integer) and self.integers:
            inputs = inputs.astype(jnp.int32)  # of whatever kind, so that all mean the same
        else:
            inputs = inputs.astype(x.dtype) / (255 if jnp.issubdtype(inputs.dtype, jnp.integer) else 1)
        return jnp.asarray(dropout.apply(self.network, self.parameters(x), inputs, key))

    def _losses(self, outputs, targets) -> Array:
        if self.loss is not None:
            real = self.classes is None
            outputs = outputs[..., 0] if real and outputs.shape == (*targets.shape, 1) else outputs
            return self.loss(outputs, targets.astype(outputs.dtype) if real else targets)
        # One-hot rather than a gather of the label's logit: its gradient would be a scatter, several times slower.
        losses = optax.softmax_cross_entropy(outputs, jax.nn.one_hot(targets, outputs.shape[-1], dtype=outputs.dtype))
        return losses if losses.ndim == 1 else losses.reshape(len(losses), -1).mean(axis=1)


def _in_blocks(f: Callable, *arrays: Array) -> PyTree:
    """The results of f on blocks of the arrays; the gradient computes each block again rather than keep it."""
    whole = len(arrays[0]) // BLOCK
    if whole < 2:
        return f(*arrays)
    blocks = [a[: whole * BLOCK].reshape(whole, BLOCK, *a.shape[1:]) for a in arrays]
    results = jax.lax.map(jax.checkpoint(lambda block: f(*block)), blocks)
    results = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), results)
    if whole * BLOCK == len(arrays[0]):
        return results
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), results, f(*(a[whole * BLOCK :] for a in arrays)))


def neural(
    network: Any,
    data: Dataset,
    partition: Partition,
    *,
    loss: Loss | None = None,
    batch_size: int | None = None,
    l2: ScalarLike = 0.0,
    nonconvex: ScalarLike | None = None,
    nodes: Literal["map", "vmap"] | None = None,
    **options: Any,
) -> FiniteSum:
    """Classification or regression by a neural network.

    Args:
        network: a Flax linen module, or a function of `nnx.Rngs` that makes an nnx module, such as its class. It is
            called with inputs of shape (b, ...) and returns (b, classes) scores, (b, length, classes) where targets
            are sequences, or for real targets what the loss takes. It has parameters and nothing else: no batch
            statistics, which nodes would have to agree on. Dropout is on in the gradients of minibatches and off in
            exact gradients and test; a linen module says which by an argument `train`, `training`, `is_training` or
            `deterministic`. Functions and the fields of modules are hashable.
        data: samples. Bytes that are images (see `data.Dataset`), or that are augmented, are scaled to [0, 1], unless
            the network makes integers of them; all other integers reach the network as int32. Targets have any shape
            of which the loss makes a number for each sample.
        partition: who holds what, see `jaxdec.data`.
        loss: of (outputs, targets), one for each sample, such as `optax.l2_loss` or
            `optax.softmax_cross_entropy_with_integer_labels`; None is the softmax cross entropy, or, where a sample
            has several labels, as a sequence has, its mean over them. Outputs (b, 1) are given to it as (b,) where the
            targets are real numbers.
        batch_size: samples in a minibatch; None means that every gradient is exact.
        l2: the weight of ‖x‖²/2, over all parameters: weight decay inside the gradient.
        nonconvex: the weight of Σ x²/(1 + x²); None leaves the term out.
        nodes: "map" computes one node after the other, "vmap" all together; None chooses, see `Neural.over_nodes`.
        options: of `finite_sum`, such as sampling and augment.

    Raises:
        TypeError: if the network is a class of linen modules, or an nnx module that is made.
        ValueError: if the data do not fit the network, its outputs do not fit the data or the loss, it has state, or
            dropout that is not switched so.

    >>> from flax import linen
    >>> from jaxdec import data
    >>> digits = data.digits()
    >>> network = linen.Sequential([linen.Dense(16), linen.relu, linen.Dense(10)])
    >>> problem = neural(network, digits, data.iid(digits, n=4), batch_size=8)
    >>> problem.d, problem.blocks
    (1210, (16, 1024, 10, 160))
    """
    if nodes is not None:
        checks.choice("nodes", nodes, ("map", "vmap"))
    if data.classes is None and loss is None:
        raise ValueError(
            f"{data.name} has real targets. Use least_squares, or say which loss, such as loss=optax.l2_loss"
        )
    dense(data, "neural")
    dropout.made(network)
    shape = tuple(data.inputs.shape[1:])
    name = type(network).__name__ if dropout.is_linen(network) else getattr(network, "__name__", "the network")
    fitting = partial(_fitting, name, data.name, shape)
    fitting(lambda: dropout.called(network))
    integers = _integers(network, data, options.get("augment") is not None)
    inputs = jax.ShapeDtypeStruct((2, *shape), jnp.int32 if integers else jnp.float32)
    with dropout.watched([]):
        variables = fitting(lambda: jax.eval_shape(partial(dropout.init, network), jax.random.key(0), inputs))
    _refuse(name, set(variables) - {"params"} if dropout.is_linen(network) else _kinds(network))
    if not jax.tree.leaves(variables):
        raise ValueError(f"{name} has no parameters to optimize")
    random = fitting(lambda: dropout.random(network, variables, inputs))
    traced = jax.make_jaxpr(partial(dropout.apply, network, key=None), return_shape=True)
    jaxpr, outputs = fitting(lambda: traced(variables, inputs))
    labelled = data.classes is not None and (data.targets.ndim == 1 or loss is None)
    expected = (2, *data.targets.shape[1:], data.classes) if labelled else None
    if not hasattr(outputs, "shape") or outputs.shape[:1] != (2,) or (expected and outputs.shape != expected):
        raise ValueError(
            f"{name} maps 2 inputs of shape {shape} to {getattr(outputs, 'shape', type(outputs))}; expected "
            + (
                f"{expected}, a score for each class of {data.name}{' at each place' if len(expected) > 2 else ''}"
                if expected
                else "(2, ...), an output for each sample"
            )
        )
    leaves, tree = jax.tree.flatten(variables)
    convolutional = bool({"convolve", "conv_general_dilated"} & {e.primitive.name for e in _equations(jaxpr.jaxpr)})
    shapes = tuple(leaf.shape for leaf in leaves)
    model: Any = Neural(network, loss, data.classes, shape, shapes, tree, integers, random, convolutional, nodes)
    targets = jax.ShapeDtypeStruct((2, *data.targets.shape[1:]), jnp.asarray(data.targets[:1]).dtype)
    losses = jax.eval_shape(model._losses, outputs, targets)
    if getattr(losses, "shape", None) != (2,):
        raise ValueError(
            f"the loss of outputs {outputs.shape} and targets {targets.shape} has shape "
            f"{getattr(losses, 'shape', type(losses))}; expected (2,), a number for each sample: sum over other axes"
        )
    return finite_sum(model, data, partition, batch_size=batch_size, l2=l2, nonconvex=nonconvex, **options)


def _integers(network: Any, data: Dataset, augmented: bool) -> bool:
    """Whether the network gets the inputs as the integers that they are.

    Bytes that only look like images do not where the network takes nothing but integers, or makes integers of its
    inputs, as an embedding does: scaled to [0, 1] they would all be 0.
    """
    if data.inputs.dtype.kind == "f" or augmented:
        return False
    if not pixels(data):
        return True
    return data.images is None and _embeds(network, tuple(data.inputs.shape[1:]))


def _embeds(network: Any, shape: tuple[int, ...]) -> bool:
    """Whether the network refuses inputs that are not integers, or makes integers of them."""
    from flax.errors import FlaxError

    key = jax.random.key(0)

    def traced(dtype):
        inputs = jax.ShapeDtypeStruct((2, *shape), dtype)
        variables = jax.eval_shape(partial(dropout.init, network), key, inputs)
        return jax.make_jaxpr(partial(dropout.apply, network, key=None))(variables, inputs)

    try:
        made = _equations(traced(jnp.float32).jaxpr)
    except (TypeError, ValueError, ZeroDivisionError, FlaxError):
        try:
            traced(jnp.int32)
        except (TypeError, ValueError, ZeroDivisionError, FlaxError):
            return False  # nor those: what is wrong is told where the network is first used
        return True
    whole = lambda v: jnp.issubdtype(v.aval.dtype, jnp.integer)
    casts = [
        e for e in made if e.primitive.name == "convert_element_type" and e.invars[0].aval.size >= math.prod(shape)
    ]
    return any(whole(e.outvars[0]) and not whole(e.invars[0]) for e in casts)


def _refuse(name: str, extra: set[str]) -> None:
    if extra:
        raise ValueError(
            f"{name} has the collections {', '.join(sorted(extra))} beside its parameters; statistics of batches are "
            "not part of the vector that nodes exchange. Use GroupNorm or LayerNorm"
        )


def _fitting(name: str, samples: str, shape: tuple[int, ...], f: Callable) -> Any:
    """f(), its error being one about the shape of samples that is not the network's."""
    from flax.errors import FlaxError

    try:
        return f()
    except dropout.DropoutError:
        raise
    except (TypeError, ValueError, ZeroDivisionError, FlaxError) as error:
        raise ValueError(
            f"{name} does not take {samples}, whose samples have shape {shape}: {str(error).splitlines()[0]}. Images "
            "are (height, width, channels), and tokens are integers; reshape or convert the data, or take a network "
            "for such samples"
        ) from error


def _variables(factory) -> Any:
    from flax import nnx

    return nnx.state(nnx.eval_shape(lambda: factory(nnx.Rngs(0))))


def _kinds(factory) -> set[str]:
    """The kinds of variables of an nnx module that are neither parameters nor keys."""
    from flax import nnx

    leaves = jax.tree.leaves(_variables(factory), is_leaf=lambda v: isinstance(v, nnx.Variable))
    return {type(v).__name__ for v in leaves if not isinstance(v, nnx.Param | nnx.RngState)}


def _equations(jaxpr) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(list(equation.params.values())):
            if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                yield from _equations(getattr(inner, "jaxpr", inner))
