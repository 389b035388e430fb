"""Simulated time: what a run would have taken, from what it spent and from a model of nodes and links."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
import xarray as xr
from jaxtyping import ArrayLike

from jaxdec import checks
from jaxdec.describe import describe, differences, get, replace
from jaxdec.networks.clocks import Clocks, Fixed, clocks
from jaxdec.networks.clocks import Trace as Measured
from jaxdec.networks.gossiping import Repeated
from jaxdec.results.labels import labelled
from jaxdec.results.replay import durations, replay
from jaxdec.results.waiting import Links, Spent, ends, paced

__all__ = ["Link", "add_clock", "add_time", "at_times"]


@dataclass(frozen=True)
class Link:
    """Nodes and the links between them: all alike, or for `add_clock` each as it is.

    Of a graph's links [i, j] is that on which i hears j, as in W; what it says of others does not matter. At a server
    there is a number for each client, both ways.
    """

    latency: float | ArrayLike = 0.0  # seconds from sending a message to its arrival, apart from its bits
    bandwidth: float | ArrayLike = float("inf")  # bits per second
    seconds_per_gradient: float = 0.0  # of one sample's gradient on one node

    def __post_init__(self) -> None:
        for name, value, fits in (
            ("latency", self.latency, np.asarray(self.latency) >= 0),
            ("bandwidth", self.bandwidth, np.asarray(self.bandwidth) > 0),
            ("seconds_per_gradient", self.seconds_per_gradient, self.seconds_per_gradient >= 0),
        ):
            if not np.all(fits):
                least = "positive" if name == "bandwidth" else "not negative"
                raise ValueError(f"{name} of a Link is a number, {least}; got {value!r}")


def add_time(
    results: Any, link: Link, *, degree: Any = 1, parallel: bool = False, messages: int | None = None
) -> xr.Dataset:
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
            round share one; 2 for a method whose second vector depends on what the first one brought. None takes what
            the results say, which methods know.

    >>> from jaxdec import algorithms, networks, problems, run
    >>> result = run(algorithms.DSGD(lr=0.1), problems.quadratic(8, 100), networks.ring(8), rounds=20, every=10)
    >>> slow = Link(latency=0.01, bandwidth=32_000, seconds_per_gradient=0.05)
    >>> add_time(result, slow, degree=2)["seconds"].values  # a round: 0.05 + 2 (0.01 + 3200 / 32000)
    array([0. , 2.7, 5.4])
    """
    results = _with_costs(results)
    if np.ndim(link.latency) or np.ndim(link.bandwidth):
        raise ValueError("here all links are alike, and latency and bandwidth numbers; add_clock takes one of each arc")
    if np.any(np.asarray(degree) < 0):
        raise ValueError(f"degree is how many neighbours a node sends to; got {degree}")
    t, grads, bits, bits_down = (
        results[name].reset_coords(drop=True) for name in ("round", "grads", "bits", "bits_down")
    )
    if "rounds_present" in results.coords:
        present = results["rounds_present"].reset_coords(drop=True)
        grads, bits, bits_down = (_of_those_present(spent, t, present) for spent in (grads, bits, bits_down))
    turns = t * messages if messages is not None else results["messages"] if "messages" in results.coords else t
    turns = turns.reset_coords(drop=True)
    answers = bits_down.max("round") > 0
    seconds = (
        grads * link.seconds_per_gradient
        + (1 if parallel else degree) * (turns * link.latency + bits / link.bandwidth)
        + (answers * t * link.latency + bits_down / link.bandwidth)
    )
    return results.assign_coords(seconds=seconds.transpose(*(dim for dim in results.dims if dim in seconds.dims)))


