"""The table of the methods: where each runs, what it costs, what it stands. All is said by the classes themselves."""

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from jaxdec import checks, graphs, networks
from jaxdec.types import LAWS

__all__ = ["FAMILIES", "Row", "find", "table"]

# Where methods run, by a law that they need; the first that is needed, else a graph.
FAMILIES = {
    "asynchronous": "asynchronous",
    "server": "server",
    "push-pull": "directed graph",
    "column stochastic": "directed graph",
    "tree": "tree",
}
GRAPH = "graph"
TRAITS = {  # by fields
    "compression": ("compressor", "down_compressor", "mechanism", "rank"),
    "local steps": ("local_steps",),
    "momentum": ("momentum", "outer_momentum", "outer_optimizer"),
    "adaptive steps": ("b2", "scaling", "server_optimizer", "inner_optimizer"),
}
WORDS = {"one": "1", "two": "2", "three": "3"}


@dataclasses.dataclass(frozen=True)
class Row:
    """What a class of algorithms says of itself, in its fields, its declarations and its docstring."""

    name: str
    kind: type
    line: str  # the first of its docstring
    family: str  # where it runs: a value of FAMILIES, or "graph"
    traits: frozenset[str]  # "compression", "local steps", "momentum", "adaptive steps", "proximal", "composite"
    paper: str  # the authors and the year of its first reference
    arxiv: tuple[str, ...]  # all numbers that it refers to
    needs: frozenset[str]  # laws of the network
    grads: str  # minibatch gradients of a round, per node or client; "full" is a pass over all samples, for a gradient
    # or a Hessian, "prox" a proximal step
    vectors: str  # d-vectors sent in a round, to each neighbour or up
    loss: str  # "yes" on networks whose messages are lost, known to both ends; "unknown" where nobody knows, too
    sleep: str  # "yes" where nodes or clients may be absent; "not promised" where convergence is not; "" for no

    @property
    def compression(self) -> bool:
        """Whether it compresses what it sends."""
        return "compression" in self.traits


def table() -> list[Row]:
    """A row for each class of methods, by name.

    >>> from jaxdec import algorithms
    >>> row = next(row for row in algorithms.table() if row.name == "KGT")
    >>> row.family, row.grads, row.vectors, row.loss, sorted(row.traits), row.arxiv
    ('graph', 'K', '2', 'yes', ['local steps'], ('2301.01313',))
    """
    return [_row(name) for name in _names()]


def find(
    *,
    network: Any = None,
    needs: str | Iterable[str] = (),
    family: str | None = None,
    traits: str | Iterable[str] = (),
    loss: bool | None = None,
    sleep: bool | None = None,
    compression: bool | None = None,
    composite: bool | None = None,
    paper: str | None = None,
) -> list[Row]:
    """The rows of `table` of which all that is asked is true.

    Args:
        network: on which they run.
        needs: a law that they need, or several.
        family: "graph", "directed graph", "tree", "server" or "asynchronous".
        traits: what they have, one or several of "compression", "local steps", "momentum", "adaptive steps",
            "proximal" and "composite".
        loss: whether they may lose messages.
        sleep: whether nodes or clients may be absent.
        compression: whether they compress what they send.
        composite: whether they know of regularizers.
        paper: a part of the authors' names, or an arXiv number.

    Raises:
        ValueError: for a law, a family or a trait that there is not.

    >>> from jaxdec import networks
    >>> [row.name for row in find(network=networks.ring(8), traits="local steps", loss=True)][:3]
    ['DFedAvgM', 'DFedSAM', 'DecentralizedDiLoCo']
    >>> [row.name for row in find(paper="Karimireddy", family="server")]
    ['Mime', 'MimeLite', 'PowerSGD', 'SCAFFOLD']
    """
    needs, traits = _several(needs), _several(traits)
    for law in needs:
        checks.choice("each of needs", law, tuple(LAWS))
    for trait in traits:
        checks.choice("each of traits", trait, (*TRAITS, "proximal", "composite"))
    if family is not None:
        checks.choice("family", family, (GRAPH, *dict.fromkeys(FAMILIES.values())))
    rows = [row for row in table() if needs <= row.needs and traits <= row.traits and family in (None, row.family)]
    if network is not None:
        fits = checks.fitting(network, [row.kind for row in rows])
        rows = [row for row in rows if row.kind.__name__ in fits]
    for asked, has in ((compression, "compression"), (composite, "composite")):
        rows = [row for row in rows if asked is None or asked == (has in row.traits)]
    rows = [row for row in rows if (loss is None or loss == bool(row.loss)) and sleep in (None, bool(row.sleep))]
    return [row for row in rows if paper is None or paper.casefold() in row.paper.casefold() or paper in row.arxiv]


