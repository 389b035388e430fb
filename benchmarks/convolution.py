"""Per-node convolution: every way against `vmap` over the native one. `python -m benchmarks convolution`, two minutes.

Gradients of LeNet with GroupNorm for 8 nodes, minibatches of 32 images of 32 x 32 x 3, in float32. On CPUs the way that
is chosen must be at least 4 times faster than `vmap` over the network as one would write it with Flax alone. Results
are compared before times. A way is how a layer convolves, and how nodes are worked off: all at once, one by one, or in
blocks.
"""

import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen

from benchmarks.timing import Table, in_turn
from jaxdec import data, models, nn, problems

NODES, BATCH = 8, 32


class Flax(linen.Module):
    """LeNet with GroupNorm, in Flax alone."""

    @linen.compact
    def __call__(self, x):
        for channels, groups in ((6, 2), (16, 4)):
            x = linen.relu(linen.Conv(channels, (5, 5), padding="VALID")(x))
            x = linen.GroupNorm(groups, epsilon=1e-5)(linen.max_pool(x, (2, 2), (2, 2)))
        x = x.reshape(len(x), -1)
        for features in (120, 84):
            x = linen.relu(linen.Dense(features)(x))
        return linen.Dense(10)(x)


def network(way: Any) -> linen.Module:
    return models.LeNetGroupNorm(conv=partial(nn.Conv, conv_general_dilated=nn.convolution(way)))


def compiled(network, images, nodes, block=None):
    """The gradients of all nodes as a compiled program, its arguments, and the seconds it took to compile."""
    problem = problems.neural(network, images, data.iid(images, NODES), batch_size=BATCH, nodes=nodes)
    if block:
        one = jax.grad(problem._node_loss)
        grad = lambda x, batch: jax.lax.map(
            lambda of_node: one(*of_node), (x, *problem._gather(batch, x.dtype)), batch_size=block
        )
    else:
        grad = problem.grad
    x = jnp.tile(problem.init(jax.random.key(0)), (NODES, 1))
    x = x + 0.01 * jax.random.normal(jax.random.key(1), x.shape, x.dtype)
    batch = problem.sample(jax.random.key(2), 0)
    began = time.perf_counter()
    program = jax.jit(grad).lower(x, batch).compile()
    return partial(program, x, batch), time.perf_counter() - began


def gradients() -> Table:
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(NODES * BATCH, 32, 32, 3), dtype=np.uint8)
    images = data.dataset(pixels, np.arange(len(pixels)) % 10)
    base, seconds = compiled(Flax(), images, "vmap")
    expected = np.asarray(base())
    rows = [("Flax alone, vmap over nodes", "", "1.0", f"{seconds:.1f}", "")]
    cases = [
        (f"{way}; {'one node after the other' if nodes == 'map' else 'all nodes at once'}", network(way), nodes, None)
        for way in ("native", "native map", "im2col", "im2col map")
        for nodes in ("vmap", "map")
        if not (way.endswith("map") and nodes == "map")  # there is one kernel at a time: the same as without
    ]
    cases += [(f"im2col; blocks of {k} nodes", network("im2col"), None, k) for k in (2, 4)]
    cases += [("chosen", models.LeNetGroupNorm(), None, None)]
    for name, module, nodes, block in cases:
        ours, seconds = compiled(module, images, nodes, block)
        np.testing.assert_allclose(ours(), expected, rtol=0, atol=1e-4 * np.abs(expected).max())
        native, time_of, ratio = in_turn(base, ours, pairs=9)
        aim = "≥ 4" if name == "chosen" and jax.default_backend() == "cpu" else ""
        rows.append((name, f"{time_of * 1e3:.1f} ({native * 1e3:.0f})", f"{ratio:.1f}", f"{seconds:.1f}", aim))
    columns = ("LeNet, GroupNorm, 8 nodes, batch 32", "ms (native beside it)", "speed-up", "compile, s", "aim")
    return Table("Gradients with per-node convolutions", columns, rows)


PARTS = (gradients,)
