"""3PC: gradient descent along memories that three-point compressors keep near the clients' gradients."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec._module import module, step_size
from jaxdec.compressors.maps import require_three_point
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["State", "ThreePC"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    h: Iterates  # (n, d), the clients' memories of their gradients, which the server has too
    g: Iterates  # (n, d), the clients' gradients of the round before


@module
class ThreePC:
    r"""3PC: a client's message makes of its memory another that is near its gradient, by a three-point compressor.

    With C_hy the `mechanism`, a draw for each client, and h_i = g-_i = g_i(x0) at the start::

        h_i = C_hy(g_i(x)),    h = h_i,  y = g-_i;      g-_i = g_i(x)
        x = x - lr mean_i h_i

    Symbols: x is `x` (1, d); h_i, the paper's g_i, and g-_i are the rows of `h` and `g`, (n, d) each; gamma is `lr`.
    `mechanism` is of `jaxdec.compressors.three_point`: EF21, LAG, CLAG, 3PCv2, v3, v4, v5, and what else they make.
    Cost per round: one minibatch gradient; one compressed d-vector up for each message of the mechanism that a client
    sends; the model down. That a client is silent costs nothing. init sends the first gradients.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: with exact gradients it converges to the minimizer, however different the f_i, if lr is small enough,
    linearly where f is strongly convex: a memory's error is of the order of its gradient's last changes. With
    `Difference(C)` it is `EF21`, with `Lazy(Difference(C), trigger)` it is `CLAG`.
    Reference: Richtárik, Sokolov, Fatkhullin, Gasanov, Li, Gorbunov (2022), arXiv:2202.00998, Algorithm 1.
    Deviations: a round starts with the gradients that the paper's round ends with.
    Ambiguities: the form is recalled.

    >>> from jaxdec import compressors, networks, problems, run
    >>> from jaxdec.compressors import three_point
    >>> v2 = three_point.Then(three_point.Change(compressors.RandK(k=1)), compressors.TopK(k=1))
    >>> result = run(ThreePC(lr=0.1, mechanism=v2), problems.quadratic(8, 3), networks.server(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    mechanism: Any

    def check(self) -> None:
        require_three_point(self.mechanism, "ThreePC")

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        g = problem.grad(r.spread(x), r.draw(problem))
        return State(x, g, g), Cost(vectors=1)

    def step(self, problem, s, r):
        g = problem.grad(r.spread(s.x), r.draw(problem))
        sent = self.mechanism(r.fold("up"), s.h, s.g, g, problem.blocks)
        vectors = jnp.mean(sent.vectors) if jnp.ndim(sent.vectors) else sent.vectors
        cost = r.cost(problem.batch_size, vectors, sent.bits, 32 * problem.d)
        return State(s.x - self.lr * (r.W @ sent.value), sent.value, g), cost
