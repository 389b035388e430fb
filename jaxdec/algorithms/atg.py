"""ATG: gradient tracking whose averages are found by ADMM."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["ATG", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    zx: Float[Array, "n k d"]  # of the average of x: what node i keeps of each neighbour, on the arc on which it hears
    zg: Float[Array, "n k d"]  # of the average of the gradients


@module
class ATG:
    r"""ATG, ADMM-tracking gradient: the averages of x and of the gradients, each followed by a round of ADMM.

    With N_i the d_i neighbours of i, rho = penalty, alpha = relaxation, gamma = damping, G the stochastic gradients at
    X, and Zx = Zg = 0 at the start::

        y_i = (x_i + Σ_(j in N_i) Zx_ij) / (1 + rho d_i)
        s_i = (g_i + Σ_(j in N_i) Zg_ij) / (1 + rho d_i)
        X = X + gamma (Y - X - lr S)
        Zx_ij = (1 - alpha) Zx_ij + alpha (2 rho y_j - Zx_ji) where it arrives, and likewise Zg_ij with s_j

    Symbols: X is `x` (n, d), Zx and Zg are `zx` and `zg`, (n, k, d) each; delta is `lr`, gamma is `damping`.
    Cost per round: one minibatch gradient per node, and two d-vectors to each neighbour, different for each.
    W: only who hears whom: undirected and the same in every round. Weights are not used.
    Guarantee: with exact gradients the fixed points have all x_i at the minimizer, however different the f_i; Z only
    ever changes where a message arrives, so that they are those of the reliable network whatever is lost and whoever
    sleeps. Steps and damping have to be small enough.
    Reference: Carnevale, Bastianello, Notarstefano, Carli (2023), ADMM-Tracking Gradient for distributed optimization
    over asynchronous and unreliable networks, arXiv:2309.14142; the steps as in the code of
    github.com/team-decent/decent-bench, _atg.py. The paper could not be read.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=1.0), networks.lossy(networks.ring(8), 0.3, rule="arcs")
    >>> result = run(ATG(lr=0.3, damping=0.3), problem, network, rounds=1500)
    >>> bool(result.metrics["distance"][-1] < 1e-3)
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"symmetric", "arcs", "fixed arcs"})
    stands_loss: ClassVar[bool] = True
    lr: StepSize = step_size()
    penalty: ScalarLike = 1.0
    relaxation: ScalarLike = 0.5
    damping: ScalarLike = 0.1

    def check(self) -> None:
        checks.positive("ATG.penalty", self.penalty)
        checks.positive("ATG.damping", self.damping)
        if not checks.bounded(self.relaxation, lambda a: (a > 0) & (a <= 1)):
            raise ValueError(f"ATG.relaxation is the weight alpha of what is heard, in (0, 1]; got {self.relaxation}")

    def init(self, problem, x0, r):
        z = jnp.zeros((*r.W.arcs.weight.shape, x0.shape[1]), x0.dtype)
        return State(x0, z, z), Cost()

    def step(self, problem, s, r):
        arcs, rho, alpha = r.W.arcs, self.penalty, self.relaxation
        scale = 1 + rho * jnp.sum(arcs.exists, axis=1, dtype=s.x.dtype)[:, None]
        y = (s.x + arcs.sum(s.zx)) / scale
        tracked = (problem.grad(s.x, r.draw(problem)) + arcs.sum(s.zg)) / scale
        x = s.x + self.damping * (y - s.x - self.lr * tracked)

        def heard(z, said):
            new = (1 - alpha) * z + alpha * (2 * rho * arcs.hear(said) - arcs.back(z))
            return jnp.where(arcs.arrived[..., None], new, z)

        return State(x, heard(s.zx, y), heard(s.zg, tracked)), Cost(grads=problem.batch_size, vectors=2)
