"""The sweep engine against `run` in a loop, and a sweep of 2000 runs. `python -m benchmarks sweep`, a few minutes.

1. 64 step sizes as one sweep against 64 calls of `run`, whose program is compiled once and used again: at least 3 times
   faster on binary digits, 16 nodes, batch 16; the ten classes beside it. No compilation on either side.
2. 2000 runs in one call, as many programs as static groups, and how many runs and node-rounds a second.
3. A limit on memory: the peak of the process and the time, with a limit far below what the whole sweep would take.
"""

import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks.timing import Table, in_turn
from jaxdec import algorithms, data, networks, problems, run, sweep
from jaxdec.metrics import consensus, loss

NODES, ROUNDS = 16, 200
LRS = [float(lr) for lr in np.geomspace(1e-3, 1, 64)]


def tasks():
    digits = data.digits()
    binary = data.binary(digits, positive=range(5))
    split = lambda dataset: data.dirichlet(dataset, n=NODES, alpha=1.0)
    return {
        "binary digits": problems.logistic(binary, split(binary), batch_size=16, l2=1e-3),
        "ten-class digits": problems.softmax(digits, split(digits), batch_size=16, l2=1e-3),
    }


def against_single_runs() -> Table:
    rows = []
    ring = networks.ring(NODES)
    for name, problem in tasks().items():
        rounds = ROUNDS if name.startswith("binary") else ROUNDS // 4
        horizon = {"rounds": rounds, "every": rounds, "metrics": (consensus,)}
        for method in (algorithms.DSGD(lr=0.1), algorithms.KGT(lr=0.1, local_steps=5)):
            kind = type(method)
            change = {"local_steps": 5} if kind is algorithms.KGT else {}
            together = lambda m=method, p=problem, h=horizon: (
                sweep(m, p, ring, over={"lr": LRS}, seeds=1, progress=False, **h).consensus.values
            )
            alone = lambda k=kind, p=problem, c=change, h=horizon: np.stack(
                [run(k(lr=lr, **c), p, ring, seed=0, **h).metrics["consensus"] for lr in LRS]
            )
            np.testing.assert_allclose(together()[:, 0], alone(), rtol=2e-3)  # float32
            a, b, ratio = in_turn(alone, together, pairs=5)
            rate = f"{64 / b:.0f} ({64 * rounds * NODES / b:.2g})"
            aim = "≥ 3" if name.startswith("binary") and kind is algorithms.DSGD else ""
            rows.append((f"{name}, {kind.__name__}", f"{b:.3f}", f"{a:.3f}", rate, f"{ratio:.2f}", aim))
    columns = (
        "64 step sizes, n=16, batch 16",
        "sweep, s",
        "one by one, s",
        "runs/s (node-rounds/s)",
        "speed-up",
        "aim",
    )
    return Table("A sweep against the same runs one by one", columns, rows)


def two_thousand_runs() -> Table:
    methods = {
        "DSGD": algorithms.DSGD(lr=1.0),
        "Gradient Tracking": algorithms.GradientTracking(lr=1.0),
        "K-GT": algorithms.KGT(lr=1.0, local_steps=1),
        "Momentum Tracking": algorithms.MomentumTracking(lr=1.0),
    }
    over = {"lr": [float(lr) for lr in np.geomspace(1e-3, 10, 20)], "K-GT.local_steps": [1, 5]}
    with tempfile.TemporaryDirectory() as directory:
        began = time.perf_counter()
        results = sweep(
            methods, tasks()["ten-class digits"], networks.ring(NODES), over=over, seeds=20, rounds=ROUNDS, every=20,
            store=directory,
        )  # fmt: skip
        seconds = time.perf_counter() - began
    facts = results.attrs
    assert facts["runs"] == facts["runs_done"] == 5 * 20 * 20
    assert facts["programs"] == 5  # four algorithms, one of them with two numbers of local steps
    rows = [
        ("runs", f"{facts['runs']}, of which {facts['diverged']} diverged", ""),
        ("programs", f"{facts['programs']}", "5, the static groups"),
        ("seconds in all, compiling and storing included", f"{seconds:.1f}", ""),
        ("seconds compiling / running", f"{facts['compile_seconds']:.1f} / {facts['run_seconds']:.1f}", ""),
        ("runs/s, all included", f"{facts['runs'] / seconds:.0f}", ""),
        ("node-rounds/s, all included", f"{facts['runs'] * ROUNDS * NODES / seconds:.3g}", ""),
    ]
    return Table("A sweep of 2000 runs of 200 rounds, stored (digits, 16 nodes)", ("", "measured", "aim"), rows)


def peak_with(memory: str) -> tuple[float, float]:
    """What a process takes above its own size, MB, and for how long; in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.sweep", "--peak", memory]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(found[-2]), float(found[-1])


def peak(memory: str) -> None:
    problem = tasks()["ten-class digits"]
    go = lambda cells, **limit: sweep(
        algorithms.KGT(lr=0.1, local_steps=5), problem, networks.ring(NODES),
        over={"lr": [float(lr) for lr in np.geomspace(1e-3, 1, cells)]}, seeds=1, rounds=20, every=20, metrics=(loss,),
        progress=False, **limit,
    )  # fmt: skip
    rss = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    go(2)
    before, began = rss(), time.perf_counter()
    go(2000, memory=memory)
    print(rss() - before, time.perf_counter() - began)


def memory_limits() -> Table:
    rows = []
    for memory in ("100GB", "200MB"):
        more, seconds = peak_with(memory)
        rows.append((memory, f"{more:.0f}", f"{seconds:.1f}"))
    return Table(
        "2000 configurations, K-GT, ten-class digits, 20 rounds", ("memory=", "peak, MB more", "seconds"), rows
    )


PARTS = (against_single_runs, two_thousand_runs, memory_limits)

if __name__ == "__main__":
    peak(sys.argv[-1])
