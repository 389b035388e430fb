"""FedAsync: a server that mixes in the models of clients as they come."""

from typing import ClassVar, Literal

import jax
import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.algorithms import _events
from jaxdec.types import Cost, ScalarLike, StepSize

__all__ = ["FedAsync"]


@module
class FedAsync:
    r"""FedAsync, asynchronous federated optimization: the server moves towards a client's model, less if that is late.

    With K = local_steps and G the stochastic gradients, fresh in every local step; in an event client i, which was sent
    its model x_i tau updates ago, sends y::

        y = x_i;  repeat K times:  y = y - lr (G(y) + rho (y - x_i))
        x = (1 - alpha s(tau)) x + alpha s(tau) y

        s(tau) = 1                                             form = "constant"
        s(tau) = (tau + 1)^(-a)                                form = "polynomial"
        s(tau) = 1 if tau <= b, else 1 / (a (tau - b) + 1)     form = "hinge"

    and is sent x.

    Symbols: x is `x` (1, d), the x_i are the rows of `start` (n, d); gamma is `lr`, H is `local_steps`, alpha is
    `mixing`.
    Cost per event: K minibatch gradients and one d-vector up for one client; the model down to it.
    Network: an asynchronous server, `networks.asynchronous(networks.server(n), speed=...)`.
    Guarantee: with local_steps = 1, rho = 0 and one client it is SGD with step alpha lr. Where the f_i differ it stays
    away from the minimizer, as methods with local steps do, and fast clients weigh more.
    Reference: Xie, Koyejo, Gupta (2019), arXiv:1903.03934, Algorithm 1 and Section 5.2, as they are recalled: the page
    could not be read.
    Ambiguities: tau counts the updates between; the paper's t - τ may be one more, with t the number of the update
    itself. The paper's scheduler triggers clients; here a client goes on at once.

    >>> from jaxdec import networks, problems, run
    >>> network = networks.asynchronous(networks.server(8), speed=[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 0.1])
    >>> method = FedAsync(lr=0.1, local_steps=3, mixing=0.5)
    >>> result = run(method, problems.quadratic(8, 3, zeta=0.0), network, rounds=800, x0=[1.0] * 3)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"asynchronous", "server"})
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    local_steps: int = static()
    mixing: ScalarLike = 0.6
    rho: ScalarLike = 0.0
    form: Literal["constant", "polynomial", "hinge"] = static(default="polynomial")
    a: ScalarLike = 0.5
    b: ScalarLike = 4.0

    def check(self) -> None:
        checks.integer("FedAsync.local_steps", self.local_steps)
        checks.choice("FedAsync.form", self.form, ("constant", "polynomial", "hinge"))
        if not checks.bounded(self.mixing, lambda a: (a > 0) & (a <= 1)):
            raise ValueError(f"FedAsync.mixing is a client's weight alpha, in (0, 1]; got {self.mixing}")
        for name, value in (("rho", self.rho), ("a", self.a), ("b", self.b)):
            checks.weight(f"FedAsync.{name}", value, "a number")

    def init(self, problem, x0, r):
        return _events.first(x0, r), Cost()

    def step(self, problem, s, r):
        K, clients, start = self.local_steps, r.of(problem), r.rows(s.start)

        def local(k, y):
            return y - self.lr * (clients.grad(y, r.draw(clients, k, K)) + self.rho * (y - start))

        y = jax.lax.fori_loop(0, K, local, start)
        alpha = self.mixing * self.weight((s.k - r.rows(s.began)[0]).astype(y.dtype))
        x, k = (1 - alpha) * s.x + alpha * r.mean(y), s.k + 1
        cost = r.cost(K * clients.batch_size, 1, bits_down=32 * problem.d)
        return _events.send(s, x, k, r), cost

    def weight(self, tau):
        """s(tau)."""
        if self.form == "constant":
            return jnp.ones_like(tau)
        if self.form == "polynomial":
            return (tau + 1) ** -self.a
        return 1 / (self.a * jnp.maximum(0, tau - self.b) + 1)
