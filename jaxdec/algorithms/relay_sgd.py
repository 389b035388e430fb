"""RelaySGD: on a tree, sums are relayed, so that every model reaches every node once, undiminished, and late."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec._module import module, step_size
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["RelaySGD", "RelaySGDGrad", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    m: Float[Array, "n k d"]  # the last sum that node i heard of each neighbour j, on the arc on which it hears j


def _relayed(arcs, v, m):
    """What each node hears: its neighbour's vector and what that neighbour heard of all others, (n, k, d)."""
    return arcs.hear(v + arcs.sum(m)) - arcs.back(m)


def _behind(arcs, dtype):
    """How many nodes are at the other end of each arc, (n, k)."""
    one = jnp.ones(arcs.exists.shape[:1], dtype)
    count = lambda _, c: jnp.where(arcs.exists, _relayed(arcs, one, c), 0)
    return jax.lax.fori_loop(1, len(one), count, jnp.zeros(arcs.exists.shape, dtype))


@module
class RelaySGD:
    r"""RelaySGD, also called RelaySum/Model: on a tree, SGD on the uniform average of everybody's models, each delayed.

    With g the stochastic gradients, N_i the neighbours of i and M_ji the number of nodes on j's side of the edge times
    x0_i at the start::

        v_i = x_i - lr g_i
        M_ji = v_j + Σ_(k in N_j but i) M_kj                            is sent from j to i
        x_i = (v_i + Σ_(j in N_i) M_ji) / n

    Symbols: x is `x` (n, d), M is `m` (n, k, d); gamma is `lr`, v is x^(t+1/2).
    Cost per round: one minibatch gradient per node, one d-vector to each neighbour, different for each.
    W: only who hears whom, a tree: `networks.path`, `star`, `tree`, or `networks.static` of a graph's spanning tree.
    It is the same in every round, and all messages arrive. Weights are not used.
    Guarantee: in round t, x_i is the mean over j of what v_j was max(0, d_ij - 1) rounds before, with d_ij the distance
    in the tree and v_j = x0_i before round 0: exactly 1/n for everybody, where gossip has powers of W. With exact
    gradients the only fixed point is x_i = x*, however different the f_i. The delays ask for smaller steps on deeper
    trees.
    Reference: Vogels, He, Koloskova, Karimireddy, Lin, Stich, Jaggi (2021), arXiv:2110.04175, Algorithm 1; read in the
    authors' code. Deviation: a node knows how many nodes are behind each arc, where there a counter that is sent along
    finds it out, and x0 is put in for what is missing; M holds both, and x is the same to rounding where all start at
    one point.

    >>> from jaxdec import networks, problems, run
    >>> problem = problems.quadratic(8, 3, zeta=10.0)
    >>> result = run(RelaySGD(lr=0.3), problem, networks.path(8), rounds=200)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"tree", "arcs", "fixed", "reliable"})
    lr: StepSize = step_size()

    def init(self, problem, x0, r):
        return State(x0, _behind(r.W.arcs, x0.dtype)[..., None] * x0[:, None]), Cost()

    def step(self, problem, s, r):
        arcs, v = r.W.arcs, s.x - self.lr * problem.grad(s.x, r.draw(problem))
        m = jnp.where(arcs.arrived[..., None], _relayed(arcs, v, s.m), s.m)
        x = (v + arcs.sum(m)) / r.n
        return State(x, m), Cost(grads=problem.batch_size, vectors=1)


@module
class RelaySGDGrad:
    r"""RelaySum/Grad: `RelaySGD` that relays gradients in place of models.

    With g the stochastic gradients, N_i the neighbours of i and M = 0 at the start::

        M_ji = lr g_j + Σ_(k in N_j but i) M_kj                         is sent from j to i
        x_i = x_i - (lr g_i + Σ_(j in N_i) M_ji) / n

    Symbols: x is `x` (n, d), M is `m` (n, k, d); gamma is `lr`.
    Cost per round: one minibatch gradient per node, one d-vector to each neighbour, different for each.
    W: as for `RelaySGD`.
    Guarantee: every gradient moves every node once, by lr / n, max(0, d_ij - 1) rounds late. Models are not mixed: what
    nodes differ in at the start they differ in for ever. With exact gradients they come to rest where Σ g_j = 0, at
    x_i = c + lr/n Σ_j max(0, d_ij - 1) g_j, which are different points, and not x*, where the f_i differ.
    Reference: Vogels, He, Koloskova, Karimireddy, Lin, Stich, Jaggi (2021), arXiv:2110.04175, RelaySum/Grad; read in
    the authors' code.

    >>> from jaxdec import networks, problems, run
    >>> problem = problems.quadratic(8, 3, zeta=0.0)
    >>> result = run(RelaySGDGrad(lr=0.3), problem, networks.path(8), rounds=200, x0=[1.0, 1.0, 1.0])
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"tree", "arcs", "fixed", "reliable"})
    lr: StepSize = step_size()

    def init(self, problem, x0, r):
        arcs = r.W.arcs
        return State(x0, jnp.zeros((*arcs.exists.shape, x0.shape[1]), x0.dtype)), Cost()

    def step(self, problem, s, r):
        arcs, u = r.W.arcs, self.lr * problem.grad(s.x, r.draw(problem))
        m = jnp.where(arcs.arrived[..., None], _relayed(arcs, u, s.m), 0)
        x = s.x - (u + arcs.sum(m)) / r.n
        return State(x, m), Cost(grads=problem.batch_size, vectors=1)
