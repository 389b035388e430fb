"""`reproduce`: a paper's exhibits run, drawn and judged, and all of it written down."""

import importlib
import importlib.util
import os
import re
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import xarray as xr

from jaxdec import checks
from jaxdec.data.files import folders
from jaxdec.describe import describe
from jaxdec.jobs import draw
from jaxdec.papers.exhibits import BUDGETS, Budget, Exhibit, Paper, Verdict, beside
from jaxdec.papers.report import caption, ranges, recorded
from jaxdec.results.export import to_csv
from jaxdec.results.terminal import say
from jaxdec.storage.places import as_file, located, writable
from jaxdec.sweeps import Tuned, sweep, tune

__all__ = ["PAPERS", "Outcome", "computed", "missing", "paper", "reproduce"]

PAPERS = (
    "kgt",
    "momentum_tracking",
    "mcm",
    "quantized_push_sum",
    "savic",
    "base_graph",
    "exponential_graphs",
    "relay_sgd",
    "choco",
    "beer",
    "bits",
    "proxskip",
    "artemis",
    "stragglers",
    "diloco",
    "losses",
)


@dataclass(frozen=True)
class Outcome:
    """What became of an exhibit."""

    exhibit: Exhibit
    verdicts: tuple[Verdict, ...]
    files: tuple[Path, ...]
    seconds: float
    lacking: tuple[str, ...] = ()  # data that it needs and that is not there: nothing was run
    failures: tuple[str, ...] = ()  # files that could not be written, and why

    @property
    def failed(self) -> bool:
        """Whether a claim that must hold does not, or something is not there."""
        return bool(self.lacking or self.failures) or any(v.claim.must and not v.holds for v in self.verdicts)


def paper(given: str) -> Paper:
    """The paper of a name of `PAPERS`, or the `PAPER` of a file or a module of one's own.

    Raises:
        ValueError: if there is none.

    >>> paper("kgt").name
    'kgt'
    """
    name = given.replace("-", "_")
    if name in PAPERS:
        module = importlib.import_module(f"jaxdec.papers.{name}")
    elif given.endswith(".py"):
        if not (path := located(given)).is_file():
            raise ValueError(f"there is no file {path}")
        spec: Any = importlib.util.spec_from_file_location(path.stem, path)
        # Under its name, so that what it defines can be looked up, as a store does.
        module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        try:
            module = importlib.import_module(given)
        except ModuleNotFoundError as error:
            raise ValueError(
                f"a paper is one of {', '.join(PAPERS)}, or a file or module of yours; got {given!r}: {error}"
            ) from error
    found = vars(module).get("PAPER")
    if not isinstance(found, Paper):
        raise ValueError(f"{given} has no PAPER, a jaxdec.papers.exhibits.Paper")
    return found


def missing(exhibit: Exhibit, budget: Budget) -> tuple[str, ...]:
    """The data that an exhibit needs with a budget, and that is not at hand."""
    there = lambda need: any((folder / need.partition("/")[2]).exists() for folder in folders(need.partition("/")[0]))
    return tuple(need for need in exhibit.data(budget) if not there(need))


def computed(
    exhibit: Exhibit, budget: Budget, store: Path | None = None, progress: bool | None = None
) -> tuple[xr.Dataset, Mapping[str, Tuned]]:
    """What the exhibit's figure, claims and data are of, and what was found by tuning before.

    Args:
        exhibit: to be run.
        budget: how much of it.
        store: a folder for its stores, from which the same call goes on.
        progress: as for `sweep`.

    Raises:
        ValueError: if seeds, or test data, that results are reported on were tuned on.
    """
    keep = lambda kind, name: {} if store is None else {"store": store / kind / as_file(str(name))}
    with jax.enable_x64(exhibit.precision == "float64"), warnings.catch_warnings():
        for beginning in exhibit.warned:
            warnings.filterwarnings("ignore", message=re.escape(beginning))
        searches = exhibit.searches(budget)
        found = {name: tune(**keep("tune", name), progress=progress, **one) for name, one in searches.items()}
        sweeps = exhibit.planned(budget, found)
        for search in searches.values():
            _apart(exhibit, search, sweeps)
        results = {name: sweep(**keep("sweep", name), progress=progress, **one) for name, one in sweeps.items()}
    return exhibit.view(beside(results, exhibit.along)), found


