"""Results for readers and other programs: the best cells as a table, for a terminal or LaTeX, and tidy rows as CSV."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from jaxdec.results.choices import of_the_test_set
from jaxdec.results.labels import labelled
from jaxdec.results.statistics import larger_is_better
from jaxdec.results.summary import KINDS, SPENT, column, known, ran, summarize
from jaxdec.results.terminal import Column, Grid
from jaxdec.results.texts import latex, titled

__all__ = ["table", "tidy", "to_csv", "to_latex"]


def table(results: Any, title: str, metric: str | None = None) -> Grid:
    """For a terminal: each algorithm, problem and network at its best values, how it ends there and what it spent."""
    results = labelled(results)
    rows = summarize(results, metric)
    metric = column(known(results, metric))
    names = [str(c) for c in rows if c not in ("low", "high", "runs", "edge", "bits", "bits_down")]
    chosen = names[: names.index(metric)]
    headers = {"grads": "gradients"} | {c: f"best {c}" for c in chosen if c not in KINDS}
    records = rows.to_dict("records")

    def cell(name: str, row: dict[Any, Any]) -> str:
        value = row[name]
        if name in ("grads", "vectors"):
            return "–" if np.isnan(value) else f"{value:,.0f}"
        if name == "diverged":
            return f"{value} of {row['runs']}"
        if name in chosen:
            return (f"{value:g}" if isinstance(value, float) else str(value)) + "*" * (name in row["edge"])
        return _digits(value, name)

    columns = []
    for name in names:
        text = name in KINDS or isinstance(rows[name].iloc[0], str)
        columns.append(Column(headers.get(name, titled(name)), [cell(name, row) for row in records], not text))
        if name == metric:
            columns.append(Column("10–90 %", [_between(row["low"], row["high"], name) for row in records]))
    caption = "gradients and vectors: per node, over the whole run. *: at the edge of the grid."
    caption += _chosen(metric) * any(c not in KINDS for c in chosen)
    return Grid(title, columns, sum(name in KINDS for name in names), caption)


def _chosen(metric: str) -> str:
    """That values were chosen on the test set, where they were."""
    return f" Chosen on the test set, by {titled(metric)}." if of_the_test_set(metric) else ""


def _between(low: float, high: float, metric: str) -> str:
    first, last = _digits(low, metric), _digits(high, metric)
    return first if first == last else f"{first} to {last}" if "-" in first + last else f"{first}–{last}"


def _digits(value: float, metric: str) -> str:
    """Fixed digits where they say something, else the power of ten."""
    if np.isnan(value):
        return "–"
    if larger_is_better(metric):
        return f"{value:.3f}"
    return f"{value:.4f}" if 0.01 <= abs(value) < 1e4 else f"{value:.2g}"


def tidy(results: Any) -> pd.DataFrame:
    """A row for each run and record: the dimensions, the swept values, the metrics, and what was spent until then.

    >>> import xarray as xr
    >>> runs = xr.Dataset({"loss": (("seed", "round"), [[1.0, 0.1], [1.0, 0.3]])}, {"seed": [0, 1], "round": [0, 50]})
    >>> print(tidy(runs).to_csv(index=False))
    seed,round,loss
    0,0,1.0
    0,50,0.1
    1,0,1.0
    1,50,0.3
    """
    dataset = labelled(results)
    own = [str(dim) for dim in dataset.dims if dim in dataset.coords and dataset[dim].dims != (dim,)]
    dataset = dataset.rename_vars({dim: f"_{dim}" for dim in own})  # of each algorithm's own: not what it is indexed by
    there = ran(dataset).broadcast_like(dataset.isel(round=0).to_dataarray().isel(variable=0, drop=True))
    dims = [*map(str, there.dims), "round"]
    rows = dataset.assign_coords(_ran=there.reset_coords(drop=True)).to_dataframe(dim_order=dims).reset_index()
    rows = rows[rows.pop("_ran").astype(bool)]
    rows = rows.drop(columns=own).rename(columns={f"_{dim}": dim for dim in own})
    if "done" in rows and rows["done"].all():
        rows = rows.drop(columns="done")
    first = [*dims, *(str(k) for k in dataset.coords if k not in (*dims, *SPENT) and k in rows)]
    last = [k for k in SPENT if k in rows]
    return rows[[*first, *(k for k in rows if k not in (*first, *last)), *last]]


def to_csv(results: Any, path: str | PathLike[str]) -> None:
    """Write the rows of `tidy`. What is not finite is written as nan, inf or -inf."""
    tidy(results).to_csv(path, index=False, na_rep="nan")


def to_latex(results: Any, metric: str | None = None, others: Sequence[str] | None = None, *, digits: int = 3) -> str:
    r"""The best cells as a booktabs table: a row for each algorithm, problem and network, as `summarize` has them.

    The metric is a median over seeds with its 10th and 90th percentile; the best of each problem and network is bold,
    and so are those that are as good in the digits shown. The document needs ``\usepackage{booktabs}``.

    Args:
        results: of `sweep` or `run`.
        metric: what to judge by; None is the loss, or else the first metric.
        others: further metrics to show; None chooses two.
        digits: how many there are of every measured number: significant ones, or behind the point of an accuracy.

    >>> import xarray as xr
    >>> runs = xr.Dataset(
    ...     {"loss": (("algorithm", "seed", "round"), [[[1.0, 0.012], [1.0, 0.012]], [[1.0, 0.1], [1.0, 0.1]]])},
    ...     {"algorithm": ["K-GT", "R&D_1"], "seed": [0, 1], "round": [0, 50]},
    ... )
    >>> print(to_latex(runs))
    \begin{tabular}{lr}
    \toprule
    algorithm & loss \\
    \midrule
    K-GT & \textbf{0.0120} {\scriptsize [0.0120, 0.0120]} \\
    R\&D\_1 & 0.100 {\scriptsize [0.100, 0.100]} \\
    \bottomrule
    \end{tabular}
    """
    dataset = labelled(results)
    rows = summarize(dataset, metric, others)
    metric = column(known(dataset, metric))
    kinds = [kind for kind in KINDS if kind in rows]
    hidden = ("low", "high", "edge", "runs", "bits", "bits_down")
    columns = [str(c) for c in rows if c not in hidden and (c != "diverged" or rows["diverged"].any())]
    places = [kind for kind in kinds if kind != "algorithm"]
    values = (rows[metric] * (-1 if larger_is_better(metric) else 1)).fillna(np.inf)
    shown = rows[metric].map(lambda value: _measured(value, digits, metric))
    first = values.groupby([rows[p] for p in places] or np.zeros(len(rows))).transform("idxmin")
    bold = (shown.values == shown[first].values) & np.isfinite(values) & (len(rows) > 1)

    def cell(column, row, strong):
        value = row[column]
        if column == metric:
            middle, low, high = (_measured(v, digits, metric) for v in (value, row["low"], row["high"]))
            return (rf"\textbf{{{middle}}}" if strong else middle) + rf" {{\scriptsize [{low}, {high}]}}"
        if column in SPENT:
            return "--" if np.isnan(value) else f"{value:,.0f}".replace(",", r"\,")
        if column == "diverged":
            return f"{value} of {row['runs']}"
        if column in dataset.data_vars:
            return _measured(value, digits, column)
        text = latex(value) if isinstance(value, str | bool) or value is None else _number(value)
        return ("--" if value == "–" else text) + "$^*$" * (column in row["edge"])

    lines = [" & ".join(latex(titled(c)) for c in columns)]
    lines += [
        " & ".join(cell(c, row, strong) for c in columns)
        for row, strong in zip(rows.to_dict("records"), bold, strict=True)
    ]
    shape = "".join("l" if c in kinds or isinstance(rows[c].iloc[0], str) else "r" for c in columns)
    head, *body = (rf"{line} \\" for line in lines)
    about = [f"%{_chosen(metric)}"] if _chosen(metric) else []
    about += ["% *: at the edge of the grid."] if any(rows["edge"]) else []
    return "\n".join([*about, rf"\begin{{tabular}}{{{shape}}}", r"\toprule", head, r"\midrule", *body,
                      r"\bottomrule", r"\end{tabular}"])  # fmt: skip


def _measured(value: float, digits: int, metric: str) -> str:
    r"""As many digits as all others have: behind the point of an accuracy, and else significant ones, zeros among them.

    >>> [_measured(value, 3, "loss") for value in (0.1, 12.0, 4321.0, 2e-7)]
    ['0.100', '12.0', '4321', '$2.00\\times 10^{-7}$']
    """
    if not np.isfinite(value):
        return _number(value)
    if larger_is_better(metric):
        return f"{value:.{digits}f}"
    power = int(f"{value:.{digits - 1}e}".partition("e")[2])
    if value and not -4 <= power < 5:
        return _number(value, digits, "#")
    text = f"{value:.{max(digits - 1 - power, 0)}f}"
    return f"${text}$" if value < 0 else text


def _number(value: float, digits: int = 3, zeros: str = "") -> str:
    """Significant digits, powers of ten and infinity as such."""
    if not np.isfinite(value):
        return "--" if np.isnan(value) else r"$\infty$" if value > 0 else r"$-\infty$"
    text = f"{value:{zeros}.{digits}g}"
    if "e" in text:
        mantissa, _, power = text.partition("e")
        return rf"${mantissa}\times 10^{{{int(power)}}}$"
    return f"${text}$" if value < 0 else text
