"""QG-DSGDm: momentum from the difference of consecutive models."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["QGDSGDm", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    m: Iterates  # (n, d), momentum buffers: moving averages of the models' differences, in the gradient's units


@module
class QGDSGDm:
    r"""QG-DSGDm, quasi-global momentum: the buffer follows what the models did after mixing, not the local gradients.

    With G the stochastic gradients at X plus weight_decay X, and M = 0 at the start::

        D = momentum M + G                    with Nesterov:  D = G + momentum (momentum M + G)
        X+ = W (X - lr D)
        M+ = mu M + (1 - mu) (X - X+) / lr

    Symbols: X and M are `x` and `m`, (n, d) each; eta is `lr`, beta is `momentum`, mu is `buffer_momentum`, which is
    `momentum` where None.
    Cost per round: one minibatch gradient per node, one d-vector to each neighbour.
    W: doubly stochastic.
    Guarantee: the effective step is lr / (1 - momentum). With exact gradients the fixed point is that of `DSGD` ("atc")
    of step lr, whatever the momentum: momentum costs no bias. With Nesterov it is that of step (1 + momentum) lr.
    Reference: Lin, Karimireddy, Stich, Jaggi (2021), arXiv:2102.04761; the update follows the authors' code and that of
    Takezawa et al. (2023), arXiv:2209.15505. The paper's name with Nesterov is QG-DSGDm-N.
    Deviations: weight_decay is 0 unless given. Lin et al.'s code has mu = 0.9 unless told, and their experiments use
    Nesterov; Takezawa et al. have mu = momentum and no Nesterov, which are the defaults.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=1.0), networks.ring(8)
    >>> method = QGDSGDm(lr=0.02, momentum=0.9, nesterov=True)
    >>> result = run(method, problem, network, rounds=500)
    >>> bool(result.metrics["distance"][-1] < 1e-2)  # near the minimizer, not at it
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size()
    momentum: ScalarLike = 0.9
    buffer_momentum: ScalarLike | None = None
    weight_decay: ScalarLike = 0.0
    nesterov: bool = static(default=False)

    def check(self) -> None:
        checks.fraction("QGDSGDm.momentum", self.momentum)
        checks.weight("QGDSGDm.weight_decay", self.weight_decay)
        if self.buffer_momentum is not None:
            checks.fraction("QGDSGDm.buffer_momentum", self.buffer_momentum)

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        mu = self.momentum if self.buffer_momentum is None else self.buffer_momentum
        g = problem.grad(s.x, r.draw(problem)) + self.weight_decay * s.x
        d = self.momentum * s.m + g
        if self.nesterov:
            d = g + self.momentum * d
        x = r.W @ (s.x - self.lr * d)
        m = mu * s.m + (1 - mu) * (s.x - x) / self.lr
        return State(x, m), Cost(grads=problem.batch_size, vectors=1)
