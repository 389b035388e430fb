"""Exact gradients of uneven shares: a table of n rows against blocks, in time and in memory, on this machine.

Run `python -m benchmarks uneven`. What it prints decides `SAVED` in `jaxdec/problems/pieces.py`.
"""

import dataclasses
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Table
from jaxdec import data, problems
from jaxdec.problems import pieces

FEATURES, SAMPLES = 100, 20_000


def shares(n: int, largest: int) -> data.Partition:
    """One node with `largest` samples, and the others with equal shares of the rest."""
    rest = np.array_split(np.arange(largest, SAMPLES), n - 1)
    return data.from_lists([np.arange(largest), *rest], SAMPLES)


def measured(problem) -> tuple[float, float]:
    """Milliseconds and megabytes of a gradient."""
    x = jnp.ones((problem.n, problem.d), jnp.float32)
    program = jax.jit(lambda problem, x: problem.grad(x)).lower(problem, x).compile()
    times = []
    for _ in range(15):
        start = time.perf_counter()
        jax.block_until_ready(program(problem, x))
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3, program.memory_analysis().temp_size_in_bytes / 2**20


def tables_and_blocks() -> Table:
    rng = np.random.default_rng(0)
    samples = data.dataset(rng.normal(size=(SAMPLES, FEATURES)).astype(np.float32), np.arange(SAMPLES) % 2)
    pieces.SAVED = 0.0
    rows = []
    for n in (10, 50):
        for largest in (SAMPLES // n, 2 * SAMPLES // n, 4 * SAMPLES // n, 8 * SAMPLES // n, SAMPLES - n + 1):
            if largest > SAMPLES - n + 1:
                continue
            problem = problems.logistic(samples, shares(n, largest))
            saved = problem.indices.size / problem.pieces.indices.size
            pairs = measured(dataclasses.replace(problem, pieces=None)), measured(problem)
            rows.append((f"{n}, {largest}", f"{saved:.2f}", *(f"{ms:.2f} ms, {mb:.1f} MiB" for ms, mb in pairs)))
    return Table("Exact gradients of uneven shares", ("nodes, largest share", "saved", "table", "blocks"), rows)


PARTS = (tables_and_blocks,)
