"""Decentralized SGD, with and without local steps."""

from typing import ClassVar, Literal, NamedTuple

import jax

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["DSGD", "LocalDSGD", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates


@module
class DSGD:
    r"""Decentralized SGD: a gradient step and a gossip step per round.

    With G the stochastic gradients at X, all n rows stacked::

        form = "atc":  X = W (X - lr G)      adapt-then-combine
        form = "cta":  X = W X - lr G        combine-then-adapt

    Symbols: X is `x` (n, d); eta of the papers is `lr`.
    Cost per round: one minibatch gradient per node, one d-vector to each neighbour.
    W: doubly stochastic.
    Guarantee: it converges to a point at a distance from the minimizer of the order of lr ζ when the f_i differ (ζ),
    the bias that gradient tracking removes. On quadratics of equal curvature a with exact gradients and a symmetric W
    the error has, for each eigenvalue l of W, the root z below, inside the unit circle if and only if lr a is below the
    limit, with λ the least eigenvalue::

        "atc":   z = l (1 - lr a)      2
        "cta":   z = l - lr a          1 + λ

    With unequal curvatures lr L below the limit is enough.
    Reference: "atc" is Koloskova, Loizou, Boreiri, Jaggi, Stich (2020), arXiv:2003.10422, Algorithm 1; "cta" is Lian et
    al. (2017), arXiv:1705.09056, Algorithm 1. The two differ; do not mix them up.

    >>> from jaxdec import networks, problems, run
    >>> result = run(DSGD(lr=0.1), problems.quadratic(8, 3, zeta=0.0), networks.ring(8), rounds=200, x0=[1.0, 1.0, 1.0])
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    mixes: ClassVar[str] = "iterates"
    lr: StepSize = step_size()
    form: Literal["atc", "cta"] = static(default="atc")

    def check(self) -> None:
        checks.choice("DSGD.form", self.form, ("atc", "cta"))

    def limit(self, eigenvalue: float) -> float:
        """The largest lr a that is stable; `eigenvalue` is λ."""
        return 2.0 if self.form == "atc" else 1 + eigenvalue

    def init(self, problem, x0, r):
        return State(x0), Cost()

    def step(self, problem, s, r):
        g = problem.grad(s.x, r.draw(problem))
        x = r.W @ (s.x - self.lr * g) if self.form == "atc" else r.W @ s.x - self.lr * g
        return State(x), Cost(grads=problem.batch_size, vectors=1)


@module
class LocalDSGD:
    r"""Local DSGD: K gradient steps on each node between gossip steps.

    With K = local_steps and G the stochastic gradients, fresh in every local step::

        repeat K times:  X = X - lr G(X)
        X = W X

    Symbols: X is `x` (n, d); K is `local_steps`, eta_c is `lr`.
    Cost per round: K minibatch gradients per node, one d-vector to each neighbour.
    W: doubly stochastic; with W = 11'/n this is local SGD (FedAvg).
    Guarantee: with heterogeneous f_i it stalls at a floor that grows as ζ² in squared distance, and with K lr.
    Reference: Koloskova, Loizou, Boreiri, Jaggi, Stich (2020), arXiv:2003.10422, Algorithm 1 with W_t = W in every K-th
    iteration and I otherwise. K-GT without its correction: `KGT` with c frozen at 0 and outer_lr = 1.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=1.0), networks.ring(8)
    >>> result = run(LocalDSGD(lr=0.1, local_steps=5), problem, network, rounds=200)
    >>> bool(result.metrics["distance"][-1] > 1e-2)  # the bias of local steps
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size()
    local_steps: int = static()

    def check(self) -> None:
        checks.integer("LocalDSGD.local_steps", self.local_steps)

    def init(self, problem, x0, r):
        return State(x0), Cost()

    def step(self, problem, s, r):
        def local(k, x):
            return x - self.lr * problem.grad(x, r.draw(problem, k, self.local_steps))

        x = jax.lax.fori_loop(0, self.local_steps, local, s.x)
        return State(r.W @ x), Cost(grads=self.local_steps * problem.batch_size, vectors=1)
