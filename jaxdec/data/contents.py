"""What a partition holds: counts per node and class, and measures of how uneven they are."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxdec import checks
from jaxdec.data.partitions import Partition, check_reach, class_labels
from jaxdec.data.sources import Dataset

__all__ = ["Statistics", "describe", "label_counts", "statistics"]


def label_counts(partition: Partition, data: Dataset | ArrayLike, classes: int | None = None) -> np.ndarray:
    """(n, classes) int64, how many samples of each class each node holds.

    Args:
        partition: of the training set.
        data: the classification `Dataset`, or its (N,) integer labels.
        classes: number of classes; by default the dataset's, or one more than the largest label.

    Raises:
        ValueError: regression data, a label outside 0..classes-1, or a partition reaching beyond the labels.

    >>> from jaxdec.data import from_lists
    >>> label_counts(from_lists([[0, 1], [2, 3]], total=4), [0, 2, 2, 2]).tolist()
    [[1, 0, 1], [0, 0, 2]]
    """
    labels = class_labels(data)
    check_reach(partition, len(labels), data.name if isinstance(data, Dataset) else "the data")
    if classes is None:
        classes = data.classes if isinstance(data, Dataset) else max(int(labels.max()) + 1, 1)
    classes = checks.integer("classes", classes, 1)
    outside = np.unique(labels[(labels < 0) | (labels >= classes)])
    if len(outside):
        raise ValueError(
            f"labels {outside[:5].tolist()} are outside 0..{classes - 1}; number them from 0 with "
            "np.unique(y, return_inverse=True)[1], or raise classes"
        )
    return np.stack([np.bincount(labels[partition.node(i)], minlength=classes) for i in range(partition.n)])


def describe(partition: Partition, data: Dataset | ArrayLike) -> str:
    """A text table of `label_counts`: one row per node, one column per class, and the samples no node holds.

    >>> from jaxdec.data import from_lists
    >>> print(describe(from_lists([[0, 1], [2]], total=4), [0, 1, 1, 1]))
    node  samples  class 0  class 1
       0        2        1        1
       1        1        0        1
    1 of 4 samples unused
    """
    table = label_counts(partition, data)
    total = len(class_labels(data))
    header = ["node", "samples", *(f"class {k}" for k in range(table.shape[1]))]
    rows = [[i, count, *row] for i, (count, row) in enumerate(zip(partition.counts, table, strict=True))]
    lines = ["  ".join(f"{cell:>{len(title)}}" for title, cell in zip(header, row, strict=True)) for row in rows]
    return "\n".join(["  ".join(header), *lines, f"{partition.unused(total)} of {total} samples unused"])


class Statistics(NamedTuple):
    """A partition in numbers; see `statistics`."""

    nodes: int
    used: int  # samples that some node holds
    unused: int  # samples that no node holds
    smallest: int  # samples of the smallest node
    largest: int  # samples of the largest node
    classes: float  # mean number of classes that a node holds, over the nodes with samples
    divergence: float  # mean total variation distance between a node's mix of classes and that of all held, in [0, 1],
    # over the same nodes


def statistics(partition: Partition, data: Dataset | ArrayLike) -> Statistics:
    """How many samples and classes the nodes hold, and how far their mixes are from the common one.

    >>> from jaxdec.data import from_lists
    >>> statistics(from_lists([[0, 1], [2]], total=4), [0, 0, 1, 1])
    Statistics(nodes=2, used=3, unused=1, smallest=1, largest=2, classes=1.0, divergence=0.5)
    """
    table = label_counts(partition, data)
    total = len(class_labels(data))
    table, unused = table[partition.counts > 0], partition.unused(total)
    mixes = table / table.sum(axis=1, keepdims=True)
    away = np.abs(mixes - table.sum(axis=0) / table.sum()).sum(axis=1) / 2
    counts = partition.counts
    classes = np.count_nonzero(table, axis=1).mean()
    return Statistics(
        partition.n, total - unused, unused, int(counts.min()), int(counts.max()), float(classes), float(away.mean())
    )
