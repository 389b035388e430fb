"""Quantized push-sum: averaging and SGD on directed graphs with compressed messages."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import compressors
from jaxdec._module import module, step_size
from jaxdec.compressors import Compressor
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["DirectState", "DirectlyQuantizedPushSum", "QuantizedPushSum", "QuantizedPushSumGossip", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), estimates: the ratios of numerators to masses
    u: Iterates  # (n, d), numerators
    xhat: Iterates  # (n, d), what the receivers hold of the numerators
    y: Float[Array, " n"]  # masses; they sum to n


@module
class QuantizedPushSumGossip:
    r"""Quantized push-sum averaging: the change of what the receivers hold is sent, compressed.

    With Q the compressor, from U = x0, Xhat = 0 and y = 1::

        Xhat = Xhat + Q(U - Xhat)
        U = U - Xhat + W Xhat
        y = W y
        X = U / y

    Symbols: X is `x` (n, d), the estimates (z of the paper); U is `u` (n, d) (x of the paper); Xhat is `xhat` (n, d),
    of which every node keeps the rows of those it hears; y is `y` (n,); Q is `compressor`.
    Cost per round: the message Q(U - Xhat) and y at 32 bits to each neighbour; no gradients. y is counted although
    for a fixed W it could be learnt once.
    W: column stochastic. If it changes over time, whoever may ever hear node j must follow all of its messages, and
    unless it is doubly stochastic in every round, U keeps moving and with it the error of Q.
    Guarantee: Σ u_i = Σ x0_i and Σ y_i = n in every round, for any Q. Let Q be unbiased, of variance omega times the
    squared norm, and independent over nodes: then E‖X - mean‖² goes to 0 if and only if omega is below
    `theory.critical_variance(W)`, which is less than 1 (derived there, not in the paper). With Q = I it is
    `PushSumGossip`. Of a biased Q no guarantee is known, and it is refused.
    Reference: Taheri, Mokhtari, Hassani, Pedarsani (2020), arXiv:2002.09964, the gossip algorithm.
    Ambiguities: the norm by which the quantizer scales. In the l2 norm at d = 1024 it takes 6 bits an entry to be below
    the critical variance of sparse digraphs, in the l-infinity norm 4.

    >>> import jax.numpy as jnp
    >>> from jaxdec import compressors, networks, problems, run
    >>> method = QuantizedPushSumGossip(compressors.Quantization(levels=7, norm="linf"))
    >>> x0 = jnp.arange(16.0).reshape(8, 2)
    >>> result = run(method, problems.quadratic(8, 2), networks.random_digraph(8, 0.2), rounds=200, x0=x0)
    >>> bool(abs(result.state.x - x0.mean(axis=0)).max() < 1e-4)
    True
    """

    requires: ClassVar[str] = "column stochastic"
    replicas: ClassVar[bool] = True
    compressor: Compressor

    def check(self) -> None:
        compressors.require_unbiased(self.compressor, "QuantizedPushSumGossip")

    def init(self, problem, x0, r):
        return State(x0, x0, jnp.zeros_like(x0), jnp.ones_like(x0[:, 0])), Cost()

    def step(self, problem, s, r):
        q = self.compressor(r.fold("message"), s.u - s.xhat, problem.blocks)
        xhat = s.xhat + q.value
        u = s.u - xhat + r.W @ xhat
        y = r.W @ s.y
        return State(u / y[:, None], u, xhat, y), Cost(vectors=1, bits=q.mean_bits + 32)


@module
class QuantizedPushSum:
    r"""QPS-SGD: quantized push-sum, and a gradient step at the de-biased estimate.

    With Q the compressor and G the stochastic gradients, from U = x0, Xhat = 0 and y = 1::

        Xhat = Xhat + Q(U - Xhat)
        V = U - Xhat + W Xhat
        y = W y
        X = V / y
        U = V - lr G(X)

    Symbols: X is `x` (n, d), the estimates (z of the paper); U is `u` (n, d) (x of the paper); Xhat is `xhat` (n, d),
    of which every node keeps the rows of those it hears; y is `y` (n,); Q is `compressor`, alpha is `lr`.
    Cost per round: one minibatch gradient per node; the message Q(U - Xhat) and y at 32 bits to each neighbour.
    W: column stochastic. If it changes over time, whoever may ever hear node j must follow all of its messages, and
    unless it is doubly stochastic in every round, U keeps moving and with it the error of Q.
    Guarantee: Σ y_i = n, and Σ u_i moves by -lr Σ g_i in every round, for any Q. With Q = I it is
    `StochasticGradientPush`. For unbiased Q of small enough variance the paper's rate is O(1/√(nT)) for T large, that
    of exact messages; without gradients the limit is `theory.critical_variance(W)`. A biased Q is refused: no rate is
    known.
    Reference: Taheri, Mokhtari, Hassani, Pedarsani (2020), arXiv:2002.09964, the optimization algorithm.
    Ambiguities: the norm by which the quantizer scales, see `QuantizedPushSumGossip`. The output is the last estimate;
    the convex rate is for its average over time.

    >>> from jaxdec import compressors, networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=0.0), networks.random_digraph(8, 0.2)
    >>> method = QuantizedPushSum(lr=0.1, compressor=compressors.Quantization(levels=7, norm="linf"))
    >>> result = run(method, problem, network, rounds=300, x0=[1.0, 1.0, 1.0])
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "column stochastic"
    replicas: ClassVar[bool] = True
    lr: StepSize = step_size()
    compressor: Compressor

    def check(self) -> None:
        compressors.require_unbiased(self.compressor, "QuantizedPushSum")

    def init(self, problem, x0, r):
        return State(x0, x0, jnp.zeros_like(x0), jnp.ones_like(x0[:, 0])), Cost()

    def step(self, problem, s, r):
        q = self.compressor(r.fold("message"), s.u - s.xhat, problem.blocks)
        xhat = s.xhat + q.value
        v = s.u - xhat + r.W @ xhat
        y = r.W @ s.y
        x = v / y[:, None]
        u = v - self.lr * problem.grad(x, r.draw(problem))
        return State(x, u, xhat, y), Cost(grads=problem.batch_size, vectors=1, bits=q.mean_bits + 32)


