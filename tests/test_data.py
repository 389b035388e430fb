"""Laws of datasets: what is refused, what is held out, what the synthetic ones look like."""

import math

import numpy as np
import pytest

from jaxdec.data import (
    binary,
    breast_cancer,
    dataset,
    digits,
    split,
    subset,
    synthetic_classification,
    synthetic_regression,
    take,
)

REGRESSION = synthetic_regression(20, features=3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int8, np.int32, np.int64])
def test_inputs_keep_their_dtype_and_values(dtype):
    inputs = np.arange(12).reshape(3, 2, 2).astype(dtype)
    task = dataset(inputs, [0, 1, 0], test_inputs=inputs[:1], test_targets=[1])
    assert task.inputs.dtype == task.test_inputs.dtype == dtype
    assert np.array_equal(task.inputs, inputs)
    assert task.targets.dtype == task.test_targets.dtype == np.int32


@pytest.mark.parametrize(
    ("targets", "classes", "inferred", "dtype"),
    [
        (np.array([0, 1, 2]), None, 3, np.int32),
        (np.array([True, False, True]), None, 2, np.int32),
        (np.array([0.0, 1.0, 1.0]), 2, 2, np.int32),
        (np.array([0, 0, 2]), 5, 5, np.int32),
        (np.array([0.0, 1.0, 1.0]), None, None, np.float64),
        (np.array([0.5, 1.5, 1.0], np.float32), None, None, np.float32),
        (np.array([0.5, 1.5, 1.0], np.float16), None, None, np.float64),
    ],
)
def test_target_dtype_decides_the_task_unless_classes_does(targets, classes, inferred, dtype):
    task = dataset(np.zeros((3, 1)), targets, classes=classes)
    assert task.classes == inferred
    assert task.targets.dtype == dtype
    assert np.array_equal(task.targets, targets)


def test_regression_test_targets_follow_training_dtype():
    targets = np.ones(2, np.float32)
    task = dataset(np.zeros((2, 1)), targets, test_inputs=np.zeros((1, 1)), test_targets=[3])
    assert task.test_targets.dtype == np.float32


X = np.zeros((4, 2))
Y = [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(inputs=X, targets=[0, 1, 0]), "inputs hold 4 samples and targets 3"),
        (dict(inputs=X[:0], targets=np.zeros(0)), "at least one sample"),
        (dict(inputs=[[0.0], [np.nan], [np.inf]], targets=[0, 1, 1]), r"inputs hold 2 NaN .* index \[1, 0\]"),
        (dict(inputs=X, targets=[0.0, 1.0, np.nan, 0.0]), r"targets hold 1 NaN or infinite value, .* index \[2\]"),
        (dict(inputs=np.zeros((4, 2), complex), targets=Y), r"got shape \(4, 2\) complex128; convert with .astype"),
        (dict(inputs=np.full((4, 2), 2**31), targets=Y), "inputs hold 2147483648, and integers have 32 bits in a run"),
        (dict(inputs=np.zeros((4, 2), int), targets=Y, images=True), "images are bytes, uint8, or floats; got .*int64"),
        (dict(inputs=X, targets=np.float64(0)), r"targets must be an \(N,\) array .* got shape \(\) float64"),
        (
            dict(inputs=X, targets=np.zeros((4, 3)), test_inputs=X, test_targets=np.zeros((4, 2))),
            r"a sample of test_targets has shape \(2,\) and one of targets \(3,\)",
        ),
        (dict(inputs=X, targets=["cat", "dog", "cat", "dog"]), "number labels with np.unique"),
        (dict(inputs=X, targets=[-1, 1, 1, -1]), r"labels \[-1\] outside 0..1; map them with \(y > 0\)"),
        (dict(inputs=X, targets=[-1.0, 1.0, 1.0, -1.0], classes=2), r"labels \[-1\] outside 0..1; map them"),
        (dict(inputs=X, targets=[1, 2, 3, 3]), r"labels \[3\] outside 0..2; subtract 1"),
        (dict(inputs=X, targets=[0, 2, 0, 2]), r"labels \[2\] outside 0..1; .* set classes="),
        (dict(inputs=X, targets=[0, 1, 7, 1], classes=3), r"labels \[7\] outside 0..2"),
        (dict(inputs=np.zeros((9, 1)), targets=range(10, 19)), r"\[10, 11, 12, 13, 14, ...\] .* for regression"),
        (dict(inputs=X, targets=[0.0, 0.5, 1.0, 1.5], classes=2), "2 values that are not whole, such as 0.5"),
        (dict(inputs=X, targets=[1, 1, 1, 1]), "all 4 integer targets are 1"),
        (dict(inputs=X, targets=Y, classes=1), "classes is an integer of at least 2; got 1"),
        (dict(inputs=X, targets=Y, classes=2.0), "classes is an integer of at least 2; got 2.0"),
        (dict(inputs=X, targets=Y, test_inputs=X), "test_inputs given without test_targets"),
        (dict(inputs=X, targets=Y, test_targets=Y), "test_targets given without test_inputs"),
        (dict(inputs=X, targets=Y, test_inputs=X, test_targets=[0]), "test_inputs hold 4 samples and test_targets 1"),
        (dict(inputs=X, targets=Y, test_inputs=X[:, :1], test_targets=Y), r"shape \(1,\), but inputs .* \(2,\)"),
        (dict(inputs=X, targets=Y, test_inputs=X.astype("f4"), test_targets=Y), "float32 samples .* float64 samples"),
        (dict(inputs=X, targets=Y, test_inputs=X, test_targets=[0, 1, 2, 3]), r"test_targets hold labels \[2, 3\]"),
    ],
)
def test_dataset_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        dataset(**arguments)


