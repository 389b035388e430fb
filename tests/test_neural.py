"""Neural problems: the vector of parameters is the network's, and losses are those of Flax and optax."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

from jaxdec import data, models, networks, problems, run
from jaxdec.algorithms import DSGD
from jaxdec.metrics import node_test

pytestmark = pytest.mark.sampled(12)

rng = np.random.default_rng(0)
IMAGES = rng.integers(256, size=(24, 4, 4, 1), dtype=np.uint8)
LABELS = np.arange(24) % 3
PICTURES = data.dataset(IMAGES, LABELS, test_inputs=IMAGES[:6], test_targets=LABELS[:6])


class Small(linen.Module):
    """A convolution and a dense layer."""

    @linen.compact
    def __call__(self, x):
        x = linen.tanh(linen.Conv(2, (3, 3))(x))
        return linen.Dense(3)(x.reshape(len(x), -1))


def problem(network=None, **options):
    return problems.neural(network or Small(), PICTURES, data.iid(PICTURES, n=4), **options)


def test_losses_and_gradients_are_those_of_the_network():
    p, network = problem(batch_size=3, l2=0.1), Small()
    variables = network.init(jax.random.key(7), jnp.zeros((1, 4, 4, 1)))
    x = p.init(jax.random.key(7))
    leaves = jax.tree.leaves(variables)
    assert p.blocks == tuple(leaf.size for leaf in leaves)
    np.testing.assert_allclose(x, np.concatenate([leaf.ravel() for leaf in leaves]), rtol=1e-6)

    @jax.jit
    @jax.value_and_grad
    def loss(variables, images, labels):
        size = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(variables))
        logits = network.apply(variables, images)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels)) + 0.05 * size

    variables = jax.tree.map(lambda a: jnp.asarray(a, float), variables)
    x = jnp.tile(jnp.asarray(x, float), (4, 1))
    batch = p.sample(jax.random.key(0), 5)
    for positions in (batch, None):
        values, slopes = jax.jit(lambda b: (p.loss(x, b), p.grad(x, b)))(positions)
        for i, row in enumerate(np.asarray(p.indices)):
            index = row if positions is None else row[np.asarray(positions[i])]
            value, slope = loss(variables, IMAGES[index] / 255, LABELS[index])
            np.testing.assert_allclose(values[i], value, rtol=1e-10)
            flat = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(slope)])
            np.testing.assert_allclose(slopes[i], flat, rtol=0, atol=1e-10)
    right = jnp.argmax(network.apply(variables, jnp.asarray(IMAGES[:6] / 255)), axis=1) == LABELS[:6]
    assert float(p.test(x[0])["test_accuracy"]) == pytest.approx(float(jnp.mean(right)))


def test_equal_networks_share_a_program():
    traced = []

    def counted(p, x):
        traced.append(1)
        return p.loss(x)

    f = jax.jit(counted)
    x = jnp.zeros((4, problem().d))
    f(problem(l2=0.1), x), f(problem(l2=0.2), x)
    assert len(traced) == 1


def test_a_network_learns_on_a_network_of_nodes():
    result = run(DSGD(lr=0.5), problem(batch_size=6), networks.ring(4), rounds=100, every=100)
    assert result.metrics["loss"][-1] < 0.5 * result.metrics["loss"][0]


def same(a, b, atol=1e-12):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=atol), a, b)


def test_nodes_one_by_one_are_nodes_together_also_in_a_sweep():
    """And the maps agree for gradients, losses, Hessian-vector products and each node's own metrics."""
    one_by_one, together = (problem(batch_size=3, l2=0.1, nodes=nodes) for nodes in ("map", "vmap"))
    x = one_by_one.init(jax.random.key(0))[None, None] + 0.1 * jnp.asarray(rng.standard_normal((3, 4, one_by_one.d)))
    batch = one_by_one.sample(jax.random.key(1), 2)
    state = lambda x: type("State", (), {"x": x})

    def everything(p):
        of_one = lambda x: (p.loss(x, batch), p.grad(x, batch), p.hvp(x, jnp.cos(x), batch), node_test(p, state(x)))
        return jax.jit(jax.vmap(of_one))(x)

    ours = everything(one_by_one)
    same(ours, everything(together))
    own = [problem().test(x[2, i])["test_accuracy"] for i in range(4)]
    np.testing.assert_allclose(ours[3]["node_test_accuracy"][2], np.mean(own), rtol=1e-12)


