"""EXTRA: decentralized gradient descent with a correction that makes it exact."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec._module import module, step_size
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["EXTRA", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    c: Iterates  # (n, d), what is added to each gradient; sums to zero over the nodes


@module
class EXTRA:
    r"""EXTRA: combine-then-adapt SGD whose bias the last two rounds correct.

    With G the stochastic gradients at X, and X-, G- those of the round before::

        X+ = X + W X - (I + W)/2 X- - lr (G - G-)        and  X+ = W X - lr G  in the first round

    held as the correction C, which is zero at the start::

        X+ = W X - lr (G + C)
        C+ = C + (X - W X) / (2 lr)

    For a constant lr the two are equal; the second form takes a schedule, because C is in the gradient's units.

    Symbols: X and C are `x` and `c`, (n, d) each; alpha is `lr`, and the second matrix is (I + W)/2.
    Cost per round: one minibatch gradient per node, one d-vector to each neighbour.
    W: symmetric. Where it changes, sums and fixed point stay, but convergence is not promised: on rings and paths whose
    links are down for long EXTRA diverges, at small steps too.
    Guarantee: Σ c_i = 0 in every round. With exact gradients the fixed point is x_i = x*, c_i = -∇f_i(x*), however
    different the f_i. On quadratics of equal curvature a, z² - (1 + l - lr a) z + (1 + l)/2 - lr a has its roots inside
    the unit circle for every eigenvalue l of W, but for l = 1 the root 1 of what is conserved, if and only if
    lr a < (5 + 3 λ) / 4, with λ the least eigenvalue.
    Reference: Shi, Ling, Wu, Yin (2015), arXiv:1404.6264, Algorithm 1.

    >>> from jaxdec import networks, problems, run
    >>> result = run(EXTRA(lr=0.1), problems.quadratic(8, 3, zeta=1.0), networks.ring(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "symmetric"
    wants: ClassVar[Mapping[str, str]] = {
        "fixed": "convergence is not promised: where links are down for long it may diverge, at small steps too"
    }
    lr: StepSize = step_size()

    def limit(self, eigenvalue: float) -> float:
        """The largest lr a that is stable; `eigenvalue` is λ."""
        return (5 + 3 * eigenvalue) / 4

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        g = problem.grad(s.x, r.draw(problem))
        mixed = r.W @ s.x
        x = mixed - self.lr * (g + s.c)
        c = s.c + (s.x - mixed) / self.lr / 2
        return State(x, c), Cost(grads=problem.batch_size, vectors=1)
