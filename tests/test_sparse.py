"""Sparse inputs: the same problems as dense ones, for the price of their entries."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from jaxdec import checks, data, networks, problems, run
from jaxdec.algorithms import DSGD
from jaxdec.problems.rows import Rows

pytestmark = pytest.mark.sampled(12)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 9)) * (RNG.random((60, 9)) < 0.3)
Y = RNG.permutation(np.arange(60) % 2)
SETS = {
    "logistic": (problems.logistic, Y, 2),
    "softmax": (problems.softmax, np.arange(60) % 3, 3),
    "least squares": (problems.least_squares, RNG.normal(size=60), None),
}


def pair(name, **options):
    """The problem of sparse inputs, and that of dense ones."""
    make, targets, classes = SETS[name]
    held_out = {"test_targets": targets[:7], "classes": classes}
    both = [data.dataset(form(X), targets, test_inputs=form(X[:7]), **held_out) for form in (sp.csr_matrix, np.asarray)]
    rows = RNG.permutation(60)
    partition = data.from_lists([rows[:50], rows[50:51], rows[51:], []], 60, allow_empty=True)
    return [make(task, partition, l2=0.1, **options) for task in both]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", SETS)
@pytest.mark.thinned(3)
def test_sparse_problems_are_the_dense_ones(name, bias):
    sparse, dense = pair(name, bias=bias, batch_size=3)
    assert isinstance(sparse.inputs, Rows)
    assert not isinstance(dense.inputs, Rows)
    x, v = (jnp.asarray(RNG.normal(size=(4, dense.d))) for _ in range(2))
    batch = dense.sample(jax.random.key(0), 1)
    everything = jax.jit(
        lambda p: (
            *(p.loss(x, b) for b in (None, batch)),
            *(p.grad(x, b) for b in (None, batch)),
            p.hvp(x, v),
            p.objective(x[0]),
            p.test(x[0]),
            p.prox(x, 0.3),
        )
    )
    for ours, theirs in zip(*(jax.tree.leaves(everything(p)) for p in (sparse, dense)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-9)
    assert sparse.dtype == dense.dtype
    (L, mu), (expected, least) = sparse.curvature(), dense.curvature()
    np.testing.assert_allclose(L, expected, rtol=1e-9)
    assert 0.1 - 1e-12 <= mu <= least + 1e-12


def test_a_sparse_problem_is_solved_and_run():
    sparse, dense = (problems.solve(p) for p in pair("logistic"))
    np.testing.assert_allclose(sparse.minimizer, dense.minimizer, atol=1e-8)
    options = {"rounds": 6, "every": 6, "metrics": ["loss", "distance"]}
    ours, theirs = (run(DSGD(lr=0.1), p, networks.ring(4), **options).metrics for p in (sparse, dense))
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-7)


def test_a_gradient_of_many_features_takes_the_memory_of_the_entries():
    n, features = 2000, 47_236
    inputs = sp.random(n, features, density=70 / features, format="csr", rng=np.random.default_rng(0))
    task = data.dataset(inputs, np.arange(n) % 2)
    problem = problems.logistic(task, data.iid(task, 4), batch_size=16)
    x = jnp.zeros((4, problem.d))
    program = jax.jit(lambda p, x: p.grad(x)).lower(problem, x).compile()
    assert program.memory_analysis().temp_size_in_bytes < n * features * 8 / 50
    assert problem.d == features + 1


def write(path, n, d):
    lines = [f"{(-1) ** i} {i + 1}:1 {d}:{i}" for i in range(n)]
    path.write_text("\n".join(lines))
    return path


def test_a_file_of_many_features_stays_sparse_and_others_are_dense(tmp_path, monkeypatch):
    small, large = write(tmp_path / "small", 5, 9), write(tmp_path / "large", 50, 10**7)
    assert isinstance(data.libsvm(small).inputs, np.ndarray)
    found = data.libsvm(large)
    assert sp.issparse(found.inputs)
    assert found.inputs.shape == (50, 10**7)
    sparse = data.libsvm(small, sparse=True)
    np.testing.assert_array_equal(sparse.inputs.toarray(), data.libsvm(small).inputs)
    monkeypatch.setattr(checks.room, "machine", lambda: 10**9)
    with pytest.raises(ValueError, match=r"large as dense inputs of 50 samples by 10{7} features, 100 of them not 0,"):
        data.libsvm(large, sparse=False)


def test_sparse_sets_are_cut_as_dense_ones_and_refused_where_they_have_no_use():
    task = data.dataset(sp.csr_array(X), Y)
    np.testing.assert_array_equal(data.subset(task, [5, 2]).inputs.toarray(), X[[5, 2]])
    assert data.take(task, 10).inputs.shape == (10, 9)
    assert data.split(task, 0.2)[1].test_inputs.shape == (12, 9)
    assert data.binary(task, 1).classes == 2
    parts = data.iid(task, 2)
    for use in (
        lambda: problems.neural(None, task, parts),
        lambda: problems.from_loss(lambda x, s: x @ s[0], task, parts, init=np.zeros(9)),
        lambda: data.tsne_clusters(task, 2),
    ):
        with pytest.raises(ValueError, match="takes dense inputs, and those of custom are sparse: use least_squares"):
            use()
    broken = dataclasses.replace(task, inputs=task.inputs * np.inf).inputs
    with pytest.raises(ValueError, match=r"inputs hold \d+ NaN or infinite values, the first at index \[\d+, \d+\]"):
        data.dataset(broken, Y)
    with pytest.raises(ValueError, match="inputs hold 60 samples and targets 59"):
        data.dataset(sp.csr_array(X), Y[:59])
