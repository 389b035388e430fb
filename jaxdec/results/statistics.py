"""Statistics over seeds, from datasets to datasets: location, spread, confidence bands, paired differences.

What is not finite, such as the loss of a run that diverged, counts as the worst possible value: as infinity, or as
minus infinity for a metric of which more is better (`larger_is_better`). A median is then a number as long as fewer
than half of the runs diverged; a mean is one only if none did.
"""

import html
from collections.abc import Callable
from textwrap import fill
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
import xarray as xr

from jaxdec import checks
from jaxdec.results.labels import labelled

__all__ = [
    "BLOCK",
    "BOUNDS",
    "Differences",
    "Labelled",
    "Statistic",
    "bootstrap",
    "larger_is_better",
    "logarithmic",
    "mean",
    "median",
    "paired_differences",
    "quantiles",
]

Labelled = TypeVar("Labelled", xr.DataArray, xr.Dataset)
Statistic = Literal["median", "mean"]
BLOCK = 2**24  # resampled values held at a time
BOUNDS = ["low", "estimate", "high"]


class Differences(xr.Dataset):
    """What `paired_differences` returns: a dataset that is printed as a table of its numbers."""

    __slots__ = ()

    def rows(self) -> pd.DataFrame:
        """Low, estimate, high and won, a row for each of what is compared; those at the last round, if there are more.

        >>> losses = [[0.10, 0.30, 0.20], [0.11, 0.33, 0.22]]
        >>> runs = xr.Dataset({"loss": (("algorithm", "seed"), losses)}, {"algorithm": ["KGT", "DSGD"]})
        >>> print(paired_differences(runs, reference="KGT"))
        loss: difference to KGT on the same seeds
        estimate with its interval, and the share of seeds on which it is better
        <BLANKLINE>
                    low  estimate   high  won
        algorithm
        KGT           0         0      0  0.5
        DSGD       0.01      0.02   0.03    0
        <BLANKLINE>
        DSGD is worse than KGT: the interval of the difference, 0.01 to 0.03, is on one side of 0.
        """
        last = self.isel(round=-1) if "round" in self.dims else self
        numbers = last["difference"].reset_coords(drop=True).to_dataset("bound").assign(won=last["won"])
        numbers = numbers.reset_coords(drop=True)[[*last["bound"].values.tolist(), "won"]]
        return numbers.to_dataframe() if numbers.dims else pd.DataFrame([{k: v.item() for k, v in numbers.items()}])

    def told(self) -> str:
        """What is compared, in words."""
        rounds = self["round"].values.reshape(-1) if "round" in self.coords else []
        at = f" at round {rounds[-1]}" + f", the last of {len(rounds)}" * (len(rounds) > 1) if len(rounds) else ""
        what = f"{self.attrs.get('metric')}{at}: {self.attrs.get('kind')} to {self.attrs.get('reference')}"
        return f"{what} on the same seeds\nestimate with its interval, and the share of seeds on which it is better"

    def sentences(self) -> list[str]:
        """What the intervals say of each that is compared to the reference, or that they decide nothing."""
        reference, kind, over = (str(self.attrs[k]) for k in ("reference", "kind", "over"))
        equal, more = (1.0 if kind == "ratio" else 0.0), larger_is_better(self.attrs["metric"])
        alone = [] if over in self["won"].dims else [str(self[over].values)]
        found = []
        for index, row in self.rows().iterrows():
            names = alone + (
                [str(k) for k in (index if isinstance(index, tuple) else (index,))] if self["won"].dims else []
            )
            if reference in names:
                continue
            name, low, high = ", ".join(names), row["low"], row["high"]
            ends = f"the interval of the {kind}, {low:.3g} to {high:.3g},"
            if low > equal or high < equal:
                which = "better" if (low > equal) == more else "worse"
                found.append(f"{name} is {which} than {reference}: {ends} is on one side of {equal:g}.")
            else:
                found.append(f"{name} and {reference} are not told apart: {ends} has {equal:g} in it.")
        return found

    @property
    def whole(self) -> bool:
        """Whether all of it is there still, after what has been selected."""
        return {"difference", "won"} <= set(self.data_vars) and "bound" in self["difference"].dims

    def __repr__(self) -> str:
        if not self.whole:
            return super().__repr__()
        table = self.rows().to_string(float_format=lambda v: f"{v:.4g}", max_colwidth=None)
        said = "\n".join(fill(sentence, 80) for sentence in self.sentences())
        return "\n\n".join(filter(None, (self.told(), table, said)))

    def _repr_html_(self) -> str:
        if not self.whole:
            return super()._repr_html_()
        said = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in self.sentences())
        return f"<p>{html.escape(self.told())}</p>{self.rows().to_html()}{said}{super()._repr_html_()}"


