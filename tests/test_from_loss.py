"""Problems of a function of one's own, and what the base of all problems gives."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec import algorithms as A
from jaxdec import data, metrics, module, networks, problems, run, sweep, theory
from jaxdec._module import cast, static

pytestmark = pytest.mark.sampled(12)

CLOSE = {"rtol": 0, "atol": 1e-12}
rng = np.random.default_rng(0)
LINE = data.synthetic_regression(60, 5, noise=0.3, seed=1)
PARTITION = data.iid(LINE, n=4)


@pytest.fixture(autouse=True)
def ranks_are_not_promoted():
    with jax.numpy_rank_promotion("raise"):
        yield


def squared(x, sample):
    a, y = sample
    return (a @ x - y) ** 2 / 2


def squared_of_a_tree(parameters, sample):
    a, y = sample
    return (a @ parameters["w"] + parameters["b"] - y) ** 2 / 2


LIBRARY = problems.least_squares(LINE, PARTITION, batch_size=3, bias=False, l2=0.1, sampling="epochs")
OWN = {"batch_size": 3, "l2": 0.1, "sampling": "epochs"}


def same(p, q):
    """Both have equal losses, derivatives and minibatches, and are equal in a run."""
    x, v = (jnp.asarray(rng.standard_normal((p.n, p.d))) for _ in range(2))
    key = jax.random.key(0)

    @jax.jit
    def everything(p):
        with jax.numpy_rank_promotion("allow"):  # which drawing epochs relies on
            batch = p.sample(key, 2)
        derivatives = p.grad(x, batch), p.hvp(x, v, batch), p.grad(x), p.objective(x[0])
        return batch, p.loss(x, batch), p.loss(x), derivatives, p.batch_size, p.init(key)

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), everything(p), everything(q))
    assert (p.n, p.d, p.blocks) == (q.n, q.d, q.blocks)


def test_a_function_of_a_vector_makes_the_problem_that_the_library_has():
    same(problems.from_loss(squared, LINE, PARTITION, init=np.zeros(5), **OWN), LIBRARY)
    same(problems.from_loss(squared, (LINE.inputs, LINE.targets), PARTITION, init=np.zeros(5), **OWN), LIBRARY)


def test_arrays_that_are_split_already_need_no_partition():
    index = PARTITION.indices
    assert np.all(PARTITION.counts == index.shape[1])
    split = problems.from_loss(squared, (LINE.inputs[index], LINE.targets[index]), init=np.zeros(5), **OWN)
    same(split, LIBRARY)


def test_parameters_may_be_nested_and_are_the_tensors_of_the_vector():
    ones = np.hstack([np.ones((60, 1)), LINE.inputs])  # leaves in the order of their names: b, w
    library = problems.least_squares(data.dataset(ones, LINE.targets), PARTITION, bias=False)
    init = {"w": np.zeros(5), "b": 0.0}
    own = problems.from_loss(squared_of_a_tree, LINE, PARTITION, init=init)
    x = jnp.asarray(rng.standard_normal((4, 6)))
    np.testing.assert_allclose(own.grad(x), library.grad(x), **CLOSE)
    assert own.shapes == ((), (5,))
    assert own.blocks == (1, 5)
    np.testing.assert_array_equal(own.model.parameters(x[0])["w"], x[0, 1:])


def test_the_start_is_what_was_given_or_drawn():
    given = problems.from_loss(squared, LINE, PARTITION, init=np.arange(5))
    np.testing.assert_array_equal(given.init(jax.random.key(0)), np.arange(5.0))
    drawn = problems.from_loss(squared, LINE, PARTITION, init=lambda key: jax.random.normal(key, (5,)))
    np.testing.assert_array_equal(drawn.init(jax.random.key(3)), jax.random.normal(jax.random.key(3), (5,)))
    assert cast(drawn, jnp.float32).init(jax.random.key(3)).dtype == jnp.float32


def test_it_can_be_solved_swept_and_tested_and_functions_share_programs():
    own = problems.from_loss(
        squared, (LINE.inputs, LINE.targets), PARTITION, init=np.zeros(5), l2=0.1, test=(LINE.inputs, LINE.targets)
    )
    solved = problems.solve(own)
    np.testing.assert_allclose(solved.minimizer, problems.solve(LIBRARY).minimizer, rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match=r"solved for l2=0.1, and l2=0.2 has.*solve then"):
        sweep(A.DSGD(lr=0.1), solved, networks.ring(4), over={"problem.l2": [0.1, 0.2]}, rounds=4, seeds=1)
    each = {"mine": solved, "again": problems.solve(dataclasses.replace(own, l2=0.2))}
    found = sweep(A.DSGD(lr=0.1), each, networks.ring(4), rounds=4, seeds=1)
    assert found.attrs["programs"] == 1
    assert {"suboptimality", "distance", "test_loss"} <= set(found)
    x = solved.minimizer
    np.testing.assert_allclose(solved.test(x)["test_loss"], np.mean((LINE.inputs @ x - LINE.targets) ** 2) / 2, **CLOSE)


@pytest.mark.parametrize(
    ("loss", "arrays", "given", "message"),
    [
        (
            lambda x, s: s[0] * x,
            (LINE.inputs, LINE.targets),
            {"partition": PARTITION},
            r"real number; got float64\[5\]",
        ),
        (lambda x, s: None, LINE, {"partition": PARTITION}, "real number; got None"),
        (squared, LINE, {}, "say who holds what of"),
        (squared, LINE, {"partition": PARTITION, "test": 1}, "leave test=None"),
        (squared, (LINE.inputs, LINE.targets), {}, "Give a partition if they are not split yet"),
        (squared, (LINE.inputs, LINE.targets[:9]), {"partition": PARTITION}, r"N samples alike; got .*\(9,\), \(60,\)"),
        (
            squared,
            (LINE.inputs[:9], LINE.targets[:9]),
            {"partition": PARTITION},
            "one of [0-9]+ samples, but data has 9;",
        ),
        (
            squared,
            (LINE.inputs, LINE.targets),
            {"partition": PARTITION, "test": (LINE.inputs[:, :2], LINE.targets)},
            "samples of the test",
        ),
        (squared, LINE, {"partition": PARTITION, "init": {}}, "nothing to optimize"),
    ],
)
def test_what_does_not_fit_is_refused(loss, arrays, given, message):
    with pytest.raises(ValueError, match=message):
        problems.from_loss(loss, arrays, **{"init": np.zeros(5), **given})


# The base.


@module
class Distance(problems.Problem):
    """f_i(x) = ‖x - b_i‖²/2 in as few lines as it takes; a size and a fact as fields."""

    b: Any
    mu: float
    n: int = static()
    d: int = static()

    def sample(self, key_data, i):
        return jax.random.normal(jax.random.fold_in(key_data, i), (self.n, self.d))

    def loss(self, x, batch=None):
        target = self.b if batch is None else self.b + batch
        return jnp.sum((x - target) ** 2, axis=1) / 2


DISTANCE = Distance(jnp.asarray(rng.standard_normal((5, 3))), 1.0, 5, 3)


def test_four_things_are_enough_and_facts_may_be_fields():
    x = jnp.asarray(rng.standard_normal((5, 3)))
    batch = DISTANCE.sample(jax.random.key(0), 1)
    np.testing.assert_allclose(DISTANCE.grad(x, batch), x - DISTANCE.b - batch, **CLOSE)
    np.testing.assert_allclose(DISTANCE.hvp(x, jnp.cos(x)), jnp.cos(x), **CLOSE)
    np.testing.assert_allclose(DISTANCE.prox(x, 3.0), (x + 3 * DISTANCE.b) / 4, rtol=0, atol=1e-9)
    assert (DISTANCE.shapes, DISTANCE.blocks, DISTANCE.batch_size, DISTANCE.mu) == (((3,),), (3,), 1, 1.0)
    assert (DISTANCE.minimizer, DISTANCE.convex, DISTANCE.L) == (None, None, None)
    result = run(A.GradientTracking(lr=0.1), DISTANCE, networks.ring(5), rounds=5)
    assert set(result.metrics) == {"loss", "grad_norm_sq", "consensus"}
    with pytest.raises(NotImplementedError, match="needs loss"):
        problems.Problem().loss(x)
    with pytest.raises(TypeError, match=r"inherits from problems.Model; got <function .* from_loss"):
        problems.finite_sum(squared, LINE, PARTITION)


def test_some_of_its_nodes_are_rows_of_the_whole():
    x, chosen = jnp.asarray(rng.standard_normal((5, 3))), np.array([3, 1, 4])
    key = jax.random.key(0)
    part, batch = DISTANCE.take(chosen), DISTANCE.sample(key, 2)
    assert (part.n, part.d, part.shapes, part.batch_size) == (3, 3, ((3,),), 1)
    np.testing.assert_allclose(part.loss(x[chosen], part.sample(key, 2)), DISTANCE.loss(x, batch)[chosen], **CLOSE)
    np.testing.assert_allclose(part.grad(x[chosen], part.sample(key, 2)), DISTANCE.grad(x, batch)[chosen], **CLOSE)
    np.testing.assert_allclose(part.hvp(x[chosen], x[chosen]), DISTANCE.hvp(x, x)[chosen], **CLOSE)
    again = part.take(np.array([2, 0]))
    np.testing.assert_allclose(again.grad(x[chosen][np.array([2, 0])]), DISTANCE.grad(x)[np.array([4, 3])], **CLOSE)
    np.testing.assert_array_equal(part.init(key), DISTANCE.init(key))


def test_a_run_has_the_precision_of_the_arrays_of_its_problem():
    for p in (DISTANCE, problems.quadratic(5, 3, noise=np.float64(0.1)), LIBRARY):
        single = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32) if np.ndim(a) and a.dtype == float else a, p)
        assert p.init(jax.random.key(0)).dtype == jnp.float64
        assert single.init(jax.random.key(0)).dtype == jnp.float32
        assert single.take(np.array([0])).init(jax.random.key(0)).dtype == jnp.float32
        with jax.numpy_rank_promotion("allow"):
            assert run(A.DSGD(lr=0.1), single, networks.ring(p.n), rounds=1).state.x.dtype == jnp.float32


# Facts.


def test_models_say_what_is_known_of_them():
    cancer, digits = data.breast_cancer(), data.digits()
    softmax = problems.softmax(digits, data.iid(digits, n=2))
    logistic = problems.logistic(cancer, data.iid(cancer, n=2), l2=0.1)
    assert (softmax.shapes, softmax.blocks) == (((65, 10),), (650,))
    assert logistic.shapes == ((31,),)
    assert [p.convex for p in (softmax, logistic, LIBRARY)] == [True] * 3
    bent = problems.logistic(cancer, data.iid(cancer, n=2), nonconvex=0.1)
    assert bent.convex is False
    assert problems.logistic(cancer, data.iid(cancer, n=2), nonconvex=0.0).convex is True
    own = problems.from_loss(squared, LINE, PARTITION, init=np.zeros(5))
    assert own.convex is None
    assert own.curvature() is None
    L, mu = logistic.curvature()
    assert tuple(theory.constants(logistic, np.zeros(31)))[:2] == (L, mu)
    assert mu == 0.1


def test_quadratics_are_convex_where_the_mean_has_no_negative_eigenvalue():
    A1 = np.diag([1.0, 2.0])
    of = lambda *A: problems.Quadratic(np.stack(A), np.zeros((len(A), 2)))
    low_rank = np.outer([1.0, 2.0], [1.0, 2.0]) / 3
    assert of(A1, -0.5 * A1).convex is True
    assert of(low_rank, low_rank).convex is True
    assert of(A1, -1.5 * A1).convex is False
    assert problems.Quadratic(np.array([[1.0, -1.0]]), np.zeros((1, 2))).convex is False


# Suboptimality.


@pytest.mark.slow
def test_suboptimality_is_shown_where_the_minimum_is_known_and_not_otherwise():
    with jax.numpy_rank_promotion("allow"):
        for p, there in ((problems.solve(LIBRARY), True), (LIBRARY, False), (problems.quadratic(4, 5), True)):
            alone = run(A.DSGD(lr=0.1), p, networks.ring(4), rounds=2).metrics
            swept = sweep(A.DSGD(lr=0.1), p, networks.ring(4), over={"lr": [0.1, 0.2]}, rounds=2, seeds=1)
            assert ("suboptimality" in alone) == there == ("suboptimality" in swept)
            named = run(A.DSGD(lr=0.1), p, networks.ring(4), rounds=2, metrics=["suboptimality", "loss"]).metrics
            assert set(named) == ({"suboptimality", "loss"} if there else {"loss"})
            if there:
                np.testing.assert_allclose(alone["suboptimality"], alone["loss"] - p.minimum, **CLOSE)
                np.testing.assert_allclose(swept["suboptimality"][0, 0], alone["suboptimality"], **CLOSE)


def test_suboptimality_in_single_precision_is_true_far_below_the_precision_of_the_loss():
    digits = data.digits()
    exact = problems.solve(problems.softmax(digits, data.dirichlet(digits, n=8, alpha=0.3, seed=0), l2=1e-3))
    single = cast(exact, jnp.float32)
    away = rng.standard_normal(exact.d) / exact.d**0.5
    state = lambda x: type("State", (), {"x": x[None]})
    of = jax.jit(lambda p, x: metrics.suboptimality(p, state(x)))
    for r in (10.0, 1.0, 0.1, 1e-2, 1e-3, 1e-4):  # from 1 down to 1e-10, where the loss is 0.2
        x = jnp.asarray(exact.minimizer + r * away, jnp.float32)
        truth = float(of(exact, jnp.asarray(x, jnp.float64)))
        assert float(of(single, x)) == pytest.approx(truth, rel=5e-3)
        if r >= 1e-2:
            assert truth == pytest.approx(float(exact.objective(jnp.asarray(x, float)) - exact.minimum), rel=1e-7)
