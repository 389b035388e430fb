"""LT-ADMM and LT-ADMM-VR: local training between messages on the edges."""

from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.algorithms import _variance
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["LTADMM", "LTADMMVR", "State", "VRState"]

Renewal = Literal["never", "round"]
Stored = Literal["used", "next"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    z: Float[Array, "n k d"]  # what node i keeps of each neighbour j, on the arc on which it hears j


@module
class LTADMM:
    r"""LT-ADMM, ADMM with local training: K steps towards what the edges say, then one message on each of them.

    With K = local_steps, rho = penalty, alpha = relaxation, N_i the d_i neighbours of i, G the stochastic gradients,
    fresh in every local step, and Z_ij = rho X_i on every arc at the start::

        P = rho d_i x_i - Σ_(j in N_i) Z_ij                       the same in all local steps of a round
        Y = X;  repeat K times:  Y = Y - lr G(Y) - consensus_lr P
        X = Y
        Q_ji = 2 rho x_j - Z_ji                                   is sent from j to i
        Z_ij = (1 - alpha) Z_ij + alpha Q_ji where it arrives

    Symbols: X is `x` (n, d) and Z is `z` (n, k, d); tau is `local_steps`, gamma is `lr`, beta is `consensus_lr`.
    Cost per round: K minibatch gradients per node, and one d-vector to each neighbour, different for each.
    W: only who hears whom: undirected and the same in every round. Weights are not used.
    Guarantee: with exact gradients the fixed points have all x_i at the minimizer, however different the f_i, for every
    K; Z only ever changes where a message arrives, so that they are those of the reliable network whatever is lost.
    Reference: Ren, Bastianello, Johansson, Parisini (2025), arXiv:2501.13516; the steps as in the code of
    github.com/team-decent/decent-bench, _lt_admm.py. The paper could not be read.
    Deviations: Z starts at rho X, where that code has X: they are the same for rho = 1 and at the origin.

    >>> from jaxdec import networks, problems, run
    >>> method = LTADMM(lr=0.1, local_steps=5, penalty=0.2, consensus_lr=0.2)
    >>> result = run(method, problems.quadratic(8, 3, zeta=1.0), networks.ring(8), rounds=600)
    >>> bool(result.metrics["distance"][-1] < 1e-3)
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"symmetric", "arcs", "fixed arcs"})
    stands_loss: ClassVar[bool] = True
    lr: StepSize = step_size()
    local_steps: int = static()
    penalty: ScalarLike = 1.0
    consensus_lr: StepSize = step_size(default=0.1)
    relaxation: ScalarLike = 0.5

    def check(self) -> None:
        _check("LTADMM", self)

    def init(self, problem, x0, r):
        return State(x0, _started(self, x0, r)), Cost()

    def step(self, problem, s, r):
        K, p = self.local_steps, _pull(self, s, r)

        def local(k, y):
            return y - self.lr * problem.grad(y, r.draw(problem, k, K)) - p

        x = jax.lax.fori_loop(0, K, local, s.x)
        return State(x, _heard(self, s.z, x, r)), Cost(grads=K * problem.batch_size, vectors=1)


class VRState(NamedTuple):
    x: Iterates  # (n, d), iterates
    z: Float[Array, "n k d"]  # what node i keeps of each neighbour j, on the arc on which it hears j
    table: _variance.Table  # the gradients of the nodes' samples, as they are remembered


@module
class LTADMMVR:
    r"""LT-ADMM-VR: `LTADMM` whose stochastic gradients a table of the gradients of all samples corrects.

    With K = local_steps, rho = penalty, alpha = relaxation, N_i the d_i neighbours of i, G the gradients of a
    minibatch, fresh in every local step, T those that the table has of the same samples, M the mean of a node's table,
    filled at the start, and Z_ij = rho X_i on every arc there::

        P = rho d_i x_i - Σ_(j in N_i) Z_ij                       the same in all local steps of a round
        Y = X;  repeat K times:
            Y+ = Y - lr (G(Y) - T + M) - consensus_lr P;   the table has G(Y) of these samples
        X = Y
        Q_ji = 2 rho x_j - Z_ji                                   is sent from j to i
        Z_ij = (1 - alpha) Z_ij + alpha Q_ji where it arrives

    Symbols: X is `x` (n, d) and Z is `z` (n, k, d); `table` has the gradients, (n, m, d) for m samples a node at most,
    and their means, (n, d); tau is `local_steps`, gamma is `lr`, beta is `consensus_lr`. With renewal = "round" the
    table is filled anew at X in every round. With stored = "next" it gets G(Y+) in the place of G(Y).
    Cost per round: K minibatch gradients per node, with stored = "next" 2 K, with renewal = "round" besides those of
    all of a node's samples; and one d-vector to each neighbour, different for each; init takes a pass over all samples.
    W: only who hears whom: undirected and the same in every round. Weights are not used.
    Guarantee: the estimates are unbiased, and their noise vanishes as the table settles: with minibatches it converges
    to the minimizer, however different the f_i and for every K, linearly where they are strongly convex and the steps
    are small enough, where `LTADMM` stalls. Z only ever changes where a message arrives, as there. With exact gradients
    it is `LTADMM`.
    Memory: n m d numbers for each seed and cell of a sweep.
    Reference: Ren, Bastianello, Johansson, Parisini (2025), arXiv:2501.13516, as implemented in
    github.com/team-decent/decent-bench, _lt_admm_vr.py, where stored = "next", and renewal = "never" is called
    LT-ADMM-VR-2. The paper could not be read.
    Deviations: stored = "used" keeps the gradients that there are, as SAGA does; that code computes those at Y+
    besides. Z starts at rho X, where it has X. Of a problem whose samples are not known, a `Quadratic`, f_i is the only
    part, and its gradient exact.

    >>> from jaxdec import networks, problems, run
    >>> method = LTADMMVR(lr=0.1, local_steps=5, penalty=0.2, consensus_lr=0.2)
    >>> result = run(method, problems.quadratic(8, 3, zeta=1.0), networks.ring(8), rounds=600)
    >>> bool(result.metrics["distance"][-1] < 1e-3)
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"symmetric", "arcs", "fixed arcs"})
    stands_loss: ClassVar[bool] = True
    lr: StepSize = step_size()
    local_steps: int = static()
    penalty: ScalarLike = 1.0
    consensus_lr: StepSize = step_size(default=0.1)
    relaxation: ScalarLike = 0.5
    renewal: Renewal = static(default="never")
    stored: Stored = static(default="used")

    def check(self) -> None:
        _check("LTADMMVR", self)
        checks.choice("LTADMMVR.renewal", self.renewal, ("never", "round"))
        checks.choice("LTADMMVR.stored", self.stored, ("used", "next"))

    def advise(self, problem) -> None:
        _variance.fits("LTADMMVR", problem)

    def init(self, problem, x0, r):
        return VRState(x0, _started(self, x0, r), _variance.table(problem, x0)), Cost(grads=problem.data_size)

    def step(self, problem, s, r):
        K, p = self.local_steps, _pull(self, s, r)

        def local(k, carry):
            (y, table), batch = carry, r.draw(problem, k, K)
            v, used, _ = _variance.tabled(problem, table, y, batch)
            y = y - self.lr * v - p
            return y, used if self.stored == "used" else _variance.tabled(problem, table, y, batch)[1]

        begun = s.table if self.renewal == "never" else _variance.table(problem, s.x)
        x, table = jax.lax.fori_loop(0, K, local, (s.x, begun))
        grads = (K if self.stored == "used" else 2 * K) * _variance.drawn(problem)
        grads = grads if self.renewal == "never" else grads + problem.data_size
        return VRState(x, _heard(self, s.z, x, r), table), Cost(grads=grads, vectors=1)


