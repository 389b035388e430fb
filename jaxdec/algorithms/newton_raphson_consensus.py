"""Newton-Raphson consensus: Newton's method by averages of Hessians that are tracked over a network."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.algorithms import _newton
from jaxdec.compressors.symmetric import packed, unpacked
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["NewtonRaphsonConsensus", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    y: Iterates  # (n, d), trackers of g: their sum is that of g
    z: Float[Array, "n k"]  # trackers of h: their sum is that of h
    g: Iterates  # (n, d), Hessians times iterates, less gradients, at the iterates of the round before
    h: Float[Array, "n k"]  # the Hessians there, as vectors of d (d + 1) / 2 entries


@module
class NewtonRaphsonConsensus:
    r"""Newton-Raphson consensus: steps towards where Newton's method would go, by averages that gossip tracks.

    With H_i = ∇²f_i(x_i), g_i = H_i x_i - ∇f_i(x_i), and Y = Z = 0 and H- = G- = 0 before the first round::

        Y+ = W (Y + G - G-)
        Z+ = W (Z + H - H-)
        x_i+ = (1 - lr) x_i + lr [z_i+]_c^-1 y_i+

    In [z]_c the eigenvalues below c are raised to it.

    Symbols: X, Y, G- are `x`, `y`, `g`, (n, d) each; Z and H- are `z` and `h`, whose matrices are vectors of their
    lower triangles, (n, d (d + 1) / 2); epsilon is `lr`, c is `curvature`. Gradients and Hessians are exact, those of
    all of a node's samples, whatever the problem's minibatches are.
    Cost per round: a pass over all of a node's samples for an exact gradient, and one for a Hessian, which counts as d
    gradients; (d + 3)/2 d-vectors to each neighbour, one of them Y and the others half a matrix of Z.
    W: doubly stochastic.
    Guarantee: Y and Z sum to what the nodes had of G and H in the round. The minimizer is the fixed point, however
    different the f_i, where c is at most the mean's curvature there; it converges to it if lr is small enough. On
    quadratics G and H do not change: with lr = 1 it goes there as fast as W averages. Where everybody hears everybody,
    from one point for all, it is Newton's method with steps of lr.
    Reference: Varagnolo, Zanella, Cenedese, Pillonetto, Schenato (2016), arXiv:1511.01509, Algorithm 1; recalled, the
    page could not be read.
    Deviations: the paper starts at zero, and takes c I in the place of a z that is not at least that, as recalled.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=1.0), networks.ring(8)
    >>> result = run(NewtonRaphsonConsensus(lr=0.5, curvature=0.1), problem, network, rounds=100)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size()
    curvature: ScalarLike

    def check(self) -> None:
        checks.positive("NewtonRaphsonConsensus.curvature", self.curvature)

    def advise(self, problem) -> None:
        _newton.fits("NewtonRaphsonConsensus", problem)

    def init(self, problem, x0, r):
        y, z = jnp.zeros_like(x0), jnp.zeros((problem.n, problem.d * (problem.d + 1) // 2), x0.dtype)
        return State(x0, y, z, y, z), Cost()

    def step(self, problem, s, r):
        H = problem.hessian(s.x)
        g = jnp.einsum("nij,nj->ni", H, s.x, precision=jax.lax.Precision.HIGHEST) - problem.grad(s.x)
        h = packed(H)
        y = r.W @ (s.y + g - s.g)
        z = r.W @ (s.z + h - s.h)
        x = (1 - self.lr) * s.x + self.lr * _newton.above(unpacked(z), self.curvature, y)
        cost = Cost(grads=(1 + problem.d) * problem.data_size, vectors=(problem.d + 3) / 2)
        return State(x, y, z, g, h), cost
