"""Where K-GT and others come to rest on least squares, over heterogeneity and local steps."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from jaxdec import graphs, networks, problems
from jaxdec.metrics import consensus, grad_norm_sq
from jaxdec.papers.exhibits import Claim, Exhibit
from jaxdec.papers.kgt.methods import PROGRAM, look, methods, over_steps
from jaxdec.results import plotting

__all__ = ["FLOORS", "INDEPENDENT", "STEP", "at_rest", "fixed_point", "floors", "least_squares"]

STEP = 0.2  # K lr of `floors`
NOISE = "problem.noise"

# `floors` at sigma = 1, whatever zeta, by an independent program in NumPy: squared gradient norm and consensus error.
INDEPENDENT = {
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


def floors(
    *,
    sigmas: Sequence[float],
    zetas: Sequence[float],
    local_steps: Sequence[int],
    seeds: int,
    rounds: int,
    every: int,
) -> dict[str, Any]:
    """Ring of 20, d = 10, x0 = 1, K lr = 0.2.

    LED runs on (I + W)/2: the least eigenvalue of W is its limit, -1/3.
    """
    n, d = 20, 10
    ring, lazy = networks.ring(n), networks.static(graphs.lazy(graphs.metropolis(graphs.ring(n))))
    given = {f"{zeta:g}": zeta for zeta in zetas}
    shared: dict[str, Any] = {
        "problems": {name: least_squares(n, d, zeta=zeta, sigma=1.0) for name, zeta in given.items()},
        "over": {
            ("local_steps", "lr"): [(K, STEP / K) for K in local_steps],
            NOISE: list(sigmas),
        },
        "x0": np.ones(d),
        "seeds": seeds,
        "rounds": rounds,
        "every": every,
        "metrics": (grad_norm_sq, consensus),
    }
    on_ring = {name: method for name, method in methods(1, STEP).items() if name != "LED"}
    return {
        "ring": shared | {"algorithms": on_ring, "networks": ring},
        "lazy": shared | {"algorithms": {"LED": methods(1, STEP)["LED"]}, "networks": lazy},
    }


def at_rest(results: xr.Dataset, share: float = 0.2) -> xr.Dataset:
    """The mean over the last rounds, a fifth of them, of the median seed: where a run has come to rest."""
    last = float(results["round"][-1])
    return results.sel(round=results["round"] > last * (1 - share)).mean("round").median("seed")


def _cell(results: xr.Dataset, method: str, K: int, noise: float = 1.0) -> xr.Dataset:
    """Over `problem`, the heterogeneity."""
    steps = results["local_steps"].values.tolist().index(K)
    return at_rest(results).sel({"algorithm": method, NOISE: noise}).isel(local_steps_lr=steps)


def _off(results: xr.Dataset) -> float:
    """The largest relative difference from the independent program, over methods, local steps and heterogeneity."""
    known = [(key, w) for key, w in INDEPENDENT.items() if key[1] in results["local_steps"].values]
    cells = ((_cell(results, *key), wanted) for key, wanted in known)
    pairs = (
        (cell[name].values, w) for cell, ws in cells for name, w in zip(("grad_norm_sq", "consensus"), ws, strict=True)
    )
    return max(float(np.max(np.abs(found / wanted - 1))) for found, wanted in pairs)


def _spread(results: xr.Dataset, method: str) -> float:
    """The largest relative difference between heterogeneities."""
    cells = [_cell(results, method, K)["grad_norm_sq"].values for K in results["local_steps"].values]
    return max(float(np.max(cell) / np.min(cell) - 1) for cell in cells)


def _growth(results: xr.Dataset) -> float:
    """Local DSGD's floor without noise at the largest heterogeneity over that at the next, over the ratio squared."""
    floor = _cell(results, "local DSGD", 5, noise=0.0)["grad_norm_sq"]
    last, before = floor.problem.values[[-1, -2]].astype(float)
    return float(floor[-1] / floor[-2]) / (last / before) ** 2


def _least(results: xr.Dataset) -> float:
    """The largest squared gradient norm without noise, of the methods that correct."""
    cells = [_cell(results, name, K, noise=0.0) for name, K in INDEPENDENT if K in results["local_steps"].values]
    return max(float(cell["grad_norm_sq"].max()) for cell in cells)


