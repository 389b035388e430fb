"""Proximal steps, one for each row: of quadratics exactly, of smooth functions by Newton's method."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Bool, Float

from jaxdec.types import Iterates, ScalarLike

__all__ = ["DECREASE", "FORCING", "HALVINGS", "PRODUCTS", "STEPS", "newton", "quadratic"]

STEPS = 50  # of Newton's method, at most
PRODUCTS = 200  # Hessian-vector products of one of them, at most
HALVINGS = 30  # of its length, at most
FORCING = 1e-2  # to what share of the gradient a Newton system is solved
DECREASE = 1e-4  # of the gradient's norm, per unit of length: less is no progress


Steps: TypeAlias = ScalarLike | Float[Array, "n 1"]


class _Newton(NamedTuple):
    z: Iterates
    g: Iterates  # the gradients at z
    going: Bool[Array, " n"]  # which rows are neither found nor stuck
    k: Any  # how many steps were taken


def newton(grad: Callable, hvp: Callable, x: Iterates, step: Steps) -> Iterates:
    """The rows z_i that minimize f_i(z) + ‖z - x_i‖² / (2 step).

    A row is found when the norm of its gradient is at most ε^(2/3) (1 + ‖∇f_i(x_i)‖). Lengths are halved until that
    norm decreases: it does along what conjugate gradients find, wherever they are stopped, since their residual is
    orthogonal to the gradient. So the method converges from everywhere if the sum is strongly convex.

    Args:
        grad: of all rows.
        hvp: the products of all rows' Hessians, at the first argument, with the second.
        x: the rows to stay near.
        step: how little they count; a number, or (n, 1).
    """
    step = jnp.asarray(step, x.dtype)
    slope = lambda z: grad(z) + (z - x) / step
    g = grad(x)
    enough = jnp.finfo(x.dtype).eps ** (2 / 3) * (1 + _norm(g))

    def iterate(at: _Newton) -> _Newton:
        curve = lambda v: hvp(at.z, v) + v / step
        p = _solved(curve, -at.g, at.going)
        found = _searched(slope, at, p)
        return found._replace(going=found.going & (_norm(found.g) > enough), k=at.k + 1)

    start = _Newton(x, g, _norm(g) > enough, 0)
    return jax.lax.while_loop(lambda at: jnp.any(at.going) & (at.k < STEPS), iterate, start).z


def quadratic(H: Float[Array, "n d d"], g: Iterates, x: Iterates, step: Steps) -> Iterates:
    """The same for quadratics with Hessians H and gradients g at x: x - step (I + step H)^-1 g, by Cholesky."""
    M = jnp.eye(x.shape[1], dtype=x.dtype)[None] + (jnp.reshape(step, (-1, 1, 1)) if jnp.ndim(step) else step) * H
    return x - step * jax.vmap(lambda M, g: cho_solve(cho_factor(M), g))(M, g)


def _searched(slope: Callable, at: _Newton, p: Iterates) -> _Newton:
    """A step along p, halved until the gradient's norm decreases; a row where it never does is stuck, and stays."""
    before = _norm(at.g)

    def shorten(tried):
        length, waiting, _, _, k = tried
        length = jnp.where(waiting, length / 2, length)
        return measured(length, k + 1)

    def measured(length, k):
        z = at.z + length[:, None] * p
        g = slope(z)
        waiting = at.going & ~(_norm(g) <= (1 - DECREASE * length) * before)
        return length, waiting, z, g, k

    first = measured(jnp.ones_like(before), 0)
    _, stuck, z, g, _ = jax.lax.while_loop(lambda t: jnp.any(t[1]) & (t[4] < HALVINGS), shorten, first)
    moves = at.going & ~stuck
    return at._replace(
        z=jnp.where(moves[:, None], z, at.z), g=jnp.where(moves[:, None], g, at.g), going=at.going & ~stuck
    )


def _solved(curve: Callable, b: Iterates, going: Bool[Array, " n"]) -> Iterates:
    """The v of curve(v) = b, row by row, by conjugate gradients; a row stops where its curvature is not positive."""
    enough = FORCING * _norm(b)

    def iterate(at):
        v, r, q, rows, k = at
        Hq, squared = curve(q), jnp.sum(r * r, axis=1)
        bend = jnp.sum(q * Hq, axis=1)
        rows = rows & (bend > 0)
        length = jnp.where(rows, squared / jnp.where(rows, bend, 1), 0)[:, None]
        v, r = v + length * q, r - length * Hq
        ratio = jnp.where(rows, jnp.sum(r * r, axis=1) / jnp.where(squared > 0, squared, 1), 0)[:, None]
        return v, r, r + ratio * q, rows & (_norm(r) > enough), k + 1

    most = min(b.shape[1], PRODUCTS)
    start = jnp.zeros_like(b), b, b, going, 0
    v, *_ = jax.lax.while_loop(lambda at: jnp.any(at[3]) & (at[4] < most), iterate, start)
    return v


def _norm(a: Iterates) -> Float[Array, " n"]:
    return jnp.linalg.norm(a, axis=1)
