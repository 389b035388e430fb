"""ASY-SONATA: gradient tracking by running sums, where messages are lost unknown to both ends."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec._module import module, step_size
from jaxdec.algorithms._running_sums import delivered, empty
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["ASYSONATA", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    heard: Float[Array, "n k d"]  # the last that arrived of what each neighbour descended to
    y: Iterates  # (n, d), trackers: with what is under way, their sum is that of g
    flight: Float[Array, "n k d"]  # what of the trackers is under way, on the arcs of those who hear it
    g: Iterates  # (n, d), the stochastic gradients at x


@module
class ASYSONATA:
    r"""ASY-SONATA in synchronous rounds: gradient tracking that stands loss which neither end of an arc knows of.

    With G the stochastic gradients at X, H_ij the last that i heard of V_j, F the mass of Y under way and R the weights
    W with each row divided by its sum; from Y = G, H_ij = X_i and F = 0, on every arc j -> i::

        V = X - lr Y
        H_ij = V_j where j arrives at i
        X+ = R_ii V_i + Σ_j R_ij H_ij
        F_ij = F_ij + W_ij Y_j
        Y_i = W_ii Y_i + Σ_(j that arrives at i) F_ij + G_i(X+) - G_i
        F_ij = 0 where j arrives at i

    Symbols: X, Y, G are `x`, `y`, `g`, (n, d) each; H is `heard` and F is `flight`, (n, k, d) each; gamma is `lr`. The
    paper's mass counters ρ and buffers ρ~ are sums over time, of which F is the difference on an arc.
    Cost per round: one minibatch gradient per node, two d-vectors to each neighbour, lost together or not; init takes
    the first gradient.
    W: column stochastic, as of what is sent; `networks.lossy(network, loss, rule="arcs")` of such a network, or the
    network itself. Arcs have a slot that does not change. A node knows its neighbours' weights, and so R. Where W
    changes, X is averaged with what was heard when an arc was there last, which is slow where that is rare.
    Guarantee: Σ y_i + Σ F_ij = Σ g_i in every round. With exact gradients the only fixed point is the minimizer,
    however different the f_i, and no mass is divided by. Without loss it is `AB` ("atc") with R and C = W, and where W
    is doubly stochastic `GradientTracking` ("semi-atc").
    Reference: Tian, Sun, Scutari (2018), arXiv:1803.10359; from the authors' code. Deviations: every node is active in
    every round, and a message arrives in its round or never, where the paper has one node at a time and delays. A node
    steps before it shares Y out, along all of Y and not along W_ii Y, the share that it keeps; and it sends after that
    step, so that neighbours mix the V of one round. Until it hears a neighbour, its own start stands for H.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=10.0), networks.random_digraph(8, 0.2)
    >>> result = run(ASYSONATA(lr=0.05), problem, networks.lossy(network, 0.3, rule="arcs"), rounds=1000)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"column stochastic", "arcs", "fixed arcs"})
    stands_loss: ClassVar[bool] = True
    lr: StepSize = step_size()

    def init(self, problem, x0, r):
        g = problem.grad(x0, r.draw(problem))
        heard = jnp.broadcast_to(x0[:, None], empty(r.W, x0).shape)
        return State(x0, heard, g, empty(r.W, g), g), Cost(grads=problem.batch_size)

    def step(self, problem, s, r):
        arcs, total = r.W.arcs, r.W.own + jnp.sum(r.W.arcs.weight, axis=1)
        v = s.x - self.lr * s.y
        heard = jnp.where(arcs.arrived[..., None], arcs.hear(v), s.heard)
        x = (r.W.own[:, None] * v + jnp.sum(arcs.weight[..., None] * heard, axis=1)) / total[:, None]
        g = problem.grad(x, r.draw(problem, 1))
        y, flight = delivered(r.W, s.y, s.flight)
        return State(x, heard, y + g - s.g, flight, g), Cost(grads=problem.batch_size, vectors=2)
