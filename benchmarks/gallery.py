"""The gallery of the site. `python -m benchmarks.gallery` draws it and writes `docs/gallery.md`, in a few minutes.

Each function of `benchmarks.figures` is a figure: its first line is the caption, and its code stands beside it on the
page. `NAME ...` draws those alone.
"""

import argparse
import inspect
import io
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from PIL import Image

from benchmarks.figures import graphs, methods, pages, studies
from jaxdec import plotting

DOCS = Path(__file__).parents[1] / "docs"

HEAD = """# Gallery

Figures and the code that makes each, on problems that take seconds. Those of papers are on a page of their own, see
[reproducing papers](reproducing-papers.md). Made by `python -m benchmarks.gallery`.
"""

PARTS = {"Methods": methods, "Graphs, networks and failures": graphs, "Data, tuning and statistics": studies}


def own(module):
    """The figures of a module, in their order."""
    return [f for f in vars(module).values() if inspect.isfunction(f) and f.__module__ == module.__name__]


FIGURES = tuple(figure for module in PARTS.values() for figure in own(module))


def drawn(figure, path: Path) -> None:
    """Draw a figure into a small file, whose 256 colours keep lines of different colours apart."""
    content = io.BytesIO()
    with mpl.rc_context(plotting.STYLE | {"axes.prop_cycle": plt.cycler(color=plotting.COLOURS)}):
        made = figure()
    made.savefig(content, format="png", dpi=110, bbox_inches="tight")
    plt.close(made)
    path.parent.mkdir(exist_ok=True)
    with Image.open(content) as image:
        image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(path, optimize=True)


def section(figure) -> str:
    """A figure on the page, with its code."""
    title, caption = figure.__name__.replace("_", " ").capitalize(), inspect.getdoc(figure)
    file = Path(inspect.getsourcefile(figure)).name
    code = f"```{{literalinclude}} ../benchmarks/figures/{file}\n:pyobject: {figure.__name__}\n```"
    return f"### {title}\n\n{caption}\n\n![{caption}](gallery/{figure.__name__}.png)\n\n{code}\n"


def report() -> str:
    """The page that is a report: a picture of it, a link to it, and its code."""
    caption = inspect.getdoc(pages.a_report)
    code = "```{literalinclude} ../benchmarks/figures/pages.py\n:pyobject: a_report\n```"
    link = '<p><a href="report.html">The page itself.</a></p>'
    return f"### A report\n\n{caption}\n\n{link}\n\n![{caption}](_static/report.png)\n\n{code}\n"


def papers() -> str:
    """The figures of papers, each with the command that makes it."""
    lines = ["## Papers", "", "Each is made by `jaxdec reproduce`, and judged on [its page](papers.md).", ""]
    for path in sorted((DOCS / "papers").glob("*.png")):
        paper, _, exhibit = path.stem.partition("-")
        title = f"{paper.replace('_', ' ')}, {exhibit.replace('-', ' ')}"
        lines += [f"### {title.capitalize()}", "", f"![{title}](papers/{path.name})", ""]
        lines += [f"```sh\njaxdec reproduce {paper} {exhibit}\n```", ""]
    return "\n".join(lines)


def page() -> str:
    """The page of all figures."""
    parts = [f"## {title}\n\n" + "\n".join(map(section, own(module))) for title, module in PARTS.items()]
    return "\n".join([HEAD, *parts, report(), papers()])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="those to draw; none means all")
    asked = parser.parse_args().names
    mpl.use("Agg")
    for one in FIGURES:
        if not asked or one.__name__ in asked:
            drawn(one, DOCS / "gallery" / f"{one.__name__}.png")
    (DOCS / "gallery.md").write_text(page(), encoding="utf-8")
