"""What a network did on average: the share of the messages that were lost, and of the nodes that were awake."""

from typing import Any

import xarray as xr

from jaxdec.results.labels import labelled

__all__ = ["add_shares"]


def add_shares(results: Any) -> xr.Dataset:
    """The results with what the network did as further metrics, to draw: `share_lost` and `share_awake`.

    They are means over the rounds since the record before, and so NaN at round 0: of the messages sent in a round the
    share that was lost, and of the nodes the share that took part. The sums since round 0 are the coordinates `lost`
    and `rounds_present`, which results leave out where nothing is lost, or everybody is always there.

    Args:
        results: of `run` or `sweep`.

    >>> from jaxdec import algorithms, networks, problems, run
    >>> network = networks.sleeping(networks.lossy(networks.complete(16), 0.3), 0.2)
    >>> result = run(algorithms.DSGD(lr=0.1), problems.quadratic(16, 3), network, rounds=400, every=200)
    >>> found = add_shares(result)
    >>> found["share_lost"].values.round(2).tolist(), found["share_awake"].values.round(2).tolist()
    ([[nan, 0.3, 0.3]], [[nan, 0.8, 0.8]])
    """
    results = labelled(results)
    t = results["round"].reset_coords(drop=True)
    dims = [dim for dim in results.dims if dim != "node"]

    def share(name: str, usual: xr.DataArray) -> xr.DataArray:
        total = results[name].reset_coords(drop=True) if name in results.coords else usual
        a_round = (total.diff("round") / t.diff("round")).reindex(round=t.values)
        missing = {dim: results.sizes[dim] for dim in dims if dim not in a_round.dims}
        return a_round.expand_dims(missing).transpose(*dims)

    return results.assign(share_lost=share("lost", xr.zeros_like(t)), share_awake=share("rounds_present", t))