def larger_is_better(metric: Any) -> bool:
    """Whether more of a metric is better: true of those called an accuracy.

    >>> larger_is_better("node_test_accuracy"), larger_is_better("loss")
    (True, False)
    """
    return "accuracy" in str(metric)


def logarithmic(metric: str, values: np.ndarray) -> bool:
    """Whether a metric belongs on a logarithmic axis: no accuracy, and nowhere negative."""
    return not larger_is_better(metric) and bool((values > 0).any()) and not bool((values < 0).any())


def median(values: Labelled, dim: str = "seed") -> Labelled:
    """The median over seeds.

    >>> runs = xr.DataArray([0.1, 0.3, np.nan], dims="seed", name="loss")
    >>> float(median(runs)), float(mean(runs))
    (0.3, inf)
    """
    return _reduce(values, dim, lambda v: np.median(v, axis=-1))


def mean(values: Labelled, dim: str = "seed") -> Labelled:
    """The mean over seeds; infinite if one of the runs diverged."""
    return _reduce(values, dim, lambda v: np.mean(v, axis=-1))


def quantiles(values: Labelled, q: Any = (0.1, 0.5, 0.9), dim: str = "seed") -> Labelled:
    """Quantiles over seeds, along a last dimension `quantile`; interpolated linearly between finite values.

    >>> runs = xr.DataArray([0.0, 1.0, 2.0, np.inf], dims="seed")
    >>> quantiles(runs, [0.5, 0.9]).values
    array([1.5, inf])
    """
    q = np.atleast_1d(np.asarray(q, float))
    if q.ndim != 1 or not np.all((q >= 0) & (q <= 1)):
        raise ValueError(f"quantiles lie in [0, 1]; got {q}")
    return _reduce(values, dim, lambda v: np.moveaxis(_quantile(v, q), 0, -1), {"quantile": q})


