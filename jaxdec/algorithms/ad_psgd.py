"""AD-PSGD: asynchronous decentralized parallel SGD, in which nodes average in pairs."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxdec._module import module, step_size
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["ADPSGD", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    k: Int[Array, ""]  # how many events there were
    start: Iterates  # (n, d), the iterate at which each node's current gradient is taken
    began: Int[Array, " n"]  # its k


@module
class ADPSGD:
    r"""AD-PSGD, asynchronous decentralized parallel SGD: who has a gradient averages with one neighbour, and steps.

    In an event node i ends g, its stochastic gradient at the iterate that it had when it began, and meets a neighbour
    j, drawn uniformly; with W the averaging of the two::

        X = W X
        x_i = x_i - lr g

    and i begins a gradient at x_i. In the meantime others may average with it.

    Symbols: X is `x` (n, d), the iterates that gradients are taken at are the rows of `start`; gamma is `lr`.
    Cost per event: one minibatch gradient of one node, one d-vector each way between the two.
    W: doubly stochastic in every event.
    Network: an asynchronous graph, `networks.asynchronous(networks.ring(n), speed=...)`.
    Guarantee: averaging keeps the mean, which moves by -lr g / n in an event. With one node it is SGD. With a constant
    lr the nodes stay a distance of the order of lr apart, and where the f_i differ fast nodes weigh more.
    Reference: Lian, Zhang, Zhang, Liu (2017), arXiv:1710.06952, Algorithm 1, as it is recalled: the page could not be
    read. Its order is kept: average, then step with the gradient at the iterate before.
    Deviations: averaging takes no time of its own besides the network's latency; the paper's bipartite graphs, which
    keep real implementations from deadlocks, are not needed.

    >>> from jaxdec import networks, problems, run
    >>> network = networks.asynchronous(networks.ring(8), speed=[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 0.1])
    >>> result = run(ADPSGD(lr=0.1), problems.quadratic(8, 3, zeta=0.0), network, rounds=2000, x0=[1.0] * 3)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"asynchronous", "doubly stochastic"})
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()

    def init(self, problem, x0, r):
        return State(x0, jnp.asarray(0), x0, jnp.zeros(r.n, int)), Cost()

    def step(self, problem, s, r):
        nodes = r.of(problem)
        g = nodes.grad(r.rows(s.start), r.draw(nodes))
        x, k = r.W @ s.x, s.k + 1
        x = r.kept(x, r.rows(x) - self.lr * g)
        cost = Cost(grads=r.per_node(nodes.batch_size), vectors=r.sent)
        return State(x, k, r.kept(s.start, r.rows(x)), r.kept(s.began, k)), cost
