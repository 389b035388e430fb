"""Push-sum: averaging and SGD on directed graphs."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.algorithms._masses import floored, sinking
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["PushSumGossip", "State", "StochasticGradientPush"]


class State(NamedTuple):
    x: Iterates  # (n, d), estimates: the ratios of numerators to masses
    u: Iterates  # (n, d), numerators
    y: Float[Array, " n"]  # masses; they sum to n


@module
class PushSumGossip:
    r"""Push-sum averaging: every node's estimate goes to the mean of x0, on a directed graph.

    From U = x0 and y = 1::

        U = W U
        y = W y
        X = U / y

    Symbols: X is `x` (n, d), the estimates; U is `u` (n, d) and y is `y` (n,), whose ratio they are.
    Cost per round: one d-vector and one number to each neighbour, 32 (d + 1) bits; no gradients.
    W: column stochastic, W_ij = 1 / (out-degree of j, itself among it) on the arcs j -> i: nodes know whom they reach.
    Guarantee: Σ u_i = Σ x0_i and Σ y_i = n in every round, y > 0, and X goes to the mean of x0 geometrically on every
    strongly connected graph with self-loops. If W is doubly stochastic, y = 1.
    Reference: Kempe, Dobra, Gehrke (2003), Gossip-based computation of aggregate information, FOCS; with a fixed W,
    the exact baseline of Taheri et al. (2020), arXiv:2002.09964.

    >>> import jax.numpy as jnp
    >>> from jaxdec import networks, problems, run
    >>> x0 = jnp.arange(16.0).reshape(8, 2)
    >>> result = run(PushSumGossip(), problems.quadratic(8, 2), networks.random_digraph(8, 0.2), rounds=200, x0=x0)
    >>> bool(abs(result.state.x - x0.mean(axis=0)).max() < 1e-4)
    True
    """

    requires: ClassVar[str] = "column stochastic"
    mixes: ClassVar[str] = "mass"

    def init(self, problem, x0, r):
        return State(x0, x0, jnp.ones_like(x0[:, 0])), Cost()

    def step(self, problem, s, r):
        u = r.W @ s.u
        y = r.W @ s.y
        return State(u / y[:, None], u, y), Cost(vectors=1, bits=32 * (problem.d + 1))


@module
class StochasticGradientPush:
    r"""Stochastic gradient push: push-sum, and a gradient step at the de-biased estimate.

    With G the stochastic gradients, from U = x0 and y = 1::

        V = W U
        y = W y
        X = V / y
        U = V - lr G(X)

    and with a floor U_i = V_i - lr min(1, y_i / floor) G_i(X_i), so that no X moves by more than lr / floor times G.

    Symbols: X is `x` (n, d), the estimates (z of the papers); U is `u` (n, d) (x of the papers) and y is `y` (n,);
    alpha is `lr`.
    Cost per round: one minibatch gradient per node, one d-vector and one number to each neighbour, 32 (d + 1) bits.
    W: column stochastic.
    Guarantee: Σ y_i = n, and Σ u_i moves by -lr Σ g_i in every round. If W is doubly stochastic and the rows of x0 are
    equal, X of round t + 1 is that of `DSGD` ("atc") of round t; with W = 11'/n it is minibatch SGD. With heterogeneous
    f_i and a constant lr it stalls at a distance O(lr) from the minimizer.
    Loss: y sinks while a node sends and hears nobody, and X moves by lr / y times G, which is unstable at curvature L
    where y is below some lr L / 2. On 15 nodes with L = 1, under `networks.lossy` with 30 % lost by the rule "sender",
    it explodes on a random digraph at bursts of 3 rounds or more (independent losses do not, at lr up to 0.03), on a
    ring at bursts of 5 (at lr = 0.1 of 3), however small lr: y has been 1e-7 at bursts of 3, 1e-26 at 10. With
    floor = lr L none does. A floor weighs f_i by the mean of min(1, y_i / floor), and so changes the fixed point where
    masses pass below it, and only there; floor = 0 is none. Without one there is a warning.
    Reference: Nedić, Olshevsky (2014), arXiv:1406.2075, with a constant step. Assran, Loizou, Ballas, Rabbat (2019),
    arXiv:1811.10792, Algorithm 1, steps before it mixes: the same sequence, shifted by half a round.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=0.0), networks.random_digraph(8, 0.2)
    >>> result = run(StochasticGradientPush(lr=0.1), problem, network, rounds=300, x0=[1.0, 1.0, 1.0])
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "column stochastic"
    mixes: ClassVar[str] = "mass"
    lr: StepSize = step_size()
    floor: ScalarLike = 0.0

    @property
    def wants(self) -> Mapping[str, str]:
        return sinking(self.floor)

    def check(self) -> None:
        checks.weight("StochasticGradientPush.floor", self.floor, "a mass")

    def init(self, problem, x0, r):
        return State(x0, x0, jnp.ones_like(x0[:, 0])), Cost()

    def step(self, problem, s, r):
        v = r.W @ s.u
        y = r.W @ s.y
        x = v / y[:, None]
        u = v - self.lr * floored(y, self.floor) * problem.grad(x, r.draw(problem))
        return State(x, u, y), Cost(grads=problem.batch_size, vectors=1, bits=32 * (problem.d + 1))
