"""Laws of datasets and partitions: what is refused, what a table holds, how skewed it is."""

import math

import numpy as np
import pytest

from jaxdec.data import (
    Dataset,
    Partition,
    binary,
    breast_cancer,
    dataset,
    describe,
    digits,
    dirichlet,
    explicit,
    from_lists,
    iid,
    label_counts,
    synthetic_classification,
    synthetic_regression,
)

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 100))
REGRESSION = synthetic_regression(20, features=3)


def held(partition: Partition) -> np.ndarray:
    return np.concatenate([partition.node(i) for i in range(partition.n)])


# --- datasets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
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
        (dict(inputs=np.zeros((4, 2), int), targets=Y), r"got shape \(4, 2\) int64; convert with .astype"),
        (dict(inputs=X, targets=np.zeros((4, 1))), r"targets must be an \(N,\) array .* got shape \(4, 1\) float64"),
        (dict(inputs=X, targets=["cat", "dog", "cat", "dog"]), "number labels with np.unique"),
        (dict(inputs=X, targets=[-1, 1, 1, -1]), r"labels \[-1\] outside 0..1; map them with \(y > 0\)"),
        (dict(inputs=X, targets=[-1.0, 1.0, 1.0, -1.0], classes=2), r"labels \[-1\] outside 0..1; map them"),
        (dict(inputs=X, targets=[1, 2, 3, 3]), r"labels \[3\] outside 0..2; subtract 1"),
        (dict(inputs=X, targets=[0, 2, 0, 2]), r"labels \[2\] outside 0..1; .* set classes="),
        (dict(inputs=X, targets=[0, 1, 7, 1], classes=3), r"labels \[7\] outside 0..2"),
        (dict(inputs=np.zeros((9, 1)), targets=range(10, 19)), r"\[10, 11, 12, 13, 14, ...\] .* for regression"),
        (dict(inputs=X, targets=[0.0, 0.5, 1.0, 1.5], classes=2), "2 values that are not whole, such as 0.5"),
        (dict(inputs=X, targets=[1, 1, 1, 1]), "all 4 integer targets are 1"),
        (dict(inputs=X, targets=Y, classes=1), "classes must be an integer of at least 2, got 1"),
        (dict(inputs=X, targets=Y, classes=2.0), "classes must be an integer of at least 2, got 2.0"),
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
        (synthetic_classification, dict(samples=2, features=3, classes=3), "samples must be .* at least 3, got 2"),
        (synthetic_classification, dict(samples=9, features=1, classes=3), "features must be .* at least 2, got 1"),
        (synthetic_classification, dict(samples=9, features=1, classes=1), "classes must be .* at least 2, got 1"),
        (synthetic_classification, dict(samples=9, features=1, separation=-1.0), "separation must be .* got -1.0"),
        (synthetic_regression, dict(samples=0, features=1), "samples must be an integer of at least 1, got 0"),
        (synthetic_regression, dict(samples=9, features=1.5), "features must be an integer of at least 1, got 1.5"),
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


# --- partitions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: iid(LABELS, 7, seed),
        lambda seed: dirichlet(LABELS, 7, 0.3, seed),
        lambda seed: dirichlet(LABELS, 7, 100.0, seed, min_samples=20),
        lambda seed: dirichlet(LABELS, 1, 0.01, seed),
    ],
)
def test_every_sample_goes_to_exactly_one_node(make):
    for seed in range(5):
        partition = make(seed)
        assert np.array_equal(np.sort(held(partition)), np.arange(1000))
        assert partition.counts.sum() == 1000
        assert partition.unused(1000) == 0
        assert partition.unused(1003) == 3


@pytest.mark.parametrize("make", [lambda: dirichlet(LABELS, 7, 0.3), lambda: from_lists([[0, 1, 2], [4], [3, 9]], 10)])
def test_padding_repeats_the_samples_of_its_own_node(make):
    partition = make()
    assert partition.indices.dtype == partition.counts.dtype == np.int32
    assert partition.indices.shape == (partition.n, partition.counts.max())
    for row, count in zip(partition.indices, partition.counts, strict=True):
        assert len(set(row[:count])) == count
        assert set(row[count:]) <= set(row[:count])


