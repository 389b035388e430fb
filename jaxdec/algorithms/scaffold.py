"""SCAFFOLD: local steps corrected by control variates."""

from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["SCAFFOLD", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    c: Float[Array, "1 d"]  # the server's control variate, the mean of the clients'
    c_i: Iterates  # (n, d), the clients' control variates


@module
class SCAFFOLD:
    r"""SCAFFOLD, stochastic controlled averaging: local steps in which control variates correct the clients' drift.

    With K = local_steps, G the stochastic gradients, fresh in every local step, n clients, S those who take part, and
    all control variates zero at the start::

        Y = 1 x;  repeat K times:  Y = Y - lr (G(Y) - C + 1 c)
        C' = G(1 x)                             option = "I"
        C' = C - 1 c + (1 x - Y) / (K lr)       option = "II"
        x = x + outer_lr mean_S(Y - 1 x)
        c = c + (|S| / n) mean_S(C' - C)
        C = C' in the rows of S

    Symbols: x and c are `x` and `c`, (1, d) each; C, of rows c_i, is `c_i` (n, d); K is `local_steps`, eta_l is `lr`,
    eta_g is `outer_lr`.
    Cost per round: K minibatch gradients (option I: K + 1) and two d-vectors up, Y - x and C' - C, per client that
    takes part; two down, x and c.
    Network: a server, `networks.server(n)`; absent clients neither compute nor change.
    Guarantee: c is the mean of the c_i in every round. With exact gradients x = x*, c_i = ∇f_i(x*) is a fixed point for
    every K, however different the f_i. Option II with everybody present is `KGT` on the complete graph, its c being
    c - c_i here.
    Reference: Karimireddy, Kale, Mohri, Reddi, Stich, Suresh (2020), arXiv:1910.06378, Algorithm 1.
    Ambiguities: the gradient of option I is on a fresh minibatch, drawn after those of the local steps; with
    batch_size=None it is the pass over all of a client's data.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=1.0), networks.server(8)
    >>> result = run(SCAFFOLD(lr=0.1, local_steps=5), problem, network, rounds=200)
    >>> bool(result.metrics["distance"][-1] < 1e-5)  # where LocalSGD stalls
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    local_steps: int = static()
    outer_lr: StepSize = step_size(default=1.0)
    option: Literal["I", "II"] = static(default="II")

    def check(self) -> None:
        checks.integer("SCAFFOLD.local_steps", self.local_steps)
        checks.choice("SCAFFOLD.option", self.option, ("I", "II"))

    def init(self, problem, x0, r):
        x = x0.mean(axis=0, keepdims=True)
        return State(x, jnp.zeros_like(x), jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        K, clients = self.local_steps, r.of(problem)
        draws = K + 1 if self.option == "I" else K
        c_i, start = r.rows(s.c_i), r.spread(s.x)

        def grad(y, k):
            return clients.grad(y, r.draw(clients, k, draws))

        y = jax.lax.fori_loop(0, K, lambda k, y: y - self.lr * (grad(y, k) - c_i + s.c), start)
        new = grad(start, K) if self.option == "I" else c_i - s.c + (s.x - y) / (K * self.lr)
        x = s.x + self.outer_lr * (r.W @ (y - s.x))
        c = s.c + r.share * (r.W @ (new - c_i))
        cost = r.cost(draws * clients.batch_size, 2, bits_down=64 * problem.d)
        return State(x, c, r.kept(s.c_i, new)), cost
