"""The extension of Sphinx: it writes the generated pages first, and turns docstrings into reStructuredText."""

import inspect
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from benchmarks.figures.pages import a_report
from jaxdec.types import LAWS
from sitepages import choosing, docstrings, figures, methods, reference

__all__ = ["setup"]


def written(path: Path, text: str) -> None:
    """Write a page if it has changed, so that Sphinx does not read it again for nothing."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def generate(app: Any) -> None:
    """Write the pages of methods, modules and notebooks, the figures and a report; those of what is no more go."""
    pages = {
        "methods": {"index": methods.index()} | {name: methods.page(name) for name in methods.names()},
        "reference": {"index": reference.index()} | {module: reference.page(module) for module in reference.MODULES},
    }
    for folder, made in pages.items():
        for path in (Path(app.srcdir) / folder).glob("*.rst"):
            if path.name.removesuffix(".rst") not in made:
                path.unlink()
        for name, text in made.items():
            written(Path(app.srcdir) / folder / f"{name}.rst", text)
    for path in sorted((Path(app.srcdir).parent / "notebooks").glob("*.ipynb")):
        written(Path(app.srcdir) / "notebooks" / path.name, path.read_text(encoding="utf-8"))
    figures.drawn(Path(app.srcdir) / "methods" / "figures", list(filter(figures.runs, methods.names())))
    if not (shown := Path(app.srcdir) / "_extra" / "report.html").exists():
        shown.parent.mkdir(exist_ok=True)
        a_report(shown)


def process(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """A docstring as reStructuredText; of a method its first line, since the rest stands above on its page."""
    doc = "\n".join(lines)
    if what == "class" and name.startswith("jaxdec.algorithms."):
        lines[:] = [docstrings.escaped(docstrings.parts(doc).line)]
    elif what == "data":
        lines[:] = []  # it would be that of its type
    elif doc.strip():
        lines[:] = docstrings.as_rst(doc)


def skip(app: Any, what: str, name: str, thing: Any, skipped: bool, options: Any) -> bool | None:
    """Leave out what NamedTuple says of its fields, and what a class has from outside of jaxdec."""
    doc = inspect.getdoc(thing) or ""
    if doc.startswith("Alias for field number") or name in ("count", "index", "replace"):
        return True
    return None


def resolve(app: Any, env: Any, node: Any, content: Any) -> Any:
    """A link for code in docstrings, such as `networks.server(n)`, where jaxdec has something of that name."""
    if node.get("refdomain") != "py" or node.get("reftype") != "obj":
        return None
    target = node["reftarget"].partition("(")[0]
    domain = env.get_domain("py")
    for name in (target, f"jaxdec.{target}", f"jaxdec.algorithms.{target}"):
        if name in domain.objects and domain.objects[name].objtype in ("class", "function", "module", "data"):
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, content)
    return None


class Laws(SphinxDirective):
    """`.. laws::`, the vocabulary of what may hold of W, as a table."""

    def run(self) -> list[Any]:
        """The table."""
        lines = [
            ".. list-table::",
            "   :header-rows: 1",
            "",
            "   * - law",
            "     - meaning",
            "     - without it is lost",
        ]
        for name, law in LAWS.items():
            lines += [f"   * - {name}", f"     - {docstrings.escaped(law.meaning)}", f"     - {law.lost}"]
        return self.parse_text_to_nodes("\n".join(lines))


class ChoosingMap(SphinxDirective):
    """`.. choosing-map::`, the drawn map of methods."""

    def run(self) -> list[Any]:
        """The drawing."""
        return [nodes.raw("", choosing.drawing(), format="html")]


def setup(app: Any) -> dict[str, Any]:
    """What Sphinx calls."""
    app.add_directive("laws", Laws)
    app.add_directive("choosing-map", ChoosingMap)
    app.connect("builder-inited", generate)
    app.connect("autodoc-process-docstring", process, priority=400)  # before napoleon
    app.connect("autodoc-skip-member", skip)
    app.connect("missing-reference", resolve)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
