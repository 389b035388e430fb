"""Partitions: which node holds which training samples, as one index table.

Every kind of partition is a function that decides on one list of positions per node and hands the lists to
`from_lists`, which alone builds (and validates) the table.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from jaxdec.data.sources import Dataset, whole

DIRICHLET_ATTEMPTS = 1000


@dataclass(frozen=True, eq=False)
class Partition:
    """Which training samples each of n nodes holds.

    Attributes:
        indices: (n, m_max) int32 positions in the training set. Row i's first counts[i] entries are node i's samples;
            the rest repeat them, so that every entry is a valid position, and are never drawn.
        counts: (n,) int32, number of samples per node, each at least 1.
    """

    indices: np.ndarray
    counts: np.ndarray

    @property
    def n(self) -> int:
        """Number of nodes."""
        return len(self.counts)

    def node(self, i: int) -> np.ndarray:
        """(counts[i],) int32, the positions of node i's samples."""
        return self.indices[i, : self.counts[i]]

    def unused(self, total: int) -> int:
        """How many of `total` training samples no node holds.

        Raises:
            ValueError: the partition reaches beyond `total` samples.
        """
        _check_reach(self, total)
        return total - len(np.unique(self.indices))


def from_lists(lists: Sequence[ArrayLike], total: int, *, allow_shared: bool = False) -> Partition:
    """The partition in which node i holds the samples `lists[i]`, in that order.

    Args:
        lists: for each node, the positions (integers in 0..total-1) of its samples.
        total: number of training samples; some may be left to no node.
        allow_shared: let a sample belong to several nodes.

    Raises:
        ValueError: no node, a node without samples, a position that is not an integer in 0..total-1, a position
            repeated within a node, or one shared between nodes without `allow_shared`.

    >>> partition = from_lists([[0, 1, 2], [4]], total=5)
    >>> partition.indices.tolist(), partition.counts.tolist(), partition.unused(5)
    ([[0, 1, 2], [4, 4, 4]], [3, 1], 1)
    """
    total = whole("total", total, least=1)
    if len(lists) == 0:
        raise ValueError("lists is empty; give one list of sample positions per node, for at least one node")
    rows = [_positions(i, row, total) for i, row in enumerate(lists)]
    counts = np.array([len(row) for row in rows], dtype=np.int32)

    if not allow_shared:
        positions, holders = np.unique(np.concatenate(rows), return_counts=True)
        if np.any(holders > 1):
            sample = positions[holders > 1][0]
            nodes = [i for i, row in enumerate(rows) if sample in row]
            raise ValueError(
                f"nodes share {np.sum(holders > 1)} of {total} samples, such as sample {sample} of nodes {nodes[0]} "
                f"and {nodes[1]}; give each sample to one node, or pass allow_shared=True"
            )
    return Partition(np.stack([np.resize(row, counts.max()) for row in rows]).astype(np.int32), counts)


explicit = from_lists


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
    samples = data.targets if isinstance(data, Dataset) else np.asarray(data)
    if samples.ndim == 0:
        raise ValueError(f"iid needs a Dataset or one entry per sample, got {data!r}; try range({data!r})")
    total = len(samples)
    n = _nodes(n, total)
    return from_lists(np.array_split(np.random.default_rng(seed).permutation(total), n), total)


def dirichlet(data: Dataset | ArrayLike, n: int, alpha: float, seed: int = 0, min_samples: int = 1) -> Partition:
    """Label skew: each class is split among the nodes in proportions drawn from a Dirichlet distribution.

    For every class k, independently, p_k ~ Dir(alpha, ..., alpha) over the n nodes, and node i takes the share p_k[i]
    of the shuffled samples of class k (cut at the rounded cumulative shares). Every sample goes to exactly one node.
    A large alpha gives every node the mix of the whole set; a small alpha gives most of each class to one node. Nodes
    differ in size as well as in mix. The whole draw is repeated until every node holds at least `min_samples`, at most
    1000 times: the result follows the distribution conditioned on that event.

    Source: the per-class draw over nodes of Yurochkin et al., "Bayesian Nonparametric Federated Learning of Neural
    Networks", ICML 2019 (arXiv 1905.12022). It is not the per-node draw over classes of Hsu, Qi and Brown, "Measuring
    the Effects of Non-Identical Data Distribution for Federated Visual Classification", 2019 (arXiv 1909.06335), where
    node i draws q_i ~ Dir(alpha p) over the classes, p being a prior over them, and nodes are equally large; the same
    alpha means a different skew there.

    Args:
        data: a classification `Dataset`, or its (N,) integer labels.
        n: number of nodes, 1..N.
        alpha: concentration, positive.
        seed: of the proportions and shuffles.
        min_samples: fewest samples a node may hold, at least 1.

    Raises:
        ValueError: regression data, n or alpha or `min_samples` out of range, or no draw in 1000 gave every node
            `min_samples`.

    >>> labels = np.repeat([0, 1, 2], 100)
    >>> partition = dirichlet(labels, n=4, alpha=0.5)
    >>> partition.n, int(partition.counts.sum()), partition.unused(300)
    (4, 300, 0)
    """
    labels = _class_labels(data)
    n = _nodes(n, len(labels))
    min_samples = whole("min_samples", min_samples, least=1)
    if n * min_samples > len(labels):
        raise ValueError(
            f"{n} nodes with min_samples={min_samples} need {n * min_samples} samples, but there are {len(labels)}; "
            "lower n or min_samples"
        )
    if not (alpha > 0 and math.isfinite(n * float(alpha))):
        raise ValueError(f"alpha must be a finite positive number, got {alpha!r}; use iid for equal mixes")

    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(labels == k) for k in np.unique(labels)]
    sizes = np.array([[len(of_class)] for of_class in members])
    reached = 0
    for _ in range(DIRICHLET_ATTEMPTS):
        proportions = rng.dirichlet(np.full(n, alpha), size=len(members))  # (classes, n)
        # Rounding the cumulative shares, not the shares themselves, uses every sample exactly once.
        cuts = np.rint(np.cumsum(proportions, axis=1)[:, :-1] * sizes).astype(np.int64)
        smallest = np.diff(cuts, axis=1, prepend=0, append=sizes).sum(axis=0).min()
        if smallest >= min_samples:
            shares = [np.split(rng.permutation(of_class), at) for of_class, at in zip(members, cuts, strict=True)]
            return from_lists([np.concatenate(share) for share in zip(*shares, strict=True)], len(labels))
        reached = max(reached, smallest)
    raise ValueError(
        f"none of {DIRICHLET_ATTEMPTS} Dirichlet draws with alpha={alpha} gave each of n={n} nodes "
        f"min_samples={min_samples} of the {len(labels)} samples: at best the smallest node held {reached}; "
        "raise alpha, or lower n or min_samples"
    )


