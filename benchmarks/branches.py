"""Passes over all data only in the rounds that take one. `python -m benchmarks branches`, about a minute.

Methods that take an exact gradient by chance, or in every so many rounds, have it in a branch of their program. They
are counted and timed beside the same methods with both branches computed in every round and one of them chosen, which
is what `jnp.where` does, and what `vmap` makes of a branch whose condition differs between cells.
"""

from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Table, in_turn
from jaxdec import algorithms as A
from jaxdec import compressors, data, module, networks, problems, run
from jaxdec.metrics import consensus

N, SAMPLES, D, BATCH = 8, 4000, 50, 20
SHARE = 0.05  # of the rounds have a pass over all data
QUANTIZED = {"compressor": compressors.Quantization(levels=4), "probability": SHARE}
EVERY = round(1 / SHARE)
METHODS = {
    "PAGE": (A.PAGE(lr=0.05, probability=SHARE), True),
    "VR-MARINA": (A.VRMARINA(lr=0.05, **QUANTIZED), True),
    "PP-MARINA, one client": (A.PPMARINA(lr=0.02, **QUANTIZED, clients=1), True),
    "L-SVRG": (A.LSVRG(lr=0.05, probability=SHARE), True),
    "SARAH": (A.SARAH(lr=0.05, period=EVERY), True),
    "GT-SVRG": (A.GTSVRG(lr=0.05, period=EVERY), False),
    "GT-SARAH": (A.GTSARAH(lr=0.05, inner_steps=EVERY - 1), False),
    "D-GET": (A.DGET(lr=0.05, period=EVERY), False),
}


@module
class AlwaysPays:
    """A method whose branches are all computed in every round."""

    inner: Any

    @property
    def requires(self) -> Any:
        return self.inner.requires

    def init(self, problem, x0, r):
        return self.inner.init(problem, x0, r)

    def step(self, problem, s, r):
        with mock.patch.object(jax.lax, "cond", chosen):  # while the step is traced
            return self.inner.step(problem, s, r)


def chosen(condition: Any, true: Callable[..., Any], false: Callable[..., Any], *operands: Any) -> Any:
    """Both branches, and what the condition says of them."""
    return jax.tree.map(partial(jnp.where, condition), true(*operands), false(*operands))


def whole_gradients() -> Table:
    jax.config.update("jax_enable_x64", True)
    rng, rounds = np.random.default_rng(0), 400
    inputs = rng.standard_normal((N * SAMPLES, D))
    found = data.dataset(inputs, inputs @ rng.standard_normal(D) + rng.standard_normal(N * SAMPLES))
    problem = problems.least_squares(found, data.iid(found, n=N), batch_size=BATCH, bias=False)
    rows = []
    for name, (method, at_server) in METHODS.items():
        network = networks.server(N) if at_server else networks.ring(N)
        last = lambda m, w=network: run(m, problem, w, rounds=rounds, every=rounds, metrics=(consensus,))
        ours, theirs = partial(last, method), partial(last, AlwaysPays(method))
        np.testing.assert_allclose(ours().state.x, theirs().state.x, rtol=1e-8, atol=1e-10)
        spent = run(method, problem, network, rounds=rounds, metrics=(consensus,)).cost.grads
        passes = int(np.sum(np.diff(spent) >= SAMPLES))
        a, b, ratio = in_turn(lambda go=theirs: go().state.x, lambda go=ours: go().state.x, pairs=5)
        counted = f"{(spent[-1] - spent[0]) / rounds:.0f}"
        times = f"{b / rounds * 1e3:.2f}", f"{a / rounds * 1e3:.2f}"
        rows.append((name, f"{passes} of {rounds}", counted, *times, f"{ratio:.1f}", "≥ 3"))
    what = f"{N} nodes, {SAMPLES} samples each, batch {BATCH}, d={D}"
    columns = (what, "rounds with a pass", "gradients a round", "ms/round", "always pays", "speed-up", "aim")
    return Table("Passes over all data, in a branch and in every round", columns, rows)


PARTS = (whole_gradients,)
