"""AB, or Push-Pull: gradient tracking on directed graphs with two matrices."""

from typing import ClassVar, Literal, NamedTuple

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["AB", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    y: Iterates  # (n, d), trackers: their mean is the mean of g
    g: Iterates  # (n, d), the stochastic gradients at x


@module
class AB:
    r"""AB (Push-Pull): iterates are pulled with a row-stochastic R, trackers pushed with a column-stochastic C.

    With G the stochastic gradients at X, and Y = G at the start::

        form = "atc":    X+ = R (X - lr Y)     Y = C Y + G(X+) - G
        form = "cta":    X+ = R X - lr Y       Y = C Y + G(X+) - G

    Symbols: X, Y, G are `x`, `y`, `g`, (n, d) each; R (A of AB) and C (B of AB) are the pair `r.W`; alpha is `lr`.
    Cost per round: one minibatch gradient per node, one d-vector along each arc of R and one along each arc of C; init
    takes the first gradient.
    W: the pair (R, C) that `networks.push_pull` makes. No mass is divided by, unlike in push-sum.
    Guarantee: Σ y_i = Σ g_i in every round. With exact gradients the only fixed point is the minimizer, however
    different the f_i, and for strongly convex smooth f_i and lr small enough convergence is linear. If R = C is doubly
    stochastic it is `GradientTracking`, "semi-atc" or "cta".
    Reference: "atc" is Push-Pull, Pu, Shi, Xu, Nedić (2018), arXiv:1810.06653, with one step size for all nodes; "cta"
    is AB, Xin, Khan (2018), arXiv:1803.02503.

    >>> from jaxdec import graphs, networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=10.0), networks.push_pull(graphs.random_digraph(8, 0.2))
    >>> result = run(AB(lr=0.1), problem, network, rounds=600)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "push-pull"
    lr: StepSize = step_size()
    form: Literal["atc", "cta"] = static(default="atc")

    def check(self) -> None:
        checks.choice("AB.form", self.form, ("atc", "cta"))

    def init(self, problem, x0, r):
        g = problem.grad(x0, r.draw(problem))
        return State(x0, g, g), Cost(grads=problem.batch_size)

    def step(self, problem, s, r):
        R, C = r.W
        x = R @ (s.x - self.lr * s.y) if self.form == "atc" else R @ s.x - self.lr * s.y
        g = problem.grad(x, r.draw(problem, 1))
        y = C @ s.y + g - s.g
        return State(x, y, g), Cost(grads=problem.batch_size, vectors=2)
