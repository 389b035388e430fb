"""Sweeps of 64 step sizes against stacked loops, and cells on the last axis against `jax.vmap`.

`python -m benchmarks cells` takes about three minutes where nothing else runs; `cells.against_vmap` is the second of
these alone. Stacked loops have the step sizes where they are fastest, which is on the last axis; PyTorch, eager, takes
part where it is installed. Times are of whole calls, with all that a call costs besides its rounds; programs are
compiled before. Rows of `run` are one run against one loop.
"""

from functools import partial
from statistics import median
from typing import Any
from unittest import mock

import jax
import numpy as np

from benchmarks.timing import Table, in_turn
from jaxdec import algorithms, compressors, data, networks, problems, run, sweep, testing
from jaxdec.metrics import consensus
from jaxdec.sweeps import execute

try:
    import torch
except ImportError:
    torch = None

STEPS = 64


def dgd(lr, gradient, mix, x, rounds):
    for _ in range(rounds):
        x = mix(x - lr * gradient(x))
    return x


def tracking(lr, gradient, mix, x, rounds):
    """Semi-ATC, as `algorithms.GradientTracking` computes it by default."""
    g = gradient(x)
    y = g
    for _ in range(rounds):
        x = mix(x - lr * y)
        new = gradient(x)
        y = mix(y) + new - g
        g = new
    return x


LOOPS = {"DGD": (algorithms.DSGD, dgd), "gradient tracking": (algorithms.GradientTracking, tracking)}


def stacked(library: Any, problem: Any, W: np.ndarray, lr: np.ndarray, *, rolled: bool):
    """The gradients, the mixing and the start of a loop in NumPy or PyTorch, on (n, d, step sizes)."""
    n, d = problem.n, problem.d
    make = np.asarray if library is np else torch.from_numpy
    A, b, W = (make(np.array(a)) for a in (problem.A, np.asarray(problem.b)[..., None], W))
    product = np.matmul if library is np else torch.bmm
    roll = np.roll if library is np else torch.roll
    gradient = lambda x: product(A, x) - b
    dense = lambda x: (W @ x.reshape(n, -1)).reshape(x.shape)
    share, own = float(W[0, 1]), float(W[0, 0])
    ring = lambda x: own * x + share * (roll(x, 1, 0) + roll(x, -1, 0))
    start = make(np.zeros((n, d, len(lr)), lr.dtype))
    return make(lr), gradient, ring if rolled else dense, start


def spread(x: Any) -> np.ndarray:
    x = np.asarray(x)
    return np.sum((x - x.mean(axis=0)) ** 2, axis=1).mean(axis=0)


def against_loops(dtype: Any, rounds: dict[int, int]) -> Table:
    jax.config.update("jax_enable_x64", dtype == np.float64)
    rows, close = [], {"rtol": 1e-8, "atol": 1e-16} if dtype == np.float64 else {"rtol": 1e-2, "atol": 1e-10}
    for n, count in rounds.items():
        problem, network = testing.quadratic(n, 10, noise=0.0), networks.ring(n)
        W = np.asarray(network.W.dense())
        for name, (method, loop) in LOOPS.items():
            for steps in (np.geomspace(1e-3, 0.1, STEPS).astype(dtype), np.asarray([0.05], dtype)):
                how = dict(rounds=count, every=count, metrics=(consensus,))
                if len(steps) == 1:
                    ours = lambda m=method, p=problem, w=network, h=how: run(m(lr=0.05), p, w, **h).metrics[
                        "consensus"
                    ][-1:]
                else:
                    ours = lambda m=method, p=problem, w=network, h=how, s=steps: (
                        sweep(m(lr=0.1), p, w, over={"lr": s.tolist()}, seeds=1, progress=False, **h)
                    ).consensus.values[:, 0, -1]
                forms = [
                    (library.__name__, partial(loop, *stacked(library, problem, W, steps, rolled=rolled), count))
                    for library in (np, torch)
                    if library is not None
                    for rolled in (False, True)
                ]
                expected = ours()
                for _, form in forms:
                    np.testing.assert_allclose(expected, spread(form()), **close)
                found = [(label, *in_turn(form, ours, pairs=5)) for label, form in forms]
                for label in dict.fromkeys(label for label, _ in forms):
                    _, theirs, our, ratio = min((f for f in found if f[0] == label), key=lambda f: f[1])
                    aim = {16: "≥ 1.5", 64: "≥ 2", 256: "≥ 3"}[n] if len(steps) == 1 else "≥ 2"
                    what = "run" if len(steps) == 1 else f"{len(steps)} step sizes"
                    rows.append((f"{name}, {what}, n={n}, {label}", f"{our * 1e3:.1f}", f"{theirs * 1e3:.1f}",
                                 f"{ratio:.2f}", aim))  # fmt: skip
    columns = ("dense quadratics, d=10, ring", "jaxdec, ms", "loop, ms", "speed-up", "aim")
    return Table(f"Stacked loops, {np.dtype(dtype).name}", columns, rows)