@pytest.mark.parametrize(("load", "total"), [(digits, 1797), (breast_cancer, 569)])
def test_embedded_sets_split_every_sample_by_class(load, total):
    task, whole = load(test_fraction=0.3), load(test_fraction=0)
    assert whole.test_inputs is None
    assert whole.test_targets is None
    assert task.inputs.dtype == np.float64
    assert len(task.inputs) + len(task.test_inputs) == len(whole.inputs) == total
    train, test, both = (np.bincount(y) for y in (task.targets, task.test_targets, whole.targets))
    assert np.array_equal(train + test, both)
    assert np.all(np.abs(test - 0.3 * both) <= 1)


@pytest.mark.parametrize("load", [digits, breast_cancer])
def test_embedded_sets_follow_the_seed(load):
    assert np.array_equal(load(seed=3).inputs, load(seed=3).inputs)
    assert not np.array_equal(load(seed=3).inputs, load(seed=4).inputs)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 0.001, 0.999, float("nan")])
def test_a_split_keeps_every_class_on_both_sides(fraction):
    with pytest.raises(ValueError, match=r"test_fraction must be 0 .* at least 10 of the 1797 samples"):
        digits(test_fraction=fraction)


def test_digits_fill_the_unit_interval():
    assert digits().inputs.min() == 0
    assert digits().inputs.max() == 1


def test_breast_cancer_is_standardized_by_training_statistics_alone():
    task, whole = breast_cancer(), breast_cancer(test_fraction=0)
    assert np.allclose(task.inputs.mean(axis=0), 0)
    assert np.allclose(task.inputs.std(axis=0), 1)
    assert not np.allclose(task.test_inputs.mean(axis=0), 0, atol=1e-3)
    assert np.allclose(whole.inputs.std(axis=0), 1)


def test_class_means_are_separation_apart():
    task = synthetic_classification(40_000, features=6, classes=4, separation=5.0, seed=1)
    assert np.ptp(np.bincount(task.targets)) == 0
    means = np.stack([task.inputs[task.targets == k].mean(axis=0) for k in range(4)])
    distances = np.linalg.norm(means[:, None] - means[None], axis=-1)[~np.eye(4, dtype=bool)]
    assert np.allclose(distances, 5.0, atol=0.1)
    assert np.allclose(means.mean(axis=0), 0, atol=0.05)


def test_two_classes_have_the_stated_best_error():
    task = synthetic_classification(40_000, features=3, separation=2.0, seed=2)
    means = [task.inputs[task.targets == k].mean(axis=0) for k in (0, 1)]
    error = np.mean((task.inputs @ (means[1] - means[0]) > 0) != task.targets)
    assert error == pytest.approx(0.5 * math.erfc(1 / math.sqrt(2)), abs=0.01)


def test_regression_has_unit_signal_and_the_stated_noise():
    task = synthetic_regression(40_000, features=5, noise=0.3, seed=1)
    weights, residual, *_ = np.linalg.lstsq(task.inputs, task.targets)
    assert task.classes is None
    assert np.linalg.norm(weights) == pytest.approx(1, abs=0.01)
    assert math.sqrt(residual[0] / 40_000) == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("make", [synthetic_classification, synthetic_regression])
