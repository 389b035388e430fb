"""D-SPIDER-SFO: D2 along recursive estimates of the gradients."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec._module import module, step_size
from jaxdec.algorithms import _variance
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["DSPIDERSFO", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    c: Iterates  # (n, d), what is added to each estimate; sums to zero over the nodes
    v: Iterates  # (n, d), the estimates of the gradients at x


@module
class DSPIDERSFO:
    r"""D-SPIDER-SFO: `D2` along SPIDER's estimates, which add up changes of minibatch gradients.

    With G the gradients of a minibatch, on the same minibatch at both points, and V = ∇f(X) at the start::

        X+ = W (2 X - X- - lr (V - V-))        and  X+ = W (X - lr V)  in the first round
        in every `period`-th round:  V+ = ∇f(X+)
        else:                        V+ = V + G(X+) - G(X)

    held as in `D2`, by C = (X- - X) / lr - V-.

    Symbols: X, C and V are `x`, `c`, `v`, (n, d) each; eta is `lr`, q is `period`.
    Cost per round: two minibatch gradients per node, or in every `period`-th round a pass over all of a node's samples;
    one d-vector to each neighbour. init takes the first pass. The pass is a branch: other rounds do not compute it.
    W: as for `D2`: fixed, and symmetric with least eigenvalue above -1/3, which `run` does NOT check.
    Guarantee: Σ c_i = 0 in every round. The fixed point is x_i = x*, c_i = -∇f_i(x*), with minibatches too: for a small
    enough lr it converges to it, linearly where the f_i are strongly convex. With period = 1, and with exact gradients,
    it is `D2`.
    Precision: in float32 C adds up by how much the rows of W miss 1, as in `D2`.
    Reference: Pan, Liu, Wang (2020), arXiv:1911.12665. The update follows a public implementation that compares it with
    D-GET and GT-HSGD, with the weight of the correction that it says is the paper's, 1.
    Ambiguities: the paper's listing was not read.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(7, 3, zeta=1.0, noise=1.0), networks.ring(7)
    >>> result = run(DSPIDERSFO(lr=0.1, period=15), problem, network, rounds=400, every=400)
    >>> bool(result.metrics["distance"][-1] < 1e-4)  # whatever the noise
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"symmetric", "fixed"})
    lr: StepSize = step_size()
    period: int

    def check(self) -> None:
        _variance.periodic("DSPIDERSFO.period", self.period)

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0), problem.grad(x0)), Cost(grads=problem.data_size)

    def step(self, problem, s, r):
        p = s.x - self.lr * (s.v + s.c)
        x = r.W @ p
        c = s.c + (p - x) / self.lr
        v, grads = _variance.recursive(problem, _variance.due(r, self.period), s.v, s.x, x, r.draw(problem))
        return State(x, c, v), Cost(grads=grads, vectors=1)
