"""What an algorithm needs of its network, what holds of it, which of them fit together, and fields that are wrong."""

import dataclasses
import difflib
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec._module import step_sizes
from jaxdec.checks.numbers import flag, positive
from jaxdec.types import LAWS, STRUCTURAL

__all__ = [
    "DIRECTED",
    "HINTS",
    "Facts",
    "advice",
    "algorithm",
    "facts",
    "fields",
    "fitting",
    "laws",
    "limit",
    "sent",
    "settings",
    "single",
    "suits",
    "violation",
]


EITHER = " or "  # between laws of which a method wants one


class Facts(NamedTuple):
    """What a class of algorithms says of itself, with what it may leave out filled in."""

    requires: frozenset[str]
    wants: Mapping[str, str]
    absent: str
    replicas: bool
    stands_loss: bool
    mixes: str | None
    composite: bool


def laws(what: str, named: Any) -> None:
    """Refuse laws that are not in the vocabulary."""
    named = {named} if isinstance(named, str) else named
    for law in (law for laws in named for law in str(laws).split(EITHER)):
        if law not in LAWS:
            near = difflib.get_close_matches(str(law), LAWS, n=1, cutoff=0.4)
            meant = f"; did you mean {near[0]!r}?" if near else "."
            raise ValueError(f"{what} names {law!r}, which is no law{meant} The laws are {', '.join(LAWS)}")


def facts(algorithm: Any) -> Facts:
    """What an algorithm needs of its network, and what happens to a node that does not take part.

    They stand in its class; those of one that wraps another are computed from the other.
    """
    requires = getattr(algorithm, "requires", ())
    requires = frozenset({requires} if isinstance(requires, str) else requires)
    absent, replicas = getattr(algorithm, "absent", "frozen"), getattr(algorithm, "replicas", False)
    if absent == "refused" or replicas:
        requires |= {"reliable"}
    wants = getattr(algorithm, "wants", {})
    wants = {} if isinstance(wants, property) else wants  # of a class: what it wants depends on its fields
    sums, mixes = getattr(algorithm, "stands_loss", False), getattr(algorithm, "mixes", None)
    return Facts(requires, wants, absent, replicas, sums, mixes, getattr(algorithm, "composite", False))


def sent(network: Any) -> frozenset[str]:
    """The laws of what is sent in a network, be it lost or not: of its W, where both ends know of what is lost."""
    laws = getattr(network, "sends", network.provides)
    return laws | {"fixed arcs"} if "fixed" in laws else laws


def _asked(needs: Facts, network: Any) -> frozenset[str]:
    """The laws of a network that count for a method."""
    return sent(network) if needs.stands_loss else network.provides


def advice(algorithm: Any, problem: Any) -> None:
    """Let an algorithm that has something to say of the problem do so."""
    if hasattr(algorithm, "advise"):
        algorithm.advise(problem)


def algorithm(
    algorithm: Any,
    network: Any,
    problem: Any = None,
    *,
    among: Iterable[type] = (),
    strict: bool = True,
    rounds: int | None = None,
):
    """Refuse an algorithm that is wrong in itself, or whose network it is not; let it warn about the problem.

    Args:
        algorithm: what is to be run.
        network: what it is to be run on.
        problem: what is to be minimized.
        among: the classes among which those that fit the network are looked for.
        strict: whether a law that does not hold is an error; if not, it is a warning.
        rounds: how many it is to be run for, at the first and last of which schedules are looked at.

    Returns:
        The laws that do not hold.
    """
    settings(algorithm, rounds)
    return suits(algorithm, network, problem, among=among, strict=strict)


