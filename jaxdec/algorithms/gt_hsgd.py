"""GT-HSGD: gradient tracking of hybrid estimates, with one minibatch a round and never a full gradient."""

from typing import ClassVar, NamedTuple

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["GTHSGD", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    y: Iterates  # (n, d), trackers before they are mixed: their mean is the mean of v
    v: Iterates  # (n, d), the estimates of the gradients at x


@module
class GTHSGD:
    r"""GT-HSGD: gradient tracking of estimates that are in part recursive and in part fresh.

    With G the gradients of a minibatch, on the same minibatch at both points, and Y = V = G(X) at the start::

        Y' = W Y;   X+ = W (X - lr Y')
        V+ = G(X+) + (1 - beta) (V - G(X))
        Y+ = Y' + V+ - V

    Symbols: X, Y, V are `x`, `y`, `v`, (n, d) each; alpha is `lr`, beta is `beta`.
    Cost per round: two minibatch gradients per node, two d-vectors to each neighbour, the second once the first has
    come; init takes the first gradient.
    W: doubly stochastic.
    Guarantee: mean(Y) = mean(V) in every round. With exact gradients V = ∇f(X) whatever beta is, and it converges to
    the minimizer, however different the f_i. With minibatches the noise of V is averaged over about 1/beta rounds and
    does not vanish: `GTSARAH` and `GTSAGA` go on, with passes over all samples. With beta = 1 V is the minibatch
    gradient, with beta = 0 it is that of SARAH without a restart.
    Reference: Xin, Khan, Kar (2021), arXiv:2102.06752, after its implementation among the baselines of DoCoM, Yau, Wai
    (2022), arXiv:2202.00255.
    Deviations: there the first gradients are of a larger batch, here of one minibatch. The tracker is held before it
    is mixed.

    >>> from jaxdec import networks, problems, run
    >>> method = GTHSGD(lr=0.2, beta=0.1)
    >>> result = run(method, problems.quadratic(8, 3, zeta=10.0), networks.ring(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size()
    beta: ScalarLike

    def check(self) -> None:
        if not checks.bounded(self.beta, lambda b: (b >= 0) & (b <= 1)):
            raise ValueError(f"GTHSGD.beta, the weight of a new minibatch, lies in [0, 1]; got {self.beta}")

    def init(self, problem, x0, r):
        g = problem.grad(x0, r.draw(problem))
        return State(x0, g, g), Cost(grads=problem.batch_size)

    def step(self, problem, s, r):
        y, batch = r.W @ s.y, r.draw(problem, 1)
        x = r.W @ (s.x - self.lr * y)
        v = problem.grad(x, batch) + (1 - self.beta) * (s.v - problem.grad(s.x, batch))
        return State(x, y + v - s.v, v), Cost(grads=2 * problem.batch_size, vectors=2, messages=2)
