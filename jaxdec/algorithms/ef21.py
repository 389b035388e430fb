"""EF21 and EF21-SGDM: memories of the clients' gradients that learn through any contractive compressor."""

from typing import Any, ClassVar, Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.compressors import Identity, require_contractive
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["EF21", "EF21SGDM", "MomentumState", "State"]

Start = Literal["gradient", "zero"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the model
    v: Float[Array, "1 d"]  # its momentum
    h: Iterates  # (n, d), the clients' memories of their gradients
    hbar: Float[Array, "1 d"]  # the server's: the mean of h
    g: Float[Array, "1 d"]  # what the clients know of hbar


@module
class EF21:
    r"""EF21: error feedback in which a biased compressor makes no error at the minimizer.

    With S the clients that take part, C_up the `compressor`, a draw for each of them, and C_dwn `down_compressor`::

        D_i = C_up(g_i(x) - h_i);   h_i = h_i + D_i,        i in S
        hbar = hbar + (1/n) Σ_{i in S} D_i
        g = g + C_dwn(hbar - g)
        v = momentum v + g
        x = x - lr v                                        at the server and at all clients

    Symbols: x, v, hbar and g are `x`, `v`, `hbar` and `g`, (1, d) each; h_i, the papers' g_i, are the rows of `h`
    (n, d); gamma is `lr`, the eta of EF21-HB is `momentum`. start = "gradient" takes the first gradients of all clients
    for h, sent uncompressed; with "zero" the first h_i is C_up(g_i(x)).
    Cost per round: one minibatch gradient and one compressed d-vector up for each client that takes part; the model
    down, or with a `down_compressor` one compressed d-vector for each client, those who are absent receiving it later.
    Network: a server, `networks.server(n)`.
    Guarantee: hbar is the mean of the h_i in every round. At the minimizer h_i = ∇f_i(x*) makes all messages zero, so
    that with exact gradients it converges to it for contractive C_up and C_dwn, biased or not, whoever is absent and
    however different the f_i, if lr is small enough; linearly where f is strongly convex. Plain top-k does not.
    Without compression and with everybody present it is `SGD`.
    Reference: Richtárik, Sokolov, Fatkhullin (2021), arXiv:2106.05203; absent clients, C_dwn and momentum are EF21-PP,
    EF21-BC and EF21-HB of Fatkhullin, Sokolov, Gorbunov, Li, Richtárik (2021), arXiv:2110.03294, whose code
    github.com/IgorSokoloff/ef21_b-w_experiements_source_code has start = "gradient".
    Deviations: a round starts with the gradients that the papers' rounds end with, which gives the same models.

    >>> from jaxdec import compressors, networks, problems, run
    >>> algorithm = EF21(lr=0.1, compressor=compressors.TopK(k=1))
    >>> result = run(algorithm, problems.quadratic(8, 3), networks.server(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    compressor: Any
    down_compressor: Any = Identity()
    momentum: ScalarLike = 0.0
    start: Start = static(default="gradient")

    def check(self) -> None:
        for compressor in (self.compressor, self.down_compressor):
            require_contractive(compressor, "EF21")
        checks.fraction("EF21.momentum", self.momentum)
        checks.choice("EF21.start", self.start, ("gradient", "zero"))

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        h, cost = _first(self.start, problem, x, r)
        hbar = jnp.mean(h, axis=0, keepdims=True)
        return State(x, jnp.zeros_like(x), h, hbar, hbar), cost

    def step(self, problem, s, r):
        clients, h_i = r.of(problem), r.rows(s.h)
        g_i = clients.grad(r.spread(s.x), r.draw(clients))
        D = self.compressor(r.fold("up"), g_i - h_i, problem.blocks)
        hbar = s.hbar + r.share * (r.W @ D.value)
        c = self.down_compressor(r.fold("down"), hbar - s.g, problem.blocks)
        g = s.g + c.value
        v = self.momentum * s.v + g
        x = s.x - self.lr * v
        cost = r.cost(clients.batch_size, 1, D.bits, c.mean_bits, missed=not isinstance(self.down_compressor, Identity))
        return State(x, v, r.kept(s.h, h_i + D.value), hbar, g), cost


class MomentumState(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    v: Iterates  # (n, d), the clients' momenta
    h: Iterates  # (n, d), their memories of them
    hbar: Float[Array, "1 d"]  # the server's: the mean of h


@module
class EF21SGDM:
    r"""EF21-SGDM: EF21 of the clients' momenta.

    With S the clients that take part and C the `compressor`, a draw for each of them::

        v_i = momentum v_i + (1 - momentum) g_i(x),       i in S
        D_i = C(v_i - h_i);   h_i = h_i + D_i,            i in S
        hbar = hbar + (1/n) Σ_{i in S} D_i
        x = x - lr hbar

    Symbols: x and hbar are `x` and `hbar`, (1, d) each; v_i and h_i, the paper's g_i, are the rows of `v` and `h`,
    (n, d) each; gamma is `lr`, eta is 1 - `momentum`. start = "gradient" takes the first gradients of all clients for
    v and h, sent uncompressed, "zero" takes zero.
    Cost per round: one minibatch gradient and one compressed d-vector up for each client that takes part; the model
    down, uncompressed.
    Network: a server, `networks.server(n)`.
    Guarantee: hbar is the mean of the h_i in every round. With exact gradients it converges as `EF21` does; with
    momentum = 0 it is `EF21`. That with noise it needs no large minibatches, as `EF21` may, is the paper's claim.
    Reference: Fatkhullin, Tyurin, Richtárik (2023), arXiv:2305.15155, EF21-SGDM.
    Deviations: absent clients, who are not in the paper, keep v_i and h_i. A round starts with the gradients that the
    paper's round ends with.
    Ambiguities: the form is recalled; the paper's first gradients are of a larger batch, here of one minibatch.

    >>> from jaxdec import compressors, networks, problems, run
    >>> algorithm = EF21SGDM(lr=0.1, compressor=compressors.TopK(k=1), momentum=0.5)
    >>> result = run(algorithm, problems.quadratic(8, 3), networks.server(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    compressor: Any
    momentum: ScalarLike
    start: Start = static(default="gradient")

    def check(self) -> None:
        require_contractive(self.compressor, "EF21SGDM")
        checks.fraction("EF21SGDM.momentum", self.momentum)
        checks.choice("EF21SGDM.start", self.start, ("gradient", "zero"))

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        h, cost = _first(self.start, problem, x, r)
        return MomentumState(x, h, h, jnp.mean(h, axis=0, keepdims=True)), cost

    def step(self, problem, s, r):
        clients, h_i = r.of(problem), r.rows(s.h)
        g_i = clients.grad(r.spread(s.x), r.draw(clients))
        v_i = self.momentum * r.rows(s.v) + (1 - self.momentum) * g_i
        D = self.compressor(r.fold("up"), v_i - h_i, problem.blocks)
        hbar = s.hbar + r.share * (r.W @ D.value)
        x = s.x - self.lr * hbar
        cost = r.cost(clients.batch_size, 1, D.bits, 32 * problem.d)
        return MomentumState(x, r.kept(s.v, v_i), r.kept(s.h, h_i + D.value), hbar), cost


def _first(start: Start, problem: Any, x: Float[Array, "1 d"], r: Any) -> tuple[Iterates, Cost]:
    """What the memories start from, and its cost: where everybody takes part it is the gradient of the first round."""
    at = jnp.broadcast_to(x, (problem.n, problem.d))
    if start == "zero":
        return jnp.zeros_like(at), Cost()
    return problem.grad(at, r.draw(problem)), Cost(grads=0 if r.everybody else problem.batch_size, vectors=1)