def suits(
    algorithm: Any, network: Any, problem: Any = None, *, among: Iterable[type] = (), strict: bool = True
) -> frozenset[str]:
    """Refuse an algorithm whose network it is not, as `algorithm` does, its numbers being right by themselves."""
    name = type(algorithm).__name__
    needs = facts(algorithm)
    broken = needs.requires - _asked(needs, network)
    if "asynchronous" in network.provides and "asynchronous" not in needs.requires:
        others = fitting(network, among)
        raise ValueError(
            f"{name} cannot run asynchronously: its rounds are of all nodes, and a round of this network is one event. "
            + (f"This network is for {', '.join(others)}" if others else "No algorithm here is for this network")
        )
    if broken and (strict or broken & STRUCTURAL):
        raise ValueError(_misfit(name, needs, broken, network, among))
    if broken:
        lost = " and ".join(
            f"{LAWS[law].needed} ({LAWS[law].meaning}): it loses {LAWS[law].lost}" for law in sorted(broken)
        )
        warnings.warn(f"{name} runs without {lost}", stacklevel=4)
    for law, lost in needs.wants.items():
        if not network.provides & {*law.split(EITHER)}:
            warnings.warn(f"{name} on a network that is not {law}: {lost}", stacklevel=4)
    if problem is not None:
        regularizer = getattr(problem, "regularizer", None)
        if regularizer is not None and not needs.composite:
            knowing = sorted(kind.__name__ for kind in among if hasattr(kind, "requires") and facts(kind).composite)
            raise ValueError(
                f"{name} does not know of regularizers, and this problem has one, {regularizer}: it would "
                f"minimize the rest. Take one of {', '.join(knowing)}"
            )
        advice(algorithm, problem)
    return broken


def fitting(network: Any, among: Iterable[type]) -> list[str]:
    """The names of those classes that need no other laws than a network's; a part of a method says nothing of laws."""
    events = network.provides & {"asynchronous"}  # of one node each: only methods that ask for them can be run on them
    fits = lambda kind: hasattr(kind, "requires") and events <= facts(kind).requires <= _asked(facts(kind), network)
    return sorted(kind.__name__ for kind in among if fits(kind))


def _misfit(name: str, needs: Facts, broken: frozenset[str], network: Any, among: Iterable[type]) -> str:
    found = ", ".join(sorted(_asked(needs, network))) or "none of the known properties"
    if broken == {"reliable"}:
        why = (
            "keeps copies of its neighbours' vectors, which a message that is lost or slept through corrupts for ever"
            if needs.replicas
            else "needs every node in every round"
        )
        said = f"{name} {why}, and in this network some are absent or messages are lost"
    else:
        laws = " and ".join(f"{LAWS[law].needed} ({LAWS[law].meaning})" for law in sorted(broken))
        said = f"{name} needs {laws}; this network's is {found}{violation(network)}"
    hints = [HINTS[law] for law in sorted(broken) if law in HINTS]
    kinds = list(among)
    others = fitting(network, kinds)
    hints.append(f"This network is for {', '.join(others)}" if others else "No algorithm here is for this network")
    if not network.provides & {"doubly stochastic", "server", "push-pull"}:
        pushed, pulled = (fitting(_Directed(DIRECTED | {law}), kinds) for law in ("column stochastic", "push-pull"))
        hints.append(
            f"On a directed graph networks.push_pull(graph) is for {', '.join(pulled)}, and "
            f'networks.static(graph, weights="column_stochastic") for {", ".join(pushed)}'
        )
    return ". ".join([said, *hints])


DIRECTED = frozenset({"fixed", "reliable", "arcs"})  # what any graph with weights that do not change has


class _Directed(NamedTuple):
    """What counts of a network of a directed graph."""

    provides: frozenset[str]


HINTS = {
    "symmetric": "Use Metropolis-Hastings weights (networks.static(graph)), or an algorithm for directed graphs",
    "doubly stochastic": "Rows and columns must sum to 1: use Metropolis-Hastings weights (networks.static(graph))",
    "column stochastic": 'Columns must sum to 1: use networks.static(graph, weights="column_stochastic")',
    "row stochastic": 'Rows must sum to 1: use networks.static(graph, weights="row_stochastic")',
    "server": "Use networks.server(n)",
    "push-pull": "Use networks.push_pull(graph): it makes the pair (R, C) from any strongly connected graph",
    "asynchronous": "Use networks.asynchronous(networks.server(n), speed=...), or of a graph such as networks.ring(n)",
    "tree": (
        "Use networks.path(n), networks.star(n), networks.tree(n), or a spanning tree of your graph: "
        "networks.static(nx.minimum_spanning_tree(graph))"
    ),
    "fixed": "Use a network whose W does not change, such as networks.ring(n)",
    "fixed arcs": (
        "Use a network whose graph does not change, or give each arc that it ever has a slot of its own: "
        'networks.lossy(network, loss, rule="arcs"), where a loss of 0 is none'
    ),
}


