"""Laws of partitions: who holds what, how skewed it is, what is left over, what is refused."""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

from jaxdec import networks, plotting, problems, run, sweep
from jaxdec.algorithms import DSGD
from jaxdec.data import (
    Dataset,
    Partition,
    classes_per_node,
    clusters,
    dataset,
    describe,
    digits,
    dirichlet,
    explicit,
    from_lists,
    iid,
    label_counts,
    main_class,
    quantity,
    rebalanced,
    shards,
    stackable,
    statistics,
    synthetic_regression,
    tsne_clusters,
)

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 100))
REGRESSION = synthetic_regression(20, features=3)


def held(partition: Partition) -> np.ndarray:
    return np.concatenate([partition.node(i) for i in range(partition.n)])


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: iid(LABELS, 7, seed),
        lambda seed: dirichlet(LABELS, 7, 0.3, seed),
        lambda seed: dirichlet(LABELS, 7, 100.0, seed, min_samples=20),
        lambda seed: dirichlet(LABELS, 1, 0.01, seed),
        lambda seed: classes_per_node(LABELS, 7, 2, seed, equal=False),
        lambda seed: shards(LABELS, 7, 3, seed),
        lambda seed: main_class(LABELS, 10, 0.55, seed),
        lambda seed: quantity(LABELS, 7, 0.3, seed),
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


@pytest.mark.parametrize(
    "make",
    [
        iid,
        lambda data, n, seed: dirichlet(data, n, 0.5, seed),
        lambda data, n, seed: classes_per_node(data, n, 2, seed),
        lambda data, n, seed: shards(data, n, seed=seed),
        lambda data, n, seed: main_class(data, n, 0.5, seed),
        lambda data, n, seed: quantity(data, n, 0.5, seed),
    ],
)
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
        (dict(data=LABELS, n=0), "n is an integer of at least 1; got 0"),
        (dict(data=LABELS, n=2.0), "n is an integer of at least 1; got 2.0"),
        (dict(data=LABELS, n=1001), "n=1001 nodes cannot each hold one of 1000 samples; use at most 1000 nodes"),
        (dict(data=LABELS, n=5, min_samples=-1), "min_samples is an integer of at least 0; got -1"),
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
        (LABELS, 0, "n is an integer of at least 1; got 0"),
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
    with pytest.raises(ValueError, match="total is an integer of at least 1; got 0"):
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
        ([0, 1], None, "the partition is one of 3 samples, but the data has 2;"),
        ([0.0, 1.0, 2.0], None, "array of integers"),
        ([0, 1, 2], 0, "classes is an integer of at least 1; got 0"),
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


