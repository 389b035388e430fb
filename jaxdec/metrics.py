"""Metrics: functions of (problem, state) that `run` evaluates at every record.

A metric returns a scalar, a dict of named scalars, or None where the problem does not have what it needs. `xbar` is the
mean of the nodes' iterates.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxdec.types import Metric


def loss(problem: Any, state: Any):
    """f(xbar): the mean of all nodes' objectives at the mean iterate."""
    return objective(problem)(_mean(state))


def grad_norm_sq(problem: Any, state: Any):
    """‖∇f(xbar)‖²: the squared norm of the exact gradient at the mean iterate."""
    return jnp.sum(jax.grad(objective(problem))(_mean(state)) ** 2)


def consensus(problem: Any, state: Any):
    """(1/n) Σ_i ‖x_i - xbar‖²: how far the nodes are from agreeing."""
    return jnp.mean(jnp.sum((state.x - _mean(state)) ** 2, axis=1))


def distance(problem: Any, state: Any):
    """‖xbar - x*‖: the distance to the minimizer, where the problem knows it."""
    minimizer = getattr(problem, "minimizer", None)
    return None if minimizer is None else jnp.linalg.norm(_mean(state) - minimizer)


def test(problem: Any, state: Any):
    """Metrics of the mean iterate on held-out data, such as test_loss and test_accuracy, where there is any."""
    return problem.test(_mean(state)) if hasattr(problem, "test") else None


def node_test(problem: Any, state: Any):
    """The mean over nodes of each node's own metrics on held-out data, as node_test_loss and so on."""
    over_nodes = getattr(problem, "over_nodes", jax.vmap)
    return {f"node_{k}": jnp.mean(v) for k, v in over_nodes(problem.test)(state.x).items()}


DEFAULT: tuple[Metric, ...] = (loss, grad_norm_sq, consensus, distance, test)


def objective(problem: Any) -> Callable[[jax.Array], jax.Array]:
    """F = mean_i f_i as a function of one point (d,)."""
    if hasattr(problem, "objective"):
        return problem.objective
    return lambda x: jnp.mean(problem.loss(jnp.broadcast_to(x, (problem.n, *x.shape))))


def _mean(state: Any) -> jax.Array:
    return jnp.mean(state.x, axis=0)


def named(metrics: Iterable[Metric] | Mapping[str, Metric]) -> tuple[tuple[str, Metric], ...]:
    """The metrics with their names, hashable."""
    return tuple(metrics.items() if isinstance(metrics, Mapping) else [(m.__name__, m) for m in metrics])  # type: ignore


def measure(metrics: tuple[tuple[str, Metric], ...], problem: Any, state: Any) -> dict[str, jax.Array]:
    """All metrics of one state, by name."""
    values: dict[str, jax.Array] = {}
    for name, metric in metrics:
        value = metric(problem, state)
        values |= value if isinstance(value, Mapping) else {} if value is None else {name: value}
    return values