def violation(network: Any) -> str:
    """How far the W of a network are from symmetric and doubly stochastic, in words."""
    if hasattr(network, "member"):
        many, matrices = f"over its {network.size} W: ", (network.member(k).dense() for k in range(network.size))
    elif hasattr(getattr(network, "W", None), "dense"):
        many, matrices = "", iter([network.W.dense()])
    else:
        return ""
    facts = [_facts(np.asarray(W)) for W in matrices]
    low, high = np.min(facts, axis=0), np.max(facts, axis=0)
    return (
        f" ({many}row sums in [{low[0]:.3g}, {high[1]:.3g}], column sums in [{low[2]:.3g}, {high[3]:.3g}], "
        f"max|W - W'| = {high[4]:.2g}, least entry {low[5]:.3g})"
    )


def _facts(W: np.ndarray) -> tuple[float, ...]:
    rows, columns = W.sum(axis=1), W.sum(axis=0)
    return rows.min(), rows.max(), columns.min(), columns.max(), np.abs(W - W.T).max(), W.min()


def single(network: Any) -> None:
    """Refuse a network that has no single W."""
    if hasattr(network, "provides") and not hasattr(getattr(network, "W", None), "dense"):
        raise ValueError(
            f"this {type(network).__name__} network has no single W: it changes from round to round, or is a pair; "
            "pass one of its matrices, such as network.member(0) or network.W.R"
        )


def limit(algorithm: Any) -> Callable[[float], float]:
    """The exact limit of a method's step size, a function of the least eigenvalue of W; refuse a method without."""
    if not hasattr(algorithm, "limit"):
        name = type(algorithm).__name__
        raise ValueError(
            f"no exact limit is known for {name}: it has no method limit(eigenvalue), the largest lr a at curvature a "
            "where that is the least eigenvalue of W"
        )
    return algorithm.limit


def settings(algorithm: Any, rounds: int | None = None, dtype: Any = np.float64) -> None:
    """Refuse an algorithm whose numbers are wrong by themselves.

    Args:
        algorithm: as it was given, or with its numbers in the dtype of the run.
        rounds: how many it is to be run for, at the first and last of which schedules are looked at.
        dtype: of the run.
    """
    name = type(algorithm).__name__
    if hasattr(algorithm, "check"):
        algorithm.check()
    for field, value in step_sizes(algorithm):
        positive(f"{name}.{field}", value, rounds, dtype)
    fields(algorithm)
    steps = getattr(algorithm, "local_steps", 1)
    if rounds is not None and isinstance(steps, int) and rounds * steps > 2**32:
        raise ValueError(
            f"{rounds} rounds of {name}.local_steps={steps} are {rounds * steps} minibatches, and 2**32 have numbers "
            "of their own: take fewer"
        )
    if not any(isinstance(leaf, str | bytes | complex) or _nan(leaf) for leaf in jax.tree.leaves(algorithm)):
        return
    for where, leaf in jax.tree.leaves_with_path(algorithm):
        if isinstance(leaf, str | bytes | complex):
            raise ValueError(f"{name}{jax.tree_util.keystr(where)} is a real number; got {leaf!r}")
        if _nan(leaf):
            raise ValueError(f"{name}{jax.tree_util.keystr(where)} is a number; got nan")


def _nan(leaf: Any) -> bool:
    """Whether it is not a number, or has an entry that is not."""
    if isinstance(leaf, float) or not isinstance(leaf, np.floating | np.ndarray | jax.Array):
        return isinstance(leaf, float) and math.isnan(leaf)
    found = np.asarray(leaf)
    return jnp.issubdtype(found.dtype, jnp.floating) and bool(np.any(np.isnan(found)))


def fields(part: Any) -> None:
    """Refuse a switch that is not true or false, and a truth value or an infinity where a number belongs.

    Of a class of one's own switches alone are looked at: what its numbers may be is its own affair.
    """
    for owner, field, value in _nested(part):
        name = f"{type(owner).__name__}.{field.name}"
        if field.type is bool:
            if field.metadata.get("static"):
                flag(name, value)
        elif type(owner).__module__.startswith("jaxdec.") and not {"static", "step_size"} & field.metadata.keys():
            if isinstance(value, bool | np.bool_ | complex | str):
                raise ValueError(f"{name} is a real number; got {value!r}")
            if isinstance(value, float | np.floating) and not np.isfinite(np.float64(value)):
                raise ValueError(f"{name} is a finite number; got {value}")


def _nested(part: Any) -> Iterator[tuple[Any, Any, Any]]:
    """The fields of a part and of the parts it is made of, with their owners and values."""
    for field in dataclasses.fields(part) if dataclasses.is_dataclass(part) else ():
        value = getattr(part, field.name)
        yield part, field, value
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from _nested(value)
