"""What jaxdec has, by name: for files that describe sweeps, and for `jaxdec list` and `jaxdec info`."""

import dataclasses
import difflib
import inspect
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from jaxdec import algorithms, compressors, data, graphs, metrics, networks, problems, scaling
from jaxdec.checks.lawful import facts
from jaxdec.compressors import three_point
from jaxdec.data import Dataset, Partition
from jaxdec.graphs import Graph
from jaxdec.networks import clocks, delays, outages, selection
from jaxdec.nn import models
from jaxdec.problems import regularizers

__all__ = [
    "COLUMNS",
    "LAWS",
    "MODULES",
    "SECTIONS",
    "Entry",
    "about",
    "first_line",
    "found",
    "listed",
    "measures",
    "methods",
    "nearest",
    "public",
    "section",
]

LAWS = (outages, clocks, delays, selection)  # of what is random in a network
MODULES = {
    module.__name__.split(".")[-1]: module
    for module in (algorithms, problems, regularizers, networks, *LAWS, data, graphs, compressors, three_point, scaling)
}


def public(module: ModuleType) -> dict[str, Any]:
    """The classes and functions that a module offers by name, those of jaxdec's private modules left out."""
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]

    def offered(thing: Any) -> bool:
        home = getattr(thing, "__module__", None) or ""
        return (
            (inspect.isclass(thing) or inspect.isfunction(thing))
            and home.startswith("jaxdec.")
            and not any(part.startswith("_") for part in home.split("."))
            and not getattr(thing, "_is_protocol", False)
            and not (inspect.isclass(thing) and issubclass(thing, tuple))
        )

    return {name: getattr(module, name) for name in sorted(names) if offered(getattr(module, name))}


def measures() -> dict[str, Any]:
    """The metrics of `jaxdec.metrics`, by name."""
    return {name: getattr(metrics, name) for name in metrics.__all__}


@dataclasses.dataclass(frozen=True)
class Entry:
    """Something that jaxdec has."""

    name: str
    thing: Any
    home: str  # the module that it is taken from, such as jaxdec.algorithms

    @property
    def alias(self) -> str | None:
        """The name under which it is the same, if this is its second."""
        return self.thing.__name__ if self.thing.__name__ != self.name else None


def _makes(*kinds: Any) -> Callable[[Any], bool]:
    return lambda thing: inspect.isfunction(thing) and inspect.signature(thing).return_annotation in kinds


def _weighs(thing: Any) -> bool:
    """Whether it makes a matrix of a graph or of a matrix."""
    return inspect.isfunction(thing) and thing.__module__ == "jaxdec.graphs.weights"


def _law(thing: Any) -> bool:
    return inspect.isclass(thing) and dataclasses.is_dataclass(thing)


# The sections of `jaxdec list`: what each is of, and which of that. Helpers, such as `data.label_counts`, are in none.
SECTIONS: tuple[tuple[str, ModuleType, Callable[[Any], bool]], ...] = (
    ("Algorithms", algorithms, lambda thing: inspect.isfunction(thing) or "requires" in dir(thing)),
    ("Momenta", algorithms, lambda thing: inspect.isclass(thing) and "requires" not in dir(thing)),
    ("Networks", networks, inspect.isfunction),
    ("Outages", outages, _law),
    ("Clocks", clocks, _law),
    ("Delays", delays, _law),
    ("Selections", selection, _law),
    ("Graphs", graphs, _makes(Graph)),
    ("Weights", graphs, _weighs),
    ("Problems", problems, inspect.isfunction),
    ("Regularizers", regularizers, inspect.isclass),
    ("Data sets", data, _makes(Dataset)),
    ("Partitions", data, _makes(Partition)),
    ("Models", models, inspect.isclass),
    ("Compressors", compressors, inspect.isclass),
    ("Three-point compressors", three_point, inspect.isclass),
    ("Scalings", scaling, inspect.isclass),
)


def listed() -> dict[str, list[Entry]]:
    """What there is, by section.

    >>> [entry.name for entry in listed()["Outages"]]
    ['AtLeast', 'Cyclic', 'GilbertElliott', 'Independent', 'Markov', 'Poisson', 'Trace']
    """
    found = {
        title: [Entry(name, thing, module.__name__) for name, thing in public(module).items() if fits(thing)]
        for title, module, fits in SECTIONS
    }
    return found | {"Metrics": [Entry(name, thing, metrics.__name__) for name, thing in measures().items()]}


def section(name: str, titles: list[str]) -> str:
    """The title of a section, by a name in any case.

    Raises:
        ValueError: if there is none of that name, with the nearest that there is.

    >>> section("algorithms", ["Algorithms", "Networks"])
    'Algorithms'
    """
    found = [title for title in titles if title.casefold() == name.casefold()]
    if not found:
        raise ValueError(f"there is no section {name!r}; {nearest(name, titles)}")
    return found[0]


# The columns of the table of methods: gradients and vectors are those of a round, per node or client.
COLUMNS = ("method", "where", "needs", "grads", "vectors", "loss", "sleep", "compresses", "paper")


