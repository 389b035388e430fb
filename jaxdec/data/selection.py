"""Parts of a dataset's training samples."""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from jaxdec import checks
from jaxdec.data.sources import Dataset

__all__ = ["subset", "take"]


def subset(data: Dataset, which: ArrayLike) -> Dataset:
    """The dataset with those of its training samples alone, in that order; its test set and its classes are the same.

    A partition of `data` is none of the subset, whose samples are numbered anew.

    Args:
        data: any dataset.
        which: positions, integers in 0..N-1, each once; or a mask, N booleans.

    Raises:
        ValueError: if they are neither, or none.

    >>> from jaxdec.data import digits
    >>> small = subset(digits(), range(100))
    >>> len(small.targets), len(small.test_targets), small.classes
    (100, 360, 10)
    """
    total, chosen = len(data.targets), np.asarray(which)
    if chosen.dtype == bool and chosen.shape == (total,):
        chosen = np.flatnonzero(chosen)
    if chosen.ndim != 1 or len(chosen) == 0 or chosen.dtype.kind not in "iu":
        raise ValueError(
            f"which is a list of positions in 0..{total - 1}, at least one, or a mask of {total} booleans; got shape "
            f"{chosen.shape} {chosen.dtype}{' that chooses nothing' if chosen.size == 0 else ''}"
        )
    if np.any(outside := (chosen < 0) | (chosen >= total)):
        raise ValueError(f"which holds position {chosen[outside][0]}, but {data.name} has 0..{total - 1}")
    positions, repeats = np.unique(chosen, return_counts=True)
    if len(positions) < len(chosen):
        raise ValueError(f"which holds position {positions[repeats > 1][0]} more than once; list it once")
    return replace(data, inputs=data.inputs[chosen], targets=data.targets[chosen])


def take(data: Dataset, count: int, seed: int = 0) -> Dataset:
    """The dataset with `count` of its training samples, drawn at random, in their order: for a trial that is quick.

    Where a sample has one class, every class keeps its share, up to one sample.

    Args:
        data: any dataset.
        count: how many, 1..N.
        seed: of the choice.

    Raises:
        ValueError: if there are fewer.

    >>> from jaxdec.data import digits
    >>> np.bincount(take(digits(), 100).targets).tolist()
    [10, 10, 10, 10, 10, 10, 10, 10, 10, 10]
    """
    total, rng = len(data.targets), np.random.default_rng(checks.seed("seed", seed))
    if (count := checks.integer("count", count, 1)) > total:
        raise ValueError(f"count is {count}, but {data.name} has {total} training samples")
    labels = data.targets if data.classes is not None and data.targets.ndim == 1 else np.zeros(total, int)
    place = np.empty(total)  # of a sample in its class, in (0, 1): the first `count` places are a share of every class
    for k in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == k))
        place[members] = (np.arange(len(members)) + rng.random()) / len(members)
    return subset(data, np.sort(np.argsort(place, kind="stable")[:count]))
