"""Finite sums: f_i is the mean loss over node i's samples, plus a regularizer.

The data are one set of global arrays; who holds what is an index table. A minibatch is one gather, unequal shares are
exact, and a sweep over partitions batches the tables alone.
"""

import dataclasses
from typing import Any, Literal, Protocol, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Float, Int

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.data import Dataset, Partition
from jaxdec.problems import sampling
from jaxdec.problems.base import Problem
from jaxdec.types import PRNGKey, ScalarLike, Vector

Sampling: TypeAlias = Literal["replacement", "subset", "epochs"]


class Model(Protocol):
    """What a sample costs under parameters x; `FiniteSum` maps it over samples and nodes.

    A model whose attribute `random` is true, such as a network with dropout, gets a key with every minibatch, as
    `losses(x, inputs, targets, key)`; exact losses and `scores` have none, and are those of the model without noise.
    """

    @property
    def d(self) -> int: ...
    @property
    def blocks(self) -> tuple[int, ...]: ...
    def init(self, key: PRNGKey, dtype: Any) -> Vector: ...
    def losses(self, x: Vector, inputs: Array, targets: Array) -> Float[Array, " b"]: ...
    def scores(self, x: Vector, inputs: Array, targets: Array) -> dict[str, Float[Array, ""]]:
        """Named metrics of x on a set of samples."""
        ...