def _several(named: str | Iterable[str]) -> frozenset[str]:
    return frozenset({named} if isinstance(named, str) else named)


def _package() -> Any:
    """The package that this is a part of, loaded before its parts; it loads methods when they are asked for."""
    return sys.modules[__name__.rpartition(".")[0]]


def _names() -> list[str]:
    package = _package()
    return [name for name in package.__all__ if "requires" in dir(getattr(package, name))]


@lru_cache(maxsize=1024)
def _row(name: str) -> Row:
    kind = getattr(_package(), name)
    doc, known = inspect.getdoc(kind) or "", checks.facts(kind)
    reference, cost = _section(doc, "References?"), _section(doc, "Cost per (?:round|event)")
    fields = {f.name for f in dataclasses.fields(kind)}
    traits = {trait for trait, of in TRAITS.items() if fields & {*of}}
    traits |= ({"proximal"} if "proximal step per" in cost else set()) | ({"composite"} if known.composite else set())
    family = next((family for law, family in FAMILIES.items() if law in known.requires), GRAPH)
    paper = re.search(r"([^.:]*?\w) (\(\d{4}\))", reference)
    return Row(
        name, kind, doc.split("\n")[0], family, frozenset(traits), _authors(*paper.groups()) if paper else "",
        tuple(dict.fromkeys(re.findall(r"\b\d{4}\.\d{4,5}\b", reference))), known.requires,
        _grads(cost), _vectors(cost), _loss(kind), _sleep(kind),
    )  # fmt: skip


def _authors(names: str, year: str) -> str:
    """The names and the year, without what stands before them, such as "the baseline of"."""
    told = re.split(r"\b(?:is|of|in) ", names)[-1]
    return f"{told.strip()} {year}"


def _section(doc: str, label: str) -> str:
    """The text behind a label of a docstring, on one line."""
    found = re.search(rf"(?ms)^{label}: (.*?)(?=^[A-Z][\w ]*: |^>>>|\Z)", doc)
    return " ".join(found[1].split()) if found else ""


def _grads(cost: str) -> str:
    first = cost.partition("; init")[0]
    parts = ["full"] if re.search(r"\ban exact gradient\b|\bpass(es)? over\b", first) else []
    if count := re.search(r"\b(one|two|2 K - 1|2 K|K_i|K) minibatch gradients?", first):
        parts.append(WORDS.get(count[1], count[1]))
    elif "proximal step per" in first:
        parts.append("prox")
    elif "no gradients" in first:
        parts.append("0")
    return " + ".join(parts)


def _vectors(cost: str) -> str:
    if count := re.search(r"(\bone|\btwo|\bthree|\b2 K_in|\(d \+ 3\)/2) (?:compressed )?d-vectors?", cost):
        along = len(re.findall(r"d-vector along|along each arc of C", cost))  # each arc of R, and of C
        seldom = " / period" if "in `period` rounds" in cost else ""
        return str(along) if along else WORDS.get(count[1], count[1]) + seldom
    return "1" if "the message" in cost or "d bits up" in cost else ""


@lru_cache(maxsize=1)
def _failing() -> dict[str, tuple[Any, ...]]:
    """Small networks that fail, of each kind that methods need."""
    path, digraph = networks.path(4), networks.random_digraph(4, 0.5)
    pair = networks.push_pull(graphs.ring(4))
    return {
        "loss": (networks.lossy(path, 0.1), *(networks.lossy(net, 0.1, rule="sender") for net in (digraph, pair))),
        "unknown": (networks.lossy(path, 0.1, rule="arcs"), networks.lossy(digraph, 0.1, rule="arcs")),
        "sleep": (networks.sleeping(path, 0.1), networks.server(4, participation=0.5)),
    }


def _fits(kind: type, what: str) -> bool:
    return any(checks.fitting(network, [kind]) for network in _failing()[what])


def _loss(kind: type) -> str:
    if _fits(kind, "unknown"):
        return "unknown"
    return ("not promised" if "fixed" in checks.facts(kind).wants else "yes") if _fits(kind, "loss") else ""


def _sleep(kind: type) -> str:
    return ("not promised" if "fixed" in checks.facts(kind).wants else "yes") if _fits(kind, "sleep") else ""
