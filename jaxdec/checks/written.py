"""What an algorithm, a problem and a network must have, and what a newcomer writes instead."""

import dataclasses
import inspect
import operator
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from jaxdec._module import shown
from jaxdec.checks.lawful import facts, fields, laws
from jaxdec.checks.values import choice
from jaxdec.types import LAWS

__all__ = ["DEFAULTS", "EXAMPLES", "NEEDED", "is_a", "lasts", "own", "part", "parts", "sizes", "unwrapped"]

# What a part of the contract must have, and how that is written.
NEEDED = {
    "algorithm": {"init": "def init(self, problem, x0, r)", "step": "def step(self, problem, state, r)"},
    "problem": {
        "n": "n: int = static()",
        "d": "d: int = static()",
        "sample": "def sample(self, key_data, i)",
        "loss": "def loss(self, x, batch=None)",
        "grad": "def grad(self, x, batch=None)",
    },
    "network": {
        "n": "n: int = static()",
        "provides": "provides: frozenset[str] = static()",
        "init": "def init(self, key)",
        "at": "def at(self, memory, t, key)",
    },
}

EXAMPLES = {
    "algorithm": "algorithms.DSGD(lr=0.1)",
    "problem": "problems.quadratic(n=8, d=3)",
    "network": "networks.ring(8)",
}

DEFAULTS = ("minimizer", "init", "objective", "suboptimality", "test", "take", "batch_size", "blocks", "over_nodes")


def own(thing: Any, *arguments: Any) -> None:
    """Let a part that knows how to check itself do so."""
    if hasattr(thing, "check"):
        thing.check(*arguments)


def unwrapped(W: Any) -> Any:
    """The W of a network that does not change, or else what was given: a matrix, an operator, a graph."""
    return getattr(W, "W", W)


def part(kind: str, value: Any) -> None:
    """Refuse what is no algorithm, problem or network, with what to write instead; called before all else.

    Args:
        kind: "algorithm", "problem" or "network".
        value: what was given as one.

    Raises:
        TypeError: if it is of another kind, a class, not a `@module`, or lacks something that is required.
        ValueError: if it names a law that does not exist.
    """
    if isinstance(value, type):
        fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
        missing = (dataclasses.MISSING, dataclasses.MISSING)
        needed = ", ".join(f"{f.name}=..." for f in fields if (f.default, f.default_factory) == missing)
        raise TypeError(f"expected {_a(kind)}, got the class {value.__name__}; write {value.__name__}({needed})")
    name, is_a = type(value).__name__, _seems(value)
    if kind == "network" and (is_a in ("graph", "matrix") or isinstance(value, list)):
        W = "graph" if is_a == "graph" else "W"
        raise TypeError(f"expected a network, got {_a(is_a or 'matrix')}, {name}; write networks.static({W})")
    if is_a is None and type(value).__module__ == "builtins":
        raise TypeError(f"expected {_a(kind)}, such as {EXAMPLES[kind]}; got {shown(value)}")
    if is_a is not None and is_a != kind:
        order = "the order is (algorithm, problem, network)" if is_a in NEEDED else f"write {EXAMPLES[kind]}"
        raise TypeError(f"expected {_a(kind)}, got {_a(is_a)}, {name}; {order}")
    if any(leaf is value for leaf in jax.tree.leaves(value)):
        raise TypeError(
            f"{name} is not a pytree, so that JAX cannot compile it; write @jaxdec.module above its class, "
            "and what it is made of as annotated fields"
        )
    if error := _unwritten(kind, type(value)):
        raise TypeError(error)
    if kind == "algorithm":
        laws(f"requires of {name}", value.requires)
        laws(f"wants of {name}", facts(value).wants)
        choice(f"absent of {name}", facts(value).absent, ("frozen", "own", "refused"))
    if kind == "network":
        laws(f"provides of {name}", value.provides)
    sizes(kind, value)


def is_a(kind: str, value: Any) -> bool:
    """Whether a value looks like an "algorithm", a "problem", a "network", a "graph" or a "matrix"."""
    return _seems(value) == kind


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _seems(value: Any) -> str | None:
    """What a value looks like, by what it has."""
    return "matrix" if isinstance(value, np.ndarray | jax.Array) else _of_kind(type(value))


