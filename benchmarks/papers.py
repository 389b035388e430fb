"""Figures and claims of all papers, as a page. `python -m benchmarks.papers`, some hours on two cores.

It runs what `jaxdec reproduce` lists, with the default budget, and writes `docs/papers.md` and the figures beside it. A
run that was cut short goes on; what lies in the folder of `--out` is not run again. `--written` runs nothing, and makes
the page of what is there.
"""

import argparse
import datetime
import io
import json
from pathlib import Path

from PIL import Image

from jaxdec.papers.exhibits import Exhibit, Paper
from jaxdec.papers.report import claims
from jaxdec.papers.reproduce import PAPERS, paper, reproduce

PAGE = Path(__file__).parents[1] / "docs" / "papers.md"
COLOURS = 256  # of a figure on the page, to keep it small

HEAD = """# Papers reproduced

Made by `python -m benchmarks.papers`, which is `jaxdec reproduce PAPER` for each paper, on the dates and devices that
the captions name; this page is of {date}. {claims} claims are judged, {hold} hold. Those that do not hold and must are
in bold. An exhibit that is not below was not run with this budget yet: {missing}.

A claim says with what right its number is expected: it was read on a page or in code, it is recalled of a page that was
not read, it follows by calculation, an independent program found it, or it was seen here.
"""


def kept(folder: Path) -> list[dict]:
    """The claims of the default budget that lie in a paper's folder."""
    path = folder / "claims.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return [entry for entry in found if entry["budget"] == "default"]


def shown(one: Paper, exhibit: Exhibit, folder: Path, figures: Path) -> str:
    """An exhibit: figure and caption."""
    png, caption = folder / f"{exhibit.name}.png", (folder / f"{exhibit.name}.md").read_text(encoding="utf-8")
    name, small = f"{one.name}-{exhibit.name}.png", io.BytesIO()
    with Image.open(png) as image:
        image.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(small, "PNG", optimize=True)
    figures.mkdir(exist_ok=True)
    (figures / name).write_bytes(small.getvalue())
    return f"### {exhibit.name}\n\n![{exhibit.title}]({figures.name}/{name})\n\n{caption}"


def section(one: Paper, out: Path, page: Path) -> str:
    """A paper: its claims, then its exhibits."""
    folder = out / one.name
    entries = kept(folder)
    judged = {entry["exhibit"] for entry in entries}
    there = [exhibit for exhibit in one.exhibits if exhibit.name in judged and (folder / f"{exhibit.name}.md").exists()]
    table = claims(one, entries).partition("\n\n")[2]
    texts = [shown(one, exhibit, folder, page.parent / "papers") for exhibit in there]
    return "\n".join([f"## {one.reference}\n", f"`jaxdec reproduce {one.name}`\n", table, *texts])


def written(out: Path, page: Path = PAGE) -> None:
    """Write the page of what lies in a folder."""
    papers = [one for one in map(paper, PAPERS) if kept(out / one.name)]
    judged = [entry for one in papers for entry in kept(out / one.name)]
    run = {(one.name, entry["exhibit"]) for one in papers for entry in kept(out / one.name)}
    due = [(one.name, e.name) for one in map(paper, PAPERS) for e in one.exhibits if "default" in e.budgets]
    missing = ", ".join(f"{name} {exhibit}" for name, exhibit in due if (name, exhibit) not in run) or "there is none"
    hold, date = sum(entry["holds"] for entry in judged), datetime.date.today().isoformat()
    head = HEAD.format(date=date, claims=len(judged), hold=hold, missing=missing)
    page.write_text("\n".join([head, *(section(one, out, page) for one in papers)]), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("papers", nargs="*", help="those to run; none means all")
    parser.add_argument("--out", type=Path, default=Path("reproduced"), help="where results lie")
    parser.add_argument("--written", action="store_true", help="run nothing")
    asked = parser.parse_args()
    for name in () if asked.written else asked.papers or PAPERS:
        reproduce(name, out=asked.out)
    written(asked.out)
