"""Gradient estimates whose noise vanishes as the model settles: recursive, against a point of reference, by a table."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxdec import checks
from jaxdec.types import Batch, Iterates

__all__ = ["Point", "Table", "drawn", "due", "fits", "paid", "periodic", "recursive", "referred", "table", "tabled"]


class Point(NamedTuple):
    y: Iterates  # (n, d), points of reference
    g: Iterates  # (n, d), the exact gradients there


class Table(NamedTuple):
    g: Float[Array, "n m d"]  # of each part of f_i, the gradient where it was last taken
    mean: Iterates  # (n, d), of a node's parts


def due(r: Any, period: Any) -> Bool[Array, ""]:
    """Whether so many rounds are over at the end of this one, or a multiple of them."""
    return (r.t + 1) % jnp.asarray(period).astype(r.t.dtype) == 0


def recursive(
    problem: Any, whole: Bool[Array, ""], v: Iterates, old: Iterates, x: Iterates, batch: Batch
) -> tuple[Iterates, Any]:
    """∇f(x) where the round says so, else v + G(x) - G(old) on one minibatch; and its sample gradients."""
    change = lambda: v + problem.grad(x, batch) - problem.grad(old, batch)
    return jax.lax.cond(whole, lambda: problem.grad(x), change), paid(problem, whole)


def referred(problem: Any, whole: Bool[Array, ""], at: Point, x: Iterates, batch: Batch) -> tuple[Iterates, Point, Any]:
    """∇f(x) where the round says so, and x is the new point of reference; else G(x) - G(y) + ∇f(y); and its cost."""

    def renewed():
        g = problem.grad(x)
        return g, Point(x, g)

    moved = lambda: (problem.grad(x, batch) - problem.grad(at.y, batch) + at.g, at)
    v, at = jax.lax.cond(whole, renewed, moved)
    return v, at, paid(problem, whole)


def paid(problem: Any, whole: Bool[Array, ""]) -> Any:
    """The sample gradients of each node: a pass over its samples, or a minibatch at two points."""
    return jnp.where(whole, problem.data_size, 2 * problem.batch_size)


def periodic(name: str, value: Any, least: int = 1) -> None:
    """Refuse a number of rounds that is no number of rounds; several of them are a sweep's."""
    if not checks.bounded(value, lambda rounds: (rounds >= least) & (rounds == jnp.floor(rounds))):
        raise ValueError(f"{name} is a number of rounds, an integer of at least {least}; got {value}")


def fits(name: str, problem: Any) -> None:
    """Refuse a table that does not fit into memory, or cannot be: the gradients of all parts of all f_i."""
    size = problem.n * problem.parts * problem.d * jnp.dtype(problem.dtype).itemsize
    what = f"the table of {name}, {problem.n} nodes times {problem.parts} samples times {problem.d} parameters,"
    checks.affordable(what, size, "take a method without one, as SVRG or SARAH")


def table(problem: Any, x: Iterates) -> Table:
    """The gradients of all parts at x."""
    positions, g = problem.part_grads(x)
    held = positions < _sizes(problem, x)[:, None]
    mean = jnp.sum(jnp.where(held[:, :, None], g, 0), axis=1) / jnp.sum(held, axis=1, dtype=x.dtype)[:, None]
    return Table(g, mean)


def tabled(problem: Any, t: Table, x: Iterates, batch: Batch) -> tuple[Iterates, Table, Any]:
    """G(x) less what the table has of the same minibatch, plus the table's mean; the table; and its sample gradients.

    A part that is twice in a minibatch is written once, and changes the mean once. The table is added to: what is
    written then depends on what was read, without which XLA would copy the table in every round.
    """
    positions, g = problem.part_grads(x, batch)
    change = g - jnp.take_along_axis(t.g, positions[:, :, None], axis=1)
    again = jnp.any(jnp.tril(positions[:, :, None] == positions[:, None, :], k=-1), axis=2)
    v = jnp.mean(change, axis=1) + t.mean
    change = jnp.where(again[:, :, None], 0, change)
    mean = t.mean + jnp.sum(change, axis=1) / _sizes(problem, x)[:, None].astype(x.dtype)
    rows = jnp.arange(x.shape[0])[:, None]
    return v, Table(t.g.at[rows, positions].add(change), mean), drawn(problem)


def drawn(problem: Any) -> Any:
    """The sample gradients of a minibatch of parts: all of a node's samples, where f_i is its one part."""
    return problem.data_size if problem.parts == 1 else problem.batch_size


def _sizes(problem: Any, x: Iterates) -> Array:
    """How many parts each f_i has, (n,): one, the regularizer, where there are no samples."""
    sizes = problem.data_size if problem.parts > 1 else 1
    return jnp.maximum(jnp.broadcast_to(jnp.asarray(sizes), x.shape[:1]), 1)
