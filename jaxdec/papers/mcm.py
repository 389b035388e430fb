"""MCM: Philippenko and Dieuleveut, "Preserved central model for faster bidirectional compression", arXiv:2102.12528.

The convex experiments, with 20 clients: real sets of the LIBSVM collection, in the folder that JAXDEC_DATA names, and
synthetic ones. The settings are those of the authors' code, which records a loss once an epoch, before its last step;
here it is after it. That code does not seed its synthetic sets: here each seed is a draw of the same law. Everything is
computed in float64, whatever the precision of JAX.
"""

import dataclasses
import warnings
from typing import Any, Literal

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from scipy.linalg import toeplitz

from jaxdec import data, metrics, networks, problems
from jaxdec._module import module
from jaxdec.algorithms import DIANA, DORE, MCM, SGD, Artemis, RandMCM
from jaxdec.compressors import Quantization, bits_authors
from jaxdec.data.files import file
from jaxdec.results import plotting
from jaxdec.sweeps import sweep
from jaxdec.types import ScalarLike

__all__ = [
    "BATCH",
    "InverseSqrt",
    "alphas",
    "bits_of_figures",
    "convex",
    "excess",
    "figure",
    "methods",
    "minimum",
    "real",
    "smoothness",
    "stride",
    "synthetic_least_squares",
    "synthetic_logistic",
]

CLIENTS, SAMPLES = 20, 200  # SAMPLES of a client, in the synthetic sets
BATCH = {"a9a": 50, "phishing": 50, "w8a": 12}


@module
class InverseSqrt:
    """The schedule lr / √(t + 1)."""

    lr: ScalarLike

    def __call__(self, t):
        return self.lr / jnp.sqrt(t + 1.0)


# Problems.