def test_networks_without_convolutions_are_mapped_together():
    one_by_one = lambda p: "scan" in str(jax.make_jaxpr(lambda x: p.grad(x))(jnp.zeros((4, p.d))))
    assert one_by_one(problem())
    assert not one_by_one(problem(models.MLP((3,), classes=3)))
    assert not one_by_one(problem(nodes="vmap"))


def test_large_sets_pass_in_blocks_with_equal_results(monkeypatch):
    p = problem()
    x = jnp.asarray(p.init(jax.random.key(3)), float)

    def everything():
        of_all = lambda x: (p.model.losses(x, p.inputs, p.targets), p.test(x))
        return jax.jit(lambda x: (of_all(x), jax.value_and_grad(p.objective)(x)))(x)

    whole = everything()
    for block in (5, 8):  # of 24 training and 6 test images, with a remainder and without
        monkeypatch.setattr(sys.modules["jaxdec.problems.networks"], "BLOCK", block)
        same(everything(), whole)


class Dropping(linen.Module):
    """A network with dropout, by the name that its switch has in Flax's own layers."""

    @linen.compact
    def __call__(self, x, deterministic=True):
        x = linen.Dropout(0.5, deterministic=deterministic)(x.reshape(len(x), -1))
        return linen.Dense(3)(x)


class DroppingNnx(nnx.Module):
    """The same in nnx."""

    def __init__(self, rngs):
        self.dropout, self.dense = nnx.Dropout(0.5, rngs=rngs), nnx.Linear(16, 3, rngs=rngs)

    def __call__(self, x):
        return self.dense(self.dropout(x.reshape(len(x), -1)))


@pytest.mark.parametrize(
    "network", [pytest.param(Dropping(), marks=pytest.mark.slow), DroppingNnx], ids=["linen", "nnx"]
)
def test_dropout_is_in_the_gradients_of_minibatches_alone(network):
    p = problem(network, batch_size=3)
    x = jnp.tile(jnp.asarray(p.init(jax.random.key(0)), float), (4, 1))
    assert p.d == 16 * 3 + 3
    assert p.random
    grad = jax.jit(p.grad)
    (positions, keys), again = p.sample(jax.random.key(0), 1), p.sample(jax.random.key(0), 1)
    noisy = grad(x, (positions, keys))
    same(noisy, grad(x, again), atol=0)
    assert not np.allclose(noisy, grad(x, (positions, keys[::-1])))
    weights = p.model.parameters(x[0])
    kernel = next(leaf for leaf in jax.tree.leaves(weights) if leaf.shape == (16, 3))

    def plain(x, images, labels):
        tree = p.model.parameters(x)
        W, b = (next(a for a in jax.tree.leaves(tree) if a.ndim == k) for k in (2, 1))
        logits = images.reshape(len(images), -1) / 255 @ W + b[None]
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))

    assert kernel.shape == (16, 3)
    for batch, value in ((None, grad(x, None)), (positions, grad(x, positions))):
        for i, row in enumerate(np.asarray(p.indices)):
            index = row if batch is None else row[np.asarray(batch[i])]
            same(value[i], jax.grad(plain)(x[i], IMAGES[index], LABELS[index]))
    # Inverted dropout is unbiased for a linear layer: its scores average to those without.
    scores = jax.jit(jax.vmap(lambda key: p.model.outputs(x[0], IMAGES[:4], key)))(
        jax.random.split(jax.random.key(5), 4000)
    )
    spread = np.std(scores, axis=0) / 4000**0.5
    assert np.all(np.abs(np.mean(scores, axis=0) - p.model.outputs(x[0], IMAGES[:4])) < 5 * spread + 1e-12)


class Nnx(nnx.Module):
    """`Small`, in nnx."""

    def __init__(self, rngs):
        self.conv = nnx.Conv(1, 2, (3, 3), rngs=rngs)
        self.dense = nnx.Linear(32, 3, rngs=rngs)

    def __call__(self, x):
        return self.dense(jnp.tanh(self.conv(x)).reshape(len(x), -1))


