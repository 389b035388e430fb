r"""K-GT: Liu, Lin, Koloskova, Stich (2023), Decentralized gradient tracking with local steps, arXiv:2301.01313.

A reconstruction: least squares and noise in the style of Koloskova, Loizou, Boreiri, Jaggi, Stich (2020),
arXiv:2003.10422, not the paper's own experiments. What it shows:

- K-GT, Periodical GT and LED do not feel heterogeneity; local DSGD stalls at a floor that grows as zeta².
- At a fixed K lr, K local steps divide the noise in K-GT's gradient and disagreement by K. Periodical GT tracks a
  single gradient, and its disagreement does not fall with K.
- K local steps save up to K times the communication, until the network is the bottleneck.

Experiments compute in float64, whatever the precision of JAX: in float32 the noiseless floors are those of rounding.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from jaxdec import graphs, networks, problems
from jaxdec.algorithms import KGT, LED, LocalDSGD, PeriodicalGT
from jaxdec.metrics import consensus, grad_norm_sq
from jaxdec.results import plotting
from jaxdec.sweeps import sweep

__all__ = [
    "FLOORS",
    "METRICS",
    "STEP",
    "figure",
    "fixed_point",
    "floor",
    "floors",
    "least_squares",
    "methods",
    "rounds_to",
    "saving",
]

METRICS = (grad_norm_sq, consensus)
STEP = 0.2  # K lr of `floors`

# `floors` at sigma = 1, whatever zeta, by an independent program in NumPy: squared gradient norm and consensus error.
FLOORS = {
    ("K-GT", 1): (2.2e-3, 3.2e-2),
    ("K-GT", 5): (4.8e-4, 6.1e-3),
    ("K-GT", 20): (1.1e-4, 1.5e-3),
    ("Periodical GT", 1): (2.2e-3, 3.2e-2),
    ("Periodical GT", 5): (9.8e-4, 3.1e-2),
    ("Periodical GT", 20): (7.2e-4, 3.0e-2),
    ("LED", 1): (2.2e-3, 6.7e-2),
    ("LED", 5): (4.5e-4, 1.3e-2),
    ("LED", 20): (1.0e-4, 3.2e-3),
}


def least_squares(n: int, d: int, *, zeta: float, sigma: float, seed: int = 0) -> problems.Quadratic:
    """f_i with gradient (i²/n²) x - i n^(-3/2) b_i, b_i ~ N(0, zeta² I / i²), and noise N(0, sigma² I / d); i = 1..n.

    Those of Koloskova et al. 2020, ‖A_i x - b_i‖²/2 with A_i² = (i²/n) I, divided by n, so that L = 1. One seed is one
    draw for every zeta.
    """
    i = np.arange(1, n + 1)[:, None]
    b = np.random.default_rng(seed).standard_normal((n, d)) * zeta / i
    return problems.Quadratic(jnp.asarray(np.tile(i**2 / n**2, d)), jnp.asarray(i * n**-1.5 * b), sigma)


def methods(K: int, lr: float) -> dict[str, Any]:
    """The four methods; LED's network is made lazy by `floors`."""
    return {
        "K-GT": KGT(lr=lr, local_steps=K),
        "Periodical GT": PeriodicalGT(lr=lr, local_steps=K),
        "LED": LED(lr=lr, local_steps=K),
        "local DSGD": LocalDSGD(lr=lr, local_steps=K),
    }


@jax.enable_x64(True)
def floors(
    *,
    sigma: float = 1.0,
    zetas: Sequence[float] = (0.0, 10.0, 100.0),
    local_steps: Sequence[int] = (1, 5, 20),
    seeds: int = 5,
    rounds: int = 4000,
    every: int = 10,
    only: Sequence[str] | None = None,
) -> xr.Dataset:
    """Ring of 20, d = 10, x0 = 1, K lr = 0.2: over `algorithm`, `local_steps`, `zeta`, `seed` and `round`.

    LED runs on (I + W)/2: the least eigenvalue of W is its limit, -1/3.
    """
    n, d = 20, 10
    given = {zeta: least_squares(n, d, zeta=zeta, sigma=sigma) for zeta in zetas}
    ring = networks.ring(n)
    lazy = networks.static(graphs.lazy(graphs.metropolis(graphs.ring(n))))
    horizon: dict[str, Any] = {"seeds": seeds, "rounds": rounds, "every": every, "metrics": METRICS}

    def one(name: str, K: int) -> xr.Dataset:
        method = {name: methods(K, STEP / K)[name]}
        network = lazy if name == "LED" else ring
        result = sweep(method, {str(z): p for z, p in given.items()}, network, x0=np.ones(d), **horizon)
        return result.rename(problem="zeta").assign_coords(zeta=list(zetas))

    names = [name for name in methods(1, 1.0) if only is None or name in only]
    return _concat([_concat([one(name, K) for K in local_steps], "local_steps", local_steps) for name in names])


def floor(dataset: xr.Dataset, share: float = 0.2) -> xr.Dataset:
    """The mean over the last rounds, a fifth of them: where a run has come to rest."""
    last = float(dataset["round"][-1])
    return dataset.sel(round=dataset["round"] > last * (1 - share)).mean("round")


def fixed_point(problem: problems.Quadratic, W: np.ndarray, lr: float, K: int) -> np.ndarray:
    """Where local DSGD comes to rest without noise, (n, d), on f_i of scalar curvature a_i.

    K steps contract node i's distance to its own minimizer b_i / a_i by rho_i = (1 - lr a_i)^K, and then W mixes:
    X = W (rho X + (1 - rho) b / a).
    """
    a, b = np.asarray(problem.A, np.float64), np.asarray(problem.b, np.float64)
    rho = (1 - lr * a[:, :1]) ** K
    return np.linalg.solve(np.eye(len(W)) - W * rho.T, W @ ((1 - rho) * b / a))


