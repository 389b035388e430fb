"""DFedSAM: local sharpness-aware steps between gossip steps."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["DFedSAM", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates


@module
class DFedSAM:
    r"""DFedSAM: K sharpness-aware steps on each node, along gradients at a point uphill, then one gossip step.

    With K = local_steps, rho = radius, and G the stochastic gradients, fresh in every local step and with one minibatch
    for both of its gradients::

        Y = X;  repeat K times:  Y = Y - lr G(Y + rho G(Y) / ‖G(Y)‖)         each node by the norm of its own
        X = W Y

    Symbols: X is `x` (n, d); K is `local_steps`, eta is `lr`, rho is `radius`.
    Cost per round: 2 K minibatch gradients per node, one d-vector to each neighbour.
    W: doubly stochastic.
    Guarantee: with radius = 0 it is `LocalDSGD`, at twice its cost.
    Reference: Shi, Shen, Wei, Sun, Yuan, Wang, Tao (2023), arXiv:2302.04083, Algorithm 1; recalled, the page could not
    be read. DFedSAM-MGS, with several gossip steps, is DFedSAM on `networks.repeated(network, rounds)`.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=0.1), networks.ring(8)
    >>> result = run(DFedSAM(lr=0.05, local_steps=5, radius=0.01), problem, network, rounds=200)
    >>> bool(1e-3 < result.metrics["distance"][-1] < 0.1)  # the bias of local steps
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    mixes: ClassVar[str] = "iterates"
    lr: StepSize = step_size()
    local_steps: int = static()
    radius: ScalarLike = 0.01

    def check(self) -> None:
        checks.integer("DFedSAM.local_steps", self.local_steps)
        checks.weight("DFedSAM.radius", self.radius, "how far uphill gradients are taken")

    def init(self, problem, x0, r):
        return State(x0), Cost()

    def step(self, problem, s, r):
        def local(k, y):
            batch = r.draw(problem, k, self.local_steps)
            g = problem.grad(y, batch)
            norm = jnp.linalg.norm(g, axis=1, keepdims=True)
            uphill = y + self.radius * g / jnp.where(norm > 0, norm, 1)
            return y - self.lr * problem.grad(uphill, batch)

        y = jax.lax.fori_loop(0, self.local_steps, local, s.x)
        return State(r.W @ y), Cost(grads=2 * self.local_steps * problem.batch_size, vectors=1)
