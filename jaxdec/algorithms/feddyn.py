"""FedDyn: local problems that a dynamic linear term makes agree with the global one."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["FedDyn", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    h: Float[Array, "1 d"]  # the server's: the mean of g
    g: Iterates  # (n, d), the clients' linear terms, which go to their gradients at the minimizer


@module
class FedDyn:
    r"""FedDyn, federated learning with dynamic regularization: each client's linear term follows its own gradient.

    With K = local_steps, alpha = penalty, G the stochastic gradients, fresh in every local step, S those who take part
    among n, and g = h = 0 at the start::

        Y = 1 x;  repeat K times:  Y = Y - lr (G(Y) - g + alpha (Y - 1 x))
        g = g - alpha (Y - 1 x) in the rows of S
        h = h - (alpha / n) Σ_S (y_i - x)
        x = mean_S Y - h / alpha

    Symbols: x and h are `x` and `h`, (1, d) each, g is `g` (n, d); K is `local_steps`, alpha is `penalty`; ∇L_k(θ_k) of
    the paper is g.
    Cost per round: K minibatch gradients and one d-vector up per client that takes part, one d-vector down.
    Network: a server, `networks.server(n)`; absent clients neither compute nor change.
    Guarantee: h is the mean of g in every round. With exact gradients x = x*, g_i = ∇f_i(x*) is a fixed point for every
    K, however different the f_i.
    Reference: Acar, Zhao, Matas Navarro, Mattina, Whatmough, Saligrama (2021), arXiv:2111.04263, Algorithm 1; recalled,
    the page could not be read.
    Deviations: the local problem is given K gradient steps from the server's model, as in the paper's experiments,
    instead of being solved; its linear term then changes by what was moved, which is the gradient where it is solved.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=1.0), networks.server(8)
    >>> result = run(FedDyn(lr=0.1, local_steps=5, penalty=1.0), problem, network, rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-4)  # where LocalSGD stalls
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    local_steps: int = static()
    penalty: ScalarLike

    def check(self) -> None:
        checks.integer("FedDyn.local_steps", self.local_steps)
        checks.positive("FedDyn.penalty", self.penalty)

    def init(self, problem, x0, r):
        x = x0.mean(axis=0, keepdims=True)
        return State(x, jnp.zeros_like(x), jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        K, clients, g = self.local_steps, r.of(problem), r.rows(s.g)

        def local(k, y):
            return y - self.lr * (clients.grad(y, r.draw(clients, k, K)) - g + self.penalty * (y - s.x))

        y = jax.lax.fori_loop(0, K, local, r.spread(s.x))
        h = s.h - self.penalty * r.share * (r.W @ (y - s.x))
        x = r.W @ y - h / self.penalty
        new = g - self.penalty * (y - s.x)
        return State(x, h, r.kept(s.g, new)), r.cost(K * clients.batch_size, 1, bits_down=32 * problem.d)