def _check(name: str, method: Any) -> None:
    checks.integer(f"{name}.local_steps", method.local_steps)
    checks.positive(f"{name}.penalty", method.penalty)
    if not checks.bounded(method.relaxation, lambda a: (a > 0) & (a <= 1)):
        raise ValueError(f"{name}.relaxation is the weight alpha of what is heard, in (0, 1]; got {method.relaxation}")


def _started(method: Any, x0: Iterates, r: Any) -> Float[Array, "n k d"]:
    return method.penalty * jnp.broadcast_to(x0[:, None], (*r.W.arcs.weight.shape, x0.shape[1]))


def _pull(method: Any, s: Any, r: Any) -> Iterates:
    """What the edges add to each local step of a round."""
    degree = jnp.sum(r.W.arcs.exists, axis=1, dtype=s.x.dtype)[:, None]
    return method.consensus_lr * (method.penalty * degree * s.x - r.W.arcs.sum(s.z))


def _heard(method: Any, z: Float[Array, "n k d"], x: Iterates, r: Any) -> Float[Array, "n k d"]:
    arcs, alpha = r.W.arcs, method.relaxation
    q = 2 * method.penalty * arcs.hear(x) - arcs.back(z)
    return jnp.where(arcs.arrived[..., None], (1 - alpha) * z + alpha * q, z)
