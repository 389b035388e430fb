"""Nodes of very unequal shares, and nodes without data: what is computed is what the definition says, for its price."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec import algorithms, data, networks, problems, run, sweep
from jaxdec.problems.pieces import pieces

pytestmark = pytest.mark.sampled(12)

CLOSE = {"rtol": 1e-10, "atol": 1e-12}
MAKERS = {"logistic": problems.logistic, "least squares": problems.least_squares, "softmax": problems.softmax}


def samples(total: int) -> data.Dataset:
    rng = np.random.default_rng(0)
    return data.dataset(rng.normal(size=(total, 3)), rng.permutation(np.arange(total) % 2))


def split(counts) -> data.Partition:
    order = np.random.default_rng(1).permutation(sum(counts) + 1)
    return data.from_lists(np.split(order, np.cumsum(counts))[:-1], sum(counts) + 1, allow_empty=True)


COUNTS = st.lists(st.integers(0, 40), min_size=1, max_size=7).filter(any)
CUTS = st.lists(st.integers(0, 40), min_size=4, max_size=4)  # of 40 samples into 5 shares
TASK = samples(41)


@jax.jit
def everything(problem, x, v):
    """What is computed from all samples; the arguments' shapes are those of one program."""
    prox = problem.prox(x, 0.5) if problem.model.quadratic else x
    return problem.loss(x), problem.grad(x), problem.hvp(x, v), prox, problem.objective(x[0])


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.thinned(3)
def test_exact_losses_and_derivatives_in_pieces_are_those_of_the_table(name):
    @settings(max_examples=20, deadline=None)
    @given(cuts=CUTS)
    def holds(cuts):
        partition = split(np.diff([0, *sorted(cuts), 40])).padded(40)
        problem = MAKERS[name](TASK, partition, l2=0.1)
        assert problem.pieces is not None
        rng = np.random.default_rng(2)
        x, v = (jnp.asarray(rng.normal(size=(problem.n, problem.d))) for _ in range(2))
        found = everything(problem, x, v)
        for ours, theirs in zip(found, everything(dataclasses.replace(problem, pieces=None), x, v), strict=True):
            np.testing.assert_allclose(ours, theirs, **CLOSE)
        for i in np.flatnonzero(partition.counts == 0):  # the regularizer alone
            np.testing.assert_allclose(found[0][i], 0.05 * jnp.sum(x[i] ** 2), **CLOSE)
            np.testing.assert_allclose(found[1][i], 0.1 * x[i], **CLOSE)

    holds()


@settings(max_examples=60, deadline=None)
@given(counts=COUNTS)
def test_pieces_hold_every_sample_once_and_have_a_shape_that_no_share_changes(counts):
    made = pieces(split(counts))
    n, total = len(counts), sum(counts)
    if made is None:
        return
    size = -(-total // n)
    assert made.indices.shape == (n + total // size, size)
    weights = np.asarray(made.shares(jnp.asarray(counts), jnp.float32))
    held = np.asarray(made.indices)[weights > 0]
    assert sorted(held) == sorted(split(counts).held)
    assert np.all(np.diff(made.owners) >= 0)


def test_even_shares_are_summed_as_they_were_and_uneven_ones_take_memory_for_their_samples():
    task = samples(2000)
    even = problems.logistic(task, data.iid(task, 20))
    assert even.pieces is None
    uneven = problems.logistic(task, data.from_lists([*([i] for i in range(19)), np.arange(19, 2000)], 2000))
    x = jnp.ones((20, uneven.d))
    memory = lambda p: jax.jit(lambda p, x: p.grad(x)).lower(p, x).compile().memory_analysis().temp_size_in_bytes
    data_size = uneven.inputs.nbytes
    assert memory(uneven) < 4 * data_size
    assert memory(dataclasses.replace(uneven, pieces=None)) > 15 * data_size


def test_a_sweep_over_uneven_partitions_is_the_single_runs():
    task, rows = samples(300), np.random.default_rng(0).permutation(300)
    parts = [data.from_lists(np.split(rows, cuts), 300) for cuts in (np.arange(1, 8), np.arange(293, 300))]
    first = problems.logistic(task, data.stackable(parts)[0], l2=0.1)
    members = {str(k): first.with_partition(part) for k, part in enumerate(data.stackable(parts))}
    assert all(member.pieces is not None for member in members.values())
    options = {"rounds": 5, "every": 5}
    found = sweep(algorithms.DSGD(lr=0.1), members, networks.ring(8), seeds=[0], **options)
    for k, part in enumerate(parts):
        alone = run(algorithms.DSGD(lr=0.1), first.with_partition(part), networks.ring(8), **options)
        np.testing.assert_allclose(found["loss"].sel(problem=str(k)).squeeze(), alone.metrics["loss"], rtol=1e-12)


@pytest.mark.parametrize("sampling", ["replacement", "subset", "epochs"])
@pytest.mark.thinned(3)
def test_a_node_without_data_draws_nothing_costs_nothing_and_has_the_regularizer_alone(sampling):
    task = samples(31)
    partition = data.from_lists([np.arange(10), [], np.arange(10, 31)], 31, allow_empty=True)
    problem = problems.logistic(task, partition, batch_size=4, l2=0.5, sampling=sampling)
    problem.check()
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, problem.d)))
    batch = problem.sample(jax.random.key(0), 5)
    np.testing.assert_allclose(problem.grad(x, batch)[1], 0.5 * x[1], **CLOSE)
    assert np.all(np.isfinite(problem.grad(x, batch)))
    assert np.all(np.asarray(batch) >= 0)
    assert problem.batch_size.tolist() == [4, 0, 4]
    variance = problem.variance(x)
    assert variance is None or np.isfinite(variance)
    draws = jax.vmap(lambda i: problem.sample(jax.random.key(0), i))(jnp.arange(200))
    assert [len(np.unique(draws[:, i])) for i in (0, 2)] == [10, 21]
    with pytest.raises(ValueError, match="node 1 has no data"):
        dataclasses.replace(problem, vacant=False).check()