# --- classes per node, shards, main classes ---------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "k"), [(5, 2), (8, 2), (8, 4), (8, 10), (3, 7), (40, 1)])
@pytest.mark.parametrize("equal", [True, False])
def test_nodes_hold_k_classes_and_every_class_is_held(n, k, equal):
    for seed in range(5):
        partition = classes_per_node(LABELS, n, k, seed, equal=equal)
        table = label_counts(partition, LABELS)
        assert np.all(np.count_nonzero(table, axis=1) == k)
        assert np.all(table.any(axis=0))
        owners = np.count_nonzero(table, axis=0)
        assert np.ptp(owners) <= 1
        assert len(set(held(partition))) == partition.counts.sum()
        if equal:
            assert np.ptp(partition.counts) == 0
            assert partition.unused(1000) == 1000 - partition.counts.sum()
            smallest = np.sum(100 // owners * (table > 0), axis=1).min()  # a node's share before it is cut
            assert partition.counts[0] == smallest
        else:
            assert np.array_equal(table.sum(axis=0), np.full(10, 100))
            assert all(np.ptp(column[column > 0]) <= 1 for column in table.T)


def test_given_label_sets_are_those_of_the_nodes():
    # The sets of Momentum Tracking's 8 nodes, 2 classes each, of its first seed.
    owned = [[6, 9], [0, 4], [8, 7], [6, 4], [1, 2], [3, 5], [0, 1], [2, 3]]
    partition = classes_per_node(LABELS, 8, 2, owned=owned)
    table = label_counts(partition, LABELS)
    assert [set(np.flatnonzero(row)) for row in table] == [set(own) for own in owned]
    assert partition.counts.tolist() == [100] * 8  # of a label that two nodes own, each has 50
    left_out = classes_per_node(LABELS, 2, 2, owned=[[0, 1], [1, 2]], equal=False)
    assert label_counts(left_out, LABELS).tolist()[0] == [100, 50, *[0] * 8]
    assert left_out.unused(1000) == 700


def test_shards_are_runs_of_the_sorted_labels():
    partition = shards(LABELS, 20, per_node=2)
    table = label_counts(partition, LABELS)
    assert np.all(partition.counts == 50)
    assert np.all(np.count_nonzero(table, axis=1) <= 2)
    assert set(table[table > 0]) <= {25, 50}
    uneven = shards(LABELS[:997], 6, per_node=1)
    assert sorted(set(uneven.counts.tolist())) == [166, 167]


@pytest.mark.parametrize(("n", "share"), [(10, 0.3), (10, 0.7), (20, 0.5), (7, 0.5), (10, 1.0), (10, 0.1)])
def test_a_main_class_has_its_share_and_the_others_equal_parts(n, share):
    partition = main_class(LABELS, n, share)
    table, size = label_counts(partition, LABELS), partition.counts[0]
    assert np.all(partition.counts == size)
    main = np.arange(n) % 10
    assert np.array_equal(table[np.arange(n), main], np.full(n, round(share * size)))
    others = np.array([np.delete(row, c) for row, c in zip(table, main, strict=True)])
    assert np.all(np.ptp(others, axis=1) <= 1)
    if n % 10 == 0:
        assert partition.unused(1000) <= 10 * 10
    else:  # no larger node of such a mix could be had
        assert size * (share + (n - 1) * (1 - share) / 9) > 95


def test_main_classes_of_unequal_sizes_leave_a_remainder_that_is_said():
    labels = np.repeat([0, 1, 2], [50, 100, 200])
    partition = main_class(labels, 3, 0.5)
    assert partition.unused(350) == 350 - partition.counts.sum() > 0
    assert label_counts(partition, labels).sum(axis=0).max() <= 50 + 2


def test_quantity_skew_changes_sizes_and_not_mixes():
    sizes = [np.std(quantity(LABELS, 10, alpha).counts) for alpha in (0.1, 1.0, 10.0, 1e6)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 1
    assert quantity(LABELS, 10, 0.01, min_samples=30).counts.min() >= 30
    many = np.repeat(np.arange(10), 2000)
    found = statistics(quantity(many, 4, 2.0), many)
    assert found.divergence < 0.05
    assert found.largest > 1.2 * found.smallest


# --- clusters ---------------------------------------------------------------------------------------------------------


def test_rebalancing_ends_within_the_ratio_and_loses_nothing():
    rng = np.random.default_rng(0)
    for _ in range(30):
        cuts = np.sort(rng.integers(0, 1000, size=9))
        parts = np.split(rng.permutation(1000), cuts)
        for ratio in (2, 3.5, 10):
            found = rebalanced(parts, ratio)
            sizes = [len(part) for part in found]
            assert max(sizes) <= ratio * min(sizes)
            assert np.array_equal(np.sort(np.concatenate(found)), np.arange(1000))


def test_clusters_are_kept_as_given_unless_they_are_uneven():
    labels = np.array([0, 2, 1, 1, 0, 2, 2])
    assert [clusters(labels).node(i).tolist() for i in range(3)] == [[0, 4], [2, 3], [1, 5, 6]]
    uneven = np.repeat([0, 1], [1, 40])
    assert clusters(uneven).counts.tolist() == [21, 20]
    assert clusters(uneven, ratio=None).counts.tolist() == [1, 40]
    assert clusters([0, 2, 2]).unused(3) == 0  # the empty cluster 1 gets its share
    with pytest.raises(ValueError, match="node 1 has no sample"):
        clusters([0, 2, 2], ratio=None)


def test_clusters_are_found_by_tsne_and_a_mixture():
    rng = np.random.default_rng(0)
    inputs = np.concatenate([rng.normal(size=(20, 4)) + 20 * k for k in range(3)])
    task = dataset(inputs, np.repeat([0, 1, 0], 20))
    found = tsne_clusters(task, 3, seed=1, perplexity=5)
    assert len({tuple(found[20 * k : 20 * k + 20]) for k in range(3)}) == 3
    assert all(len(set(found[20 * k : 20 * k + 20])) == 1 for k in range(3))
    assert clusters(found).counts.tolist() == [20, 20, 20]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: classes_per_node(LABELS, 8, 11), "k=11 classes per node, but there are only 10"),
        (lambda: classes_per_node(LABELS, 4, 2), "4 nodes of k=2 classes own at most 8 of the 10 classes"),
        (lambda: classes_per_node(LABELS, 8, 0), "k is an integer of at least 1"),
        (lambda: classes_per_node([0, 0, 0, 0, 1], 4, 2), "class 1 has 1 samples for the 4 nodes that own it"),
        (lambda: classes_per_node(LABELS, 2, 2, owned=[[0, 1], [1, 1]]), "owned must be n=2 lists of k=2 different"),
        (lambda: classes_per_node(LABELS, 1, 2, owned=[[0, 10]]), r"owned names the classes \[10\]"),
        (lambda: classes_per_node(REGRESSION, 2, 2), "is a regression set and has no labels"),
        (lambda: shards(LABELS, 10, per_node=101), "10 nodes of 101 shards need 1010 samples"),
        (lambda: shards(LABELS, 10, per_node=0), "per_node is an integer of at least 1"),
        (lambda: main_class(LABELS, 10, 1.1), r"share is a fraction in \[0, 1\], got 1.1"),
        (lambda: main_class([0, 0, 0], 2, 0.5), "at least two classes; all labels are 0"),
        (lambda: main_class(np.repeat([0, 1], [9, 1]), 5, 0.5), "the smallest class has 1 samples, too few for n=5"),
        (lambda: quantity(LABELS, 4, 0.0), "alpha must be a finite positive number, got 0.0"),
        (lambda: quantity(LABELS, 4, 1.0, min_samples=251), "4 nodes of at least 251 samples need 1004"),
        (lambda: rebalanced([np.arange(3), np.arange(9)], 1.5), "ratio is at least 2, got 1.5"),
        (lambda: clusters([0.0, 1.0]), r"clusters 0, 1, ..., got shape \(2,\) float64"),
        (lambda: clusters([0, -1]), r"got shape \(2,\) int64 with -1"),
        (lambda: tsne_clusters(REGRESSION, 21), "n=21 clusters of 20 samples"),
        (lambda: tsne_clusters(REGRESSION, 2), "perplexity is positive and below the number of samples, 20; got 30.0"),
    ],
)
def test_what_cannot_be_split_so_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- sweeps, statistics, picture --------------------------------------------------------------------------------------


