"""ProxSkip with variance reduction: local steps along L-SVRG's gradients, which minibatches do not stop."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdec._module import module, step_size
from jaxdec.algorithms.proxskip import chance, drawn_steps
from jaxdec.types import Iterates, ScalarLike, StepSize, frozen

__all__ = ["State", "VRProxSkip"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    h: Iterates  # (n, d), control variates, subtracted from each gradient; they sum to zero over the clients
    y: Iterates  # (n, d), the clients' points of reference: models of rounds before
    g: Iterates  # (n, d), their exact gradients there
    steps: Int[Array, ""]  # local steps made so far: the number of the next minibatch


@module
class VRProxSkip:
    r"""ProxSkip-VR with L-SVRG, "ProxSkip-LSVRG": `Scaffnew` whose minibatch gradients have a vanishing variance.

    With p = probability, q = renewal, G(.) on the same minibatch, fresh in every local step, H = 0 and R = 1 x at the
    start::

        K ~ geometric(p), the same for all clients
        Y = 1 x;  repeat K times:  Y = Y - lr (G(Y) - G(R) + ∇f(R) - H)
        x = mean Y
        H = H + (p / lr) (1 x - Y)
        each client for itself, with probability q:  r_i = x

    Symbols: x is `x` (1, d), H, R and ∇f(R) are `h`, `y` and `g`, (n, d) each; gamma is `lr`, p is `probability`, q is
    `renewal`.
    Cost per round: 2 K minibatch gradients and one d-vector up per client, 2 / p gradients in the mean, and the
    client's samples where its point of reference is renewed; one d-vector down. At the start all samples.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: Σ h_i = 0 in every round. The fixed point is x = r_i = x*, h_i = ∇f_i(x*), with minibatches too, since
    G(Y) - G(R) + ∇f(R) has no noise there: for a small enough lr it converges linearly to the minimizer, where
    `Scaffnew` stalls. A client's noise stays while its r_i does, about 1/q rounds, and until all n are renewed about
    (ln n)/q.
    Reference: Malinovsky, Yi, Richtárik (2022), arXiv:2207.04338, ProxSkip-LSVRG. The update follows the authors' code,
    github.com/WilliamYi96/VR-ProxSkip, main_0002.py, with lr = 1/(6 L), p = √(mu / L) and q = 4 mu / L.
    Ambiguities: the paper's listing was not read; as recalled, there the coin of r_i is flipped in every local step.
    Here, as in that code, it is flipped once a round, at the model that the server sends.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=10.0, noise=1.0), networks.server(8)
    >>> result = run(VRProxSkip(lr=0.2, probability=0.3, renewal=0.1), problem, network, rounds=500)
    >>> bool(result.metrics["distance"][-1] < 1e-4)  # whatever the noise
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    probability: ScalarLike
    renewal: ScalarLike

    def check(self) -> None:
        chance("VRProxSkip.probability, of communicating after a local step", self.probability)
        chance("VRProxSkip.renewal, of a point of reference after a round", self.renewal)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        y = r.spread(x)
        start = State(x, jnp.zeros_like(x0), y, problem.grad(y), jnp.asarray(0))
        return start, r.cost(problem.data_size)

    def step(self, problem, s, r):
        K = drawn_steps(r.fold("steps"), self.probability)

        def local(k, z):
            batch = problem.sample(r.key_data, s.steps + k)
            return z - self.lr * (problem.grad(z, batch) - problem.grad(s.y, batch) + s.g - s.h)

        z = jax.lax.fori_loop(0, K, local, r.spread(s.x))
        x = r.W @ z
        h = s.h + (x - z) * self.probability / self.lr
        coins = jax.vmap(lambda key: jax.random.bernoulli(key, self.renewal))(r.keys("renewal"))
        renewed = lambda: frozen(coins, (s.y, s.g), (r.spread(x), problem.grad(r.spread(x))))
        y, g = jax.lax.cond(jnp.any(coins), renewed, lambda: (s.y, s.g))
        cost = r.cost(2 * K * problem.batch_size + coins * problem.data_size, 1, bits_down=32 * problem.d)
        return State(x, h, y, g, s.steps + K), cost
