"""Bad input is refused here, before anything is traced: what was wrong, what was expected, what to do."""

import operator
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxdec._module import step_sizes
from jaxdec.types import LAWS, STRUCTURAL, Cost


class Facts(NamedTuple):
    """What a class of algorithms says of itself, with what it may leave out filled in."""

    requires: frozenset[str]
    wants: Mapping[str, str]
    absent: str
    replicas: bool


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
    for part in (problem, network):
        if hasattr(part, "check"):
            part.check()
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
    if isinstance(algorithm, type):
        raise TypeError(
            f"expected an algorithm, got the class {algorithm.__name__}; write {algorithm.__name__}(lr=...)"
        )
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
    """The names of those classes that need no other laws than these."""
    return sorted(kind.__name__ for kind in among if facts(kind).requires <= provides)


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
