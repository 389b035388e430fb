"""Metrics: functions of (problem, state), or of (problem, state, world), that `run` evaluates at every record.

A metric returns a scalar, an array (n,) with a number for each node, a dict of such, or None where the problem does not
have what it needs. `world` is what the network said of the last round before the record, without its W. `xbar` is the
mean of the iterates of the nodes that are judged: of all, unless the network says which are honest.
"""

import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from jaxdec import checks
from jaxdec.types import Metric, World

__all__ = [
    "consensus",
    "distance",
    "grad_norm_sq",
    "loss",
    "node_test",
    "staleness",
    "suboptimality",
    "test",
]


def loss(problem: Any, state: Any, world: World | None = None):
    """f(xbar): the mean of all nodes' objectives at the mean iterate."""
    return problem.objective(_mean(state, world))


def suboptimality(problem: Any, state: Any, world: World | None = None):
    """f(xbar) - f*: the loss less its least value, where the problem knows it."""
    return problem.suboptimality(_mean(state, world))


def grad_norm_sq(problem: Any, state: Any, world: World | None = None):
    """‖∇f(xbar)‖²: the squared norm of the exact gradient at the mean iterate."""
    return jnp.sum(jax.grad(problem.objective)(_mean(state, world)) ** 2)


def consensus(problem: Any, state: Any, world: World | None = None):
    """(1/n) Σ_i ‖x_i - xbar‖²: how far the nodes are from agreeing."""
    return _over(jnp.sum((state.x - _mean(state, world)[None]) ** 2, axis=1), world)


def distance(problem: Any, state: Any, world: World | None = None):
    """‖xbar - x*‖: the distance to the minimizer, where the problem knows it."""
    minimizer = problem.minimizer
    return None if minimizer is None else jnp.linalg.norm(_mean(state, world) - minimizer)


def test(problem: Any, state: Any, world: World | None = None):  # noqa: PT028
    """Metrics of the mean iterate on held-out data, such as test_loss and test_accuracy, where there is any."""
    return problem.test(_mean(state, world))


def node_test(problem: Any, state: Any, world: World | None = None):
    """The mean over nodes of each node's own metrics on held-out data, as node_test_loss and so on."""
    return {f"node_{k}": _over(v, world) for k, v in problem.over_nodes(problem.test)(state.x).items()}


def staleness(problem: Any, state: Any, world: World | None = None):
    """How many updates behind the models are from which the running computations began: `staleness`, their mean over
    nodes, and `max_staleness`. Of asynchronous methods, whose states say so; others have none.
    """
    if not (hasattr(state, "k") and hasattr(state, "began")):
        return None
    behind = state.k - state.began
    return {"staleness": jnp.mean(behind, dtype=state.x.dtype), "max_staleness": jnp.max(behind)}


DEFAULT: tuple[Metric, ...] = (loss, suboptimality, grad_norm_sq, consensus, distance, test)


def _mean(state: Any, world: World | None) -> jax.Array:
    return _over(state.x, world)


def _over(values: jax.Array, world: World | None) -> jax.Array:
    """The mean over the nodes that are judged."""
    if world is None or world.honest is None:
        return jnp.mean(values, axis=0)
    judged = world.honest.reshape(-1, *(1,) * (values.ndim - 1))
    return jnp.sum(jnp.where(judged, values, 0), axis=0) / jnp.sum(judged, dtype=values.dtype)


class Measure(NamedTuple):
    """A metric and what it is called; hashable, so that equal ones share compiled programs."""

    name: str
    metric: Callable[..., Any]
    sees_world: bool


Measures: TypeAlias = tuple[Measure, ...]


def named(metrics: Any) -> Measures:
    """The metrics with their names.

    Args:
        metrics: functions, names of functions of this module, or a mapping of names to either.

    Raises:
        TypeError: if one is neither a function nor a name.
        ValueError: if there is no metric of a name, with those there are; or two have one name.

    >>> [m.name for m in named(["loss", consensus])], [m.name for m in named({"mine": loss})]
    (['loss', 'consensus'], ['mine'])
    """
    if isinstance(metrics, str) or callable(metrics):
        metrics = (metrics,)
    if not isinstance(metrics, Iterable):
        raise TypeError(f"metrics are functions of (problem, state), in a list; got {metrics!r}")
    pairs = metrics.items() if isinstance(metrics, Mapping) else [(None, metric) for metric in metrics]
    found = [_measure(name, metric) for name, metric in pairs]
    names = [measure.name for measure in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"two metrics are called {', '.join(twice)}; give a mapping of names to functions, such as "
            f"{{'{twice[0].strip('<>')} A': ..., '{twice[0].strip('<>')} B': ...}}"
        )
    return tuple(found)


def _measure(name: str | None, metric: Any) -> Measure:
    if name is not None:
        checks.called(name)
    if isinstance(metric, str):
        checks.choice("a metric's name", metric, tuple(__all__))
        name, metric = metric if name is None else name, globals()[metric]
    if not callable(metric):
        raise TypeError(f"a metric is a function of (problem, state) or the name of one; got {metric!r}")
    name = getattr(metric, "__name__", type(metric).__name__) if name is None else name
    return Measure(name, metric, _takes_world(metric))


def _takes_world(metric: Callable[..., Any]) -> bool:
    """Whether a metric has a third argument, without a default or called `world`."""
    return _of_function(metric) if inspect.isfunction(metric) else _looked_at(metric)


@lru_cache(maxsize=256)
def _of_function(metric: types.FunctionType) -> bool:
    return _looked_at(metric)


def _looked_at(metric: Callable[..., Any]) -> bool:
    try:
        parameters = list(inspect.signature(metric).parameters.values())
    except ValueError:  # a builtin that does not say
        return False
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(p.kind in places and (p.default is p.empty or p.name == "world") for p in parameters[2:])


def measure(metrics: Measures, problem: Any, state: Any, world: World) -> dict[str, jax.Array]:
    """All metrics of one state, by name."""
    values: dict[str, jax.Array] = {}
    for name, metric, sees_world in metrics:
        value = metric(problem, state, world) if sees_world else metric(problem, state)
        values |= value if isinstance(value, Mapping) else {} if value is None else {name: value}
    return values