def methods() -> list[tuple[str, ...]]:
    """The table of the methods as texts, under COLUMNS.

    >>> dict(zip(COLUMNS, methods()[0], strict=True))["method"]
    'A2CiD2'
    """
    return [
        (
            row.name, row.family, ", ".join(sorted(row.needs)), row.grads, row.vectors, row.loss, row.sleep,
            "yes" if row.compression else "", " ".join([row.paper, *row.arxiv[:1]]),
        )
        for row in algorithms.table()
    ]  # fmt: skip


def first_line(entry: Entry) -> str:
    """What it is, on a line."""
    if entry.alias:
        return f"the same as {entry.alias}"
    return (inspect.getdoc(entry.thing) or "").split("\n")[0]


def about(name: str) -> list[str]:
    """All that is known of what has this name, one text for each: two modules may have one name, such as `ring`.

    A name that nothing has here, such as "FedAvg", is looked for in the lines that say what things are.

    Raises:
        ValueError: if there is nothing of that name, with the nearest that there is.

    >>> print(about("Identity")[0].splitlines()[0])
    jaxdec.compressors.Identity()
    >>> print(about("FedAvg")[0].splitlines()[0])
    jaxdec.algorithms.LocalSGD(lr, local_steps, outer_lr=1.0)
    """
    return [_told(entry) for entry in found(name)]


def found(name: str) -> list[Entry]:
    """What has a name, by which it may be in several modules, or in whose lines it stands.

    Raises:
        ValueError: if there is nothing, with the nearest that there is.
    """
    module, _, short = name.rpartition(".")
    entries = [entry for entry in _everything() if not module or entry.home.split(".")[-1] == module.split(".")[-1]]
    there = [entry for entry in entries if entry.name == short]
    there = there or [entry for entry in entries if entry.name.casefold() == short.casefold()]
    there = there or [e for e in entries if re.search(rf"(?i)(?<!\w){re.escape(short)}(?!\w)", first_line(e))]
    if not there:
        raise ValueError(f"jaxdec has no {name!r}; {nearest(short, sorted({e.name for e in entries}), listing=False)}")
    return there


def _everything() -> Iterator[Entry]:
    """What is in no section, too."""
    for module in (*MODULES.values(), models):
        yield from (Entry(name, thing, module.__name__) for name, thing in public(module).items())
    yield from (Entry(name, thing, metrics.__name__) for name, thing in measures().items())


def _told(entry: Entry) -> str:
    lines = [f"{entry.home}.{entry.name}{_signature(entry.thing)}"]
    if entry.alias:
        lines.append(f"the same as {entry.alias}")
    lines += ["", *_doc(entry.thing)]
    if "requires" in dir(entry.thing) and inspect.isclass(entry.thing):
        lines += ["", *_fields(entry.thing), *_needs(entry.thing)]
    return "\n".join(lines)


def _signature(thing: Any) -> str:
    """The names and defaults of the arguments, without their types."""
    parameters = [p.replace(annotation=p.empty) for p in inspect.signature(thing).parameters.values()]
    hidden = ("parent",)  # of a Flax module
    return str(inspect.Signature([p for p in parameters if p.name not in hidden]))


def _doc(thing: Any) -> list[str]:
    """The docstring without its example; reST's sign of a block of code is a colon."""
    text = (inspect.getdoc(thing) or "").partition("\n>>>")[0].rstrip()
    return re.sub(r"(?m)^::\n\n|:(?=:$)", "", text).split("\n")


def _fields(kind: type) -> list[str]:
    """The hyperparameters of an algorithm by what a sweep over them costs."""
    made = [f for f in dataclasses.fields(kind) if f.init]
    steps = [f.name for f in made if f.metadata.get("step_size")]
    compiled = [f.name for f in made if f.metadata.get("static")]
    others = [f.name for f in made if f.name not in (*steps, *compiled)]
    rows = (("Step sizes", steps, "numbers or schedules; all values in one compiled program"),
            ("Numbers and parts", others, "numbers in them are swept in one compiled program"),
            ("Compiled in", compiled, "a program for each value"))  # fmt: skip
    return [f"{what}: {', '.join(names)} ({cost})." for what, names, cost in rows if names]


def _needs(kind: type) -> list[str]:
    """The laws of the network that it needs, or without which less is promised."""
    known = facts(kind)
    lines = [f"Needs of the network: {', '.join(sorted(known.requires)) or 'nothing'}."]
    return lines + [f"Without {law!r}: {lost}." for law, lost in known.wants.items()]


def nearest(name: str, names: list[str], *, listing: bool = True) -> str:
    """The sentence that helps whoever mistyped `name`."""
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    listed = f"There are {', '.join(names)}" if listing else "`jaxdec list` shows what there is"
    meant = f"did you mean {' or '.join(map(repr, near))}?"
    return f"{meant} {listed}" if near else listed[0].lower() + listed[1:]
