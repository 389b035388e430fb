"""Gradient tracking, in the three forms that the literature calls by this name."""

from typing import ClassVar, Literal, NamedTuple

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["GradientTracking", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    y: Iterates  # (n, d), trackers: their mean is the mean of g
    g: Iterates  # (n, d), the stochastic gradients at x


@module
class GradientTracking:
    r"""Gradient tracking: every node follows an estimate y of the network's mean gradient.

    With G the stochastic gradients at X, and Y = G at the start::

        form = "cta":        X+ = W X - lr Y       Y+ = W Y + G(X+) - G
        form = "semi-atc":   X+ = W (X - lr Y)     Y+ = W Y + G(X+) - G
        form = "atc":        X+ = W (X - lr Y)     Y+ = W (Y + G(X+) - G)

    Symbols: X, Y, G are `x`, `y`, `g`, (n, d) each; gamma or eta is `lr`.
    Cost per round: one minibatch gradient per node, two d-vectors to each neighbour, with "atc" the second once the
    first has come; init takes the first gradient.
    W: doubly stochastic.
    Guarantee: mean(Y) = mean(G) in every round. With exact gradients the only fixed point is the minimizer, however
    different the f_i. On quadratics of equal curvature a and with symmetric W the polynomials below have their roots
    inside the unit circle for every eigenvalue l of W, but for l = 1 the root 1 of what is conserved, if and only if
    lr a is below the limit, with λ the least eigenvalue::

        "cta":        (z - l)² + lr a (z - 1)       (1 + λ)² / 2
        "semi-atc":   (z - l)² + lr a l (z - 1)     min(2, (1 - λ²) / |λ|) if λ < 0, else 2
        "atc":        (z - l)² + lr a l² (z - 1)    min(2, (1 + λ)² / (2 λ²)) if λ < 0, else 2

    With noise sigma, "semi-atc" reaches a stationary point as O(sqrt(L F0 sigma²/(n T))) for T large, whatever the
    heterogeneity (Theorem 1 of the reference).
    Reference: "semi-atc" is Koloskova, Lin, Stich (2021), arXiv:2202.03836, Algorithm 1; "cta" is DIGing, Nedić,
    Olshevsky, Shi (2017), arXiv:1607.03218; "atc" is Aug-DGM, Xu, Zhu, Soh, Xie (2015).
    Ambiguities: Koloskova et al. print Y = ∇f at the start; with noise only the same sample as the first G keeps the
    invariant, so Y = G.

    >>> from jaxdec import networks, problems, run
    >>> result = run(GradientTracking(lr=0.1), problems.quadratic(8, 3, zeta=10.0), networks.ring(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size()
    form: Literal["cta", "semi-atc", "atc"] = static(default="semi-atc")

    def check(self) -> None:
        checks.choice("GradientTracking.form", self.form, ("cta", "semi-atc", "atc"))

    def limit(self, eigenvalue: float) -> float:
        """The largest lr a that is stable; `eigenvalue` is λ."""
        l = eigenvalue
        if self.form == "cta":
            return (1 + l) ** 2 / 2
        if l >= 0:
            return 2.0
        return min(2.0, (1 - l**2) / -l if self.form == "semi-atc" else (1 + l) ** 2 / (2 * l**2))

    def init(self, problem, x0, r):
        g = problem.grad(x0, r.draw(problem))
        return State(x0, g, g), Cost(grads=problem.batch_size)

    def step(self, problem, s, r):
        x = r.W @ s.x - self.lr * s.y if self.form == "cta" else r.W @ (s.x - self.lr * s.y)
        g = problem.grad(x, r.draw(problem, 1))
        y = r.W @ (s.y + g - s.g) if self.form == "atc" else r.W @ s.y + g - s.g
        return State(x, y, g), Cost(grads=problem.batch_size, vectors=2, messages=2 if self.form == "atc" else 1)
