"""DESTRESS: recursive estimates between rounds of gradient tracking, with as much gossip as a network needs."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.algorithms import _variance
from jaxdec.algorithms.proxskip import chance
from jaxdec.networks.polynomials import Chebyshev, Power
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["DESTRESS", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    v: Iterates  # (n, d), the estimates of the network's mean gradient at x
    y: Iterates  # (n, d), trackers: their mean is the mean of g
    g: Iterates  # (n, d), the exact gradients where they were last taken


@module
class DESTRESS:
    r"""DESTRESS: nodes follow recursive estimates, which a tracker of exact gradients starts anew.

    With W_K the mixing of K gossips, G the gradients of a minibatch, on the same minibatch at both points, for each
    node a coin with probability p that it takes part, and V = Y = H = ∇f(X) at the start::

        X+ = W_in (X - lr V)
        in every `period`-th round:  V+ = Y+ = W_out (Y + ∇f(X+) - H);   H = ∇f(X+)
        else:                        V+ = W_in (V + (coin / p) (G(X+) - G(X)))

    Symbols: X, V, Y, H are `x`, `v`, `y`, `g`, (n, d) each, the first three the paper's u, v, s; eta is `lr`, p is
    `probability`, S is `period`, K_in and K_out are `inner_gossips` and `outer_gossips`. `contraction` is alpha, the
    second largest modulus of the eigenvalues of W, with which gossips are Chebyshev's, T_K(W / alpha) / T_K(1 / alpha);
    None takes W^K.
    Cost per round: two minibatch gradients for each node that takes part, and 2 K_in d-vectors to each neighbour; or in
    every `period`-th round a pass over all of a node's samples, and K_in + K_out d-vectors. They go one after another.
    init takes the first pass. The pass is a branch: other rounds do not compute it.
    W: symmetric, and the same in every round: on networks that fail it was seen not to reach the minimizer.
    Guarantee: mean(Y) is the mean of the exact gradients in every round. The noise of the estimates goes with the
    steps: with minibatches it converges to the minimizer, however different the f_i, linearly where they are strongly
    convex, lr is small enough and gossips are enough.
    Reference: Li, Li, Chi (2021), arXiv:2110.01165, with the code of the authors,
    github.com/liboyue/Network-Distributed-Algorithm, where all nodes take part.
    Deviations: a round is an inner step of the paper, of which an outer one has `period`, and the last inner point is
    the next outer one, whose own estimate nothing uses and is not computed. The first trackers are the nodes' own
    gradients, which there are averaged exactly.
    Ambiguities: the coins are recalled; the code has none.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(7, 3, zeta=10.0, noise=1.0), networks.ring(7)
    >>> method = DESTRESS(lr=0.1, period=15, inner_gossips=2, outer_gossips=2)
    >>> result = run(method, problem, network, rounds=600, every=600)
    >>> bool(result.metrics["distance"][-1] < 1e-4)  # whatever the noise
    True
    """

    requires: ClassVar[str] = "symmetric"
    lr: StepSize = step_size()
    period: int
    probability: ScalarLike = 1.0
    inner_gossips: int = static(default=1)
    outer_gossips: int = static(default=1)
    contraction: Any = None

    def check(self) -> None:
        _variance.periodic("DESTRESS.period", self.period)
        chance("DESTRESS.probability, of taking part in an inner step", self.probability)
        checks.integer("DESTRESS.inner_gossips", self.inner_gossips)
        checks.integer("DESTRESS.outer_gossips", self.outer_gossips)
        if self.contraction is not None and not checks.bounded(self.contraction, lambda a: (a > 0) & (a < 1)):
            raise ValueError(
                "DESTRESS.contraction, the second largest modulus of the eigenvalues of W, lies in (0, 1); got "
                f"{self.contraction}. graphs.spectrum(W) has it, and None takes powers of W"
            )

    def _mixing(self, W, rounds):
        if self.contraction is None:
            return Power(W, rounds)
        return Chebyshev(W, -self.contraction, self.contraction, rounds)

    def init(self, problem, x0, r):
        g = problem.grad(x0)
        return State(x0, g, g, g), Cost(grads=problem.data_size)

    def step(self, problem, s, r):
        gossip = lambda x, rounds: self._mixing(r.W, rounds) @ x
        x = gossip(s.x - self.lr * s.v, self.inner_gossips)
        takes = jax.vmap(lambda key: jax.random.bernoulli(key, self.probability))(r.keys("takes part"))

        def inner():
            batch = r.draw(problem)
            change = (problem.grad(x, batch) - problem.grad(s.x, batch)) / self.probability
            v = gossip(s.v + jnp.where(takes[:, None], change, 0), self.inner_gossips)
            return State(x, v, s.y, s.g)

        def outer():
            g = problem.grad(x)
            y = gossip(s.y + g - s.g, self.outer_gossips)
            return State(x, y, y, g)

        whole = _variance.due(r, self.period)
        grads = jnp.where(whole, problem.data_size, takes * 2 * problem.batch_size)
        sent = self.inner_gossips + jnp.where(whole, self.outer_gossips, self.inner_gossips)
        return jax.lax.cond(whole, outer, inner), Cost(grads=grads, vectors=sent, messages=sent)
