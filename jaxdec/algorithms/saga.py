"""SAGA at a server."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec._module import module, step_size
from jaxdec.algorithms import _variance
from jaxdec.types import Cost, StepSize

__all__ = ["SAGA", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    table: _variance.Table  # the gradients of the clients' samples, where they were last taken


@module
class SAGA:
    r"""SAGA at a server: minibatch gradients that each client corrects by a table of the gradients of its samples.

    With b_i a minibatch of client i, T_i what its table has of these samples, and M_i the table's mean, filled at the
    start::

        x+ = x - lr mean_i (g_i(x; b_i) - T_i + M_i);   the tables have the gradients at x of these samples

    Symbols: x is `x` (1, d); `table` has the gradients, (n, m, d) for m samples a client at most, and their means,
    (n, d); gamma is `lr`.
    Cost per round: one minibatch gradient and one d-vector up per client; the model down. init takes a pass over all of
    a client's samples.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: the estimates are unbiased, and their noise vanishes as the table settles: with minibatches it converges
    to the minimizer, linearly where f is strongly convex and lr is small enough, where `SGD` stalls. With exact
    gradients it is gradient descent.
    Memory: n m d numbers for each seed and cell of a sweep.
    Reference: Defazio, Bach, Lacoste-Julien (2014), arXiv:1407.0202, without the proximal step, at every client.
    Ambiguities: the listing is recalled.
    Deviations: of a problem whose samples are not known, a `Quadratic`, f_i is the only part, and its gradient exact.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(7, 3, zeta=10.0), networks.server(7)
    >>> result = run(SAGA(lr=0.1), problem, network, rounds=600, every=600)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()

    def advise(self, problem) -> None:
        _variance.fits("SAGA", problem)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        return State(x, _variance.table(problem, r.spread(x))), Cost(grads=problem.data_size)

    def step(self, problem, s, r):
        v, table, grads = _variance.tabled(problem, s.table, r.spread(s.x), r.draw(problem))
        return State(s.x - self.lr * (r.W @ v), table), r.cost(grads, 1, bits_down=32 * problem.d)
