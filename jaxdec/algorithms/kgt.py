"""K-GT: gradient tracking with local steps, and its periodical variant."""

from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["KGT", "PeriodicalGT", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    c: Iterates  # (n, d), what is added to each local gradient; sums to zero over the nodes


@module
class KGT:
    r"""K-GT, "gradient sum tracking": local steps along a corrected gradient, then one exchange.

    With K = local_steps and G the stochastic gradients, fresh in every local step::

        X' = X;  repeat K times:  X' = X' - lr (G(X') + C)
        Z = (X - X') / (K lr)
        C = C - Z + W Z
        X = W (X - K outer_lr lr Z)

    Symbols: X and C are `x` and `c`, (n, d) each; K is `local_steps`, eta_c is `lr`, eta_s is `outer_lr`.
    Cost per round: K minibatch gradients per node, two d-vectors to each neighbour.
    W: doubly stochastic.
    Guarantee: Σ c_i = 0 in every round, and xbar moves by -outer_lr lr Σ_k mean_i g_i. With exact gradients the fixed
    point is x_i = x*, c_i = -∇f_i(x*) for every K, however different the f_i. With K = 1 and c = 0 it is gradient
    tracking ("semi-atc") of step outer_lr lr; with W = 11'/n it is SCAFFOLD (option II).
    Reference: Liu, Lin, Koloskova, Stich (2023), arXiv:2301.01313, Algorithm 1.
    Deviations: the algorithm's own start is c_i = -g_i + mean_j g_j at x0, which costs one global average; that is
    start="paper". The default c = 0 is the start of plain gradient tracking, and of the implementations in use.
    Ambiguities: under start="paper" the gradient is that of the first local step, and is counted there.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=1.0), networks.ring(8)
    >>> result = run(KGT(lr=0.05, local_steps=5), problem, network, rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-4)  # where LocalDSGD stalls
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size()
    local_steps: int = static()
    outer_lr: StepSize = step_size(default=1.0)
    start: Literal["zero", "paper"] = static(default="zero")

    def check(self) -> None:
        checks.integer("KGT.local_steps", self.local_steps)
        checks.choice("KGT.start", self.start, ("zero", "paper"))

    def init(self, problem, x0, r):
        if self.start == "zero":
            return State(x0, jnp.zeros_like(x0)), Cost()
        g = problem.grad(x0, r.draw(problem))
        return State(x0, jnp.mean(g, axis=0, keepdims=True) - g), Cost(vectors=1)

    def step(self, problem, s, r):
        K = self.local_steps

        def local(k, x):
            return x - self.lr * (problem.grad(x, r.draw(problem, k, K)) + s.c)

        z = (s.x - jax.lax.fori_loop(0, K, local, s.x)) / (K * self.lr)
        c = s.c - z + r.W @ z
        x = r.W @ (s.x - K * self.outer_lr * self.lr * z)
        return State(x, c), Cost(grads=K * problem.batch_size, vectors=2)


@module
class PeriodicalGT:
    r"""Periodical gradient tracking: gradient tracking that communicates in every K-th iteration only.

    With K = local_steps, G the stochastic gradients, fresh in every local step, and C = 0 at the start::

        X' = X;  repeat K times:  X' = X' - lr (G(X') + C)
        S = the first or the last of the round's K gradients, or their mean
        C = W (S + C) - S
        X = W (X - outer_lr (X - X'))

    With track = "last" and outer_lr = 1 this is, with Y = G + C, the tracking of `GradientTracking` ("semi-atc") on a
    network with W in every K-th iteration and I in the others. With track = "mean" it is `KGT`.

    Symbols: X and C are `x` and `c`, (n, d) each; K is `local_steps`, eta_c is `lr`, eta_s is `outer_lr`; `track`
    chooses S.
    Cost per round: K minibatch gradients per node, two d-vectors to each neighbour.
    W: doubly stochastic.
    Guarantee: Σ c_i = 0 in every round. With exact gradients the fixed point is x_i = x*, c_i = -∇f_i(x*) for every K.
    But the noise in C is that of a single gradient, not of a mean of K as in `KGT`: at a fixed K lr, the nodes'
    disagreement does not shrink with K.
    Reference: the variant of this name in Liu, Lin, Koloskova, Stich (2023), arXiv:2301.01313.
    Ambiguities: the paper's listing was not read; the update is gradient tracking with communication in every K-th
    iteration. track = "first" is the tracker that takes a gradient at the mixed point, which then is the next round's
    first.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=1.0), networks.ring(8)
    >>> result = run(PeriodicalGT(lr=0.05, local_steps=5), problem, network, rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size()
    local_steps: int = static()
    outer_lr: StepSize = step_size(default=1.0)
    track: Literal["last", "first", "mean"] = static(default="last")

    def check(self) -> None:
        checks.integer("PeriodicalGT.local_steps", self.local_steps)
        checks.choice("PeriodicalGT.track", self.track, ("last", "first", "mean"))

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        K = self.local_steps

        def local(k, carry):
            x, tracked = carry
            g = problem.grad(x, r.draw(problem, k, K))
            if self.track == "mean":
                tracked = tracked + g / K
            else:
                tracked = g if self.track == "last" else jnp.where(k == 0, g, tracked)
            return x - self.lr * (g + s.c), tracked

        x, tracked = jax.lax.fori_loop(0, K, local, (s.x, jnp.zeros_like(s.x)))
        c = r.W @ (tracked + s.c) - tracked
        x = r.W @ (s.x - self.outer_lr * (s.x - x))
        return State(x, c), Cost(grads=K * problem.batch_size, vectors=2)
