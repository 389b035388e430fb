"""FedNova: clients that make different numbers of local steps, without the bias that it brings."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, ScalarLike, StepSize

__all__ = ["FedNova", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    m: Float[Array, "1 d"]  # the server's momentum


@module
class FedNova:
    r"""FedNova: local moves are divided by how many steps they are worth, so that nobody counts more for making more.

    With K_i local steps of client i, mu = penalty, G the stochastic gradients, fresh in every local step, mean over
    those who take part, U = 0, a = s = 0 at the start of each round and M = 0 at that of the run::

        y_i = x;  repeat K_i times:  u_i = momentum u_i + g_i(y_i) + mu (y_i - x)      s_i = momentum s_i + 1
                                     y_i = y_i - lr u_i                                a_i = (1 - lr mu) a_i + s_i
        M = outer_momentum M + (mean_i a_i) mean_i (x - y_i) / a_i
        x = x - outer_lr M

    Symbols: x is `x` and M is `m`, (1, d) each; K_i, the tau_i of the paper, are `local_steps`, one number for all or
    one for each client; a_i is the paper's ‖a_i‖_1.
    Cost per round: K_i minibatch gradients and one d-vector up (and the number a_i) per client that takes part, one
    d-vector down. In a simulation all clients compute as many as the one with most, and pay for their own.
    Network: a server, `networks.server(n)`; absent clients neither compute nor send.
    Guarantee: with momenta and penalty 0 a_i = K_i, and with all K_i equal it is `LocalSGD`. With K_i that differ its
    fixed point goes to the minimizer as lr goes to 0, where that of plain averages goes to that of Σ K_i f_i.
    Reference: Wang, Liu, Liang, Joshi, Poor (2020), arXiv:2007.07481, Algorithm 1, with its solvers SGD, momentum SGD
    and FedProx; recalled, the page could not be read.
    Deviations: clients weigh the same, as they do in the objective, instead of by their numbers of samples.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(4, 3), networks.server(4)
    >>> result = run(FedNova(lr=0.001, local_steps=(1, 2, 4, 8)), problem, network, rounds=4000)
    >>> bool(result.metrics["distance"][-1] < 1e-2)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    local_steps: int | tuple[int, ...] = static()
    momentum: ScalarLike = 0.0
    penalty: ScalarLike = 0.0
    outer_lr: StepSize = step_size(default=1.0)
    outer_momentum: ScalarLike = 0.0

    def check(self) -> None:
        several = self.local_steps if isinstance(self.local_steps, tuple) else (self.local_steps,)
        if not several:
            raise ValueError("FedNova.local_steps is a number, or one for each client; got ()")
        for steps in several:
            checks.integer("each of FedNova.local_steps", steps)
        checks.fraction("FedNova.momentum", self.momentum)
        checks.weight("FedNova.penalty", self.penalty)
        checks.fraction("FedNova.outer_momentum", self.outer_momentum)

    def init(self, problem, x0, r):
        x = x0.mean(axis=0, keepdims=True)
        return State(x, jnp.zeros_like(x)), Cost()

    def step(self, problem, s, r):
        clients, start = r.of(problem), r.spread(s.x)
        steps = self._steps(r)
        K = int(np.max(self.local_steps))

        def local(k, carry):
            y, u, scale, a = carry
            g = clients.grad(y, r.draw(clients, k, K)) + self.penalty * (y - start)
            u, scale = self.momentum * u + g, self.momentum * scale + 1
            new = y - self.lr * u, u, scale, (1 - self.lr * self.penalty) * a + scale
            return jax.tree.map(lambda old, new: jnp.where(k < steps, new, old), carry, new)

        zero = jnp.zeros((r.m, 1), s.x.dtype)
        y, _, _, a = jax.lax.fori_loop(0, K, local, (start, jnp.zeros_like(start), zero, zero))
        m = self.outer_momentum * s.m + (r.W @ a) * (r.W @ ((start - y) / a))
        grads = (steps[:, 0] if isinstance(self.local_steps, tuple) else K) * clients.batch_size
        return State(s.x - self.outer_lr * m, m), r.cost(grads, 1, bits_down=32 * problem.d)

    def _steps(self, r):
        """How many local steps each row that is computed makes, (m, 1)."""
        if isinstance(self.local_steps, tuple) and len(self.local_steps) != r.n:
            raise ValueError(
                f"FedNova.local_steps is a number, or one for each of the {r.n} clients; got {len(self.local_steps)}"
            )
        return r.rows(jnp.broadcast_to(jnp.asarray(self.local_steps), (r.n,)))[:, None]
