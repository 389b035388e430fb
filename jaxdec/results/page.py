"""A report: one file for a browser with all that results say, and nothing that is not in it."""

import html
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from io import StringIO
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from jaxdec import networks
from jaxdec.data import Partition
from jaxdec.results import interactive
from jaxdec.results.export import table
from jaxdec.results.labels import labelled
from jaxdec.results.plotting import STYLE, partition
from jaxdec.results.statistics import larger_is_better, paired_differences
from jaxdec.results.summary import KINDS, best, diverged, fields, known, ran, swept
from jaxdec.results.terminal import Grid
from jaxdec.results.texts import plain, titled

__all__ = ["report"]

CSS = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 64rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.note, figcaption { color: #555; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .6rem 0; }
th, td { padding: .25rem .7rem; text-align: left; white-space: nowrap; }
thead th { border-bottom: 2px solid #222; } tbody td { border-bottom: 1px solid #ddd; } .right { text-align: right; }
pre { background: #f6f6f6; padding: .8rem; overflow-x: auto; font-size: .82rem; } svg { max-width: 100%; height: auto; }
nav a { margin-right: 1rem; } figure { margin: 0; }
@media print {
  nav, .modebar, details { display: none; } h2, h3 { break-after: avoid; } .scroll { overflow: visible; }
  th, td { white-space: normal; padding: .2rem .4rem; font-size: .8rem; }
  svg, figure, table, .plotly-graph-div { break-inside: avoid; }
}
"""
# Figures have the width of the window, which paper has not.
PRINTED = """
const resized = size => document.querySelectorAll(".plotly-graph-div").forEach(one => Plotly.relayout(one, size));
addEventListener("beforeprint", () => resized({width: 640, autosize: false}));
addEventListener("afterprint", () => resized({width: null, autosize: true}));
"""


def report(
    results: Any,
    path: str | PathLike[str],
    *,
    metric: str | None = None,
    title: str | None = None,
    network: Any = None,
    problem: Any = None,
) -> Path:
    """Write a report of results into one HTML file, which needs no other file and no connection.

    It has the best cells as a table; curves, whose axes, metric and algorithms are chosen in the browser; what swept
    values decide; paired differences with intervals; the cells that diverged; and the specification with versions.

    Args:
        results: of `run` or `sweep`, or of a store that was loaded.
        path: of the file, .html.
        metric: what to judge by; None takes the loss, or else the first there is.
        title: at the top; None takes the file's name.
        network: one of a graph, to be drawn, or several by name.
        problem: one with a training set of classes, to show who holds what, or several by name.

    Returns:
        The path.

    Raises:
        ImportError: without plotly, which is in the extra `report`.
        ValueError: if there is no such metric, or the path is no .html.

    >>> import tempfile, pathlib
    >>> from jaxdec import algorithms, networks, problems, sweep
    >>> methods = {"DSGD": algorithms.DSGD(lr=0.1), "K-GT": algorithms.KGT(lr=0.02, local_steps=5)}
    >>> found = sweep(methods, problems.quadratic(8, 3), networks.ring(8), rounds=20, seeds=2, progress=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = report(found, pathlib.Path(folder) / "quadratics.html", network=networks.ring(8))
    ...     written.name, "K-GT" in written.read_text(encoding="utf-8")
    ('quadratics.html', True)
    """
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError as error:
        raise ImportError("a report is drawn by plotly, which is not installed: pip install jaxdec[report]") from error
    path, dataset = Path(path), labelled(results)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"a report is a page for a browser: give a path that ends in .html; got {path}")
    metric, title = known(dataset, metric), title or path.stem
    parts = [
        ("best", "Best values", _best(dataset, metric)),
        ("curves", "Curves", _shown(interactive.curves(dataset, metric))),
        ("sensitivity", "What swept values decide", "".join(_sensitivities(dataset, metric))),
        ("compared", "Paired differences", "".join(_compared(dataset, metric))),
        ("diverged", "What diverged", _diverged(dataset, metric)),
        ("network", "Networks", _drawn(network, networks.draw)),
        ("data", "Who holds what", _drawn(problem, _held)),
        ("specification", "Specification", _specification(dataset)),
    ]
    there = [part for part in parts if part[2]]
    links = "".join(f'<a href="#{name}">{heading}</a>' for name, heading, _ in there)
    sections = "".join(f'<section id="{name}"><h2>{heading}</h2>{text}</section>' for name, heading, text in there)
    seeds = dataset.sizes["seed"]
    about = f"{seeds} seed{'s' * (seeds != 1)}, {int(dataset['round'][-1])} rounds; {date.today().isoformat()}"
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{CSS}</style>'
        f"<script>{get_plotlyjs()}</script><script>{PRINTED}</script></head><body><h1>{_text(title)}</h1>"
        f'<p class="note">{about}</p><nav>{links}</nav>{sections}</body></html>'
    )
    path.write_text(page, encoding="utf-8")
    return path


def _text(given: object) -> str:
    return html.escape(plain(given))


def _shown(figure: Any) -> str:
    return figure.to_html(full_html=False, include_plotlyjs=False, config={"responsive": True, "displaylogo": False})


def _rows(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """A table whose numbers stand on the right."""
    cells = lambda tag, row: "".join(
        f"<{tag}{' class=right' * at}>{_text(cell)}</{tag}>" for cell, at in zip(row, right, strict=True)
    )
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    head = f"<thead><tr>{cells('th', headers)}</tr></thead>"
    return f'<div class="scroll"><table>{head}<tbody>{body}</tbody></table></div>'


def _best(dataset: xr.Dataset, metric: str) -> str:
    grid: Grid = table(dataset, "", metric)
    rows = list(zip(*(column.cells for column in grid.columns), strict=True))
    made = _rows([column.header for column in grid.columns], rows, [column.right for column in grid.columns])
    return f'{made}<p class="note">{_text(grid.caption)} The median over seeds.</p>'


def _sensitivities(dataset: xr.Dataset, metric: str) -> Iterator[str]:
    for dim in swept(dataset):
        if dataset.sizes[dim] > 1:
            yield f"<h3>{_text(fields(dataset, dim)[0])}</h3>{_shown(interactive.sensitivity(dataset, dim, metric))}"


def _compared(dataset: xr.Dataset, metric: str) -> Iterator[str]:
    """A table for each place: each algorithm against the one that ends best."""
    if dataset.sizes.get("algorithm", 1) < 2 or dataset.sizes["seed"] < 2:
        return
    chosen = best(dataset, metric)
    for place, one in interactive.places(chosen):
        final = one[metric].isel(round=-1).reset_coords(drop=True)
        ends = {str(name): float(final.sel(algorithm=name).median("seed")) for name in one["algorithm"].values}
        ends = {name: end for name, end in ends.items() if np.isfinite(end)} or ends
        reference = (max if larger_is_better(metric) else min)(ends, key=ends.__getitem__)
        compared = paired_differences(one, metric, reference=reference)
        found, said = compared.rows(), "".join(f"<li>{_text(sentence)}</li>" for sentence in compared.sentences())
        rows = [
            [str(name), *(f"{row[end]:.3g}" for end in ("low", "estimate", "high")), f"{row['won']:.0%}"]
            for name, row in found.iterrows()
            if name != reference
        ]
        headers = ("algorithm", "low", "difference", "high", "seeds won")
        yield (
            f"{f'<h3>{_text(place)}</h3>' if place else ''}<p>{_text(titled(metric))} minus that of {_text(reference)} "
            "on the same seeds: median, and its 95 % bootstrap interval.</p>"
            f"{_rows(headers, rows, [False] + 4 * [True])}<ul>{said}</ul>"
        )


def _diverged(dataset: xr.Dataset, metric: str) -> str:
    """The cells of which some runs diverged."""
    lost, there = diverged(dataset, metric), ran(dataset)
    dims = [str(dim) for dim in lost.dims if dim != "seed"]
    counts, runs = lost.sum("seed").transpose(*dims), xr.broadcast(lost, there)[1].sum("seed").transpose(*dims)
    rows = []
    for index in itertools.product(*(range(counts.sizes[dim]) for dim in dims)):
        place = dict(zip(dims, index, strict=True))
        if count := int(counts.isel(place)):
            named = [fields(dataset, dim)[0] if dim not in KINDS else dim for dim in dims]
            values = [str(dataset.isel(place)[name].values) for name in named]
            rows.append([*values, f"{count} of {int(runs.isel(place))}"])
    if not rows:
        return "<p>Nothing.</p>"
    headers = [dim if dim in KINDS else fields(dataset, dim)[0] for dim in dims]
    return _rows([*headers, "runs"], rows, [False] * len(dims) + [True])


def _svg(draw: Any) -> str:
    """A figure of matplotlib, as it stands in a page."""
    import matplotlib.pyplot as plt

    with plt.rc_context(STYLE):
        text = StringIO()
        draw()
        plt.gcf().savefig(text, format="svg")
        plt.close()
    return text.getvalue().partition("<svg")[1] + text.getvalue().partition("<svg")[2]


def _drawn(given: Any, draw: Callable[[Any], Any]) -> str:
    """A figure of each, below its name."""
    named = given if isinstance(given, Mapping) else {} if given is None else {"": given}
    caption = lambda name: f"<figcaption>{_text(name)}</figcaption>" if name else ""
    return "".join(f"<figure>{caption(name)}{_svg(partial(draw, one))}</figure>" for name, one in named.items())


def _held(problem: Any) -> Any:
    return partition(Partition(np.asarray(problem.indices), np.asarray(problem.counts)), np.asarray(problem.targets))


def _specification(dataset: xr.Dataset) -> str:
    about = {name: value for name, value in dataset.attrs.items() if name not in ("specification", "versions")}
    rows = [[name, str(value)] for name, value in about.items() if str(value) != ""]
    versions = json.loads(dataset.attrs.get("versions", "{}"))
    rows += [[name, str(value)] for name, value in versions.items()]
    text = json.dumps(json.loads(dataset.attrs.get("specification", "{}")), indent=1, ensure_ascii=False)
    made = _rows(("what", "value"), rows, (False, False))
    return f"{made}<details><summary>All of it</summary><pre>{_text(text)}</pre></details>"
