"""DeepSqueeze: gossip of compressed models, with error feedback and no replicas."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from jaxdec._module import module, step_size
from jaxdec.compressors import Compressor, require_contractive
from jaxdec.types import Cost, Iterates, StepSize

__all__ = ["DeepSqueeze", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    e: Iterates  # (n, d), what the messages left out


@module
class DeepSqueeze:
    r"""DeepSqueeze: a gradient step, then gossip of what error feedback sends of the models themselves.

    With C the compressor, G the stochastic gradients at X, and E = 0 at the start::

        X' = X - lr G
        Q = C(X' + E);   E = X' + E - Q
        X = X' + consensus_lr (W Q - Q)

    Symbols: X and E are `x` and `e` (delta of the paper), (n, d) each; gamma is `lr`, eta is `consensus_lr`.
    Cost per round: one minibatch gradient per node, one compressed d-vector to each neighbour.
    W: doubly stochastic; it may change, since nodes keep nothing of their neighbours.
    Guarantee: xbar moves by -lr mean_i g_i in every round, for any C; the errors stay bounded if C is contractive. The
    models are compressed, not their differences: the noise of compression goes with ‖X‖ and not with the step, and at a
    constant consensus_lr it does not vanish, unless all nodes are alike and C draws nothing. With C = I and
    consensus_lr = 1 it is `DSGD` ("atc").
    Reference: Tang, Lian, Qiu, Yuan, Zhang, Zhang, Liu (2019), arXiv:1907.07346. The update is that of the code with
    which Koloskova, Lin, Stich, Jaggi (2020), arXiv:1907.09356, compare.
    Ambiguities: the paper's listing was not read.

    >>> from jaxdec import compressors, networks, problems, run
    >>> method = DeepSqueeze(lr=0.05, consensus_lr=0.1, compressor=compressors.TopK(k=2))
    >>> result = run(method, problems.quadratic(8, 3, zeta=0.0), networks.ring(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 0.3)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size()
    consensus_lr: StepSize = step_size()
    compressor: Compressor

    def check(self) -> None:
        require_contractive(self.compressor, "DeepSqueeze")

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        half = s.x - self.lr * problem.grad(s.x, r.draw(problem))
        q = self.compressor(r.fold("message"), half + s.e, problem.blocks)
        e = half + s.e - q.value
        x = half + self.consensus_lr * (r.W @ q.value - q.value)
        return State(x, e), Cost(grads=problem.batch_size, vectors=1, bits=q.mean_bits)
