"""GT-SARAH and D-GET: gradient tracking of recursive estimates that a full gradient starts anew."""

from typing import ClassVar, NamedTuple

from jaxdec._module import module, step_size
from jaxdec.algorithms import _variance
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["DGET", "GTSARAH", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    y: Iterates  # (n, d), trackers: their mean is the mean of v
    v: Iterates  # (n, d), the estimates of the gradients at x


@module
class GTSARAH:
    r"""GT-SARAH: gradient tracking of SARAH's estimates, which add up changes of minibatch gradients.

    With G the gradients of a minibatch, on the same minibatch at both points, and Y = V = ∇f(X) at the start::

        X+ = W X - lr Y
        after each `inner_steps` rounds in every next one:  V+ = ∇f(X+)
        else:                                               V+ = V + G(X+) - G(X)
        Y+ = W Y + V+ - V

    Symbols: X, Y, V are `x`, `y`, `v`, (n, d) each; alpha is `lr`, q is `inner_steps`: of q + 1 rounds one has the
    exact gradient.
    Cost per round: two minibatch gradients per node, or in one of q + 1 rounds a pass over all of a node's samples; two
    d-vectors to each neighbour. init takes the first pass. The pass is a branch: other rounds do not compute it.
    W: doubly stochastic.
    Guarantee: mean(Y) = mean(V) in every round. The noise of the estimates goes with the steps, and vanishes as the
    model settles: with minibatches it converges to the minimizer, however different the f_i, linearly where they are
    strongly convex and lr is small enough. With inner_steps = 0, and with exact gradients, it is `GradientTracking`
    with form = "cta". That on smooth nonconvex finite sums its gradients are of the least order in number is the
    paper's claim.
    Reference: Xin, Khan, Kar (2020), arXiv:2008.07428, its Algorithm 2.1 as implemented in
    github.com/team-decent/decent-bench, and in github.com/liboyue/Network-Distributed-Algorithm.
    Deviations: a round ends with the gradients that a round of these begins with, which gives the same models.
    Ambiguities: the paper's listing was not read. The second code takes both of an inner step's gradients at one point,
    so that they cancel; here, as in the first, they are taken at two.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(7, 3, zeta=10.0, noise=1.0), networks.ring(7)
    >>> result = run(GTSARAH(lr=0.1, inner_steps=14), problem, network, rounds=600, every=600)
    >>> bool(result.metrics["distance"][-1] < 1e-4)  # whatever the noise
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size()
    inner_steps: int

    def check(self) -> None:
        _variance.periodic("GTSARAH.inner_steps", self.inner_steps, least=0)

    def init(self, problem, x0, r):
        return _start(problem, x0)

    def step(self, problem, s, r):
        return _tracked(self, problem, s, r, self.inner_steps + 1)


@module
class DGET:
    r"""D-GET: joint gradient estimation and tracking, with an exact gradient in every `period`-th round.

    With G the gradients of a minibatch, on the same minibatch at both points, and Y = V = ∇f(X) at the start::

        X+ = W X - lr Y
        in every `period`-th round:  V+ = ∇f(X+)
        else:                        V+ = V + G(X+) - G(X)
        Y+ = W Y + V+ - V

    Symbols: X, Y, V are `x`, `y`, `v`, (n, d) each; alpha is `lr`, q is `period`. It is `GTSARAH` with
    inner_steps = period - 1: what differs are the papers' analyses and their choices of q and of the minibatch.
    Cost per round: two minibatch gradients per node, or in every `period`-th round a pass over all of a node's samples;
    two d-vectors to each neighbour. init takes the first pass. The pass is a branch, as for `GTSARAH`.
    W: doubly stochastic.
    Guarantee: as `GTSARAH`.
    Reference: Sun, Lu, Hong (2020), arXiv:1910.05857, for finite sums.
    Ambiguities: the listing is recalled.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(7, 3, zeta=10.0, noise=1.0), networks.ring(7)
    >>> result = run(DGET(lr=0.1, period=15), problem, network, rounds=600, every=600)
    >>> bool(result.metrics["distance"][-1] < 1e-4)  # whatever the noise
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size()
    period: int

    def check(self) -> None:
        _variance.periodic("DGET.period", self.period)

    def init(self, problem, x0, r):
        return _start(problem, x0)

    def step(self, problem, s, r):
        return _tracked(self, problem, s, r, self.period)


def _start(problem, x0) -> tuple[State, Cost]:
    g = problem.grad(x0)
    return State(x0, g, g), Cost(grads=problem.data_size)


def _tracked(method, problem, s, r, period) -> tuple[State, Cost]:
    x = r.W @ s.x - method.lr * s.y
    v, grads = _variance.recursive(problem, _variance.due(r, period), s.v, s.x, x, r.draw(problem))
    return State(x, r.W @ s.y + v - s.v, v), Cost(grads=grads, vectors=2)
