"""FedADMM: the alternating direction method of multipliers at a server, with some of the clients in each round."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["FedADMM", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    y: Iterates  # (n, d), the clients' models
    u: Iterates  # (n, d), the clients' dual variables


@module
class FedADMM:
    r"""FedADMM: an augmented Lagrangian at each client, and a server that adds up what has changed.

    With K = local_steps, rho = penalty, G the stochastic gradients, fresh in every local step, S those who take part
    among n, and Y = 1 x, U = 0 at the start::

        V = Y;  repeat K times:  V = V - lr (G(V) + U + rho (V - 1 x))
        U' = U + rho (V - 1 x)
        D = (V + U' / rho) - (Y + U / rho)
        Y, U = V, U' in the rows of S
        x = x + outer_lr (|S| / n) mean_S D

    Symbols: x is `x` (1, d), Y and U are `y` and `u`, (n, d) each; K is `local_steps`, rho is `penalty`.
    Cost per round: K minibatch gradients and one d-vector up per client that takes part, one d-vector down.
    Network: a server, `networks.server(n)`; absent clients neither compute nor change.
    Guarantee: with outer_lr = 1 x is the mean of y_i + u_i / rho over all n clients in every round. With exact
    gradients x = y_i = x*, u_i = -∇f_i(x*) is a fixed point for every K, however different the f_i.
    Reference: Wang, Marella, Anderson (2022), arXiv:2203.15104, where the server averages over all clients, and Gong,
    Li, Freris (2022), arXiv:2204.03529, where it takes a step of its own; both recalled, the pages could not be read.
    Deviations: the local problem is given K steps from the client's own model. A step of Gong et al. is outer_lr |S| /
    n here.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=1.0), networks.server(8, cohort=4)
    >>> result = run(FedADMM(lr=0.1, local_steps=5, penalty=1.0), problem, network, rounds=600)
    >>> bool(result.metrics["distance"][-1] < 1e-4)  # where LocalSGD stalls
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    local_steps: int = static()
    penalty: ScalarLike
    outer_lr: StepSize = step_size(default=1.0)

    def check(self) -> None:
        checks.integer("FedADMM.local_steps", self.local_steps)
        checks.positive("FedADMM.penalty", self.penalty)

    def init(self, problem, x0, r):
        x = x0.mean(axis=0, keepdims=True)
        return State(x, jnp.broadcast_to(x, x0.shape), jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        K, rho, clients = self.local_steps, self.penalty, r.of(problem)
        y, u = r.rows(s.y), r.rows(s.u)

        def local(k, v):
            return v - self.lr * (clients.grad(v, r.draw(clients, k, K)) + u + rho * (v - s.x))

        v = jax.lax.fori_loop(0, K, local, y)
        new = u + rho * (v - s.x)
        moved = (v + new / rho) - (y + u / rho)
        x = s.x + self.outer_lr * r.share * (r.W @ moved)
        cost = r.cost(K * clients.batch_size, 1, bits_down=32 * problem.d)
        return State(x, r.kept(s.y, v), r.kept(s.u, new)), cost
