"""Bad input is refused here, before anything is traced: what was wrong, what was expected, what to do."""

import operator
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdec._module import step_sizes


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


def algorithm(algorithm: Any, network: Any, problem: Any = None) -> None:
    """Refuse an algorithm that is wrong in itself, or whose network it is not; let it warn about the problem."""
    if isinstance(algorithm, type):
        raise TypeError(
            f"expected an algorithm, got the class {algorithm.__name__}; write {algorithm.__name__}(lr=...)"
        )
    name = type(algorithm).__name__
    if hasattr(algorithm, "check"):
        algorithm.check()
    for field, value in step_sizes(algorithm):
        positive(f"{name}.{field}", value)
    if algorithm.requires not in network.provides:
        found = ", ".join(sorted(network.provides)) or "none of the known properties"
        raise ValueError(
            f"{name} needs a {algorithm.requires} W; this network's is {found}{violation(network)}. "
            f"{_advice(algorithm.requires, network.provides)}".rstrip()
        )
    if getattr(network, "partial", False) and not algorithm.partial:
        raise ValueError(f"{name} needs every node in every round, but in this network some are absent")
    if problem is not None and hasattr(algorithm, "advise"):
        algorithm.advise(problem)


_HINTS = {
    "symmetric": "Use Metropolis-Hastings weights (networks.static(graph)), or an algorithm for directed graphs",
    "doubly stochastic": "Rows and columns must sum to 1: use Metropolis-Hastings weights (networks.static(graph))",
    "column stochastic": 'Columns must sum to 1: use networks.static(graph, weights="column_stochastic")',
    "server": "Use networks.server(n)",
    "push-pull": "Use networks.push_pull(graph): it makes the pair (R, C) from any strongly connected graph",
}
_PUSH_SUM = "push-sum methods (StochasticGradientPush, QuantizedPushSum, PushDIGing)"
_FITTING = {
    "server": "A server is for federated methods, such as MCM; networks.complete(n) averages without one",
    "push-pull": "The pair (R, C) is for AB",
    "symmetric": "",
    "doubly stochastic": f"Such a W is for methods that need no symmetry, such as DSGD and KGT, and for {_PUSH_SUM}",
    "column stochastic": f"Such a W is for {_PUSH_SUM}; AB runs on networks.push_pull(graph)",
    "row stochastic": "On a directed graph AB runs with networks.push_pull(graph), and push-sum methods "
    '(StochasticGradientPush, PushDIGing) with networks.static(graph, weights="column_stochastic")',
}


def _advice(requires: str, provides: frozenset[str]) -> str:
    """Which network would fit the method, and which methods would fit the network."""
    strongest = next((_FITTING[p] for p in _FITTING if p in provides), "")
    return ". ".join(hint for hint in (_HINTS.get(requires, ""), strongest) if hint)


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


def checkpoints(path: Any, stretch: int | None, rounds: int, every: int) -> int:
    """How many rounds from one checkpoint to the next."""
    if stretch is None:
        return every * max(1, -(-rounds // (10 * every)))
    if path is None:
        raise ValueError(f"checkpoint_every={stretch} says when to save, and checkpoint not where; give a directory")
    integer("checkpoint_every", stretch)
    if stretch % every:
        raise ValueError(
            f"checkpoint_every={stretch} is not a multiple of every={every}; take {every * (stretch // every + 1)}"
        )
    return stretch


def positive(name: str, value: Any) -> None:
    """Refuse a step size that is neither a schedule nor positive and finite."""
    if callable(value):
        return
    value = np.asarray(value)
    if not (np.issubdtype(value.dtype, np.number) and np.all(np.isfinite(value)) and np.all(value > 0)):
        raise ValueError(f"{name} is a step size, which is positive and finite; got {value}")


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
