"""CompressedScaffnew: Scaffnew whose clients send a few coordinates each, by a pattern that all know."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.algorithms.proxskip import chance, drawn_steps
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["CompressedScaffnew", "State", "pattern"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    h: Iterates  # (n, d), control variates, subtracted from each gradient; they sum to zero over the clients
    steps: Int[Array, ""]  # local steps made so far: the number of the next minibatch


@module
class CompressedScaffnew:
    r"""CompressedScaffnew: local steps along corrected gradients, and an average of each coordinate over few clients.

    With p = probability, s = senders, G the stochastic gradients, fresh in every local step, H = 0 at the start, and Q
    the pattern of the round, (n, d) of zeros and ones with s ones in each column, see `pattern`::

        K ~ geometric(p), the same for all clients
        Y = 1 x;  repeat K times:  Y = Y - lr (G(Y) - H)
        x = (1/s) Σ_i Q_i y_i                               entry by entry
        H = H + (p eta / lr) Q (1 x - Y)

    Symbols: x is `x` (1, d), H is `h` (n, d); gamma is `lr`, p is `probability`, s is `senders`, all n where there are
    fewer; eta is `eta`, n (s - 1) / (s (n - 1)) where None.
    Cost per round: K minibatch gradients, and up one compressed d-vector of at most ⌈s d / n⌉ numbers per client, whose
    positions are known; the model down.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: Σ h_i = 0 in every round. With exact gradients the fixed point is x = x*, h_i = ∇f_i(x*), however
    different the f_i: it converges to it linearly where they are strongly convex and lr is small enough, with s = 2 at
    2/n of the numbers that `Scaffnew` sends up, which it is with s = n. With minibatches it goes on until it is as near
    as lr lets it come.
    Reference: Condat, Agarský, Richtárik (2022), arXiv:2210.13277, CompressedScaffnew, in rounds of one communication.
    Ambiguities: the listing is recalled, with its eta.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 5, zeta=10.0), networks.server(8)
    >>> method = CompressedScaffnew(lr=0.5, probability=0.3, senders=2)
    >>> result = run(method, problem, network, rounds=1000)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    probability: ScalarLike
    senders: int = static()
    eta: Any = None

    def check(self) -> None:
        chance("CompressedScaffnew.probability, of communicating after a local step", self.probability)
        checks.integer("CompressedScaffnew.senders", self.senders, least=2)
        if self.eta is not None:
            chance("CompressedScaffnew.eta, the share of its change by which a control variate moves", self.eta)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        return State(x, jnp.zeros_like(x0), jnp.asarray(0)), Cost()

    def step(self, problem, s, r):
        n, copies = r.n, min(self.senders, r.n)
        eta = (n * (copies - 1) / (copies * (n - 1)) if n > 1 else 1.0) if self.eta is None else self.eta
        K = drawn_steps(r.fold("steps"), self.probability)
        grad = lambda k, y: problem.grad(y, problem.sample(r.key_data, s.steps + k))
        y = jax.lax.fori_loop(0, K, lambda k, y: y - self.lr * (grad(k, y) - s.h), r.spread(s.x))
        Q = pattern(r.fold("pattern"), n, problem.d, copies)
        x = n / copies * (r.W @ jnp.where(Q, y, 0))
        h = s.h + jnp.where(Q, x - y, 0) * eta * self.probability / self.lr
        bits = 32 * jnp.sum(Q, axis=1, dtype=r.dtype)
        return State(x, h, s.steps + K), r.cost(K * problem.batch_size, 1, bits, 32 * problem.d)


def pattern(key: Any, n: int, d: int, senders: int) -> Bool[Array, "n d"]:
    """Who sends which coordinate: of a drawn order of the clients, the next ones each time, around and around.

    >>> drawn = pattern(jax.random.key(0), 3, 6, 2)
    >>> drawn.sum(axis=0).tolist(), drawn.sum(axis=1).tolist()
    ([2, 2, 2, 2, 2, 2], [4, 4, 4])
    """
    place = jax.random.permutation(key, n)  # of each client in the order
    return (place[:, None] - senders * jnp.arange(d)[None]) % n < senders