def bootstrap(
    values: Labelled,
    statistic: Statistic = "median",
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    dim: str = "seed",
) -> Labelled:
    """A statistic over seeds with its bootstrap confidence interval, by the percentile method.

    One set of resampled seeds serves all cells, records and metrics, so that a band is one of curves and not of points.
    Not scipy.stats.bootstrap: that interpolates between infinities, which makes NaN of a band with diverged runs.

    Args:
        values: a result of `sweep`, or one of its variables.
        statistic: "median" or "mean".
        confidence: of each interval. It is approximate, and too narrow for few seeds: with 5 of them even the range of
            the runs contains the median with probability 1 - 2/2^5 only.
        resamples: how many; 2000 place the ends of a 95 % interval to within half a percent of probability.
        seed: of the resampling, not of the runs.
        dim: what is resampled.

    Returns:
        The values without `dim`, along a last dimension `bound`: "low", "estimate" and "high".

    Raises:
        ValueError: if there are fewer than two seeds, or an argument is out of its range.

    >>> runs = xr.DataArray(np.arange(20.0), dims="seed")
    >>> bootstrap(runs, "mean").sel(bound=["low", "estimate", "high"]).values.round(1)
    array([ 6.9,  9.5, 11.9])
    """
    reduce, values = _statistic(statistic), _given(values)
    checks.integer("resamples", resamples)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence lies strictly between 0 and 1; got {confidence}")
    if values.sizes.get(dim, 0) < 2:
        raise ValueError(f"a bootstrap resamples at least two of {dim!r}; got {values.sizes.get(dim, 0)}")
    picks = np.random.default_rng(checks.seed("seed", seed)).integers(
        values.sizes[dim], size=(resamples, values.sizes[dim])
    )
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]

    def interval(v: np.ndarray) -> np.ndarray:
        rows = v.reshape(-1, v.shape[-1])
        step = max(1, BLOCK // picks.size)
        blocks = [rows[k : k + step] for k in range(0, len(rows), step)]
        ends = [_quantile(reduce(block[:, picks], axis=-1), tails) for block in blocks]
        low, high = np.concatenate(ends, axis=1) if ends else np.empty((2, 0))
        return np.stack([low, reduce(rows, axis=-1), high], axis=-1).reshape(*v.shape[:-1], 3)

    return _reduce(values, dim, interval, {"bound": BOUNDS})


def paired_differences(
    dataset: xr.Dataset,
    metric: str = "loss",
    *,
    reference: str,
    relative: bool = False,
    over: str = "algorithm",
    statistic: Statistic = "median",
    **bootstrapping: Any,
) -> Differences:
    """How much each algorithm differs from a reference on the same seeds, which see the same minibatches and noise.

    Args:
        dataset: a result of `sweep`, mostly of `best`: at each algorithm's best cell; or a mapping of labels to runs.
        metric: the variable to compare.
        reference: the algorithm that is subtracted from all of them.
        relative: ratios to the reference instead of differences.
        over: the dimension that is compared, such as "algorithm" or "network".
        statistic: "median" or "mean" of the differences; not the difference of the medians.
        bootstrapping: confidence, resamples and seed of `bootstrap`.

    Returns:
        `difference` along `bound` ("low", "estimate", "high"), and `won`, the share of seeds on which the algorithm is
        strictly better than the reference, ties counting a half. Where both runs diverged they tie: the difference is
        0, the ratio 1.

    >>> losses = [[0.10, 0.30, 0.20, 0.40], [0.11, 0.33, 0.22, 0.44]]
    >>> runs = xr.Dataset({"loss": (("algorithm", "seed"), losses)}, {"algorithm": ["KGT", "DSGD"]})
    >>> compared = paired_differences(runs, reference="KGT", relative=True).sel(algorithm="DSGD")
    >>> compared.difference.values, float(compared.won)
    (array([1.1, 1.1, 1.1]), 0.0)
    """
    dataset = _given(dataset)
    if metric not in dataset:
        raise ValueError(f"there is no metric {metric!r}; there are {', '.join(map(str, dataset.data_vars))}")
    if over not in dataset.dims:
        dims = ", ".join(map(str, dataset.dims))
        raise ValueError(f"nothing to compare: the results have no dimension {over!r}, only {dims}")
    labels = dataset[over].values.tolist()
    if reference not in labels:
        raise ValueError(f"there is no {over} {reference!r}; there are {', '.join(map(str, labels))}")
    worst = -np.inf if larger_is_better(metric) else np.inf
    values = dataset[metric].reset_coords(drop=True)
    values = values.where(np.isfinite(values), worst)
    base = values.sel({over: reference}, drop=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        against = values / base if relative else values - base
    against = against.where(values != base, 1.0 if relative else 0.0)
    better = (values > base) if larger_is_better(metric) else (values < base)
    won = (better + 0.5 * (values == base)).mean("seed")
    difference = bootstrap(against.rename("difference"), statistic, **bootstrapping)
    about = {"reference": reference, "metric": metric, "kind": "ratio" if relative else "difference", "over": over}
    return Differences({"difference": difference, "won": won}, attrs=about)


def _given(values: Any) -> Any:
    """A dataset or one of its variables; what `run` returned, or a mapping of labels to such, as a dataset."""
    return values if isinstance(values, xr.Dataset | xr.DataArray) else labelled(values)


def _statistic(name: str) -> Callable[..., np.ndarray]:
    checks.choice("statistic", name, ("median", "mean"))
    return np.median if name == "median" else np.mean


def _quantile(values: np.ndarray, q: Any) -> np.ndarray:
    """Quantiles over the last axis, (len(q), ...): between a finite value and infinity lies infinity, not NaN."""
    with np.errstate(invalid="ignore"):
        found = np.quantile(values, q, axis=-1)
        if np.isnan(found).any():
            above = np.quantile(values, q, axis=-1, method="higher")
            below = np.quantile(values, q, axis=-1, method="lower")
            ends = np.where(np.isinf(above), above, below)
            found = np.where(np.isnan(found), ends, found)
    return found


def _reduce(values: Labelled, dim: str, function: Callable, new: dict[str, Any] | None = None) -> Any:
    """`function` of the values (..., dim), those that are not finite replaced by the worst; adds dimensions last."""
    values = _given(values)
    if isinstance(values, xr.Dataset):
        coords = values.coords.to_dataset().drop_dims(dim, errors="ignore")
        reduced = {k: _reduce(v, dim, function, new) if dim in v.dims else v for k, v in values.data_vars.items()}
        return xr.Dataset(reduced, attrs=values.attrs).assign_coords(coords.coords)
    if dim not in values.dims:
        raise ValueError(f"the values have no dimension {dim!r}; they have {', '.join(map(str, values.dims))}")
    array = values.transpose(..., dim)
    numbers = np.asarray(array.values, float)
    worst = -np.inf if larger_is_better(values.name) else np.inf
    with np.errstate(invalid="ignore"):  # between infinities
        found = function(np.where(np.isfinite(numbers), numbers, worst))
    dims = (*(d for d in array.dims if d != dim), *(new or {}))
    kept = {k: c for k, c in values.coords.items() if dim not in c.dims}
    return xr.DataArray(found, kept | (new or {}), dims, values.name)
