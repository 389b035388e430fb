"""NoLoCo: local steps of Adam, then momentum on what random pairs average, without a mean over all."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jax.tree_util import Partial

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.algorithms._optimizers import local, started
from jaxdec.algorithms.diloco import checked
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["NoLoCo", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates: the slow weights
    m: Iterates  # (n, d), their momenta
    inner: Any  # the states of the nodes' optimizers, (n, ...)


@module
class NoLoCo:
    r"""NoLoCo, low communication without an all-reduce: `DiLoCo` with means of random pairs, and a pull towards them.

    With K = local_steps, G the stochastic gradients, fresh in every local step, and M = 0 at the start::

        Y = X;  repeat K times:  Y = inner_optimizer(Y, G(Y))          each node's own, its state kept
        M = momentum M + outer_lr W (Y - X) + consensus_lr (W X - X)
        X = X + M

    The paper's inner optimizer is Adam, and its W is that of random pairs: `networks.random_matchings(n)`. The inner
    optimizer is given as in `DiLoCo`.

    Symbols: X and M are `x` and `m`, (n, d) each, Y is (n, d); phi is X, theta is Y, delta is M; alpha is `momentum`,
    beta is `outer_lr`, gamma is `consensus_lr`, None being outer_lr.
    Cost per round: K minibatch gradients per node, one d-vector to each neighbour; two where consensus_lr is given,
    since then X and Y are needed apart.
    W: doubly stochastic.
    Guarantee: the mean of the nodes is that of DiLoCo with a heavy ball outside. With consensus_lr = None it is
    `DecentralizedDiLoCo` with ``Partial(optax.sgd, learning_rate=outer_lr, momentum=momentum)`` outside. In pairs of n
    nodes that are uniformly random the nodes' disagreement shrinks in the mean square, where local steps do not renew
    it, if and only if 0 < consensus_lr < 2 (1 - momentum²) / (1 + momentum - momentum n / (n - 1)): for many nodes
    below 1.5 at a momentum of 0.5, and below 0.38 at 0.9.
    Reference: Kolehmainen, Blagoev, Donaghy, Ersoy, Nies (2025), arXiv:2506.10911, of which the abstract
    was read; as in the authors' code github.com/jkolehm/noloco, sparse_optimizer_c.py, where consensus_lr = outer_lr =
    0.7 and the momentum is 0.5.
    Deviations: theirs sends X and Y - X also where the two weights are one; the paper's random routes between the
    stages of a pipeline are not here.

    >>> import optax
    >>> from jaxdec import networks, problems, run
    >>> method = NoLoCo(Partial(optax.adam, learning_rate=0.01), local_steps=10)
    >>> result = run(method, problems.quadratic(8, 3, zeta=0.1), networks.random_matchings(8), rounds=100)
    >>> bool(result.metrics["distance"][-1] < 0.2)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    inner_optimizer: Partial
    local_steps: int = static()
    outer_lr: StepSize = step_size(default=0.7)
    momentum: ScalarLike = 0.5
    consensus_lr: ScalarLike | None = None

    def check(self) -> None:
        checked("NoLoCo", self)
        checks.fraction("NoLoCo.momentum", self.momentum)
        if self.consensus_lr is not None:
            checks.positive("NoLoCo.consensus_lr", self.consensus_lr)

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0), started(self.inner_optimizer, problem.shapes, x0)), Cost()

    def step(self, problem, s, r):
        y, inner = local(self.inner_optimizer, problem, r, self.local_steps, s.x, s.inner)
        if self.consensus_lr is None:
            move = self.outer_lr * (r.W @ y - s.x)
        else:
            move = self.outer_lr * (r.W @ (y - s.x)) + self.consensus_lr * (r.W @ s.x - s.x)
        m = self.momentum * s.m + move
        vectors = 1 if self.consensus_lr is None else 2
        return State(s.x + m, m, inner), Cost(grads=self.local_steps * problem.batch_size, vectors=vectors)