def test_stackable_tables_are_equally_wide_and_hold_the_same():
    parts = [dirichlet(LABELS, 5, alpha) for alpha in (0.1, 1.0, 10.0)]
    wide = stackable(parts)
    assert len({p.indices.shape for p in wide}) == 1
    for before, after in zip(parts, wide, strict=True):
        assert all(np.array_equal(before.node(i), after.node(i)) for i in range(5))
        assert np.all(np.isin(after.indices, np.arange(1000)))
        assert after.unused(1000) == 0
    with pytest.raises(ValueError, match=r"partitions over \[5, 6\] nodes do not stack"):
        stackable([iid(LABELS, 5), iid(LABELS, 6)])
    with pytest.raises(ValueError, match="a node holds 200 samples, which do not fit in a table of 199"):
        iid(LABELS, 5).padded(199)


ALPHAS = (0.1, 0.3, 1.0, 3.0, 10.0)


def cells():
    """Softmax regression on digits, 8 nodes, for each alpha."""
    task = digits()
    parts = stackable([dirichlet(task, 8, alpha) for alpha in ALPHAS])
    first = problems.softmax(task, parts[0], batch_size=16)
    return {alpha: first.with_partition(part) for alpha, part in zip(ALPHAS, parts, strict=True)}


def test_a_sweep_over_alpha_batches_index_tables_and_never_the_data():
    members = list(cells().values())
    columns = list(zip(*map(jax.tree.leaves, members), strict=True))
    differ = [any(leaf is not column[0] for leaf in column) for column in columns]
    structure = jax.tree.structure(members[0])

    def descent(leaves, key):
        problem = jax.tree.unflatten(structure, leaves)
        step = lambda x, i: (x - 0.1 * problem.grad(x, problem.sample(key, i)), None)
        x = jax.lax.scan(step, jnp.zeros((problem.n, problem.d)), jnp.arange(50))[0]
        return problem.objective(jnp.mean(x, axis=0))

    def memory(count):
        leaves = [np.stack(c[:count]) if d else c[0] for c, d in zip(columns, differ, strict=True)]
        program = jax.jit(jax.vmap(descent, in_axes=([0 if d else None for d in differ], None)))
        found = program.lower(leaves, jax.random.key(0)).compile().memory_analysis()
        return found.argument_size_in_bytes, found.temp_size_in_bytes

    two, table = memory(2), members[0].indices.nbytes + members[0].counts.nbytes
    five = memory(5)
    assert five[0] - two[0] == 3 * table
    assert table < members[0].inputs.nbytes / 30
    assert (five[1] - two[1]) / 3 < members[0].inputs.nbytes / 2  # nor are they copied inside: it is minibatches


