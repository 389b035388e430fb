"""The pages of the reference: one for each public module, with all its public names."""

import ast
import importlib
import importlib.util
import inspect
import types
from pathlib import Path
from typing import Any

__all__ = ["MODULES", "documented", "elsewhere", "homes", "index", "names", "page", "submodule"]

# The public modules; methods have pages of their own.
MODULES = (
    "jaxdec",
    "jaxdec.problems",
    "jaxdec.problems.augment",
    "jaxdec.problems.regularizers",
    "jaxdec.networks",
    "jaxdec.networks.outages",
    "jaxdec.networks.clocks",
    "jaxdec.networks.delays",
    "jaxdec.networks.selection",
    "jaxdec.algorithms.overview",
    "jaxdec.graphs",
    "jaxdec.data",
    "jaxdec.compressors",
    "jaxdec.compressors.three_point",
    "jaxdec.scaling",
    "jaxdec.nn",
    "jaxdec.nn.models",
    "jaxdec.metrics",
    "jaxdec.results",
    "jaxdec.results.plotting",
    "jaxdec.results.export",
    "jaxdec.live",
    "jaxdec.sweeps",
    "jaxdec.gradients",
    "jaxdec.theory",
    "jaxdec.testing",
    "jaxdec.papers",
    "jaxdec.types",
)
METHODS = "jaxdec.algorithms"
OPTIONS = {"functions": [], "classes": ["   :members:"], "data": ["   :no-value:"]}  # of autodoc


def names(module: str) -> list[str]:
    """The names that a module closes with; of one that does not, the classes and functions that are its own."""
    found = importlib.import_module(module)
    own = lambda thing: getattr(thing, "__module__", None) == module
    return list(
        getattr(found, "__all__", [name for name, thing in vars(found).items() if own(thing) and name[0] != "_"])
    )


def documented(module: str) -> dict[str, list[str]]:
    """Its names by what they are: modules, classes, functions, data."""
    sorts: dict[str, list[str]] = {"modules": [], "classes": [], "functions": [], "data": []}
    for name in names(module):
        sorts["modules" if submodule(module, name) else _sort(getattr(importlib.import_module(module), name))].append(
            name
        )
    return {sort: sorted(found, key=str.casefold) for sort, found in sorts.items()}


def submodule(module: str, name: str) -> str | None:
    """The full name of what a module calls by a name, where that is a module; those of papers are not imported."""
    if module == "jaxdec.papers":
        return f"{module}.{name}"
    thing = getattr(importlib.import_module(module), name)
    return thing.__name__ if isinstance(thing, types.ModuleType) else None


def _first_line(module: str) -> str:
    """The first line of a module's docstring, read and not imported."""
    spec = importlib.util.find_spec(module)
    text = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
    return (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]


def _sort(thing: Any) -> str:
    if inspect.isclass(thing):
        return "classes"
    return "functions" if inspect.isroutine(thing) else "data"


def elsewhere(module: str, name: str) -> str | None:
    """The module on whose page a name of the top level is told of, where that is another."""
    if module != "jaxdec" or submodule(module, name):
        return None
    return next((other for other in MODULES if other != module and name in names(other)), None)


def homes() -> set[str]:
    """The full names of all that is documented, here or on a method's page, and of the modules that have a page."""
    found = {f"{module}.{name}" for module in MODULES for name in names(module)}
    return found | set(MODULES) | {METHODS} | {f"{METHODS}.{name}" for name in names(METHODS)}


def page(module: str) -> str:
    """The page of a module, as reStructuredText."""
    found = documented(module)
    lines = [module, "=" * len(module), "", f".. automodule:: {module}", "   :no-members:", ""]
    lines += [f".. currentmodule:: {module}", ""]
    for sort, directive in (("functions", "autofunction"), ("classes", "autoclass"), ("data", "autodata")):
        here = [name for name in found[sort] if elsewhere(module, name) is None]
        if not here:
            continue
        lines += [sort.capitalize(), "-" * len(sort), ""]
        for name in here:
            lines += [f".. {directive}:: {name}", *OPTIONS[sort], ""]
    if others := [(name, there) for name in names(module) if (there := elsewhere(module, name))]:
        lines += ["Found here, too", "---------------", ""]
        lines += [f"- ``{module}.{name}``: :doc:`{there}`" for name, there in others] + [""]
    if found["modules"]:
        lines += ["Modules", "-------", ""]
        for full in filter(None, (submodule(module, name) for name in found["modules"])):
            where = f":doc:`{full}`" if full in MODULES else f"``{full}``"
            where = f":doc:`{METHODS} </methods/index>`" if full == METHODS else where
            lines += [f"- {where}: {_first_line(full)}"]
        lines += [""]
    return "\n".join(lines)


def index() -> str:
    """The page of all modules."""
    lines = ["Reference", "=========", "", "Every public name, by module. Methods have pages of their own:",
             ":doc:`/methods/index`.",
             "", ".. list-table::", "   :widths: 30 70", ""]  # fmt: skip
    for module in MODULES:
        lines += [f"   * - :doc:`{module}`", f"     - {_first_line(module)}"]
    return "\n".join([*lines, "", ".. toctree::", "   :hidden:", "", *(f"   {module}" for module in MODULES), ""])
