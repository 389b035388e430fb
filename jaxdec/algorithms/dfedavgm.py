"""DFedAvgM: local heavy-ball steps between gossip steps."""

from typing import ClassVar, NamedTuple

import jax

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["DFedAvgM", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates


@module
class DFedAvgM:
    r"""DFedAvgM, decentralized federated averaging with momentum: K heavy-ball steps on each node, then a gossip step.

    With K = local_steps, G the stochastic gradients, fresh in every local step, and Y = Y- = X at the start of a
    round::

        repeat K times:  Y, Y- = Y - lr G(Y) + momentum (Y - Y-), Y
        X = W Y

    Symbols: X is `x` (n, d); K is `local_steps`, eta is `lr`, theta is `momentum`.
    Cost per round: K minibatch gradients per node, one d-vector to each neighbour.
    W: doubly stochastic; with W = 11'/n it is federated averaging with momentum at the clients.
    Guarantee: with momentum = 0 it is `LocalDSGD`. With heterogeneous f_i it stalls at a floor, which momentum raises.
    Reference: Sun, Li, Wang (2021), Decentralized federated averaging, arXiv:2104.11375, Algorithm 1; recalled, the
    page could not be read. The paper's quantized form is not here.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=0.1), networks.ring(8)
    >>> result = run(DFedAvgM(lr=0.05, local_steps=5, momentum=0.5), problem, network, rounds=200)
    >>> bool(1e-3 < result.metrics["distance"][-1] < 0.1)  # the bias of local steps
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size()
    local_steps: int = static()
    momentum: ScalarLike = 0.9

    def check(self) -> None:
        checks.integer("DFedAvgM.local_steps", self.local_steps)
        checks.fraction("DFedAvgM.momentum", self.momentum)

    def init(self, problem, x0, r):
        return State(x0), Cost()

    def step(self, problem, s, r):
        def local(k, pair):
            y, before = pair
            g = problem.grad(y, r.draw(problem, k, self.local_steps))
            return y - self.lr * g + self.momentum * (y - before), y

        y, _ = jax.lax.fori_loop(0, self.local_steps, local, (s.x, s.x))
        return State(r.W @ y), Cost(grads=self.local_steps * problem.batch_size, vectors=1)
