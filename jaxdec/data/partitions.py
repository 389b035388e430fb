"""Partitions: which node holds which training samples, as one index table.

Every kind of partition is a function that decides on one list of positions per node and hands the lists to
`from_lists`, which alone builds (and validates) the table. Those by label are in `label_skew`, by cluster in
`clusters`; what a partition holds is told by `contents`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import wadler_lindig as wl
from numpy.typing import ArrayLike

from jaxdec import checks
from jaxdec.data.sources import Dataset

__all__ = [
    "Partition",
    "check_reach",
    "class_labels",
    "concentration",
    "contiguous",
    "explicit",
    "from_lists",
    "iid",
    "node_count",
    "quantity",
    "stackable",
]


@dataclass(frozen=True, eq=False, repr=False)
class Partition:
    """Which training samples each of n nodes holds.

    Attributes:
        indices: (n, m_max) int32 positions in the training set. Row i's first counts[i] entries are node i's samples;
            the rest repeat them, or are 0 where there are none, so that every entry is a valid position, and are never
            drawn.
        counts: (n,) int32, number of samples per node; 0 only where that was asked for.
        total: number of training samples that this is a partition of, some of which may be left to no node; None where
            that is not known, as of tables of one's own.
    """

    indices: np.ndarray
    counts: np.ndarray
    total: int | None = None

    def __repr__(self) -> str:
        return wl.pformat(self, width=120)

    @property
    def n(self) -> int:
        """Number of nodes."""
        return len(self.counts)

    def node(self, i: int) -> np.ndarray:
        """(counts[i],) int32, the positions of node i's samples."""
        return self.indices[i, : self.counts[i]]

    def padded(self, width: int) -> "Partition":
        """The same partition with a table of `width` columns, so that tables of several stack; see `stackable`.

        Raises:
            ValueError: if a node holds more than `width` samples.
        """
        if (most := int(self.counts.max())) > width:
            raise ValueError(f"a node holds {most} samples, which do not fit in a table of {width} columns")
        return Partition(_table(self.held, self.counts, width), self.counts, self.total)

    @property
    def held(self) -> np.ndarray:
        """(Σ counts,) the positions of all nodes' samples, node after node."""
        return self.indices[np.arange(self.indices.shape[1]) < self.counts[:, None]]

    def unused(self, total: int | None = None) -> int:
        """How many training samples no node holds, of `total` or else of those that this is a partition of.

        Raises:
            ValueError: the partition reaches beyond `total` samples.
        """
        if total is None and (total := self.total) is None:
            raise ValueError("this partition does not know how many samples it is of; say unused(total)")
        _reaches(self, total)
        return total - len(np.unique(self.held))


def from_lists(
    lists: Sequence[ArrayLike], total: int, *, allow_shared: bool = False, allow_empty: bool = False
) -> Partition:
    """The partition in which node i holds the samples `lists[i]`, in that order.

    A node without samples has f_i = 0, to which the problem adds its regularizer: it weighs in the mean over nodes as
    any other, and its gradients are those of the regularizer alone.

    Args:
        lists: for each node, the positions (integers in 0..total-1) of its samples.
        total: number of training samples; some may be left to no node.
        allow_shared: let a sample belong to several nodes.
        allow_empty: let nodes be without samples.

    Raises:
        ValueError: no node, a node without samples where that is not allowed, a position that is not an integer in
            0..total-1, a position repeated within a node, or one shared between nodes without `allow_shared`.

    >>> partition = from_lists([[0, 1, 2], [4]], total=5)
    >>> partition.indices.tolist(), partition.counts.tolist(), partition.unused()
    ([[0, 1, 2], [4, 4, 4]], [3, 1], 1)
    """
    total = checks.integer("total", total, 1)
    if len(lists) == 0:
        raise ValueError("lists is empty; give one list of sample positions per node, for at least one node")
    rows = [_positions(i, row, allow_empty) for i, row in enumerate(lists)]
    counts = np.array([len(row) for row in rows], dtype=np.int32)
    flat, nodes = np.concatenate(rows), np.repeat(np.arange(len(rows)), counts)
    if not len(flat):
        raise ValueError("no node has a sample; give at least one of them some")

    if len(outside := np.flatnonzero((flat < 0) | (flat >= total))):
        node, position = nodes[outside[0]], flat[outside[0]]
        raise ValueError(f"node {node} holds position {position}, but positions are 0..{total - 1} (total={total})")
    order = np.lexsort((nodes, flat))
    same = np.flatnonzero(np.diff(flat[order]) == 0)  # neighbours in the order that are one sample
    first, second = nodes[order[same]], nodes[order[same + 1]]
    if np.any(twice := first == second):
        node, sample = first[twice][0], flat[order[same[twice][0]]]
        raise ValueError(f"node {node} holds sample {sample} more than once; list it once")
    if len(same) and not allow_shared:
        raise ValueError(
            f"nodes share {len(np.unique(flat[order[same]]))} of {total} samples, such as sample "
            f"{flat[order[same[0]]]} of nodes {first[0]} and {second[0]}; give each sample to one node, or pass "
            "allow_shared=True"
        )
    return Partition(_table(flat, counts, int(counts.max())), counts, total)


