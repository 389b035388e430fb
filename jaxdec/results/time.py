"""Simulated time: what a run would have taken, from what it spent and from a model of nodes and links."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from jaxdec.results.labels import labelled

__all__ = ["Link", "add_time", "at_times"]


@dataclass(frozen=True)
class Link:
    """Nodes and the links between them, all alike."""

    latency: float  # seconds from sending a message to its arrival, apart from its bits
    bandwidth: float  # bits per second
    seconds_per_gradient: float = 0.0  # of one sample's gradient on one node

    def __post_init__(self) -> None:
        for name, value, fits in (
            ("latency", self.latency, self.latency >= 0),
            ("bandwidth", self.bandwidth, self.bandwidth > 0),
            ("seconds_per_gradient", self.seconds_per_gradient, self.seconds_per_gradient >= 0),
        ):
            if not fits:
                least = "positive" if name == "bandwidth" else "not negative"
                raise ValueError(f"{name} of a Link is a number, {least}; got {value!r}")


def add_time(results: Any, link: Link, *, degree: Any = 1, parallel: bool = False, messages: int = 1) -> xr.Dataset:
    """The results with a coordinate `seconds`, to draw them against: `plotting.curves(..., x="seconds")`.

    The model: rounds are synchronous and nothing overlaps. In a round every node that takes part computes its
    gradients, then sends to each of its `degree` neighbours, one after another, or to all at once if `parallel`; the
    next round starts when the last message has arrived. With f = degree, or 1 if parallel::

        seconds = grads seconds_per_gradient + f (rounds messages latency + bits / bandwidth)
                  + (rounds latency + bits_down / bandwidth, where a server answers)

    grads, bits and bits_down are what the results say was spent: means over the nodes, so that a round lasts as long as
    a typical node's work, not the slowest node's. Where some are absent they are of those who take part: what was spent
    from one record to the next, divided by the share of these rounds in which a node took part. What init spends is at
    round 0, its latency left out. A broadcast that is counted once lasts one client's share of it.

    Args:
        results: of `run` or `sweep`.
        link: latency, bandwidth and computing speed.
        degree: how many neighbours a node sends to, such as `network.W.degrees().max()`; 1 for a server's clients. An
            xarray.DataArray over the dimension `network` where there are several.
        parallel: whether a node's messages go to all neighbours at once, each at the full bandwidth.
        messages: how many messages, one after another, a node sends to a neighbour in a round: 1 if all vectors of a
            round share one; 2 for a method whose second vector depends on what the first one brought.

    >>> from jaxdec import algorithms, networks, problems, run
    >>> result = run(algorithms.DSGD(lr=0.1), problems.quadratic(8, 100), networks.ring(8), rounds=20, every=10)
    >>> slow = Link(latency=0.01, bandwidth=32_000, seconds_per_gradient=0.05)
    >>> add_time(result, slow, degree=2)["seconds"].values  # a round: 0.05 + 2 (0.01 + 3200 / 32000)
    array([0. , 2.7, 5.4])
    """
    results = labelled(results)
    if missing := [name for name in ("round", "grads", "bits", "bits_down") if name not in results.coords]:
        raise ValueError(f"results of run or sweep know what was spent; these have no {', '.join(missing)}")
    if np.any(np.asarray(degree) < 0):
        raise ValueError(f"degree is how many neighbours a node sends to; got {degree}")
    t, grads, bits, bits_down = (
        results[name].reset_coords(drop=True) for name in ("round", "grads", "bits", "bits_down")
    )
    if "rounds_present" in results.coords:
        present = results["rounds_present"].reset_coords(drop=True)
        grads, bits, bits_down = (_of_those_present(spent, t, present) for spent in (grads, bits, bits_down))
    answers = bits_down.max("round") > 0
    seconds = (
        grads * link.seconds_per_gradient
        + (1 if parallel else degree) * (t * messages * link.latency + bits / link.bandwidth)
        + (answers * t * link.latency + bits_down / link.bandwidth)
    )
    return results.assign_coords(seconds=seconds.transpose(*(dim for dim in results.dims if dim in seconds.dims)))


def at_times(results: Any, seconds: Any) -> xr.Dataset:
    """The results at given times, so that methods whose rounds take other times can be compared, and seeds be averaged.

    At each time it is the last record until then, and nothing (NaN) after the last record of all.

    Args:
        results: with a coordinate `seconds`: of asynchronous networks, or of `add_time`.
        seconds: the times, increasing.

    Returns:
        The metrics, whose `round` is now the number of the time, and the coordinate `seconds` these times.

    Raises:
        ValueError: if the results have no `seconds`.

    >>> from jaxdec import algorithms, networks, problems, run
    >>> network = networks.asynchronous(networks.server(2), speed=[1.0, 0.4])  # events at 1, 2, 2.5, 3, 4
    >>> result = run(algorithms.AsynchronousSGD(lr=0.1), problems.quadratic(2, 3), network, rounds=5, metrics=["loss"])
    >>> found, loss = at_times(result, [0.0, 1.9, 2.7, 9.0]), result.metrics["loss"]
    >>> [float(value) for value in found.loss[0, :3]] == [float(loss[k]) for k in (0, 1, 3)]
    True
    """
    results, times = labelled(results), np.asarray(seconds, float)
    if "seconds" not in results.coords:
        raise ValueError("results of asynchronous networks have seconds; results.add_time(results, link) adds them")
    when, records = results["seconds"].reset_coords(drop=True), results.sizes["round"]

    def last(values: np.ndarray, when: np.ndarray) -> np.ndarray:
        """Of (..., records), the value at each of the times."""
        k = np.sum(when[..., None, :] <= times[:, None], axis=-1) - 1
        there = (k >= 0) & (times <= np.nanmax(when, axis=-1, keepdims=True))
        return np.where(there, np.take_along_axis(values, np.clip(k, 0, records - 1), -1), np.nan)

    def resampled(values: xr.DataArray) -> xr.DataArray:
        values, ended = xr.broadcast(values.reset_coords(drop=True), when)
        arrays = (a.transpose(..., "round") for a in (values, ended))
        dims = [dim for dim in values.dims if dim != "round"]
        return xr.DataArray(last(*(a.values for a in arrays)), dims=(*dims, "round"))

    found = {name: resampled(values) if "round" in values.dims else values for name, values in results.items()}
    kept = {name: c for name, c in results.coords.items() if "round" not in c.dims}
    return xr.Dataset(found, kept | {"round": np.arange(len(times)), "seconds": ("round", times)}, results.attrs)


def _of_those_present(spent: xr.DataArray, t: xr.DataArray, present: xr.DataArray) -> xr.DataArray:
    """What was spent by a node that takes part in every round, of what was spent per node; both are cumulative."""
    from_before = lambda a: a.diff("round", label="upper")
    rounds = from_before(present)
    each = from_before(spent) * from_before(t) / rounds.where(rounds != 0)
    each = each.where(rounds != 0, 0.0)  # nobody, and so nothing
    return xr.concat([spent.isel(round=[0]), spent.isel(round=0, drop=True) + each.cumsum("round")], "round")
