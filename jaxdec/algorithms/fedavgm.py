"""FedAvgM: federated averaging with momentum at the server."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, ScalarLike, StepSize

__all__ = ["FedAvgM", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    v: Float[Array, "1 d"]  # the server's momentum


@module
class FedAvgM:
    r"""FedAvgM: the mean of the clients' moves goes through a heavy ball at the server.

    With K = local_steps, G the stochastic gradients, fresh in every local step, mean over those who take part, and v =
    0 at the start::

        Y = 1 x;  repeat K times:  Y = Y - lr G(Y)
        v = momentum v + mean(1 x - Y)
        x = x - outer_lr v

    Symbols: x and v are `x` and `v`, (1, d) each; K is `local_steps`, beta is `momentum`.
    Cost per round: K minibatch gradients and one d-vector up per client that takes part, one d-vector down.
    Network: a server, `networks.server(n)`; absent clients neither compute nor send.
    Guarantee: the fixed points are those of `LocalSGD`, bias included, and with momentum = 0 it is `LocalSGD`. It is
    `FedOpt` with optax's heavy ball at the server and SGD at the clients.
    Reference: Hsu, Qi, Brown (2019), arXiv:1909.06335, Section 4.3; recalled, the page could not be read.
    Deviations: clients weigh the same; and outer_lr, which is 1 there.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3), networks.server(8)
    >>> result = run(FedAvgM(lr=0.02, local_steps=5, momentum=0.5), problem, network, rounds=200)
    >>> bool(1e-3 < result.metrics["distance"][-1] < 0.1)  # the bias of local steps
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    local_steps: int = static()
    momentum: ScalarLike = 0.9
    outer_lr: StepSize = step_size(default=1.0)

    def check(self) -> None:
        checks.integer("FedAvgM.local_steps", self.local_steps)
        checks.fraction("FedAvgM.momentum", self.momentum)

    def init(self, problem, x0, r):
        x = x0.mean(axis=0, keepdims=True)
        return State(x, jnp.zeros_like(x)), Cost()

    def step(self, problem, s, r):
        K, clients = self.local_steps, r.of(problem)

        def local(k, y):
            return y - self.lr * clients.grad(y, r.draw(clients, k, K))

        y = jax.lax.fori_loop(0, K, local, r.spread(s.x))
        v = self.momentum * s.v + r.W @ (s.x - y)
        return State(s.x - self.outer_lr * v, v), r.cost(K * clients.batch_size, 1, bits_down=32 * problem.d)