def add_clock(
    results: Any,
    network: Any,
    link: Link,
    *,
    compute: Any = None,
    wait_for: Literal["all", "neighbours"] = "all",
    parallel: bool = False,
) -> xr.Dataset:
    """The results with a coordinate `seconds`: of nodes that differ in speed, links that differ, and rounds that do.

    Rounds are synchronous. In a round a node that takes part computes its gradients and then sends to its neighbours.
    The graph of the round, what of it was lost, and who was absent are those of the run: the network is played once
    more with the seeds of the results. How many gradients, bits and messages one after another there were is in the
    results: on average from one record to the next, so that they are exact where that is constant, or recorded in every
    round. A node begins its next round when its messages have arrived, and with `wait_for`

    - "all", those of all others: a barrier, so that a round lasts as long as the slowest of those who take part;
    - "neighbours", those that are sent to it. Who is absent waits for nobody, and holds nobody up.

    At a server both are the same: a client that takes part is sent the model, where that counts, computes and answers,
    and the round is over with the last of them. A message that is lost takes its sender's time, and nobody waits for
    it. What init computes takes as long a gradient as the first round's. A record is made when the last node gets
    there.

    Args:
        results: of `run` or `sweep`.
        network: that they are of, as it was given, or the mapping of labels to networks.
        link: latency and bandwidth, of all links or of each.
        compute: how many gradients of samples a node ends in a second, a number or (n,); or a model of
            `networks.clocks`, whose computation number c of a node is now a gradient in the node's round c: all of one
            round take as long. It is then the clock of `networks.asynchronous(..., speed=compute)`. None takes
            `seconds_per_gradient` of the link.
        wait_for: "all" or "neighbours".
        parallel: whether a node sends to all its neighbours at once, each at the full bandwidth, or to one after
            another, in the order of their numbers.

    Returns:
        The results with `seconds`, which depend on the seed where speeds or the network are random.

    Raises:
        TypeError: if the speed is no model.
        ValueError: if the network is not that of the results, events have times of their own, seeds do not share their
            randomness (`paired=False`), or a link or a speed is missing.

    >>> from jaxdec import algorithms, networks, problems, run
    >>> network = networks.ring(4)
    >>> result = run(algorithms.DSGD(lr=0.1), problems.quadratic(4, 3), network, rounds=3)
    >>> speed = [1.0, 1.0, 1.0, 0.5]
    >>> add_clock(result, network, Link(), compute=speed)["seconds"].values.tolist()
    [0.0, 2.0, 4.0, 6.0]
    >>> slow_link = np.zeros((4, 4))
    >>> slow_link[1, 0] = 10.0  # of what node 1 hears of node 0
    >>> link = Link(latency=slow_link)
    >>> found = add_clock(result, network, link, compute=speed, wait_for="neighbours", parallel=True)
    >>> found["seconds"].values.tolist()
    [0.0, 11.0, 22.0, 33.0]
    """
    checks.choice("wait_for", wait_for, ("all", "neighbours"))
    results = _with_costs(results)
    if "seconds" in results.coords:
        raise ValueError("these results have seconds already: of their events, or of add_time or add_clock")
    t = results["round"].values
    if not len(t) or t[0] != 0:
        raise ValueError(f"rounds are played from the first: give results with the record of round 0; got {t[:1]}")
    if not json.loads(results.attrs.get("specification", "{}")).get("paired", True):
        raise ValueError("with paired=False each configuration has failures of its own, which are not played again")
    model = _model(link, compute)
    dims = [dim for dim in results.dims if dim not in ("seed", "round") and _matters(results, dim)]
    seeds, spent = [int(seed) for seed in results["seed"].values], _spent(results, dims)
    kinds = [values.dtype for values in results.values() if values.dtype.kind == "f"]
    seconds = np.full((*(results.sizes[dim] for dim in dims), len(seeds), len(t)), np.nan)
    for where, one in _networks(results, network, dims):
        here = Spent(*(a[where].reshape(-1, *a.shape[-2:]) for a in spent))
        found = _clocked(one, t, seeds, here, model, link, np.result_type(*kinds or [float]), wait_for, parallel)
        seconds[where] = found.reshape(seconds[where].shape[:-2] + found.shape[1:])
    if np.array_equal(seconds, np.broadcast_to(seconds[..., :1, :], seconds.shape), equal_nan=True):
        return results.assign_coords(seconds=((*dims, "round"), seconds[..., 0, :]))
    return results.assign_coords(seconds=((*dims, "seed", "round"), seconds))


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


def _with_costs(results: Any) -> xr.Dataset:
    results = labelled(results)
    if missing := [name for name in ("round", "grads", "bits", "bits_down") if name not in results.coords]:
        raise ValueError(f"results of run or sweep know what was spent; these have no {', '.join(missing)}")
    return results


def _model(link: Link, compute: Any) -> Clocks | None:
    """How long gradients take; None where they take no time."""
    if compute is None:
        return Fixed(1 / link.seconds_per_gradient) if link.seconds_per_gradient else None
    if link.seconds_per_gradient:
        raise ValueError("how long a gradient takes is said twice: by compute, and by the link; leave one of them out")
    return clocks(compute)


def _matters(results: xr.Dataset, dim: Any) -> bool:
    """Whether what was spent, or the network, depends on a dimension."""
    names = [name for name in results.coords if name in Spent._fields or name == "network" or _of_network(name)]
    return any(dim in results[name].dims for name in names)


def _of_network(name: Any) -> bool:
    return str(name).startswith("network.")


