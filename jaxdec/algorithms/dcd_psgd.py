"""DCD-PSGD and ECD-PSGD: decentralized SGD whose replicas move by compressed differences, and by extrapolations."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from jaxdec._module import module, step_size
from jaxdec.algorithms._replicas import FOLLOWED
from jaxdec.compressors import Compressor, require_unbiased
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["DCDPSGD", "ECDPSGD", "ECDState", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates, and what the neighbours hold of them


@module
class DCDPSGD:
    r"""DCD-PSGD: a node takes the step that its neighbours see, the compressed one.

    With Q the compressor and G the stochastic gradients at X::

        X+ = X + Q(W X - lr G - X)

    Symbols: X is `x` (n, d), gamma is `lr`. The replicas that neighbours keep are X itself.
    Cost per round: one minibatch gradient per node, one compressed d-vector to each neighbour. x0 is known to the
    neighbours, and nobody pays for it.
    W: doubly stochastic; the paper's is symmetric. If it changes over time, whoever may ever hear node j must follow
    all of its messages, and pay for them. No message may be lost.
    Guarantee: in expectation xbar moves by -lr mean_i g_i in every round, for unbiased Q. The error of compression
    goes into the models: disagreement along an eigenvector of W with eigenvalue λ moves by 1 - λ of itself, and its
    square is multiplied by about λ² + omega (1 - λ)². Where omega is well above (1 + λ) / (1 - λ) for the least λ it
    diverges at any lr (derived here), where `ChocoSGD` with a small consensus_lr does not. With Q = I it is `DSGD`
    ("cta").
    Reference: Tang, Gan, Zhang, Zhang, Liu (2018), arXiv:1803.06443, Algorithm 1.
    Ambiguities: the listing is recalled.

    >>> from jaxdec import compressors, networks, problems, run
    >>> method = DCDPSGD(lr=0.1, compressor=compressors.Quantization(levels=7, norm="linf"))
    >>> result = run(method, problems.quadratic(8, 3, zeta=0.0), networks.ring(8), rounds=300, x0=[1.0, 1.0, 1.0])
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    wants: ClassVar[Mapping[str, str]] = FOLLOWED
    replicas: ClassVar[bool] = True
    lr: StepSize = step_size()
    compressor: Compressor

    def check(self) -> None:
        require_unbiased(self.compressor, "DCDPSGD")

    def init(self, problem, x0, r):
        return State(x0), Cost()

    def step(self, problem, s, r):
        z = r.W @ s.x - self.lr * problem.grad(s.x, r.draw(problem)) - s.x
        q = self.compressor(r.fold("message"), z, problem.blocks)
        return State(s.x + q.value), Cost(grads=problem.batch_size, vectors=1, bits=q.mean_bits)


class ECDState(NamedTuple):
    x: Iterates  # (n, d), iterates
    xhat: Iterates  # (n, d), estimates of the iterates, the same at all who hear a node


@module
class ECDPSGD:
    r"""ECD-PSGD: what is sent is an extrapolation, so that estimates average the noise of compression over time.

    With Q the compressor, G the stochastic gradients at X, k = t + 1 in round t, and Xhat = x0 at the start::

        X+ = W Xhat - lr G
        Z = (1 - k/2) X + (k/2) X+
        Xhat = (1 - 2/k) Xhat + (2/k) Q(Z)

    Symbols: X and Xhat are `x` and `xhat` (x with a tilde in the paper), (n, d) each; gamma is `lr`.
    Cost per round: one minibatch gradient per node, one compressed d-vector to each neighbour. x0 is known to the
    neighbours, and nobody pays for it.
    W: as for `DCDPSGD`.
    Guarantee: Xhat - X is a weighted mean of the errors of all messages, so that it goes to zero as 1/k if their
    variance is bounded. That of these compressors goes with ‖Z‖², which grows with k ‖X+ - X‖: only where the steps
    decrease, or X settles, do the estimates follow. With Q = I it is `DSGD` ("cta").
    Reference: Tang, Gan, Zhang, Zhang, Liu (2018), arXiv:1803.06443, Algorithm 2.
    Ambiguities: the listing is recalled; a node mixes the estimate of itself as it does those of others.

    >>> from jaxdec import compressors, networks, problems, run
    >>> method = ECDPSGD(lr=0.1, compressor=compressors.Quantization(levels=50, norm="linf"))
    >>> result = run(method, problems.quadratic(8, 3, zeta=0.0), networks.ring(8), rounds=300, x0=[1.0, 1.0, 1.0])
    >>> bool(result.metrics["distance"][-1] < 0.1)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    wants: ClassVar[Mapping[str, str]] = FOLLOWED
    replicas: ClassVar[bool] = True
    lr: StepSize = step_size()
    compressor: Compressor

    def check(self) -> None:
        require_unbiased(self.compressor, "ECDPSGD")

    def init(self, problem, x0, r):
        return ECDState(x0, x0), Cost()

    def step(self, problem, s, r):
        k = (r.t + 1).astype(s.x.dtype)
        x = r.W @ s.xhat - self.lr * problem.grad(s.x, r.draw(problem))
        z = (1 - k / 2) * s.x + k / 2 * x
        q = self.compressor(r.fold("message"), z, problem.blocks)
        xhat = (1 - 2 / k) * s.xhat + 2 / k * q.value
        return ECDState(x, xhat), Cost(grads=problem.batch_size, vectors=1, bits=q.mean_bits)