def test_cells_of_a_sweep_over_alpha_are_the_single_runs():
    members, options = cells(), {"rounds": 10, "every": 10}
    result = sweep(DSGD(lr=0.1), {str(a): members[a] for a in ALPHAS[:2]}, networks.ring(8), seeds=[0], **options)
    for alpha in ALPHAS[:2]:
        alone = run(
            DSGD(lr=0.1),
            problems.softmax(digits(), dirichlet(digits(), 8, alpha), batch_size=16),
            networks.ring(8),
            **options,
        )
        np.testing.assert_allclose(result["loss"].sel(problem=str(alpha)).squeeze(), alone.metrics["loss"], rtol=1e-12)


def test_a_problem_refuses_a_partition_of_other_data_and_forgets_its_minimizer():
    problem = problems.least_squares(REGRESSION, iid(REGRESSION, 2), l2=1.0)
    solved = problems.solve(problem)
    assert solved.minimizer is not None
    assert solved.with_partition(quantity(REGRESSION, 2, 0.5)).minimizer is None
    with pytest.raises(ValueError, match="the partition is one of 1000 samples, but the problem has 20;"):
        problem.with_partition(iid(LABELS, 2))


def test_statistics_measure_classes_sizes_and_divergence():
    same = statistics(main_class(LABELS, 10, 0.1), LABELS)
    assert (same.classes, same.divergence, same.unused) == (10, 0, 0)
    alone = statistics(from_lists([np.flatnonzero(k == LABELS) for k in range(9)], 1000), LABELS)
    assert (alone.nodes, alone.used, alone.unused, alone.classes) == (9, 900, 100, 1)
    assert alone.divergence == pytest.approx(8 / 9)  # from a mix of 9


def test_the_picture_has_a_disc_for_each_class_of_each_node():
    partition = classes_per_node(LABELS, 8, 2)
    ax = plotting.partition(partition, LABELS)
    (discs,) = ax.collections
    table = label_counts(partition, LABELS)
    assert {(int(i), int(c)) for i, c in discs.get_offsets()} == set(zip(*map(tuple, np.nonzero(table)), strict=True))
    assert np.allclose(discs.get_sizes() / discs.get_sizes().max(), table[table > 0] / table.max())
    plt.close(ax.figure)
