"""One run whose nodes lie over several devices: on a CPU its cores. `python -m benchmarks nodes`, two minutes.

A million nodes, d = 16, gradient tracking on diagonal quadratics: the time of a round on one device and on all, the
largest difference of the results, and what a device sends to others in a round by the compiled program.
"""

import json
import os
import re
import subprocess
import sys
from typing import Any

import jax
import numpy as np

from benchmarks.limits import D, four_neighbours
from benchmarks.timing import Table, typical
from jaxdec import algorithms, networks, placement, problems, run
from jaxdec.backend import DEVICES, cores
from jaxdec.loop import ready, simulate
from jaxdec.metrics import consensus, named

N, ROUNDS = 1_000_000, 10
SENT = re.compile(r"= f32\[([\d,]*)\]\S* (all-gather|all-to-all|collective-permute|all-reduce)\(")


def sent(algorithm: Any, problem: Any, network: Any) -> str:
    """The collective operations of a run's program: of which kind, and how many numbers each."""
    parts = ready(algorithm, problem, network, np.zeros((N, D), np.float32), rounds=ROUNDS)
    parts = placement.over_nodes(parts, N, placement.nodes(len(jax.devices()), N))
    program = jax.jit(simulate, static_argnames=("rounds", "every", "metrics"))
    how = dict(rounds=ROUNDS, every=ROUNDS, metrics=named((consensus,)))
    text = program.lower(*parts, jax.random.key(0), None, **how).compile().as_text()
    found: dict[str, list[int]] = {}
    for shape, kind in SENT.findall(text):
        found.setdefault(kind, []).append(int(np.prod([int(k) for k in shape.split(",") if k], dtype=int)))
    return "; ".join(f"{len(sizes)} {kind} of at most {max(sizes):_}" for kind, sizes in sorted(found.items()))


def measured() -> list[tuple[str, ...]]:
    algorithm, problem = algorithms.GradientTracking(lr=0.05), problems.quadratic(N, D, zeta=1.0)
    everything, rows = jax.devices(), []
    for name, network in (("ring", networks.ring(N)), ("4 neighbours", four_neighbours(N))):
        go = lambda w=network, **how: (
            run(algorithm, problem, w, rounds=ROUNDS, every=ROUNDS, metrics=(consensus,), **how).state.x
        )
        off = float(np.abs(np.asarray(go()) - np.asarray(go(devices=everything))).max())
        one, all_of_them = (typical(lambda how=how, go=go: go(**how), times=3) for how in ({}, {"devices": everything}))
        rows.append((f"{name}, {len(everything)} devices", f"{one / ROUNDS * 1e3:.0f}",
                     f"{all_of_them / ROUNDS * 1e3:.0f}", f"{one / all_of_them:.2f}", f"{off:.1e}",
                     sent(algorithm, problem, network)))  # fmt: skip
    return rows


def over_devices() -> Table:
    if jax.default_backend() == "cpu":  # where a number of devices is told before JAX begins
        flags = f"{os.environ.get('XLA_FLAGS', '')} {DEVICES}={max(cores(), 2)}"
        child = [sys.executable, "-c", "import json; from benchmarks import nodes; print(json.dumps(nodes.measured()))"]
        told = subprocess.run(child, env=os.environ | {"XLA_FLAGS": flags}, capture_output=True, text=True, check=True)
        rows = json.loads(told.stdout.splitlines()[-1])
    else:
        rows = measured()
    columns = (f"n={N:_}, d={D}", "one, ms/round", "all, ms/round", "speed-up", "largest difference", "numbers sent")
    return Table("The nodes of one run over devices", columns, rows)


PARTS = (over_devices,)
