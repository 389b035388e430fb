"""A sweep of a thousand runs, and sweeps against what one would write by hand. `python -m benchmarks many`.

1. 64 nodes on a ring, minibatches of a logistic regression with 784 features, 512 step sizes, two seeds: runs and
   node-rounds a second, and the share of the machine's bandwidth if x is read and written once a round.
2. A sweep against `jit(vmap(vmap(scan)))` by hand.
3. Cells on the last axis against cells on the first, on this device.
"""

from functools import partial
from statistics import median
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Table, in_turn, typical
from jaxdec import algorithms, compressors, data, networks, problems, run, sweep
from jaxdec.loop import Keys
from jaxdec.metrics import consensus
from jaxdec.sweeps import execute

ON_CPU = jax.default_backend() == "cpu"


def features(n: int, size: int, d: int, batch_size: int) -> problems.FiniteSum:
    """A logistic regression of random features, `size` samples a node."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((n * size, d), np.float32) / np.sqrt(d).astype(np.float32)
    labels = (inputs @ rng.standard_normal(d).astype(np.float32) > 0).astype(int)
    found = data.dataset(inputs, labels)
    return problems.logistic(found, data.iid(found, n=n), batch_size=batch_size, l2=1e-3)


def a_thousand() -> Table:
    n, d, batch = 64, 784, 32
    steps, rounds = (64, 20) if ON_CPU else (512, 400)
    problem, network = features(n, 200, d, batch), networks.ring(n)
    x, double = jnp.ones(2**26 if ON_CPU else 2**28, jnp.float32), jax.jit(lambda x: 2 * x)
    copied = 2 * x.nbytes / typical(lambda: double(x))
    rows = []
    for method in (algorithms.DSGD(lr=0.1), algorithms.GradientTracking(lr=0.1)):
        found = [
            sweep(
                method, problem, network, over={"lr": list(np.geomspace(1e-3, 1, steps))}, seeds=2, rounds=rounds,
                every=rounds, metrics=(consensus,), progress=False,
            )
            for _ in range(4)
        ]  # fmt: skip
        seconds, compiling = median(f.attrs["run_seconds"] for f in found[1:]), found[0].attrs["compile_seconds"]
        state = run(method, problem, network, rounds=1, every=1, metrics=(consensus,)).state
        runs, floats = 2 * steps, sum(np.size(a) for a in jax.tree.leaves(state))
        moved = 2 * runs * floats * 4 * rounds / seconds
        flops = 4 * runs * n * batch * d * rounds / seconds  # of the two products with the samples
        rates = f"{runs * rounds / seconds:.3g}", f"{runs * rounds * n / seconds:.3g}"
        shares = f"{moved / 1e9:.3g} ({100 * moved / copied:.0f} %)", f"{flops / 1e12:.2g}"
        rows.append((type(method).__name__, f"{runs}", f"{seconds:.2f} ({compiling:.1f})", *rates, *shares))
    what = f"{n} nodes, d={d}, batch {batch}, {rounds} rounds"
    moves = "state read and written, GB/s (of copying)"
    columns = (what, "runs", "s (compiling)", "rounds/s", "node-rounds/s", moves, "Tflop/s")
    return Table("A sweep of many runs of minibatch logistic regression, float32", columns, rows)


def by_hand() -> Table:
    n, rounds = 64, 200
    problem, network = features(n, 200, 784 if not ON_CPU else 100, 32), networks.ring(n)
    steps = jnp.geomspace(1e-3, 1, 64 if ON_CPU else 256)

    @jax.jit
    def scans(problem, W, steps, keys):
        def one(lr, key):
            def step(x, t):
                return W @ (x - lr * problem.grad(x, problem.sample(key, t))), None

            return jax.lax.scan(step, jnp.zeros((n, problem.d)), jnp.arange(rounds))[0]

        return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(steps, keys)

    seeds = jax.vmap(lambda key: Keys(*jax.random.split(key, 5)).data)(jax.vmap(jax.random.key)(jnp.arange(2)))
    spread = lambda x: jnp.mean(jnp.sum((x - jnp.mean(x, axis=-2, keepdims=True)) ** 2, axis=-1), axis=-1)
    theirs = lambda: jax.block_until_ready(spread(scans(problem, network.W, steps, seeds)))
    ours = lambda: sweep(
        algorithms.DSGD(lr=0.1), problem, network, over={"lr": np.asarray(steps).tolist()}, seeds=2, rounds=rounds,
        every=rounds, metrics=(consensus,), progress=False,
    ).consensus.values[..., -1]  # fmt: skip
    np.testing.assert_allclose(ours(), theirs(), rtol=2e-2)
    a, b, ratio = in_turn(theirs, ours, pairs=5)
    rows = [(f"DSGD, {2 * len(steps)} runs of {rounds} rounds", f"{b:.3f}", f"{a:.3f}", f"{ratio:.2f}", "≥ 0.9")]
    return Table("A sweep against jit(vmap(vmap(scan)))", ("", "sweep, s", "by hand, s", "speed-up", "aim"), rows)


def cells_last() -> Table:
    softmax_of = data.digits()
    softmax = problems.softmax(softmax_of, data.iid(softmax_of, n=16), batch_size=16, l2=1e-3)
    quantizer = compressors.Quantization(levels=1)
    kgt = algorithms.KGT(lr=0.1, local_steps=5)
    mcm = algorithms.MCM(lr=0.1, compressor=quantizer, down_compressor=quantizer)
    rows = []
    for name, method, problem, network, rounds in (
        ("DGD, diagonal 64x10", algorithms.DSGD(lr=0.1), problems.quadratic(64, 10), networks.ring(64), 500),
        ("K-GT, noisy 64x10", kgt, problems.quadratic(64, 10, noise=0.1), networks.ring(64), 200),
        ("softmax DSGD, batch 16", algorithms.DSGD(lr=0.1), softmax, networks.ring(16), 200),
        ("MCM, 20x785", mcm, problems.quadratic(20, 785), networks.server(20), 100),
    ):
        over = {"lr": list(np.geomspace(1e-3, 1e-2, 64))}
        go = partial(sweep, method, problem, network, over=over, seeds=1, rounds=rounds, every=rounds,
                     metrics=(consensus,), progress=False)  # fmt: skip
        last, first = (partial(with_cells, where, problem, go) for where in ("last", "first"))
        results = last(), first()
        np.testing.assert_allclose(*(found.consensus for found in results), rtol=1e-2)
        pairs = [[call().attrs["run_seconds"] for call in (last, first)] for _ in range(5)]
        ours, theirs = (median(column) for column in zip(*pairs, strict=True))
        compiled = "/".join(f"{found.attrs['compile_seconds']:.1f}" for found in results)
        rows.append(
            (name, f"{ours * 1e3:.1f}", f"{theirs * 1e3:.1f}", f"{median(b / a for a, b in pairs):.2f}", compiled)
        )
    columns = ("64 step sizes, float32", "cells last, ms", "cells first, ms", "speed-up", "compiling, s")
    return Table("Cells on the last axis against cells on the first", columns, rows)


def with_cells(where: str, problem: Any, go: Any) -> Any:
    """A sweep with cells where they are wanted, and not where the device would have them."""
    static, d = execute.Engine._static, int(problem.d) if where == "last" else None
    with mock.patch.object(execute.Engine, "_static", lambda *a: static(*a) | {"d": d}):
        return go()


PARTS = (a_thousand, by_hand, cells_last)