def label_counts(partition: Partition, data: Dataset | ArrayLike, classes: int | None = None) -> np.ndarray:
    """(n, classes) int64, how many samples of each class each node holds.

    Args:
        partition: of the training set.
        data: the classification `Dataset`, or its (N,) integer labels.
        classes: number of classes; by default the dataset's, or one more than the largest label.

    Raises:
        ValueError: regression data, a label outside 0..classes-1, or a partition reaching beyond the labels.

    >>> label_counts(from_lists([[0, 1], [2, 3]], total=4), [0, 2, 2, 2]).tolist()
    [[1, 0, 1], [0, 0, 2]]
    """
    labels = _class_labels(data)
    _check_reach(partition, len(labels))
    if classes is None:
        classes = data.classes if isinstance(data, Dataset) else max(int(labels.max()) + 1, 1)
    classes = whole("classes", classes, least=1)
    outside = np.unique(labels[(labels < 0) | (labels >= classes)])
    if len(outside):
        raise ValueError(
            f"labels {outside[:5].tolist()} are outside 0..{classes - 1}; number them from 0 with "
            "np.unique(y, return_inverse=True)[1], or raise classes"
        )
    return np.stack([np.bincount(labels[partition.node(i)], minlength=classes) for i in range(partition.n)])


def describe(partition: Partition, data: Dataset | ArrayLike) -> str:
    """A text table of `label_counts`: one row per node, one column per class, and the samples no node holds.

    >>> print(describe(from_lists([[0, 1], [2]], total=4), [0, 1, 1, 1]))
    node  samples  class 0  class 1
       0        2        1        1
       1        1        0        1
    1 of 4 samples unused
    """
    table = label_counts(partition, data)
    total = len(_class_labels(data))
    header = ["node", "samples", *(f"class {k}" for k in range(table.shape[1]))]
    rows = [[i, count, *row] for i, (count, row) in enumerate(zip(partition.counts, table, strict=True))]
    lines = ["  ".join(f"{cell:>{len(title)}}" for title, cell in zip(header, row, strict=True)) for row in rows]
    return "\n".join(["  ".join(header), *lines, f"{partition.unused(total)} of {total} samples unused"])


def _positions(node: int, row: ArrayLike, total: int) -> np.ndarray:
    """(m,) positions of one node, distinct and in 0..total-1."""
    row = np.asarray(row)
    if row.size == 0:
        raise ValueError(f"node {node} has no sample; give it at least one, or leave it out of lists")
    if row.ndim != 1 or row.dtype.kind not in "iu":
        raise ValueError(
            f"node {node} has positions of shape {row.shape} {row.dtype}, but they must be a list of integers; "
            "turn a boolean mask into positions with np.flatnonzero"
        )
    outside = row[(row < 0) | (row >= total)]
    if len(outside):
        raise ValueError(f"node {node} holds position {outside[0]}, but positions are 0..{total - 1} (total={total})")
    positions, repeats = np.unique(row, return_counts=True)
    if len(positions) < len(row):
        raise ValueError(f"node {node} holds sample {positions[repeats > 1][0]} more than once; list it once")
    return row.astype(np.int64)


def _nodes(n: int, total: int) -> int:
    n = whole("n", n, least=1)
    if n > total:
        raise ValueError(f"n={n} nodes cannot each hold one of {total} samples; use at most {total} nodes")
    return n


def _class_labels(data: Dataset | ArrayLike) -> np.ndarray:
    """(N,) integer labels of a classification set."""
    if isinstance(data, Dataset):
        if data.classes is None:
            raise ValueError(
                f"{data.name!r} is a regression set and has no labels; partition it with iid or from_lists, or give "
                "classes= to dataset if its targets are labels"
            )
        return data.targets
    labels = np.asarray(data)
    if labels.ndim != 1 or labels.dtype.kind not in "iub" or len(labels) == 0:
        raise ValueError(
            f"labels must be a nonempty (N,) array of integers, got shape {labels.shape} {labels.dtype}; convert whole "
            "floats with .astype(np.int32), partition regression targets with iid or from_lists"
        )
    return labels.astype(np.int64)


def _check_reach(partition: Partition, total: int) -> None:
    last = int(partition.indices.max())
    if last >= total:
        raise ValueError(f"the partition holds sample {last}, but there are only {total} samples, 0..{total - 1}")
