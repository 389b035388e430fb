"""Finite sums: f_i is the mean loss over node i's samples, plus a regularizer.

The data are one set of global arrays; who holds what is an index table. A minibatch is one gather, unequal shares are
exact, and a sweep over partitions batches the tables alone.
"""

import dataclasses
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.data import Dataset, Partition
from jaxdec.data.partitions import check_reach
from jaxdec.problems import proximal, sampling
from jaxdec.problems.base import Problem
from jaxdec.problems.models import Model
from jaxdec.problems.pieces import Pieces, pieces
from jaxdec.problems.rows import Rows, arrays, largest_eigenvalue
from jaxdec.types import PRNGKey, ScalarLike, Vector

__all__ = ["FiniteSum", "Sampling", "finite_sum", "tables"]

Sampling: TypeAlias = Literal["replacement", "subset", "epochs"]


@module
class FiniteSum(Problem):
    r"""f_i(x) = mean_j loss(x; sample ij) + l2/2 ‖x‖² + nonconvex Σ_k x_k²/(1 + x_k²).

    Made by `problems.logistic`, `softmax`, `least_squares`, `neural` and `from_loss`. Node i's samples are the first
    counts[i] entries of row i of `indices`. A minibatch is an array of positions in that row, (n, b), or None, the
    whole data, where `minibatch` is None. Where the loss itself is random, because inputs are augmented or the model
    has dropout, it is (positions, keys) with a key for each node; positions alone give the loss without that
    randomness.

    `sampling` says how a minibatch is drawn: with "replacement", as a "subset" of b different samples, afresh each
    time, or in "epochs": each pass over a node's samples is a new permutation, cut into minibatches that run on from
    one pass into the next, so that of m samples each is drawn exactly once in m draws. Draws are a function of the
    seed, the node and the number of the minibatch, and of nothing else.

    A node without samples, which the partition must have been asked for, has the regularizer alone: its mean over no
    samples is 0, and it counts in the mean over nodes as any other.

    `augment` is applied to the gathered inputs, bytes being scaled to [0, 1] before; see `problems.augment`.
    """

    model: Any
    inputs: PyTree  # (N, ...), an array or several
    targets: PyTree  # (N,), or None where the inputs are the whole sample
    indices: Int[Array, "n m_max"]
    counts: Int[Array, " n"]
    l2: ScalarLike = 0.0
    nonconvex: ScalarLike | None = None
    test_inputs: PyTree = None
    test_targets: PyTree = None
    minimizer: Float[Array, " d"] | None = None  # of the mean over nodes, where known: see `solve`
    minimum: Float[Array, ""] | None = None  # its value there
    solved_l2: ScalarLike | None = None  # the l2 that these belong to, where `solve` found them
    augment: Any = None  # of the inputs of minibatches; what of it is not random, also of all others
    nodes: Int[Array, " n"] | None = None  # which nodes of the whole these are; None means all
    pieces: Pieces | None = None  # the same shares in blocks, for sums over all samples where that costs less
    vacant: bool = static(default=False)  # whether nodes may be without samples
    minibatch: int | None = static(default=None)
    sampling: Sampling = static(default="replacement")

    @property
    def n(self) -> int:
        return self.indices.shape[-2]

    @property
    def d(self) -> int:
        return self.model.d

    @property
    def samples(self) -> int:
        """How many there are, over all nodes."""
        return len(jax.tree.leaves(self.inputs)[0])

    @property
    def dtype(self) -> Any:
        return jnp.result_type(*jax.tree.leaves(self.inputs), 0.0)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return self.model.shapes

    @property
    def convex(self) -> bool | None:
        """What the model says of itself; never with the non-convex regularizer."""
        bent = self.nonconvex is not None and bool(np.any(np.asarray(self.nonconvex) > 0))
        return False if bent else self.model.convex

    @property
    def batch_size(self):
        """The samples in a minibatch; those that each node has, (n,), where gradients are exact."""
        if self.minibatch is None:
            return self.counts
        return jnp.where(self.counts > 0, self.minibatch, 0) if self.vacant else self.minibatch

    @property
    def data_size(self):
        """The samples that each node has, (n,)."""
        return self.counts

    @property
    def random(self) -> bool:
        """Whether the loss of a minibatch is random itself."""
        augmented = self.augment is not None and getattr(self.augment, "random", True)
        return augmented or self.model.random

    def over_nodes(self, f: Any) -> Any:
        """A function of one node mapped over all of them, in the model's way."""
        return self.model.over_nodes(f)

    def init(self, key: PRNGKey) -> Vector:
        return self.model.init(key, self.dtype)

    def sample(self, key_data: PRNGKey, i):
        """Minibatch number i: positions (n, b) in the nodes' rows, with keys (n,) where the loss itself is random."""
        if self.minibatch is None:
            return None
        nodes = jnp.arange(self.n) if self.nodes is None else self.nodes
        empty = self.minibatch if self.sampling == "subset" else 1  # as if a node without samples had just enough
        counts = jnp.where(self.counts > 0, self.counts, empty) if self.vacant else self.counts
        positions = sampling.positions(self.sampling, key_data, i, nodes, counts, self.minibatch)
        if not self.random:
            return positions
        return positions, sampling.node_keys(key_data, i, nodes)

    def loss(self, x, batch=None):
        if batch is None and self.pieces is not None:
            return self._summed(self.pieces, self._data_loss, x) + jax.vmap(self._regularizer)(x)
        return self.over_nodes(self._node_loss)(x, *self._gather(batch, x.dtype))

    def grad(self, x, batch=None):
        if batch is None and self.pieces is not None:
            return self._summed(self.pieces, jax.grad(self._data_loss), x) + jax.vmap(jax.grad(self._regularizer))(x)
        return self.over_nodes(jax.grad(self._node_loss))(x, *self._gather(batch, x.dtype))

    @property
    def parts(self) -> int:
        """Its samples, where minibatches are drawn of them; where gradients are exact f_i is its one part.

        Raises:
            ValueError: if the loss itself is random, for then a sample's gradient is never the same again.
        """
        if self.minibatch is None:
            return 1
        if self.random:
            raise ValueError(
                "the loss is random (augmentation, dropout), and this method remembers the gradient of each sample, "
                "which is another each time; take a method without such a table, as SVRG or SARAH, or another model"
            )
        return self.indices.shape[-1]

    def part_grads(self, x, batch=None):
        if self.parts == 1:
            return super().part_grads(x)
        positions = jnp.broadcast_to(jnp.arange(self.parts), self.indices.shape) if batch is None else batch
        return positions, jax.vmap(lambda j: self.grad(x, j[:, None]), in_axes=1, out_axes=1)(positions)

    def hvp(self, x, v, batch=None):
        if batch is None and self.pieces is not None:
            return super().hvp(x, v)
        samples = self._gather(batch, x.dtype)
        return jax.jvp(lambda x: self.over_nodes(jax.grad(self._node_loss))(x, *samples), (x,), (v,))[1]

    def objective(self, x: Vector) -> Float[Array, ""]:
        """mean_i f_i(x) at one point: each sample is visited once, however unequal the shares."""
        index, shares = self._whole(x.dtype)
        weights = jnp.zeros(self.samples, x.dtype).at[index].add(shares / self.n)
        losses = self.model.losses(x, self._augmented(self.inputs, x.dtype), self.targets)
        return weights @ losses + self._regularizer(x)

    def suboptimality(self, x: Vector) -> Float[Array, ""] | None:
        """f(x) - f*. Near the minimizer of a linear model e'∇²f(x* + e/3) e / 2, with e = x - x*.

        That is exact to the third order, and no difference of two numbers that agree to most of their digits: where
        f - f* is a share √ε of f*, ε being the spacing of the dtype at 1, both are as good.
        """
        if self.minimum is None:
            return None
        difference = self.objective(x) - self.minimum
        if self.model.bend is None or self.minimizer is None:
            return difference
        t, e = jnp.asarray(1 / 3, x.dtype), x - self.minimizer
        slope = lambda t: jax.jvp(lambda t: self.objective(self.minimizer + t * e), (t,), (jnp.ones_like(t),))[1]
        near = jax.jvp(slope, (t,), (jnp.ones_like(t),))[1] / 2
        return jnp.where(difference > jnp.finfo(x.dtype).eps ** 0.5 * jnp.abs(self.minimum), difference, near)

    def prox(self, x, step):
        """Exact for least squares; else as in `Problem`."""
        if not self.model.quadratic or self.nonconvex is not None or isinstance(self.inputs, Rows):
            return super().prox(x, step)
        inputs, _, weights, _ = self._gather(None, x.dtype)
        weighted = weights[:, :, None] * inputs
        gram = jnp.einsum("nmi,nmj->nij", weighted, inputs, precision=jax.lax.Precision.HIGHEST)
        gram = gram if self.pieces is None else self.pieces.summed(gram, self.n)
        return proximal.quadratic(gram + self.l2 * jnp.eye(self.d, dtype=x.dtype)[None], self.grad(x), x, step)

    def curvature(self):
        """Exact for least squares; bounds that hold everywhere for other linear models; None for networks.

        Of sparse inputs the least curvature is bounded by that of the regularizers.
        """
        if self.model.bend is None:
            return super().curvature()
        if isinstance(self.inputs, Rows):
            held = [jax.tree.map(lambda a, own=own: a[own], self.inputs) for own in self._held()]
            largest, least = max(largest_eigenvalue(A, self.model.features) for A in held), 0.0
        else:
            grams = self._grams()
            least = np.linalg.eigvalsh(grams.mean(axis=0))[0] if self.model.quadratic else 0.0
            largest = np.linalg.eigvalsh(grams)[:, -1].max()
        nonconvex = 0.0 if self.nonconvex is None else self.nonconvex
        L = self.model.bend * largest + self.l2 + 2 * nonconvex
        return L, max(least, 0.0) + self.l2 - nonconvex / 2

    def _grams(self) -> np.ndarray:
        """A_i'A_i / m_i of the nodes' inputs, (n, features, features), on the host in float64."""
        inputs = np.asarray(self.inputs)
        held = [inputs[own].astype(np.float64) for own in self._held()]
        return np.stack([A.T @ A / max(len(A), 1) for A in held])

    def _held(self) -> list[np.ndarray]:
        """The positions of each node's samples, on the host."""
        return [row[:m] for row, m in zip(np.asarray(self.indices), np.asarray(self.counts), strict=True)]

    def variance(self, x):
        """From the gradients of all samples; None for epochs, and where the loss is random itself."""
        if self.minibatch is None:
            return 0.0
        if self.random or self.sampling == "epochs":
            return None
        g, b, m = self.grad(x), self.minibatch, self._divisors()
        squared = lambda batch: jnp.sum((self.grad(x, batch) - g) ** 2, axis=1)
        column = jnp.zeros((self.n, 1), jnp.int32)
        each = jax.lax.map(lambda j: squared(column + j), jnp.arange(self.indices.shape[1]))  # (m_max, n)
        of_one = jnp.sum(jnp.where(jnp.arange(len(each))[:, None] < m[None], each, 0.0), axis=0) / m
        return jnp.mean(of_one if self.sampling == "replacement" else of_one * (m - b) / jnp.maximum(m - 1, 1)) / b

    def test(self, x: Vector):
        if self.test_inputs is None:
            return {}
        inputs = self._augmented(self.test_inputs, x.dtype)
        return {f"test_{k}": v for k, v in self.model.scores(x, inputs, self.test_targets).items()}

    def take(self, clients):
        nodes = clients if self.nodes is None else self.nodes[clients]
        rows = {"indices": self.indices[clients], "counts": self.counts[clients]}
        return dataclasses.replace(self, **rows, nodes=nodes, pieces=None)  # who they are is not known when compiling

    def with_partition(self, partition: Partition) -> "FiniteSum":
        """The same problem on the same data, split otherwise; its minimizer is unknown again.

        A sweep over problems made so batches their index tables and counts, and never the data. Tables of one width are
        cells of one program: see `data.stackable`.

        Raises:
            ValueError: if it is a partition of other data.
        """
        check_reach(partition, self.samples, "the problem")
        unknown = dict.fromkeys(("nodes", "minimizer", "minimum", "solved_l2"))
        return dataclasses.replace(self, **tables(partition), **unknown)

    def _gather(self, batch, dtype):
        """Inputs (n, b, ...), targets (n, b), weights (n, b) and the model's keys (n,), or None, of a batch."""
        positions, keys = batch if isinstance(batch, tuple) else (batch, None)
        if positions is None:
            index, weights = self._whole(dtype)
        else:
            index = jnp.take_along_axis(jnp.asarray(self.indices), positions, axis=1)
            weights = jnp.full(positions.shape, 1 / positions.shape[1], dtype)
            weights = jnp.where(self.counts[:, None] > 0, weights, 0) if self.vacant else weights
        inputs, targets = jax.tree.map(lambda a: a[index], (self.inputs, self.targets))
        if self.augment is not None:
            drawn = None if keys is None else _folded(keys, 0)
            inputs = jax.vmap(lambda inputs, key: self._augmented(inputs, dtype, key))(inputs, drawn)
        noise = _folded(keys, 1) if keys is not None and self.model.random else None
        return inputs, targets, weights, noise

    def _augmented(self, inputs, dtype, key=None):
        """The inputs as the model gets them; what is augmented are images, whose bytes are scaled to [0, 1] first."""
        if self.augment is None:
            return inputs
        scale = 255 if inputs.dtype == jnp.uint8 else 1
        return self.augment(inputs.astype(dtype) / scale, key)

    def _node_loss(self, x, inputs, targets, weights, key):
        return self._data_loss(x, inputs, targets, weights, key) + self._regularizer(x)

    def _data_loss(self, x, inputs, targets, weights, key):
        return weights @ self.model.losses(x, inputs, targets, *(() if key is None else (key,)))

    def _summed(self, pieces, f, x):
        """The sums over each node's pieces of f at its x, (n, ...)."""
        return pieces.summed(self.over_nodes(f)(x[pieces.owners], *self._gather(None, x.dtype)), self.n)

    def _whole(self, dtype):
        """The positions of all samples, in rows or pieces, and their weights in the node's mean; 0 for padding."""
        if self.pieces is not None:
            return self.pieces.indices, self.pieces.shares(self.counts, dtype)
        held = jnp.arange(self.indices.shape[-1])[None] < self.counts[:, None]
        return self.indices, held.astype(dtype) / self._divisors()[:, None].astype(dtype)

    def _divisors(self):
        """How many samples each node has, or 1 where there are none to divide by."""
        return jnp.maximum(self.counts, 1) if self.vacant else self.counts

    def _regularizer(self, x):
        convex = self.l2 / 2 * jnp.sum(x**2)
        # Not a weight of 0: its quotients would cost a small problem half of its time.
        return convex if self.nonconvex is None else convex + self.nonconvex * jnp.sum(x**2 / (1 + x**2))

    def check(self) -> None:
        """Every node has data, and the regularizers are not negative. The data were checked when they were made."""
        counts = np.asarray(self.counts)
        if np.any(counts < 1) and not self.vacant:
            raise ValueError(f"node {int(np.argmin(counts))} has no data; give every node at least one sample")
        if self.minibatch is not None and (checks.whole(self.minibatch) or 0) < 1:
            raise ValueError(f"a minibatch has at least one sample; got {self.minibatch!r}. None means the whole data")
        checks.choice("sampling", self.sampling, sampling.KINDS)
        least = int(np.min(counts, where=counts > 0, initial=np.iinfo(np.int32).max))
        if self.minibatch is not None and self.sampling == "subset" and self.minibatch > least:
            raise ValueError(
                f"a minibatch of {self.minibatch} without replacement needs as many samples, and node "
                f'{int(np.argmax(counts == least))} has {least}; take sampling="replacement" or "epochs", or at most '
                f"{least} samples"
            )
        if self.random and self.minibatch is None:
            raise ValueError(
                "the loss is random (augmentation, dropout), which acts on minibatches alone, and gradients are exact "
                "here; give batch_size"
            )
        if self.augment is not None:
            checks.own(self.augment, self.inputs.shape[1:])
        for name in ("l2", "nonconvex"):
            weight = getattr(self, name)
            if weight is not None:
                checks.weight(name, weight, "the weight of a regularizer")
        if self.solved_l2 is not None and np.any(np.asarray(self.l2) != np.asarray(self.solved_l2)):
            raise ValueError(
                f"this problem was solved for l2={self.solved_l2}, and l2={self.l2} has another minimizer: set "
                "l2 first and solve then; to sweep it, give a problem for each"
            )