def _apart(exhibit: Exhibit, search: Mapping[str, Any], sweeps: Mapping[Any, Mapping[str, Any]]) -> None:
    """Refuse results on what was tuned on."""
    tuned = set(_seeds(search.get("seeds", 5)))
    for one in sweeps.values():
        if both := tuned & set(_seeds(one.get("seeds", 10))):
            raise ValueError(
                f"{exhibit.name} reports seeds that it tuned on, {ranges(sorted(both))}: give tune seeds of its own"
            )
        same = describe(search["problem"]) in [describe(p) for p in _all(one["problems"])]
        if "test" in str(search.get("metric", "loss")) and same:
            raise ValueError(
                f"{exhibit.name} tunes on the test data that it reports: tune on a problem with data held out for it, "
                "see jaxdec.data.split"
            )


def _seeds(given: Any) -> Sequence[int]:
    return range(given) if isinstance(given, int) else given


def _all(given: Any) -> list[Any]:
    return list(given.values()) if isinstance(given, Mapping) else given if isinstance(given, list) else [given]


def reproduce(
    given: Paper | str,
    exhibits: Sequence[str] = (),
    *,
    budget: Budget = "default",
    out: str | os.PathLike[str] = "reproduced",
    store: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> list[Outcome]:
    """Run a paper's exhibits, and write of each its figure, its data and a caption, and of all a table of claims.

    A call that was cut short goes on where it was: what is computed lies in the store.

    Args:
        given: a paper, its name, or a file or module of one's own with a `PAPER`.
        exhibits: names of those to run; none means all.
        budget: "fast" is for a first look, in seconds and without any files of data; "full" is for an accelerator.
        out: a folder, with one for the paper in it: EXHIBIT.png, .pdf, .csv and .md (the caption); claims.md and
            claims.json, which keep what other calls found there.
        store: a folder for the stores of the sweeps; None keeps them in `out`, under `.stores`.
        progress: as for `sweep`.

    Returns:
        What became of each exhibit. One whose data is not there is not run, and its claims are not judged.

    Raises:
        ValueError: before anything is run, if there is no such paper, exhibit or budget.
    """
    checks.choice("budget", budget, BUDGETS)
    chosen = given if isinstance(given, Paper) else paper(given)
    to_run = [one for one in chosen.chosen(exhibits) if exhibits or budget in one.budgets]
    for one in to_run:
        checks.choice(f"the budget of {one.name}", budget, tuple(one.budgets))
    folder = writable(located(out) / chosen.name, folder=True)
    kept = located(store) if store is not None else located(out) / ".stores"
    outcomes = []
    for number, exhibit in enumerate(to_run, 1):
        say(f"{chosen.name} {exhibit.name}, {number} of {len(to_run)}: {exhibit.title}")
        if lacking := missing(exhibit, budget):
            say(f"it needs {', '.join(lacking)}, in the folder that JAXDEC_DATA names; it is not run")
            outcomes.append(Outcome(exhibit, (), (), 0.0, lacking))
            continue
        outcome = _one(exhibit, budget, folder, kept / chosen.name / exhibit.name / budget, progress)
        outcomes.append(outcome)
        recorded(chosen, exhibit, budget, outcome.verdicts, folder)
        for failure in outcome.failures:
            say(failure)
    return outcomes


def _one(exhibit: Exhibit, budget: Budget, folder: Path, store: Path, progress: bool | None) -> Outcome:
    began = time.perf_counter()
    results, found = computed(exhibit, budget, store, progress)
    verdicts = tuple(claim.judged(results) for claim in exhibit.claims if budget in claim.budgets)
    png, pdf, csv, text = (folder / f"{exhibit.name}{ending}" for ending in (".png", ".pdf", ".csv", ".md"))
    figure = lambda: exhibit.figure(results)
    failures = [draw(figure, png), draw(figure, pdf)]
    try:
        to_csv(results, csv)
        text.write_text(caption(exhibit, budget, results, found), encoding="utf-8")
    except OSError as error:
        failures.append(f"{csv} or {text} was not written: {error}")
    seconds = time.perf_counter() - began
    return Outcome(exhibit, verdicts, (png, pdf, csv, text), seconds, failures=tuple(filter(None, failures)))
