"""The house's docstrings taken apart: an introduction, labelled sections, an example; and as reStructuredText."""

import inspect
import re
from typing import Any, NamedTuple

__all__ = ["LABELS", "Block", "Parts", "as_rst", "blocks", "cited", "escaped", "linked", "parts", "source"]

# What begins a section: a label and a colon at the start of a line, text behind it.
LABELS = (
    "Symbols",
    "Cost per round",
    "Cost per event",
    "Cost",
    "W",
    "Network",
    "Loss",
    "Guarantee",
    "Precision",
    "Reference",
    "References",
    "Deviations",
    "Ambiguities",
)
_LABEL = re.compile(rf"^({'|'.join(LABELS)}): +(?=\S)")
_GOOGLE = re.compile(r"^(Args|Returns|Raises|Yields|Attributes):$")
_CODE = re.compile(r"(``.+?``|`[^`]+`)", re.DOTALL)


class Parts(NamedTuple):
    """A docstring, taken apart."""

    line: str  # the first line
    intro: list[str]  # what stands before the first label, the update among it
    sections: dict[str, list[str]]  # by label
    google: list[str]  # Args and what follows
    example: list[str]  # from the first >>> on


class Block(NamedTuple):
    """A piece of an introduction."""

    literal: bool  # an update, as it stands in the docstring
    lines: list[str]


def parts(doc: str) -> Parts:
    r"""A docstring, taken apart.

    >>> found = parts("A step.\n\nSymbols: X is `x`.\nCost per round: none.\n\n>>> 1\n1")
    >>> found.line, found.sections["Symbols"], found.example
    ('A step.', ['X is `x`.'], ['>>> 1', '1'])
    """
    lines = inspect.cleandoc(doc).split("\n")
    found = Parts(lines[0], [], {}, [], [])
    into = found.intro
    for line in lines[1:]:
        if line.startswith(">>>") or into is found.example:
            into = found.example
        elif _GOOGLE.match(line):
            into = found.google
        elif label := _LABEL.match(line):
            into = found.sections.setdefault(label[1], [])
            line = line[label.end() :]
        into.append(line)
    return found


def blocks(lines: list[str]) -> list[Block]:
    """Text and literal blocks in turn; those follow a line that ends with two colons."""
    found: list[Block] = []
    text: list[str] = []
    literal: list[str] | None = None
    for line in lines:
        if literal is not None and line and not line.startswith("    "):
            found.append(Block(True, _stripped(literal)))
            literal = None
        if literal is not None:
            literal.append(line)
            continue
        if line.rstrip().endswith("::"):
            text.append(line.rstrip()[:-2] + (":" if line.strip() != "::" else ""))
            found.append(Block(False, text))
            text, literal = [], []
            continue
        text.append(line)
    found.append(Block(True, _stripped(literal)) if literal is not None else Block(False, text))
    return [block for block in found if any(line.strip() for line in block.lines)]


def _stripped(lines: list[str]) -> list[str]:
    """A literal block without its margin and the empty lines around it."""
    return inspect.cleandoc("\n" + "\n".join(lines)).split("\n")


def escaped(text: str) -> str:
    r"""Plain text as reStructuredText: what is math here is markup there. What is in backticks stays.

    >>> print(escaped("x* and |l|, with `a*b`"))
    x\* and \|l\|, with `a*b`
    """
    found = ""
    for piece in filter(None, _CODE.split(text)):
        code = piece.startswith("`")
        apart = (
            re.match(r"[^\s'\")\]}>/:.,;!?-]", piece) if found.endswith("`") else code and re.search(r"[\w)]$", found)
        )
        found += ("\\ " if apart else "") + (piece if code else _plain(piece))
    return found


def _plain(text: str) -> str:
    return re.sub(r"_(?=\W|$)", r"\\_", re.sub(r"([\\*|])", r"\\\1", text))


def linked(text: str) -> str:
    """With arXiv numbers and DOIs as links.

    >>> print(linked("(2018), arXiv:1803.07068."))
    (2018), `arXiv:1803.07068 <https://arxiv.org/abs/1803.07068>`__.
    """
    text = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"`arXiv:\1 <https://arxiv.org/abs/\1>`__", text)
    return re.sub(r"(?<![/\w])(?:doi:)?(10\.\d{4,}/[^\s,;]+[^\s,;.])", r"`doi:\1 <https://doi.org/\1>`__", text)


def cited(text: str) -> list[str]:
    """The arXiv numbers in a text, each once.

    >>> cited("Liu (2023), arXiv:2301.01313, and arXiv:2301.01313.")
    ['2301.01313']
    """
    return list(dict.fromkeys(re.findall(r"arXiv:(\d{4}\.\d{4,5})", text)))


def as_rst(doc: str) -> list[str]:
    """A docstring as reStructuredText, a paragraph for each section; Args and the like are left for napoleon."""
    found = parts(doc)
    lines = [escaped(found.line), ""]
    for block in blocks(found.intro):
        if block.literal:
            lines += ["::", "", *(f"    {line}" for line in block.lines), ""]
        else:
            lines += [*escaped("\n".join(block.lines)).split("\n"), ""]
    for label, text in found.sections.items():
        lines += ["", *_section(label, text)]
    return [*lines, "", *escaped("\n".join(found.google)).split("\n"), "", *found.example, ""]


def _section(label: str, text: list[str]) -> list[str]:
    lines: list[str] = []
    for block in blocks(text):
        if block.literal:
            lines += ["", "::", "", *(f"    {line}" for line in block.lines), ""]
        else:
            lines += linked(escaped("\n".join(block.lines))).split("\n")
    return [f"**{label}:** {lines[0]}", *lines[1:], ""]


def source(thing: Any) -> str:
    """The code of something, without its margin and its docstring."""
    text = inspect.cleandoc("\n" + inspect.getsource(thing))
    return re.sub(r'\n *r?"""(?:.|\n)*?"""(?=\n)', "", text, count=1)