def floors_figure(results: xr.Dataset) -> Figure:
    """Progress under heterogeneity, and what noise leaves, over local steps."""
    with plt.rc_context(plotting.STYLE | {"axes.titlesize": 9}):
        figure, (a, b, c) = plt.subplots(1, 3, figsize=(11, 3.7))
        middle = results.sizes["local_steps_lr"] // 2
        K, zeta = results["local_steps"].values[middle], results["problem"].values[-1]
        progress = results.isel(local_steps_lr=middle, problem=-1).sel({NOISE: 1.0})
        plotting.curves(progress.drop_vars(["local_steps", "lr"]), "grad_norm_sq", ax=a)
        a.set_title(f"$\\zeta={zeta}$, $K={K}$")
        rest = at_rest(results).sel({NOISE: 1.0}).isel(problem=0)
        for ax, metric, label in (
            (b, "grad_norm_sq", "$\\|\\nabla f(\\bar{x})\\|^2$ at rest"),
            (c, "consensus", "consensus error at rest"),
        ):
            steps = rest["local_steps"].values
            over_steps(ax, steps, label)
            for k, name in enumerate(rest["algorithm"].values):
                ax.plot(steps, rest[metric].sel(algorithm=name), **look(k), label=name)
                known = [INDEPENDENT.get((name, K)) for K in steps]
                marks = [np.nan if one is None else one[metric == "consensus"] for one in known]
                ax.plot(steps, marks, "_", color="0.2", ms=14, mew=1.2, zorder=5)
            ax.set_title(f"$\\zeta={rest.problem.item()}$, $K\\,\\mathrm{{lr}}={STEP:g}$; bars: independent program")
        figure.legend(*a.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


FLOORS = Exhibit(
    "floors",
    "Where methods come to rest on least squares, over heterogeneity and local steps",
    floors,
    floors_figure,
    (
        Claim(
            "each of 18 floors is that of an independent program, as a relative difference",
            _off,
            most=0.25,
            source="independent",
            where=PROGRAM,
            why="means over 800 rounds of 5 seeds differ by 10 % from draw to draw, and two digits are known",
            budgets=("default", "full"),
        ),
        Claim(
            "the same of those with 5 local steps",
            _off,
            most=0.4,
            source="independent",
            where=PROGRAM,
            why="as above, with 2 seeds",
            budgets=("fast",),
        ),
        Claim(
            "K-GT comes to rest at the same level whatever the heterogeneity, as a relative difference",
            partial(_spread, method="K-GT"),
            most=1e-6,
            source="derived",
            where="its corrections cancel the differences of gradients; noise is the same",
            why="the runs are paired and the problems linear, so that only rounding is left",
        ),
        Claim(
            "without noise local DSGD's floor grows as the square of heterogeneity, as a ratio",
            _growth,
            least=0.99,
            most=1.01,
            source="derived",
            where="its fixed point is linear in b, see `fixed_point`",
            why="what is left of the start",
        ),
        Claim(
            "without noise K-GT, Periodical GT and LED are exact: squared gradient norm",
            _least,
            most=1e-18,
            source="derived",
            where="their fixed point",
            why="rounding in float64: 1e-16 of gradients of norm up to 100 in each of a few thousand steps, squared",
        ),
    ),
    minutes={"default": 6.5},
    precision="float64",
    default={
        "sigmas": (1.0, 0.0),
        "zetas": (0.0, 10.0, 100.0),
        "local_steps": (1, 5, 20),
        "seeds": 5,
        "rounds": 4000,
        "every": 10,
    },
    fast={"zetas": (10.0, 100.0), "local_steps": (5,), "seeds": 2, "rounds": 3000, "every": 50},
    full={"seeds": 20},
    assumed="step size, size of the ring and start",
)


def fixed_point(problem: problems.Quadratic, W: np.ndarray, lr: float, K: int) -> np.ndarray:
    """Where local DSGD comes to rest without noise, (n, d), on f_i of scalar curvature a_i.

    K steps contract node i's distance to its own minimizer b_i / a_i by rho_i = (1 - lr a_i)^K, and then W mixes:
    X = W (rho X + (1 - rho) b / a).
    """
    a, b = np.asarray(problem.A, np.float64), np.asarray(problem.b, np.float64)
    rho = (1 - lr * a[:, :1]) ** K
    return np.linalg.solve(np.eye(len(W)) - W * rho.T, W @ ((1 - rho) * b / a))
