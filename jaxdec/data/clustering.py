"""Partitions by cluster: each node holds samples that lie near each other."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from jaxdec import checks
from jaxdec.data.partitions import Partition, from_lists
from jaxdec.data.sources import Dataset, dense, sklearn_state

__all__ = ["clusters", "rebalanced", "tsne_clusters"]


def clusters(labels: ArrayLike, *, ratio: float | None = 10.0) -> Partition:
    """Node i holds the samples of cluster i, rebalanced.

    Source: the heterogeneous split of Philippenko and Dieuleveut, "Preserved central model for faster bidirectional
    compression", arXiv:2102.12528, with its ratio of 10.

    Args:
        labels: (N,) integers, the cluster of each sample, 0, 1, ...; such as those of `tsne_clusters`.
        ratio: no node holds more than this many times the samples of another, see `rebalanced`; None for no limit.

    Raises:
        ValueError: a label that is no integer of at least 0, clusters without samples that are not rebalanced, or fewer
            samples than clusters.

    >>> clusters([0, 1, 1, 0, 1]).counts.tolist()
    [2, 3]
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) == 0 or labels.min() < 0:
        raise ValueError(
            f"labels must be a nonempty (N,) array of clusters 0, 1, ..., got shape {labels.shape} {labels.dtype}"
            + (f" with {labels.min()}" if labels.size else "")
        )
    n, present = int(labels.max()) + 1, np.unique(labels)
    if n > len(labels) or (ratio is None and n > len(present)):
        first = int(np.argmax(present != np.arange(len(present))))
        raise ValueError(
            f"node {first} has no sample: labels name the clusters 0..{n - 1}, {n - len(present)} of them without "
            f"one of the {len(labels)}; number them with np.unique(labels, return_inverse=True)[1]"
        )
    sizes = np.bincount(labels.astype(np.int64), minlength=n)
    parts = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
    return from_lists(parts if ratio is None else rebalanced(parts, ratio), len(labels))


def rebalanced(parts: Sequence[np.ndarray], ratio: float = 10.0) -> list[np.ndarray]:
    """While the largest part has over `ratio` times the smallest, the first half of the largest goes to the smallest.

    Raises:
        ValueError: a ratio below 2, or fewer samples than parts: samples could be sent to and fro for ever.

    >>> [len(part) for part in rebalanced([np.arange(1), np.arange(50), np.arange(20)])]
    [26, 25, 20]
    """
    if not ratio >= 2:
        raise ValueError(f"ratio is at least 2, got {ratio!r}")
    parts = list(parts)
    if (total := sum(map(len, parts))) < len(parts):
        raise ValueError(f"{total} samples cannot fill {len(parts)} parts; leave out those that are empty")
    while True:
        sizes = [len(part) for part in parts]
        small, large = int(np.argmin(sizes)), int(np.argmax(sizes))
        if ratio * sizes[small] >= sizes[large]:
            return parts
        half = sizes[large] // 2
        parts[small] = np.concatenate([parts[small], parts[large][:half]])
        parts[large] = parts[large][half:]


def tsne_clusters(data: Dataset, n: int, seed: int = 0, *, perplexity: float = 30.0) -> np.ndarray:
    """(N,) clusters 0..n-1: a Gaussian mixture of n components fitted to a t-SNE map, in 2-D, of inputs and targets.

    Takes minutes for 10 000 samples; keep the result. The settings of the mixture are those that the MCM paper's
    authors use; the result depends on the versions of scikit-learn and of its libraries, too.

    Source: as `clusters`.

    Args:
        data: inputs are flattened, and the target is appended as one more feature.
        n: number of clusters.
        seed: of both.
        perplexity: of t-SNE, below the number of samples.

    Raises:
        ValueError: fewer samples than clusters, or a perplexity out of range.
    """
    from sklearn.manifold import TSNE
    from sklearn.mixture import GaussianMixture

    dense(data, "tsne_clusters")
    n, total = checks.integer("n", n, 1), len(data.targets)
    if n > total:
        raise ValueError(f"n={n} clusters of {total} samples; use at most {total}")
    if not 0 < perplexity < total:
        raise ValueError(f"perplexity is positive and below the number of samples, {total}; got {perplexity!r}")
    samples = np.column_stack([data.inputs.reshape(total, -1), data.targets.reshape(total, -1)]).astype(np.float32)
    points = TSNE(2, perplexity=perplexity, random_state=sklearn_state(seed)).fit_transform(samples)
    mixture = GaussianMixture(n, tol=1e-6, n_init=4, max_iter=2000, random_state=sklearn_state(seed))
    return mixture.fit_predict(points).astype(np.int32)