@pytest.mark.parametrize("make", [iid, lambda data, n, seed: dirichlet(data, n, 0.5, seed)])
def test_partitions_follow_the_seed(make):
    assert np.array_equal(make(LABELS, 5, seed=1).indices, make(LABELS, 5, seed=1).indices)
    assert not np.array_equal(held(make(LABELS, 5, seed=1)), held(make(LABELS, 5, seed=2)))


@pytest.mark.parametrize("make", [iid, lambda data, n: dirichlet(data, n, 0.5)])
def test_a_dataset_is_partitioned_as_its_labels(make):
    task = digits()
    assert np.array_equal(make(task, 4).indices, make(task.targets, 4).indices)


@pytest.mark.parametrize(("total", "n"), [(11, 4), (12, 4), (5, 5), (7, 1)])
def test_iid_shares_are_equal_up_to_one(total, n):
    assert iid(range(total), n).counts.tolist() == [total // n + (i < total % n) for i in range(n)]


def test_iid_serves_regression():
    assert iid(REGRESSION, 3).unused(20) == 0


def test_large_alpha_gives_every_node_the_global_mix():
    table = label_counts(dirichlet(LABELS, 5, alpha=1e6), LABELS)
    assert np.all(np.abs(table - 20) <= 1)


def test_small_alpha_gives_each_class_to_one_node():
    table = label_counts(dirichlet(LABELS, 3, alpha=1e-3), LABELS)
    assert np.mean(table.max(axis=0)) > 99


def test_class_shares_have_dirichlet_moments():
    # A coordinate of Dir(alpha 1_n) has mean 1/n and variance (n - 1) / (n^2 (n alpha + 1)).
    labels = np.repeat(np.arange(2000), 50)
    shares = label_counts(dirichlet(labels, 4, alpha=0.5), labels) / 50
    assert np.allclose(shares.mean(axis=1), 0.25, atol=0.02)
    assert np.allclose(shares.var(axis=1), 3 / (16 * 3), atol=0.005)


def test_skew_decreases_with_alpha():
    skews = [np.std(label_counts(dirichlet(LABELS, 5, alpha), LABELS)) for alpha in (0.05, 0.5, 5.0, 50.0)]
    assert skews == sorted(skews, reverse=True)


def test_every_node_holds_min_samples():
    for seed in range(20):
        assert dirichlet(LABELS, 10, 0.1, seed, min_samples=10).counts.min() >= 10


@pytest.mark.parametrize("alpha", [0, -1.0, float("nan"), float("inf"), 1e308])
def test_dirichlet_refuses_alpha(alpha):
    with pytest.raises(ValueError, match="alpha must be a finite positive number, got"):
        dirichlet(LABELS, 5, alpha)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(data=LABELS, n=0), "n must be an integer of at least 1, got 0"),
        (dict(data=LABELS, n=2.0), "n must be an integer of at least 1, got 2.0"),
        (dict(data=LABELS, n=1001), "n=1001 nodes cannot each hold one of 1000 samples; use at most 1000 nodes"),
        (dict(data=LABELS, n=5, min_samples=0), "min_samples must be an integer of at least 1, got 0"),
        (dict(data=LABELS, n=5, min_samples=201), "5 nodes with min_samples=201 need 1005 samples, .* are 1000"),
        (dict(data=REGRESSION, n=5), "'synthetic_regression' is a regression set and has no labels"),
        (dict(data=LABELS.astype(float), n=5), r"array of integers, got shape \(1000,\) float64; convert"),
        (dict(data=LABELS[:, None], n=5), r"array of integers, got shape \(1000, 1\)"),
        (dict(data=[], n=1), "nonempty"),
    ],
)
def test_dirichlet_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        dirichlet(alpha=0.5, **arguments)


