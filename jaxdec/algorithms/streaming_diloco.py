"""Streaming DiLoCo: fragments of the parameters are sent in turn, and received while the clients go on computing."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.algorithms._optimizers import local, started, stepped
from jaxdec.algorithms.diloco import OUTER, checked
from jaxdec.types import Cost, Iterates, Round, ScalarLike, Tally

__all__ = ["Fragment", "State", "StreamingDiLoCo"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    y: Iterates  # (n, d), the clients' models
    inner: Any  # the states of the clients' optimizers, (n, ...)
    outer: tuple[Any, ...]  # those of the server's, (1, ...) for each fragment
    sent: Float[Array, "1 d"]  # the outer gradient of each fragment as it was sent last
    taken: Int[Array, "n fragments"]  # how often a client has taken a fragment from the server, or had news of it
    k: Int[Array, ""]  # rounds in which somebody took part


class Fragment(NamedTuple):
    """Some of the parameters; known when compiling."""

    where: np.ndarray  # their places in x
    shapes: tuple[tuple[int, ...], ...]  # of the tensors that they are


@module
class StreamingDiLoCo:
    r"""Streaming DiLoCo: `DiLoCo` whose parameters are sent in fragments, one after the other, and come back later.

    With K = local_steps, G the stochastic gradients, fresh in every local step, mean over those who take part, P the
    number of fragments, 0 to P - 1, and Y = 1 x at the start, in round t::

        Y_p = alpha Y_p + (1 - alpha) 1 x_p                 each fragment p whose x_p is newer than what the client has
        repeat K times:  Y = inner_optimizer(Y, G(Y))       each client's own, its state kept
        D_p = mean(1 x_p - Y_p)                             if period divides t + 1 - o_p, o_p = ⌊(p + 1) period / P⌋
        x_p = outer_optimizer(x_p, D_p)                     if D_p was sent `delay` rounds ago, its state kept

    A client goes on from its own Y, not from x. A fragment is sent every `period` rounds, at an offset of its own: a
    number of fragments cuts the d parameters into as many equal runs; a tuple says of each parameter tensor, in the
    order of `problem.shapes`, in which fragment it is, such as a layer. The outer optimizer has a state for each
    fragment, and gets the tensors in it; where a number cuts them, it gets a vector. With K = 1 a round is a step of
    the inner optimizer, as in the paper, period is its H and delay its tau. Optimizers are given as in `DiLoCo`.

    Symbols: x is `x` (1, d), Y is `y` (n, d); D_p is in `sent`; H is period K, tau is `delay`, in rounds.
    Cost per round: K minibatch gradients per client that takes part; in `period` rounds one d-vector up and one
    d-vector down, each fragment counted in the round in which it is sent, or taken from the server.
    Network: a server, `networks.server(n)`; absent clients neither compute nor send, and keep their models and the
    states of their optimizers. Who missed news of a fragment takes it when it is back.
    Guarantee: with one fragment, period = 1, delay = 0 and alpha = 0 it is `DiLoCo`, whoever is absent, at its cost.
    With one fragment, K = 1, period = H and everybody present it is DiLoCo with H local steps, seen step by step. No
    more than the largest fragment is sent in a round.
    Reference: Douillard, Donchev, Rush, Kale, Charles, Garrett, Teston, Lacey, McIlroy, Shen, Ramé, Szlam, Ranzato,
    Barham (2025), arXiv:2501.18512, Algorithm 2; recalled, and as in the code of github.com/pytorch/torchft,
    local_sgd.py, whose order of the fragments this is.
    Deviations: what is sent is not quantized to four bits. Clients weigh the same.

    >>> import optax
    >>> from jaxdec import networks, problems, run
    >>> adamw = Partial(optax.adamw, learning_rate=0.01)
    >>> method = StreamingDiLoCo(adamw, local_steps=5, fragments=2, delay=1, alpha=0.5)
    >>> result = run(method, problems.quadratic(8, 4), networks.server(8), rounds=200)
    >>> bool(result.metrics["distance"][-1] < 0.2), float(result.cost.vectors[-1])
    (True, 100.0)
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    inner_optimizer: Partial
    local_steps: int = static()
    fragments: int | tuple[int, ...] = static(default=1)
    period: int | None = static(default=None)  # rounds from one sending of a fragment to its next; None: one for each
    delay: int = static(default=0)
    alpha: ScalarLike = 0.0
    outer_optimizer: Partial = OUTER

    def check(self) -> None:
        checked("StreamingDiLoCo", self)
        checks.fraction("StreamingDiLoCo.alpha", self.alpha)
        if isinstance(self.fragments, tuple):
            given = [checks.integer("each of StreamingDiLoCo.fragments", p, 0) for p in self.fragments]
            if missing := sorted(set(range(max(given, default=0) + 1)) - set(given)):
                raise ValueError(f"no tensor is in fragment {missing[0]} of StreamingDiLoCo; number them from 0 on")
        else:
            checks.integer("StreamingDiLoCo.fragments", self.fragments)
        if self.period is not None:
            checks.integer("StreamingDiLoCo.period", self.period, self.count)
        checks.integer("StreamingDiLoCo.delay", self.delay, 0, most=self.turn - 1)

    @property
    def count(self) -> int:
        """How many fragments there are."""
        return max(self.fragments) + 1 if isinstance(self.fragments, tuple) else self.fragments

    @property
    def turn(self) -> int:
        """How many rounds it is from one sending of a fragment to its next."""
        return self.count if self.period is None else self.period

    @property
    def offsets(self) -> np.ndarray:
        """After how many rounds each fragment is sent for the first time, (fragments,)."""
        return (np.arange(1, self.count + 1) * self.turn // self.count).astype(np.int32)

    def parts(self, shapes: tuple[tuple[int, ...], ...]) -> list[Fragment]:
        """The fragments of tensors of these shapes.

        Raises:
            ValueError: if there are fewer parameters than fragments, or fragments are given for other tensors.
        """
        sizes = [int(np.prod(shape)) for shape in shapes]
        if isinstance(self.fragments, int) and self.fragments > 1:
            if self.fragments > sum(sizes):
                raise ValueError(f"{sum(sizes)} parameters are not cut into {self.fragments} fragments; give fewer")
            runs = np.array_split(np.arange(sum(sizes)), self.fragments)
            return [Fragment(run, ((len(run),),)) for run in runs]
        of = self.fragments if isinstance(self.fragments, tuple) else (0,) * len(shapes)
        if len(of) != len(shapes):
            raise ValueError(
                f"fragments says where {len(of)} tensors are, and the problem has {len(shapes)}, of shapes "
                f"{', '.join(map(str, shapes))}; give the fragment of each"
            )
        places = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
        mine = [[k for k, q in enumerate(of) if q == p] for p in range(self.count)]
        return [Fragment(np.concatenate([places[k] for k in those]), tuple(shapes[k] for k in those)) for those in mine]

    def init(self, problem, x0, r):
        x, parts = x0.mean(axis=0, keepdims=True), self.parts(problem.shapes)
        inner = started(self.inner_optimizer, problem.shapes, x0)
        outer = tuple(started(self.outer_optimizer, part.shapes, x[:, part.where]) for part in parts)
        none, k = jnp.zeros((problem.n, len(parts)), jnp.int32), jnp.zeros((), jnp.int32)
        return State(x, jnp.broadcast_to(x, x0.shape), inner, outer, jnp.zeros_like(x), none, k), Cost()

    def step(self, problem, s, r):
        K, clients, parts, (m, d) = self.local_steps, r.of(problem), self.parts(problem.shapes), (r.m, problem.d)
        of = np.empty(d, int)  # the fragment of each parameter
        for p, part in enumerate(parts):
            of[part.where] = p
        since = s.k - self.offsets - self.delay  # rounds since the first time that each was received
        news = 1 + jnp.maximum(since // self.turn + 1, 0)  # its start is the first
        due = r.rows(s.taken) < news[None]
        y = r.rows(s.y)
        y = jnp.where(due[:, of], self.alpha * y + (1 - self.alpha) * s.x, y)
        y, inner = local(self.inner_optimizer, clients, r, K, y, r.rows(s.inner))
        sends = (s.k + 1 - self.offsets) % self.turn == 0
        sent = jnp.where(sends[None, of], r.W @ (s.x - y), s.sent)
        x, outer = s.x, []
        for p, part in enumerate(parts):
            received = (since[p] + 1 >= 0) & ((since[p] + 1) % self.turn == 0)
            old = s.x[:, part.where], s.outer[p]
            new = stepped(self.outer_optimizer, part.shapes, sent[:, part.where], s.outer[p], old[0])
            now, state = jax.tree.map(lambda a, b, received=received: jnp.where(received, b, a), old, new)
            x, outer = x.at[:, part.where].set(now), [*outer, state]
        taken = r.kept(s.taken, jnp.where(due, news[None], r.rows(s.taken)))
        state = State(x, r.kept(s.y, y), r.kept(s.inner, inner), tuple(outer), sent, taken, s.k + 1)
        sizes = np.bincount(of).astype(np.int32)
        up = r.per_node(jnp.broadcast_to(jnp.sum(jnp.where(sends, sizes, 0)), (m,)))
        cost = r.cost(K * clients.batch_size)
        vectors = dataclasses.replace(up, over=up.over * d)
        return state, cost._replace(vectors=vectors, bits_down=self._down(due, sizes, r))

    def _down(self, due: Bool[Array, "m fragments"], sizes: np.ndarray, r: Round) -> Tally:
        """The bits of the fragments that clients take; what is one message for all is paid for once where `r.once`."""
        if r.once:
            due = due if r.active is None else due & r.active[:, None]
            return Tally.of(jnp.where(jnp.any(due, axis=0), sizes, 0), 32, r.n)
        bits = r.per_node(jnp.sum(jnp.where(due, sizes[None], 0), axis=1))
        return dataclasses.replace(bits, times=32 * bits.times)
