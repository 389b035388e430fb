"""What an event of an asynchronous network costs. `python -m benchmarks events`, about a minute.

1. At a server of 16 clients with exponential clocks and d = 100, logistic regression: with a minibatch of 16 of a
   client's 64 samples at most 1.5 times as much as with all of them. A minibatch costs what one client draws.
2. Quadratics with noise against none: an event is so short that 100 normal numbers are most of it. On two cores it
   takes 10 µs with noise and 5 without, of which the clock draws 3; with clocks of fixed speeds 6 and 2.
3. With 256 clients against 16, with noise: an event does not compute all nodes.
"""

from functools import partial
from typing import Any

import numpy as np

from benchmarks.timing import Table, in_turn
from jaxdec import algorithms, data, networks, problems, run
from jaxdec.networks import clocks

EVENTS = 20_000


def run_of(method: Any, n: int, noise: float, speed: Any, graph: bool) -> Any:
    network = networks.asynchronous(networks.ring(n) if graph else networks.server(n), speed=speed)
    problem = problems.quadratic(n, 100, noise=noise)
    return partial(run, method, problem, network, rounds=EVENTS, every=EVENTS, metrics=("loss",))


def minibatches(batch_size: int | None) -> Any:
    samples = data.synthetic_classification(16 * 64, 99)
    problem = problems.logistic(samples, data.iid(samples, 16), batch_size=batch_size, l2=0.01)
    network = networks.asynchronous(networks.server(16), speed=clocks.Exponential(speeds(16)))
    return partial(
        run, algorithms.AsynchronousSGD(lr=0.01), problem, network, rounds=EVENTS, every=EVENTS, metrics=("loss",)
    )


def speeds(n: int) -> np.ndarray:
    return np.linspace(0.5, 1.5, n)


def an_event() -> Table:
    sgd, pairs = algorithms.AsynchronousSGD(lr=0.01), algorithms.ADPSGD(lr=0.01)
    rows = []
    few, all_of_them = minibatches(16), minibatches(None)
    a, b, ratio = in_turn(lambda: few().state.x, lambda: all_of_them().state.x)
    rows.append(
        (
            "logistic regression, minibatches of 16",
            f"{a / EVENTS * 1e6:.2f}",
            f"{b / EVENTS * 1e6:.2f}",
            f"{ratio:.2f}",
            "≤ 1.5",
        )
    )
    for name, method, clock, aim in (
        ("asynchronous SGD, exponential clocks", sgd, clocks.Exponential, ""),
        ("asynchronous SGD, fixed speeds", sgd, clocks.Fixed, ""),
        ("AD-PSGD on a ring, exponential clocks", pairs, clocks.Exponential, ""),
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
    return Table("An event", ("case", "with noise, µs", "without, µs", "ratio", "aim"), rows)


PARTS = (an_event,)
