"""Push-DIGing: gradient tracking on directed graphs, by push-sum."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec._module import module, step_size
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["PushDIGing", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), estimates: the ratios of numerators to masses
    u: Iterates  # (n, d), numerators
    v: Float[Array, " n"]  # masses; they sum to n
    y: Iterates  # (n, d), trackers: their mean is the mean of g
    g: Iterates  # (n, d), the stochastic gradients at x


@module
class PushDIGing:
    r"""Push-DIGing: gradient tracking whose mixing is push-sum, for directed graphs.

    With G the stochastic gradients at X, from U = X = x0, v = 1 and Y = G::

        U = W (U - lr Y)
        v = W v
        X+ = U / v
        Y = W Y + G(X+) - G

    Symbols: X, U, Y, G are `x`, `u`, `y`, `g`, (n, d) each; v is `v` (n,), whose diagonal matrix is the paper's V;
    alpha is `lr`.
    Cost per round: one minibatch gradient per node; two d-vectors and one number to each neighbour, 32 (2 d + 1) bits;
    init takes the first gradient.
    W: column stochastic.
    Guarantee: Σ v_i = n and Σ y_i = Σ g_i in every round. With exact gradients the only fixed point is the minimizer,
    however different the f_i, and for strongly convex smooth f_i and lr small enough convergence is linear. If W is
    doubly stochastic it is `GradientTracking` ("semi-atc").
    Reference: Nedić, Olshevsky, Shi (2017), arXiv:1607.03218, Algorithm 2.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=10.0), networks.random_digraph(8, 0.2)
    >>> result = run(PushDIGing(lr=0.1), problem, network, rounds=600)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "column stochastic"
    lr: StepSize = step_size()

    def init(self, problem, x0, r):
        g = problem.grad(x0, r.draw(problem))
        return State(x0, x0, jnp.ones_like(x0[:, 0]), g, g), Cost(grads=problem.batch_size)

    def step(self, problem, s, r):
        u = r.W @ (s.u - self.lr * s.y)
        v = r.W @ s.v
        x = u / v[:, None]
        g = problem.grad(x, r.draw(problem, 1))
        y = r.W @ s.y + g - s.g
        return State(x, u, v, y, g), Cost(grads=problem.batch_size, vectors=2, bits=32 * (2 * problem.d + 1))
