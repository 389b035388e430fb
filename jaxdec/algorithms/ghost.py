"""Ghost and Artemis-ND: compressed steps for the clients, exact ones for the server. Negative controls."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec._module import module, static, step_size
from jaxdec.algorithms import _clients
from jaxdec.compressors import memory, require_unbiased
from jaxdec.types import Cost, StepSize

__all__ = ["ArtemisND", "Ghost", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model, exact
    xhat: Float[Array, "1 d"]  # the clients' model
    up: _clients.Memory  # of the clients' gradients


@module
class Ghost:
    r"""Ghost: the clients' model is one compressed step from the server's exact model. A device of the analysis.

    With ghat as in `DIANA`, of gradients at xhat, and C_dwn the `down_compressor`::

        xhat = x - lr C_dwn(ghat)
        x = x - lr ghat

    It is no method, since the clients would need the exact x to step from: the downlink is counted as if they had it.

    Symbols: w is `x`, w_hat is `xhat`, (1, d) each; h (n, d) is in `up`; gamma is `lr`. `memories`, `alpha` and
    `start` as in `DIANA`.
    Cost per round: one minibatch gradient and one compressed d-vector up per client, one compressed d-vector down.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: E xhat = x. Without compression of the downlink it is `DIANA`.
    Reference: Philippenko, Dieuleveut (2021), arXiv:2102.12528.
    Deviations: the authors' code sets x to the mean of the clients' models.

    >>> from jaxdec import compressors, networks, problems, run
    >>> C = compressors.Quantization(levels=1)
    >>> algorithm = Ghost(lr=0.1, compressor=C, down_compressor=C)
    >>> result = run(algorithm, problems.quadratic(8, 3), networks.server(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    compressor: Any
    down_compressor: Any
    alpha: Any = None
    memories: _clients.Memories = static(default="n")
    start: _clients.Start = static(default=None)

    def check(self) -> None:
        for compressor in (self.compressor, self.down_compressor):
            require_unbiased(compressor, "Ghost")
        _clients.check("Ghost", self)

    def advise(self, problem) -> None:
        memory.advise("Ghost.alpha", self.alpha, self.compressor, problem.blocks)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        up, sent = _clients.start(self, problem, x0, r)
        return State(x, x, up), Cost(vectors=sent)

    def step(self, problem, s, r):
        g = problem.grad(r.spread(s.xhat), r.draw(problem))
        D = self.compressor(r.fold("up"), g - s.up.h, problem.blocks)
        ghat, up = _clients.estimate(self, problem, s.up, D.value, r)
        c = self.down_compressor(r.fold("down"), ghat, problem.blocks)
        xhat = s.x - self.lr * c.value
        x = s.x - self.lr * ghat
        return State(x, xhat, up), r.cost(problem.batch_size, 1, D.bits, c.mean_bits)


@module
class ArtemisND:
    r"""Artemis-ND, "no degradation": the server steps exactly and the clients by its compressed step, uncorrected.

    With ghat as in `DIANA`, of gradients at xhat, and C_dwn the `down_compressor`::

        xhat = xhat - lr C_dwn(ghat)
        x = x - lr ghat

    Symbols: w is `x`, w_hat is `xhat`, (1, d) each; h (n, d) is in `up`; gamma is `lr`. `memories`, `alpha` and
    `start` as in `DIANA`.
    Cost per round: one minibatch gradient and one compressed d-vector up per client, one compressed d-vector down.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: none: xhat - x is a random walk that nothing pulls back, and x drifts off while xhat is Artemis's model.
    Without compression of the downlink it is `DIANA`.
    Reference: Philippenko, Dieuleveut (2021), arXiv:2102.12528, one of the negative controls of its experiments.

    >>> from jaxdec import compressors, networks, problems, run
    >>> C = compressors.Quantization(levels=1)
    >>> algorithm = ArtemisND(lr=0.1, compressor=C, down_compressor=C)
    >>> result = run(algorithm, problems.quadratic(8, 3), networks.server(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] > 1e-3)  # where MCM and Artemis converge
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    compressor: Any
    down_compressor: Any
    alpha: Any = None
    memories: _clients.Memories = static(default="n")
    start: _clients.Start = static(default=None)

    def check(self) -> None:
        for compressor in (self.compressor, self.down_compressor):
            require_unbiased(compressor, "ArtemisND")
        _clients.check("ArtemisND", self)

    def advise(self, problem) -> None:
        memory.advise("ArtemisND.alpha", self.alpha, self.compressor, problem.blocks)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        up, sent = _clients.start(self, problem, x0, r)
        return State(x, x, up), Cost(vectors=sent)

    def step(self, problem, s, r):
        g = problem.grad(r.spread(s.xhat), r.draw(problem))
        D = self.compressor(r.fold("up"), g - s.up.h, problem.blocks)
        ghat, up = _clients.estimate(self, problem, s.up, D.value, r)
        c = self.down_compressor(r.fold("down"), ghat, problem.blocks)
        xhat = s.xhat - self.lr * c.value
        x = s.x - self.lr * ghat
        return State(x, xhat, up), r.cost(problem.batch_size, 1, D.bits, c.mean_bits)
