"""PG-EXTRA: EXTRA for objectives with a regularizer that is not smooth."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec._module import module, step_size
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["PGEXTRA", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    c: Iterates  # (n, d), what is added to each gradient; sums to zero over the nodes


@module
class PGEXTRA:
    r"""PG-EXTRA: EXTRA, followed by the proximal step of a regularizer r that all nodes share.

    With G the stochastic gradients at X, Z- what X was before its proximal step, and X-, G- those of the round before::

        Z = W X + Z- - (I + W)/2 X- - lr (G - G-)        and  Z = W X - lr G  in the first round
        X+ = prox_(lr r)(Z)

    held as the correction C, which is zero at the start::

        X+ = prox_(lr r)(W X - lr (G + C))
        C+ = C + (X - W X) / (2 lr)

    For a constant lr the two are equal; the second form takes a schedule, because C is in the gradient's units.

    Symbols: X and C are `x` and `c`, (n, d) each; alpha is `lr`, and the second matrix is (I + W)/2.
    Cost per round: one minibatch gradient and one proximal step of r per node, one d-vector to each neighbour.
    W: symmetric. Where it changes, sums and fixed point stay, but convergence is not promised.
    Guarantee: Σ c_i = 0 in every round. With exact gradients the fixed point is the minimizer of mean f_i + r at every
    node, however different the f_i. Without a regularizer it is `EXTRA`.
    Reference: Shi, Ling, Wu, Yin (2015), A proximal gradient algorithm for decentralized composite optimization,
    arXiv:1506.01412, Algorithm 1; recalled, the page could not be read.
    Deviations: r is the same at all nodes.

    >>> from jaxdec import networks, problems, run
    >>> problem = problems.composite(problems.quadratic(8, 3, zeta=1.0), problems.regularizers.Box(-0.1, 0.1))
    >>> result = run(PGEXTRA(lr=0.2), problem, networks.ring(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "symmetric"
    wants: ClassVar[Mapping[str, str]] = {"fixed": "convergence is not promised"}
    composite: ClassVar[bool] = True
    lr: StepSize = step_size()

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        g = problem.grad(s.x, r.draw(problem))
        mixed = r.W @ s.x
        x = problem.prox_regularizer(mixed - self.lr * (g + s.c), self.lr)
        c = s.c + (s.x - mixed) / self.lr / 2
        return State(x, c), Cost(grads=problem.batch_size, vectors=1)
