"""CLAG and LAG: EF21 whose clients are silent while their gradients have hardly changed."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.compressors import require_contractive
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["CLAG", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    h: Iterates  # (n, d), the clients' memories of their gradients
    hbar: Float[Array, "1 d"]  # the server's: the mean of h
    g: Iterates  # (n, d), the clients' gradients of the round before


@module
class CLAG:
    r"""CLAG, compressed lazy aggregation: `EF21` in which a client sends only if its memory is too old.

    With C the `compressor`, a draw for each client, and h_i = g-_i = g_i(x0) at the start::

        if ‖g_i(x) - h_i‖² > trigger ‖g_i(x) - g-_i‖²:   h_i = h_i + C(g_i(x) - h_i)
        else client i is silent, and h_i stays;          g-_i = g_i(x)
        x = x - lr mean_i h_i

    Symbols: x is `x`, mean h_i is `hbar`, (1, d) each; h_i and g-_i are the rows of `h` and `g`, (n, d) each; gamma is
    `lr`, zeta is `trigger`.
    Cost per round: one minibatch gradient; one compressed d-vector up for each client that is not silent; the model
    down. That a client is silent costs nothing. init sends the first gradients.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: hbar is the mean of the h_i in every round. A client that is silent has a memory whose error is of the
    order of its gradient's last change, so that with exact gradients it converges to the minimizer as `EF21` does, with
    fewer messages, if lr is small enough. With trigger = 0 it is `EF21`; without compression it is LAG.
    Reference: Richtárik, Sokolov, Fatkhullin, Gasanov, Li, Gorbunov (2022), arXiv:2202.00998, CLAG, one of its
    three-point compressors (3PC), of which EF21 and LAG are others.
    Deviations: a round starts with the gradients that the paper's round ends with.
    Ambiguities: the form is recalled; LAG is the paper's form of it.

    >>> from jaxdec import compressors, networks, problems, run
    >>> algorithm = CLAG(lr=0.1, compressor=compressors.TopK(k=1), trigger=4.0)
    >>> result = run(algorithm, problems.quadratic(8, 3), networks.server(8), rounds=600)
    >>> bool(result.metrics["distance"][-1] < 1e-5), bool(result.cost.vectors[-1] < 0.8 * 600)
    (True, True)
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    compressor: Any
    trigger: ScalarLike

    def check(self) -> None:
        require_contractive(self.compressor, "CLAG")
        checks.weight("CLAG.trigger", self.trigger, "a factor")

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        g = problem.grad(r.spread(x), r.draw(problem))
        return State(x, g, jnp.mean(g, axis=0, keepdims=True), g), Cost(vectors=1)

    def step(self, problem, s, r):
        g = problem.grad(r.spread(s.x), r.draw(problem))
        sends = jnp.sum((g - s.h) ** 2, axis=1) > self.trigger * jnp.sum((g - s.g) ** 2, axis=1)
        D = self.compressor(r.fold("up"), g - s.h, problem.blocks)
        sent = jnp.where(sends[:, None], D.value, 0)
        hbar = s.hbar + r.W @ sent
        x = s.x - self.lr * hbar
        bits = jnp.where(sends, D.bits, jnp.asarray(0, r.dtype))
        cost = r.cost(problem.batch_size, jnp.mean(sends, dtype=r.dtype), bits, 32 * problem.d)
        return State(x, s.h + sent, hbar, g), cost
