"""SimpleGT: the simplest correction of decentralized gradient descent that makes it exact."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec._module import module, step_size
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["SimpleGT", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    c: Iterates  # (n, d), what is added to each gradient; sums to zero over the nodes


@module
class SimpleGT:
    r"""SimpleGT: combine, and add what the local step moved more than the one before; one vector a round.

    With G the stochastic gradients at X, and X-, G- those of the round before::

        X+ = W X + (X - lr G) - (X- - lr G-)           and  X+ = W X - lr G  in the first round

    held as the correction C, which is zero at the start::

        X+ = W X - lr (G + C)
        C+ = C + (X - W X) / lr

    For a constant lr the two are equal; the second form takes a schedule, because C is in the gradient's units. It is
    `EXTRA` with a correction that adds up twice as fast.

    Symbols: X and C are `x` and `c`, (n, d) each; rho is `lr`.
    Cost per round: one minibatch gradient per node, one d-vector to each neighbour.
    W: symmetric. Where it changes, sums and fixed point stay, but convergence is not promised.
    Guarantee: Σ c_i = 0 in every round. With exact gradients the fixed point is x_i = x*, c_i = -∇f_i(x*), however
    different the f_i. On quadratics of equal curvature a, z² - (1 + l - lr a) z + 1 - lr a has its roots inside the
    unit circle for every eigenvalue l of W, but for l = 1 the root 1 of what is conserved, if and only if lr a < (3 +
    λ) / 2, with λ the least eigenvalue.
    Reference: the method of this name in the code of github.com/team-decent/decent-bench, _simple_gt.py, which cites no
    paper.

    >>> from jaxdec import networks, problems, run
    >>> result = run(SimpleGT(lr=0.1), problems.quadratic(8, 3, zeta=1.0), networks.ring(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "symmetric"
    wants: ClassVar[Mapping[str, str]] = {"fixed": "convergence is not promised"}
    lr: StepSize = step_size()

    def limit(self, eigenvalue: float) -> float:
        """The largest lr a that is stable; `eigenvalue` is λ."""
        return (3 + eigenvalue) / 2

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        g = problem.grad(s.x, r.draw(problem))
        mixed = r.W @ s.x
        c = s.c + (s.x - mixed) / self.lr
        return State(mixed - self.lr * (g + s.c), c), Cost(grads=problem.batch_size, vectors=1)
