"""Problems of a function of one's own: the loss of one sample, and arrays of samples."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.data import Dataset, Partition
from jaxdec.data.partitions import check_reach
from jaxdec.data.sources import dense
from jaxdec.problems.finite_sums import FiniteSum, Sampling, tables
from jaxdec.problems.models import Model
from jaxdec.types import ScalarLike, Vector

__all__ = ["Function", "from_loss"]


@module
class Function(Model):
    """loss(parameters; sample), x the parameters flattened in one vector. Made by `from_loss`.

    Equal functions are the same object: two lambdas with the same text are two programs.
    """

    loss: Callable[..., Any] = static()  # of the parameters and one sample
    shapes: tuple[tuple[int, ...], ...] = static()  # of the parameter tensors
    tree: Any = static()  # how they are nested
    start: Float[Array, " d"] | None  # where all runs begin, or None
    draw: Callable[..., Any] | None = static()  # of a key: where they begin where that is random

    def init(self, key, dtype):
        """The start that was given, or drawn."""
        start = self.start if self.draw is None else ravel_pytree(self.draw(key))[0]
        return jnp.asarray(start, dtype)

    def parameters(self, x: Vector) -> PyTree:
        """The parameters as the loss takes them, from their vector."""
        return jax.tree.unflatten(self.tree, self.tensors(x))

    def losses(self, x, inputs, targets):
        samples = inputs if targets is None else (inputs, targets)
        return jax.vmap(self.loss, in_axes=(None, 0))(self.parameters(x), samples)


def from_loss(
    loss: Callable[..., Any],
    data: Dataset | PyTree,
    partition: Partition | None = None,
    *,
    init: PyTree | Callable[..., PyTree],
    test: PyTree = None,
    batch_size: int | None = None,
    l2: ScalarLike = 0.0,
    nonconvex: ScalarLike | None = None,
    sampling: Sampling = "replacement",
) -> FiniteSum:
    r"""The problem of a function: f_i(x) = mean_j loss(x, sample ij) + regularizers.

    Where f_i depends on all that a node has at once, that is its one sample: give arrays (n, 1, ...).

    Args:
        loss: of one node's parameters and one sample, a number; differentiable by JAX. Pass the same function again to
            reuse compiled programs.
        data: the samples: a `Dataset`, whose samples are pairs (input, target); or an array or a pytree of arrays, of
            which a sample has the entries without the leading axis.
        partition: who holds what, see `jaxdec.data`; or None where the arrays are (n, m, ...), m samples for each node.
        init: the parameters that all runs start from, an array or a pytree of arrays, whose nesting is that of what the
            loss gets; or a function of a key that draws them.
        test: held-out samples, nested as the data and with one leading axis; a `Dataset` has its own. Their mean loss
            is the metric test_loss.
        batch_size: samples in a minibatch; None means that every gradient is exact.
        l2: the weight of ‖x‖²/2, over all parameters.
        nonconvex: the weight of Σ x²/(1 + x²); None leaves the term out.
        sampling: how minibatches are drawn, see `FiniteSum`.

    Raises:
        ValueError: if the loss of a sample is not a number, or the data, their partition and the test do not fit.

    >>> from jaxdec import algorithms, networks, run
    >>> rng = np.random.default_rng(0)
    >>> A, b = rng.standard_normal((8, 50, 3)), rng.standard_cauchy((8, 50))  # of 8 nodes
    >>> def robust(x, sample):
    ...     a, y = sample
    ...     return jnp.sqrt(1 + (a @ x - y) ** 2)
    >>> problem = from_loss(robust, (A, A @ np.ones(3) + 0.1 * b), init=np.zeros(3), batch_size=5)
    >>> result = run(algorithms.KGT(lr=0.1, local_steps=4), problem, networks.ring(8), rounds=50)
    >>> bool(jnp.linalg.norm(result.state.x.mean(axis=0) - 1) < 0.1)  # minibatches leave 0.04 to 0.07
    True
    """
    if isinstance(data, Dataset):
        if partition is None:
            raise ValueError(f"say who holds what of {data.name}: give a partition, such as data.iid(dataset, n=8)")
        if test is not None:
            raise ValueError(f"{data.name} is a Dataset, which brings its own test samples: leave test=None")
        check_reach(partition, len(data.targets), data.name)
        dense(data, "from_loss")
        inputs, targets, held_out = data.inputs, data.targets, (data.test_inputs, data.test_targets)
    else:
        checks.holds("data", data, jnp.result_type(float))
        inputs, targets, held_out = jax.tree.map(jnp.asarray, data), None, (test, None)
        inputs, partition = _split(inputs, partition)
    checks.holds("data", (inputs, targets, held_out), jnp.result_type(float))
    sample = _one((inputs, targets), "data")
    if jax.tree.leaves(held_out) and _one(held_out, "test") != sample:
        raise ValueError(
            f"samples of the test are {_one(held_out, 'test')}, and those of the data {sample}; expected equal shapes"
        )
    checks.holds("init", None if callable(init) else init, jnp.result_type(float))
    draw = init if callable(init) else None
    start = jax.eval_shape(draw, jax.random.key(0)) if draw else jax.tree.map(jnp.asarray, init)
    leaves, tree = jax.tree.flatten(start)
    if not leaves:
        raise ValueError("init has no arrays: there is nothing to optimize")
    begin = None if draw else ravel_pytree(start)[0].astype(float)
    model: Any = Function(loss, tuple(leaf.shape for leaf in leaves), tree, begin, draw)
    whole = jax.tree.map(jnp.asarray, (inputs, targets))
    problem = FiniteSum(
        model,
        *whole,
        **tables(partition),
        l2=l2,
        nonconvex=nonconvex,
        test_inputs=None if held_out[0] is None else jax.tree.map(jnp.asarray, held_out[0]),
        test_targets=None if held_out[1] is None else jnp.asarray(held_out[1]),
        minibatch=batch_size,
        sampling=sampling,
    )
    _number(problem)
    return problem


def _split(data: PyTree, partition: Partition | None) -> tuple[PyTree, Partition]:
    """The samples on one leading axis, and who holds what; without a partition the leading axis is the nodes'."""
    axes = {leaf.shape[: 1 if partition else 2] for leaf in jax.tree.leaves(data)}
    if len(axes) != 1 or len(first := next(iter(axes))) < (1 if partition else 2) or 0 in first:
        expected = "(N, ...), N samples" if partition else "(n, m, ...), n nodes with m samples each,"
        hint = "" if partition else ". Give a partition if they are not split yet"
        raise ValueError(f"the arrays of data are {expected} alike; got leading axes {sorted(axes)}{hint}")
    if partition is not None:
        check_reach(partition, first[0], "data")
        return data, partition
    n, m = first
    flat = jax.tree.map(lambda a: a.reshape(n * m, *a.shape[2:]), data)
    return flat, Partition(np.arange(n * m, dtype=np.int32).reshape(n, m), np.full(n, m, np.int32), n * m)


def _one(samples: PyTree, what: str) -> PyTree:
    """The shapes of one sample."""
    if len(lengths := {np.shape(a)[:1] for a in jax.tree.leaves(samples)}) > 1 or () in lengths:
        raise ValueError(f"the arrays of {what} have one leading axis alike; got {sorted(lengths)}")
    return jax.tree.map(lambda a: np.shape(a)[1:], samples)


def _number(problem: FiniteSum) -> None:
    """Refuse a loss that is not a real number."""
    samples = problem.inputs if problem.targets is None else (problem.inputs, problem.targets)
    one = jax.tree.map(lambda a: a[0], samples)
    x = jnp.zeros(problem.d, problem.dtype)
    found = jax.eval_shape(lambda x, one: problem.model.loss(problem.model.parameters(x), one), x, one)
    if getattr(found, "shape", None) != () or not jnp.issubdtype(found.dtype, jnp.floating):
        shown = f"{found.dtype}{list(found.shape)}" if isinstance(found, jax.ShapeDtypeStruct) else repr(found)
        raise ValueError(f"loss(x, sample) of one sample is a real number; got {shown}. Sum or average over other axes")
