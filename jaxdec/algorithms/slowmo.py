"""SlowMo: a slow momentum over rounds of local steps."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, ScalarLike, StepSize

__all__ = ["SlowMo", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    u: Float[Array, "1 d"]  # the slow momentum, in the gradient's units


@module
class SlowMo:
    r"""SlowMo over local SGD with momentum: what a round did, divided by its step, goes through a slow heavy ball.

    With K = local_steps, G the stochastic gradients, fresh in every local step, mean over those who take part, u = 0 at
    the start of the run and V = 0 at that of each round::

        Y = 1 x;  repeat K times:  V = momentum V + G(Y);  Y = Y - lr V
        u = outer_momentum u + mean(1 x - Y) / lr
        x = x - outer_lr lr u

    Symbols: x and u are `x` and `u`, (1, d) each, Y and V are (n, d); tau is `local_steps`, gamma is `lr`, alpha is
    `outer_lr`, beta is `outer_momentum`, and `momentum` is that of the base method.
    Cost per round: K minibatch gradients and one d-vector up per client that takes part, one d-vector down.
    Network: a server, `networks.server(n)`; absent clients neither compute nor send.
    Guarantee: the fixed points are those of its base method, bias included: with both momenta 0 and outer_lr = 1 it is
    `LocalSGD`. With a constant lr and momentum = 0 it is `FedAvgM`; u is in the gradient's units, so that lr may
    change.
    Reference: Wang, Tantia, Ballas, Rabbat (2019), arXiv:1910.00643, Algorithm 1 with local SGD as its base and buffers
    that are reset; recalled, the page could not be read.
    Deviations: with gossip as its base the paper averages exactly after K rounds of it, for which a graph has no
    message.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3), networks.server(8)
    >>> result = run(SlowMo(lr=0.02, local_steps=5, outer_momentum=0.5), problem, network, rounds=200)
    >>> bool(1e-3 < result.metrics["distance"][-1] < 0.1)  # the bias of local steps
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    local_steps: int = static()
    outer_lr: StepSize = step_size(default=1.0)
    outer_momentum: ScalarLike = 0.7
    momentum: ScalarLike = 0.0

    def check(self) -> None:
        checks.integer("SlowMo.local_steps", self.local_steps)
        checks.fraction("SlowMo.outer_momentum", self.outer_momentum)
        checks.fraction("SlowMo.momentum", self.momentum)

    def init(self, problem, x0, r):
        x = x0.mean(axis=0, keepdims=True)
        return State(x, jnp.zeros_like(x)), Cost()

    def step(self, problem, s, r):
        K, clients, start = self.local_steps, r.of(problem), r.spread(s.x)

        def local(k, carry):
            y, v = carry
            v = self.momentum * v + clients.grad(y, r.draw(clients, k, K))
            return y - self.lr * v, v

        y, _ = jax.lax.fori_loop(0, K, local, (start, jnp.zeros_like(start)))
        u = self.outer_momentum * s.u + r.W @ (s.x - y) / self.lr
        x = s.x - self.outer_lr * self.lr * u
        return State(x, u), r.cost(K * clients.batch_size, 1, bits_down=32 * problem.d)