def test_synthetic_sets_follow_the_seed(make):
    assert np.array_equal(make(10, 3, seed=1).inputs, make(10, 3, seed=1).inputs)
    assert not np.array_equal(make(10, 3, seed=1).inputs, make(10, 3, seed=2).inputs)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (
            synthetic_classification,
            dict(samples=2, features=3, classes=3),
            "samples is an integer of at least 3; got 2",
        ),
        (
            synthetic_classification,
            dict(samples=9, features=1, classes=3),
            "features is an integer of at least 2; got 1",
        ),
        (
            synthetic_classification,
            dict(samples=9, features=1, classes=1),
            "classes is an integer of at least 2; got 1",
        ),
        (synthetic_classification, dict(samples=9, features=1, separation=-1.0), "separation must be .* got -1.0"),
        (synthetic_regression, dict(samples=0, features=1), "samples is an integer of at least 1; got 0"),
        (synthetic_regression, dict(samples=9, features=1.5), "features is an integer of at least 1; got 1.5"),
        (synthetic_regression, dict(samples=9, features=1, noise=float("inf")), "noise must be a finite .* got inf"),
    ],
)
def test_synthetic_sets_refuse(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


@pytest.mark.parametrize("positive", [3, np.int64(3), [3], {1, 3}, range(5), np.array([0, 9])])
def test_binary_labels_one_versus_rest(positive):
    task = digits()
    pair = binary(task, positive)
    assert pair.classes == 2
    assert pair.targets.dtype == np.int32
    chosen = np.atleast_1d(list(positive) if isinstance(positive, set) else positive)
    assert np.array_equal(pair.targets == 1, np.isin(task.targets, chosen))
    assert np.array_equal(pair.test_targets == 1, np.isin(task.test_targets, chosen))
    assert pair.inputs is task.inputs


@pytest.mark.parametrize(
    ("positive", "message"),
    [
        (10, r"unknown classes \[10\]; give one or more of the classes 0..9"),
        ([0, -1], r"unknown classes \[-1\]"),
        ("3", r"unknown classes \['3'\]"),
        ([], "0 of the 10 classes"),
        (range(10), "10 of the 10 classes"),
    ],
)
def test_binary_refuses(positive, message):
    with pytest.raises(ValueError, match=message):
        binary(digits(), positive)


def test_binary_refuses_regression():
    with pytest.raises(ValueError, match="'synthetic_regression' is a regression set"):
        binary(REGRESSION, 1)


def test_a_validation_split_shares_the_rest_and_holds_out_a_share_of_every_class():
    task = digits()
    final, tuning = split(task, 0.1, seed=2)
    assert final.inputs is tuning.inputs
    assert final.targets is tuning.targets
    assert final.test_inputs is task.test_inputs
    together = np.concatenate([final.inputs, tuning.test_inputs])
    order = lambda a: a[np.lexsort(a.T)]
    assert np.array_equal(order(together), order(task.inputs))
    held, every = np.bincount(tuning.test_targets), np.bincount(task.targets)
    assert np.all(np.abs(held - 0.1 * every) <= 1)
    again, other = split(task, 0.1, seed=2)[1], split(task, 0.1, seed=3)[1]
    assert np.array_equal(tuning.test_inputs, again.test_inputs)
    assert not np.array_equal(tuning.test_inputs, other.test_inputs)
    line = split(REGRESSION, 0.25)[1]
    assert len(line.targets) == 15
    assert line.classes is None


@pytest.mark.parametrize(
    ("make", "fraction"), [(digits, 0.0), (digits, 1.0), (digits, 0.001), (lambda: REGRESSION, 1.0)]
)
def test_a_validation_split_leaves_samples_on_both_sides(make, fraction):
    with pytest.raises(ValueError, match=rf"fraction must be such as to leave at least .* got {fraction}"):
        split(make(), fraction)


def test_a_subset_has_those_samples_in_that_order_and_the_same_test_set():
    task, chosen = digits(), np.array([7, 3, 1400])
    found = subset(task, chosen)
    np.testing.assert_array_equal(found.inputs, task.inputs[chosen])
    np.testing.assert_array_equal(found.targets, task.targets[chosen])
    assert (found.classes, found.test_inputs is task.test_inputs) == (10, True)
    mask = np.isin(np.arange(1437), chosen)
    np.testing.assert_array_equal(subset(task, mask).targets, task.targets[[3, 7, 1400]])
    assert subset(REGRESSION, range(4)).classes is None


@pytest.mark.parametrize("count", [1, 9, 10, 100, 1436, 1437])
def test_what_is_taken_keeps_the_share_of_every_class(count):
    task = digits()
    found = take(task, count, seed=3)
    share = np.bincount(task.targets) * count / 1437
    assert len(found.targets) == len(np.unique(found.inputs, axis=0)) == count
    assert np.all(np.abs(np.bincount(found.targets, minlength=10) - share) <= 1)
    np.testing.assert_array_equal(take(task, count, seed=3).inputs, found.inputs)
    assert len(take(REGRESSION, 7).targets) == 7


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ([], r"which is a list of positions in 0..19, .* that chooses nothing"),
        ([0.5], r"got shape \(1,\) float64"),
        (np.ones(19, bool), r"a mask of 20 booleans; got shape \(19,\) bool"),
        (np.zeros(20, bool), "chooses nothing"),
        ([0, 20], "which holds position 20, but synthetic_regression has 0..19"),
        ([-1], "which holds position -1"),
        ([3, 3], "which holds position 3 more than once"),
    ],
)
def test_a_subset_that_there_is_not_is_refused(which, message):
    with pytest.raises(ValueError, match=message):
        subset(REGRESSION, which)
    with pytest.raises(ValueError, match="count is 21, but synthetic_regression has 20"):
        take(REGRESSION, 21)