def by_vmap(go):
    """The same with cells on the first axis."""
    static = execute.Engine._static

    def called():
        with mock.patch.object(execute.Engine, "_static", lambda *a: static(*a) | {"d": None}):
            return go()

    return called


def against_vmap() -> Table:
    """Times of running alone, without what surrounds a sweep."""
    jax.config.update("jax_enable_x64", True)
    digits, cancer = data.digits(), data.breast_cancer()
    softmax = problems.softmax(digits, data.iid(digits, n=16), batch_size=16, l2=1e-3)
    logistic = problems.logistic(cancer, data.iid(cancer, n=16), batch_size=16, l2=1e-3)
    quantizer = compressors.Quantization(levels=1)
    mcm = algorithms.MCM(lr=0.1, compressor=quantizer, down_compressor=quantizer)
    momentum, kgt = algorithms.MomentumTracking(lr=0.1, momentum=0.9), algorithms.KGT(lr=0.1, local_steps=5)
    dense = testing.quadratic(64, 10, noise=0.0)
    ring = networks.ring
    rows = []
    for name, method, problem, network, rounds in (
        ("DGD, dense 64x10", algorithms.DSGD(lr=0.1), dense, ring(64), 1000),
        ("gradient tracking, dense 64x10", algorithms.GradientTracking(lr=0.1), dense, ring(64), 700),
        ("Momentum Tracking, noisy 64x10", momentum, problems.quadratic(64, 10, noise=0.1), ring(64), 700),
        ("K-GT, dense 64x10", kgt, dense, ring(64), 200),
        ("softmax DSGD, batch 16", algorithms.DSGD(lr=0.1), softmax, ring(16), 50),
        ("logistic K-GT, batch 16", kgt, logistic, ring(16), 100),
        ("MCM, 20x785", mcm, problems.quadratic(20, 785), networks.server(20), 50),
        ("MCM, softmax, batch 16", mcm, softmax, networks.server(16), 30),
    ):
        over = {"lr": list(np.geomspace(1e-3, 1e-2, STEPS))}
        how = dict(over=over, seeds=1, rounds=rounds, every=rounds, metrics=(consensus,), progress=False)
        last = partial(sweep, method, problem, network, **how)
        first = by_vmap(last)
        results = last(), first()
        np.testing.assert_allclose(*(found.consensus for found in results), rtol=1e-9)
        compiled = [found.attrs["compile_seconds"] for found in results]
        pairs = [[go().attrs["run_seconds"] for go in (last, first)] for _ in range(7)]
        ours, theirs = (median(column) for column in zip(*pairs, strict=True))
        ratio = median(b / a for a, b in pairs)
        rows.append(
            (name, f"{ours * 1e3:.1f}", f"{theirs * 1e3:.1f}", f"{ratio:.2f}", "/".join(f"{c:.1f}" for c in compiled))
        )
    columns = (f"{STEPS} step sizes, float64", "as chosen, ms", "jax.vmap, ms", "speed-up", "compiling, s")
    return Table("Cells last against jax.vmap", columns, rows)


ROUNDS = {16: 2000, 64: 600, 256: 150}


def against_loops_float64() -> Table:
    return against_loops(np.float64, ROUNDS)


def against_loops_float32() -> Table:
    return against_loops(np.float32, ROUNDS)


PARTS = (against_loops_float64, against_loops_float32, against_vmap)
