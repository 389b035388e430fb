"""The operators behind `W @ x`: one product over the leading axis, in the cheapest form that the graph allows.

`operator(W)` looks at the matrix and picks the form; `operator(W, form="dense")` takes the one that is named.

| form | what it holds | cost of `W @ x` |
|---|---|---|
| `Identity` | nothing | none |
| `Average` | one share s: (1-s) I + s 11'/n | n d |
| `Circulant` | one weight per offset; ring, torus, exponential graph, hypercube | offsets n d |
| `NeighbourTable` | neighbours and weights per node, hubs' surplus as a list | arcs d |
| `Dense` | the matrix | n^2 d |
"""

from math import prod
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float, Int

from jaxdec._module import module, static
from jaxdec.graphs._matrix import as_matrix

Form = Literal["identity", "average", "circulant", "table", "dense"]

# One slot that is gathered costs about as much as so many columns of a matrix product (2 to 10, by n and d, on a CPU).
COLUMNS_PER_SLOT = 4


def _dense_by_product(W: Any) -> Float[Array, "n n"]:
    """The matrix itself, (n, n)."""
    return W @ jnp.eye(W.n)


def _degrees_by_matrix(W: Any) -> np.ndarray:
    """How many others each node hears, (n,)."""
    return np.count_nonzero(np.asarray(W.dense()) * (1 - np.eye(W.n)), axis=1)


@module
class Dense:
    """Any matrix. The product is taken at full precision: less breaks the conservation laws of tracking methods."""

    matrix: Float[Array, "n n"]

    @property
    def n(self) -> int:
        return self.matrix.shape[-1]

    def __matmul__(self, x):
        return jnp.tensordot(self.matrix, x, axes=1, precision=jax.lax.Precision.HIGHEST)

    def dense(self):
        return jnp.asarray(self.matrix)

    degrees = _degrees_by_matrix

    def lazy(self):
        """(I + W) / 2."""
        return Dense((jnp.eye(self.n, dtype=self.matrix.dtype) + self.matrix) / 2)


@module
class Circulant:
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
        shift = self._roll if len(self.offsets) <= 4 else self._gather
        first, *rest = (self.weights[k] * shift(x, offset) for k, offset in enumerate(self.offsets))
        return sum(rest, start=first)

    def _roll(self, x, offset):
        if not any(offset):
            return x
        grid = jnp.reshape(x, self.group + x.shape[1:])
        return jnp.roll(grid, tuple(-o for o in offset), tuple(range(len(offset)))).reshape(x.shape)

    def _gather(self, x, offset):
        # A sum of many rolls is not fused into one pass over x; a sum of gathers is.
        i = np.unravel_index(np.arange(self.n), self.group)
        return x[np.ravel_multi_index([a + o for a, o in zip(i, offset, strict=True)], self.group, mode="wrap")]

    dense, degrees = _dense_by_product, _degrees_by_matrix

    def lazy(self):
        """(I + W) / 2."""
        zero = (0,) * len(self.group)
        offsets = self.offsets if zero in self.offsets else (zero, *self.offsets)
        weights = self.weights if zero in self.offsets else jnp.pad(self.weights, (1, 0))
        itself = jnp.asarray([o == zero for o in offsets], jnp.result_type(weights))
        return Circulant((weights + itself) / 2, offsets, self.group)


@module
class NeighbourTable:
    """(W x)_i = sum_k weights[i, k] x_{indices[i, k]}, one gather-accumulate per slot.

    Nodes of more than `slots` neighbours keep the rest in a list of arcs, so a star costs its arcs and no more.
    """

    indices: Int[Array, "n slots"]
    weights: Float[Array, "n slots"]
    rows: Int[Array, " rest"]
    columns: Int[Array, " rest"]
    values: Float[Array, " rest"]

    @property
    def n(self) -> int:
        return self.indices.shape[-2]

    def __matmul__(self, x):
        column = (slice(None),) + (None,) * (x.ndim - 1)
        out = jnp.zeros_like(x)
        for k in range(self.indices.shape[1]):
            out = out + self.weights[:, k][column] * x[self.indices[:, k]]
        if self.rows.shape[0]:
            out = out.at[self.rows].add(self.values[column] * x[self.columns])
        return out

    def degrees(self):
        itself = np.arange(self.n)
        table = (np.asarray(self.weights) != 0) & (np.asarray(self.indices) != itself[:, None])
        rest = (np.asarray(self.values) != 0) & (np.asarray(self.rows) != np.asarray(self.columns))
        return table.sum(axis=1) + np.bincount(np.asarray(self.rows)[rest], minlength=self.n)

    dense = _dense_by_product

    def lazy(self):
        """(I + W) / 2; the first slot is the node itself."""
        return NeighbourTable(
            self.indices, (self.weights / 2).at[:, 0].add(0.5), self.rows, self.columns, self.values / 2
        )


@module
class Average:
    """(1 - share) I + share 11'/n: the complete graph."""

    share: Float[Array, ""]
    n: int = static()

    def __matmul__(self, x):
        mean = jnp.mean(x, axis=0, keepdims=True)
        return x + self.share * (mean - x)

    def degrees(self):
        return np.full(self.n, self.n - 1)

    dense = _dense_by_product

    def lazy(self):
        """(I + W) / 2."""
        return Average(self.share / 2, self.n)


@module
class Identity:
    """No communication."""

    n: int = static()

    def __matmul__(self, x):
        return x

    def degrees(self):
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
    return NeighbourTable(*map(jnp.asarray, (indices.astype(np.int32), weights, *_as_arcs(*rest))))


def _as_arcs(rows, columns, values):
    return rows.astype(np.int32), columns.astype(np.int32), values


def _dense(W: Any, group: tuple[int, ...], asked: bool) -> Dense:
    return Dense(jnp.asarray(W.toarray()))
