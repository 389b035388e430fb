"""FedProx: local steps that are held near the server's model by a proximal term."""

from typing import ClassVar, NamedTuple

import jax
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, ScalarLike, StepSize

__all__ = ["FedProx", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model


@module
class FedProx:
    r"""FedProx: local SGD on f_i(y) + (mu / 2) ‖y - x‖², which keeps the clients near the server's model.

    With K = local_steps, mu = penalty, G the stochastic gradients, fresh in every local step, and mean over those who
    take part::

        Y = 1 x;  repeat K times:  Y = Y - lr (G(Y) + mu (Y - 1 x))
        x = mean Y

    Symbols: x is `x` (1, d), Y is (n, d); K is `local_steps`, mu is `penalty`.
    Cost per round: K minibatch gradients and one d-vector up per client that takes part, one d-vector down.
    Network: a server, `networks.server(n)`; absent clients neither compute nor send.
    Guarantee: none that is checked here but what it reduces to: with mu = 0 it is `LocalSGD`, with K = 1 too. With
    heterogeneous f_i, exact gradients and K > 1 it stalls away from the minimizer, the nearer the larger mu.
    Reference: Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith (2018), arXiv:1812.06127, Algorithm 2; recalled, the page
    could not be read.
    Deviations: the local problem, which the paper lets clients solve as exactly as each can, is given K steps by each;
    clients that take part weigh the same.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3), networks.server(8)
    >>> far = run(FedProx(lr=0.1, local_steps=20, penalty=0.1), problem, network, rounds=200).metrics["distance"][-1]
    >>> near = run(FedProx(lr=0.1, local_steps=20, penalty=2.0), problem, network, rounds=200).metrics["distance"][-1]
    >>> bool(1e-4 < near < far)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    local_steps: int = static()
    penalty: ScalarLike

    def check(self) -> None:
        checks.integer("FedProx.local_steps", self.local_steps)
        checks.weight("FedProx.penalty", self.penalty)

    def init(self, problem, x0, r):
        return State(x0.mean(axis=0, keepdims=True)), Cost()

    def step(self, problem, s, r):
        K, clients = self.local_steps, r.of(problem)

        def local(k, y):
            return y - self.lr * (clients.grad(y, r.draw(clients, k, K)) + self.penalty * (y - s.x))

        y = jax.lax.fori_loop(0, K, local, r.spread(s.x))
        return State(r.W @ y), r.cost(K * clients.batch_size, 1, bits_down=32 * problem.d)
