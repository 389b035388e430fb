"""Local SGD at a server: federated averaging."""

from typing import ClassVar, NamedTuple

import jax
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, StepSize

__all__ = ["LocalSGD", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model


@module
class LocalSGD:
    r"""Local SGD, or federated averaging (FedAvg): K gradient steps at each client, then the server averages.

    With K = local_steps, G the stochastic gradients, fresh in every local step, and mean over those who take part::

        Y = 1 x;  repeat K times:  Y = Y - lr G(Y)
        x = x + outer_lr mean(Y - 1 x)

    With outer_lr = 1 the server's model is the mean of the clients'.

    Symbols: x is `x` (1, d), Y is (n, d); K is `local_steps`, the local step is `lr`, the server's is `outer_lr`.
    Cost per round: K minibatch gradients and one d-vector up per client that takes part, one d-vector down.
    Network: a server, `networks.server(n)`; absent clients neither compute nor send.
    Guarantee: with heterogeneous f_i, exact gradients and K > 1 it stalls at a distance O(lr (K - 1) ζ) from the
    minimizer, ζ being how much the f_i differ. With K = 1 and everybody present it is minibatch SGD of step
    outer_lr lr; with everybody present and outer_lr = 1 it is `LocalDSGD` on the complete graph.
    Reference: McMahan, Moore, Ramage, Hampson, Agüera y Arcas (2017), arXiv:1602.05629, Algorithm 1.
    Deviations: clients weigh the same, as they do in the objective, instead of by their numbers of samples; a round is
    K steps, not epochs; and outer_lr, which the algorithm does not have (it is 1).

    >>> from jaxdec import networks, problems, run
    >>> result = run(LocalSGD(lr=0.1, local_steps=5), problems.quadratic(8, 3), networks.server(8), rounds=200)
    >>> bool(1e-3 < result.metrics["distance"][-1] < 0.1)  # the bias of local steps
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    local_steps: int = static()
    outer_lr: StepSize = step_size(default=1.0)

    def check(self) -> None:
        checks.integer("LocalSGD.local_steps", self.local_steps)

    def init(self, problem, x0, r):
        return State(x0.mean(axis=0, keepdims=True)), Cost()

    def step(self, problem, s, r):
        K, clients = self.local_steps, r.of(problem)

        def local(k, y):
            return y - self.lr * clients.grad(y, r.draw(clients, k, K))

        y = jax.lax.fori_loop(0, K, local, r.spread(s.x))
        x = s.x + self.outer_lr * (r.W @ (y - s.x))
        return State(x), r.cost(K * clients.batch_size, 1, bits_down=32 * problem.d)