def _folded(keys, which: int):
    return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, which)


def finite_sum(
    model: Model,
    data: Dataset,
    partition: Partition,
    *,
    batch_size: int | None = None,
    l2: ScalarLike = 0.0,
    nonconvex: ScalarLike | None = None,
    sampling: Sampling = "replacement",
    augment: Any = None,
) -> FiniteSum:
    """The problem of `model` on `data`, split as `partition` says.

    Args:
        model: see `Model`.
        data: the samples.
        partition: who holds what.
        batch_size: samples in a minibatch; None means that every gradient is exact.
        l2: the weight of ‖x‖²/2.
        nonconvex: the weight of Σ x²/(1 + x²); None leaves the term out.
        sampling: how minibatches are drawn, see `FiniteSum`.
        augment: of the inputs, see `problems.augment`.

    Raises:
        TypeError: if the model is not one.
        ValueError: if the partition is one of other data.
    """
    if not isinstance(model, Model):
        raise TypeError(f"a model inherits from problems.Model; got {model!r}. For a function there is from_loss")
    check_reach(partition, len(data.targets), data.name)
    held = {"inputs": data.inputs, "targets": data.targets}
    held |= {"test_inputs": data.test_inputs, "test_targets": data.test_targets}
    checks.holds(data.name, held, jnp.result_type(float))
    return FiniteSum(
        model,
        inputs=arrays(data.inputs),
        targets=jnp.asarray(data.targets),
        **tables(partition),
        l2=l2,
        nonconvex=nonconvex,
        test_inputs=None if data.test_inputs is None else arrays(data.test_inputs),
        test_targets=None if data.test_targets is None else jnp.asarray(data.test_targets),
        augment=augment,
        minibatch=batch_size,
        sampling=sampling,
    )


def tables(partition: Partition) -> dict[str, Any]:
    """The fields of a `FiniteSum` that say who holds what."""
    return {
        "indices": jnp.asarray(partition.indices),
        "counts": jnp.asarray(partition.counts),
        "pieces": pieces(partition),
        "vacant": bool(np.any(partition.counts == 0)),
    }
