"""DiNNO: consensus ADMM whose local problems are given a few gradient steps, as neural networks are."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.algorithms._edges import apart
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["DiNNO", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    p: Iterates  # (n, d), multipliers; they sum to zero over the nodes


@module
class DiNNO:
    r"""DiNNO, distributed neural network optimization: K steps on each augmented Lagrangian between messages.

    With K = local_steps, rho = penalty, N_i the neighbours of i, G the stochastic gradients, fresh in every local step,
    and P = 0 at the start::

        p_i = p_i + rho Σ_(j in N_i) (x_i - x_j)
        y_i = x_i;  repeat K times:  y_i = y_i - lr (g_i(y_i) + p_i + 2 rho Σ_(j in N_i) (y_i - (x_i + x_j) / 2))
        x_i = y_i

    Symbols: X and P are `x` and `p`, (n, d) each; B is `local_steps`, rho is `penalty`.
    Cost per round: K minibatch gradients per node, one d-vector to each neighbour.
    W: only who hears whom: undirected. Weights are not used. Where links fail, known to both ends, sums and fixed point
    stay, but convergence is not promised.
    Guarantee: Σ p_i = 0 in every round. With exact gradients the fixed point is x_i = x*, p_i = -∇f_i(x*), however
    different the f_i, for every K.
    Reference: Yu, Vincent, Schwager (2022), DiNNO: Distributed neural network optimization for multi-robot
    collaborative learning, arXiv:2109.08665, Algorithm 1; the steps as in the code of
    github.com/team-decent/decent-bench, _dinno.py. The paper could not be read.
    Deviations: local steps are those of SGD; the paper's experiments use Adam.

    >>> from jaxdec import networks, problems, run
    >>> method = DiNNO(lr=0.1, local_steps=5, penalty=0.2)
    >>> result = run(method, problems.quadratic(8, 3, zeta=1.0), networks.ring(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-3)
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"symmetric", "arcs"})
    wants: ClassVar[Mapping[str, str]] = {"fixed": "convergence is not promised"}
    lr: StepSize = step_size()
    local_steps: int = static()
    penalty: ScalarLike = 0.5

    def check(self) -> None:
        checks.integer("DiNNO.local_steps", self.local_steps)
        checks.positive("DiNNO.penalty", self.penalty)

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        K, rho = self.local_steps, self.penalty
        heard = jnp.sum(r.W.arcs.arrived, axis=1, dtype=s.x.dtype)[:, None]
        gap = apart(r.W, s.x)
        p = s.p + rho * gap

        def local(k, y):
            return y - self.lr * (problem.grad(y, r.draw(problem, k, K)) + p + 2 * rho * (heard * (y - s.x) + gap / 2))

        x = jax.lax.fori_loop(0, K, local, s.x)
        return State(x, p), Cost(grads=K * problem.batch_size, vectors=1)
