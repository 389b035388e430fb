"""The method of Wang and Elia: consensus by a proportional and an integral term, as in control."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec._module import module, step_size
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["State", "WangElia"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    z: Iterates  # (n, d), the integrals of the disagreements; they sum to zero over the nodes


@module
class WangElia:
    r"""The Wang-Elia method: a proportional and an integral control of the disagreement beside the gradient.

    With K = (I - W) / 2, G the stochastic gradients at X, and Z = 0 at the start::

        X+ = X - K (X + Z) - lr G
        Z+ = Z + K X

    Symbols: X and Z are `x` and `z`, (n, d) each; the step is `lr`.
    Cost per round: one minibatch gradient per node, two d-vectors to each neighbour, X and Z.
    W: symmetric and fixed, since K Z, not Z, is what stands against the gradients.
    Guarantee: Σ z_i = 0 in every round. With exact gradients the fixed points have x_i = x* and K Z = -lr ∇f(x*),
    however different the f_i. On quadratics of equal curvature a, z² - (2 - k - lr a) z + 1 - k - lr a + k² has its
    roots inside the unit circle for every eigenvalue k of K, but for k = 0 the root 1 of what is conserved, if and only
    if lr a < 2 - k + k² / 2 for the largest of them, (1 - λ) / 2 with λ the least eigenvalue of W, and lr a > k² - k,
    which is below 0.
    Reference: Wang, Elia (2010), Control approach to distributed optimization (Allerton), and Bin, Notarnicola,
    Parisini (2022), Stability, linear convergence, and robustness of the Wang-Elia algorithm (CDC), whose discrete form
    this is, as in the code of github.com/team-decent/decent-bench, _wang_elia.py. The papers could not be read.

    >>> from jaxdec import networks, problems, run
    >>> result = run(WangElia(lr=0.1), problems.quadratic(8, 3, zeta=1.0), networks.ring(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"symmetric", "fixed"})
    lr: StepSize = step_size()

    def limit(self, eigenvalue: float) -> float:
        """The largest lr a that is stable; `eigenvalue` is λ."""
        k = (1 - eigenvalue) / 2
        return 2 - k + k**2 / 2

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        g = problem.grad(s.x, r.draw(problem))
        kx, kz = (s.x - r.W @ s.x) / 2, (s.z - r.W @ s.z) / 2
        return State(s.x - kx - kz - self.lr * g, s.z + kx), Cost(grads=problem.batch_size, vectors=2)
