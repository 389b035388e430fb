"""A2CiD2: asynchronous averaging in pairs, accelerated by a momentum that works between the meetings."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["A2CiD2", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    k: Int[Array, ""]  # how many events there were
    start: Iterates  # (n, d), the iterate at which each node's current gradient is taken
    began: Int[Array, " n"]  # its k
    y: Iterates  # (n, d), momenta, in the place of iterates
    last: Float[Array, " n"]  # when each node's x and y were brought up to date


@module
class A2CiD2:
    r"""A2CiD2: AD-PSGD whose nodes keep a second vector, that their iterate flows towards and away from all the time.

    Between events, in seconds::

        dx_i/dt = eta (y_i - x_i)          dy_i/dt = eta (x_i - y_i)

    so that after dt the difference of x_i and y_i is exp(-2 eta dt) of what it was, and their sum the same. In an event
    node i ends g, its stochastic gradient at the iterate that it had when it began, and meets a neighbour j, drawn
    uniformly. Both flow up to now, and then::

        y_i = y_i - alpha (x_i - x_j)      y_j = y_j - alpha (x_j - x_i)
        x_i = x_j = (x_i + x_j) / 2
        x_i = x_i - lr g                   y_i = y_i - lr g

    and i begins a gradient at x_i. All start from y = x.

    Symbols: X is `x` (n, d), its tilde is `y`; alpha with a tilde is `alpha`, and alpha is 1/2; gamma is `lr`.
    Cost per event: one minibatch gradient of one node, one d-vector each way between the two: y is not sent.
    W: doubly stochastic in every event.
    Network: an asynchronous graph, `networks.asynchronous(networks.ring(n), speed=...)`. `theory.momentum_between` has
    eta and alpha for it: eta = 1 / (2 sqrt(chi_1 chi_2)) and alpha = sqrt(chi_1 / chi_2) / 2.
    Guarantee: flowing and meeting keep the sum of x + y over all nodes, brought up to the same time, and without
    gradients all go to the mean of x0. Where nodes meet as Poisson processes, means over realizations fall as
    exp(-t / (2 sqrt(chi_1 chi_2))), those of averaging alone as exp(-t / (2 chi_1)): of n nodes on a ring the first is
    of the order of n times less, and the second of n². Of 32, squared distances then fall as exp(-0.19 t) and as
    exp(-0.040 t). With eta = 0 x is that of `ADPSGD`.
    Reference: Nabli, Belilovsky, Oyallon (2023), arXiv:2306.08289: the authors' code (github.com/AdelNabli/ACiD) was
    read for the flow, the order and the parameters of its Proposition 3.6; the paper itself could not be.
    Deviations: there gradients and meetings are processes of their own, and here a node that ends a gradient meets one
    neighbour, so that it meets others at 2 per gradient on average; the unit of time is the second, not a gradient;
    the gradient is taken at the iterate before its computation, there at whatever x is when it is read.

    >>> from jaxdec import networks, problems, run, theory
    >>> network = networks.asynchronous(networks.ring(8), speed=[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 0.1])
    >>> found = theory.momentum_between(network)
    >>> method = A2CiD2(lr=0.1, eta=found.eta, alpha=found.alpha)
    >>> result = run(method, problems.quadratic(8, 3, zeta=0.0), network, rounds=2000, x0=[1.0] * 3)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"asynchronous", "doubly stochastic"})
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    eta: ScalarLike
    alpha: ScalarLike

    def check(self) -> None:
        checks.weight("A2CiD2.eta", self.eta, "a rate per second")
        checks.weight("A2CiD2.alpha", self.alpha)

    def init(self, problem, x0, r):
        last = jnp.zeros(r.n, jnp.result_type(r.seconds))
        return State(x0, jnp.asarray(0), x0, jnp.zeros(r.n, int), x0, last), Cost()

    def step(self, problem, s, r):
        nodes = r.of(problem)
        g = nodes.grad(r.rows(s.start), r.draw(nodes))
        met = r.W @ jnp.zeros(r.n, r.dtype).at[r.clients].set(1)  # not zero at those who hear the node of this event
        i = r.clients[0]
        j = jnp.where(met[i] < 1, jnp.argmax(met.at[i].set(0)), i)
        both = jnp.stack([i, j])
        x, y = s.x[both], s.y[both]
        apart = jnp.exp(-2 * self.eta * (r.seconds - s.last[both]))[:, None] * (x - y) / 2
        x, y = (x + y) / 2 + apart, (x + y) / 2 - apart
        before = s.x.at[both].set(x)
        after, k = r.W @ before, s.k + 1
        y = s.y.at[both].set(y - 2 * self.alpha * (x - after[both]))  # x_i - x_j is twice the way to their mean
        x = r.kept(after, r.rows(after) - self.lr * g)
        y = r.kept(y, r.rows(y) - self.lr * g)
        cost = Cost(grads=r.per_node(nodes.batch_size), vectors=r.sent)
        last = s.last.at[both].set(r.seconds)
        return State(x, k, r.kept(s.start, r.rows(x)), r.kept(s.began, k), y, last), cost