def test_nnx_networks_are_linen_networks():
    linen_problem, nnx_problem = problem(batch_size=3), problem(Nnx, batch_size=3)
    assert sorted(nnx_problem.blocks) == sorted(linen_problem.blocks)
    x = jnp.asarray(linen_problem.init(jax.random.key(1)), float)
    tree = linen_problem.model.parameters(x)["params"]
    moved, _ = jax.flatten_util.ravel_pytree({"conv": tree["Conv_0"], "dense": tree["Dense_0"]})
    batch = linen_problem.sample(jax.random.key(0), 0)
    losses = [jax.jit(p.loss)(jnp.tile(v, (4, 1)), batch) for p, v in ((linen_problem, x), (nnx_problem, moved))]
    same(*losses)
    starts = [nnx_problem.init(jax.random.key(k)) for k in (0, 0, 1)]
    same(*starts[:2], atol=0)
    assert not np.allclose(starts[0], starts[2])
    assert not nnx_problem.random
    result = run(DSGD(lr=0.5), nnx_problem, networks.ring(4), rounds=60, every=60)
    assert result.metrics["loss"][-1] < 0.7 * result.metrics["loss"][0]


@pytest.mark.slow
def test_any_loss_of_optax():
    labels = problem(loss=optax.softmax_cross_entropy_with_integer_labels)
    x = jnp.tile(jnp.asarray(labels.init(jax.random.key(0)), float), (4, 1))
    same(labels.loss(x), problem().loss(x))
    line = data.synthetic_regression(20, 3)
    for network in (linen.Dense(1), linen.Sequential([linen.Dense(1), lambda y: y[:, 0]])):
        p = problems.neural(network, line, data.iid(line, n=2), loss=optax.l2_loss)
        x = jnp.asarray(rng.standard_normal((2, p.d)))
        residuals = line.inputs @ x[0, 1:] + x[0, 0] - line.targets
        np.testing.assert_allclose(p.objective(x[0]), np.mean(residuals**2) / 2, rtol=1e-6)
        assert set(p.model.scores(x[0], p.inputs, p.targets)) == {"loss"}


class Normalized(linen.Module):
    """A network with batch statistics."""

    @linen.compact
    def __call__(self, x):
        return linen.Dense(3)(linen.BatchNorm(use_running_average=False)(x.reshape(len(x), -1)))


class NormalizedNnx(nnx.Module):
    """A network with batch statistics, in nnx."""

    def __init__(self, rngs):
        self.norm, self.dense = nnx.BatchNorm(16, rngs=rngs), nnx.Linear(16, 3, rngs=rngs)

    def __call__(self, x):
        return self.dense(self.norm(x.reshape(len(x), -1)))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (linen.Sequential([lambda x: x.reshape(len(x), -1), linen.Dense(2)]), r"to \(2, 2\); expected \(2, 3\)"),
        (Normalized(), "collections batch_stats .* Use GroupNorm"),
        (NormalizedNnx, "collections BatchStat .* Use GroupNorm"),
        (linen.Sequential([lambda x: x.reshape(len(x), -1)[:, :3]]), "no parameters"),
    ],
)
def test_networks_that_do_not_fit_are_refused(network, message):
    with pytest.raises(ValueError, match=message):
        problem(network)


def test_images_of_the_wrong_shape_are_refused():
    for shape, network, message in (
        ((4, 4, 1), models.MNISTCNN(), r"kernel of 5 x 5 does not fit into images of 4 x 4"),
        ((4, 4), Nnx, r"Nnx does not take wrong, whose samples have shape \(4, 4\): .* Images are \(height, width, c"),
        ((6, 6, 1), Nnx, r"Nnx does not take wrong, whose samples have shape \(6, 6, 1\)"),
        ((16,), models.LeNet(), r"LeNet does not take wrong, whose samples have shape \(16,\)"),
        ((28, 28), models.MNISTCNN(), r"MNISTCNN .*\(28, 28\)"),
    ):
        images = data.dataset(np.zeros((6, *shape), np.float32), np.arange(6) % 3, name="wrong")
        with pytest.raises(ValueError, match=message):
            problems.neural(network, images, data.iid(images, n=2))


def test_losses_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"loss of outputs \(2, 3\) .* has shape \(\); expected \(2,\)"):
        problem(loss=lambda outputs, targets: jnp.mean(outputs))


def test_real_targets_are_refused():
    line = data.synthetic_regression(20, 3)
    with pytest.raises(ValueError, match=r"real targets\. Use least_squares"):
        problems.neural(linen.Dense(1), line, data.iid(line, n=2))
