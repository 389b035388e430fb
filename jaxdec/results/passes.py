"""Passes over the data, to draw results against."""

from typing import Any

import numpy as np
import xarray as xr

from jaxdec.results.labels import labelled

__all__ = ["add_passes"]


def add_passes(results: Any, samples: Any) -> xr.Dataset:
    """The results with a coordinate `passes`, to draw them against: `plotting.curves(..., x="passes")`.

    It is grads / samples: how often a node has gone through its samples, in the mean over nodes.

    Args:
        results: of `run` or `sweep`.
        samples: how many samples a node has, such as `problem.counts.mean()`; an xarray.DataArray where problems
            differ.

    Raises:
        ValueError: if the number of samples is not positive.

    >>> from jaxdec import algorithms, data, networks, problems, run
    >>> cancer = data.breast_cancer()
    >>> problem = problems.logistic(cancer, data.iid(cancer, n=5), batch_size=13)
    >>> result = run(algorithms.DSGD(lr=0.1), problem, networks.ring(5), rounds=14, every=7)
    >>> add_passes(result, problem.counts.mean())["passes"].values.tolist()
    [0.0, 1.0, 2.0]
    """
    results = labelled(results)
    if not np.all(np.asarray(samples) > 0):
        raise ValueError(f"samples is how many a node has, a positive number; got {samples}")
    passes = results["grads"].reset_coords(drop=True) / samples
    return results.assign_coords(passes=passes.transpose(*(dim for dim in results.dims if dim in passes.dims)))
