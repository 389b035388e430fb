"""SWIFT: wait-free decentralized SGD, in which a node averages with the last models that it has of its neighbours."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["SWIFT", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    count: Int[Array, " n"]  # how many computations each node has ended


@module
class SWIFT:
    r"""SWIFT, shared wait-free transmission: a node averages with its neighbours' last models, and steps.

    In an event node i ends g, its stochastic gradient at x_i, which nobody else changes; with w_ij the weights of row i
    of W::

        x_i = Σ_j w_ij x_j - lr g           in every `period`-th of its events
        x_i = x_i - lr g                    in the others

    and sends x_i to its neighbours where it averages.

    Symbols: X is `x` (n, d); gamma is `lr`; the communication set C_s is period = s + 1.
    Cost per event: one minibatch gradient of one node; one d-vector to each of its neighbours where it averages.
    W: row stochastic in every event: one row averages, the others stay.
    Network: an asynchronous graph on which a node hears all, `networks.asynchronous(networks.ring(n), hears="all",
    speed=...)`.
    Guarantee: with one node it is SGD. No gradient is late; the mean is kept on average over events where speeds are
    equal and W is symmetric, and not in a single event. With a constant lr the nodes stay a distance of the order of lr
    apart, and where the f_i differ fast nodes weigh more.
    Reference: Bornstein, Rabbani, Wang, Bedi, Huang (2022), arXiv:2210.14026, Algorithm 1, as it is recalled: the page
    could not be read.
    Deviations: the weights are those of the network, Metropolis-Hastings by default, and not those that the paper
    chooses for nodes of unequal influence; a message arrives at once, so that the last model of a neighbour is the one
    it has: that of its last event.

    >>> from jaxdec import networks, problems, run
    >>> network = networks.asynchronous(networks.ring(8), speed=[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 0.5], hears="all")
    >>> result = run(SWIFT(lr=0.1), problems.quadratic(8, 3, zeta=0.0), network, rounds=2000, x0=[1.0] * 3)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"asynchronous", "hears all", "row stochastic"})
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    period: ScalarLike = 1

    def check(self) -> None:
        checks.count("SWIFT.period", self.period)

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros(r.n, int)), Cost()

    def step(self, problem, s, r):
        nodes, own, count = r.of(problem), r.rows(s.x), r.rows(s.count) + 1
        g = nodes.grad(own, r.draw(nodes))
        averages = count[0] % self.period == 0
        x = jnp.where(averages, r.rows(r.W @ s.x), own) - self.lr * g
        cost = Cost(grads=r.per_node(nodes.batch_size), vectors=jnp.where(averages, r.sent, 0))
        return State(r.kept(s.x, x), r.kept(s.count, count)), cost
