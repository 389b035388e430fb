"""From a sweep's dataset to what a table says: the best cell of each algorithm, its spread, what diverged."""

import numpy as np
import xarray as xr


def diverged(dataset: xr.Dataset, metric: str = "loss") -> xr.DataArray:
    """Which runs ended with a value that is not finite, or above the value at round 0.

    >>> import xarray as xr
    >>> runs = xr.Dataset({"loss": (("seed", "round"), [[1.0, 0.1], [1.0, 3.0], [1.0, np.nan]])})
    >>> diverged(runs).values.tolist()
    [False, True, True]
    """
    values = dataset[metric]
    first, last = values.isel(round=0), values.isel(round=-1)
    return xr.ufuncs.logical_or(~xr.ufuncs.isfinite(last), last > first)


def best(dataset: xr.Dataset, metric: str = "loss", *, largest: bool = False) -> xr.Dataset:
    """The dataset at each algorithm's best swept values: those with the best median over seeds at the last round.

    Args:
        dataset: a sweep's result, with or without the dimension `algorithm`.
        metric: the variable to judge by. A cell whose median run diverged counts as the worst.
        largest: whether more is better.

    Returns:
        The dataset without the swept dimensions, which become coordinates over `algorithm`.
    """
    final = dataset[metric].isel(round=-1)
    final = final.where(np.isfinite(final), -np.inf if largest else np.inf).median("seed")
    swept = [dim for dim in final.dims if dim != "algorithm"]
    if not swept:
        return dataset
    final = final.reset_coords(drop=True)
    return dataset.isel(final.argmax(swept) if largest else final.argmin(swept))
