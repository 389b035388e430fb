"""Minimizers of finite sums."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec.problems.finite_sums import FiniteSum

__all__ = ["solve"]


def solve(problem: FiniteSum, *, tolerance: float = 1e-10) -> FiniteSum:
    """The same problem with its minimizer found, so that the distance to it becomes a metric.

    Newton's method in a trust region (SciPy's trust-exact, or trust-ncg above 2000 parameters), in float64 on the host;
    near the minimizer without one.

    Raises:
        ValueError: if the gradient at the point found is not below `tolerance`, or the problem is not convex.
    """
    from scipy import optimize

    if problem.nonconvex is not None and problem.nonconvex != 0:
        raise ValueError("a problem with the non-convex regularizer has no single minimizer; leave minimizer=None")
    with jax.enable_x64(True):
        exact = jax.tree.map(
            lambda a: (
                jnp.asarray(np.asarray(a), jnp.float64) if jnp.issubdtype(jnp.result_type(a), jnp.floating) else a
            ),
            problem,
        )
        value_and_grad = jax.jit(jax.value_and_grad(exact.objective))
        if problem.d <= 2000:
            curvature: dict[str, Any] = {"method": "trust-exact", "hess": jax.jit(jax.hessian(exact.objective))}
        else:
            hvp = jax.jit(lambda x, v: jax.jvp(jax.grad(exact.objective), (x,), (v,))[1])
            curvature = {"method": "trust-ncg", "hessp": hvp}
        start = np.zeros(problem.d)
        found = optimize.minimize(
            lambda x: tuple(np.asarray(v) for v in value_and_grad(x)),
            start,
            jac=True,
            options={"gtol": tolerance / 10, "maxiter": 1000},
            **curvature,
        )
        x, (value, g) = found.x, value_and_grad(found.x)
        # A trust region ends where the value falls no more, which it does by less than it is rounded.
        while tolerance < (norm := float(np.linalg.norm(g))) < 1e-6 and problem.d <= 2000:
            nearer = x - np.linalg.lstsq(curvature["hess"](x), g)[0]
            there = value_and_grad(nearer)
            if not np.linalg.norm(there[1]) < norm / 2:
                break
            x, (value, g) = nearer, there
        norm = float(np.linalg.norm(g))
    if not norm <= tolerance:
        raise ValueError(
            f"no minimizer found: after {found.nit} Newton steps the gradient's norm is {norm:.2g}, above the "
            f"tolerance {tolerance:.2g}. The minimum may be at infinity (separable data): add l2 > 0"
        )
    known = {"minimizer": jnp.asarray(x, problem.dtype), "minimum": jnp.asarray(value, problem.dtype)}
    return dataclasses.replace(problem, **known, solved_l2=problem.l2)
