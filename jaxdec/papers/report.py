"""What is written of exhibits: captions, and a table of claims that keeps what earlier calls found."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from jaxdec.describe import versions
from jaxdec.papers.exhibits import Budget, Exhibit, Paper, Verdict, bounds_of
from jaxdec.results.texts import markdown
from jaxdec.storage.files import write
from jaxdec.sweeps import Tuned

__all__ = ["caption", "claims", "entry", "ranges", "recorded"]

SOURCES = {
    "read": "it was read",
    "recalled": "recalled, not read",
    "derived": "by calculation",
    "independent": "by an independent program",
    "seen": "seen here",
}


def caption(exhibit: Exhibit, budget: Budget, results: xr.Dataset, found: Mapping[Any, Tuned]) -> str:
    """What a figure shows, on which data and seeds, with which step sizes, and what was assumed."""
    seeds = results["seed"].values.tolist() if "seed" in results.coords else []
    of_data, used = exhibit.stand_in if budget == "fast" else ", ".join(exhibit.data(budget)), versions()
    lines = [
        f"**{exhibit.title}.** {exhibit.style[0].upper()}{exhibit.style[1:]}"
        f"{'' if exhibit.style.startswith('as') else ' the paper'}.",
        f"Data: {of_data}." if of_data else "",
        f"Seeds: {ranges(seeds)}." if seeds else "",
        *(_steps(name, one) for name, one in found.items()),
        f"Chosen here: {exhibit.assumed}." if exhibit.assumed else "",
        f"Budget: {budget}; computed in {exhibit.precision} by jaxdec {used['jaxdec']}, JAX {used['jax']}, on "
        f"{used['device']}, {date.today().isoformat()}.",
    ]
    return "\n".join(filter(None, lines)) + "\n"


def _steps(name: Any, found: Tuned) -> str:
    """How step sizes were chosen, and which."""
    rows, runs = found.rows, found.cells.sizes["seed"]
    fields = [c for c in rows if str(c) in found.cells.coords and str(c) not in ("algorithm", "score")]
    texts = []
    for row in rows.to_dict("records"):
        values = ", ".join(f"{field} {row[field]:g}" for field in fields if not _none(row[field]))
        at_edge = " (at the edge of what was run)" if row["edge"] else ""
        texts.append(f"{row['algorithm']} {values}{at_edge}")
    cells = f"{int(rows['cells'].max())} values a method"
    return f"Tuned ({name}) for {found.goal}, {cells}, {runs} seed{'s' * (runs != 1)} of its own: {'; '.join(texts)}."


def _none(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def ranges(seeds: Sequence[int]) -> str:
    """Numbers as a text.

    >>> ranges([0, 1, 2, 7])
    '0 to 2, 7'
    """
    parts: list[list[int]] = []
    for seed in sorted(seeds):
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ", ".join(f"{p[0]} to {p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)


def entry(exhibit: Exhibit, budget: Budget, verdict: Verdict) -> dict[str, Any]:
    """A claim and its verdict, as JSON."""
    claim = verdict.claim
    return {
        "exhibit": exhibit.name,
        "claim": claim.name,
        "holds": verdict.holds,
        "must": claim.must,
        "measured": verdict.measured if np.isfinite(verdict.measured) else str(verdict.measured),
        "least": claim.least,
        "most": claim.most,
        "source": claim.source,
        "where": claim.where,
        "why": claim.why,
        "budget": budget,
        "data": exhibit.stand_in if budget == "fast" else ", ".join(exhibit.data(budget)),
        "date": date.today().isoformat(),
        "jaxdec": versions()["jaxdec"],
    }


def recorded(paper: Paper, exhibit: Exhibit, budget: Budget, verdicts: Sequence[Verdict], folder: Path) -> None:
    """Write what became of an exhibit's claims into claims.json and claims.md, beside those of the others.

    Raises:
        OSError: if they cannot be written.
    """
    path = folder / "claims.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    new = [entry(exhibit, budget, verdict) for verdict in verdicts]
    order = [one.name for one in paper.exhibits]
    others = [e for e in before if e["exhibit"] in order and (e["exhibit"], e["budget"]) != (exhibit.name, budget)]
    entries = sorted(others + new, key=lambda e: order.index(e["exhibit"]))
    write(path, json.dumps(entries, indent=1).encode())
    write(folder / "claims.md", claims(paper, entries).encode())


def claims(paper: Paper, entries: Sequence[Mapping[str, Any]]) -> str:
    """The claims as a table."""
    header = "| exhibit | claim | verdict | measured | expected | why these bounds | source | data, budget, date |"
    lines = [f"# {paper.reference}", "", header, "|---|---|---|---|---|---|---|---|"]
    for e in entries:
        bounds = bounds_of(e["least"], e["most"])
        verdict = "holds" if e["holds"] else "**does not hold**" if e["must"] else "does not hold"
        measured = e["measured"] if isinstance(e["measured"], str) else f"{e['measured']:.3g}"
        source = f"{SOURCES[e['source']]}: {e['where']}"
        of_data = ", ".join(filter(None, [e["data"], e["budget"], e["date"]]))
        cells = (e["exhibit"], e["claim"], verdict, measured, bounds, e["why"], source, of_data)
        lines.append("| " + " | ".join(text if text == verdict else markdown(text) for text in cells) + " |")
    return "\n".join(lines) + "\n"
