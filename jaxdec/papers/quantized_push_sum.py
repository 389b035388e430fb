"""Quantized push-sum: Taheri, Mokhtari, Hassani, Pedarsani (2020), arXiv:2002.09964.

Averaging of vectors in R^1024 over 10 nodes on a digraph, in the style of the paper's first experiment. Its two
digraphs are published as a drawing only; here they are random ones from a seed. What it shows:

- With enough bits an entry, quantized push-sum averages at the rate of exact push-sum: to a given error it takes as
  many rounds, and several times fewer bits.
- Enough is a matter of the norm by which the quantizer scales. At this dimension 4 bits diverge in the l2 norm and are
  plenty in the l-infinity norm: the variance is above and below `theory.critical_variance`.
- Quantizing the values themselves, not their changes, never gets beyond the quantizer's error.

Experiments compute in float64, whatever the precision of JAX: in float32 errors level off at rounding.
"""

from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from jaxdec import networks, problems
from jaxdec.algorithms import DirectlyQuantizedPushSum, PushSumGossip, QuantizedPushSumGossip
from jaxdec.compressors import Quantization, levels_for_bits
from jaxdec.results import plotting
from jaxdec.sweeps import sweep

__all__ = ["DIGRAPHS", "LEAST", "METHODS", "error", "experiment", "figure", "quantizer", "spent_to"]

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


@jax.enable_x64(True)
def experiment(*, rounds: int = 60, seeds: int = 3, d: int = 1024, n: int = 10, draw: int = 0) -> xr.Dataset:
    """Averaging N(0, I) vectors: over `algorithm`, `network`, `seed` and `round`."""
    x0 = np.random.default_rng(draw).standard_normal((n, d))
    problem = problems.Quadratic(jnp.ones((n, d)), jnp.asarray(x0))
    given = {name: networks.random_digraph(n, p, seed=draw) for name, p in DIGRAPHS.items()}
    return sweep(METHODS, problem, given, seeds=seeds, rounds=rounds, x0=x0, metrics=(error,))


def spent_to(dataset: xr.Dataset, level: float, what: str = "bits") -> xr.DataArray:
    """How many bits (or rounds, as "round") the median run has spent when its error is first below `level`."""
    there = dataset["error"].median("seed") < level
    return dataset[what].where(there).min("round")


def figure(dataset: xr.Dataset) -> Figure:
    """The error over rounds and over bits, a row for each digraph."""
    rows = dataset["network"].values
    with plt.rc_context(plotting.STYLE | {"axes.titlesize": 9}):
        figure, grid = plt.subplots(len(rows), 2, figsize=(8, 3 * len(rows) + 0.6), sharey=True, squeeze=False)
        for name, pair in zip(rows, grid, strict=True):
            for ax, x in zip(pair, ("round", "bits"), strict=True):
                plotting.curves(dataset.sel(network=name), "error", x=x, ax=ax)
                ax.lines[0].set(linestyle="--", zorder=5)  # exact: else hidden below 8 bits
                right = 40 if x == "round" else spent_to(dataset, LEAST).sel(algorithm="exact", network=name).item()
                ax.set(title=f"{name} digraph", xlim=(-right / 40, right * 1.02), ylim=(LEAST, 10), ylabel="")
            pair[0].set_ylabel("relative squared error")
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure
