"""DiLoCo: Douillard, Feng, Rusu, Chhaparia, Donchev, Kuncoro, Ranzato, Szlam, Shen (2023), DiLoCo: Distributed
low-communication training of language models, arXiv:2311.08105; with arXiv:2501.18512 and arXiv:2506.10911.

The paper trains transformers of up to 400 million parameters on C4 with 8 workers, 500 steps between communications.
Here it is the same claim on a model that two cores train: a character-level transformer on the text that Python's
`help()` prints, whose windows are dealt to 8 nodes at random. All methods take as many steps of AdamW a node, with
minibatches of one size and one schedule; synchronous AdamW takes them with the mean gradient. What differs is what is
sent: a vector a step, or one in 50 steps, in two fragments for Streaming DiLoCo, and to one random peer for NoLoCo.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
import xarray as xr
from jax.tree_util import Partial
from matplotlib.figure import Figure

from jaxdec import algorithms, data, metrics, networks, problems
from jaxdec.algorithms.diloco import nesterov
from jaxdec.nn import models
from jaxdec.papers.command import main
from jaxdec.papers.exhibits import Claim, Exhibit, Paper
from jaxdec.results import plotting
from jaxdec.types import ScalarLike

__all__ = ["DILOCO", "NODES", "NOLOCO", "PAPER", "STREAMING", "SYNCHRONOUS", "adamw", "problem", "text"]

NODES, H, RECORDS = 8, 50, 20
SYNCHRONOUS, DILOCO, STREAMING, NOLOCO = "synchronous AdamW", "DiLoCo", "Streaming DiLoCo", "NoLoCo"
PIECE = 5  # local steps of a round of Streaming DiLoCo, which are also those for which a fragment is under way


def adamw(learning_rate: ScalarLike, steps: ScalarLike) -> Any:
    """AdamW whose learning rate rises for a twentieth of its steps and falls as a cosine to a tenth at the end."""

    def now(count):
        part = jnp.minimum(count / steps, 1)
        return learning_rate * jnp.minimum(20 * (part + 1 / steps), 1) * (0.55 + 0.45 * jnp.cos(jnp.pi * part))

    return optax.adamw(now, weight_decay=0.1)


def problem(*, length: int, layers: int, width: int, batch_size: int) -> problems.FiniteSum:
    """A character-level transformer on windows of a text; node after node, which is faster on a CPU."""
    found = data.text(length=length)
    network = models.Transformer(len(data.alphabet()), layers, width)
    return problems.neural(network, found, data.iid(found, NODES), batch_size=batch_size, nodes="map")


def fragments(names: Sequence[str], layers: int) -> tuple[int, ...]:
    """Two fragments of a transformer: its first layers with what is below, and the others with what is above."""
    above = ["scores", "params/LayerNorm", *(f"layer_{k}/" for k in range(-(-layers // 2), layers))]
    return tuple(int(any(part in name for part in above)) for name in names)


def text(
    *,
    names: Sequence[str],
    length: int,
    layers: int,
    width: int,
    batch_size: int,
    steps: int,
    lr: float,
    outer: tuple[float, float],
    seeds: int,
) -> dict[str, Any]:
    """The methods, recorded some twenty times, each time after a multiple of H steps."""
    task = problem(length=length, layers=layers, width=width, batch_size=batch_size)
    inner, once = Partial(adamw, learning_rate=lr, steps=float(steps)), Partial(optax.sgd, learning_rate=1.0)
    outside = Partial(nesterov, learning_rate=outer[0], momentum=outer[1])
    parts = fragments(task.model.names, layers)
    streaming = {"fragments": parts, "period": H // PIECE, "delay": 1, "alpha": 0.5}
    methods = {
        SYNCHRONOUS: (algorithms.FedOpt(inner, once, local_steps=1), 1),
        DILOCO: (algorithms.DiLoCo(inner, H, outside), H),
        STREAMING: (algorithms.StreamingDiLoCo(inner, PIECE, **streaming, outer_optimizer=outside), PIECE),
        NOLOCO: (algorithms.NoLoCo(inner, H), H),
    }
    stride = H * max(1, steps // (RECORDS * H))
    pairs = networks.random_matchings(NODES)
    return {
        name: {
            "algorithms": {name: method},
            "problems": task,
            "networks": pairs if name == NOLOCO else networks.server(NODES),
            "rounds": steps // each,
            "every": stride // each,
            "metrics": [metrics.test, metrics.consensus],
            "seeds": seeds,
        }
        for name, (method, each) in methods.items()
        if name in names
    }


def by_steps(results: xr.Dataset) -> xr.Dataset:
    """The methods side by side, by steps of each node instead of by rounds."""
    found = []
    for name in results["algorithm"].values:
        one = results.sel(algorithm=[name]).dropna("round", how="all", subset=["test_loss"])
        each = {SYNCHRONOUS: 1, STREAMING: PIECE}.get(str(name), H)
        found.append(one.assign_coords(round=each * one["round"]))
    return xr.concat(found, "algorithm", data_vars="all", coords="different", compat="equals", join="outer")


def _curve(found: xr.Dataset, name: str) -> np.ndarray:
    """The median over seeds of the test loss, in nats per character."""
    return found["test_loss"].sel(algorithm=name).median("seed").values


def _sent(found: xr.Dataset, name: str) -> np.ndarray:
    """The vectors that a node sent until each record."""
    return found["vectors"].sel(algorithm=name).values.reshape(-1, found.sizes["round"])[0]


def _over(found: xr.Dataset, name: str, other: str = SYNCHRONOUS) -> float:
    """The test loss at the end over that of another method."""
    return float(_curve(found, name)[-1] / _curve(found, other)[-1])


def _fewer(found: xr.Dataset, name: str) -> float:
    """How many times fewer vectors a node sends than with synchronous AdamW."""
    return float(_sent(found, SYNCHRONOUS)[-1] / _sent(found, name)[-1])


def _learned(found: xr.Dataset) -> float:
    """The loss of DiLoCo at the end over that at the start."""
    return float(_curve(found, DILOCO)[-1] / _curve(found, DILOCO)[0])


def _stopped(found: xr.Dataset) -> float:
    """The loss of synchronous AdamW once it has sent no less than DiLoCo in all, over its loss at the end."""
    first = int(np.argmax(_sent(found, SYNCHRONOUS) >= _sent(found, DILOCO)[-1]))
    return float(_curve(found, SYNCHRONOUS)[first] / _curve(found, SYNCHRONOUS)[-1])


def figure(found: xr.Dataset) -> Figure:
    """Bits per character on held-out text against steps of each node, and against what it sent."""
    bits = found.assign_coords(steps=found["round"].astype(float), sent=found["vectors"])
    with plt.rc_context(plotting.STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), sharey=True)
        for ax, x, label in zip(axes, ("steps", "sent"), ("steps of each node", "vectors sent by a node"), strict=True):
            plotting.curves(bits, "test_bits", x=x, log_x=x == "sent", ax=ax)
            ax.set(xlabel=label, ylabel="bits per character, held out" if x == "steps" else "", yscale="linear")
        after = found["test_bits"].isel(round=slice(1, None))  # at the start it is far above
        axes[0].set_ylim(0.97 * float(after.min()), 1.03 * float(after.max()))
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


_SENT = "the count of vectors: one a step, and one in 50 steps"
PAPER = Paper(
    "diloco",
    "Douillard et al. (2023), DiLoCo: Distributed low-communication training of language models, arXiv:2311.08105; "
    "Streaming DiLoCo, arXiv:2501.18512; NoLoCo, arXiv:2506.10911",
    (
        Exhibit(
            "text",
            "Characters of a text: synchronous AdamW, and methods that communicate once in 50 steps",
            text,
            figure,
            (
                Claim(
                    "DiLoCo's test loss at the end over that of synchronous AdamW",
                    partial(_over, name=DILOCO),
                    most=1.03,
                    source="read",
                    where="the abstract: on 8 workers it performs as well as fully synchronous optimization",
                    why="as well, to 3 %",
                    budgets=("default", "full"),
                ),
                Claim(
                    "DiLoCo's test loss at the end over that at the start",
                    _learned,
                    most=0.9,
                    source="derived",
                    where="a model that learns nothing has the loss of its start",
                    why="a few hundred steps of a very small model",
                    budgets=("fast",),
                ),
                Claim(
                    "by how many times fewer vectors a node sends with DiLoCo",
                    partial(_fewer, name=DILOCO),
                    least=50.0,
                    most=50.0,
                    source="derived",
                    where=_SENT,
                    why="counted",
                ),
                Claim(
                    "synchronous AdamW's test loss when it has sent no less than DiLoCo in all, over that at its end",
                    _stopped,
                    least=1.2,
                    source="seen",
                    where="this exhibit",
                    why="what is not sent is what the saving is: so few steps do not train the model",
                    budgets=("default", "full"),
                ),
                Claim(
                    "Streaming DiLoCo's test loss at the end over that of DiLoCo",
                    partial(_over, name=STREAMING, other=DILOCO),
                    most=1.03,
                    source="recalled",
                    where="arXiv:2501.18512: of DiLoCo's quality, with less sent at a time",
                    why="as good, to 3 %",
                    budgets=("default", "full"),
                ),
                Claim(
                    "NoLoCo's test loss at the end, of the mean of its models, over that of synchronous AdamW",
                    partial(_over, name=NOLOCO),
                    most=1.05,
                    source="read",
                    where="the abstract of arXiv:2506.10911: up to 4 % faster convergence than DiLoCo",
                    why="as good as DiLoCo, to 5 %; its momentum and its steps are the authors'",
                    must=False,
                    budgets=("default", "full"),
                ),
            ),
            precision="float32",
            default={"names": (SYNCHRONOUS, DILOCO, STREAMING, NOLOCO), "length": 32, "layers": 2, "width": 32}
            | {"batch_size": 32, "steps": 3000, "lr": 6e-3, "outer": (0.7, 0.6), "seeds": 1},
            fast={"names": (SYNCHRONOUS, DILOCO), "length": 8, "layers": 1, "width": 16, "batch_size": 2, "steps": 100}
            | {"lr": 1e-2},
            full={"layers": 4, "width": 128, "length": 128, "steps": 10_000, "seeds": 5},
            view=by_steps,
            assumed="the text, the model and its size, the schedule, 50 steps between communications and not 500, "
            "Nesterov's momentum; the step and the width by the test loss of ten shorter runs of another seed, the "
            "batch by two runs of this one, of 8 and of 32",
        ),
    ),
)

if __name__ == "__main__":
    main(PAPER)