def _table(flat: np.ndarray, counts: np.ndarray, width: int) -> np.ndarray:
    """(n, width) int32 whose row i repeats node i's samples, which lie one node after the other in `flat`."""
    checks.affordable(
        f"the table of {len(counts)} nodes, the largest with {width} samples,", 4 * len(counts) * width, "even them out"
    )
    table = np.zeros((len(counts), width), np.int32)
    for row, own in zip(table, np.split(flat.astype(np.int32), np.cumsum(counts)[:-1]), strict=True):
        row[: (filled := len(own))] = own
        while 0 < filled < width:  # copies what is there, which is as fast as memory
            more = min(filled, width - filled)
            row[filled : filled + more] = row[:more]
            filled += more
    return table


explicit = from_lists


def stackable(partitions: Sequence[Partition]) -> list[Partition]:
    """The same partitions with tables of equal width, so that problems made of them are cells of one program.

    Raises:
        ValueError: if they differ in their number of nodes.

    >>> wide, narrow = stackable([from_lists([[0, 1, 2], [3]], 4), from_lists([[0, 1], [2, 3]], 4)])
    >>> narrow.indices.tolist(), narrow.counts.tolist()
    ([[0, 1, 0], [2, 3, 2]], [2, 2])
    """
    if len(nodes := {partition.n for partition in partitions}) > 1:
        raise ValueError(f"partitions over {sorted(nodes)} nodes do not stack; make them all for one number of nodes")
    width = max(partition.indices.shape[1] for partition in partitions)
    return [partition.padded(width) for partition in partitions]


def iid(data: Dataset | ArrayLike, n: int, seed: int = 0) -> Partition:
    """Shuffled equal shares: every sample goes to one node, and the first N mod n nodes hold one more than the rest.

    Args:
        data: a `Dataset`, or anything as long as its training set (its targets, say).
        n: number of nodes, 1..N.
        seed: of the shuffle.

    Raises:
        ValueError: n < 1, or more nodes than samples.

    >>> iid(range(11), n=4).counts.tolist()
    [3, 3, 3, 2]
    """
    total = _length(data)
    n = node_count(n, total)
    return from_lists(np.array_split(np.random.default_rng(checks.seed("seed", seed)).permutation(total), n), total)


def contiguous(data: Dataset | ArrayLike, n: int) -> Partition:
    """Equal shares in the order of the samples: node i holds the i-th of n runs, such as the i-th part of a text.

    Args:
        data: a `Dataset`, or anything as long as its training set.
        n: number of nodes, 1..N; the first N mod n of them hold one sample more than the rest.

    Raises:
        ValueError: n < 1, or more nodes than samples.

    >>> [part.tolist() for part in map(contiguous(range(7), n=3).node, range(3))]
    [[0, 1, 2], [3, 4], [5, 6]]
    """
    total = _length(data)
    return from_lists(np.array_split(np.arange(total), node_count(n, total)), total)


