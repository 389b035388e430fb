"""Averaging alone over networks that are compared, as several papers on graphs have it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

from jaxdec import problems
from jaxdec.algorithms import PushSumGossip

__all__ = ["averages", "error", "median"]


def error(problem: Any, state: Any) -> Any:
    """Σ_i ‖x_i - mean of x0‖² / Σ_i ‖x0_i - mean of x0‖²; x0 is the problem's b, and the mean its minimizer."""
    distance = lambda x: jnp.sum((x - problem.minimizer[None]) ** 2)
    return distance(state.x) / distance(problem.b)


def averages(
    graphs: Mapping[str, Callable[[int], Any]], *, sizes: Sequence[int], rounds: int, seeds: int, d: int
) -> Mapping[int, Any]:
    """Averaging N(0, I) vectors over n nodes, for each n: the arguments of `sweep`."""

    def of(n: int) -> dict[str, Any]:
        x0 = np.random.default_rng(n).standard_normal((n, d))
        problem = problems.Quadratic(jnp.ones((n, d)), jnp.asarray(x0))
        made = {name: build(n) for name, build in graphs.items()}
        horizon = {"seeds": seeds, "rounds": rounds, "x0": x0, "metrics": (error,)}
        return {"algorithms": {"averaging": PushSumGossip()}, "problems": problem, "networks": made} | horizon

    return {n: of(n) for n in sizes}


def median(results: xr.Dataset, n: int, name: str) -> xr.DataArray:
    """The error over rounds of a network, the median over seeds."""
    return results["error"].sel(n=n, network=name).squeeze("algorithm", drop=True).median("seed")
