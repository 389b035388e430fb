"""One form for what `run` and `sweep` return: a dataset over `seed` and `round`, and what else was swept."""

from typing import Any, Protocol, runtime_checkable

import xarray as xr

__all__ = ["Labelled", "labelled"]


@runtime_checkable
class Labelled(Protocol):
    """What a run is to a table or a figure."""

    def to_xarray(self) -> xr.Dataset: ...


def labelled(results: Any) -> xr.Dataset:
    """The dataset of a sweep as it is, and that of a run with a dimension `seed` of size 1.

    Args:
        results: what `run` or `sweep` returned, or its dataset.

    Raises:
        TypeError: if it is neither.

    >>> labelled(xr.Dataset({"loss": ("round", [1.0, 0.1])}, {"round": [0, 50]}, {"seed": 3})).loss.sizes
    Frozen({'seed': 1, 'round': 2})
    """
    if not isinstance(results, xr.Dataset):
        if isinstance(results, type) or not isinstance(results, Labelled):
            raise TypeError(f"expected what run or sweep returned, or a dataset of it; got {type(results).__name__}")
        results = results.to_xarray()
    if "seed" in results.dims:
        return results
    about = results.attrs
    named = {k: about[k] for k in ("algorithm",) if k in about and k not in results.coords}
    return results.drop_vars("seed", errors="ignore").expand_dims(seed=[about.get("seed", 0)]).assign_coords(named)
