"""Figures for a browser, whose axes, metric and place are chosen there: curves, and what swept values decide."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import numpy as np
import xarray as xr

from jaxdec.results.labels import AXES, by_algorithm, labelled
from jaxdec.results.plotting import COLOURS
from jaxdec.results.statistics import logarithmic, quantiles
from jaxdec.results.summary import KINDS, best, fields, known, others_at_best
from jaxdec.results.texts import plain, titled

__all__ = ["curves", "places", "sensitivity"]

SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x")
MENU = 40  # pixels, the height of a menu
DASHES = ("solid", "dash", "dot", "dashdot")


def curves(results: Any, metric: str | None = None) -> Any:
    """Median over seeds of each algorithm at its best values, with the band from 10 to 90 % of the runs.

    What is drawn, against what, and of which problem and network is chosen from menus.

    Args:
        results: of `run` or `sweep`.
        metric: the first that is shown, by which the best values are chosen; None takes the loss, or else the first.

    Returns:
        A plotly figure.
    """
    metric = known(labelled(results), metric)
    dataset = best(results, metric)
    axes = [name for name in AXES if name in dataset.coords and (name == "round" or np.any(dataset[name] > 0))]
    metrics = _metrics(dataset, metric)
    lines = [(place, label, k, one) for place, at in places(dataset) for k, (label, one) in enumerate(by_algorithm(at))]
    ends = {name: [quantiles(one[name]).transpose("quantile", "round").values for *_, one in lines] for name in metrics}
    x = {name: [_over(one, name) for *_, one in lines for _ in range(3)] for name in axes}
    y = {name: [part for low_middle_high in ends[name] for part in _parts(low_middle_high)] for name in metrics}
    made = _figure([(place, label, k) for place, label, k, _ in lines], x[axes[0]], y[metric])
    menus = [
        _menu(metrics, lambda name: ({"y": y[name]}, _y(name, y[name]))),
        _menu(axes, lambda name: ({"x": x[name]}, {"xaxis.title.text": AXES[name]}), AXES),
    ]
    return _laid_out(made, menus, [place for place, *_ in lines], AXES[axes[0]], _y(metric, y[metric]))


def sensitivity(results: Any, over: str, metric: str | None = None) -> Any:
    """The metric at the last round against a swept value; other swept values are each algorithm's best.

    Args:
        results: of `sweep`.
        over: the swept dimension.
        metric: the first that is shown, by which other swept values are the best; None takes the loss, or else the
            first there is.

    Returns:
        A plotly figure.
    """
    dataset = labelled(results)
    metric = known(dataset, metric)
    metrics = _metrics(dataset, metric)
    lines = [(place, label, k, one) for place, at in places(dataset) for k, (label, one) in enumerate(by_algorithm(at))]
    name = fields(dataset, over)[0]
    x = [one[name].values.tolist() for *_, one in lines for _ in range(3)]
    y: dict[str, list] = {}
    for shown in metrics:
        ends = (others_at_best(one, metric, over)[shown].isel(round=-1) for *_, one in lines)
        y[shown] = [part for end in ends for part in _parts(quantiles(end).transpose("quantile", over).values, False)]
    made = _figure([(place, label, k) for place, label, k, _ in lines], x, y[metric])
    menus = [_menu(metrics, lambda shown: ({"y": y[shown]}, _y(shown, y[shown])))]
    made = _laid_out(made, menus, [place for place, *_ in lines], plain(name), _y(metric, y[metric]))
    numbers = [value for line in x for value in line]
    if all(isinstance(value, int | float) and value > 0 for value in numbers):
        made.update_xaxes(type="log", dtick=_ticks(numbers))
    return made


def _metrics(dataset: xr.Dataset, first: str) -> list[str]:
    """Those of a run, the first one first."""
    there = [str(name) for name, values in dataset.data_vars.items() if "node" not in values.dims]
    return sorted(there, key=lambda name: name != first)


def places(dataset: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
    """Each problem on each network, and what it is called."""
    kinds = [kind for kind in KINDS[1:] if kind in dataset.dims]
    for index in np.ndindex(*(dataset.sizes[kind] for kind in kinds)):
        one = dataset.isel(dict(zip(kinds, index, strict=True)))
        yield ", ".join(str(one[kind].item()) for kind in kinds), one


def _over(one: xr.Dataset, axis: str) -> list[float]:
    values = one[axis].transpose(..., "round").values
    return (values if values.ndim == 1 else values.mean(axis=0)).tolist()


def _parts(ends: np.ndarray, until: bool = True) -> list[list[float | None]]:
    """Low, high and middle where the middle is a number, or `until` it is none; ends of the band that are none are its
    ends elsewhere.
    """
    low, middle, high = np.asarray(ends, float)
    shown = np.logical_and.accumulate(np.isfinite(middle)) if until else np.isfinite(middle)
    inside = [v for end in (low, middle, high) for v in end[shown] if np.isfinite(v)]
    least, most = min(inside, default=0.0), max(inside, default=0.0)
    return [
        [float(v) if there else None for v, there in zip(np.clip(part, least, most), shown, strict=True)]
        for part in (low, high, middle)
    ]


def _figure(lines: Sequence[tuple[str, str, int]], x: Sequence[list], y: Sequence[list]) -> Any:
    """A line and the two ends of its band for each algorithm at each place; of the first place are shown."""
    from plotly import graph_objects as go

    made = go.Figure()
    for number, (place, label, k) in enumerate(lines):
        low, high, middle = zip(x[3 * number : 3 * number + 3], y[3 * number : 3 * number + 3], strict=True)
        colour, shared = COLOURS[k % len(COLOURS)], {"legendgroup": label, "visible": place == lines[0][0]}
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        edge = shared | {"mode": "lines", "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"}
        made.add_scatter(x=low[0], y=low[1], **edge)
        made.add_scatter(x=high[0], y=high[1], fill="tonexty", fillcolor=f"rgba({red},{green},{blue},0.15)", **edge)
        made.add_scatter(
            x=middle[0],
            y=middle[1],
            name=escape(plain(label), quote=False),  # plotly takes what looks like HTML for that
            mode="lines+markers",
            line={"color": colour, "dash": DASHES[k // len(COLOURS) % len(DASHES)]},
            marker={"symbol": SYMBOLS[k % len(SYMBOLS)], "size": 6, "maxdisplayed": 9},
            **shared,
        )
    return made


def _y(metric: str, values: Sequence[list]) -> dict[str, Any]:
    """The vertical axis of a metric: logarithmic, unless it is an accuracy, or negative anywhere."""
    numbers = np.array([v for line in values for v in line if v is not None])
    log = logarithmic(metric, numbers)
    scale = {"yaxis.type": "log", "yaxis.dtick": _ticks(numbers)} if log else {"yaxis.type": "linear"}
    return {"yaxis.title.text": titled(metric), "yaxis.dtick": None} | scale


def _ticks(numbers: Any) -> int | None:
    """On a logarithmic axis powers of ten alone, where there are two of them."""
    positive = np.asarray(numbers)[np.asarray(numbers) > 0]
    return 1 if positive.max() > 20 * positive.min() else None


def _menu(names: Sequence[str], change: Any, labels: Any = None) -> list[dict[str, Any]]:
    return [
        {"label": (labels or {}).get(name, titled(name)), "method": "update", "args": list(change(name))}
        for name in names
    ]


def _laid_out(made: Any, menus: list[list[dict]], of: list[str], x: str, y: dict[str, Any]) -> Any:
    """With the menus above the figure, those of one entry left out."""
    if len(set(of)) > 1:
        shown = lambda place: [p == place for p in of for _ in range(3)]
        menus = [*menus, _menu(list(dict.fromkeys(of)), lambda place: ({"visible": shown(place)}, {}))]
    menus = [menu for menu in menus if len(menu) > 1]
    made.update_layout(
        template="plotly_white",
        updatemenus=[
            {"buttons": menu, "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "pad": {"b": MENU * k}}
            for k, menu in enumerate(menus)  # one above the other: beside it there is no room on a narrow screen
        ],
        xaxis={"title": {"text": x}, "exponentformat": "power"},
        yaxis={"title": {"text": y["yaxis.title.text"]}, "exponentformat": "power"}
        | {"type": y["yaxis.type"], "dtick": y["yaxis.dtick"]},
        legend={"orientation": "h", "yanchor": "top", "y": -0.18},
        margin={"l": 70, "r": 20, "t": 30 + MENU * len(menus), "b": 60},
        height=450 + MENU * len(menus),
        hovermode="closest",
    )
    return made
