"""The operators behind `W @ x`: one product over the leading axis, in the cheapest form that the graph allows.

`operator(W)` looks at the matrix and picks the form; `operator(W, form="dense")` takes the one that is named.

| form | what it holds | cost of `W @ x` |
|---|---|---|
| `Identity` | nothing | none |
| `Average` | one share s: (1-s) I + s 11'/n | n d |
| `Circulant` | one weight per offset; ring, torus, exponential graph, hypercube | offsets n d |
| `NeighbourTable` | neighbours and weights per node, hubs' surplus as a list | arcs d |
| `Dense` | the matrix | n^2 d |

Each has an arc view, `own` and `arcs`, and masks, see `networks.arcs`; what a mask leaves is a `ByArcs`, which holds
its weights on arcs and costs arcs d, or n^2 d where the operator holds a matrix.
"""

from functools import partial
from math import prod
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float, Int

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.graphs._matrix import as_matrix
from jaxdec.networks.arcs import RULES, Arcs, ByArcs, Masks, Pairs, Rule, roomy, table, traced_table

__all__ = ["COLUMNS_PER_SLOT", "Average", "Circulant", "Dense", "Form", "Identity", "NeighbourTable", "operator"]

Form = Literal["identity", "average", "circulant", "table", "dense"]

# One slot that is gathered costs about as much as so many columns of a matrix product (2 to 10, by n and d, on a CPU).
COLUMNS_PER_SLOT = 4

# On a CPU iterates of at most so many numbers are mixed in one loop with what computes them. With more, a loop that
# makes a copy, and one over its slices, take 0.2 to 0.7 of the time of rolls, whose ends keep loops from being
# vectorized; on tori gathers do.
FUSED = 64


def _dense_by_product(W: Any) -> Float[Array, "n n"]:
    """The matrix itself, (n, n)."""
    return W @ jnp.eye(W.n)


@module
class Dense(Masks):
    """Any matrix. The product is taken at full precision: less breaks the conservation laws of tracking methods."""

    matrix: Float[Array, "n n"]

    @property
    def n(self) -> int:
        return self.matrix.shape[-1]

    def __matmul__(self, x):
        return jnp.tensordot(self.matrix, x, axes=1, precision=jax.lax.Precision.HIGHEST)

    def dense(self):
        return jnp.asarray(self.matrix)

    @property
    def own(self):
        return jnp.diagonal(self.matrix)

    @property
    def arcs(self):
        others = ~np.eye(self.n, dtype=bool)
        return Arcs(jnp.where(others, self.matrix, 0), Pairs(others & (self.matrix != 0)))

    def degrees(self):
        """How many others each node hears, (n,)."""
        return jnp.count_nonzero(self.arcs.exists, axis=1)

    def lazy(self):
        """(I + W) / 2."""
        return Dense((jnp.eye(self.n, dtype=self.matrix.dtype) + self.matrix) / 2)


