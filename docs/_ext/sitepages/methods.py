"""A page for each method: its update and the code of its step side by side, symbols, cost, law, guarantee, reference.

No page is written by hand: all stands in the docstring, in the source and in the class.
"""

import dataclasses
import inspect
import re
from collections.abc import Iterable
from typing import Any

from jaxdec import algorithms, catalogue
from jaxdec.checks.lawful import facts
from jaxdec.types import LAWS
from sitepages import docstrings, figures, mathematics

__all__ = ["PARTS", "index", "lacking", "names", "page"]

# What a method's page has to have, and the labels of the docstring that it can come from.
PARTS: dict[str, tuple[str, ...]] = {
    "symbols": ("Symbols",),
    "cost": ("Cost per round", "Cost per event"),
    "law of the network": ("W", "Network"),
    "guarantee": ("Guarantee",),
    "reference": ("Reference",),
}
ABSENT = {
    "frozen": "an absent node keeps its rows of the state, by the loop's doing",
    "own": "the method handles absent nodes itself",
    "refused": "every node takes part in every round",
}
MIXES = {
    "iterates": "iterates, once a round: old ones may stand for new ones",
    "mass": "mass, of which nothing may be lost or counted twice",
}

TABLE = (
    "What each costs in a round, and what it stands: minibatch gradients of a node or client (*full* is an exact one,",
    "*prox* a proximal step) and d-vectors sent to each neighbour, or up; whether messages may be lost, known to both",
    "ends (*unknown*: to nobody, too), whether nodes may be absent, and whether what is sent is compressed.",
    "``algorithms.find`` asks this table.",
)


def names() -> list[str]:
    """What has a page."""
    return sorted(algorithms.__all__, key=str.casefold)


def is_method(thing: Any) -> bool:
    """Whether it has a step of its own: functions make a method, and a momentum is a part of one."""
    return inspect.isclass(thing) and "requires" in dir(thing)


def lacking(thing: Any) -> list[str]:
    """The parts that a page of it would lack."""
    found = docstrings.parts(inspect.getdoc(thing) or "")
    if not is_method(thing):
        return [] if found.sections.get("Reference") else ["reference"]
    missing = [part for part, labels in PARTS.items() if not any(found.sections.get(label) for label in labels)]
    update = any(block.literal for block in docstrings.blocks(found.intro))
    return [*([] if update else ["update"]), *missing]


def page(name: str) -> str:
    """The page of a method, as reStructuredText."""
    thing = getattr(algorithms, name)
    found = docstrings.parts(inspect.getdoc(thing) or "")
    lines = [":html_theme.sidebar_secondary.remove: true", "", name, "=" * len(name), "",
             ".. currentmodule:: jaxdec.algorithms", ""]  # fmt: skip
    lines += [docstrings.escaped(found.line), ""]
    if name != thing.__name__:
        lines += [f"``{name}`` is another name of :doc:`{thing.__name__}`.", ""]
    code = thing.step if is_method(thing) else thing
    lines += ["The update, and its code", "------------------------", "", ".. container:: beside", ""]
    lines += _indented([".. container:: paper", "", *_indented(_intro(found, _fields(thing)))], 3)
    lines += _indented([".. container:: code", "", *_indented(_code(code))], 3)
    for label, text in found.sections.items():
        lines += [label, *_indented(_text(_begun(text, _fields(thing)))), ""]
    if cited := docstrings.cited("\n".join(found.sections.get("Reference", []))):
        lines += ["Bibliography", *_indented([", ".join(f":cite:t:`{number}`" for number in cited)]), ""]
    if inspect.isclass(thing) and dataclasses.fields(thing):
        lines += ["Hyperparameters", "---------------", "", *_hyperparameters(thing)]
    if is_method(thing):
        lines += ["What is checked", "---------------", "", *_facts(thing)]
    if found.example:
        lines += ["Example", "-------", "", *found.example, ""]
    if figures.runs(name):
        lines += [f".. image:: figures/{figures.file(name)}", f"   :alt: What the example of {name} runs", ""]
    lines += ["In the reference", "----------------", ""]
    kind = "class" if inspect.isclass(thing) else "function"
    lines += [f".. auto{kind}:: jaxdec.algorithms.{name}", *(["   :members:"] if inspect.isclass(thing) else []), ""]
    home = inspect.getmodule(thing)
    return "\n".join([*lines, f"Source: ``{home.__name__.replace('.', '/')}.py``" if home else "", ""])


