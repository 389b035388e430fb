"""D2, also called exact diffusion, and NIDS: exact methods that send one vector a round."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec._module import module, step_size
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["D2", "NIDS", "ExactDiffusion", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    c: Iterates  # (n, d), what is added to each gradient; sums to zero over the nodes


@module
class D2:
    r"""D2, also called exact diffusion: decentralized SGD whose bias the last two gradients correct.

    With G the stochastic gradients at X, and X-, G- those of the round before::

        X+ = W (2 X - X- - lr G + lr G-)        and  X+ = W (X - lr G)  in the first round

    held as the correction C = (X- - X) / lr - G-, which is zero at the start::

        P = X - lr (G + C)
        X+ = W P
        C+ = C + (P - X+) / lr

    For a constant lr the two are equal. The second form takes a schedule: C is in the gradient's units, and divided by
    the step that was taken. The first is wrong when lr changes.

    Symbols: X and C are `x` and `c`, (n, d) each; gamma is `lr`.
    Cost per round: one minibatch gradient per node, one d-vector to each neighbour.
    W: fixed, since on W that change it diverges where each of them alone would do, on random matchings for one.
    Symmetric with least eigenvalue λ > -1/3, which `run` does NOT check (it would cost an eigenvalue problem per run):
    look at `graphs.spectrum(W).lambda_min`. The ring with weights 1/3 and an even number of nodes has λ = -1/3,
    on the boundary; the hypercube and many a dense graph with uniform weights lie beyond it. There take (I + W)/2,
    that is `NIDS` or `networks.static(graphs.lazy(W))`.
    Guarantee: Σ c_i = 0 in every round. With exact gradients the fixed point is x_i = x*, c_i = -∇f_i(x*), however
    different the f_i. On quadratics of equal curvature a, z² - l (2 - lr a) z + l (1 - lr a) has its roots inside the
    unit circle for every eigenvalue l of W, but for l = 1 the root 1 of what is conserved, if and only if lr a < 2 and
    (3 |l| - 1) / (2 |l|) < lr a for every l < 0: where λ < -1/3, small steps diverge.
    Precision: in float32 C adds up by how much the rows of W miss 1, about 1e-7 ‖x‖ / lr a round, as it does in `NIDS`,
    `EXTRA` and `LED`; long runs to high accuracy need float64.
    Reference: Tang, Lian, Yan, Zhang, Liu (2018), arXiv:1803.07068. The form for a changing lr is that of the code of
    Lin, Karimireddy, Stich, Jaggi (2021), arXiv:2102.04761. Exact diffusion, Yuan, Ying, Zhao, Sayed (2017),
    arXiv:1702.05122, is the same recursion as adapt, correct, combine; where it combines with (I + W)/2 it is `NIDS`.

    >>> from jaxdec import networks, problems, run
    >>> result = run(D2(lr=0.1), problems.quadratic(7, 3, zeta=1.0), networks.ring(7), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"symmetric", "fixed"})
    lr: StepSize = step_size()

    def limit(self, eigenvalue: float) -> float:
        """The largest lr a that is stable; `eigenvalue` is λ.

        Raises:
            ValueError: if λ < -1/3, with the interval in which it converges.
        """
        if eigenvalue < -1 / 3 - 1e-9:
            raise ValueError(
                f"D2 has no limit below which it converges: the least eigenvalue of W is {eigenvalue:.4g}, below -1/3, "
                f"and lr a has to be between {(3 + 1 / eigenvalue) / 2:.4g} and 2. Take NIDS, or D2 on "
                "networks.static(graphs.lazy(W))"
            )
        return 2.0

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        g = problem.grad(s.x, r.draw(problem))
        p = s.x - self.lr * (g + s.c)
        x = r.W @ p
        c = s.c + (p - x) / self.lr
        return State(x, c), Cost(grads=problem.batch_size, vectors=1)


ExactDiffusion = D2  # the same recursion under its other name


@module
class NIDS:
    r"""NIDS for smooth objectives: D2 with (I + W)/2 in the place of W, for any symmetric W.

    With G the stochastic gradients at X, and X-, G- those of the round before::

        X+ = (I + W)/2 (2 X - X- - lr (G - G-))        and  X+ = (I + W)/2 (X - lr G)  in the first round

    held as in `D2`, by C = (X- - X) / lr - G-.

    Symbols: X and C are `x` and `c`, (n, d) each; alpha is `lr`.
    Cost per round: one minibatch gradient per node, one d-vector to each neighbour.
    W: symmetric. Where it changes, sums and fixed point stay, but convergence is not promised: on rings and paths whose
    links are down for long NIDS diverges, at small steps too.
    Guarantee: Σ c_i = 0 in every round. With exact gradients the fixed point is x_i = x*, c_i = -∇f_i(x*). On
    quadratics of equal curvature a it converges if and only if lr a < 2, the limit of gradient descent, on every
    connected network: the polynomial of D2 with (1 + l)/2 in the place of l.
    Reference: Li, Shi, Yan (2019), arXiv:1704.07808, with r = 0, one step size for all nodes, and (I + W)/2.
    Deviations: the authors' first round does not mix, X+ = X - lr G; here it does, so that NIDS is D2 on a lazy
    network, and exact diffusion as it is stated with (I + W)/2.

    >>> from jaxdec import networks, problems, run
    >>> result = run(NIDS(lr=0.5), problems.quadratic(8, 3, zeta=10.0), networks.hypercube(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-4)  # where D2 needs lr a > 1/2 for every curvature a
    True
    """

    requires: ClassVar[str] = "symmetric"
    wants: ClassVar[Mapping[str, str]] = {
        "fixed": "convergence is not promised: where links are down for long it may diverge, at small steps too"
    }
    lr: StepSize = step_size()

    def limit(self, eigenvalue: float) -> float:
        """The largest lr a that is stable; `eigenvalue` is λ."""
        return 2.0

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        g = problem.grad(s.x, r.draw(problem))
        p = s.x - self.lr * (g + s.c)
        x = (p + r.W @ p) / 2
        c = s.c + (p - x) / self.lr
        return State(x, c), Cost(grads=problem.batch_size, vectors=1)
