"""Datasets: validated NumPy arrays of samples, from scikit-learn (nothing downloaded), or your own."""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import wadler_lindig as wl
from numpy.typing import ArrayLike

from jaxdec import checks

__all__ = [
    "INPUT_DTYPES",
    "Dataset",
    "binary",
    "breast_cancer",
    "dataset",
    "digits",
    "pixels",
    "sklearn_state",
    "split",
]

INPUT_DTYPES = tuple(
    np.dtype(kind) for kind in ("f4", "f8", *(f"{sign}{size}" for sign in ("i", "u") for size in (1, 2, 4, 8)))
)


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Training and test samples, as NumPy arrays. Built and validated by `dataset`.

    Attributes:
        inputs: (N, ...) float32, float64, or integers; or a SciPy csr_array (N, features), for linear models.
        targets: (N, ...) int32 class labels 0..classes-1, or float32/float64 regression targets; mostly (N,).
        test_inputs: (M, ...) of the dtype of `inputs`, or None when there is no test set.
        test_targets: (M, ...) of the dtype of `targets`, or None.
        classes: number of classes, or None for regression.
        name: what reports call it.
        images: whether bytes among the inputs are pixels, which networks get scaled to [0, 1]; None where that is not
            said, and then they are where they look like images, see `pixels`.
    """

    inputs: Any
    targets: np.ndarray
    test_inputs: Any
    test_targets: np.ndarray | None
    classes: int | None
    name: str
    images: bool | None = None

    def __repr__(self) -> str:
        return wl.pformat(self, width=120)


def pixels(data: Dataset) -> bool:
    """Whether the inputs are bytes that are said to be images, or look like them.

    Samples that look like images are (height, width, channels) with 1, 3 or 4 channels, or (height, width) of at least
    8 by 8. All other integers are what they are: tokens, counts, categories.
    """
    if data.inputs.dtype != np.uint8 or data.images is not None:
        return bool(data.images)
    sides, channels = data.inputs.shape[1:3], data.inputs.shape[3:]
    return channels in ((1,), (3,), (4,)) or (channels == () and len(sides) == 2 and min(sides) >= 8)


def dataset(
    inputs: Any,
    targets: ArrayLike,
    *,
    test_inputs: Any = None,
    test_targets: ArrayLike | None = None,
    classes: int | None = None,
    name: str = "custom",
    images: bool | None = None,
) -> Dataset:
    """A validated `Dataset` from your own arrays.

    The dtype of `targets` says what the task is when `classes` is not given: integers (or booleans) are class labels,
    and their distinct values must then be exactly 0..classes-1; floats are regression targets, even when they happen
    to be whole. With `classes` given, targets are labels in 0..classes-1 (whole floats are accepted) and a class may
    be absent from the training set.

    Args:
        inputs: (N, ...) float32, float64, or integers of 32 bits, such as tokens; kept in that dtype. Or a sparse
            matrix of SciPy, (N, features) floats, for linear models.
        targets: (N,), or (N, ...) where the loss of a network makes one number of a sample's; labels become int32,
            regression targets stay float32 or become float64.
        test_inputs: (M, ...) like `inputs`; given together with `test_targets`.
        test_targets: (M, ...) like `targets`.
        classes: number of classes, at least 2; None to follow the dtype of `targets`.
        name: what reports call it.
        images: whether inputs of bytes, uint8, are pixels, which networks get scaled to [0, 1]; None decides by their
            shape, see `Dataset`.

    Raises:
        ValueError: lengths or shapes disagree, a dtype is not supported, a value is NaN or infinite, or a label is
            not one of 0..classes-1.

    >>> import numpy as np
    >>> task = dataset(np.eye(4), [0, 1, 2, 1])
    >>> task.classes, task.targets.dtype.name
    (3, 'int32')
    >>> dataset(np.eye(2), [-1, 1])
    Traceback (most recent call last):
    ...
    ValueError: targets hold labels [-1] outside 0..1; map them with (y > 0)
    """
    if (test_inputs is None) != (test_targets is None):
        given, missing = ("test_inputs", "test_targets")[:: 1 if test_targets is None else -1]
        raise ValueError(f"{given} given without {missing}; give both, or neither for no test set")

    inputs, targets = _samples(inputs, targets, prefix="")
    if images and inputs.dtype.kind in "iu" and inputs.dtype != np.uint8:
        raise ValueError(f"images are bytes, uint8, or floats; got inputs of {inputs.dtype}. Convert with .astype")
    if classes is not None:
        classes = checks.integer("classes", classes, 2)
    elif targets.dtype.kind in "iub":
        classes = len(np.unique(targets))
        if classes < 2:
            raise ValueError(
                f"all {len(targets)} integer targets are {targets[0]}, but classification needs at least 2 classes; "
                "pass classes=, or floating targets for regression"
            )
    targets = _regression_targets(targets) if classes is None else _labels("targets", targets, classes)

    if test_inputs is None or test_targets is None:
        return Dataset(inputs, targets, None, None, classes, name, images)
    test_inputs, test_targets = _samples(test_inputs, test_targets, prefix="test_")
    if (test_inputs.dtype, test_inputs.shape[1:]) != (inputs.dtype, inputs.shape[1:]):
        raise ValueError(
            f"test_inputs hold {test_inputs.dtype} samples of shape {test_inputs.shape[1:]}, but inputs hold "
            f"{inputs.dtype} samples of shape {inputs.shape[1:]}; give both the same dtype and sample shape"
        )
    if test_targets.shape[1:] != targets.shape[1:]:
        raise ValueError(
            f"a sample of test_targets has shape {test_targets.shape[1:]} and one of targets {targets.shape[1:]}; give "
            "both the same"
        )
    if classes is None:
        test_targets = test_targets.astype(targets.dtype)
    else:
        test_targets = _labels("test_targets", test_targets, classes)
    return Dataset(inputs, targets, test_inputs, test_targets, classes, name, images)


def digits(test_fraction: float = 0.2, seed: int = 0) -> Dataset:
    """Handwritten digits: 1797 images of 8x8 pixels, flattened to (64,) float64 in [0, 1]; 10 classes.

    Args:
        test_fraction: share of the samples held out, stratified by class; 0 for no test set.
        seed: of the split.

    Raises:
        ValueError: `test_fraction` leaves fewer samples than classes on either side of the split.

    Source: `sklearn.datasets.load_digits`, the test part of the UCI "Optical Recognition of Handwritten Digits" data
    (Alpaydin and Kaynak, 1998).

    >>> task = digits()
    >>> task.inputs.shape, task.test_inputs.shape, task.classes
    ((1437, 64), (360, 64), 10)
    """
    from sklearn.datasets import load_digits

    inputs, labels = load_digits(return_X_y=True)
    inputs, labels, test_inputs, test_labels = _split(np.asarray(inputs) / 16, labels, test_fraction, seed)
    return dataset(inputs, labels, test_inputs=test_inputs, test_targets=test_labels, classes=10, name="digits")


def breast_cancer(test_fraction: float = 0.2, seed: int = 0) -> Dataset:
    """Breast tumours: 569 samples of 30 float64 features; class 0 is malignant, class 1 benign.

    Every feature is shifted and scaled to mean 0 and variance 1 over the training samples; the test samples take the
    same shift and scale, so nothing of the test set leaks into training.

    Args:
        test_fraction: share of the samples held out, stratified by class; 0 for no test set.
        seed: of the split.

    Raises:
        ValueError: `test_fraction` leaves fewer samples than classes on either side of the split.

    Source: `sklearn.datasets.load_breast_cancer`, the UCI "Breast Cancer Wisconsin (Diagnostic)" data (Wolberg,
    Mangasarian, Street and Street, 1995).

    >>> task = breast_cancer()
    >>> task.inputs.shape, task.test_inputs.shape, task.classes
    ((455, 30), (114, 30), 2)
    """
    from sklearn.datasets import load_breast_cancer

    inputs, labels = load_breast_cancer(return_X_y=True)
    inputs, labels, test_inputs, test_labels = _split(inputs, labels, test_fraction, seed)
    mean, deviation = inputs.mean(axis=0), inputs.std(axis=0)
    inputs = (inputs - mean) / deviation
    if test_inputs is not None:
        test_inputs = (test_inputs - mean) / deviation
    return dataset(inputs, labels, test_inputs=test_inputs, test_targets=test_labels, classes=2, name="breast_cancer")


def binary(dataset: Dataset, positive: int | Collection[int]) -> Dataset:
    """One versus rest: the same inputs, labelled 1 where the class is `positive` and 0 elsewhere.

    Args:
        dataset: classification, any number of classes.
        positive: a class, or several; not all of them.

    Raises:
        ValueError: `dataset` is a regression set, or `positive` is empty, unknown or every class.

    >>> odd = binary(digits(), positive=[1, 3, 5, 7, 9])
    >>> odd.classes, odd.name
    (2, 'digits, 1+3+5+7+9 vs rest')
    """
    if dataset.classes is None:
        raise ValueError(f"{dataset.name!r} is a regression set; binary needs class labels")
    chosen = {positive} if isinstance(positive, int | np.integer) else set(positive)
    unknown = [c for c in chosen if c not in range(dataset.classes)]
    if unknown or not 0 < len(chosen) < dataset.classes:
        wrong = f"unknown classes {unknown}" if unknown else f"{len(chosen)} of the {dataset.classes} classes"
        raise ValueError(
            f"positive names {wrong}; give one or more of the classes 0..{dataset.classes - 1}, but not all of them"
        )
    members = sorted(int(c) for c in chosen)

    def relabel(labels: np.ndarray) -> np.ndarray:
        return np.isin(labels, members).astype(np.int32)

    return replace(
        dataset,
        targets=relabel(dataset.targets),
        test_targets=None if dataset.test_targets is None else relabel(dataset.test_targets),
        classes=2,
        name=f"{dataset.name}, {'+'.join(map(str, members))} vs rest",
    )


def split(data: Dataset, fraction: float, seed: int = 0) -> tuple[Dataset, Dataset]:
    """A validation split: (for the final test, for tuning), with one and the same rest to train on.

    Both train on what is not held out, as one shared array, so that a partition of one is a partition of the other. The
    first has the test set of `data`, the second the held-out samples in its place.

    Args:
        data: any dataset.
        fraction: share of the training samples held out, stratified by class if there are classes, one a sample.
        seed: of the choice.

    Raises:
        ValueError: `fraction` holds out nothing or everything, or leaves fewer samples than classes on either side.

    >>> final, tuning = split(digits(), 0.1)
    >>> len(final.targets), len(tuning.test_targets), final.inputs is tuning.inputs
    (1293, 144, True)
    """
    labels = data.targets if data.classes is not None and data.targets.ndim == 1 else None
    kept, held = _held_out("fraction", len(data.targets), labels, fraction, seed)
    kept, held = np.sort(kept), np.sort(held)
    rest = replace(data, inputs=data.inputs[kept], targets=data.targets[kept])
    tuning = replace(
        rest, test_inputs=data.inputs[held], test_targets=data.targets[held], name=f"{data.name}, validation"
    )
    return rest, tuning


def _csr(inputs: Any) -> Any:
    found = sp.csr_array(inputs, dtype=np.float32 if inputs.dtype == np.float32 else np.float64)
    found.sum_duplicates()
    return found


def _bad(values: Any) -> np.ndarray:
    """Where values are not finite, (bad, ndim)."""
    if not sp.issparse(values):
        return np.argwhere(~np.isfinite(values))
    entries = values.tocoo()
    return np.stack(entries.coords, axis=1)[~np.isfinite(entries.data)]


def dense(data: Dataset, what: str) -> None:
    """Refuse sparse inputs where there is no use for them."""
    if sp.issparse(data.inputs):
        raise ValueError(
            f"{what} takes dense inputs, and those of {data.name} are sparse: use least_squares, logistic or softmax, "
            "or dataset(inputs.toarray(), ...)"
        )


def _samples(inputs: Any, targets: ArrayLike, prefix: str) -> tuple[Any, np.ndarray]:
    """Arrays of supported dtypes, equally long, nonempty and finite."""
    inputs = _csr(inputs) if sp.issparse(inputs) else np.asarray(inputs)
    targets, total = np.asarray(targets), inputs.shape[0] if inputs.ndim else 0
    if inputs.ndim < 1 or inputs.dtype not in INPUT_DTYPES:
        raise ValueError(
            f"{prefix}inputs must be an (N, ...) array of float32, float64 or integers, got shape {inputs.shape} "
            f"{inputs.dtype}; convert with .astype(np.float32)"
        )
    if targets.ndim < 1 or targets.dtype.kind not in "iubf":
        raise ValueError(
            f"{prefix}targets must be an (N,) array of integer labels or floats, got shape {targets.shape} "
            f"{targets.dtype}; number labels with np.unique(y, return_inverse=True)[1]"
        )
    if inputs.dtype.kind in "iu" and inputs.size and not -(2**31) <= int(inputs.min()) <= int(inputs.max()) < 2**31:
        raise ValueError(
            f"{prefix}inputs hold {max(inputs.min(), inputs.max(), key=abs)}, and integers have 32 bits in a run; "
            "number them with np.unique(x, return_inverse=True)[1], or convert with .astype(np.float64)"
        )
    if total != len(targets) or total == 0:
        raise ValueError(
            f"{prefix}inputs hold {total} samples and {prefix}targets {len(targets)}; "
            "give one target per sample, and at least one sample"
        )
    for name, values in ((f"{prefix}inputs", inputs), (f"{prefix}targets", targets)):
        bad = _bad(values)
        if len(bad):
            first = ", ".join(map(str, bad[0].tolist()))
            raise ValueError(
                f"{name} hold {len(bad)} NaN or infinite value{'s' if len(bad) > 1 else ''}, the first at "
                f"index [{first}]; remove or replace them"
            )
    return inputs, targets


def _labels(name: str, targets: np.ndarray, classes: int) -> np.ndarray:
    """(N,) int32 labels, each in 0..classes-1."""
    if targets.dtype.kind == "f" and np.any(fractional := targets != np.rint(targets)):
        raise ValueError(
            f"{name} hold {np.sum(fractional)} values that are not whole, such as {targets[fractional][0]}, but "
            f"classes={classes} asks for labels 0..{classes - 1}; drop classes= for regression"
        )
    values = np.unique(targets)
    outside = values[(values < 0) | (values >= classes)]
    if len(outside):
        if np.array_equal(values, [-1, 1]):
            hint = "map them with (y > 0)"
        elif values[0] == 1 and values[-1] == classes:
            hint = "subtract 1"
        else:
            hint = (
                "number them with np.unique(y, return_inverse=True)[1], set classes= to cover them, or pass floating "
                "targets for regression"
            )
        shown = ", ".join(f"{v:g}" if targets.dtype.kind == "f" else str(v) for v in outside[:5])
        raise ValueError(
            f"{name} hold labels [{shown}{', ...' if len(outside) > 5 else ''}] outside 0..{classes - 1}; {hint}"
        )
    return targets.astype(np.int32)


def _regression_targets(targets: np.ndarray) -> np.ndarray:
    return targets if targets.dtype == np.float32 else targets.astype(np.float64)


def _split(
    inputs: ArrayLike, labels: ArrayLike, test_fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Training inputs and labels, then test inputs and labels (None, None for a fraction of 0), stratified."""
    inputs, labels = np.asarray(inputs), np.asarray(labels)
    if test_fraction == 0:
        return inputs, labels, None, None
    train, test = _held_out("test_fraction", len(labels), labels, test_fraction, seed, none="0 (no test set) or ")
    return inputs[train], labels[train], inputs[test], labels[test]


def _held_out(
    name: str, total: int, labels: np.ndarray | None, fraction: float, seed: int, none: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    """Positions that stay and positions held out, stratified by labels if there are any."""
    from sklearn.model_selection import train_test_split

    classes = 1 if labels is None else len(np.unique(labels))
    if not (0 < fraction < 1 and classes <= math.ceil(fraction * total) <= total - classes):
        raise ValueError(
            f"{name} must be {none or 'such as to '}leave at least {classes} of the {total} samples"
            f"{'' if labels is None else ', one per class,'} on each side of the split, got {fraction!r}"
        )
    state = sklearn_state(seed)
    stay, held = train_test_split(np.arange(total), test_size=fraction, random_state=state, stratify=labels)
    return np.asarray(stay), np.asarray(held)


def sklearn_state(seed: int) -> Any:
    """A seed as scikit-learn takes it, whose own seeds end at 2^32."""
    seed = checks.seed("seed", seed)
    return seed if seed < 2**32 else np.random.RandomState([seed % 2**32, seed >> 32])
