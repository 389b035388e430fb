"""What an event of an asynchronous network costs. `python benchmarks/events.py`, about a minute.

1. With a noisy minibatch against without noise, at a server of 16 clients with exponential clocks and d = 100: at most
   1.5 times as much. A minibatch costs what one client draws, whatever n is; where nothing else is drawn, with clocks
   of fixed speeds, 100 normal numbers are the larger part of an event.
2. With 256 clients against 16, with noise: an event does not compute all nodes.
"""

from functools import partial
from typing import Any

import numpy as np
from timing import in_turn, report

from jaxdec import algorithms, networks, problems, run
from jaxdec.networks import clocks

EVENTS = 20_000


def run_of(method: Any, n: int, noise: float, speed: Any, graph: bool) -> Any:
    network = networks.asynchronous(networks.ring(n) if graph else networks.server(n), speed=speed)
    problem = problems.quadratic(n, 100, noise=noise)
    return partial(run, method, problem, network, rounds=EVENTS, every=EVENTS, metrics=("loss",))


def speeds(n: int) -> np.ndarray:
    return np.linspace(0.5, 1.5, n)


if __name__ == "__main__":
    sgd, pairs = algorithms.AsynchronousSGD(lr=0.01), algorithms.ADPSGD(lr=0.01)
    rows = []
    for name, method, clock, aim in (
        ("asynchronous SGD, exponential clocks", sgd, clocks.Exponential, "≤ 1.5"),
        ("asynchronous SGD, fixed speeds", sgd, clocks.Fixed, ""),
        ("AD-PSGD on a ring, exponential clocks", pairs, clocks.Exponential, "≤ 1.5"),
    ):
        with_noise, without = (run_of(method, 16, noise, clock(speeds(16)), method is pairs) for noise in (0.5, 0.0))
        a, b, ratio = in_turn(lambda f=with_noise: f().state.x, lambda f=without: f().state.x)
        rows.append((f"{name}, n=16", f"{a / EVENTS * 1e6:.2f}", f"{b / EVENTS * 1e6:.2f}", f"{ratio:.2f}", aim))
    many, few = (run_of(sgd, n, 0.5, clocks.Exponential(speeds(n)), False) for n in (256, 16))
    a, b, ratio = in_turn(lambda: many().state.x, lambda: few().state.x)
    rows.append(
        (
            "the same with n=256 against n=16",
            f"{a / EVENTS * 1e6:.2f}",
            f"{b / EVENTS * 1e6:.2f}",
            f"{ratio:.2f}",
            "≤ 2",
        )
    )
    report("an event", rows, ("case", "with noise, µs", "without, µs", "ratio", "aim"))