def index() -> str:
    """The page of all methods: a line, the network each needs, and where it is."""
    lines = ["Methods", "=======", "", "One page for each method: the update beside the code of its step, what it",
             "costs, what W must be, what is guaranteed, and the paper. They are made from the sources.", "",
             ".. list-table::", "   :header-rows: 1", "   :widths: 20 55 25", "", "   * - method", "     - what it is",
             "     - needs of the network"]  # fmt: skip
    for name in names():
        thing = getattr(algorithms, name)
        entry = catalogue.Entry(name, thing, algorithms.__name__)
        line = docstrings.escaped(catalogue.first_line(entry).partition(": ")[2] or catalogue.first_line(entry))
        needs = ", ".join(sorted(_requires(thing))) if is_method(thing) else ""
        lines += [f"   * - :doc:`{name}`", f"     - {line}", f"     - {needs}"]
    lines += ["", *TABLE, "", ".. list-table::", "   :header-rows: 1", "", *_row(catalogue.COLUMNS)]
    for name, *cells in catalogue.methods():
        lines += _row([f":doc:`{name}`", *map(docstrings.escaped, cells)])
    return "\n".join([*lines, "", ".. toctree::", "   :hidden:", "", *(f"   {name}" for name in names()), ""])


def _row(cells: Iterable[str]) -> list[str]:
    first, *rest = cells
    return [f"   * - {first}", *(f"     - {cell}" for cell in rest)]


def _requires(kind: type) -> frozenset[str]:
    return facts(kind).requires


def _fields(thing: Any) -> frozenset[str]:
    return frozenset(f.name for f in dataclasses.fields(thing)) if inspect.isclass(thing) else frozenset()


def _indented(lines: list[str], by: int = 3) -> list[str]:
    return [" " * by + line if line else "" for line in lines]


def _intro(found: docstrings.Parts, fields: frozenset[str]) -> list[str]:
    """What stands before the first label; updates are set in MathML."""
    lines = []
    for block in docstrings.blocks(found.intro):
        if block.literal:
            lines += [".. raw:: html", "", "   " + mathematics.table(block.lines, fields), ""]
        else:
            lines += [*docstrings.linked(docstrings.escaped("\n".join(block.lines))).split("\n"), ""]
    return lines or [docstrings.escaped(found.line), ""]


def _text(lines: list[str]) -> list[str]:
    told: list[str] = []
    for block in docstrings.blocks(lines):
        if block.literal:
            told += ["::", "", *_indented(block.lines, 4), ""]
        else:
            told += [*docstrings.linked(docstrings.escaped("\n".join(block.lines))).split("\n"), ""]
    return [*told, ""]


def _begun(lines: list[str], fields: frozenset[str]) -> list[str]:
    """Lines whose first word, if it is one and no symbol, has a capital."""
    word = re.match(r"(?:[a-z]{2,}|a)(?=[ ,.:;][ `a-z]|[.'])", lines[0])
    return [lines[0][0].upper() + lines[0][1:], *lines[1:]] if word and word[0] not in fields else lines


def _code(thing: Any) -> list[str]:
    return [".. code-block:: python", "", *_indented(docstrings.source(thing).split("\n")), ""]


def _hyperparameters(kind: type) -> list[str]:
    lines = [".. list-table::", "   :header-rows: 1", "", "   * - name", "     - default", "     - in a sweep"]
    for f in dataclasses.fields(kind):
        if not f.init:
            continue
        default = "" if f.default is dataclasses.MISSING else f"``{f.default!r}``"
        swept = (
            "a step size: numbers or schedules, all in one program" if f.metadata.get("step_size")
            else "compiled in: a program for each value" if f.metadata.get("static")
            else "the numbers in it are in one program"
        )  # fmt: skip
        lines += [f"   * - ``{f.name}``", f"     - {default}", f"     - {swept}"]
    return [*lines, ""]


def _facts(kind: type) -> list[str]:
    """What the class says of itself, for the checks."""
    known = facts(kind)
    rows = [("needs", ", ".join(f"{law}: {LAWS[law].meaning}" for law in sorted(known.requires)) or "nothing")]
    rows += [(f"where the network is not {law}", f"a warning: {lost}") for law, lost in known.wants.items()]
    rows += [("absent nodes", ABSENT[known.absent])]
    rows += [("copies of neighbours' vectors", "are kept: no message may be lost")] if known.replicas else []
    rows += [("lost messages", "count as under way, or what arrived before is used")] if known.stands_loss else []
    rows += [("multiplies by W", MIXES[known.mixes])] if known.mixes else []
    stable = "limit" in dir(kind)
    rows += [("largest stable step", "``limit(eigenvalue)`` and ``theory.stability_limit`` know it")] if stable else []
    lines = [".. list-table::", "   :widths: 30 70", ""]
    for what, told in rows:
        lines += [f"   * - {what}", f"     - {docstrings.escaped(told)}"]
    return [*lines, ""]
