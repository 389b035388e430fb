"""What second-order methods share: Newton steps, directions by products alone, matrices that are bounded below.

A Hessian counts as the sample gradients of d gradients, a product with it as those of one.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec.types import Iterates, ScalarLike

__all__ = ["above", "conjugate", "fits", "minimized", "solved"]


def fits(name: str, problem: Any) -> None:
    """Refuse Hessians that do not fit into memory: those of all nodes."""
    size = problem.n * problem.d**2 * jnp.dtype(problem.dtype).itemsize
    what = f"the Hessians of {name}, {problem.n} nodes times {problem.d}² numbers,"
    checks.affordable(what, size, "take a method without them, as GIANT, or one of first order")


def solved(H: Float[Array, "n d d"], g: Iterates) -> Iterates:
    """H_i^-1 g_i."""
    return jnp.linalg.solve(H, g[..., None])[..., 0]


def above(H: Float[Array, "n d d"], least: ScalarLike, g: Iterates) -> Iterates:
    """[H_i]^-1 g_i, the eigenvalues of the symmetric H_i that are below the least being raised to it."""
    values, vectors = jnp.linalg.eigh(H)
    along = jnp.einsum("nij,ni->nj", vectors, g, precision=jax.lax.Precision.HIGHEST)
    return jnp.einsum("nij,nj->ni", vectors, along / jnp.maximum(values, least), precision=jax.lax.Precision.HIGHEST)


def minimized(problem: Any, start: Iterates, c: Iterates, penalty: ScalarLike, steps: int) -> Iterates:
    """So many Newton steps, from start, on f_i(w) - c_i'w + penalty/2 ‖w - start_i‖²: exact on quadratics after one."""
    ridge = (penalty * jnp.eye(start.shape[1], dtype=start.dtype))[None]

    def newton(_, w):
        slope = problem.grad(w) - c + penalty * (w - start)
        return w - solved(problem.hessian(w) + ridge, slope)

    return jax.lax.fori_loop(0, steps, newton, start)


def conjugate(times: Callable[[Iterates], Iterates], b: Iterates, products: int) -> Iterates:
    """The v of times(v) = b, row by row, after so many steps of conjugate gradients from zero."""
    ratio = lambda a, b: jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)[:, None]
    dot = lambda a, b: jnp.sum(a * b, axis=1)

    def iterate(_, at):
        v, r, q = at
        Hq, before = times(q), dot(r, r)
        length = ratio(before, dot(q, Hq))
        v, r = v + length * q, r - length * Hq
        return v, r, r + ratio(dot(r, r), before) * q

    return jax.lax.fori_loop(0, products, iterate, (jnp.zeros_like(b), b, b))[0]
