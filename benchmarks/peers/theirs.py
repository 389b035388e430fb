"""The peer's side, in its own environment: `python -m benchmarks.peers.theirs FILE --coins COINS`.

It makes the data of both problems, and writes these, the graph, and of each method the last iterates and the seconds
into FILE. COINS is a file with the coins of the methods that flip them, 1 for a round that communicates.
"""

import argparse
import contextlib
import json
import platform
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import networkx as nx
import numpy as np
from decent_array import Array
from decent_array import interoperability as iop
from decent_bench.agents import Agent
from decent_bench.algorithms import federated, p2p
from decent_bench.costs import LinearRegressionCost, LogisticRegressionCost, QuadraticCost
from decent_bench.networks import FedNetwork, P2PNetwork
from decent_bench.utils import solvers

from benchmarks.peers.methods import NODES, PEERS, Peer

SAMPLES, D, TIMES = 20, 5, 3
EDGES = [(i, (i + 1) % NODES) for i in range(NODES)] + [(0, 4), (0, 2), (1, 5), (0, 3)]  # degrees from 2 to 5


def data() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Inputs (n, m, d) and targets (n, m) of each problem, by what is fitted; nodes differ."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((NODES, SAMPLES, D)) + rng.standard_normal((NODES, 1, D)) / 2
    models = rng.standard_normal((NODES, D))
    scores = np.einsum("nmd,nd->nm", inputs, models)
    noisy = scores + 0.1 * rng.standard_normal(scores.shape)
    return {"quadratic": (inputs, noisy), "logistic": (inputs, (noisy > 0).astype(float))}


def agents(problem: str, inputs: np.ndarray, targets: np.ndarray, iterations: int) -> list[Agent]:
    """New ones, with exact gradients, which keep no more than the last of their iterates."""
    cost = {"quadratic": LinearRegressionCost, "logistic": LogisticRegressionCost}[problem]
    rows = lambda i: [
        (iop.from_numpy(a), iop.from_numpy(np.array([y]))) for a, y in zip(inputs[i], targets[i], strict=True)
    ]
    return [Agent(cost(rows(i)), state_snapshot_period=iterations) for i in range(NODES)]


@contextlib.contextmanager
def mended(what: tuple[str, ...]) -> Iterator[None]:
    """What is not as the method's listing has it, so that it is."""
    with contextlib.ExitStack() as stack:
        if "additions" in what:  # += makes a new array, and changes no message that others look at
            stack.enter_context(mock.patch.object(Array, "__iadd__", lambda a, b: a + b))
        if "proximal solver" in what:  # which stops where a step's square is below 1e-10
            exact = lambda cost, y, penalty: accelerated(cost, y, penalty).run(3000, 1e-34, show_progress=False)
            stack.enter_context(mock.patch.object(solvers, "proximal_solver", exact))
        yield


def accelerated(cost: Any, y: Any, penalty: float) -> Any:
    """The peer's own solver of a proximal step."""
    nearby = QuadraticCost(A=iop.eye(iop.shape(y)[0]) / penalty, b=-y / penalty) + cost
    return solvers.AcceleratedGradientDescent(nearby, x0=y)


def once(peer: Peer, problem: str, inputs: np.ndarray, targets: np.ndarray, coins: str) -> tuple[Any, Any, float]:
    """The nodes' last iterates, the server's, and the seconds of all iterations."""
    made = agents(problem, inputs, targets, peer.iterations)
    if peer.family == "p2p":
        graph = nx.Graph()
        graph.add_nodes_from(range(NODES))
        graph.add_edges_from(EDGES)
        network: Any = P2PNetwork(graph, made)
    else:
        network = FedNetwork(made)
    per_client = lambda value: dict(zip(made, value, strict=True)) if isinstance(value, tuple) else value
    module = p2p if peer.family == "p2p" else federated
    method = getattr(module, peer.name)(**{key: per_client(value) for key, value in peer.arguments.items()})
    # The one compares with the probability to communicate, the other with that to skip.
    heads, tails = (0.0, 1.0) if peer.name == "ProxSkip" else (1.0, 0.0)
    drawn = [heads if coin == "1" else tails for coin in coins]
    with mock.patch("random.random", side_effect=drawn) if coins else contextlib.nullcontext():
        began = time.perf_counter()
        method.run(network, peer.iterations)
        seconds = time.perf_counter() - began
    nodes = np.stack([iop.to_numpy(agent.x) for agent in made])
    return nodes, nodes[:0] if peer.family == "p2p" else iop.to_numpy(network.server().x)[None], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--coins", type=Path, required=True)
    asked = parser.parse_args()
    coins = json.loads(asked.coins.read_text())
    iop.set_backend("numpy")
    found: dict[str, Any] = {"edges": np.array(EDGES)}
    for problem, (inputs, targets) in data().items():
        found |= {f"{problem}/inputs": inputs, f"{problem}/targets": targets}
        for peer in PEERS:
            go = lambda p=peer, of=problem, a=inputs, y=targets: once(p, of, a, y, coins.get(p.name, ""))
            runs = [go() for _ in range(TIMES)]
            key = f"{problem}/{peer.name}"
            found |= {f"{key}/x": runs[0][0], f"{key}/server": runs[0][1]}
            found[f"{key}/seconds"] = median(seconds for *_, seconds in runs)
            if peer.mend:
                with mended(peer.mend):
                    found[f"{key}/mended"] = go()[0]
            print(key, flush=True)
    found["versions"] = json.dumps({"python": platform.python_version(), "decent-bench": version("decent-bench")})
    np.savez(asked.file, **found)


if __name__ == "__main__":
    main()
