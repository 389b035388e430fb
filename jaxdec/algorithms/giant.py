"""GIANT: the mean of the directions that Newton's method would take with each client's own Hessian."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.algorithms import _newton
from jaxdec.types import Cost, StepSize

__all__ = ["GIANT", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model


@module
class GIANT:
    r"""GIANT, globally improved approximate Newton: the mean of the clients' Newton directions.

    With g = mean_i ∇f_i(x)::

        p_i = ∇²f_i(x)^-1 g,     by conjugate gradients from 0, so many Hessian-vector `products`
        x = x - lr mean_i p_i

    Symbols: x is `x` (1, d); alpha is `lr`. No Hessian is ever formed. Gradients and products are exact, those of all
    of a client's samples, whatever the problem's minibatches are.
    Cost per round: a pass over all of a client's samples for an exact gradient, and one for each product; two d-vectors
    up per client, the second once the first have been answered; g and the model down.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: the minimizer is a fixed point, however different the f_i and however few the products. With as many
    products as parameters the directions are exact, and where all Hessians are equal it is Newton's method: with
    lr = 1 quadratics take one round. Else it converges linearly, the faster the more alike the Hessians are.
    Reference: Wang, Roosta-Khorasani, Xu, Mahoney (2018), arXiv:1709.03528.
    Deviations: lr in the place of the line search.
    Ambiguities: the listing is recalled.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=1.0), networks.server(8)
    >>> result = run(GIANT(products=3), problem, network, rounds=20)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    products: int = static()
    lr: StepSize = step_size(default=1.0)

    def check(self) -> None:
        checks.integer("GIANT.products", self.products)

    def init(self, problem, x0, r):
        return State(jnp.mean(x0, axis=0, keepdims=True)), Cost()

    def step(self, problem, s, r):
        x = r.spread(s.x)
        g = r.spread(r.W @ problem.grad(x))
        p = _newton.conjugate(lambda v: problem.hvp(x, v), g, self.products)
        cost = r.cost((1 + self.products) * problem.data_size, 2, bits_down=64 * problem.d)
        return State(s.x - self.lr * (r.W @ p)), cost._replace(messages=2)