@lru_cache(maxsize=256)
def _of_kind(kind: type) -> str | None:
    """What the values of a class look like."""
    homes = {base.__module__.partition(".")[0] for base in kind.__mro__}
    if "scipy" in homes:
        return "matrix"
    has = lambda *names: all(hasattr(kind, name) or name in _fields(kind) for name in names)
    if "networkx" in homes or has("senders", "receivers"):
        return "graph"
    if has("step") or has("requires"):
        return "algorithm"
    if has("at") or has("provides"):
        return "network"
    if has("loss") or has("grad") or has("sample"):
        return "problem"
    return "matrix" if has("__matmul__") else None


def _fields(kind: type) -> set[str]:
    return {f.name for f in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()


@lru_cache(maxsize=256)
def _unwritten(kind: str, cls: type) -> str | None:
    """What a class of a part lacks, or declares wrongly, in one sentence."""
    name = cls.__name__
    for needed, written in NEEDED[kind].items():
        home = next((base for base in cls.__mro__ if needed in vars(base)), None)
        if not (needed in _fields(cls) or (home is not None and not _abstract(home, needed))):
            return f"{name} has no `{needed}`, which {_a(kind)} needs; write `{written}` in the class"
        if written.startswith("def") and home is not None and inspect.isfunction(called := vars(home)[needed]):
            arguments = [a.partition("=")[0] for a in written.partition("(")[2].rstrip(")").split(", ")]
            try:
                inspect.signature(called).bind(*arguments)
            except TypeError:
                now = f"{needed}({', '.join(inspect.signature(called).parameters)})"
                return f"{name} is written with `{now}`; write `{written}`{_RETURNS.get(needed, '')}"
        field = next((f for f in dataclasses.fields(cls) if f.name == needed), None) if _fields(cls) else None
        if needed in ("n", "d") and field is not None and not field.metadata.get("static"):
            return f"{needed} of {name} is a traced field, and a size must be known when compiling; write `{written}`"
    if kind == "algorithm" and not hasattr(cls, "requires"):
        return (
            f'{name} has no `requires`, the laws that it needs of W; write `requires = "symmetric"` in the class, or '
            f"others of {', '.join(LAWS)}"
        )
    if kind == "problem" and (missing := [k for k in DEFAULTS if not hasattr(cls, k) and k not in _fields(cls)]):
        return f"{name} has no `{missing[0]}`; write `class {name}(problems.Problem)`, which has defaults for the rest"
    return None


def _abstract(home: type, needed: str) -> bool:
    """Whether a class only says that there is to be such a thing."""
    base = (home.__module__, home.__name__) == ("jaxdec.problems.base", "Problem") and needed != "grad"
    return base or home.__module__ == "jaxdec.types"


_RETURNS = {
    "at": ", which returns the memory and the world: `return memory, World(W)`",
    "init": "",
    "step": ", which returns the state and its cost: `return State(x), Cost(grads=1, vectors=1)`",
}


def sizes(kind: str, value: Any) -> None:
    """Refuse sizes of a problem or a network that are not integers known when compiling."""
    for size in {"problem": ("n", "d"), "network": ("n",)}.get(kind, ()):
        found = getattr(value, size)
        try:
            operator.index(found)
        except TypeError:
            raise TypeError(
                f"{size} of {type(value).__name__} is {shown(found)}, and a size is an integer that is known when "
                f"compiling; write `{size}: int = static()`, or a property that returns part of an array's shape"
            ) from None


def lasts(network: Any) -> int | None:
    """For how many rounds a network says what is so, as one of a trace does; None for all."""
    return getattr(network, "lasts", None)


def parts(problem: Any, network: Any, rounds: int | None = None) -> None:
    """Refuse a problem or a network that is wrong in itself, two that differ in size, and too many rounds for it."""
    for one in (problem, network):
        if hasattr(one, "check"):
            one.check()
        fields(one)
    if network.n != problem.n:
        raise ValueError(
            f"the problem has {problem.n} nodes and the network {network.n}; they must be equal. Build the network for "
            f"n={problem.n}, or split the data over {network.n} nodes"
        )
    if rounds is not None and (known := lasts(network)) is not None and known < rounds:
        raise ValueError(
            f"the trace of what fails in this network has {known} rounds, and the run has {rounds}: run fewer, or give "
            "a longer trace, or outages.Trace(..., repeat=True), which begins again after its last round"
        )
