"""Bad input is refused here, before anything is traced: what was wrong, what was expected, what to do."""

import dataclasses
import difflib
import inspect
import operator
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec._module import shown, step_sizes
from jaxdec.types import LAWS, STRUCTURAL, Cost

__all__ = [
    "DEFAULTS",
    "DIRECTED",
    "EXAMPLES",
    "HINTS",
    "NEEDED",
    "NUMBERS",
    "TAKEN",
    "Facts",
    "algorithm",
    "checkpoints",
    "choice",
    "facts",
    "fitting",
    "fraction",
    "free",
    "horizon",
    "integer",
    "laws",
    "limit",
    "measured",
    "part",
    "parts",
    "positive",
    "single",
    "sizes",
    "start",
    "violation",
]

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


class Facts(NamedTuple):
    """What a class of algorithms says of itself, with what it may leave out filled in."""

    requires: frozenset[str]
    wants: Mapping[str, str]
    absent: str
    replicas: bool


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
        laws(f"requires of {name}", type(value).requires)
        laws(f"wants of {name}", facts(value).wants)
        choice(f"absent of {name}", facts(value).absent, ("frozen", "own", "refused"))
    if kind == "network":
        laws(f"provides of {name}", value.provides)
    sizes(kind, value)


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _seems(value: Any) -> str | None:
    """What a value looks like, by what it has."""
    homes = {base.__module__.partition(".")[0] for base in type(value).__mro__}
    if isinstance(value, np.ndarray | jax.Array) or "scipy" in homes:
        return "matrix"
    has = lambda *names: all(hasattr(type(value), name) or name in _fields(type(value)) for name in names)
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


def laws(what: str, named: Any) -> None:
    """Refuse laws that are not in the vocabulary."""
    named = {named} if isinstance(named, str) else named
    for law in named:
        if law not in LAWS:
            near = difflib.get_close_matches(str(law), LAWS, n=1, cutoff=0.4)
            meant = f"; did you mean {near[0]!r}?" if near else "."
            raise ValueError(f"{what} names {law!r}, which is no law{meant} The laws are {', '.join(LAWS)}")


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


def facts(algorithm: Any) -> Facts:
    """What an algorithm needs of its network, and what happens to a node that does not take part."""
    kind = algorithm if isinstance(algorithm, type) else type(algorithm)
    requires = getattr(kind, "requires", ())
    requires = frozenset({requires} if isinstance(requires, str) else requires)
    absent, replicas = getattr(kind, "absent", "frozen"), getattr(kind, "replicas", False)
    if absent == "refused" or replicas:
        requires |= {"reliable"}
    return Facts(requires, getattr(kind, "wants", {}), absent, replicas)


def parts(problem: Any, network: Any) -> None:
    """Refuse a problem or a network that is wrong in itself, and two that differ in size."""
    for one in (problem, network):
        if hasattr(one, "check"):
            one.check()
    if network.n != problem.n:
        raise ValueError(
            f"the problem has {problem.n} nodes and the network {network.n}; they must be equal. Build the network for "
            f"n={problem.n}, or split the data over {network.n} nodes"
        )


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
    name = type(algorithm).__name__
    if hasattr(algorithm, "check"):
        algorithm.check()
    for field, value in step_sizes(algorithm):
        positive(f"{name}.{field}", value, rounds)
    needs = facts(algorithm)
    broken = needs.requires - network.provides
    if broken and (strict or broken & STRUCTURAL):
        raise ValueError(_misfit(name, needs, broken, network, among))
    if broken:
        lost = " and ".join(
            f"{LAWS[law].needed} ({LAWS[law].meaning}): it loses {LAWS[law].lost}" for law in sorted(broken)
        )
        warnings.warn(f"{name} runs without {lost}", stacklevel=3)
    for law, lost in needs.wants.items():
        if law not in network.provides:
            warnings.warn(f"{name} on a network that is not {law}: {lost}", stacklevel=3)
    if problem is not None and hasattr(algorithm, "advise"):
        algorithm.advise(problem)
    return broken


def fitting(provides: frozenset[str], among: Iterable[type]) -> list[str]:
    """The names of those classes that need no other laws than these; a part of a method says nothing of laws."""
    fits = lambda kind: hasattr(kind, "requires") and facts(kind).requires <= provides
    return sorted(kind.__name__ for kind in among if fits(kind))


def _misfit(name: str, needs: Facts, broken: frozenset[str], network: Any, among: Iterable[type]) -> str:
    found = ", ".join(sorted(network.provides)) or "none of the known properties"
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
    others = fitting(network.provides, kinds)
    hints.append(f"This network is for {', '.join(others)}" if others else "No algorithm here is for this network")
    if not network.provides & {"doubly stochastic", "server", "push-pull"}:
        pushed, pulled = (fitting(DIRECTED | {law}, kinds) for law in ("column stochastic", "push-pull"))
        hints.append(
            f"On a directed graph {', '.join(pulled)} runs with networks.push_pull(graph), and "
            f'networks.static(graph, weights="column_stochastic") is for {", ".join(pushed)}'
        )
    return ". ".join([said, *hints])


DIRECTED = frozenset({"fixed", "reliable", "arcs"})  # what any graph with weights that do not change has