@jax.enable_x64(True)
def saving(
    *,
    local_steps: Sequence[int] = (1, 2, 5, 10, 20),
    curvatures: Sequence[tuple[float, float]] = ((1.0, 1.0), (0.5, 1.0)),
    lr: float = 0.005,
    zeta: float = 10.0,
    rounds: int = 4500,
    only: Sequence[str] = ("K-GT", "local DSGD"),
    seed: int = 0,
) -> xr.Dataset:
    """Ring of 16, no noise, a small step: over `algorithm`, `local_steps`, `curvature` and `round`.

    f_i(x) = a_i ‖x‖²/2 - b_i'x, d = 10, b_i ~ N(0, zeta² I), x0 = 1, with a_i equally spaced over an interval. With K
    local steps there are rounds / K of them, but at least rounds / 4; what is missing is nan.
    """
    n, d = 16, 10
    b = jnp.asarray(zeta * np.random.default_rng(seed).standard_normal((n, d)))
    given = {
        f"{low:g} to {high:g}": problems.Quadratic(jnp.asarray(np.tile(np.linspace(low, high, n)[:, None], d)), b)
        for low, high in curvatures
    }

    def one(K: int) -> xr.Dataset:
        chosen = {name: method for name, method in methods(K, lr).items() if name in only}
        horizon = max(rounds // K, rounds // 4)
        result = sweep(chosen, given, networks.ring(n), x0=np.ones(d), seeds=1, rounds=horizon, metrics=METRICS)
        return result.isel(seed=0, drop=True).rename(problem="curvature")

    return _concat([one(K) for K in local_steps], "local_steps", local_steps)


def rounds_to(dataset: xr.Dataset, gradient: float = 1e-5) -> xr.DataArray:
    """The first recorded round at which ‖∇f(xbar)‖ is below `gradient`; nan where none is."""
    there = dataset["grad_norm_sq"] < gradient**2
    return there["round"].where(there).min("round")


def figure(noisy: xr.Dataset, noiseless: xr.Dataset) -> Figure:
    """What `floors()` and `saving()` show, on four panels."""
    with plt.rc_context(plotting.STYLE | {"axes.titlesize": 9}):
        figure, ((a, b), (c, d)) = plt.subplots(2, 2, figsize=(8, 6.4))
        middle = noisy.sizes["local_steps"] // 2
        K, zeta = noisy["local_steps"].values[middle], noisy["zeta"].values[-1]
        plotting.curves(noisy.isel(local_steps=middle, zeta=-1), "grad_norm_sq", ax=a)
        a.set_title(f"heterogeneity: $\\zeta={zeta:g}$, $K={K}$")
        at_rest = floor(noisy).isel(zeta=0).median("seed")
        for axes, metric, label in (
            (b, "grad_norm_sq", "$\\|\\nabla f(\\bar{x})\\|^2$ at rest"),
            (c, "consensus", "consensus error at rest"),
        ):
            _over_steps(axes, at_rest["local_steps"].values, label)
            for k, name in enumerate(at_rest["algorithm"].values):
                axes.plot(at_rest["local_steps"], at_rest[metric].sel(algorithm=name), **_look(k), label=name)
            top = at_rest[metric].isel(local_steps=0).max().item() * 1.6
            axes.plot(at_rest["local_steps"], top / at_rest["local_steps"], color="0.5", ls=":", lw=1.2)
            axes.annotate("$1/K$", (1, top), (8, -2), textcoords="offset points", color="0.4")
            axes.set_title(f"noise alone: $\\zeta=0$, $K\\,\\mathrm{{lr}}={STEP:g}$")
        needed = rounds_to(noiseless)
        _over_steps(d, needed["local_steps"].values, "rounds to $\\|\\nabla f(\\bar{x})\\|<10^{-5}$")
        equal, apart = needed["curvature"].values
        d.plot(
            needed["local_steps"], needed.sel(algorithm="K-GT", curvature=equal), "k--", label="all, equal curvatures"
        )
        for k, name in enumerate(needed["algorithm"].values):
            one = needed.sel(algorithm=name, curvature=apart)
            never = "" if np.any(np.isfinite(one)) else ": never"
            look = _look(k if name == "K-GT" else 3)
            d.plot(needed["local_steps"], one, label=f"{name}, curvatures {apart}{never}", **look)
        d.set_title("communication saved: no noise, small lr")
        d.legend(fontsize=8, loc="lower left")
        d.set_yticks([200, 500, 1000, 2000, 4000], ["200", "500", "1000", "2000", "4000"])
        d.set_ylim(bottom=40)
        d.yaxis.set_minor_locator(NullLocator())
        handles, labels = a.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def _look(k: int) -> dict[str, Any]:
    return {"color": plotting.COLOURS[k], "marker": plotting.MARKERS[k]}


def _over_steps(axes, K: np.ndarray, label: str) -> None:
    axes.set(xscale="log", yscale="log", xlabel="local steps $K$", ylabel=label)
    axes.set_xticks(K, [str(k) for k in K])
    axes.xaxis.set_minor_locator(NullLocator())


def _concat(datasets: list[xr.Dataset], dim: str = "algorithm", values: Sequence[int] | None = None) -> xr.Dataset:
    """Sweeps side by side. Shorter ones are filled up with nan."""
    index: Any = dim if values is None else xr.DataArray(list(values), dims=dim, name=dim)
    options: dict[str, Any] = {"data_vars": "all", "coords": "different", "compat": "equals", "join": "outer"}
    return xr.concat(datasets, index, combine_attrs="drop_conflicts", **options)
