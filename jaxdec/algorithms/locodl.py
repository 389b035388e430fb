"""LoCoDL: local steps, and compressed differences to a model that everybody has."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.algorithms.proxskip import chance, drawn_steps
from jaxdec.compressors import require_unbiased
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["LoCoDL", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the common model, at the server and at all clients
    z: Iterates  # (n, d), the clients' own models
    h: Iterates  # (n, d), control variates, subtracted from each client's gradient
    k: Float[Array, "1 d"]  # that of the common model; it is minus the mean of h
    steps: Int[Array, ""]  # local steps made so far: the number of the next minibatch


@module
class LoCoDL:
    r"""LoCoDL: clients send what they differ from a common model by, compressed, after a random number of local steps.

    With p = probability, G the stochastic gradients, fresh in every local step, C the `compressor`, a draw for each
    client, g(x) = l2 ‖x‖²/2 a part of every f_i that all know, and H = 0, k = 0, Z = 1 x at the start::

        K ~ geometric(p), the same for all clients
        repeat K times:  Z = Z - lr (G(Z) - l2 Z - H);   x = x - lr (l2 x - k)
        D = C(Z - 1 x);   m = mean D / 2
        Z = (1 - rho) Z + rho (1 x + m);                 x = x + rho m
        H = H + (p chi / (lr (1 + 2 omega))) (m - D);    k = k + (p chi / (lr (1 + 2 omega))) m

    Symbols: x, the paper's y, is `x` and k, its v, is `k`, (1, d) each; Z and H, its x_i and u_i, are `z` and `h`,
    (n, d) each; gamma is `lr`, p is `probability`. None is 1 / (1 + omega / n) for rho and for chi, as for independent
    messages.
    Cost per round: K minibatch gradients, and one compressed d-vector up per client; m down, uncompressed.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: mean H + k = 0 in every round. With exact gradients the fixed point is x = z_i = x*, h_i = ∇f_i(x*) -
    l2 x*, k = l2 x*, however different the f_i, at which all messages are zero: for unbiased C it converges to it,
    linearly where both parts are strongly convex and lr is small enough. With minibatches it goes on until it is as
    near as lr lets it come. Without compression it is ProxSkip of the clients' parts and of g, which counts as n.
    Reference: Condat, Maranjyan, Richtárik (2025), arXiv:2403.04348, Algorithm 1, in rounds of one communication.
    Ambiguities: the listing is recalled, with the constants of its theorem.
    Deviations: g is a ridge, whose l2 is to be a part of that of the problem; 0 is allowed, of which the theorem says
    nothing.

    >>> from jaxdec import compressors, networks, problems, run
    >>> problem, network = problems.quadratic(8, 5, zeta=10.0), networks.server(8)
    >>> method = LoCoDL(lr=0.5, probability=0.3, compressor=compressors.RandK(k=2), l2=0.2)
    >>> result = run(method, problem, network, rounds=1000)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    probability: ScalarLike
    compressor: Any
    l2: ScalarLike = 0.0
    rho: Any = None
    chi: Any = None

    def check(self) -> None:
        chance("LoCoDL.probability, of communicating after a local step", self.probability)
        require_unbiased(self.compressor, "LoCoDL")
        checks.weight("LoCoDL.l2", self.l2, "the weight of the part of every f_i that all know")
        for name in ("rho", "chi"):
            value = {"rho": self.rho, "chi": self.chi}[name]
            if value is not None:
                chance(f"LoCoDL.{name}, the share of a step after a communication", value)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        return State(x, r.spread(x), jnp.zeros_like(x0), jnp.zeros_like(x), jnp.asarray(0)), Cost()

    def step(self, problem, s, r):
        omega = jnp.max(jnp.asarray(self.compressor.omega(problem.blocks)))
        rho, chi = (1 / (1 + omega / r.n) if share is None else share for share in (self.rho, self.chi))
        K = drawn_steps(r.fold("steps"), self.probability)

        def local(j, a):
            z, x = a
            g = problem.grad(z, problem.sample(r.key_data, s.steps + j))
            return z - self.lr * (g - self.l2 * z - s.h), x - self.lr * (self.l2 * x - s.k)

        z, x = jax.lax.fori_loop(0, K, local, (s.z, s.x))
        D = self.compressor(r.fold("up"), z - x, problem.blocks)
        m, rate = r.W @ D.value / 2, self.probability * chi / (self.lr * (1 + 2 * omega))
        z = (1 - rho) * z + rho * (x + m)
        state = State(x + rho * m, z, s.h + rate * (m - D.value), s.k + rate * m, s.steps + K)
        return state, r.cost(K * problem.batch_size, 1, D.bits, 32 * problem.d)
