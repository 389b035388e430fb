"""FedExP: a server that extrapolates where the clients' moves differ."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, ScalarLike, StepSize

__all__ = ["FedExP", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model


@module
class FedExP:
    r"""FedExP: federated averaging whose server's step is set by how much the clients' moves differ.

    With K = local_steps, G the stochastic gradients, fresh in every local step, and mean over those who take part::

        Y = 1 x;  repeat K times:  Y = Y - lr G(Y)
        D = 1 x - Y
        eta = max(1, mean_i ‖d_i‖² / (2 (‖mean D‖² + eps)))
        x = x - eta mean D

    Symbols: x is `x` (1, d), Y and D are (n, d); K is `local_steps`, eta_l is `lr`, eta_g is eta, eps is `eps`.
    Cost per round: K minibatch gradients and one d-vector up per client that takes part, one d-vector down.
    Network: a server, `networks.server(n)`; absent clients neither compute nor send.
    Guarantee: eta ≥ 1, and where the moves are equal, or eps is large, it is `LocalSGD`.
    Reference: Jhunjhunwala, Wang, Joshi (2023), arXiv:2301.09604, Algorithm 1; recalled, the page could not be read.
    Deviations: the paper answers with the mean of the last two models, here x is the last one.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=0.1), networks.server(8)
    >>> result = run(FedExP(lr=0.05, local_steps=5), problem, network, rounds=200)
    >>> bool(result.metrics["distance"][-1] < 0.05)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    local_steps: int = static()
    eps: ScalarLike = 1e-3

    def check(self) -> None:
        checks.integer("FedExP.local_steps", self.local_steps)
        checks.positive("FedExP.eps", self.eps)

    def init(self, problem, x0, r):
        return State(x0.mean(axis=0, keepdims=True)), Cost()

    def step(self, problem, s, r):
        K, clients = self.local_steps, r.of(problem)

        def local(k, y):
            return y - self.lr * clients.grad(y, r.draw(clients, k, K))

        y = jax.lax.fori_loop(0, K, local, r.spread(s.x))
        moves = s.x - y
        mean = r.W @ moves
        spread = r.W @ jnp.sum(moves**2, axis=1, keepdims=True)
        eta = jnp.maximum(1, spread / (2 * (jnp.sum(mean**2) + self.eps)))
        return State(s.x - eta * mean), r.cost(K * clients.batch_size, 1, bits_down=32 * problem.d)
