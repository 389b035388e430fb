"""Relaxed ADMM, edge by edge: exact proximal steps and a variable on each arc, which may hear nothing for a while."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module
from jaxdec.types import Cost, Iterates, ScalarLike

__all__ = ["RelaxedADMM", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    z: Float[Array, "n k d"]  # what node i keeps of each neighbour j, on the arc on which it hears j


@module
class RelaxedADMM:
    r"""Relaxed ADMM over edges: a proximal step at each node, and averages of what neighbours say of the edge between.

    From Z_ij = rho X_i on every arc, with N_i the d_i neighbours of i::

        x_i = argmin_x f_i(x) + (rho d_i / 2) ‖x - Σ_(j in N_i) Z_ij / (rho d_i)‖²
        Q_ji = 2 rho x_j - Z_ji                                         is sent from j to i
        Z_ij = (1 - alpha) Z_ij + alpha Q_ji where it arrives

    Symbols: x is `x` (n, d) and Z is `z` (n, k, d); rho is `penalty`, alpha is `relaxation`. x of the state is that of
    the last proximal step.
    Cost per round: a proximal step per node, which is counted as no gradient, and one d-vector to each neighbour,
    different for each.
    W: only who hears whom: undirected and the same in every round. Weights are not used.
    Guarantee: Z only ever changes where a message arrives, so that the fixed points, at which all x_i are the minimizer
    of the mean, are those of the reliable network whatever is lost, be it known to anybody or not, and whoever sleeps.
    For strongly convex and smooth f_i it converges linearly in mean square for every rho > 0 and 0 < alpha < 1.
    Reference: Bastianello, Carli, Schenato, Todescato (2021), Asynchronous distributed optimization over lossy networks
    via relaxed ADMM, arXiv:1901.09252; recalled, the page could not be read.

    >>> from jaxdec import networks, problems, run
    >>> network = networks.lossy(networks.ring(8), 0.3, rule="arcs")
    >>> result = run(RelaxedADMM(penalty=1.0), problems.quadratic(8, 3, zeta=10.0), network, rounds=300)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"symmetric", "arcs", "fixed arcs"})
    stands_loss: ClassVar[bool] = True
    penalty: ScalarLike
    relaxation: ScalarLike = 0.5

    def check(self) -> None:
        checks.positive("RelaxedADMM.penalty", self.penalty)
        if not checks.bounded(self.relaxation, lambda a: (a > 0) & (a <= 1)):
            raise ValueError(
                f"RelaxedADMM.relaxation is the weight alpha of what is heard, in (0, 1]; got {self.relaxation}"
            )

    def init(self, problem, x0, r):
        return State(x0, self.penalty * jnp.broadcast_to(x0[:, None], (*r.W.arcs.weight.shape, x0.shape[1]))), Cost()

    def step(self, problem, s, r):
        arcs, rho, alpha = r.W.arcs, self.penalty, self.relaxation
        degree = jnp.maximum(1, jnp.sum(arcs.exists, axis=1))[:, None]
        x = problem.prox(arcs.sum(s.z) / (rho * degree), 1 / (rho * degree))
        q = 2 * rho * arcs.hear(x) - arcs.back(s.z)
        z = jnp.where(arcs.arrived[..., None], (1 - alpha) * s.z + alpha * q, s.z)
        return State(x, z), Cost(vectors=1)
