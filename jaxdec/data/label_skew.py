"""Partitions by label: nodes that differ in the classes they hold."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from jaxdec import checks
from jaxdec.data.partitions import Partition, class_labels, concentration, from_lists, node_count
from jaxdec.data.sources import Dataset

__all__ = ["DIRICHLET_ATTEMPTS", "classes_per_node", "dirichlet", "main_class", "shards"]

DIRICHLET_ATTEMPTS = 1000


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
        n: number of nodes, 1..N, or more where they may have no samples.
        alpha: concentration, positive.
        seed: of the proportions and shuffles.
        min_samples: fewest samples a node may hold; with 0 some may have none, and then f_i = 0, see `from_lists`.

    Raises:
        ValueError: regression data, n or alpha or `min_samples` out of range, or no draw in 1000 gave every node
            `min_samples`.

    >>> labels = np.repeat([0, 1, 2], 100)
    >>> partition = dirichlet(labels, n=4, alpha=0.5)
    >>> partition.n, int(partition.counts.sum()), partition.unused(300)
    (4, 300, 0)
    """
    labels = class_labels(data)
    min_samples = checks.integer("min_samples", min_samples, 0)
    n = node_count(n, len(labels), least=min_samples)
    if n * min_samples > len(labels):
        raise ValueError(
            f"{n} nodes with min_samples={min_samples} need {n * min_samples} samples, but there are {len(labels)}; "
            "lower n or min_samples"
        )
    concentration(alpha, n)
    rng = np.random.default_rng(checks.seed("seed", seed))
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
            lists = [np.concatenate(share) for share in zip(*shares, strict=True)]
            return from_lists(lists, len(labels), allow_empty=min_samples == 0)
        reached = max(reached, smallest)
    fewer = "lower n or min_samples" if min_samples > 1 else "lower n, or let nodes have no data with min_samples=0"
    raise ValueError(
        f"none of {DIRICHLET_ATTEMPTS} Dirichlet draws with alpha={alpha} gave each of n={n} nodes "
        f"min_samples={min_samples} of the {len(labels)} samples: at best the smallest node held {reached}; "
        f"raise alpha, or {fewer}"
    )


def classes_per_node(
    data: Dataset | ArrayLike,
    n: int,
    k: int,
    seed: int = 0,
    *,
    equal: bool = True,
    owned: Sequence[Sequence[int]] | None = None,
) -> Partition:
    """Every node holds samples of k classes: each class is shuffled and split equally among the nodes that own it.

    Which classes a node owns is drawn at random, such that every class is owned by equally many nodes, up to one. With
    `equal`, as in the paper below, what does not divide a class evenly is dropped, and all nodes are cut to the size of
    the smallest by dropping samples at random; `Partition.unused` says how many. Without it every sample goes to one.

    Source: the split of the experiments of Takezawa, Bao, Niwa, Sato and Yamada, "Momentum Tracking",
    arXiv:2209.15505.

    Args:
        data: a classification `Dataset`, or its (N,) integer labels.
        n: number of nodes.
        k: classes per node.
        seed: of who owns what, and of the shuffles.
        equal: whether all nodes hold equally many samples.
        owned: the classes of each node, n lists of k, in place of a draw; a class that nobody owns is left out.

    Raises:
        ValueError: fewer than k classes, fewer than that many places for them, or a class with fewer samples than
            nodes that own it.

    >>> labels = np.repeat(np.arange(10), 60)
    >>> partition = classes_per_node(labels, n=8, k=2)
    >>> [len(np.unique(labels[partition.node(i)])) for i in range(8)]
    [2, 2, 2, 2, 2, 2, 2, 2]
    """
    labels = class_labels(data)
    n, k = node_count(n, len(labels)), checks.integer("k", k, 1)
    classes, rng = np.unique(labels), np.random.default_rng(checks.seed("seed", seed))
    owns = _drawn(classes, n, k, rng) if owned is None else _given(owned, classes, n, k)
    lists: list[list[np.ndarray]] = [[] for _ in range(n)]
    for c in classes:
        owners = np.flatnonzero(np.any(owns == c, axis=1))
        samples = rng.permutation(np.flatnonzero(labels == c))
        if len(owners) > len(samples):
            raise ValueError(
                f"class {c} has {len(samples)} samples for the {len(owners)} nodes that own it; lower n or k"
            )
        kept = len(samples) // max(len(owners), 1) * len(owners) if equal else len(samples)
        for owner, share in zip(owners, np.array_split(samples[:kept], max(len(owners), 1)), strict=False):
            lists[owner].append(share)
    rows = [rng.permutation(np.concatenate(row)) for row in lists]
    least = min(map(len, rows)) if equal else len(labels)
    return from_lists([row[:least] for row in rows], len(labels))