@pytest.mark.parametrize("make", [data.dirichlet, data.quantity])
def test_nodes_may_be_without_data_where_that_is_asked_for(make):
    labels = np.arange(100) % 5
    partition = make(labels, 40, alpha=0.01, min_samples=0)
    assert partition.counts.min() == 0
    assert np.array_equal(np.sort(partition.held), np.arange(100))
    assert make(labels, 200, alpha=1.0, min_samples=0).n == 200
    assert data.statistics(partition, labels).smallest == 0
    assert np.isfinite(data.statistics(partition, labels).divergence)
    assert data.stackable([partition, data.iid(labels, 40)])[0].counts.min() == 0
    assert make(labels, 40, alpha=100.0).counts.min() >= 1


def test_the_advice_for_an_impossible_draw_can_be_followed():
    with pytest.raises(ValueError, match=r"let nodes have no data with min_samples=0"):
        data.dirichlet(np.arange(100) % 5, 40, alpha=0.01)
    with pytest.raises(ValueError, match=r"lower n or min_samples"):
        data.dirichlet(np.arange(100) % 5, 10, alpha=0.01, min_samples=2)


@pytest.mark.parametrize("labels", [[0, 5, 5], [0, 10**9], [3], [7, 7, 7, 7]])
@pytest.mark.parametrize("ratio", [10.0, None])
def test_clusters_that_the_samples_cannot_fill_are_refused_at_once(labels, ratio):
    with pytest.raises(ValueError, match=r"node \d has no sample: labels name the clusters 0\.\.\d+"):
        data.clusters(labels, ratio=ratio)
    with pytest.raises(ValueError, match="3 samples cannot fill 6 parts"):
        data.rebalanced([np.arange(1), *[np.arange(0)] * 4, np.arange(2)])


@settings(max_examples=40, deadline=None)
@given(labels=st.lists(st.integers(0, 12), min_size=1, max_size=30), ratio=st.sampled_from([2.0, 10.0, np.inf]))
def test_clusters_end_and_fill_every_node_or_are_refused(labels, ratio):
    try:
        partition = data.clusters(labels, ratio=ratio)
    except ValueError:
        assert max(labels) + 1 > len(labels)
        return
    assert partition.counts.min() >= 1
    assert np.array_equal(np.sort(partition.held), np.arange(len(labels)))


def test_a_large_node_among_many_costs_what_its_table_does():
    lists = [[50_000 + i] for i in range(999)] + [np.arange(50_000)]
    partition = data.explicit(lists, 60_000)
    assert np.array_equal(partition.indices[3], np.full(50_000, 50_003))
    assert np.array_equal(partition.node(999), np.arange(50_000))


@pytest.mark.parametrize("total", [8, 12])
def test_a_partition_of_other_data_is_refused_shorter_or_longer(total):
    partition, task = data.iid(range(total), 2), samples(10)
    for use in (
        lambda: problems.logistic(task, partition),
        lambda: problems.logistic(task, data.iid(task, 2)).with_partition(partition),
        lambda: problems.from_loss(lambda x, s: jnp.sum(x) * s[1], task, partition, init=np.zeros(1)),
        lambda: problems.from_loss(lambda x, s: jnp.sum(x * s), task.inputs, partition, init=np.zeros(3)),
        lambda: data.label_counts(partition, task),
        lambda: data.statistics(partition.padded(20), task),
    ):
        with pytest.raises(ValueError, match=rf"the partition is one of {total} samples, but .* has 10"):
            use()
