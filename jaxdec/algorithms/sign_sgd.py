"""signSGD with majority vote, and Signum: one bit an entry in both directions."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["SignSGD", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the model, the server's and the clients'
    m: Iterates  # (n, d), the clients' momenta


@module
class SignSGD:
    r"""signSGD with majority vote: clients send the signs of their momenta, the server the sign of their sum.

    With S the clients that take part::

        m_i = momentum m_i + (1 - momentum) g_i(x),     i in S
        x = x - lr sign(Σ_{i in S} sign(m_i))           at the server and at all clients

    Symbols: x is `x` (1, d), m_i are the rows of `m` (n, d); delta is `lr`, beta is `momentum`. The sign of 0 is +, of
    an entry and of a vote that is a draw: one bit has no third value.
    Cost per round: one minibatch gradient and d bits up for each client that takes part; d bits down for each client,
    those who are absent receiving them later.
    Network: a server, `networks.server(n)`.
    Guarantee: every entry moves by lr in every round: at a constant lr it ends no nearer than lr, at one that decreases
    where the votes balance. With one client and decreasing lr that is a stationary point. Where the f_i differ
    the majority's signs are not those of the mean gradient, and it does not find the minimizer at any lr: a negative
    control of compression without memory, as `EF21` has it.
    Reference: Bernstein, Wang, Azizzadenesheli, Anandkumar (2018), arXiv:1802.04434; with momentum it is Signum, of
    Bernstein, Zhao, Azizzadenesheli, Anandkumar (2019), arXiv:1810.05291.
    Deviations: absent clients keep their momenta.
    Ambiguities: the papers' listings are recalled.

    >>> from jaxdec import networks, problems, run
    >>> result = run(SignSGD(lr=0.01), problems.quadratic(8, 3, zeta=0.0), networks.server(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 0.05)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    momentum: ScalarLike = 0.0

    def check(self) -> None:
        checks.fraction("SignSGD.momentum", self.momentum)

    def init(self, problem, x0, r):
        return State(jnp.mean(x0, axis=0, keepdims=True), jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        clients = r.of(problem)
        g = clients.grad(r.spread(s.x), r.draw(clients))
        m = self.momentum * r.rows(s.m) + (1 - self.momentum) * g
        vote = jnp.round(r.share * r.n * (r.W @ _sign(m)))  # a whole number: a draw is one in spite of rounding
        x = s.x - self.lr * _sign(vote)
        return State(x, r.kept(s.m, m)), r.cost(clients.batch_size, 1, problem.d, problem.d, missed=True)


def _sign(a: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """One bit an entry."""
    return jnp.where(a < 0, -1, jnp.where(a >= 0, 1, a))  # what is not a number stays that
