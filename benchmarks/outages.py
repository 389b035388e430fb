"""What failures cost. `python -m benchmarks outages`, about three minutes.

1. A sweep over 16 probabilities of loss and 4 seeds, a program for each method, against a sweep of as many step sizes
   on the reliable network (ring, n=64, d=100): at most 1.5 times as long.
2. A single run on a ring of 16: at most 2.5 times as long.
3. A random 4-regular graph of 1e5 nodes under loss in a fresh process, and half of it: memory is linear in the arcs.

Measured on two cores that others used too, in seconds of the processor, the least of several, with jax 0.10.2 in
November 2026:

| | failing / reliable |
|---|---|
| sweep of 64 cells: DSGD, GT, K-GT | 1.24, 1.17, 1.13 |
| one run, ring of 16, d=100, loss: DSGD, GT, K-GT | 1.11, 0.88, 0.96 |
| one run, ring of 16, d=100, loss and sleep | 1.52, 1.21, 1.25 |
| one run, ring of 16, d=20, loss: DSGD | 2.0 |
| one run, ring of 16, d=4, loss: DSGD, GT, K-GT | 3.5, 3.0, 2.2 |

With d=4 the limit is missed by methods of which a reliable round takes 0.3 µs: a lossy one takes 1.1. Of the 0.8 more
0.6 are the branch of a round that draws coins, whatever the size of a block (8 to 1024 rounds); masks, gathers and sums
are 0.1. Two coins of each hash gain nothing, a hash without an inner loop takes 0.9.

Memory: with 5e4 and 1e5 nodes (d=10) a process peaks at 503 and 579 MB under loss, at 389 and 428 MB without.
"""

import re
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.timing import Table, in_turn
from jaxdec import algorithms, networks, problems, run, sweep
from jaxdec.networks import lossy, sleeping
from jaxdec.networks.outages import GilbertElliott, Markov

METHODS = {
    "DSGD": algorithms.DSGD(lr=0.05),
    "GT": algorithms.GradientTracking(lr=0.05),
    "K-GT": algorithms.KGT(lr=0.05, local_steps=4),
}
PROBABILITIES = [float(p) for p in np.linspace(0, 0.5, 16)]
MANY, COLUMNS = 100_000, 10


def sweeps() -> Table:
    n, d, rounds = 64, 100, 200
    ring, problem, rows = networks.ring(n), problems.quadratic(n, d), []
    asked = {"seeds": 4, "rounds": rounds, "every": rounds, "metrics": ("consensus",), "progress": False}
    for name, method in METHODS.items():
        over = {"network.loss.probability": PROBABILITIES}
        failing = lambda m=method, o=over: sweep(m, problem, lossy(ring, 0.1), over=o, **asked)
        reliable = lambda m=method: sweep(m, problem, ring, over={"lr": [0.05, *STEPS]}, **asked)
        found, plain = failing(), reliable()
        assert found.attrs["programs"] == plain.attrs["programs"] == 1
        np.testing.assert_allclose(found.consensus[0], plain.consensus[0], rtol=1e-3)  # of a loss of 0; float32
        times = [(failing().attrs["run_seconds"], reliable().attrs["run_seconds"]) for _ in range(7)]
        a, b = (1e6 / rounds * median(side) for side in zip(*times, strict=True))
        rows.append((name, f"{a:.0f}", f"{b:.0f}", f"{median(x / y for x, y in times):.2f}", "≤ 1.5"))
    columns = ("64 cells, ring, n=64, d=100", "failing, µs/round", "reliable, µs/round", "ratio", "aim")
    return Table("A sweep over probabilities of loss against one over step sizes", columns, rows)


STEPS = [float(lr) for lr in np.geomspace(0.01, 0.06, 15)]


def single_runs() -> Table:
    ring, rounds, rows = networks.ring(16), 10_000, []
    failing = {
        "loss": lossy(ring, 0.1),
        "bursts": lossy(ring, GilbertElliott(0.1, 5.0)),
        "sleep": sleeping(ring, 0.1),
        "bursts and Markov sleep": sleeping(lossy(ring, GilbertElliott(0.1, 5.0)), Markov(0.1, 5.0)),
    }
    for d in (4, 100):
        problem = problems.quadratic(16, d)
        for name, method in METHODS.items():
            for kind, network in failing.items():
                go = lambda w, m=method, p=problem: (
                    run(m, p, w, rounds=rounds, every=rounds, metrics=("consensus",)).state.x
                )
                np.testing.assert_allclose(go(lossy(ring, 0.0)), go(ring), atol=1e-4)
                a, b, ratio = in_turn(lambda g=go, w=network: g(w), lambda g=go: g(ring), pairs=7)
                a, b, aim = a / rounds * 1e6, b / rounds * 1e6, "≤ 2.5" if kind == "loss" else ""
                rows.append((f"{name}, d={d}, {kind}", f"{a:.2f}", f"{b:.2f}", f"{ratio:.2f}", aim))
    columns = ("one run, ring, n=16", "failing, µs/round", "reliable, µs/round", "ratio", "aim")
    return Table("A run under failures", columns, rows)


def peak(nodes: int, kind: str) -> None:
    """The peak of this process, in MB, before and after a run on so many nodes."""
    graph = networks.random_regular(nodes, 4)
    network: Any = {"loss": lambda: lossy(graph, 0.1), "reliable": lambda: graph}[kind]()
    problem = problems.quadratic(nodes, COLUMNS)
    # Not ru_maxrss, which begins with that of the process that started this one.
    rss = lambda: int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1e3
    before = rss()
    found = run(METHODS["GT"], problem, network, rounds=20, every=20, metrics=("consensus",))
    assert np.isfinite(found.metrics["consensus"][-1])
    print(before, rss())


def memory() -> Table:
    rows = []
    for kind in ("reliable", "loss"):
        for nodes in (MANY // 2, MANY):
            command = [sys.executable, "-m", "benchmarks.outages", "--peak", str(nodes), kind]
            found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            before, after = map(float, found[-2:])
            vectors = 4 * nodes * COLUMNS / 1e6
            rows.append(
                (f"{kind}, n={nodes}", f"{before:.0f}", f"{after:.0f}", f"{(after - before) / vectors:.1f}", "")
            )
    columns = ("random 4-regular, d=10, gradient tracking", "ready, MB", "peak, MB", "run, (n, d) arrays", "")
    return Table("Memory", columns, rows)


PARTS = (sweeps, single_runs, memory)

if __name__ == "__main__":
    peak(int(sys.argv[-2]), sys.argv[-1])
