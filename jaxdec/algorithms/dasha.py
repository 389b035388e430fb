"""DASHA and DASHA-MVR: MARINA without rounds that send uncompressed vectors."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.compressors import require_unbiased
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["DASHA", "DASHAMVR", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the model
    g: Float[Array, "1 d"]  # the server's estimate of the mean gradient: the mean of k
    h: Iterates  # (n, d), the clients' gradients at x, or their estimates of them
    k: Iterates  # (n, d), what the server knows of h


@module
class DASHA:
    r"""DASHA: clients send the compressed change of their gradient, less a share of what the server does not know.

    With C the `compressor`, a draw for each client, and exact gradients, from h_i = k_i = ∇f_i(x0) and g = mean k_i::

        x+ = x - lr g
        M_i = C(∇f_i(x+) - h_i - a (k_i - h_i));   h_i = ∇f_i(x+)
        k_i = k_i + M_i;   g+ = g + mean_i M_i

    Symbols: x and g are `x` and `g`, (1, d) each; h_i and k_i, the paper's g_i, are the rows of `h` and `k`, (n, d)
    each; gamma is `lr`, a is `a`, 1/(2 omega + 1) where None.
    Cost per round: one pass over all of a client's data, one compressed d-vector up, the model down. init sends the
    first gradients. There is no round in which all clients send uncompressed vectors at once, as `MARINA` needs.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: g is the mean of the k_i in every round, and E k_i moves towards h_i at rate a: for unbiased C it
    converges to the minimizer, however different the f_i, linearly where f is strongly convex and lr is small enough.
    Without compression it is gradient descent.
    Reference: Tyurin, Richtárik (2022), arXiv:2202.01268, after its implementation in the baselines of
    github.com/adap/flower, baselines/dasha.

    >>> from jaxdec import compressors, networks, problems, run
    >>> algorithm = DASHA(lr=0.1, compressor=compressors.RandK(k=1))
    >>> result = run(algorithm, problems.quadratic(8, 3), networks.server(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    compressor: Any
    a: Any = None

    def check(self) -> None:
        require_unbiased(self.compressor, "DASHA")
        _check_a("DASHA", self.a)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        h = problem.grad(r.spread(x))
        return State(x, jnp.mean(h, axis=0, keepdims=True), h, h), Cost(grads=problem.data_size, vectors=1)

    def step(self, problem, s, r):
        x = s.x - self.lr * s.g
        h = problem.grad(r.spread(x))
        return _sent(self, problem, s, r, x, h, problem.data_size)


@module
class DASHAMVR:
    r"""DASHA-MVR: DASHA of gradients that clients estimate from minibatches, with momentum variance reduction.

    With C the `compressor`, a draw for each client, b_i a minibatch of client i, and from h_i = k_i = g_i(x0)::

        x+ = x - lr g
        h+_i = g_i(x+; b_i) + (1 - b) (h_i - g_i(x; b_i))
        M_i = C(h+_i - h_i - a (k_i - h_i));   h_i = h+_i
        k_i = k_i + M_i;   g+ = g + mean_i M_i

    Symbols: as for `DASHA`; b is `b`.
    Cost per round: two minibatch gradients on the same minibatch, one compressed d-vector up, the model down. init
    sends the first minibatch gradients.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: g is the mean of the k_i in every round. With exact gradients and any b it converges to the minimizer as
    `DASHA` does; with b = 1 h_i is the minibatch gradient; a smaller b averages noise over 1/b rounds.
    Reference: Tyurin, Richtárik (2022), arXiv:2202.01268, DASHA-MVR, after its implementation in the baselines of
    github.com/adap/flower, baselines/dasha.
    Deviations: there the first gradients are of a larger batch, here of one minibatch.

    >>> from jaxdec import compressors, networks, problems, run
    >>> algorithm = DASHAMVR(lr=0.1, compressor=compressors.RandK(k=1), b=0.3)
    >>> result = run(algorithm, problems.quadratic(8, 3), networks.server(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    compressor: Any
    b: ScalarLike
    a: Any = None

    def check(self) -> None:
        require_unbiased(self.compressor, "DASHAMVR")
        _check_a("DASHAMVR", self.a)
        if not checks.bounded(self.b, lambda b: (b > 0) & (b <= 1)):
            raise ValueError(f"DASHAMVR.b, the weight of a new minibatch, lies in (0, 1]; got {self.b}")

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        h = problem.grad(r.spread(x), r.draw(problem))
        return State(x, jnp.mean(h, axis=0, keepdims=True), h, h), Cost(grads=problem.batch_size, vectors=1)

    def step(self, problem, s, r):
        x, batch = s.x - self.lr * s.g, r.draw(problem, 1)
        h = problem.grad(r.spread(x), batch) + (1 - self.b) * (s.h - problem.grad(r.spread(s.x), batch))
        return _sent(self, problem, s, r, x, h, 2 * problem.batch_size)


def _sent(method: Any, problem: Any, s: State, r: Any, x: Float[Array, "1 d"], h: Iterates, grads: Any) -> Any:
    """What clients send of their new gradients h at x, and what they and the server then know."""
    a = 1 / (2 * method.compressor.omega(problem.blocks) + 1) if method.a is None else method.a
    M = method.compressor(r.fold("up"), h - s.h - a * (s.k - s.h), problem.blocks)
    return State(x, s.g + r.W @ M.value, h, s.k + M.value), r.cost(grads, 1, M.bits, 32 * problem.d)


def _check_a(name: str, a: Any) -> None:
    if a is not None and not checks.bounded(a, lambda a: (a >= 0) & (a <= 1)):
        raise ValueError(f"{name}.a, the share of what the server does not know, lies in [0, 1]; got {a}")