@module
class Circulant(Masks):
    """(W x)_i = sum_k weights[k] x_{i + offsets[k]}, indices in the group Z_{g1} x Z_{g2} x ...

    On Z_n: rings and exponential graphs. On Z_r x Z_c: the torus. On Z_2 x ... x Z_2: the hypercube.
    """

    weights: Float[Array, " k"]
    offsets: tuple[tuple[int, ...], ...] = static()
    group: tuple[int, ...] = static()

    @property
    def n(self) -> int:
        return prod(self.group)

    def __matmul__(self, x):
        cpu = jax.default_backend() == "cpu" and x.size > FUSED
        if cpu and len(self.group) == 1:
            heard = self._slices(x)
        else:
            heard = map(partial(self._roll if len(self.offsets) <= 4 and not cpu else self._gather, x), self.offsets)
        first, *rest = (weight * y for weight, y in zip(self.weights, heard, strict=True))
        return sum(rest, start=first)

    def _slices(self, x):
        """Of one copy of x that goes on beyond its ends. XLA is kept from fusing it away: it would compute x anew."""
        before, after = (max(0, *(sign * offset for (offset,) in self.offsets)) for sign in (-1, 1))
        around = jax.lax.optimization_barrier(jnp.concatenate([x[self.n - before :], x, x[:after]]))
        return (around[before + offset : before + offset + self.n] if offset else x for (offset,) in self.offsets)

    def _roll(self, x, offset):
        if not any(offset):
            return x
        grid = jnp.reshape(x, self.group + x.shape[1:])
        return jnp.roll(grid, tuple(-o for o in offset), tuple(range(len(offset)))).reshape(x.shape)

    def _gather(self, x, offset):
        # A sum of many rolls is not fused into one pass over x; a sum of gathers is.
        return x[self._heard(offset)]

    def _heard(self, offset):
        i = np.unravel_index(np.arange(self.n), self.group)
        return np.ravel_multi_index([a + o for a, o in zip(i, offset, strict=True)], self.group, mode="wrap")

    @property
    def own(self):
        return jnp.broadcast_to(jnp.sum(jnp.where(self._others, 0, self.weights)), (self.n,))

    @property
    def arcs(self):
        others = np.flatnonzero(self._others)
        sender = np.asarray([self._heard(self.offsets[k]) for k in others], int).reshape(-1, self.n).T
        return Arcs(jnp.broadcast_to(self.weights[others], sender.shape), table(sender))

    @property
    def _others(self):
        return np.asarray([any(offset) for offset in self.offsets])

    def degrees(self):
        """How many others each node hears, (n,)."""
        return jnp.full(self.n, jnp.count_nonzero(jnp.where(self._others, self.weights, 0)))

    dense = _dense_by_product

    def lazy(self):
        """(I + W) / 2."""
        zero = (0,) * len(self.group)
        offsets = self.offsets if zero in self.offsets else (zero, *self.offsets)
        weights = self.weights if zero in self.offsets else jnp.pad(self.weights, (1, 0))
        itself = jnp.asarray([o == zero for o in offsets], jnp.result_type(weights))
        return Circulant((weights + itself) / 2, offsets, self.group)


@module
class NeighbourTable(Masks):
    """(W x)_i = sum_k weights[i, k] x_{indices[i, k]}, one gather-accumulate per slot.

    Slot 0 is the node itself, and a slot that is none holds it too, with weight 0. Nodes of more neighbours than there
    are slots keep the rest in a list of arcs, so a star costs its arcs and no more. The list is sorted by row; its
    padding is at the end, arcs of the last node to itself.
    """

    indices: Int[Array, "n slots"]
    weights: Float[Array, "n slots"]
    rows: Int[Array, " rest"]
    columns: Int[Array, " rest"]
    values: Float[Array, " rest"]
    width: int = static()  # how many others the node hears that hears most

    @property
    def n(self) -> int:
        return self.indices.shape[-2]

    def __matmul__(self, x):
        column = (slice(None),) + (None,) * (x.ndim - 1)
        out = self.weights[:, 0][column] * x
        for k in range(1, self.indices.shape[1]):
            out = out + self.weights[:, k][column] * x[self.indices[:, k]]
        if self.rows.shape[0]:
            out = out.at[self.rows].add(self.values[column] * x[self.columns])
        return out

    @property
    def own(self):
        return self.weights[:, 0]

    @property
    def arcs(self):
        sender, weight = self._wide()
        return Arcs(weight, traced_table(sender))

    def _wide(self):
        """All arcs in one table: senders and weights, (n, width) each."""
        roomy(self.n, self.width, self.weights.dtype)
        n, slots, rest = self.n, self.indices.shape[1] - 1, self.rows.shape[0]
        nodes = jnp.broadcast_to(jnp.arange(n, dtype=self.indices.dtype)[:, None], (n, self.width - slots))
        sender = jnp.concatenate([self.indices[:, 1:], nodes], axis=1)
        weight = jnp.pad(self.weights[:, 1:], ((0, 0), (0, self.width - slots)))
        if rest:
            at = self.rows, slots + jnp.arange(rest) - jnp.searchsorted(self.rows, self.rows)
            sender, weight = sender.at[at].set(self.columns), weight.at[at].set(self.values)
        return sender, weight

    def by_arcs(self) -> ByArcs:
        """The operator, or a pool of them, with its arcs in one table made in advance, and one number for each link.

        In a pool a link is a pair of the union graph, and has one number in all members.

        Raises:
            ValueError: if a hub's arcs do not fit.
        """
        wide, own = NeighbourTable._wide, lambda t: t.own
        for _ in self.indices.shape[:-2]:
            wide, own = jax.vmap(wide), jax.vmap(own)
        sender, weight = wide(self)
        return ByArcs(own(self), Arcs(weight, table(np.asarray(sender))))

    def degrees(self):
        """How many others each node hears, (n,)."""
        others = (self.weights != 0) & (self.indices != np.arange(self.n)[:, None])
        rest = (self.values != 0) & (self.rows != self.columns)
        return jnp.count_nonzero(others, axis=1).at[self.rows].add(rest)

    dense = _dense_by_product

    def lazy(self):
        """(I + W) / 2; the first slot is the node itself."""
        return NeighbourTable(
            self.indices, (self.weights / 2).at[:, 0].add(0.5), self.rows, self.columns, self.values / 2, self.width
        )


