"""FedSplit and Fed-LT: Peaceman-Rachford splitting at a server, with exact proximal steps or local training."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["FedLT", "FedLTState", "FedSplit", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model, the mean of z
    z: Iterates  # (n, d), what each client sends


@module
class FedSplit:
    r"""FedSplit: operator splitting with exact proximal steps, whose fixed point is the minimizer.

    From Z = 1 x::

        Y = prox_(lr f)(2 1 x - Z)                     each client's, exactly
        Z = Z + 2 (Y - 1 x)
        x = mean Z

    Symbols: x is `x` (1, d), Z is `z` (n, d); s is `lr`.
    Cost per round: a proximal step per client, which is counted as no gradient, and one d-vector up; one d-vector down.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: x is the mean of z_i. The fixed point is x = x*, z_i = x* - lr ∇f_i(x*), however different the f_i, and
    for f_i that are strongly convex and smooth it converges linearly for every lr > 0, at the best rate with lr = 1 /
    √(mu L).
    Reference: Pathak, Wainwright (2020), arXiv:2005.05238, Algorithm 1; the steps as in the code
    github.com/wenh06/fl-sim, fedsplit.tex, the rate is recalled.

    >>> from jaxdec import networks, problems, run
    >>> result = run(FedSplit(lr=1.0), problems.quadratic(8, 3, zeta=1.0), networks.server(8), rounds=100)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()

    def init(self, problem, x0, r):
        x = x0.mean(axis=0, keepdims=True)
        return State(x, jnp.broadcast_to(x, x0.shape)), Cost()

    def step(self, problem, s, r):
        y = problem.prox(2 * s.x - s.z, self.lr)
        z = s.z + 2 * (y - s.x)
        return State(r.W @ z, z), r.cost(vectors=1, bits_down=32 * problem.d)


class FedLTState(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model, the mean of z
    y: Iterates  # (n, d), the clients' models
    z: Iterates  # (n, d), what each client sent last


@module
class FedLT:
    r"""Fed-LT, and Fed-PLT without noise: FedSplit with local steps, and with some of the clients in each round.

    With K = local_steps, rho = penalty, G the stochastic gradients, fresh in every local step, and Y = Z = 1 x at the
    start::

        V = 2 1 x - Z;  repeat K times:  Y = Y - lr (G(Y) + (Y - V) / rho)
        Z = Z + 2 (Y - 1 x)
        x = mean Z over all n clients, whose rows are unchanged where they are absent

    Symbols: x is `x` (1, d), Y and Z are `y` and `z`, (n, d) each; K is `local_steps`, rho is `penalty`.
    Cost per round: K minibatch gradients and one d-vector up per client that takes part, one d-vector down.
    Network: a server, `networks.server(n)`; absent clients neither compute nor change.
    Guarantee: x is the mean of z_i over all clients in every round. With exact gradients x = y_i = x*,
    z_i = x* - rho ∇f_i(x*) is a fixed point for every K, however different the f_i.
    Reference: Bastianello, Liu, Johansson (2024), arXiv:2403.17572, where gradients have a noise for privacy, and
    Tudose, Grüss, Kim, Johansson, Bastianello (2025), arXiv:2511.20220; the steps as in the code of
    github.com/team-decent/decent-bench, _fed_lt.py, with its solver "gd". The papers could not be read.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=1.0), networks.server(8, cohort=4)
    >>> result = run(FedLT(lr=0.1, local_steps=5, penalty=1.0), problem, network, rounds=600)
    >>> bool(result.metrics["distance"][-1] < 1e-4)  # where LocalSGD stalls
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    local_steps: int = static()
    penalty: ScalarLike

    def check(self) -> None:
        checks.integer("FedLT.local_steps", self.local_steps)
        checks.positive("FedLT.penalty", self.penalty)

    def init(self, problem, x0, r):
        x = x0.mean(axis=0, keepdims=True)
        y = jnp.broadcast_to(x, x0.shape)
        return FedLTState(x, y, y), Cost()

    def step(self, problem, s, r):
        K, clients, before = self.local_steps, r.of(problem), r.rows(s.z)
        v = 2 * s.x - before

        def local(k, y):
            return y - self.lr * (clients.grad(y, r.draw(clients, k, K)) + (y - v) / self.penalty)

        y = jax.lax.fori_loop(0, K, local, r.rows(s.y))
        z = r.kept(s.z, before + 2 * (y - s.x))
        x = jnp.mean(z, axis=0, keepdims=True)
        return FedLTState(x, r.kept(s.y, y), z), r.cost(K * clients.batch_size, 1, bits_down=32 * problem.d)
