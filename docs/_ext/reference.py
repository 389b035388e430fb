"""The pages of the reference: one for each public module, with all its public names."""

import importlib
import inspect
import types
from typing import Any

__all__ = ["MODULES", "documented", "elsewhere", "homes", "index", "names", "page"]

# The public modules; methods have pages of their own.
MODULES = (
    "jaxdec",
    "jaxdec.problems",
    "jaxdec.problems.augment",
    "jaxdec.networks",
    "jaxdec.networks.outages",
    "jaxdec.networks.clocks",
    "jaxdec.networks.delays",
    "jaxdec.networks.selection",
    "jaxdec.graphs",
    "jaxdec.data",
    "jaxdec.compressors",
    "jaxdec.scaling",
    "jaxdec.nn",
    "jaxdec.nn.models",
    "jaxdec.metrics",
    "jaxdec.results",
    "jaxdec.results.plotting",
    "jaxdec.results.export",
    "jaxdec.sweeps",
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
    return list(getattr(found, "__all__", [name for name, thing in vars(found).items() if own(thing) and name[0] != "_"]))


def documented(module: str) -> dict[str, list[str]]:
    """Its names by what they are: modules, classes, functions, data."""
    sorts: dict[str, list[str]] = {"modules": [], "classes": [], "functions": [], "data": []}
    for name in names(module):
        thing = getattr(importlib.import_module(module), name)
        sorts[_sort(thing)].append(name)
    return {sort: sorted(found, key=str.casefold) for sort, found in sorts.items()}


def _sort(thing: Any) -> str:
    if isinstance(thing, types.ModuleType):
        return "modules"
    if inspect.isclass(thing):
        return "classes"
    return "functions" if inspect.isroutine(thing) else "data"


def elsewhere(module: str, name: str) -> str | None:
    """The module on whose page a name of the top level is told of: the one that it comes from, where that has a page."""
    thing = getattr(importlib.import_module(module), name)
    if module != "jaxdec" or _sort(thing) == "modules":
        return None
    return next((other for other in MODULES if other != module and name in names(other)), None)


def homes() -> set[str]:
    """The full names of all that is documented, here or on a method's page, and of the modules that have a page."""
    found = {f"{module}.{name}" for module in MODULES for name in names(module)}
    return found | set(MODULES) | {METHODS} | {f"{METHODS}.{name}" for name in names(METHODS)}


def page(module: str) -> str:
    """The page of a module, as reStructuredText."""
    found = documented(module)
    title = f"``{module}``"
    lines = [title, "=" * len(title), "", f".. automodule:: {module}", "   :no-members:", ""]
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
        for name in found["modules"]:
            doc = (inspect.getdoc(getattr(importlib.import_module(module), name)) or "").split("\n")[0]
            full = getattr(importlib.import_module(module), name).__name__
            where = f":doc:`{full}`" if full in MODULES else f"``{full}``"
            where = ":doc:`/methods/index`" if full == METHODS else where
            lines += [f"- {where}: {doc}"]
        lines += [""]
    return "\n".join(lines)


def index() -> str:
    """The page of all modules."""
    lines = ["Reference", "=========", "", "Every public name, by module. Methods have pages of their own: :doc:`/methods/index`.",
             "", ".. list-table::", "   :widths: 30 70", ""]  # fmt: skip
    for module in MODULES:
        doc = (inspect.getdoc(importlib.import_module(module)) or "").split("\n")[0]
        lines += [f"   * - :doc:`{module}`", f"     - {doc}"]
    return "\n".join([*lines, "", ".. toctree::", "   :hidden:", "", *(f"   {module}" for module in MODULES), ""])
