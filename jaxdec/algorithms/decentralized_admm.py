"""Decentralized ADMM and its linearized form DLM: consensus by multipliers, one vector a round."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.algorithms._edges import apart, degrees
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["DADMM", "DLM", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    a: Iterates  # (n, d), multipliers; they sum to zero over the nodes
    gap: Iterates  # (n, d), Σ_j (x_i - x_j) over the neighbours of node i


@module
class DADMM:
    r"""Decentralized ADMM: exact proximal steps, and a multiplier at each node for all of its edges.

    With N_i the d_i neighbours of i, c = penalty, A = 0 at the start, and the gaps s_i = Σ_(j in N_i) (x_i - x_j) known
    from the round before::

        x_i = argmin_x f_i(x) + a_i'x + c Σ_(j in N_i) ‖x - (x_i + x_j) / 2‖²
            = prox_(f_i / (2 c d_i))(x_i - (a_i + c s_i) / (2 c d_i))
        a_i = a_i + c s_i                                         with the gaps of the new x

    Symbols: X and A are `x` and `a`, (n, d) each, the gaps are `gap`; c is `penalty`.
    Cost per round: a proximal step per node, which is counted as no gradient, and one d-vector to each neighbour; init
    sends one too, for the first gaps.
    W: only who hears whom: undirected. Weights are not used. Where links fail, known to both ends, sums and fixed point
    stay, but convergence is not promised.
    Guarantee: Σ a_i = 0 in every round. The fixed point is x_i = x*, a_i = -∇f_i(x*), however different the f_i. For
    strongly convex and smooth f_i it converges linearly for every c > 0.
    Reference: Shi, Ling, Yuan, Wu, Yin (2014), arXiv:1307.5561, Algorithm 1; recalled, the page could not be read. With
    a variable on every arc and a relaxation it is `RelaxedADMM`.

    >>> from jaxdec import networks, problems, run
    >>> result = run(DADMM(penalty=0.3), problems.quadratic(8, 3, zeta=10.0), networks.ring(8), rounds=300)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"symmetric", "arcs"})
    wants: ClassVar[Mapping[str, str]] = {"fixed": "convergence is not promised"}
    penalty: ScalarLike

    def check(self) -> None:
        checks.positive("DADMM.penalty", self.penalty)

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0), apart(r.W, x0)), Cost(vectors=1)

    def step(self, problem, s, r):
        step = 1 / (2 * self.penalty * degrees(r.W, s.x.dtype))
        x = problem.prox(s.x - step * (s.a + self.penalty * s.gap), step)
        gap = apart(r.W, x)
        return State(x, s.a + self.penalty * gap, gap), Cost(vectors=1)


@module
class DLM:
    r"""DLM, decentralized linearized ADMM: a gradient step in the place of the proximal one of `DADMM`.

    With N_i the neighbours of i, c = penalty, G the stochastic gradients at X, A = 0 at the start, and the gaps
    s_i = Σ_(j in N_i) (x_i - x_j) known from the round before::

        x_i = x_i - lr (g_i + a_i + c s_i)
        a_i = a_i + c s_i                                         with the gaps of the new x

    Symbols: X and A are `x` and `a`, (n, d) each, the gaps are `gap`; c is `penalty`.
    Cost per round: one minibatch gradient per node, one d-vector to each neighbour; init sends one too, for the first
    gaps.
    W: only who hears whom: undirected. Weights are not used. Where links fail, known to both ends, sums and fixed point
    stay, but convergence is not promised.
    Guarantee: Σ a_i = 0 in every round. With exact gradients the fixed point is x_i = x*, a_i = -∇f_i(x*), however
    different the f_i.
    Reference: Ling, Shi, Wu, Ribeiro (2015), DLM: Decentralized linearized alternating direction method of multipliers,
    IEEE Transactions on Signal Processing 63(15); the steps as in the code of github.com/team-decent/decent-bench,
    _dlm.py.
    Deviations: lr is the same for all nodes, where the paper has 1 / (2 c d_i + rho). The peer's first round computes
    nothing and sends; here init does that.

    >>> from jaxdec import networks, problems, run
    >>> method = DLM(lr=0.2, penalty=0.5)
    >>> result = run(method, problems.quadratic(8, 3, zeta=10.0), networks.ring(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"symmetric", "arcs"})
    wants: ClassVar[Mapping[str, str]] = {"fixed": "convergence is not promised"}
    lr: StepSize = step_size()
    penalty: ScalarLike

    def check(self) -> None:
        checks.positive("DLM.penalty", self.penalty)

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0), apart(r.W, x0)), Cost(vectors=1)

    def step(self, problem, s, r):
        g = problem.grad(s.x, r.draw(problem))
        x = s.x - self.lr * (g + s.a + self.penalty * s.gap)
        gap = apart(r.W, x)
        return State(x, s.a + self.penalty * gap, gap), Cost(grads=problem.batch_size, vectors=1)
