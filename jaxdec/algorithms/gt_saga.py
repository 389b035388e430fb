"""GT-SAGA and GT-SVRG: gradient tracking of minibatch gradients whose variance vanishes."""

from typing import ClassVar, Literal, NamedTuple

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.algorithms import _variance
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["GTSAGA", "GTSVRG", "SAGAState", "SVRGState"]

Form = Literal["cta", "atc"]


class SAGAState(NamedTuple):
    x: Iterates  # (n, d), iterates
    y: Iterates  # (n, d), trackers: their mean is the mean of v
    v: Iterates  # (n, d), the estimates of the gradients at x
    table: _variance.Table  # the gradients of the nodes' samples, where they were last taken


@module
class GTSAGA:
    r"""GT-SAGA: gradient tracking of SAGA's estimates, which a table of the gradients of all samples corrects.

    With G the gradients of a minibatch, T those that the table has of the same samples, M the mean of a node's table,
    filled at the start, and Y = V = ∇f(X) there::

        form = "cta":   X+ = W X - lr Y              Y+ = W Y + V+ - V
        form = "atc":   Y' = W Y;  X+ = W (X - lr Y')       Y+ = Y' + V+ - V
        V+ = G(X+) - T + M;   the table has G(X+) of these samples

    Symbols: X, Y, V are `x`, `y`, `v`, (n, d) each; `table` has the gradients, (n, m, d) for m samples a node at most,
    and their means, (n, d); alpha is `lr`.
    Cost per round: one minibatch gradient per node, two d-vectors to each neighbour, with "atc" the second once the
    first has come; init takes a pass over all of a node's samples.
    W: doubly stochastic.
    Guarantee: mean(Y) = mean(V) in every round. The estimates are unbiased, and their noise vanishes as the table
    settles: with minibatches it converges to the minimizer, however different the f_i, linearly where they are strongly
    convex and lr is small enough, where `GradientTracking` stalls. With exact gradients "cta" is that of
    `GradientTracking`.
    Memory: n m d numbers for each seed and cell of a sweep.
    Reference: Xin, Khan, Kar (2020), arXiv:1912.04230, GT-SAGA, is "cta"; their (2022), arXiv:2011.03853, as
    implemented in github.com/team-decent/decent-bench, is "atc", for minibatches of one sample.
    Ambiguities: the listings are recalled. In "atc" the tracker is held before it is mixed.
    Deviations: of a problem whose samples are not known, a `Quadratic`, f_i is the only part, and its gradient exact.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(7, 3, zeta=10.0), networks.ring(7)
    >>> result = run(GTSAGA(lr=0.1), problem, network, rounds=600, every=600)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size()
    form: Form = static(default="cta")

    def check(self) -> None:
        checks.choice("GTSAGA.form", self.form, ("cta", "atc"))

    def advise(self, problem) -> None:
        _variance.fits("GTSAGA", problem)

    def init(self, problem, x0, r):
        table = _variance.table(problem, x0)
        return SAGAState(x0, table.mean, table.mean, table), Cost(grads=problem.data_size)

    def step(self, problem, s, r):
        x, y = _moved(self, s, r)
        v, table, grads = _variance.tabled(problem, s.table, x, r.draw(problem))
        return SAGAState(x, y + v - s.v, v, table), _cost(self, grads)


class SVRGState(NamedTuple):
    x: Iterates  # (n, d), iterates
    y: Iterates  # (n, d), trackers: their mean is the mean of v
    v: Iterates  # (n, d), the estimates of the gradients at x
    at: _variance.Point  # points of reference, and the exact gradients there


@module
class GTSVRG:
    r"""GT-SVRG: gradient tracking of SVRG's estimates, which the exact gradient at a point of reference corrects.

    With G the gradients of a minibatch, on the same minibatch at both points, R = X, and Y = V = ∇f(X) at the start::

        form = "cta":   X+ = W X - lr Y              Y+ = W Y + V+ - V
        form = "atc":   Y' = W Y;  X+ = W (X - lr Y')       Y+ = Y' + V+ - V
        in every `period`-th round:  R = X+,  V+ = ∇f(X+)
        else:                        V+ = G(X+) - G(R) + ∇f(R)

    Symbols: X, Y, V are `x`, `y`, `v`, (n, d) each; R and ∇f(R), the paper's tau, are in `at`; alpha is `lr`, T is
    `period`.
    Cost per round: two minibatch gradients per node, or in every `period`-th round a pass over all of a node's samples;
    two d-vectors to each neighbour, with "atc" the second once the first has come. init takes a pass. The pass is a
    branch: other rounds do not compute it.
    W: doubly stochastic.
    Guarantee: mean(Y) = mean(V) in every round. The noise of the estimates goes with the distance from R, and vanishes
    as the model settles: with minibatches it converges to the minimizer, however different the f_i, linearly where they
    are strongly convex and lr is small enough. With period = 1, and with exact gradients, "cta" is that of
    `GradientTracking`.
    Reference: Xin, Khan, Kar (2020), arXiv:1912.04230, GT-SVRG, is "cta"; "atc" mixes as their (2022),
    arXiv:2011.03853.
    Ambiguities: the listings are recalled. In "atc" the tracker is held before it is mixed.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(7, 3, zeta=10.0, noise=1.0), networks.ring(7)
    >>> result = run(GTSVRG(lr=0.1, period=15), problem, network, rounds=600, every=600)
    >>> bool(result.metrics["distance"][-1] < 1e-4)  # whatever the noise
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size()
    period: int
    form: Form = static(default="cta")

    def check(self) -> None:
        checks.choice("GTSVRG.form", self.form, ("cta", "atc"))
        _variance.periodic("GTSVRG.period", self.period)

    def init(self, problem, x0, r):
        g = problem.grad(x0)
        return SVRGState(x0, g, g, _variance.Point(x0, g)), Cost(grads=problem.data_size)

    def step(self, problem, s, r):
        x, y = _moved(self, s, r)
        v, at, grads = _variance.referred(problem, _variance.due(r, self.period), s.at, x, r.draw(problem))
        return SVRGState(x, y + v - s.v, v, at), _cost(self, grads)


def _moved(method, s, r) -> tuple[Iterates, Iterates]:
    """The new iterates, and the mixed trackers."""
    y = r.W @ s.y
    return (r.W @ s.x - method.lr * s.y if method.form == "cta" else r.W @ (s.x - method.lr * y)), y


def _cost(method, grads) -> Cost:
    return Cost(grads=grads, vectors=2, messages=2 if method.form == "atc" else 1)