@module
class Average(Masks):
    """(1 - share) I + share 11'/n: the complete graph."""

    share: Float[Array, ""]
    n: int = static()

    def __matmul__(self, x):
        mean = jnp.mean(x, axis=0, keepdims=True)
        return x + self.share * (mean - x)

    @property
    def _weight(self):
        """Share / n, rounded so that a row's weights add up to 1 in any order, see `_conserving`."""
        share = jnp.asarray(self.share)
        grid = jnp.finfo(share.dtype).eps / 2
        return jnp.round(share / self.n / grid) * grid

    @property
    def own(self):
        return jnp.repeat(1 - (self.n - 1) * self._weight, self.n)

    @property
    def arcs(self):
        roomy(self.n, self.n, self._weight.dtype)
        others = ~np.eye(self.n, dtype=bool)
        return Arcs(jnp.where(others, self._weight, 0), Pairs(others))

    def degrees(self):
        """How many others each node hears, (n,)."""
        return np.full(self.n, self.n - 1)

    dense = _dense_by_product

    def lazy(self):
        """(I + W) / 2."""
        return Average(self.share / 2, self.n)


@module
class Identity(Masks):
    """No communication."""

    n: int = static()

    def __matmul__(self, x):
        return x

    @property
    def own(self):
        return np.ones(self.n, int)

    @property
    def arcs(self):
        return Arcs(np.zeros((self.n, 0), int), table(np.zeros((self.n, 0), int)))

    def masked(self, alive: Any, rule: Rule = "link", *, silent: bool = False):
        """The identity again: there is nothing to lose."""
        checks.choice("rule", rule, RULES)
        return self

    def degrees(self):
        """How many others each node hears, (n,)."""
        return np.zeros(self.n, int)

    dense = _dense_by_product

    def lazy(self):
        """(I + W) / 2, which is the identity again."""
        return self


def operator(W: Any, *, form: Form | None = None, group: tuple[int, ...] | None = None) -> Any:
    """The operator of a matrix, in the cheapest form it allows or in the one that is named.

    Args:
        W: (n, n), an array or a SciPy sparse matrix; W[i, j] is the weight that node i puts on node j's vector.
        form: "identity", "average", "circulant", "table" or "dense"; None chooses.
        group: node i is the i-th element of Z_{g1} x Z_{g2} x ... in row-major order; None means Z_n.

    Raises:
        ValueError: if W is not square, or does not have the form that is named.

    >>> W = [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]]
    >>> operator(W)
    Average(share=..., n=3)
    >>> operator(W, form="dense") @ jnp.asarray([[0.0], [0.0], [4.0]])
    Array([[1.],
           [1.],
           [2.]], dtype=float...)
    """
    W: Any = sp.csr_array(as_matrix(W))
    W.sum_duplicates()
    W.eliminate_zeros()
    build = {"identity": _identity, "average": _average, "circulant": _circulant, "table": _table, "dense": _dense}
    if form is not None and form not in build:
        raise ValueError(f"unknown form {form!r} of a mixing operator; expected one of {', '.join(build)}")
    rounded = _conserving(W)
    for name in [form] if form else list(build):
        exact = name in ("identity", "average")
        found = build[name](W if exact else rounded, group or (W.shape[0],), form is not None)
        if found is not None:
            return found
    raise ValueError(f"this {W.shape[0]} x {W.shape[0]} matrix has no {form} form; leave form=None to choose one")


