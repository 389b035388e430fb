"""Networks against PyTorch, node after node. `python -m benchmarks training`, two minutes; needs torch.

DSGD on a ring of 8 nodes, minibatches of 32, LeNet with GroupNorm on images of 32 x 32 x 3, and a perceptron with one
hidden layer on 28 x 28. PyTorch trains one model after the other, eager, with all cores, on this device, and mixes the
stacked parameters. The sizes are the same, the data is noise.
"""

from typing import Any

import jax
import numpy as np

from benchmarks.timing import Table, in_turn, typical
from jaxdec import algorithms, data, networks, nn, problems, run
from jaxdec.metrics import consensus

try:
    import torch
    from torch import nn as layers
except ImportError:
    torch = None

NODES, BATCH, LR = 8, 32, 0.05


def images(sides: tuple[int, int, int]) -> data.Dataset:
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(NODES * 1000, *sides), dtype=np.uint8)
    return data.dataset(pixels, np.arange(len(pixels)) % 10)


def in_torch(name: str) -> Any:
    if name == "perceptron":
        return layers.Sequential(layers.Flatten(), layers.Linear(784, 100), layers.ReLU(), layers.Linear(100, 10))
    block = lambda a, b, groups: [
        layers.Conv2d(a, b, 5),
        layers.ReLU(),
        layers.MaxPool2d(2),
        layers.GroupNorm(groups, b),
    ]
    dense = [layers.Flatten(), layers.Linear(400, 120), layers.ReLU(), layers.Linear(120, 84), layers.ReLU()]
    return layers.Sequential(*block(3, 6, 2), *block(6, 16, 4), *dense, layers.Linear(84, 10))


def node_after_node(name: str, rounds: int) -> Any:
    """A loop over nodes, and a mixing of what they have."""
    place = "cuda" if torch.cuda.is_available() and jax.default_backend() != "cpu" else "cpu"
    models = [in_torch(name).to(place) for _ in range(NODES)]
    sides = (1, 28, 28) if name == "perceptron" else (3, 32, 32)
    pixels = torch.rand(NODES * 1000, *sides, device=place)
    labels = torch.arange(NODES * 1000, device=place) % 10
    which = torch.randint(1000, (rounds, NODES, BATCH), device=place)
    W = torch.tensor(np.asarray(networks.ring(NODES).W.dense()), dtype=torch.float32, device=place)
    loss = layers.CrossEntropyLoss()

    def go() -> None:
        for t in range(rounds):
            for k, model in enumerate(models):
                rows = 1000 * k + which[t, k]
                model.zero_grad(set_to_none=True)
                loss(model(pixels[rows]), labels[rows]).backward()
            with torch.no_grad():
                for each in zip(*(model.parameters() for model in models), strict=True):
                    stepped = torch.stack([p - LR * p.grad for p in each])
                    for p, mixed in zip(each, torch.tensordot(W, stepped, 1), strict=True):
                        p.copy_(mixed)
        if place == "cuda":
            torch.cuda.synchronize()

    return go


def against_pytorch() -> Table:
    rows = []
    for name, network, sides, rounds in (
        ("LeNet", nn.models.LeNetGroupNorm(), (32, 32, 3), 20),
        ("perceptron", nn.models.MLP((100,)), (28, 28, 1), 60),
    ):
        found = images(sides)
        problem = problems.neural(network, found, data.iid(found, NODES), batch_size=BATCH)
        ours = lambda p=problem, r=rounds: (
            run(algorithms.DSGD(lr=LR), p, networks.ring(NODES), rounds=r, every=r, metrics=(consensus,)).state.x
        )
        if torch is None:
            rows.append((name, f"{typical(ours) / rounds * 1e3:.2f}", "not installed", "", "≥ 1"))
            continue
        theirs, mine, ratio = in_turn(node_after_node(name, rounds), ours, pairs=5)
        rows.append((name, f"{mine / rounds * 1e3:.2f}", f"{theirs / rounds * 1e3:.2f}", f"{ratio:.2f}", "≥ 1"))
    columns = (f"DSGD, {NODES} nodes, batch {BATCH}", "jaxdec, ms/round", "PyTorch, ms/round", "speed-up", "aim")
    return Table("Networks against PyTorch, node after node", columns, rows)


PARTS = (against_pytorch,)
