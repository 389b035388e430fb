"""LED: exact diffusion with local steps."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["LED", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    y: Iterates  # (n, d), dual variables; they sum to zero over the nodes


@module
class LED:
    r"""LED, local exact diffusion: local steps along a corrected gradient, then one exchange of one vector.

    With K = local_steps and G the stochastic gradients, fresh in every local step, and Y = 0 at the start::

        P = X;  repeat K times:  P = P - lr G(P) - beta Y
        X = W P
        Y = Y + P - X

    Symbols: X and Y are `x` and `y`, (n, d) each; tau is `local_steps`, alpha is `lr`, beta is `beta`, 1/K where None.
    Cost per round: K minibatch gradients per node, one d-vector to each neighbour: half of `KGT`.
    W: fixed, and symmetric with least eigenvalue λ > -1/3, as for `D2`, which `run` does not check: with λ < -1/3
    small steps diverge. Where it is not, take `networks.static(graphs.lazy(W))`.
    Guarantee: Σ y_i = 0 in every round. With exact gradients the fixed point is x_i = x*, y_i = -(lr/beta) ∇f_i(x*),
    for every K and however different the f_i. With K = 1 and beta = 1 it is D2.
    Reference: Alghunaim (2024), arXiv:2302.00620, Algorithm 1; beta = 1/K is the choice of the code
    github.com/OscarYau525/FSPDA, pcode/optim/led.py.
    Ambiguities: Y is in the units of the iterates, so that a schedule's change of lr moves the fixed point, and Y
    follows only at the speed of convergence. `KGT` and `D2` do not have this.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(7, 3, zeta=1.0), networks.ring(7)
    >>> result = run(LED(lr=0.05, local_steps=5), problem, network, rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-4)  # where LocalDSGD stalls
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"symmetric", "fixed"})
    lr: StepSize = step_size()
    local_steps: int = static()
    beta: ScalarLike | None = None

    def check(self) -> None:
        checks.integer("LED.local_steps", self.local_steps)
        if self.beta is not None:
            checks.positive("LED.beta", self.beta)

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        K = self.local_steps
        beta = 1 / K if self.beta is None else self.beta

        def local(k, p):
            return p - self.lr * problem.grad(p, r.draw(problem, k, K)) - beta * s.y

        p = jax.lax.fori_loop(0, K, local, s.x)
        x = r.W @ p
        y = s.y + p - x
        return State(x, y), Cost(grads=K * problem.batch_size, vectors=1)
