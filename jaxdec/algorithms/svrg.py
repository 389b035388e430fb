"""SVRG and loopless SVRG at a server."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec._module import module, step_size
from jaxdec.algorithms import _variance
from jaxdec.algorithms.proxskip import chance
from jaxdec.types import Cost, ScalarLike, StepSize

__all__ = ["LSVRG", "SVRG", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    at: _variance.Point  # the point of reference at each client, and its exact gradient there


@module
class SVRG:
    r"""SVRG at a server: minibatch gradients that the exact gradient at a model of before corrects.

    With b_i a minibatch of client i::

        in the first of `period` rounds:  y = x;  x+ = x - lr mean_i ∇f_i(x)
        in the others:                    x+ = x - lr mean_i (g_i(x; b_i) - g_i(y; b_i) + ∇f_i(y))

    Symbols: x is `x` (1, d), y and ∇f_i(y), the paper's w, are in `at`, (n, d) each; eta is `lr`, m is `period`.
    Cost per round: two minibatch gradients, or in the first of `period` rounds a pass over all of a client's samples;
    one d-vector up per client, the model down. The pass is a branch: other rounds do not compute it.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: the noise goes with the distance from y, and vanishes as the model settles: with minibatches it converges
    to the minimizer, linearly where f is strongly convex and lr is small enough. With period = 1, and with exact
    gradients, it is gradient descent. `LSVRG` renews y by chance.
    Reference: Johnson, Zhang (2013), "Accelerating stochastic gradient descent using predictive variance reduction",
    its option I, at every client.
    Ambiguities: the listing is recalled. The first step from y, where the minibatches cancel, takes none.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(7, 3, zeta=10.0, noise=1.0), networks.server(7)
    >>> result = run(SVRG(lr=0.1, period=15), problem, network, rounds=600, every=600)
    >>> bool(result.metrics["distance"][-1] < 1e-4)  # whatever the noise
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    period: int

    def check(self) -> None:
        _variance.periodic("SVRG.period", self.period)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        return State(x, _variance.Point(r.spread(x), jnp.zeros_like(x0))), Cost()

    def step(self, problem, s, r):
        first = r.t % jnp.asarray(self.period).astype(r.t.dtype) == 0
        v, at, grads = _variance.referred(problem, first, s.at, r.spread(s.x), r.draw(problem))
        return State(s.x - self.lr * (r.W @ v), at), r.cost(grads, 1, bits_down=32 * problem.d)


@module
class LSVRG:
    r"""L-SVRG at a server: SVRG without the outer loop, whose point of reference a coin renews.

    With b_i a minibatch of client i, p = probability, and y = x at the start::

        x+ = x - lr mean_i (g_i(x; b_i) - g_i(y; b_i) + ∇f_i(y))
        flip a coin that is common to all clients; with probability p:  y+ = x

    Symbols: x is `x` (1, d), y and ∇f_i(y), the paper's w, are in `at`, (n, d) each; eta is `lr`, p is `probability`.
    Cost per round: two minibatch gradients, and with probability p a pass over all of a client's samples; one d-vector
    up per client, the model down. init takes a pass. The pass is a branch; in a sweep over `probability`, or with seeds
    that run together, it is computed in every round.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: as `SVRG`: with minibatches it converges to the minimizer, linearly where f is strongly convex and lr is
    small enough. With exact gradients it is gradient descent.
    Reference: Kovalev, Horváth, Richtárik (2020), arXiv:1901.08689, L-SVRG, at every client.
    Ambiguities: the listing is recalled. The point that y becomes is that before the step.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(7, 3, zeta=10.0, noise=1.0), networks.server(7)
    >>> result = run(LSVRG(lr=0.1, probability=0.1), problem, network, rounds=600, every=600)
    >>> bool(result.metrics["distance"][-1] < 1e-4)  # whatever the noise
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    probability: ScalarLike

    def check(self) -> None:
        chance("LSVRG.probability, of a new point of reference after a round", self.probability)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        y = r.spread(x)
        return State(x, _variance.Point(y, problem.grad(y))), Cost(grads=problem.data_size)

    def step(self, problem, s, r):
        x, batch = r.spread(s.x), r.draw(problem)
        v = problem.grad(x, batch) - problem.grad(s.at.y, batch) + s.at.g
        coin = jax.random.bernoulli(r.fold("coin"), self.probability)
        at = jax.lax.cond(coin, lambda: _variance.Point(x, problem.grad(x)), lambda: s.at)
        grads = 2 * problem.batch_size + coin * problem.data_size
        return State(s.x - self.lr * (r.W @ v), at), r.cost(grads, 1, bits_down=32 * problem.d)