@module
class FiniteSum(Problem):
    r"""f_i(x) = mean_j loss(x; sample ij) + l2/2 ‖x‖² + nonconvex Σ_k x_k²/(1 + x_k²).

    Made by `problems.logistic`, `softmax`, `least_squares` and `neural`. Node i's samples are the first counts[i]
    entries of row i of `indices`. A minibatch is an array of positions in that row, (n, b), or None, the whole data,
    where `minibatch` is None. Where the loss itself is random, because inputs are augmented or the model has dropout,
    it is (positions, keys) with a key for each node; positions alone give the loss without that randomness.

    `sampling` says how a minibatch is drawn: with "replacement", as a "subset" of b different samples, afresh each
    time, or in "epochs": each pass over a node's samples is a new permutation, cut into minibatches that run on from
    one pass into the next, so that of m samples each is drawn exactly once in m draws. Draws are a function of the
    seed, the node and the number of the minibatch, and of nothing else.

    `augment` is applied to the gathered inputs, bytes being scaled to [0, 1] before; see `problems.augment`.
    """

    model: Any
    inputs: Array  # (N, ...)
    targets: Array  # (N,)
    indices: Int[Array, "n m_max"]
    counts: Int[Array, " n"]
    l2: ScalarLike = 0.0
    nonconvex: ScalarLike | None = None
    test_inputs: Array | None = None
    test_targets: Array | None = None
    minimizer: Float[Array, " d"] | None = None  # of the mean over nodes, where known: see `solve`
    minimum: Float[Array, ""] | None = None  # its value there
    augment: Any = None  # of the inputs of minibatches; what of it is not random, also of all others
    nodes: Int[Array, " n"] | None = None  # which nodes of the whole these are; None means all
    minibatch: int | None = static(default=None)
    sampling: Sampling = static(default="replacement")

    @property
    def n(self) -> int:
        return self.indices.shape[-2]

    @property
    def d(self) -> int:
        return self.model.d

    @property
    def blocks(self) -> tuple[int, ...]:
        return self.model.blocks

    @property
    def batch_size(self):
        return jnp.mean(self.counts.astype(jnp.float32)) if self.minibatch is None else self.minibatch

    @property
    def random(self) -> bool:
        """Whether the loss of a minibatch is random itself."""
        augmented = self.augment is not None and getattr(self.augment, "random", True)
        return augmented or getattr(self.model, "random", False)

    def over_nodes(self, f: Any) -> Any:
        """A function of one node mapped over all of them: the model's own way, or `jax.vmap`."""
        return getattr(self.model, "over_nodes", jax.vmap)(f)

    def init(self, key: PRNGKey) -> Vector:
        return self.model.init(key, jnp.result_type(self.inputs, 0.0))

    def sample(self, key_data: PRNGKey, i):
        """Minibatch number i: positions (n, b) in the nodes' rows, with keys (n,) where the loss itself is random."""
        if self.minibatch is None:
            return None
        nodes = jnp.arange(self.n) if self.nodes is None else self.nodes
        positions = sampling.positions(self.sampling, key_data, i, nodes, self.counts, self.minibatch)
        if not self.random:
            return positions
        return positions, sampling.node_keys(key_data, i, nodes)

    def loss(self, x, batch=None):
        return self.over_nodes(self._node_loss)(x, *self._gather(batch, x.dtype))

    def grad(self, x, batch=None):
        return self.over_nodes(jax.grad(self._node_loss))(x, *self._gather(batch, x.dtype))

    def hvp(self, x, v, batch=None):
        samples = self._gather(batch, x.dtype)
        return jax.jvp(lambda x: self.over_nodes(jax.grad(self._node_loss))(x, *samples), (x,), (v,))[1]

    def objective(self, x: Vector) -> Float[Array, ""]:
        """mean_i f_i(x) at one point: each sample is visited once, however unequal the shares."""
        weights = jnp.zeros(self.inputs.shape[0], x.dtype).at[self.indices].add(self._shares(x.dtype) / self.n)
        losses = self.model.losses(x, self._augmented(self.inputs, x.dtype), self.targets)
        return weights @ losses + self._regularizer(x)

    def test(self, x: Vector):
        if self.test_inputs is None:
            return {}
        inputs = self._augmented(self.test_inputs, x.dtype)
        return {f"test_{k}": v for k, v in self.model.scores(x, inputs, self.test_targets).items()}

    def take(self, clients):
        nodes = clients if self.nodes is None else self.nodes[clients]
        return dataclasses.replace(self, indices=self.indices[clients], counts=self.counts[clients], nodes=nodes)

    def with_partition(self, partition: Partition) -> "FiniteSum":
        """The same problem on the same data, split otherwise; its minimizer is unknown again.

        A sweep over problems made so batches their index tables and counts, and never the data. Tables of one width are
        cells of one program: see `data.stackable`.

        Raises:
            ValueError: if the partition names samples that the data do not have.
        """
        _reaches(partition, len(self.targets), "the problem")
        tables = {"indices": jnp.asarray(partition.indices), "counts": jnp.asarray(partition.counts)}
        return dataclasses.replace(self, **tables, nodes=None, minimizer=None, minimum=None)

    def _gather(self, batch, dtype):
        """Inputs (n, b, ...), targets (n, b), weights (n, b) and the model's keys (n,), or None, of a batch."""
        positions, keys = batch if isinstance(batch, tuple) else (batch, None)
        if positions is None:
            index, weights = self.indices, self._shares(dtype)
        else:
            index = jnp.take_along_axis(jnp.asarray(self.indices), positions, axis=1)
            weights = jnp.full(positions.shape, 1 / positions.shape[1], dtype)
        inputs = self.inputs[index]
        if self.augment is not None:
            drawn = None if keys is None else _folded(keys, 0)
            inputs = jax.vmap(lambda inputs, key: self._augmented(inputs, dtype, key))(inputs, drawn)
        noise = _folded(keys, 1) if keys is not None and getattr(self.model, "random", False) else None
        return inputs, self.targets[index], weights, noise

    def _augmented(self, inputs, dtype, key=None):
        """The inputs as the model gets them; bytes of augmented images are scaled to [0, 1] first."""
        if self.augment is None:
            return inputs
        scale = 255 if jnp.issubdtype(inputs.dtype, jnp.integer) else 1
        return self.augment(inputs.astype(dtype) / scale, key)

    def _node_loss(self, x, inputs, targets, weights, key):
        losses = self.model.losses(x, inputs, targets, *(() if key is None else (key,)))
        return weights @ losses + self._regularizer(x)

    def _shares(self, dtype):
        """The weight of each entry of the index table in its node's mean, (n, m_max); 0 for padding."""
        held = jnp.arange(self.indices.shape[-1]) < self.counts[:, None]
        return held.astype(dtype) / self.counts[:, None].astype(dtype)

    def _regularizer(self, x):
        convex = self.l2 / 2 * jnp.sum(x**2)
        # Not a weight of 0: its quotients would cost a small problem half of its time.
        return convex if self.nonconvex is None else convex + self.nonconvex * jnp.sum(x**2 / (1 + x**2))

    def check(self) -> None:
        """Every node has data, and the regularizers are not negative. The data were checked when they were made."""
        counts = np.asarray(self.counts)
        if np.any(counts < 1):
            raise ValueError(f"node {int(np.argmin(counts))} has no data; give every node at least one sample")
        if self.minibatch is not None and self.minibatch < 1:
            raise ValueError(f"a minibatch has at least one sample; got {self.minibatch}. None means the whole data")
        checks.choice("sampling", self.sampling, sampling.KINDS)
        if self.minibatch is not None and self.sampling == "subset" and self.minibatch > (least := int(np.min(counts))):
            raise ValueError(
                f"a minibatch of {self.minibatch} without replacement needs as many samples, and node "
                f'{int(np.argmin(counts))} has {least}; take sampling="replacement" or "epochs", or at most {least} '
                "samples"
            )
        if self.random and self.minibatch is None:
            raise ValueError(
                "the loss is random (augmentation, dropout), which acts on minibatches alone, and gradients are exact "
                "here; give batch_size"
            )
        if hasattr(self.augment, "check"):
            self.augment.check(self.inputs.shape[1:])
        for name in ("l2", "nonconvex"):
            weight = getattr(self, name)
            if weight is not None and np.any(np.asarray(weight) < 0):
                raise ValueError(f"{name} is the weight of a regularizer and cannot be negative; got {weight}")


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
        ValueError: if the partition names samples that the data do not have.
    """
    _reaches(partition, len(data.targets), data.name)
    return FiniteSum(
        model,
        inputs=jnp.asarray(data.inputs),
        targets=jnp.asarray(data.targets),
        indices=jnp.asarray(partition.indices),
        counts=jnp.asarray(partition.counts),
        l2=l2,
        nonconvex=nonconvex,
        test_inputs=None if data.test_inputs is None else jnp.asarray(data.test_inputs),
        test_targets=None if data.test_targets is None else jnp.asarray(data.test_targets),
        augment=augment,
        minibatch=batch_size,
        sampling=sampling,
    )


def _reaches(partition: Partition, total: int, name: str) -> None:
    if (last := int(np.max(partition.indices))) >= total:
        raise ValueError(
            f"the partition names sample {last}, but {name} has {total} training samples; make the partition from this "
            "dataset"
        )


def solve(problem: FiniteSum, *, tolerance: float = 1e-10) -> FiniteSum:
    """The same problem with its minimizer found, so that the distance to it becomes a metric.

    Newton's method in a trust region (SciPy's trust-exact, or trust-ncg above 2000 parameters), in float64 on the host.

    Raises:
        ValueError: if the gradient at the point found is not below `tolerance`, or the problem is not convex.
    """
    if problem.nonconvex is not None and problem.nonconvex != 0:
        raise ValueError("a problem with the non-convex regularizer has no single minimizer; leave minimizer=None")
    with jax.enable_x64(True):
        exact = jax.tree.map(
            lambda a: (
                jnp.asarray(np.asarray(a), jnp.float64) if jnp.issubdtype(jnp.result_type(a), jnp.floating) else a
            ),
            problem,
        )
        value_and_grad = jax.jit(jax.value_and_grad(exact.objective))
        if problem.d <= 2000:
            curvature: dict[str, Any] = {"method": "trust-exact", "hess": jax.jit(jax.hessian(exact.objective))}
        else:
            hvp = jax.jit(lambda x, v: jax.jvp(jax.grad(exact.objective), (x,), (v,))[1])
            curvature = {"method": "trust-ncg", "hessp": hvp}
        start = np.zeros(problem.d)
        found = scipy.optimize.minimize(
            lambda x: tuple(np.asarray(v) for v in value_and_grad(x)),
            start,
            jac=True,
            options={"gtol": tolerance / 10, "maxiter": 1000},
            **curvature,
        )
        norm = float(np.linalg.norm(value_and_grad(found.x)[1]))
    if not norm <= tolerance:
        raise ValueError(
            f"no minimizer found: after {found.nit} Newton steps the gradient's norm is {norm:.2g}, above the "
            f"tolerance {tolerance:.2g}. The minimum may be at infinity (separable data): add l2 > 0"
        )
    dtype = jnp.result_type(problem.inputs, 0.0)
    return dataclasses.replace(problem, minimizer=jnp.asarray(found.x, dtype), minimum=jnp.asarray(found.fun, dtype))
