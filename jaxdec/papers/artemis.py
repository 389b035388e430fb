"""Artemis where clients are absent: Philippenko and Dieuleveut (2020), arXiv:2006.14591.

Compression in both directions, half of the 20 clients in a round, exact gradients. Two ways to take part: in PP1 the
server keeps the memory of each client and adds up those of the clients that take part; in PP2 it keeps a single memory,
of all, and adds up what they send. What it shows:

- In PP1 no memory helps against absence: the gradients of those who take part do not sum to zero at the minimizer, and
  every method stays at least where SGD with absent clients does.
- In PP2 whatever has a memory converges linearly to the minimizer, also with compression in both directions.

The authors' figures for "quantum" and "superconduct", which are not here, were seen in the notebooks PP1 and PP2 of
their code, github.com/philipco/artemis-bidirectional-compression. Its PP2 is memories = "authors" of `Artemis`; that
with a memory which is the mean of the clients' is "one".
"""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from scipy.linalg import solve_discrete_lyapunov

from jaxdec import networks, problems
from jaxdec.algorithms import DIANA, QSGD, SGD, Artemis, BiQSGD
from jaxdec.compressors import Identity, Quantization
from jaxdec.papers.command import main
from jaxdec.papers.exhibits import Claim, Exhibit, Paper
from jaxdec.papers.mcm import tasks
from jaxdec.results import plotting

__all__ = ["PAPER", "SHARE", "SQUARES", "figure", "floor", "participation", "strategies"]

SHARE = 0.5  # of the clients in a round
SQUARES = "synthetic least squares"
EXCESS = r"$F(x) - F^\star$"
REMEMBERS, MEAN = "SGD with memory", "Artemis, mean memory"
WITH_MEMORY = (REMEMBERS, "DIANA", "Artemis", MEAN)
NAMES = ("SGD", "QSGD", "DIANA", "BiQSGD", "Artemis", REMEMBERS, MEAN)


def strategies(lr: float, alpha: float) -> Mapping[str, Mapping[str, Any]]:
    """The methods of each way to take part; `alpha` is the rate of SGD's memory, which has no compressor to give it."""
    C = Quantization(levels=1)
    up, both = {"lr": lr, "compressor": C}, {"lr": lr, "compressor": C, "down_compressor": C}
    plain = {"SGD": SGD(lr=lr), "QSGD": QSGD(**up), "BiQSGD": BiQSGD(**both)}
    single = {
        "DIANA": DIANA(**up, memories="authors"),
        "Artemis": Artemis(**both, memories="authors"),
        REMEMBERS: DIANA(lr=lr, compressor=Identity(), alpha=alpha, memories="authors"),
        MEAN: Artemis(**both, memories="one"),
    }
    return {"PP1": plain | {"DIANA": DIANA(**up), "Artemis": Artemis(**both)}, "PP2": plain | single}


@cache
def _task(given: str) -> tuple[Any, float]:
    """A problem with exact gradients, its minimum found, and the L of the steps."""
    made = tasks.synthetic_least_squares(batch_size=None, seed=7) if given == SQUARES else _real(given)
    return problems.solve(made, tolerance=1e-7), tasks.smoothness(made)


def _real(given: str) -> Any:
    return tasks.real(given, split="labels" if given == tasks.STAND_IN else "clusters")


def participation(*, given: str, names: Sequence[str], rounds: int, every: int, seeds: int) -> Mapping[str, Any]:
    """Steps 1/L, quantization with one level."""
    task, L = _task(given)
    omega = float(Quantization(levels=1).omega(task.blocks))
    found = strategies(1 / L, 1 / (2 * (omega + 1)))
    parts = {"problems": task, "networks": networks.server(tasks.CLIENTS, participation=SHARE)}
    horizon = {"rounds": rounds, "every": every, "seeds": seeds, "metrics": ("suboptimality",)}
    chosen = {strategy: {k: v for k, v in of.items() if k in names} for strategy, of in found.items()}
    return {strategy: {"algorithms": of} | parts | horizon for strategy, of in chosen.items()}


def floor(given: str = SQUARES) -> float:
    """The excess loss at which SGD with absent clients comes to rest, where the f_i have nearly one Hessian H.

    E z z' = (I - H/L) E z z' (I - H/L) + C / L² with z = x - x*, C being the covariance of the sum of the gradients at
    x* of those who take part; the excess loss is half of the trace of H E z z'.
    """
    task, L = _task(given)
    x = jnp.asarray(task.minimizer)
    G = np.asarray(task.grad(jnp.broadcast_to(x, (task.n, task.d))))
    H = np.asarray(jax.hessian(task.objective)(x))
    C = (1 - SHARE) / SHARE * G.T @ G / task.n**2
    shrunk = np.eye(task.d) - H / L
    return float(np.trace(H @ solve_discrete_lyapunov(shrunk, C / L**2)) / 2)


def _rest(results: xr.Dataset, strategy: str, name: str) -> float:
    """The mean excess loss over the second half of the rounds."""
    late = results["round"] > float(results["round"][-1]) / 2
    return float(results["suboptimality"].sel(strategy=strategy, algorithm=name, round=late).mean())


def _ratio(results: xr.Dataset, over: str, under: str, strategy: str = "PP1") -> float:
    return _rest(results, strategy, over) / _rest(results, strategy, under)