class DirectState(NamedTuple):
    x: Iterates  # (n, d), estimates: the ratios of numerators to masses
    u: Iterates  # (n, d), numerators
    y: Float[Array, " n"]  # masses; they sum to n


@module
class DirectlyQuantizedPushSum:
    r"""Push-sum averaging of directly compressed values: a negative control, which does not find the mean.

    With Q the compressor, from U = x0 and y = 1::

        U = W Q(U)
        y = W y
        X = U / y

    Symbols: as in `QuantizedPushSumGossip`.
    Cost per round: the message Q(U) and y at 32 bits to each neighbour; no gradients.
    W: column stochastic.
    Guarantee: Σ y_i = n. Σ u_i is conserved only in expectation and only if Q is unbiased: it moves at random in every
    round, since the error of Q goes with ‖U‖, not with the disagreement. With Q = I it is `PushSumGossip`.
    Reference: what the differences of Taheri, Mokhtari, Hassani, Pedarsani (2020), arXiv:2002.09964, improve upon.
    Ambiguities: a node's own value is compressed as well.

    >>> from jaxdec import compressors, networks, problems, run
    >>> method = DirectlyQuantizedPushSum(compressors.Quantization(levels=7, norm="linf"))
    >>> problem, network = problems.quadratic(8, 3), networks.random_digraph(8, 0.2)
    >>> result = run(method, problem, network, rounds=200, x0=[1.0, 2.0, 3.0])
    >>> bool(abs(result.state.u.mean(axis=0) - jnp.array([1.0, 2.0, 3.0])).max() > 0.05)
    True
    """

    requires: ClassVar[str] = "column stochastic"
    compressor: Compressor

    def check(self) -> None:
        compressors.require_compressor(self.compressor, "DirectlyQuantizedPushSum")

    def init(self, problem, x0, r):
        return DirectState(x0, x0, jnp.ones_like(x0[:, 0])), Cost()

    def step(self, problem, s, r):
        q = self.compressor(r.fold("message"), s.u, problem.blocks)
        u = r.W @ q.value
        y = r.W @ s.y
        return DirectState(u / y[:, None], u, y), Cost(vectors=1, bits=q.mean_bits + 32)
