"""Acc-DNGD: Nesterov's method along tracked gradients."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["AccDNGD", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    v: Iterates  # (n, d), Nesterov's second sequence
    y: Iterates  # (n, d), where gradients are taken
    s: Iterates  # (n, d), trackers: their mean is the mean of g
    g: Iterates  # (n, d), the stochastic gradients at y


@module
class AccDNGD:
    r"""Acc-DNGD-SC, accelerated distributed Nesterov gradient descent: gradient tracking with Nesterov's momentum.

    With alpha = √(mu lr), mu = curvature, G the stochastic gradients, V = Y = X and S = G(Y) at the start::

        X+ = W Y - lr S
        V+ = (1 - alpha) W V + alpha W Y - (lr / alpha) S
        Y+ = (X+ + alpha V+) / (1 + alpha)
        S+ = W S + G(Y+) - G(Y)

    Symbols: X, V, Y, S, G are `x`, `v`, `y`, `s`, `g`, (n, d) each; eta is `lr`, mu is `curvature`.
    Cost per round: one minibatch gradient per node, three d-vectors to each neighbour, Y, V and S; init takes the first
    gradient.
    W: doubly stochastic. Where it changes, sums and fixed point stay, but convergence is not promised.
    Guarantee: mean(S) = mean(G) in every round. With exact gradients the minimizer is its fixed point, however
    different the f_i. With W = 11'/n and equal Hessians its mean is Nesterov's method for strongly convex functions.
    Reference: Qu, Li (2017), arXiv:1705.07176, Algorithm Acc-DNGD-SC; recalled, the page could not be read.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=1.0), networks.ring(8)
    >>> result = run(AccDNGD(lr=0.05, curvature=0.1), problem, network, rounds=600)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    wants: ClassVar[Mapping[str, str]] = {"fixed": "convergence is not promised"}
    lr: StepSize = step_size()
    curvature: ScalarLike

    def check(self) -> None:
        checks.positive("AccDNGD.curvature", self.curvature)

    def init(self, problem, x0, r):
        g = problem.grad(x0, r.draw(problem))
        return State(x0, x0, x0, g, g), Cost(grads=problem.batch_size)

    def step(self, problem, s, r):
        alpha = jnp.sqrt(jnp.asarray(self.curvature * self.lr, s.x.dtype))
        mixed = r.W @ s.y
        x = mixed - self.lr * s.s
        v = (1 - alpha) * (r.W @ s.v) + alpha * mixed - self.lr / alpha * s.s
        y = (x + alpha * v) / (1 + alpha)
        g = problem.grad(y, r.draw(problem, 1))
        return State(x, v, y, r.W @ s.s + g - s.g, g), Cost(grads=problem.batch_size, vectors=3)