def _from_floor(results: xr.Dataset) -> float:
    return _rest(results, "PP1", "SGD") / floor()


def _there(results: xr.Dataset) -> Sequence[str]:
    return [name for name in WITH_MEMORY if name in results["algorithm"].values]


def _end(results: xr.Dataset) -> float:
    """The largest excess loss at the end of what has a single memory."""
    found = results["suboptimality"].sel(strategy="PP2", algorithm=_there(results))
    return float(found.isel(round=-1).max())


def _straight(results: xr.Dataset) -> float:
    """The decades that Artemis gains in the last third of the rounds over those in the middle one, in the mean."""
    found: Any = np.log10(results["suboptimality"].sel(strategy="PP2", algorithm="Artemis"))
    found = found.mean("seed")
    at = lambda share: float(found.isel(round=round(share * (found.sizes["round"] - 1))))
    return (at(1) - at(2 / 3)) / (at(2 / 3) - at(1 / 3))


def _gained(results: xr.Dataset) -> float:
    """How many times lower DIANA and Artemis end in PP2 than in PP1, the least."""
    late = results["round"] > 0.9 * float(results["round"][-1])
    last = results["suboptimality"].sel(round=late).mean(["seed", "round"])
    at = lambda strategy, name: float(last.sel(strategy=strategy, algorithm=name))
    return min(at("PP1", name) / at("PP2", name) for name in ("DIANA", "Artemis"))


def figure(results: xr.Dataset) -> Figure:
    """The excess loss over rounds, a panel for each way to take part; a method has one colour in both."""
    titles = {
        "PP1": "PP1: the server remembers each client; DIANA lies on SGD",
        "PP2": "PP2: the server has a single memory",
    }
    with plt.rc_context(plotting.STYLE | {"axes.titlesize": 9}):
        figure, axes = plt.subplots(1, 2, figsize=(9, 4.1))
        for ax, strategy in zip(axes, titles, strict=True):
            one = results.sel(strategy=strategy).dropna("algorithm", how="all", subset=["suboptimality"])
            names = [name for name in NAMES if name in one["algorithm"].values]
            plotting.curves(one.sel(algorithm=names), "suboptimality", ax=ax)
            ax.set(title=titles[strategy], xlabel="rounds", ylabel="")
        axes[0].set_ylabel(EXCESS)
        figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


_NOTEBOOKS = "the figures in the notebooks PP1 and PP2 of the authors' code, on other data"
_LARGE = ("default", "full")
_FAST = {"names": ("SGD", "Artemis"), "seeds": 5}

LINEAR = Exhibit(
    "least-squares",
    "Half of 20 clients in a round, exact gradients: synthetic least squares",
    participation,
    figure,
    (
        Claim(
            "in PP2 the largest excess loss at the end of what has a memory",
            _end,
            most=1e-12,
            source="derived",
            where="at the minimizer, with the clients' gradients in their memories, nothing is left to send",
            why="nine decades below any floor in PP1",
        ),
        Claim(
            "in PP2 Artemis gains in the last third of the rounds of what it gains in the middle one",
            _straight,
            least=0.75,
            most=1.25,
            source="derived",
            where="a linear rate",
            why="the mean of few runs of a random product",
        ),
        Claim(
            "in PP1 SGD's floor over what follows from the clients' gradients at the minimizer",
            _from_floor,
            least=0.8,
            most=1.2,
            source="derived",
            where="the variance of a linear recursion, to the second order in the step",
            why="twice the deviation of the mean over seeds and rounds",
            budgets=_LARGE,
        ),
        Claim(
            "in PP1 DIANA's floor over SGD's: a memory takes away what compression adds, and no more",
            partial(_ratio, over="DIANA", under="SGD"),
            least=0.8,
            most=1.25,
            source="read",
            where=_NOTEBOOKS + ", where their curves are one",
            why="they differ by the compressed changes of gradients at a floor",
            budgets=_LARGE,
        ),
        Claim(
            "in PP1 Artemis's floor over SGD's: the server's compressed step adds to it",
            partial(_ratio, over="Artemis", under="SGD"),
            least=2.0,
            source="read",
            where=_NOTEBOOKS,
            why="3 times there; at most 1 + omega of the server's compressor, 5.5",
        ),
        Claim(
            "in PP1 the floors of BiQSGD over QSGD and of QSGD over SGD, the lesser",
            lambda results: min(_ratio(results, "BiQSGD", "QSGD"), _ratio(results, "QSGD", "SGD")),
            least=2.0,
            source="read",
            where=_NOTEBOOKS,
            why="2.5 and 5 times there",
            budgets=_LARGE,
        ),
    ),
    precision="float64",
    minutes={"default": 1.5, "fast": 0.3},
    default={"given": SQUARES, "names": NAMES, "rounds": 900, "every": 15, "seeds": 20},
    fast=_FAST | {"rounds": 450},
    full={"seeds": 100},
    along="strategy",
    assumed="the data, which are synthetic ones of the authors; one draw of them",
)

PAPER = Paper(
    "artemis",
    "Philippenko, Dieuleveut (2020), Bidirectional compression in heterogeneous settings for distributed or federated "
    "learning with partial participation: tight convergence guarantees, arXiv:2006.14591",
    (LINEAR,),
)

if __name__ == "__main__":
    main(PAPER)
