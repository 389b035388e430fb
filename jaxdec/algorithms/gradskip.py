"""GradSkip: Scaffnew whose clients may rest before the others do."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.algorithms.proxskip import chance, drawn_steps
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["GradSkip", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    h: Iterates  # (n, d), control variates, subtracted from each gradient; they sum to zero over the clients
    steps: Int[Array, ""]  # iterations made so far: the number of the next minibatch


@module
class GradSkip:
    r"""GradSkip: local steps along corrected gradients, of which clients whose data are easy need to make fewer.

    With p = probability, q_i = persistence, G the stochastic gradients, and H = 0 at the start::

        K ~ geometric(p), the same for all clients;   Y = 1 x
        in each of K iterations client i, until it rests:
            with probability q_i:  y_i = y_i - lr (g_i(y_i) - h_i)
            else:                  h_i = g_i(y_i), and it rests
        x = mean_i (y_i - (lr / p) h_i)
        h_i = h_i + (p / lr) (x - y_i)

    Symbols: x is `x` (1, d), h_i are the rows of `h` (n, d); gamma is `lr`, p is `probability`, q_i is `persistence`, a
    number or one for each client, (n,): the probability that a client goes on, which the paper calls that of its coin
    eta. The paper takes p² = mu / L and q_i = (1 - 1/kappa_i) / (1 - p²), kappa_i being L_i / mu.
    Cost per round: one minibatch gradient in each iteration up to that in which a client rests, and one d-vector up per
    client; the model down.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: Σ h_i = 0 in every round. With exact gradients the fixed point is x = x*, h_i = ∇f_i(x*), however
    different the f_i: at the rate of `Scaffnew`, if lr is small enough, whose number of gradients only the worst client
    takes. With q_i = 1 it is `Scaffnew`; with q_i = 0 it is gradient descent with step lr / p. With minibatches it goes
    on until it is as near as lr lets it come.
    Reference: Maranjyan, Safaryan, Richtárik (2022), arXiv:2210.16402, Algorithm 1, in rounds of one communication.
    Ambiguities: the listing is recalled, with the lemma by which a client whose coin has fallen does nothing until the
    next communication. That is of exact gradients, and is how minibatches are taken here.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=10.0), networks.server(8)
    >>> result = run(GradSkip(lr=0.5, probability=0.3, persistence=0.6), problem, network, rounds=300)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    probability: ScalarLike
    persistence: Any  # a number, or one for each client, (n,)

    def check(self) -> None:
        chance("GradSkip.probability, of communicating after an iteration", self.probability)
        if not checks.bounded(self.persistence, lambda q: (q >= 0) & (q <= 1)):
            raise ValueError(
                f"GradSkip.persistence, the probability of going on in an iteration, lies in [0, 1]; got "
                f"{self.persistence}"
            )

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        return State(x, jnp.zeros_like(x0), jnp.asarray(0)), Cost()

    def step(self, problem, s, r):
        K = drawn_steps(r.fold("steps"), self.probability)
        q = jnp.broadcast_to(jnp.asarray(self.persistence, r.dtype), (r.n,))
        J = jax.vmap(_going_on)(r.keys("rests"), q, jnp.broadcast_to(K, (r.n,)))

        def iterate(k, a):
            y, h = a
            g = problem.grad(y, problem.sample(r.key_data, s.steps + k))
            moved = jnp.where((k < J)[:, None], y - self.lr * (g - h), y)
            return moved, jnp.where((k == J)[:, None], g, h)

        y, h = jax.lax.fori_loop(0, K, iterate, (r.spread(s.x), s.h))
        x = r.W @ (y - self.lr / self.probability * h)
        h = h + (x - y) * self.probability / self.lr
        grads = jnp.minimum(J + 1, K) * problem.batch_size
        return State(x, h, s.steps + K), r.cost(grads, 1, bits_down=32 * problem.d)


def _going_on(key, q, K) -> Int[Array, ""]:
    """In how many iterations a client goes on before its coin of probability q falls; all K where it never does."""
    rests = jax.random.geometric(key, jnp.where(q < 1, 1 - q, 1)) - 1
    return jnp.where(q < 1, jnp.minimum(rests, K), K)
