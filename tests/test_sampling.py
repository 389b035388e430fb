"""Laws of minibatches: exact epochs whatever the shares; draws depend on the seed, the node and the index alone."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
from scipy.stats import chisquare

from jaxdec import data, problems
from jaxdec._module import module, static
from jaxdec.problems import augment, sampling

pytestmark = pytest.mark.sampled(12)

COUNTS = jnp.array([1, 2, 3, 5, 7, 16, 50, 90])
KEY = jax.random.key(3)


@jax.jit
def stream(key, nodes, counts, first):
    """Minibatches first, ..., first + 199 of 7 samples each, (200, n, 7)."""
    return jax.vmap(lambda i: sampling.epochs(key, i, nodes, counts, 7))(first + jnp.arange(200))


NODES = jnp.arange(len(COUNTS))
DRAWS = np.asarray(stream(KEY, NODES, COUNTS, 0))


def passes(draws, node):
    """The complete epochs in a node's stream, (epochs, m)."""
    m = int(COUNTS[node])
    flat = draws[:, node].ravel()
    return flat[: len(flat) // m * m].reshape(-1, m)


def test_every_epoch_holds_every_sample_once_whatever_the_share_and_the_batch():
    for node, m in enumerate(COUNTS):
        every = np.sort(passes(DRAWS, node), axis=1)
        np.testing.assert_array_equal(every, np.broadcast_to(np.arange(m), every.shape))


def test_epochs_differ_among_themselves_among_nodes_and_among_seeds():
    other = np.asarray(stream(jax.random.key(4), NODES, COUNTS, 0))
    equal = jnp.full(len(COUNTS), 50)
    twins = np.asarray(stream(KEY, NODES, equal, 0))
    for orders in (passes(DRAWS, 6), np.stack([passes(DRAWS, 6)[0], passes(other, 6)[0]]), twins[:7].reshape(49, 8).T):
        assert len(np.unique(orders, axis=0)) == len(orders)


def test_a_node_draws_the_same_samples_in_any_company_and_in_any_order_of_time():
    some = jnp.array([6, 2, 7, 1, 1, 0, 4, 3])
    np.testing.assert_array_equal(stream(KEY, some, COUNTS[some], 0), DRAWS[:, some])
    np.testing.assert_array_equal(stream(KEY, NODES, COUNTS, 150)[:50], DRAWS[150:])


def test_epochs_stay_exact_where_the_number_of_samples_drawn_overflows():
    # 7 i passes 2^32 in the middle, and m = 3, 5, ... do not divide 2^32.
    first = 2**32 // 7 - 100
    late = np.asarray(stream(KEY, NODES, COUNTS, first))
    for node, m in enumerate(np.asarray(COUNTS)):
        flat = late[:, node].ravel()[-(first * 7) % m :]
        every = np.sort(flat[: len(flat) // m * m].reshape(-1, m), axis=1)
        np.testing.assert_array_equal(every, np.broadcast_to(np.arange(m), every.shape))


@jax.jit
def orders(seed):
    """24000 epochs of 4 nodes of 2, 3, 4 and 5 samples, each padded to 5: (24000, 4, 5)."""
    m = jnp.array([2, 3, 4, 5])[None, :, None]
    words = jax.random.bits(jax.random.key(seed), (2, 24000, 4, 1), jnp.uint32)
    place = jnp.minimum(jnp.arange(5)[None, None], m - 1).astype(jnp.uint32)
    return sampling.shuffled(jnp.broadcast_to(place, (24000, 4, 5)), m.astype(jnp.uint32), *words)


def test_permutations_of_few_samples_are_uniform():
    found = np.asarray(orders(0))
    for node, m in enumerate((2, 3, 4, 5)):
        order, counts = np.unique(found[:, node, :m], axis=0, return_counts=True)
        assert len(order) == [2, 6, 24, 120][node]
        assert chisquare(counts).pvalue > 1e-3


def test_successive_samples_of_an_epoch_are_uniform_pairs():
    nodes, counts = jnp.arange(400), jnp.full(400, 21)
    epochs = np.asarray(jax.jit(lambda: sampling.epochs(KEY, 0, nodes, counts, 21 * 20))()).reshape(-1, 21)
    table = np.zeros((21, 21))
    np.add.at(table, (epochs[:, :-1].ravel(), epochs[:, 1:].ravel()), 1)
    assert chisquare(table[~np.eye(21, dtype=bool)]).pvalue > 1e-3
    assert chisquare(np.bincount(epochs[:, 3], minlength=21)).pvalue > 1e-3


# The problem.


DIGITS = data.digits()
SPLIT = data.from_lists([range(5), range(5, 12), range(20, 24)], len(DIGITS.targets))


def drawing(split):
    """Problems of every kind of draw, by name."""
    kinds = {kind: problems.softmax(DIGITS, split, batch_size=3, sampling=kind) for kind in sampling.KINDS}
    return kinds | {"noise": problems.quadratic(len(split.counts), 5, noise=1.0)}


def test_minibatches_of_clients_are_theirs_in_the_whole():
    few, fewer = jnp.array([2, 0]), jnp.array([1])
    draws = lambda p: (p.take(few).sample(KEY, 9), p.take(few).take(fewer).sample(KEY, 9), p.sample(KEY, 9))
    for part, less, whole in jax.jit(lambda kinds: [draws(p) for p in kinds.values()])(drawing(SPLIT)):
        np.testing.assert_array_equal(part, whole[few])
        np.testing.assert_array_equal(less, whole[few][fewer])


def largest(jaxpr):
    """The size of the largest array that a program computes, at any depth."""
    computed = [variable.aval.size for equation in jaxpr.eqns for variable in equation.outvars]
    inside = [largest(inner) for equation in jaxpr.eqns for inner in jaxprs_in_params(equation.params)]
    return max(computed + inside, default=0)


@pytest.mark.parametrize("kind", [*sampling.KINDS, "noise"])
def test_the_draw_of_one_client_is_as_large_as_its_minibatch_however_many_there_are(kind):
    n = 300
    problem = drawing(data.from_lists([range(4 * i, 4 * i + 4) for i in range(n)], len(DIGITS.targets)))[kind]
    one = jax.make_jaxpr(lambda p, client: p.take(client).sample(KEY, 9))(problem, jnp.array([7]))
    everybody = jax.make_jaxpr(lambda p: p.sample(KEY, 9))(problem)
    assert largest(one.jaxpr) < 16
    assert largest(everybody.jaxpr) >= 3 * n


def test_a_way_to_sample_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="sampling is one of 'replacement', 'subset', 'epochs'; got 'shuffle'"):
        problems.softmax(DIGITS, SPLIT, batch_size=3, sampling="shuffle").check()
    problems.softmax(DIGITS, SPLIT, batch_size=100, sampling="epochs").check()  # several passes in one minibatch


def test_randomness_that_would_never_act_is_refused():
    whole = problems.softmax(DIGITS, SPLIT)
    with pytest.raises(ValueError, match="acts on minibatches alone, and gradients are exact here; give batch_size"):
        dataclasses.replace(whole, augment=augment.Flip()).check()
    dataclasses.replace(whole, augment=augment.Normalize()).check()


@module
class Noisy(problems.Model):
    """loss = u x'a with u uniform for each sample; 2 x'a without a key."""

    shapes: ClassVar[tuple[tuple[int, ...], ...]] = ((3,),)
    random: bool = static(default=True)

    def losses(self, x, inputs, targets, key=None):
        return inputs @ x * (2 if key is None else jax.random.uniform(key, targets.shape))


LINE = data.synthetic_regression(12, features=3)


def noisy(**options):
    return problems.finite_sum(Noisy(), LINE, data.iid(LINE, n=4), batch_size=2, **options)


@jax.jit
def observed(problem):
    """Batches, gradients and losses of a problem at x = 1, and of some of its nodes."""
    x, few = jnp.ones((4, 3)), jnp.array([3, 1])
    part, first, second = problem.take(few), problem.sample(KEY, 0), problem.sample(KEY, 1)
    positions = first[0] if isinstance(first, tuple) else first
    words = [jax.random.key_data(batch[1]) for batch in (first, second)] if problem.random else []
    batches = [first, (positions, second[1]) if problem.random else first, positions, None]
    grads = [problem.grad(x, batch) for batch in batches]
    return positions, words, grads, part.grad(x[few], part.sample(KEY, 0)), problem.objective(x[0])


def test_a_random_loss_has_a_key_for_each_node_and_minibatch_and_none_where_it_is_exact():
    problem = noisy()
    positions, words, (drawn, other, clean, exact), few, objective = observed(problem)
    assert len(np.unique(np.concatenate(words), axis=0)) == 8
    np.testing.assert_allclose(few, drawn[np.array([3, 1])], rtol=1e-14)
    assert np.all(np.abs(drawn - other).max(axis=1) > 1e-3)
    rows = np.asarray(problem.inputs)[np.asarray(problem.indices)]
    chosen = np.take_along_axis(rows, np.asarray(positions)[..., None], axis=1)
    np.testing.assert_allclose(clean, 2 * chosen.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(exact, 2 * rows.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(objective, 2 * rows.sum(axis=2).mean(), rtol=1e-12)
    still = dataclasses.replace(problem, model=Noisy(random=False), augment=augment.Normalize(1.0, 2.0))
    plain, _, (batch, *_, exact), _, objective = observed(still)
    np.testing.assert_array_equal(plain, positions)
    np.testing.assert_allclose(batch, (chosen - 1).mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(exact, (rows - 1).mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(objective, (rows - 1).sum(axis=2).mean(), rtol=1e-12)