def test_dirichlet_gives_up_saying_how_far_it_got():
    with pytest.raises(ValueError, match=r"none of 1000 .* alpha=0.001 .* n=20 .* at best the smallest node held 0;"):
        dirichlet(LABELS, 20, alpha=0.001)


@pytest.mark.parametrize(
    ("data", "n", "message"),
    [
        (LABELS, 0, "n must be an integer of at least 1, got 0"),
        (LABELS, 1001, "n=1001 nodes cannot each hold one of 1000 samples"),
        (100, 4, r"got 100; try range\(100\)"),
    ],
)
def test_iid_refuses(data, n, message):
    with pytest.raises(ValueError, match=message):
        iid(data, n)


def test_explicit_lists_are_kept_in_order():
    partition = explicit([[5, 0, 3], np.array([2, 1], np.uint8)], total=6)
    assert partition.n == 2
    assert partition.unused(6) == 1
    assert [partition.node(i).tolist() for i in range(2)] == [[5, 0, 3], [2, 1]]


def test_sharing_between_nodes_is_opt_in():
    with pytest.raises(ValueError, match="nodes share 2 of 4 samples, such as sample 1 of nodes 0 and 2"):
        from_lists([[0, 1, 2], [3], [1, 2]], total=4)
    assert from_lists([[0, 1, 2], [3], [1, 2]], total=4, allow_shared=True).unused(4) == 0


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ([], "lists is empty"),
        ([[0], []], "node 1 has no sample"),
        ([[0], [1, 4]], r"node 1 holds position 4, but positions are 0..3 \(total=4\)"),
        ([[-1]], "node 0 holds position -1"),
        ([[0], [2, 1, 2]], "node 1 holds sample 2 more than once"),
        ([[0.0, 1.0]], r"node 0 has positions of shape \(2,\) float64"),
        ([[True, False, True, True]], "turn a boolean mask into positions"),
        ([[[0, 1]]], r"node 0 has positions of shape \(1, 2\)"),
    ],
)
def test_from_lists_refuses(lists, message):
    with pytest.raises(ValueError, match=message):
        from_lists(lists, total=4)


def test_from_lists_refuses_an_empty_training_set():
    with pytest.raises(ValueError, match="total must be an integer of at least 1, got 0"):
        from_lists([[0]], total=0)


def test_label_counts_sum_to_node_and_class_sizes():
    partition = dirichlet(LABELS, 6, 0.5)
    table = label_counts(partition, LABELS, classes=12)
    assert table.shape == (6, 12)
    assert np.array_equal(table.sum(axis=1), partition.counts)
    assert np.array_equal(table.sum(axis=0), np.bincount(LABELS, minlength=12))


def test_label_counts_have_a_column_for_a_class_without_samples():
    task: Dataset = dataset(np.zeros((2, 1)), [0, 1], classes=4)
    assert label_counts(iid(task, 1), task).tolist() == [[1, 1, 0, 0]]


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([0, 1, 5], 3, r"labels \[5\] are outside 0..2"),
        ([0, -1, 1], None, r"labels \[-1\] are outside 0..1"),
        ([0, 1], None, "the partition holds sample 2, but there are only 2 samples, 0..1"),
        ([0.0, 1.0, 2.0], None, "array of integers"),
        ([0, 1, 2], 0, "classes must be an integer of at least 1, got 0"),
    ],
)
def test_label_counts_refuse(labels, classes, message):
    with pytest.raises(ValueError, match=message):
        label_counts(iid(range(3), 1), labels, classes)


def test_unused_refuses_a_total_below_the_partition():
    with pytest.raises(ValueError, match="holds sample 9, but there are only 5 samples"):
        iid(range(10), 2).unused(5)


def test_describe_has_one_aligned_row_per_node():
    header, *rows, last = describe(dirichlet(LABELS, 3, 0.5), LABELS).splitlines()
    assert header.split("  ") == ["node", "samples", *(f"class {k}" for k in range(10))]
    assert len(rows) == 3
    assert {len(row) for row in rows} == {len(header)}
    assert last == "0 of 1000 samples unused"
