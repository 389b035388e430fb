"""MARINA, VR-MARINA and PP-MARINA: estimates that move by compressed changes of gradients, and are reset by chance."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.compressors import require_unbiased
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["MARINA", "PPMARINA", "VRMARINA", "EstimateState", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the model
    g: Float[Array, "1 d"]  # the estimate of the mean gradient at x
    h: Iterates  # (n, d), the clients' gradients at x


@module
class MARINA:
    r"""MARINA: clients send compressed changes of their gradients, and with a small probability their gradients.

    With C the `compressor`, a draw for each client, and exact gradients, from h_i = ∇f_i(x0) and g = mean h_i::

        x+ = x - lr g
        flip a coin that is common to all clients; with probability p:
            g+ = mean_i ∇f_i(x+)
        else:
            g+ = g + mean_i C(∇f_i(x+) - ∇f_i(x))

    Symbols: x and g are `x` and `g`, (1, d) each; the gradients at x are `h` (n, d); gamma is `lr`, p is `probability`.
    Cost per round: one pass over all of a client's data; one d-vector up, uncompressed in the rounds that say so; the
    model down. init takes the first gradients.
    Network: a server, `networks.server(n)`, with everybody present; for clients that are absent see `PPMARINA`.
    Guarantee: with p = 1, or without compression, it is gradient descent. The estimate is biased, but its error is that
    of compressing changes, which vanish as the model settles: for unbiased C it converges to the minimizer, however
    different the f_i, linearly where f is strongly convex and lr is small enough; on smooth nonconvex f
    E‖∇f‖² goes as O(1/T). `VRMARINA` takes minibatches in most rounds.
    Reference: Gorbunov, Burlachenko, Li, Richtárik (2021), arXiv:2102.07845, Algorithm 1.
    Ambiguities: the listings are recalled. The paper takes p = (mean length of a message) / (32 d).

    >>> from jaxdec import compressors, networks, problems, run
    >>> algorithm = MARINA(lr=0.1, compressor=compressors.RandK(k=1), probability=0.3)
    >>> result = run(algorithm, problems.quadratic(8, 3), networks.server(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    compressor: Any
    probability: ScalarLike

    def check(self) -> None:
        _check("MARINA", self)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        h = problem.grad(r.spread(x))
        return State(x, jnp.mean(h, axis=0, keepdims=True), h), Cost(grads=problem.data_size, vectors=1)

    def step(self, problem, s, r):
        x = s.x - self.lr * s.g
        h = problem.grad(r.spread(x))
        coin = jax.random.bernoulli(r.fold("coin"), self.probability)
        D = self.compressor(r.fold("up"), h - s.h, problem.blocks)
        g = jnp.where(coin, r.W @ h, s.g + r.W @ D.value)
        bits = jnp.where(coin, jnp.asarray(32 * problem.d, r.dtype), D.bits)
        return State(x, g, h), r.cost(problem.data_size, 1, bits, 32 * problem.d)


class EstimateState(NamedTuple):
    x: Float[Array, "1 d"]  # the model
    g: Float[Array, "1 d"]  # the estimate of the mean gradient at x


@module
class VRMARINA:
    r"""VR-MARINA: MARINA that pays for a pass over all data only in the rounds whose coin says so.

    With C the `compressor`, a draw for each client, b_i a minibatch of client i, and from g = mean ∇f_i(x0)::

        x+ = x - lr g
        flip a coin that is common to all clients; with probability p:
            g+ = mean_i ∇f_i(x+)
        else:
            g+ = g + mean_i C(g_i(x+; b_i) - g_i(x; b_i))

    Symbols: x and g are `x` and `g`, (1, d) each; gamma is `lr`, p is `probability`.
    Cost per round: two minibatch gradients on the same minibatch and one compressed d-vector up, or with probability p
    a pass over all of a client's data and one d-vector; the model down. init takes the first pass. A run computes what
    it pays for: the two are branches. In a sweep over `probability`, or with seeds that run together, both are computed
    and one is taken.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: variance-reduced: the noise of minibatches goes with the step, and vanishes as the model settles. With
    minibatches it converges to the minimizer, however different the f_i, linearly where f is strongly convex and lr and
    p fit. Without compression it is PAGE over the clients, with p = 1 gradient descent.
    Reference: Gorbunov, Burlachenko, Li, Richtárik (2021), arXiv:2102.07845, VR-MARINA for finite sums.
    Ambiguities: the listings are recalled. The paper's p is at most b / (b + m) for batches b of m samples, where both
    branches cost the same in the mean.

    >>> from jaxdec import compressors, networks, problems, run
    >>> algorithm = VRMARINA(lr=0.1, compressor=compressors.RandK(k=1), probability=0.3)
    >>> result = run(algorithm, problems.quadratic(8, 3), networks.server(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    compressor: Any
    probability: ScalarLike

    def check(self) -> None:
        _check("VRMARINA", self)

    def init(self, problem, x0, r):
        return _exact(problem, x0, r)

    def step(self, problem, s, r):
        x, batch = s.x - self.lr * s.g, r.draw(problem)
        coin = jax.random.bernoulli(r.fold("coin"), self.probability)

        def change():
            difference = problem.grad(r.spread(x), batch) - problem.grad(r.spread(s.x), batch)
            D = self.compressor(r.fold("up"), difference, problem.blocks)
            return s.g + r.W @ D.value, jnp.asarray(D.mean_bits, r.dtype)

        g, bits = jax.lax.cond(coin, lambda: _all(problem, x, r), change)
        grads = jnp.where(coin, problem.data_size, 2 * problem.batch_size)
        return EstimateState(x, g), r.cost(grads, 1, bits, 32 * problem.d)


@module
class PPMARINA:
    r"""PP-MARINA: in most rounds a few clients, drawn anew, send compressed changes of their gradients.

    With C the `compressor`, a draw for each client of a round, and exact gradients, from g = mean ∇f_i(x0)::

        x+ = x - lr g
        flip a coin; with probability p all clients take part:
            g+ = mean_i ∇f_i(x+)
        else S are `clients` clients drawn with replacement:
            g+ = g + mean_S C(∇f_i(x+) - ∇f_i(x))

    Symbols: x and g are `x` and `g`, (1, d) each; gamma is `lr`, p is `probability`, r is `clients`.
    Cost per round: for each client of S two passes over its data, one compressed d-vector up and the model down; or
    with probability p one pass, one d-vector and the model for every client. init takes the first pass. The two are
    branches, as for `VRMARINA`. Costs are the means over all n clients.
    Network: a server, `networks.server(n)`, all of whose clients answer when they are asked.
    Guarantee: as `MARINA`, the noise of drawing clients going with the step as well. With p = 1 it is gradient descent.
    Reference: Gorbunov, Burlachenko, Li, Richtárik (2021), arXiv:2102.07845, PP-MARINA.
    Ambiguities: the listings are recalled. A client does not remember its last gradient, for it was taken elsewhere.

    >>> from jaxdec import compressors, networks, problems, run
    >>> algorithm = PPMARINA(lr=0.1, compressor=compressors.RandK(k=1), probability=0.3, clients=3)
    >>> result = run(algorithm, problems.quadratic(8, 3), networks.server(8), rounds=600)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    compressor: Any
    probability: ScalarLike
    clients: int = static()

    def check(self) -> None:
        _check("PPMARINA", self)
        checks.integer("PPMARINA.clients", self.clients)

    def init(self, problem, x0, r):
        return _exact(problem, x0, r)

    def step(self, problem, s, r):
        x = s.x - self.lr * s.g
        coin = jax.random.bernoulli(r.fold("coin"), self.probability)
        S = jax.random.randint(r.fold("clients"), (self.clients,), 0, r.n)
        some, share = problem.take(S), self.clients / r.n
        at = lambda x: jnp.broadcast_to(x, (self.clients, problem.d))

        def change():
            D = self.compressor(r.fold("up"), some.grad(at(x)) - some.grad(at(s.x)), problem.blocks)
            return s.g + jnp.mean(D.value, axis=0, keepdims=True), jnp.asarray(share * D.mean_bits, r.dtype)

        g, bits = jax.lax.cond(coin, lambda: _all(problem, x, r), change)
        took = jnp.where(coin, _mean(problem, r), 2 * share * _mean(some, r))
        sent = jnp.where(coin, jnp.asarray(1, r.dtype), share)
        return EstimateState(x, g), r.cost(took, sent, bits, 32 * problem.d * (1 if r.once else sent))


def _check(name: str, method: Any) -> None:
    require_unbiased(method.compressor, name)
    if not checks.bounded(method.probability, lambda p: (p > 0) & (p <= 1)):
        raise ValueError(f"{name}.probability, of a full gradient in a round, lies in (0, 1]; got {method.probability}")


def _exact(problem: Any, x0: Iterates, r: Any) -> tuple[EstimateState, Cost]:
    """The model and its exact gradient."""
    x = jnp.mean(x0, axis=0, keepdims=True)
    g = jnp.mean(problem.grad(r.spread(x)), axis=0, keepdims=True)
    return EstimateState(x, g), Cost(grads=problem.data_size, vectors=1)


def _all(problem: Any, x: Float[Array, "1 d"], r: Any) -> tuple[Float[Array, "1 d"], Float[Array, ""]]:
    """The exact mean gradient, which all clients send, and its bits."""
    return r.W @ problem.grad(r.spread(x)), jnp.asarray(32 * problem.d, r.dtype)


def _mean(problem: Any, r: Any) -> Float[Array, ""]:
    """The mean number of samples of its clients."""
    return jnp.mean(jnp.asarray(problem.data_size, r.dtype))
