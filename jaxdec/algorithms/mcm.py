"""MCM and Rand-MCM: the server keeps its exact model, and sends the compressed difference to a memory of it."""

import math
import warnings
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.algorithms import _clients
from jaxdec.compressors import Quantization, memory, require_unbiased
from jaxdec.types import Cost, ScalarLike, StepSize

__all__ = ["FROZEN", "MCM", "RandMCM", "RandState", "State"]

FROZEN = (
    "the clients see the model with noise of relative size omega in its distance to the memory, which never moves; the "
    "noise does not vanish at the minimizer, and the run stalls far from it or diverges"
)


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model, exact
    v: Float[Array, "1 d"]  # its momentum
    H: Float[Array, "1 d"]  # memory of the model, with the server and with every client
    up: _clients.Memory  # of the clients' gradients


@module
class MCM:
    r"""MCM, "model compression with memory": the server's own model is never degraded by the downlink's compression.

    With C_up the `compressor`, a draw for each client, and C_dwn `down_compressor`, one draw for all::

        Om = C_dwn(x - H);   xhat = H + Om;   H = H + down_alpha Om
        D_i = C_up(g_i(xhat) - h_i)
        ghat = mean_i (h_i + D_i);   h_i = h_i + alpha D_i
        v = momentum v + ghat
        x = x - lr v

    Symbols: w is `x`, v is `v`, H is `H`, (1, d) each; h (n, d) is in `up`; gamma is `lr`, alpha_up and alpha_dwn are
    `alpha` and `down_alpha`. A rate of None is 1/(2(omega + 1)), and 0 without compression. down_memory = False sends
    C_dwn(x) ("MC"); `memories` and `start` are those of `DIANA`.
    Cost per round: one minibatch gradient and one compressed d-vector up per client, one compressed d-vector down.
    Network: a server, `networks.server(n)`, with everybody present: all clients share one memory of the model.
    Guarantee: E xhat = x and E‖xhat - x‖² ≤ omega_dwn ‖x - H‖², so that the noise of the downlink vanishes with the
    steps; for homogeneous problems see `from_theory`. Without compression of the downlink it is `DIANA`. The negative
    controls of the paper are down_alpha = 0 or 1 and down_memory = False; `Ghost` and `ArtemisND` are others.
    Reference: Philippenko, Dieuleveut (2021), arXiv:2102.12528, in the order of the authors' code.
    Deviations: a round starts with the message that the code sends at the end of the one before, which is the same.
    Ambiguities: the rate 1/(2(omega + 1)) is the code's. H starts at x0, which is the code's 0 where x0 = 0; the
    vectors sent for start = "gradient" are counted here, and not there.

    >>> from jaxdec import compressors, networks, problems, run
    >>> C = compressors.Quantization(levels=1)
    >>> algorithm = MCM(lr=0.1, compressor=C, down_compressor=C)
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
    down_alpha: Any = None
    momentum: ScalarLike = 0.0
    down_memory: bool = static(default=True)
    memories: _clients.Memories = static(default="n")
    start: _clients.Start = static(default=None)

    def check(self) -> None:
        _check("MCM", self)

    def advise(self, problem) -> None:
        memory.advise("MCM.alpha", self.alpha, self.compressor, problem.blocks)
        if self.down_memory:
            memory.advise("MCM.down_alpha", self.down_alpha, self.down_compressor, problem.blocks, zero=FROZEN)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        up, sent = _clients.start(self, problem, x0, r)
        return State(x, jnp.zeros_like(x), x if self.down_memory else jnp.zeros_like(x), up), Cost(vectors=sent)

    def step(self, problem, s, r):
        down_alpha = memory.rate(self.down_alpha, self.down_compressor, problem.blocks) if self.down_memory else 0
        Om = self.down_compressor(r.fold("down"), s.x - s.H, problem.blocks)
        xhat = s.H + Om.value
        H = s.H + down_alpha * Om.value
        g = problem.grad(r.spread(xhat), r.draw(problem))
        D = self.compressor(r.fold("up"), g - s.up.h, problem.blocks)
        ghat, up = _clients.estimate(self, problem, s.up, D.value, r)
        v = self.momentum * s.v + ghat
        x = s.x - self.lr * v
        return State(x, v, H, up), r.cost(problem.batch_size, 1, D.bits, Om.mean_bits)

    @staticmethod
    def from_theory(
        problem: Any,
        network: Any,
        *,
        compressor: Any = None,
        down_compressor: Any = None,
        alpha: Any = 0.0,
        down_alpha: Any = None,
        L: float | None = None,
        **settings: Any,
    ) -> "MCM":
        r"""MCM with the largest step for which its convergence is proven; experiments take much longer steps.

        For equal convex L-smooth f_i, no memory of the gradients, and a = down_alpha ≤ 1/(1 + omega_dwn), if::

            lr L (1 + omega_up/n) + (4 lr² L² omega_dwn / a) (1 + 2/a + omega_up/n) ≤ 1

        then V = ‖x - x*‖² + (4 lr L omega_dwn / a) ‖x - H‖² of the state decreases with exact gradients, in expectation
        by at least 2 lr (F(xhat) - F*) a round.
        Derived here, in the manner of Philippenko, Dieuleveut (2021), arXiv:2102.12528; not their constants. What is
        not covered is said in a warning.

        Args:
            problem: what is to be minimized.
            network: its server.
            compressor: of the gradients; None is Quantization(levels=1).
            down_compressor: of the model; None likewise.
            alpha: the rate of the gradients' memories.
            down_alpha: the rate of the model's memory.
            L: the smoothness of the f_i; None takes the problem's, where it knows it.
            settings: further fields.

        Raises:
            ValueError: if L is not known, or down_alpha is above 1/(1 + omega_dwn).

        >>> from jaxdec import networks, problems
        >>> algorithm = MCM.from_theory(problems.quadratic(8, 3, zeta=0.0, mu=1.0), networks.server(8))
        >>> round(float(algorithm.lr), 3)
        0.045
        """
        compressor = Quantization(levels=1) if compressor is None else compressor
        down_compressor = Quantization(levels=1) if down_compressor is None else down_compressor
        L = problem.L if L is None else L
        if L is None:
            raise ValueError(
                f"the step is a multiple of 1/L, and {type(problem).__name__} does not know its L: pass L="
            )
        algorithm = MCM(1.0, compressor, down_compressor, alpha, down_alpha, **settings)
        algorithm.check()
        up, down = (float(np.max(np.asarray(c.omega(problem.blocks)))) for c in (compressor, down_compressor))
        a = float(np.min(np.asarray(memory.rate(down_alpha, down_compressor, problem.blocks))))
        if down > 0 and not 0 < a <= 1 / (1 + down) * (1 + 1e-6):
            raise ValueError(
                f"the bound is for 0 < down_alpha ≤ 1/(1 + omega_dwn) = {1 / (1 + down):.3g}; got {a:.3g}. None "
                "takes half of it"
            )
        if missing := _not_covered(problem, network, algorithm):
            warnings.warn("the step of MCM.from_theory is proven without " + ", ".join(missing), stacklevel=2)
        b = 1 + up / problem.n
        c = 4 * down / a * (b + 2 / a) if down > 0 else 0.0
        return MCM(2 / (b + math.sqrt(b**2 + 4 * c)) / L, compressor, down_compressor, alpha, down_alpha, **settings)


def _not_covered(problem: Any, network: Any, algorithm: MCM) -> list[str]:
    """What of this experiment the bound says nothing about."""
    points = np.random.default_rng(0).standard_normal((3, problem.d))
    dtype = jax.eval_shape(problem.init, jax.random.key(0)).dtype
    g = [np.asarray(problem.grad(jnp.asarray(np.tile(x, (problem.n, 1)), dtype))) for x in points]
    found = {
        "unequal f_i": any(np.abs(a - a[0]).max() > 1e-5 * np.abs(a).max() for a in g),
        "a memory of the gradients (alpha > 0)": algorithm.alpha is None
        or bool(np.any(np.asarray(algorithm.alpha) != 0)),
        "momentum": bool(np.any(np.asarray(algorithm.momentum) != 0)),
        "absent clients": "reliable" not in network.provides,
        "a sent model without memory": not algorithm.down_memory,
        "a problem that is not convex, or not known to be": problem.convex is not True,
    }
    return [what for what, there in found.items() if there]


class RandState(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model, exact
    v: Float[Array, "1 d"]  # its momentum
    down: _clients.Memory  # of the model; the clients' start at x0
    up: _clients.Memory  # of the clients' gradients


@module
class RandMCM:
    r"""Rand-MCM: MCM with a memory of the model and an independent draw for each client.

    With S the clients that take part, each with probability p, C_up the `compressor` and C_dwn `down_compressor`, both
    with a draw for each client::

        Om_i = C_dwn(x - H_i);   xhat_i = H_i + Om_i;   H_i = H_i + down_alpha Om_i,       i in S
        D_i = C_up(g_i(xhat_i) - h_i),                                                     i in S
        ghat = (1/pn) Σ_{i in S} (h_i + D_i);   h_i = h_i + alpha D_i,                     i in S
        v = momentum v + ghat
        x = x - lr v

    Symbols: w is `x`, v is `v`, (1, d) each; H (n, d) is in `down`, h (n, d) in `up`; gamma is `lr`. `alpha`,
    `down_alpha` and `down_memory` are those of `MCM`; `memories` and `start` those of `DIANA`.
    With down_memories = "one" the server has a single memory and the clients theirs, a negative control:
    Om_i = C_dwn(x - Hbar) and Hbar = Hbar + (down_alpha/n) Σ_{i in S} Om_i; with reset = k > 0 it then sets H_i = Hbar
    for i in S at the start of every k-th round.
    Cost per round: one minibatch gradient, one compressed d-vector up and one down for each client that takes part. The
    messages down differ, and count for each client.
    Network: a server, `networks.server(n)`. A client that was absent needs nothing of what it has missed.
    Guarantee: as `MCM`, the errors of the clients' models being independent. With n = 1 it is `MCM`. With absent
    clients and memories = "n" it stalls near the minimizer of heterogeneous problems: (1/pn) Σ_S ∇f_i(x*) is not zero.
    Reference: Philippenko, Dieuleveut (2021), arXiv:2102.12528, in the order of the authors' code.
    Ambiguities: as `MCM`. The code resets every fourth round, where its text has every 4√d; the vectors of a reset are
    not counted.

    >>> from jaxdec import compressors, networks, problems, run
    >>> C = compressors.Quantization(levels=1)
    >>> algorithm = RandMCM(lr=0.1, compressor=C, down_compressor=C)
    >>> result = run(algorithm, problems.quadratic(8, 3), networks.server(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    compressor: Any
    down_compressor: Any
    alpha: Any = None
    down_alpha: Any = None
    momentum: ScalarLike = 0.0
    down_memory: bool = static(default=True)
    memories: _clients.Memories = static(default="n")
    start: _clients.Start = static(default=None)
    down_memories: Literal["n", "one"] = static(default="n")
    reset: int = static(default=0)

    def check(self) -> None:
        _check("RandMCM", self)
        checks.choice("RandMCM.down_memories", self.down_memories, ("n", "one"))
        checks.integer("RandMCM.reset", self.reset, 0)
        if self.reset and self.down_memories == "n":
            raise ValueError(
                f"a reset sets the clients' memories of the model to the server's single one, and with "
                f'down_memories="n" there is none; got reset={self.reset}. Take down_memories="one", or reset=0'
            )

    def advise(self, problem) -> None:
        memory.advise("RandMCM.alpha", self.alpha, self.compressor, problem.blocks)
        if self.down_memory:
            memory.advise("RandMCM.down_alpha", self.down_alpha, self.down_compressor, problem.blocks, zero=FROZEN)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        up, sent = _clients.start(self, problem, x0, r)
        H = x if self.down_memory else jnp.zeros_like(x)
        down = _clients.Memory(jnp.broadcast_to(H, x0.shape), H)
        return RandState(x, jnp.zeros_like(x), down, up), Cost(vectors=sent)

    def step(self, problem, s, r):
        clients = r.of(problem)
        down_alpha = memory.rate(self.down_alpha, self.down_compressor, problem.blocks) if self.down_memory else 0
        H, Hbar = s.down
        H_i, one = r.rows(H), self.down_memories == "one"
        if self.reset:
            H_i = jnp.where((r.t > 0) & (r.t % self.reset == 0), Hbar, H_i)
        Om = self.down_compressor(r.fold("down"), s.x - (r.spread(Hbar) if one else H_i), problem.blocks)
        xhat = H_i + Om.value
        H = r.kept(H, H_i + down_alpha * Om.value)
        Hbar = Hbar + down_alpha * r.share * (r.W @ Om.value) if one else jnp.mean(H, axis=0, keepdims=True)
        g = clients.grad(xhat, r.draw(clients))
        D = self.compressor(r.fold("up"), g - r.rows(s.up.h), problem.blocks)
        ghat, up = _clients.estimate(self, problem, s.up, D.value, r)
        v = self.momentum * s.v + ghat
        x = s.x - self.lr * v
        cost = r.cost(clients.batch_size, 1, D.bits, Om.bits, personal=True)
        return RandState(x, v, _clients.Memory(H, Hbar), up), cost


def _check(name: str, algorithm: Any) -> None:
    for compressor in (algorithm.compressor, algorithm.down_compressor):
        require_unbiased(compressor, name)
    checks.fraction(f"{name}.momentum", algorithm.momentum)
    _clients.check(name, algorithm)
