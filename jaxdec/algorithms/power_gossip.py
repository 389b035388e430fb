"""PowerGossip: gossip in which edges send their differences as matrices of low rank, by half a power step a round."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.algorithms._matrices import factors, matrices, orthonormal, product, rest
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["PowerGossip", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    p: tuple[Array, ...]  # of each matrix and arc the left factor, (n, k, a, r); that of the opposite arc is the same
    q: tuple[Array, ...]  # and the right factor, (n, k, b, r), likewise


@module
class PowerGossip:
    r"""PowerGossip: gossip of matrices, of whose differences along each edge thin factors are sent.

    With G the stochastic gradients at X, each tensor a matrix, and for each edge from i to a later node j the
    difference D = X_j - X_i, a P and a Q, at first random and the same for all::

        in even rounds:  Q^ = orthonormal columns of Q;   P = D Q^,     of X_j Q^ and X_i Q^, which are sent;  S = P Q^'
        in odd rounds:   P^ = orthonormal columns of P;   Q = D' P^,    of X_j' P^ and X_i' P^, likewise;      S = P^ Q'
        X_i+ = X_i + consensus_lr Σ_j W_ij S_ij - lr G_i,     S_ij being S, and S_ji being -S

    A factor that is zero, as where both ends have one model, is a random one instead, the same for all.
    Tensors for which r (a + b) numbers, r being `rank`, are no fewer than a b, and vectors, are sent as they are.

    Symbols: X is `x` (n, d); P and Q are `p` and `q`, (n, k, a, r) and (n, k, b, r) for each matrix of a rows and b
    columns, on the arc on which i hears j; gamma is `lr`.
    Cost per round: one minibatch gradient per node; one compressed d-vector to each neighbour, different for each: of a
    matrix a r numbers in even rounds, b r in odd ones.
    W: symmetric, and the same in every round: both ends of an edge have its factors.
    Guarantee: the S_ij of an edge sum to zero, so that the mean of the nodes takes a step along the mean gradient,
    whatever the rank. S_ij is a projection of D_ij, so that for consensus_lr = 1 nothing is added to what nodes differ
    by; while they settle factors turn to what is largest. There is no other parameter to tune, and no memory of what
    neighbours have. The fixed point is biased, as that of `DSGD`, which it is where all is sent as it is.
    Reference: Vogels, Karimireddy, Jaggi (2020), arXiv:2008.01425, and the authors' code,
    github.com/epfml/powergossip, algorithms.py; the paper could not be read.
    Deviations: there each edge has random factors of its own, and nothing is sent in the first round.

    >>> from jaxdec import data, networks, problems, run
    >>> digits = data.digits()
    >>> problem = problems.softmax(digits, data.iid(digits, n=8), bias=False, l2=1e-3)
    >>> result = run(PowerGossip(lr=0.5, rank=1), problem, networks.ring(8), rounds=100)
    >>> bool(result.metrics["loss"][-1] < 0.2 * result.metrics["loss"][0])
    True
    >>> round(float(result.cost.bits[-1]) / (100 * 32 * problem.d), 3)  # of what DSGD sends
    0.058
    """

    requires: ClassVar[frozenset[str]] = frozenset({"symmetric", "arcs", "fixed"})
    lr: StepSize = step_size()
    rank: int = static()
    consensus_lr: StepSize = step_size(default=1.0)

    def check(self) -> None:
        checks.integer("PowerGossip.rank", self.rank)

    def init(self, problem, x0, r):
        found, on = matrices(problem.shapes, self.rank), r.W.arcs.weight.shape
        normal = lambda name: jax.random.normal(r.fold(name), (problem.d,), x0.dtype)
        of_all = lambda some: tuple(jnp.broadcast_to(one, (*on, *one.shape)) for one in some)
        left, right = factors(found, normal("left"), left=True), factors(found, normal("right"))
        return State(x0, of_all(left), of_all(right)), Cost()

    def step(self, problem, s, r):
        found, arcs, even = matrices(problem.shapes, self.rank), r.W.arcs, r.t % 2 == 0
        later = jnp.where(arcs.sender > jnp.arange(r.n)[:, None], 1, -1).astype(s.x.dtype)[..., None, None]
        weight = jnp.where(arcs.exists, arcs.weight, 0).astype(s.x.dtype)[..., None, None]
        apart = jnp.sum(weight[..., 0] * (arcs.hear(s.x) - s.x[:, None]), axis=1)  # as they are
        ps, qs = [], []
        anew = jax.random.normal(r.fold("factors"), (problem.d,), s.x.dtype)
        lefts, rights = factors(found, anew, left=True), factors(found, anew)
        for m, p, q, L, R in zip(found, s.p, s.q, lefts, rights, strict=True):
            X = m.of(s.x)[:, None]
            right, left = orthonormal(q), orthonormal(p)
            ahead, back = product(X, right), product(jnp.swapaxes(X, 2, 3), left)
            P, Q = later * (arcs.back(ahead) - ahead), later * (arcs.back(back) - back)
            P, Q = (jnp.where(later > 0, one, arcs.back(one)) for one in (P, Q))  # to the bit the same at both ends
            S = jnp.where(even, product(P, jnp.swapaxes(right, 2, 3)), product(left, jnp.swapaxes(Q, 2, 3)))
            P, Q = jnp.where(_differs(P), P, L), jnp.where(_differs(Q), Q, R)
            p, q = jnp.where(even, P, p), jnp.where(even, q, Q)
            moved = jnp.sum(weight * later * S, axis=1).reshape(s.x.shape[0], -1)
            apart = apart.at[:, m.begin : m.end].set(moved)
            ps, qs = [*ps, p], [*qs, q]
        x = s.x + self.consensus_lr * apart - self.lr * problem.grad(s.x, r.draw(problem))
        rows, columns = sum(m.rank * m.rows for m in found), sum(m.rank * m.columns for m in found)
        bits = 32 * (rest(found, problem.d) + jnp.where(even, rows, columns)).astype(s.x.dtype)
        return State(x, tuple(ps), tuple(qs)), Cost(grads=problem.batch_size, vectors=1, bits=bits)


def _differs(factor: Array) -> Array:
    """On which arcs a factor is not zero."""
    return jnp.any(factor != 0, axis=(2, 3), keepdims=True)