def quantity(data: Dataset | ArrayLike, n: int, alpha: float, seed: int = 0, min_samples: int = 1) -> Partition:
    """Quantity skew: shuffled shares of unequal sizes, the same mix everywhere.

    Every node gets `min_samples`; the rest is cut in proportions drawn from Dir(alpha, ..., alpha), at the rounded
    cumulative shares, so that every sample goes to exactly one node.

    Source: after the quantity skew of Li, Diao, Chen and He, "Federated Learning on Non-IID Data Silos",
    arXiv:2102.02079.

    Args:
        data: a `Dataset`, or anything as long as its training set.
        n: number of nodes, 1..N.
        alpha: concentration, positive: large for equal sizes.
        seed: of the proportions and the shuffle.
        min_samples: fewest samples a node holds; with 0 some may have none, and then f_i = 0, see `from_lists`.

    Raises:
        ValueError: n, alpha or `min_samples` out of range.

    >>> partition = quantity(range(1000), n=4, alpha=0.5)
    >>> int(partition.counts.sum()), partition.unused(1000)
    (1000, 0)
    """
    total = _length(data)
    min_samples = checks.integer("min_samples", min_samples, 0)
    n = node_count(n, total, least=min_samples)
    if n * min_samples > total:
        raise ValueError(f"{n} nodes of at least {min_samples} samples need {n * min_samples}, but there are {total}")
    concentration(alpha, n)
    rng = np.random.default_rng(checks.seed("seed", seed))
    shares = np.cumsum(rng.dirichlet(np.full(n, alpha)))[:-1]
    cuts = np.rint(shares * (total - n * min_samples)).astype(np.int64) + min_samples * np.arange(1, n)
    return from_lists(np.split(rng.permutation(total), cuts), total, allow_empty=min_samples == 0)


def _positions(node: int, row: ArrayLike, allow_empty: bool) -> np.ndarray:
    """(m,) integers, the positions of one node."""
    row = np.asarray(row)
    if row.size == 0:
        if not allow_empty:
            raise ValueError(
                f"node {node} has no sample; give it at least one, leave it out of lists, or say allow_empty=True: "
                "then f_i = 0 there"
            )
        return np.empty(0, np.int64)
    if row.ndim != 1 or row.dtype.kind not in "iu":
        raise ValueError(
            f"node {node} has positions of shape {row.shape} {row.dtype}, but they must be a list of integers; "
            "turn a boolean mask into positions with np.flatnonzero"
        )
    if row.dtype == np.uint64 and row.max() > np.iinfo(np.int64).max:
        raise ValueError(f"node {node} holds position {row.max()}, which no data set has")
    return row.astype(np.int64)


def _length(data: Dataset | ArrayLike) -> int:
    if isinstance(data, range):
        checks.affordable(f"a partition of {len(data)} samples", 32 * len(data), "take fewer samples")
        return len(data)
    samples = data.targets if isinstance(data, Dataset) else np.asarray(data)
    if samples.ndim == 0:
        raise ValueError(f"expected a Dataset or one entry per sample, got {data!r}; try range({data!r})")
    return len(samples)


def concentration(alpha: float, n: int) -> None:
    """Refuse an alpha that is no concentration of a Dirichlet distribution over n."""
    if not (alpha > 0 and math.isfinite(n * float(alpha))):
        raise ValueError(f"alpha must be a finite positive number, got {alpha!r}; use iid for equal shares")


def node_count(n: int, total: int, least: int = 1) -> int:
    """n, if so many nodes can hold a sample each, or need none."""
    n = checks.integer("n", n, most=10**18)
    if least and n > total:
        raise ValueError(f"n={n} nodes cannot each hold one of {total} samples; use at most {total} nodes")
    checks.affordable(f"a partition over {n} nodes", 200 * n, "take fewer nodes")
    return n


def class_labels(data: Dataset | ArrayLike) -> np.ndarray:
    """(N,) integer labels of a classification set."""
    if isinstance(data, Dataset):
        if data.classes is None:
            raise ValueError(
                f"{data.name!r} is a regression set and has no labels; partition it with iid or from_lists, or give "
                "classes= to dataset if its targets are labels"
            )
        if data.targets.ndim > 1:
            raise ValueError(
                f"a sample of {data.name!r} has {data.targets[0].shape} labels, not one to partition by; use iid or "
                "from_lists, or give (N,) labels in place of the dataset"
            )
        return data.targets
    labels = np.asarray(data)
    if labels.ndim != 1 or labels.dtype.kind not in "iub" or len(labels) == 0:
        raise ValueError(
            f"labels must be a nonempty (N,) array of integers, got shape {labels.shape} {labels.dtype}; convert whole "
            "floats with .astype(np.int32), partition regression targets with iid or from_lists"
        )
    return labels.astype(np.int64)


def check_reach(partition: Partition, total: int, name: str = "the data") -> None:
    """Refuse a partition of other data than these, as far as their number tells."""
    if partition.total is not None and partition.total != total:
        raise ValueError(
            f"the partition is one of {partition.total} samples, but {name} has {total}; make the partition from this "
            "dataset"
        )
    _reaches(partition, total)


def _reaches(partition: Partition, total: int) -> None:
    if (last := int(partition.held.max())) >= total:
        raise ValueError(f"the partition holds sample {last}, but there are only {total} samples, 0..{total - 1}")
