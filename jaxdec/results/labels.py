"""One form for what `run` and `sweep` return: a dataset over `seed` and `round`, and what else was swept."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import xarray as xr

__all__ = ["AXES", "USUAL", "Labelled", "by_algorithm", "labelled", "usual"]

# What a curve is drawn against: rounds, or what was spent until then.
AXES = {
    "round": "communication rounds",
    "grads": "sample gradients per node",
    "vectors": "d-vectors sent to each neighbour",
    "bits": "bits sent to each neighbour",
    "bits_down": "bits received from the server",
    "seconds": "simulated time in seconds",
    "passes": "passes over the data",
}


# What is no news of a round: everybody takes part, nodes have one message, and nothing is lost.
USUAL = {"rounds_present": 1, "messages": 1, "lost": 0}


@runtime_checkable
class Labelled(Protocol):
    """What a run is to a table or a figure."""

    def to_xarray(self) -> xr.Dataset: ...


def labelled(results: Any) -> xr.Dataset:
    """The dataset of a sweep as it is, that of a run with a dimension `seed` of size 1, runs side by side.

    Args:
        results: what `run` or `sweep` returned, or its dataset; or a mapping of labels to such, each of one algorithm.

    Raises:
        TypeError: if it is none of them.
        ValueError: if runs are recorded at different rounds, or have no metric or no seed in common.

    >>> labelled(xr.Dataset({"loss": ("round", [1.0, 0.1])}, {"round": [0, 50]}, {"seed": 3})).loss.sizes
    Frozen({'seed': 1, 'round': 2})
    """
    if isinstance(results, Mapping) and not isinstance(results, xr.Dataset):
        return _side_by_side({str(label): labelled(one) for label, one in results.items()})
    if not isinstance(results, xr.Dataset):
        if isinstance(results, type) or not isinstance(results, Labelled):
            raise TypeError(f"expected what run or sweep returned, or a dataset of it; got {type(results).__name__}")
        results = results.to_xarray()
    if "seed" in results.dims:
        return results
    about = results.attrs
    named = {k: about[k] for k in ("algorithm",) if k in about and k not in results.coords}
    return results.drop_vars("seed", errors="ignore").expand_dims(seed=[about.get("seed", 0)]).assign_coords(named)


def by_algorithm(dataset: xr.Dataset) -> list[tuple[str, xr.Dataset]]:
    """Each algorithm's part, by its label; the whole where there is one."""
    if "algorithm" not in dataset.dims:
        return [(str(dataset.get("algorithm", xr.DataArray("")).values), dataset)]
    return [(str(name), dataset.sel(algorithm=name)) for name in dataset["algorithm"].values]


def usual(name: str, total: Any, rounds: Any) -> bool:
    """Whether what was spent until these rounds is no news, and is left out of results: see `USUAL`.

    What is not known, NaN, does not count.
    """
    if name not in USUAL:
        return False
    return total is None or bool(np.all(np.isnan(total) | (np.asarray(total) == USUAL[name] * np.asarray(rounds))))


def _side_by_side(runs: dict[str, xr.Dataset]) -> xr.Dataset:
    """Runs along a dimension `algorithm` of their labels, with the metrics and the seeds that all of them have."""
    if not runs:
        raise ValueError("a mapping of labels to runs has at least one; got an empty one")
    for label, one in runs.items():
        if "algorithm" in one.dims:
            raise ValueError(f"{label} has several algorithms; give runs of one each, or the sweep's dataset alone")
    first = next(iter(runs))
    for label, one in runs.items():
        if not np.array_equal(one["round"], runs[first]["round"]):
            raise ValueError(
                f"{first} and {label} are recorded at different rounds; run both for as long, with one `every`"
            )
    metrics = [name for name in runs[first].data_vars if all(name in one for one in runs.values())]
    if not metrics:
        raise ValueError(f"{', '.join(runs)} have no metric in common")
    for name, each in USUAL.items():
        if any(name in one.coords for one in runs.values()):  # those that leave it out are as usual
            said = lambda one, name=name, each=each: one.assign_coords({name: ("round", each * one["round"].values)})
            runs = {label: one if name in one.coords else said(one) for label, one in runs.items()}
    index = xr.DataArray(list(runs), dims="algorithm", name="algorithm")
    chosen = [one[metrics].drop_vars("algorithm", errors="ignore") for one in runs.values()]
    found = xr.concat(chosen, index, data_vars="all", coords="different", compat="equals", join="inner",
                      combine_attrs="drop_conflicts")  # fmt: skip
    if not found.sizes["seed"]:
        raise ValueError(f"{', '.join(runs)} have no seed in common; run them with the same seeds")
    return found