def _drawn(classes: np.ndarray, n: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """(n, k) classes: k different ones for each node, at random, and every class equally often, up to one."""
    if k > len(classes):
        raise ValueError(f"k={k} classes per node, but there are only {len(classes)}; lower k")
    if n * k < len(classes):
        raise ValueError(
            f"{n} nodes of k={k} classes own at most {n * k} of the {len(classes)} classes, and nobody would hold the "
            "others; raise n or k, or say with owned= which to leave out"
        )
    left = np.full(len(classes), n * k // len(classes))  # how many nodes still have to take each class
    left[rng.choice(len(classes), n * k % len(classes), replace=False)] += 1
    owns = np.empty((n, k), classes.dtype)
    for i in range(n):
        due = np.flatnonzero(left == n - i)  # these every node from here on must take
        free = rng.permutation(np.flatnonzero((left > 0) & (left < n - i)))
        taken = np.concatenate([due, free])[:k]
        left[taken] -= 1
        owns[i] = classes[taken]
    return owns


def _given(owned: Sequence[Sequence[int]], classes: np.ndarray, n: int, k: int) -> np.ndarray:
    """(n, k) classes as given."""
    if len(owned) != n or any(len(set(own)) != k or len(own) != k for own in owned):
        raise ValueError(f"owned must be n={n} lists of k={k} different classes each, got {owned!r}")
    if unknown := sorted({c for own in owned for c in own} - set(classes.tolist())):
        raise ValueError(f"owned names the classes {unknown}, of which there are no samples")
    return np.asarray(owned)


def shards(data: Dataset | ArrayLike, n: int, per_node: int = 2, seed: int = 0) -> Partition:
    """Label-sorted shards: samples sorted by label are cut into n per_node shards, dealt to the nodes at random.

    Shards are equally large up to one sample, and every sample goes to exactly one node; most nodes hold few classes.

    Source: the pathological non-iid split of McMahan, Moore, Ramage, Hampson and Agüera y Arcas,
    "Communication-Efficient Learning of Deep Networks from Decentralized Data", arXiv:1602.05629, which has 2 shards
    for each of 100 clients.

    Args:
        data: a classification `Dataset`, or its (N,) integer labels.
        n: number of nodes.
        per_node: shards that a node holds.
        seed: of the deal.

    Raises:
        ValueError: fewer samples than shards.

    >>> labels = np.arange(1000) % 10
    >>> partition = shards(labels, n=10)
    >>> max(len(np.unique(labels[partition.node(i)])) for i in range(10))
    2
    """
    labels = class_labels(data)
    n, per_node = node_count(n, len(labels)), checks.integer("per_node", per_node, 1)
    if n * per_node > len(labels):
        raise ValueError(f"{n} nodes of {per_node} shards need {n * per_node} samples, but there are {len(labels)}")
    pieces = np.array_split(np.argsort(labels, kind="stable"), n * per_node)
    dealt = np.random.default_rng(checks.seed("seed", seed)).permutation(n * per_node).reshape(n, per_node)
    return from_lists([np.concatenate([pieces[j] for j in row]) for row in dealt], len(labels))


def main_class(data: Dataset | ArrayLike, n: int, share: float, seed: int = 0) -> Partition:
    """A main class per node: node i holds a share of samples of class i mod C, and the others in equal parts.

    All nodes are equally large, as large as the classes' sizes permit; `Partition.unused` says how many samples are
    left. With n a multiple of C equally large classes only what is rounded off is left.

    Source: the experiments on CIFAR-10 of SAVIC (Chezhegov et al., "Local Methods with Adaptivity via Scaling",
    arXiv:2406.00846), with 10 nodes and shares of 30, 50 and 70 %.

    Args:
        data: a classification `Dataset`, or its (N,) integer labels.
        n: number of nodes.
        share: of the main class, in [0, 1]; 1/C is the mix of all nodes.
        seed: of the shuffles.

    Raises:
        ValueError: fewer than two classes, a share outside [0, 1], or classes too small for n nodes.

    >>> labels = np.repeat(np.arange(10), 100)
    >>> partition = main_class(labels, n=10, share=0.55)
    >>> np.bincount(labels[partition.node(3)]).tolist()
    [5, 5, 5, 55, 5, 5, 5, 5, 5, 5]
    """
    labels = class_labels(data)
    n, (classes, sizes) = node_count(n, len(labels)), np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise ValueError(f"a main class and others need at least two classes; all labels are {classes[0]}")
    if not 0 <= share <= 1:
        raise ValueError(f"share is a fraction in [0, 1], got {share!r}")
    owners = np.bincount(np.arange(n) % len(classes), minlength=len(classes))
    taken = owners * share + (n - owners) * (1 - share) / (len(classes) - 1)  # of a class, in units of a node's size
    size = min(len(labels) // n, *(int(most / part) + 2 for most, part in zip(sizes, taken, strict=True) if part))
    while size and np.any(_table(size, n, len(classes), share).sum(axis=0) > sizes):
        size -= 1
    if size == 0:
        raise ValueError(f"the smallest class has {sizes.min()} samples, too few for n={n} nodes; lower n")
    table, rng = _table(size, n, len(classes), share), np.random.default_rng(checks.seed("seed", seed))
    parts = []
    for c, column in zip(classes, table.T, strict=True):
        parts.append(np.split(rng.permutation(np.flatnonzero(labels == c)), np.cumsum(column))[:n])
    return from_lists([np.concatenate(row) for row in zip(*parts, strict=True)], len(labels))


def _table(size: int, n: int, C: int, share: float) -> np.ndarray:
    """(n, C) how many samples of each class a node of `size` samples holds; odd ones are dealt in turn."""
    table = np.empty((n, C), np.int64)
    for i in range(n):
        main, other = i % C, np.array([(i + j) % C for j in range(1, C)])
        table[i, main] = round(share * size)
        rest, odd = divmod(size - table[i, main], C - 1)
        table[i, other] = rest
        table[i, np.roll(other, -i // C)[:odd]] += 1
    return table