@jax.enable_x64(True)
def real(name: str, *, split: Literal["clusters", "iid"] = "clusters", batch_size: int | None = None) -> Any:
    """Logistic regression without regularizer on a9a, phishing or w8a, features scaled to mean 0 and variance 1.

    f_i is the mean over the samples of client i, whatever their number. Minibatches are drawn without replacement.

    Args:
        name: "a9a", "phishing" or "w8a"; files NAME and NAME.clusters.npy, the authors' clusters.
        split: the clusters, rebalanced; or "iid", contiguous blocks of equal size.
        batch_size: samples in a minibatch, BATCH[name] being the paper's; None means that every gradient is exact.
    """
    samples = data.libsvm(name)
    deviation = samples.inputs.std(axis=0)
    inputs = (samples.inputs - samples.inputs.mean(axis=0)) / np.where(deviation == 0, 1, deviation)
    scaled = data.dataset(inputs, samples.targets, classes=2, name=name)
    total = len(inputs)
    if split == "iid":
        parts = list(np.arange(total // CLIENTS * CLIENTS).reshape(CLIENTS, -1))
    else:
        labels = np.load(file("libsvm", f"{name}.clusters.npy"))
        parts = data.rebalanced([np.flatnonzero(labels == k) for k in range(CLIENTS)])
    return problems.logistic(scaled, data.from_lists(parts, total), batch_size=batch_size, sampling="subset")


@jax.enable_x64(True)
def synthetic_least_squares(
    *, noise: Literal["client", "sample", "none"] = "client", batch_size: int | None = 1, seed: int = 0
) -> Any:
    """(a'x - y)² without the 1/2, y = a'w + 2 + noise, w_j = -(-1)^j exp(-j/10), a ~ N(0, Σ), Σ_jk = 0.6^|j-k|, d = 19.

    Args:
        noise: N(0, 0.4²); one draw for all samples of a "client" is what the published code does: offsets that make the
            f_i differ, and no noise of labels. "sample" is one draw each, as is said in its text.
        batch_size: samples in a minibatch; None means that every gradient is exact.
        seed: of the data.
    """
    rng = np.random.default_rng(seed)
    d = 19
    w = -((-1.0) ** np.arange(d)) * np.exp(-np.arange(d) / 10)
    inputs = rng.multivariate_normal(np.zeros(d), toeplitz(0.6 ** np.arange(d)), (CLIENTS, SAMPLES))
    shape = {"client": (CLIENTS, 1), "sample": (CLIENTS, SAMPLES), "none": (CLIENTS, 0)}[noise]
    drawn = 0.4 * rng.standard_normal(shape)
    targets = inputs @ w + 2 + (drawn if drawn.size else 0)
    # least_squares has the factor 1/2: with √2 a and √2 y it is (a'x - y)².
    root = np.sqrt(2)
    columns = np.concatenate([np.ones((CLIENTS, SAMPLES, 1)), inputs], axis=2).reshape(CLIENTS * SAMPLES, -1)
    samples = data.dataset(root * columns, root * targets.ravel(), name=f"synthetic least squares, noise per {noise}")
    return problems.least_squares(samples, _blocks(), batch_size=batch_size, bias=False, sampling="subset")


@jax.enable_x64(True)
def synthetic_logistic(*, batch_size: int | None = None, seed: int = 0) -> Any:
    """Logistic regression in two dimensions, w = (10, 10): one draw of inputs for all clients, of two kinds.

    P(y = 1) = 1/(1 + exp(-a'w)). Clients 0, 2, ... have the sign of a_1 turned, and that of w_2 for w.
    """
    rng = np.random.default_rng(seed)
    base = rng.multivariate_normal(np.zeros(2), toeplitz([1.0, 0.6]), SAMPLES)
    turned = np.arange(CLIENTS)[:, None] % 2 == 0
    inputs = np.where(turned[..., None], base * [-1, 1], base)
    w = np.where(turned, [10.0, -10.0], [10.0, 10.0])
    chance = 1 / (1 + np.exp(-np.einsum("nsd,nd->ns", inputs, w)))
    labels = rng.random(chance.shape) < chance
    samples = data.dataset(inputs.reshape(-1, 2), labels.ravel().astype(np.int32), classes=2, name="synthetic logistic")
    return problems.logistic(samples, _blocks(), batch_size=batch_size, bias=False, sampling="subset")


def _blocks() -> data.Partition:
    return data.from_lists(list(np.arange(CLIENTS * SAMPLES).reshape(CLIENTS, SAMPLES)), CLIENTS * SAMPLES)


def smoothness(problem: Any) -> float:
    """The L of the experiments' steps: the mean over clients of ‖A_i'A_i‖ / m_i, Frobenius, and a quarter if logistic.

    The code's comment speaks of the spectral norm, which is smaller.
    """
    inputs, counts = np.asarray(problem.inputs, np.float64), np.asarray(problem.counts)
    own = [inputs[np.asarray(row)[:m]] for row, m in zip(problem.indices, counts, strict=True)]
    L = np.mean([np.linalg.norm(a.T @ a) / len(a) for a in own])
    return float(L / 4 if type(problem.model).__name__ == "Logistic" else L)


def minimum(problem: Any) -> float:
    """F*, in float64, by Newton's method."""
    with jax.enable_x64(True):
        solved = problems.solve(_float64(problem), tolerance=1e-7)
        return float(solved.objective(jnp.asarray(solved.minimizer)))


def _float64(problem: Any) -> Any:
    """The problem with data of float64; labels stay integers."""
    inputs, targets = np.asarray(problem.inputs, np.float64), np.asarray(problem.targets)
    targets = targets.astype(np.float64) if targets.dtype.kind == "f" else targets
    return dataclasses.replace(problem, inputs=jnp.asarray(inputs), targets=jnp.asarray(targets))


# Experiments.


def methods(lr: Any, *, feedback: float | None = None, levels: int = 1) -> dict[str, Any]:
    """The six methods that the paper compares; `feedback` is DORE's, the first step size."""
    C = Quantization(levels=levels)
    return {
        "SGD": SGD(lr=lr),
        "DIANA": DIANA(lr=lr, compressor=C),
        "MCM": MCM(lr=lr, compressor=C, down_compressor=C),
        "Rand-MCM": RandMCM(lr=lr, compressor=C, down_compressor=C),
        "Artemis": Artemis(lr=lr, compressor=C, down_compressor=C),
        "DORE": DORE(lr=lr, compressor=C, down_compressor=C, feedback=feedback),
    }


@jax.enable_x64(True)
def convex(
    problem: Any,
    *,
    epochs: int,
    decreasing: bool = False,
    seeds: int = 5,
    records: int = 10,
    least: float | None = None,
) -> xr.Dataset:
    """The six methods on one problem, step 1/L or, decreasing, 1/(L √k): `excess` is log10(F(x) - F*).

    A round is one minibatch per client, and an epoch as many as the smallest client's samples fill.

    Args:
        problem: of this module.
        epochs: how many.
        decreasing: whether the step decreases.
        seeds: how many.
        records: how many records after the start, at least.
        least: F*; None computes it.
    """
    L = smoothness(problem)
    per_epoch = 1 if problem.minibatch is None else int(np.min(problem.counts)) // problem.minibatch
    rounds = epochs * per_epoch
    chosen = methods(InverseSqrt(1 / L) if decreasing else 1 / L, feedback=1 / L)
    horizon: dict[str, Any] = {"rounds": rounds, "every": stride(rounds, records), "metrics": (metrics.loss,)}
    result = sweep(chosen, _float64(problem), networks.server(problem.n), seeds=seeds, **horizon)
    return excess(result, problem, least)


def stride(rounds: int, records: int) -> int:
    """The longest stride that divides the rounds into at least so many records; 1 where there are fewer rounds.

    >>> stride(500, 10), stride(500 * 7, 10), stride(7, 10)
    (50, 350, 1)
    """
    return max(k for k in range(1, rounds + 1) if rounds % k == 0 and (rounds // k >= records or k == 1))


@jax.enable_x64(True)
def alphas(problem: Any, *, epochs: int = 120, seeds: int = 5, least: float | None = None) -> xr.Dataset:
    """MCM over rates of the model's memory: 0, three that the theory allows, and 1; over `down_alpha`."""
    L, omega = smoothness(problem), float(Quantization(levels=1).omega(problem.blocks))
    rates = [0.0, 1 / (8 * omega), 1 / (2 * (omega + 1)), 1 / (omega + 1), 1.0]
    rounds = epochs * (int(np.min(problem.counts)) // problem.minibatch)
    horizon: dict[str, Any] = {
        "seeds": seeds,
        "rounds": rounds,
        "every": stride(rounds, 10),
        "metrics": (metrics.loss,),
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="MCM.down_alpha")  # 0 and 1 are the controls
        mcm = methods(1 / L)["MCM"]
        result = sweep(mcm, _float64(problem), networks.server(problem.n), over={"down_alpha": rates}, **horizon)
    return excess(result, problem, least)


def excess(result: xr.Dataset, problem: Any, least: float | None = None) -> xr.Dataset:
    """The results with log10(F - F*) as `excess`, nan where it is at or below F*."""
    gap = result["loss"] - (minimum(problem) if least is None else least)
    return result.assign(excess=np.log10(gap.where(gap > 0)))


def figure(result: xr.Dataset) -> Figure:
    """What `convex` returns, mean and standard deviation over seeds, against rounds and against a client's bits."""
    with plt.rc_context(plotting.STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), sharey=True)
        sent = result["bits"] + result["bits_down"]
        for k, name in enumerate(result["algorithm"].values):
            one = result["excess"].sel(algorithm=name)
            mean, deviation = one.mean("seed"), one.std("seed")
            bits = sent.sel(algorithm=name)
            bits = bits.mean("seed") if "seed" in bits.dims else bits
            for ax, x in ((axes[0], result["round"]), (axes[1], bits)):
                look: dict[str, Any] = {"color": plotting.COLOURS[k], "marker": plotting.MARKERS[k]}
                ax.plot(x[1:], mean[1:], label=name, **look)
                ax.fill_between(x[1:], (mean - deviation)[1:], (mean + deviation)[1:], color=look["color"], alpha=0.15)
        axes[0].set(xlabel="communication rounds", ylabel=r"$\log_{10}(F(x) - F^\star)$")
        axes[1].set(xlabel="bits of a client, up and down", xscale="log")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return figure


def bits_of_figures(algorithm: Any, n: int, d: int, p: float = 1.0) -> tuple[float, float]:
    """Bits up and down of one counted step as the authors' code counts them: one step an epoch, for all clients.

    The honest count, of each round and message, is in the results as `bits` and `bits_down`.

    >>> up, down = bits_of_figures(methods(0.1)["MCM"], n=20, d=124)
    >>> round(up, 2), round(down, 2)
    (3336.25, 3336.25)
    """

    def one(field: str) -> float:
        compressor = getattr(algorithm, field, None)
        return bits_authors(n, d, int(compressor.levels) if compressor else 0)

    sends_model = isinstance(algorithm, MCM | RandMCM)
    return p * one("compressor"), (p if sends_model else 1) * one("down_compressor")
