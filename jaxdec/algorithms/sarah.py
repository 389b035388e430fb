"""SARAH and PAGE at a server: recursive estimates, which an exact gradient starts anew by a clock or by chance."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec._module import module, step_size
from jaxdec.algorithms import _variance
from jaxdec.algorithms.proxskip import chance
from jaxdec.types import Cost, ScalarLike, StepSize

__all__ = ["PAGE", "SARAH", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    v: Float[Array, "1 d"]  # the estimate of the mean gradient at x


@module
class SARAH:
    r"""SARAH at a server: an estimate that adds up changes of minibatch gradients.

    With b_i a minibatch of client i, and from v = mean_i ∇f_i(x0)::

        x+ = x - lr v
        in every `period`-th round:  v+ = mean_i ∇f_i(x+)
        else:                        v+ = v + mean_i (g_i(x+; b_i) - g_i(x; b_i))

    Symbols: x and v are `x` and `v`, (1, d) each; eta is `lr`, m is `period`.
    Cost per round: two minibatch gradients, or in every `period`-th round a pass over all of a client's samples; one
    d-vector up per client, the model down. init takes the first pass. The pass is a branch: other rounds do not compute
    it.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: the estimate is biased, but its noise goes with the steps and vanishes as the model settles: with
    minibatches it converges to the minimizer, linearly where f is strongly convex and lr is small enough. With
    period = 1, and with exact gradients, it is gradient descent. `PAGE` starts anew by chance.
    Reference: Nguyen, Liu, Scheinberg, Takáč (2017), arXiv:1703.00102, at every client; SPIDER, of Fang, Li, Lin, Zhang
    (2018), arXiv:1807.01695, has the same estimate.
    Ambiguities: the listing is recalled. The paper goes on from a random one of the inner models, here from the last.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(7, 3, zeta=10.0, noise=1.0), networks.server(7)
    >>> result = run(SARAH(lr=0.1, period=15), problem, network, rounds=600, every=600)
    >>> bool(result.metrics["distance"][-1] < 1e-4)  # whatever the noise
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    period: int

    def check(self) -> None:
        _variance.periodic("SARAH.period", self.period)

    def init(self, problem, x0, r):
        return _exact(problem, x0, r)

    def step(self, problem, s, r):
        return _estimated(self, problem, s, r, _variance.due(r, self.period))


@module
class PAGE:
    r"""PAGE at a server: SARAH that a coin starts anew.

    With b_i a minibatch of client i, p = probability, and from v = mean_i ∇f_i(x0)::

        x+ = x - lr v
        flip a coin that is common to all clients; with probability p:
            v+ = mean_i ∇f_i(x+)
        else:
            v+ = v + mean_i (g_i(x+; b_i) - g_i(x; b_i))

    Symbols: x and v are `x` and `v`, the paper's g, (1, d) each; eta is `lr`, p is `probability`.
    Cost per round: two minibatch gradients, or with probability p a pass over all of a client's samples; one d-vector
    up per client, the model down. init takes the first pass. The two are branches; in a sweep over `probability`, or
    with seeds that run together, both are computed and one is taken.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: as `SARAH`: with minibatches it converges to the minimizer, linearly where f is strongly convex and lr is
    small enough. With p = 1, and with exact gradients, it is gradient descent. It is `VRMARINA` without compression.
    That on smooth nonconvex finite sums its gradients are of the least order in number is the paper's claim.
    Reference: Li, Bao, Zhang, Richtárik (2021), arXiv:2008.10898, at every client.
    Ambiguities: the listing is recalled. The paper's p is b'/(b + b') for minibatches of b', b being those of the
    coin's branch, here all samples.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(7, 3, zeta=10.0, noise=1.0), networks.server(7)
    >>> result = run(PAGE(lr=0.1, probability=0.1), problem, network, rounds=600, every=600)
    >>> bool(result.metrics["distance"][-1] < 1e-4)  # whatever the noise
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    probability: ScalarLike

    def check(self) -> None:
        chance("PAGE.probability, of a full gradient in a round", self.probability)

    def init(self, problem, x0, r):
        return _exact(problem, x0, r)

    def step(self, problem, s, r):
        return _estimated(self, problem, s, r, jax.random.bernoulli(r.fold("coin"), self.probability))


def _exact(problem, x0, r) -> tuple[State, Cost]:
    x = jnp.mean(x0, axis=0, keepdims=True)
    v = jnp.mean(problem.grad(r.spread(x)), axis=0, keepdims=True)
    return State(x, v), Cost(grads=problem.data_size, vectors=1)


def _estimated(method, problem, s, r, whole) -> tuple[State, Cost]:
    x, batch = s.x - method.lr * s.v, r.draw(problem)
    change = lambda: s.v + r.W @ (problem.grad(r.spread(x), batch) - problem.grad(r.spread(s.x), batch))
    v = jax.lax.cond(whole, lambda: r.W @ problem.grad(r.spread(x)), change)
    return State(x, v), r.cost(_variance.paid(problem, whole), 1, bits_down=32 * problem.d)
