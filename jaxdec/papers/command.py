"""The command line of papers: `jaxdec reproduce`, and `python -m jaxdec.papers.NAME`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from jaxdec.jobs import clear_errors
from jaxdec.papers.exhibits import Budget, Exhibit, Paper
from jaxdec.papers.reproduce import PAPERS, Outcome, missing, paper, reproduce
from jaxdec.results.terminal import Column, Grid, say

__all__ = ["command", "contents", "judgements", "main"]

Names = Annotated[list[str] | None, typer.Argument(help="Exhibits of the paper; none means all.", metavar="EXHIBIT")]
Fast = Annotated[bool, typer.Option("--fast", help="Seconds in place of minutes, without files of data.")]
Full = Annotated[bool, typer.Option("--full", help="All of it: for an accelerator.")]
Data = Annotated[Path | None, typer.Option(help="The folder of data, in place of JAXDEC_DATA.")]
Store = Annotated[Path | None, typer.Option(help="A folder for what is computed, to go on from; in OUT.")]
Out = Annotated[Path, typer.Option(help="The folder for figures, data and claims.")]


def command(
    given: Annotated[
        str | None, typer.Argument(help="A paper, or a file of yours with a PAPER; none lists them.", metavar="PAPER")
    ] = None,
    exhibits: Names = None,
    fast: Fast = False,
    full: Full = False,
    data: Data = None,
    store: Store = None,
    out: Out = Path("reproduced"),
) -> None:
    """Run a paper's exhibits; write figures, data, captions, and which claims hold. A call cut short goes on.

    The exit status is 1 if a claim that must hold does not, or an exhibit's data is not there.
    """
    with clear_errors():
        if fast and full:
            raise ValueError("give --fast or --full, not both")
        if data is not None:
            if not data.is_dir():
                raise ValueError(f"--data names a folder; there is none at {data}")
            os.environ["JAXDEC_DATA"] = str(data.resolve())
        if given is None:
            say(contents([paper(name) for name in PAPERS]))
            return
        budget: Budget = "fast" if fast else "full" if full else "default"
        chosen = paper(given)
        outcomes = reproduce(chosen, exhibits or (), budget=budget, store=store, out=out)
    say(judgements(outcomes), f"wrote {out / chosen.name}")
    if any(outcome.failed for outcome in outcomes):
        raise typer.Exit(1)


def main(given: Paper) -> None:
    """The same of one paper: `python -m jaxdec.papers.kgt` is `jaxdec reproduce kgt`."""

    def one(
        exhibits: Names = None,
        fast: Fast = False,
        full: Full = False,
        data: Data = None,
        store: Store = None,
        out: Out = Path("reproduced"),
    ) -> None:
        command(given.name, exhibits, fast, full, data, store, out)

    one.__doc__ = f"{given.reference}. {command.__doc__}"
    typer.run(one)


def contents(papers: Sequence[Paper]) -> Grid:
    """What can be reproduced, from which data, and how long it takes."""
    rows = [(one, exhibit) for one in papers for exhibit in one.exhibits]
    lacks = [missing(exhibit, "default") for _, exhibit in rows]
    columns = [
        Column("paper", [one.name for one, _ in rows], False),
        Column("exhibit", [e.name + " (--full)" * ("default" not in e.budgets) for _, e in rows], False),
        Column("shows", [exhibit.title for _, exhibit in rows], False),
        Column("data", [_data(e.needs, lack) for (_, e), lack in zip(rows, lacks, strict=True)], False),
        *(
            Column(f"minutes {'' if budget == 'default' else budget}".strip(), [_minutes(e, budget) for _, e in rows])
            for budget in ("fast", "default")
        ),
    ]
    return Grid("", columns, 2, "minutes: of one core, as measured. *: not at hand; set JAXDEC_DATA or give --data.")


def _data(needs: Sequence[str], lacks: Sequence[str]) -> str:
    return ", ".join(need + "*" * (need in lacks) for need in needs)


def _minutes(exhibit: Exhibit, budget: Budget) -> str:
    return f"{exhibit.minutes[budget]:.2g}" if budget in exhibit.minutes else ""


def judgements(outcomes: Sequence[Outcome]) -> Grid:
    """Which claims hold, and how clearly."""
    rows = [(o.exhibit.name, v) for o in outcomes for v in o.verdicts]
    columns = [
        Column("exhibit", [name for name, _ in rows], False),
        Column("claim", [v.claim.name for _, v in rows], False),
        Column("verdict", ["holds" if v.holds else "does not hold" for _, v in rows], False),
        Column("measured", [f"{v.measured:.3g}" for _, v in rows]),
        Column("expected", [v.claim.bounds for _, v in rows], False),
    ]
    return Grid("", columns, 1, f"{sum(o.seconds for o in outcomes):.0f} s in all")