HINTS = {
    "symmetric": "Use Metropolis-Hastings weights (networks.static(graph)), or an algorithm for directed graphs",
    "doubly stochastic": "Rows and columns must sum to 1: use Metropolis-Hastings weights (networks.static(graph))",
    "column stochastic": 'Columns must sum to 1: use networks.static(graph, weights="column_stochastic")',
    "row stochastic": 'Rows must sum to 1: use networks.static(graph, weights="row_stochastic")',
    "server": "Use networks.server(n)",
    "push-pull": "Use networks.push_pull(graph): it makes the pair (R, C) from any strongly connected graph",
    "fixed": "Use a network whose W does not change, such as networks.ring(n)",
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


def horizon(rounds: int, every: int) -> None:
    """Refuse a number of rounds that is not a positive multiple of the stride."""
    for name, value in (("rounds", rounds), ("every", every)):
        if not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} is a positive integer; got {value!r}")
    if rounds % every:
        lower = rounds - rounds % every
        raise ValueError(
            f"rounds={rounds} is not a multiple of every={every}; take rounds={lower + every}"
            + (f" or {lower}" if lower else "")
        )


def checkpoints(path: Any, stretch: int | None, every: int) -> int | None:
    """How many rounds from one checkpoint to the next, or None where that is to be chosen."""
    if stretch is None:
        return None
    if path is None:
        raise ValueError(f"checkpoint_every={stretch} says when to save, and checkpoint not where; give a directory")
    integer("checkpoint_every", stretch)
    if stretch % every:
        raise ValueError(
            f"checkpoint_every={stretch} is not a multiple of every={every}; take {every * (stretch // every + 1)}"
        )
    return stretch


NUMBERS = ("bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)))
NUMBERS += ("float16", "float32", "float64")  # the dtypes of metrics, in results and on disk
TAKEN = (*("algorithm", "problem", "network", "seed", "round", "node", "config", "done"), *Cost._fields)


def measured(found: Mapping[str, Any], n: int) -> None:
    """Refuse metrics, by their shapes and dtypes at one record, that results cannot have."""
    free(found)
    for name, of in found.items():
        if of.shape not in ((), (n,)):
            raise ValueError(
                f"the metric {name!r} gives an array of shape {of.shape}; a metric gives a number, or (n,) = ({n},) "
                "with one for each node, or a dict of such. Give a norm or a mean of it, or each part a name"
            )
        if of.dtype.name not in NUMBERS:
            raise ValueError(f"the metric {name!r} is of dtype {of.dtype}; give real numbers, of {', '.join(NUMBERS)}")


def free(names: Iterable[str], taken: Iterable[str] = ()) -> None:
    """Refuse metrics that are called as something else in the results is, which has the names `taken` and others."""
    if clash := sorted(set(names) & {*TAKEN, *taken}):
        raise ValueError(
            f"a metric cannot be called {', '.join(map(repr, clash))}, which is the name of a dimension or a "
            f"coordinate of the results; give a mapping of other names to the functions"
        )


def positive(name: str, value: Any, rounds: int | None = None) -> None:
    """Refuse a step size that is neither positive and finite nor a schedule, which may also be zero."""
    if callable(value):
        for t in () if rounds is None else dict.fromkeys((0, rounds - 1)):
            _scheduled(name, np.asarray(value(jnp.asarray(t))), t)
        return
    value = np.asarray(value)
    if not (np.issubdtype(value.dtype, np.number) and np.all(np.isfinite(value)) and np.all(value > 0)):
        raise ValueError(f"{name} is a step size, which is positive and finite; got {value}")


def _scheduled(name: str, lr: np.ndarray, t: int) -> None:
    if lr.shape != () or not np.issubdtype(lr.dtype, np.number):
        raise ValueError(
            f"{name} is a function of the round that returns a number; at round {t} it returns {lr.dtype}{[*lr.shape]}"
        )
    if not (np.isfinite(lr) and lr >= 0):
        raise ValueError(f"{name} is a schedule of step sizes, finite and not negative; at round {t} it is {lr}")


def start(x0: Any, problem: Any):
    """x0 as an (n, d) array of a floating-point type."""
    x0 = jnp.asarray(x0)
    if not jnp.issubdtype(x0.dtype, jnp.floating):
        x0 = x0.astype(float)
    n, d = problem.n, problem.d
    if x0.shape not in ((d,), (n, d)):
        raise ValueError(f"x0 has shape {x0.shape}; expected (d,) = ({d},) for all nodes or (n, d) = ({n}, {d})")
    if not np.all(np.isfinite(x0)):
        raise ValueError(f"x0 has {int(np.sum(~np.isfinite(np.asarray(x0))))} entries that are NaN or infinite")
    return jnp.broadcast_to(x0, (n, d))


def integer(name: str, value: Any, least: int = 1) -> None:
    """Refuse a static count that is not an integer of at least `least`."""
    try:
        fits = operator.index(value) >= least
    except TypeError:
        fits = False
    if not fits:
        raise ValueError(f"{name} is an integer of at least {least}; got {value!r}")


def choice(name: str, value: Any, options: tuple[str, ...]) -> None:
    """Refuse a name that is not among the options."""
    if value not in options:
        raise ValueError(f"{name} is one of {', '.join(map(repr, options))}; got {value!r}")


def fraction(name: str, value: Any) -> None:
    """Refuse what is not in [0, 1), such as a momentum of 1."""
    value = np.asarray(value)
    if not (np.issubdtype(value.dtype, np.number) and np.all((value >= 0) & (value < 1))):
        raise ValueError(f"{name} lies in [0, 1); got {value}")
