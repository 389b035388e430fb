"""DANE and Network-DANE: every node minimizes its own objective, corrected by the gradient of all."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.algorithms import _newton
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["DANE", "NetworkDANE", "NetworkState", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model


@module
class DANE:
    r"""DANE, distributed approximate Newton: the clients minimize their own objectives, corrected by all gradients.

    With g = mean_i ∇f_i(x)::

        w_i = argmin_w f_i(w) - (∇f_i(x) - lr g)'w + penalty/2 ‖w - x‖²
        x = mean_i w_i

    The minimum is looked for by K = local_steps Newton steps from x, of which one is exact where f_i is a quadratic::

        w = w - (∇²f_i(w) + penalty I)^-1 (∇f_i(w) - ∇f_i(x) + lr g + penalty (w - x))

    Symbols: x is `x` (1, d); eta is `lr`, mu is `penalty`, K is `local_steps`. Gradients and Hessians are exact, those
    of all of a client's samples, whatever the problem's minibatches are.
    Cost per round: K passes over all of a client's samples for an exact gradient, and K for a Hessian, which counts as
    d gradients; two d-vectors up per client, the second once the first have been answered; g and the model down.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: the minimizer is a fixed point, for every K, however different the f_i. Where the f_i are quadratics it
    converges linearly, the faster the more alike their Hessians are; with equal ones, lr = 1 and penalty = 0 in one
    round. Where they differ much it needs a larger penalty, or a smaller lr. With K = 1 and penalty = 0 it is `GIANT`
    with as many products as parameters.
    Reference: Shamir, Srebro, Zhang (2014), arXiv:1312.7853.
    Ambiguities: the listing is recalled. Its minimum is exact; how it is found is ours.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=1.0), networks.server(8)
    >>> result = run(DANE(penalty=0.1), problem, network, rounds=20)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size(default=1.0)
    penalty: ScalarLike = 0.0
    local_steps: int = static(default=1)

    def check(self) -> None:
        checks.integer("DANE.local_steps", self.local_steps)
        checks.weight("DANE.penalty", self.penalty)

    def advise(self, problem) -> None:
        _newton.fits("DANE", problem)

    def init(self, problem, x0, r):
        return State(jnp.mean(x0, axis=0, keepdims=True)), Cost()

    def step(self, problem, s, r):
        start = r.spread(s.x)
        g_i = problem.grad(start)
        w = _newton.minimized(problem, start, g_i - self.lr * (r.W @ g_i), self.penalty, self.local_steps)
        cost = r.cost(_spent(self, problem), 2, bits_down=64 * problem.d)
        return State(r.W @ w), cost._replace(messages=2)


class NetworkState(NamedTuple):
    x: Iterates  # (n, d), iterates
    y: Iterates  # (n, d), trackers: their mean is the mean of g
    g: Iterates  # (n, d), the exact gradients at the mixed iterates


@module
class NetworkDANE:
    r"""Network-DANE: `DANE` over a network, where a tracker stands for the gradient of all.

    With Y = G = ∇f(X) at the start::

        Z = W X
        Y+ = W Y + ∇f(Z) - G;   G+ = ∇f(Z)
        x_i+ = argmin_w f_i(w) - (∇f_i(z_i) - lr y_i+)'w + penalty/2 ‖w - z_i‖²

    The minimum is looked for by K = local_steps Newton steps from z_i, of which one is exact where f_i is a quadratic.

    Symbols: X, Y, G are `x`, `y`, `g`, (n, d) each, the paper's x, s and the gradients at its y; mu is `penalty`.
    Gradients and Hessians are exact, those of all of a node's samples, whatever the problem's minibatches are.
    Cost per round: K passes over all of a node's samples for an exact gradient, and K for a Hessian, which counts as d
    gradients; two d-vectors to each neighbour; init takes the first gradient.
    W: doubly stochastic. For several gossips in a round take `networks.repeated` or `networks.chebyshev`.
    Guarantee: mean(Y) = mean(G) in every round. The minimizer is a fixed point, for every K, however different the f_i.
    On a complete graph, from one point for all, the first round is one of `DANE`.
    Reference: Li, Cen, Chen, Chi (2020), arXiv:1909.05844, and the authors' code,
    github.com/liboyue/Network-Distributed-Algorithm, NetworkDANE.py; the paper could not be read.
    Deviations: lr, which is 1 there. That code looks for the minimum by gradient steps, and mixes the trackers by a
    lazy W.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=1.0), networks.ring(8)
    >>> result = run(NetworkDANE(penalty=1.0), problem, network, rounds=200)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size(default=1.0)
    penalty: ScalarLike = 0.0
    local_steps: int = static(default=1)

    def check(self) -> None:
        checks.integer("NetworkDANE.local_steps", self.local_steps)
        checks.weight("NetworkDANE.penalty", self.penalty)

    def advise(self, problem) -> None:
        _newton.fits("NetworkDANE", problem)

    def init(self, problem, x0, r):
        g = problem.grad(x0)
        return NetworkState(x0, g, g), Cost(grads=problem.data_size)

    def step(self, problem, s, r):
        z = r.W @ s.x
        g = problem.grad(z)
        y = r.W @ s.y + g - s.g
        x = _newton.minimized(problem, z, g - self.lr * y, self.penalty, self.local_steps)
        return NetworkState(x, y, g), Cost(grads=_spent(self, problem), vectors=2)


def _spent(method, problem):
    """The sample gradients of as many gradients and Hessians as there are local steps."""
    return method.local_steps * (1 + problem.d) * problem.data_size
