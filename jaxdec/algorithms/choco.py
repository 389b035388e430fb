"""CHOCO: gossip and SGD with compressed messages and error feedback, on undirected graphs."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec import compressors
from jaxdec._module import module, step_size
from jaxdec.compressors import Compressor
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["ChocoGossip", "ChocoSGD", "DirectState", "QuantizedGossip", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    xhat: Iterates  # (n, d), what the neighbours hold of the iterates


@module
class ChocoGossip:
    r"""CHOCO-Gossip: averaging with compressed messages, linear for any contractive compressor.

    With Q the compressor, from X = x0 and Xhat = 0::

        Xhat = Xhat + Q(X - Xhat)
        X = X + consensus_lr (W Xhat - Xhat)

    Symbols: X is `x` and Xhat is `xhat`, (n, d) each; gamma is `consensus_lr`, Q is `compressor`.
    Cost per round: the message Q(X - Xhat) to each neighbour; no gradients.
    W: symmetric and doubly stochastic. If it changes over time, whoever may ever hear node j must follow all of its
    messages, and pay for them: the cost counts one message to each neighbour. No message may be lost.
    Guarantee: Σ x_i = Σ x0_i in every round, for any Q. For contractive Q, E‖Q(x) - x‖² ≤ (1 - delta) ‖x‖² with
    delta > 0, biased or not, X goes to the mean of x0 linearly if consensus_lr is small enough. With Q = I and
    consensus_lr = 1 it is exact gossip, X = W X.
    Reference: Koloskova, Stich, Jaggi (2019), arXiv:1902.00340, Algorithm 1.

    >>> import jax.numpy as jnp
    >>> from jaxdec import compressors, networks, problems, run
    >>> method = ChocoGossip(consensus_lr=0.3, compressor=compressors.TopK(k=1))
    >>> x0 = jnp.arange(16.0).reshape(8, 2)
    >>> result = run(method, problems.quadratic(8, 2), networks.ring(8), rounds=400, x0=x0)
    >>> bool(abs(result.state.x - x0.mean(axis=0)).max() < 1e-4)
    True
    """

    requires: ClassVar[str] = "symmetric"
    wants: ClassVar[Mapping[str, str]] = {
        "fixed": "whoever may ever hear a node must follow all of its messages, and the cost counts neighbours alone"
    }
    replicas: ClassVar[bool] = True
    consensus_lr: StepSize = step_size()
    compressor: Compressor

    def check(self) -> None:
        compressors.require_contractive(self.compressor, "ChocoGossip")

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        q = self.compressor(r.fold("message"), s.x - s.xhat, problem.blocks)
        xhat = s.xhat + q.value
        x = s.x + self.consensus_lr * (r.W @ xhat - xhat)
        return State(x, xhat), Cost(vectors=1, bits=q.mean_bits)


@module
class ChocoSGD:
    r"""CHOCO-SGD: a gradient step, then a round of CHOCO-Gossip.

    With Q the compressor and G the stochastic gradients at X, from X = x0 and Xhat = 0::

        X' = X - lr G
        Xhat = Xhat + Q(X' - Xhat)
        X = X' + consensus_lr (W Xhat - Xhat)

    Symbols: X is `x` and Xhat is `xhat`, (n, d) each; eta is `lr`, gamma is `consensus_lr`, Q is `compressor`.
    Cost per round: one minibatch gradient per node, the message Q(X' - Xhat) to each neighbour.
    W: symmetric and doubly stochastic. If it changes over time, whoever may ever hear node j must follow all of its
    messages, and pay for them: the cost counts one message to each neighbour. No message may be lost.
    Guarantee: xbar moves by -lr mean_i g_i in every round, for any Q. With Q = I and consensus_lr = 1 it is `DSGD`
    ("atc"); like that it stalls at a distance O(lr ζ) from the minimizer when the f_i differ (ζ) and lr is constant.
    Reference: Koloskova, Stich, Jaggi (2019), arXiv:1902.00340, Algorithm 2, with a constant step and the last iterate
    in place of a weighted average.

    >>> from jaxdec import compressors, networks, problems, run
    >>> problem = problems.quadratic(8, 3, zeta=0.0)
    >>> method = ChocoSGD(lr=0.1, consensus_lr=0.3, compressor=compressors.TopK(k=1))
    >>> result = run(method, problem, networks.ring(8), rounds=300, x0=[1.0, 1.0, 1.0])
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "symmetric"
    wants: ClassVar[Mapping[str, str]] = {
        "fixed": "whoever may ever hear a node must follow all of its messages, and the cost counts neighbours alone"
    }
    replicas: ClassVar[bool] = True
    lr: StepSize = step_size()
    consensus_lr: StepSize = step_size()
    compressor: Compressor

    def check(self) -> None:
        compressors.require_contractive(self.compressor, "ChocoSGD")

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        half = s.x - self.lr * problem.grad(s.x, r.draw(problem))
        q = self.compressor(r.fold("message"), half - s.xhat, problem.blocks)
        xhat = s.xhat + q.value
        x = half + self.consensus_lr * (r.W @ xhat - xhat)
        return State(x, xhat), Cost(grads=problem.batch_size, vectors=1, bits=q.mean_bits)


class DirectState(NamedTuple):
    x: Iterates  # (n, d), iterates


@module
class QuantizedGossip:
    r"""Averaging of directly compressed values: a negative control, which conserves the mean but does not converge.

    With Q the compressor, from X = x0::

        X = X + consensus_lr (W Q(X) - Q(X))

    Symbols: X is `x` (n, d), Q is `compressor`, gamma is `consensus_lr`.
    Cost per round: the message Q(X) to each neighbour; no gradients.
    W: doubly stochastic.
    Guarantee: Σ x_i = Σ x0_i in every round, for any Q. The error does not vanish, since that of Q goes with ‖X‖, not
    with the disagreement. With Q = I and consensus_lr = 1 it is exact gossip.
    Reference: what the differences of Koloskova, Stich, Jaggi (2019), arXiv:1902.00340, improve upon. Carli, Fagnani,
    Frasca, Zampieri (2009), arXiv:0907.0748, study gossip between pairs with quantized values.

    >>> from jaxdec import compressors, networks, problems, run
    >>> method = QuantizedGossip(compressors.Quantization(levels=7))
    >>> result = run(method, problems.quadratic(8, 3), networks.ring(8), rounds=200, x0=[1.0, 2.0, 3.0])
    >>> bool(result.metrics["consensus"][-1] > 1e-3)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    compressor: Compressor
    consensus_lr: StepSize = step_size(default=1.0)

    def check(self) -> None:
        compressors.require_compressor(self.compressor, "QuantizedGossip")

    def init(self, problem, x0, r):
        return DirectState(x0), Cost()

    def step(self, problem, s, r):
        q = self.compressor(r.fold("message"), s.x, problem.blocks)
        x = s.x + self.consensus_lr * (r.W @ q.value - q.value)
        return DirectState(x), Cost(vectors=1, bits=q.mean_bits)