def _conserving(W: Any) -> Any:
    """W with its sums of one made exact in the arithmetic of the run.

    1/3 is not a number of float32, and a row that misses 1 by 3e-8 pulls the mean by as much in every round: methods
    that integrate, such as D2, drift off. Multiples of 2^-24 (float64: 2^-53) add up to 1 without rounding.
    """
    grid = 2.0 ** (-53 if jnp.zeros(()).dtype == jnp.float64 else -24)
    sums = {axis: abs(W.sum(axis=axis) - 1).max(initial=0) < 1e-6 for axis in (0, 1)}
    if not any(sums.values()):
        return W
    others = (W - sp.diags_array(W.diagonal())).tocsr()
    others.data = np.round(others.data / grid) * grid
    exact = (others + sp.diags_array(1 - others.sum(axis=0 if sums[0] else 1))).tocsr()
    exact.eliminate_zeros()
    exact.sort_indices()
    return exact


# Each builder returns None where the matrix does not have the form or, unless `asked`, where another form is cheaper.


def _identity(W: Any, group: tuple[int, ...], asked: bool) -> Identity | None:
    n = W.shape[0]
    return Identity(n) if W.nnz == n and np.all(W.diagonal() == 1) else None


def _average(W: Any, group: tuple[int, ...], asked: bool) -> Average | None:
    n = W.shape[0]
    if n == 1 or W.nnz != n * n:
        return None
    share = n * W[0, 1]
    exact = np.abs(W.toarray() - ((1 - share) * np.eye(n) + share / n)).max() < 1e-15
    return Average(jnp.asarray(share), n) if exact else None


def _circulant(W: Any, group: tuple[int, ...], asked: bool) -> Circulant | None:
    n = W.shape[0]
    row = W[[0]]
    k = row.nnz
    if prod(group) != n or W.nnz != n * k or k == 0 or not (asked or k <= max(3, n / COLUMNS_PER_SLOT)):
        return None
    # In row 0 the column of an offset is the offset itself, and in row i it is i plus the offset, in the group.
    coordinates = np.stack(np.unravel_index(np.arange(n), group))
    for column, weight in zip(row.indices, row.data, strict=True):
        offset = np.stack(np.unravel_index(column, group))[:, None]
        target = np.ravel_multi_index((coordinates + offset) % np.asarray(group)[:, None], group)
        if np.any(np.asarray(W[np.arange(n), target]).ravel() != weight):
            return None
    offsets = tuple(
        tuple(_centred(int(c), g) for c, g in zip(np.unravel_index(column, group), group, strict=True))
        for column in row.indices
    )
    return Circulant(jnp.asarray(row.data), offsets, group)


def _centred(c: int, g: int) -> int:
    """The representative of c modulo g in (-g/2, g/2]."""
    return c if c <= g // 2 else c - g


def _table(W: Any, group: tuple[int, ...], asked: bool) -> NeighbourTable | None:
    n = W.shape[0]
    if not asked and W.nnz > n * max(3, n / COLUMNS_PER_SLOT):
        return None
    diagonal = W.diagonal()
    off = (W - sp.diags_array(diagonal)).tocsr()
    off.eliminate_zeros()
    degree = np.diff(off.indptr)
    # One slot more costs n gathers and saves an arc of each node that has so many: worth it while half of them do.
    slots = max([k for k in range(degree.max(initial=0) + 1) if k == 0 or 2 * np.sum(degree >= k) >= n], default=0)
    row = np.repeat(np.arange(n), degree)
    slot = np.arange(off.nnz) - off.indptr[row]
    inside = slot < slots
    indices = np.tile(np.arange(n)[:, None], (1, slots + 1))
    weights = np.zeros((n, slots + 1))
    weights[:, 0] = diagonal
    indices[row[inside], slot[inside] + 1] = off.indices[inside]
    weights[row[inside], slot[inside] + 1] = off.data[inside]
    rest = (row[~inside], off.indices[~inside], off.data[~inside])
    arrays = map(jnp.asarray, (indices.astype(np.int32), weights, *_as_arcs(*rest)))
    return NeighbourTable(*arrays, width=int(degree.max(initial=0)))


def _as_arcs(rows, columns, values):
    return rows.astype(np.int32), columns.astype(np.int32), values


def _dense(W: Any, group: tuple[int, ...], asked: bool) -> Dense:
    return Dense(jnp.asarray(W.toarray()))
