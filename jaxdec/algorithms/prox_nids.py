"""Proximal forms of NIDS and of gradient tracking, for objectives with a regularizer that is not smooth."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec._module import module, step_size
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["NIDSState", "ProxGT", "ProxNIDS", "State"]


class NIDSState(NamedTuple):
    x: Iterates  # (n, d), iterates
    z: Iterates  # (n, d), what they were before their proximal step
    c: Iterates  # (n, d), what is added to each gradient; sums to zero over the nodes


@module
class ProxNIDS:
    r"""NIDS for composite objectives, also Prox-ED: a proximal step of the regularizer r that all nodes share.

    With G the stochastic gradients at X, and X-, G- those of the round before::

        Z+ = Z - X + (I + W)/2 (2 X - X- - lr (G - G-))        and  Z+ = (I + W)/2 (X - lr G)  in the first round
        X+ = prox_(lr r)(Z+)

    held by the correction C, which is zero, and Z = X at the start::

        Q = 2 X - Z - lr (G + C)
        C+ = C + (Q - W Q) / (2 lr)
        Z+ = X - lr (G + C+)
        X+ = prox_(lr r)(Z+)

    Symbols: X, Z, C are `x`, `z`, `c`, (n, d) each; alpha is `lr`.
    Cost per round: one minibatch gradient and one proximal step of r per node, one d-vector to each neighbour.
    W: symmetric. Where it changes, sums and fixed point stay, but convergence is not promised.
    Guarantee: Σ c_i = 0 in every round. With exact gradients the fixed point is the minimizer of mean f_i + r at every
    node, however different the f_i. Without a regularizer it is `NIDS`, whose limit on lr does not know of the network.
    Reference: Li, Shi, Yan (2019), arXiv:1704.07808, Algorithm 1, with one step size for all nodes and (I + W)/2;
    recalled, the page could not be read.
    Deviations: the authors' first round does not mix; here it does, as in `NIDS`.

    >>> from jaxdec import networks, problems, run
    >>> problem = problems.composite(problems.quadratic(8, 3, zeta=1.0), problems.regularizers.L1(0.1))
    >>> result = run(ProxNIDS(lr=0.5), problem, networks.ring(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "symmetric"
    wants: ClassVar[Mapping[str, str]] = {"fixed": "convergence is not promised"}
    composite: ClassVar[bool] = True
    lr: StepSize = step_size()

    def init(self, problem, x0, r):
        return NIDSState(x0, x0, jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        g = problem.grad(s.x, r.draw(problem))
        q = 2 * s.x - s.z - self.lr * (g + s.c)
        c = s.c + (q - r.W @ q) / self.lr / 2
        z = s.x - self.lr * (g + c)
        return NIDSState(problem.prox_regularizer(z, self.lr), z, c), Cost(grads=problem.batch_size, vectors=1)


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    y: Iterates  # (n, d), trackers: their mean is the mean of g
    g: Iterates  # (n, d), the stochastic gradients at x


@module
class ProxGT:
    r"""Proximal gradient tracking, as in SONATA and NEXT: a proximal step along the tracked gradient, then gossip.

    With G the stochastic gradients at X, Y = G at the start, and r the regularizer that all nodes share::

        X+ = W prox_(lr r)(X - lr Y)
        Y+ = W Y + G(X+) - G

    Symbols: X, Y, G are `x`, `y`, `g`, (n, d) each; the step is `lr`.
    Cost per round: one minibatch gradient and one proximal step of r per node, two d-vectors to each neighbour; init
    takes the first gradient.
    W: doubly stochastic.
    Guarantee: mean(Y) = mean(G) in every round. With exact gradients the fixed point is the minimizer of mean f_i + r
    at every node, however different the f_i. Without a regularizer it is `GradientTracking`, "semi-atc".
    Reference: Sun, Daneshmand, Scutari (2019), SONATA, arXiv:1905.02637, with a linear model of f_i; recalled, the page
    could not be read.

    >>> from jaxdec import networks, problems, run
    >>> problem = problems.composite(problems.quadratic(8, 3, zeta=1.0), problems.regularizers.L1(0.1))
    >>> result = run(ProxGT(lr=0.1), problem, networks.ring(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    composite: ClassVar[bool] = True
    lr: StepSize = step_size()

    def init(self, problem, x0, r):
        g = problem.grad(x0, r.draw(problem))
        return State(x0, g, g), Cost(grads=problem.batch_size)

    def step(self, problem, s, r):
        x = r.W @ problem.prox_regularizer(s.x - self.lr * s.y, self.lr)
        g = problem.grad(x, r.draw(problem, 1))
        return State(x, r.W @ s.y + g - s.g, g), Cost(grads=problem.batch_size, vectors=2)
