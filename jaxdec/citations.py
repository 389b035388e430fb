"""The papers of what jaxdec has, as BibTeX."""

import inspect
import re
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from textwrap import fill

from jaxdec import catalogue

__all__ = ["cite", "entries", "own", "reference"]

_SECTION = re.compile(r"\bReferences?: +(.+?)(?=\n\n|\n[A-Z][\w ]*: |\n>>>|\Z)", re.DOTALL)
_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")


def cite(names: Iterable[str]) -> str:
    """BibTeX of jaxdec and of the papers that something of these names refers to, each once.

    A paper is found by its arXiv number, or by its title where it has none. Of what is not in the bibliography the
    reference stands as a comment, as the docstring has it.

    Raises:
        ValueError: if there is nothing of a name, with the nearest that there is.

    >>> [line for line in cite(["KGT"]).splitlines() if line.startswith("@")]
    ['@software{jaxdec,', '@misc{2301.01313,']
    """
    found = {"jaxdec": own()}
    for name in names:
        texts = [reference(entry.thing) for entry in catalogue.found(name)]
        if not any(texts):
            found[name] = f"% {name} refers to no paper"
        for text in filter(None, texts):
            numbers = _ARXIV.findall(text)
            there = {key: entry for key, entry in entries().items() if key in numbers or _titled(entry, text)}
            found |= there or {name: fill(f"{name}: {text}", 118, initial_indent="% ", subsequent_indent="% ")}
    return "\n\n".join(found.values())


def reference(thing: object) -> str | None:
    """The reference in a docstring, on a line."""
    text = _SECTION.search(inspect.getdoc(thing) or "")
    return " ".join(text[1].split()) if text else None


@cache
def entries() -> dict[str, str]:
    """The entries of the bibliography, by their keys."""
    text = files("jaxdec").joinpath("references.bib").read_text(encoding="utf-8")
    return {found[1]: found[0] for found in re.finditer(r"^@\w+\{([^,\s]+),\n.*?^\}$", text, re.DOTALL | re.MULTILINE)}


def own() -> str:
    """The entry of jaxdec itself, of this version."""
    title = "jaxdec: decentralized, federated and compressed optimization on one accelerator"
    fields = {"author": "{The jaxdec authors}", "title": f"{{{title}}}", "version": version("jaxdec"), "year": "2026"}
    return "\n".join(["@software{jaxdec,", ",\n".join(f"  {k} = {{{v}}}" for k, v in fields.items()), "}"])


def _titled(entry: str, text: str) -> bool:
    """Whether an entry without an arXiv number is that of a paper whose title stands in a text."""
    title = re.search(r"title = \{\{(.+?)\}\}", entry, re.DOTALL)
    return "eprint" not in entry and title is not None and title[1].casefold() in text.casefold()
