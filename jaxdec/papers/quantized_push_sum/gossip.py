"""Quantized push-sum: averaging vectors in R^1024 on two random digraphs."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from jaxdec import networks, problems, theory
from jaxdec.algorithms import DirectlyQuantizedPushSum, PushSumGossip, QuantizedPushSumGossip
from jaxdec.compressors import Quantization, levels_for_bits
from jaxdec.papers.exhibits import Claim, Exhibit
from jaxdec.results import plotting

__all__ = [
    "DIGRAPHS",
    "GOSSIP",
    "LEAST",
    "METHODS",
    "averaging",
    "error",
    "figure",
    "misjudged",
    "quantizer",
    "spent_to",
]

DIGRAPHS = {"sparse": 0.2, "dense": 0.5}  # probability of an arc beside those of a cycle through all nodes

LEAST = 1e-10  # error down to which the figure is drawn


def quantizer(bits: int, norm: Any = "linf") -> Quantization:
    """The low-precision quantizer at `bits` bits an entry, its sign among them."""
    return Quantization(levels=levels_for_bits(bits), norm=norm)


METHODS = {
    "exact": PushSumGossip(),
    "8 bits, ℓ2": QuantizedPushSumGossip(quantizer(8, "l2")),
    "4 bits, ℓ2": QuantizedPushSumGossip(quantizer(4, "l2")),
    "8 bits, ℓ∞": QuantizedPushSumGossip(quantizer(8)),
    "4 bits, ℓ∞": QuantizedPushSumGossip(quantizer(4)),
    "3 bits, ℓ∞": QuantizedPushSumGossip(quantizer(3)),
    "8 bits, ℓ∞, values": DirectlyQuantizedPushSum(quantizer(8)),
}


def error(problem: Any, state: Any) -> Any:
    """Σ_i ‖x_i - mean of x0‖² / Σ_i ‖x0_i‖²; x0 is the problem's b, and the mean its minimizer."""
    return jnp.sum((state.x - problem.minimizer[None]) ** 2) / jnp.sum(problem.b**2)


def averaging(*, rounds: int, seeds: int, d: int, n: int, draw: int) -> Mapping[str, Any]:
    """Averaging N(0, I) vectors."""
    x0 = np.random.default_rng(draw).standard_normal((n, d))
    problem = problems.Quadratic(jnp.ones((n, d)), jnp.asarray(x0))
    given = {name: networks.random_digraph(n, p, seed=draw) for name, p in DIGRAPHS.items()}
    horizon = {"seeds": seeds, "rounds": rounds, "x0": x0, "metrics": (error,)}
    return {"": {"algorithms": METHODS, "problems": problem, "networks": given} | horizon}


def spent_to(results: xr.Dataset, level: float, what: str = "bits") -> xr.DataArray:
    """How many bits (or rounds, as "round") the median run has spent when its error is first below `level`."""
    there = results["error"].median("seed") < level
    return results[what].where(there).min("round")


def figure(results: xr.Dataset) -> Figure:
    """The error over rounds and over bits, a row for each digraph."""
    rows = results["network"].values
    with plt.rc_context(plotting.STYLE | {"axes.titlesize": 9}):
        figure, grid = plt.subplots(len(rows), 2, figsize=(8, 3 * len(rows) + 0.6), sharey=True, squeeze=False)
        for name, pair in zip(rows, grid, strict=True):
            for ax, x in zip(pair, ("round", "bits"), strict=True):
                plotting.curves(results.sel(network=name), "error", x=x, ax=ax)
                ax.lines[0].set(linestyle="--", zorder=5)  # exact: else hidden below 8 bits
                right = 40 if x == "round" else spent_to(results, LEAST).sel(algorithm="exact", network=name).item()
                ax.set(title=f"{name} digraph", xlim=(-right / 40, right * 1.02), ylim=(LEAST, 10), ylabel="")
            pair[0].set_ylabel("relative squared error")
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _fewer(results: xr.Dataset) -> float:
    """How many times fewer bits 4 bits in the l-infinity norm take to an error of 1e-6, at least."""
    bits = spent_to(results, 1e-6)
    return float((bits.sel(algorithm="exact") / bits.sel(algorithm="4 bits, ℓ∞")).min())


def _more(results: xr.Dataset) -> float:
    """How many rounds more 8 bits in the l-infinity norm take to an error of 1e-6."""
    rounds = spent_to(results, 1e-6, "round")
    return float((rounds.sel(algorithm="8 bits, ℓ∞") - rounds.sel(algorithm="exact")).max())


def misjudged(results: xr.Dataset) -> float:
    """Of how many quantizers and digraphs the critical variance says otherwise than the runs, that end above 1 or not.

    The relative variance of a quantizer is that on 200 Gaussian vectors.
    """
    x = jnp.asarray(np.random.default_rng(1).standard_normal((200, 1024)))
    last, wrong = results["error"].median("seed").isel(round=-1), 0
    for bits, norm in ((8, "l2"), (4, "l2"), (4, "linf")):
        off = quantizer(bits, norm)(jax.random.key(0), x).value - x
        variance = float(jnp.mean(jnp.sum(off**2, axis=1) / jnp.sum(x**2, axis=1)))
        for name, p in DIGRAPHS.items():
            label = f"{bits} bits, {'ℓ2' if norm == 'l2' else 'ℓ∞'}"
            critical = theory.critical_variance(networks.random_digraph(10, p))
            wrong += (variance > critical) != bool(last.sel(algorithm=label, network=name) > 1)
    return wrong


def _values(results: xr.Dataset) -> float:
    """The least error of quantizing the values themselves."""
    return float(results["error"].sel(algorithm="8 bits, ℓ∞, values").min())


GOSSIP = Exhibit(
    "gossip",
    "Averaging on two random digraphs, over rounds and bits",
    averaging,
    figure,
    (
        Claim(
            "4 bits in the l-infinity norm take so many times fewer bits than exact messages to an error of 1e-6",
            _fewer,
            least=4.5,
            source="independent",
            where="a program in NumPy, written apart",
            why="8 times fewer a round, and some rounds more",
        ),
        Claim(
            "8 bits in the l-infinity norm take so many rounds more",
            _more,
            most=0,
            source="independent",
            where="a program in NumPy, written apart",
            why="a count",
        ),
        Claim(
            "of so many quantizers and digraphs the critical variance says otherwise than the runs",
            misjudged,
            most=0,
            source="derived",
            where="jaxdec.theory.critical_variance",
            why="a count of six",
        ),
        Claim(
            "quantizing the values themselves never has an error below",
            _values,
            least=1e-6,
            source="derived",
            where="what is sent has the quantizer's relative error, 1e-4 in the square",
            why="a hundredth of that",
        ),
    ),
    minutes={"default": 0.33},
    precision="float64",
    default={"rounds": 60, "seeds": 3, "d": 1024, "n": 10, "draw": 0},
    fast={"rounds": 50, "seeds": 2},
    full={"seeds": 20},
    assumed="random digraphs from a seed, and the law of the vectors",
)