def _spent(results: xr.Dataset, dims: list[Any]) -> Spent:
    """What was spent, each (*dims, seeds, rounds), of one seed where it is the same for all."""

    def of(name: str) -> np.ndarray:
        values = (results[name] if name in results.coords else results["round"]).reset_coords(drop=True)
        values = values.expand_dims({dim: results.sizes[dim] for dim in dims if dim not in values.dims})
        values = values if "seed" in values.dims else values.expand_dims("seed")
        return values.transpose(*dims, "seed", "round").values.astype(float)

    return Spent(*np.broadcast_arrays(*map(of, Spent._fields)))  # messages are one a round where nothing is said


def _networks(results: xr.Dataset, network: Any, dims: list[Any]) -> Iterator[tuple[Any, Any]]:
    """The networks of the results, and where they are along the dimensions."""
    fields = [name for name in results.coords if _of_network(name)]
    named = [name for name in (*fields, "network") if name in results.coords]
    own = [dim for dim in dims if any(dim in results[name].dims for name in named)]
    for place in product(*(range(results.sizes[dim]) for dim in own)):
        at = dict(zip(own, place, strict=True))
        here = {name: results[name].isel({d: at[d] for d in results[name].dims if d in at}) for name in named}
        one = _named(results, network, str(here["network"].item()) if "network" in here else None)
        for name in fields:
            if here[name].ndim or here[name].dtype.kind not in "fiu":
                raise ValueError(f"{name} is swept over what is no number; give results of one value at a time")
            path, value = str(name).partition(".")[2], here[name].item()
            one = replace(one, path, int(value) if isinstance(get(one, path), int) else value)
        yield tuple(at.get(dim, slice(None)) for dim in dims), one


def _named(results: xr.Dataset, network: Any, label: str | None) -> Any:
    """The network of a label, which is to be that of the results."""
    known = json.loads(results.attrs.get("specification", "{}"))
    described = known.get("networks", {label: known["network"]} if "network" in known else {})
    if isinstance(network, Mapping):
        label = next(iter(network)) if label is None and len(network) == 1 else label
        if label not in network:
            raise ValueError(f"the network {label} of the results is missing; given are {', '.join(map(str, network))}")
        network = network[label]
    elif "network" in results.dims:
        raise ValueError("these results are of several networks; give the mapping of labels to networks")
    checks.part("network", network)
    label = next(iter(described)) if label is None and len(described) == 1 else label
    if label in described and (wrong := differences(described[label], describe(network), "the network")):
        raise ValueError(f"give the network that the results are of: {'; '.join(wrong)}")
    if isinstance(network, Repeated):
        raise ValueError(
            "a round of networks.repeated or networks.chebyshev has several exchanges, whose waiting is not simulated: "
            "leave the network out, and each of its messages takes the link's latency"
        )
    if not network.provides & {"arcs", "push-pull", "server", "asynchronous"}:
        raise ValueError("who hears whom is read from the arcs of W, and this network does not provide arcs")
    if "asynchronous" in network.provides:
        raise ValueError("the events of an asynchronous network have times, which its results have as seconds")
    return network


def _clocked(network, t, seeds, spent: Spent, model, link: Link, dtype, wait_for, parallel) -> np.ndarray:
    """When the rounds of one network were over, (cells, seeds, records), or of one seed where all are alike."""
    n, server = network.n, "server" in network.provides
    shapes = ((), (n,)) if server else ((), (n, n))
    for name, value in (("latency", link.latency), ("bandwidth", link.bandwidth)):
        if np.shape(value) not in shapes:
            raise ValueError(f"{name} is a number, or {shapes[1]}, one for each {'client' if server else 'arc'}; got "
                             f"an array of shape {np.shape(value)}")  # fmt: skip
    if model is not None:
        model.check(n)
    links = Links(
        np.asarray(link.latency, float), np.asarray(link.bandwidth, float), server, parallel, wait_for == "all"
    )
    pace = lambda seed: (lambda counts: np.zeros(counts.shape)) if model is None else durations(model, seed, n)
    alike = {"fixed", "reliable"} <= network.provides
    if alike and spent.grads.shape[1] == 1 and (model is None or isinstance(model, Fixed | Measured)):
        seeds = seeds[:1]
    rows = Spent(*(np.broadcast_to(a, (a.shape[0], len(seeds), a.shape[2])).transpose(1, 0, 2) for a in spent))
    flat = lambda a: a.reshape(-1, a.shape[-1])  # seed by seed, and of each all cells
    groups = [seeds] if alike else [[seed] for seed in seeds]
    found, first = [], 0
    for group in groups:
        heard = replay(network, group[0], max(1, int(t[-1])), dtype)
        of_group = Spent(*(flat(a[first : first + len(group)]) for a in rows))
        found.append(ends(t, paced(heard, [pace(seed) for seed in group], n), of_group, links))
        first += len(group)
    return np.concatenate(found).reshape(len(seeds), -1, len(t)).transpose(1, 0, 2)
