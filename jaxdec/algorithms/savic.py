"""SAVIC: local SGD with a diagonal preconditioner that changes at synchronization only."""

from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks, scaling
from jaxdec._module import module, static, step_size
from jaxdec.scaling import Scaling
from jaxdec.types import Cost, ScalarLike, StepSize


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    scaling: scaling.State  # the raw diagonal: the server's, (1, d), or each client's, (n, d)
    u: Float[Array, "m d"] | None  # momentum that a round starts from: one for all, (1, d), or each client's, (n, d)


@module
class SAVIC:
    r"""SAVIC: local SGD whose steps are divided by a diagonal Dhat, which changes at synchronization only.

    With K = local_steps, G the stochastic gradients, fresh in every local step, S the scaling's statistic at the same
    points and minibatches, and mean over those who take part (divisions entry by entry)::

        scope = "global":   D, Dhat = update(D, mean S(1 x))
                            Y = 1 x;  repeat K times:  Y = Y - lr G(Y) / Dhat
                            x = mean Y
        scope = "local":    Y = 1 x;  repeat K times:  D, Dhat = update(D, S(Y)), a row for each client
                                                       Y = Y - lr G(Y) / Dhat
                            x = mean Y
        with momentum:      U = momentum U + G(Y) in every local step, and U for G(Y) in the step

    Symbols: x is `x` (1, d), Y is (n, d); H, the longest time between synchronizations, is `local_steps`, gamma is
    `lr`; D and Dhat are those of `scaling`, alpha is `scaling.alpha`, beta is `scaling.beta`; beta_1 is `momentum`.
    Cost per round: K minibatch gradients per client that takes part, and a Hessian-vector product, counted as one more
    minibatch gradient, where the scaling needs one: once if global, in every local step if local. Up Y, and S if
    global; down x, and Dhat if global; one d-vector more each way for a momentum that is averaged, and for local D.
    Network: a server, `networks.server(n)`; absent clients neither compute nor change.
    Guarantee: Dhat ≥ alpha, and if global it is the same for all clients and constant within a round. With
    scaling.Identity it is `LocalSGD`. If global, K = 1 is minibatch SGD divided by Dhat: with scaling.Adam(rule="add")
    Adam without momentum. A Dhat that never changes makes it local SGD in the variable √Dhat x, with L / alpha and
    mu / max Dhat for L and mu: no better in the worst case. Local scaling and momentum are outside the theory.
    Reference: Chezhegov, Skorik, Khachaturov, Shalagin, Avetisyan, Takáč, Kholodov, Beznosikov (2024),
    arXiv:2406.00846.
    Ambiguities: the paper's listing was not read, and no code is public. Of each choice the first is the default.
    `at`, where a global statistic is taken: "synchronized", at the new x on the minibatch of the round's first local
    step, whose gradient serves both; "last", at Y in the last local step, for the round that follows.
    `average`, of the clients' statistics: "mean", or "squares" for the root of the mean of squares.
    `count`, what k in the scaling's bias correction is if global: "updates", or "steps" for local steps made so far.
    `average_scalings`, whether synchronization averages D if local: False, or True.
    `form` of momentum: "heavy ball", or "ema" for U = momentum U + (1 - momentum) G.
    `buffers`, what becomes of U at synchronization: "average", "keep" for each client's own, "reset" to zero.
    The first D and how it is kept from zero: see `jaxdec.scaling`, fields `start` and `rule`.

    >>> from jaxdec import networks, problems, run
    >>> method = SAVIC(lr=0.3, local_steps=5, scaling=scaling.OASIS(alpha=0.1))
    >>> result = run(method, problems.quadratic(8, 3, zeta=0.0), networks.server(8), rounds=50, x0=[1.0, 1.0, 1.0])
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    local_steps: int = static()
    scaling: Scaling
    momentum: ScalarLike | None = None
    scope: Literal["global", "local"] = static(default="global")
    at: Literal["synchronized", "last"] = static(default="synchronized")
    average: Literal["mean", "squares"] = static(default="mean")
    count: Literal["updates", "steps"] = static(default="updates")
    average_scalings: bool = static(default=False)
    form: Literal["heavy ball", "ema"] = static(default="heavy ball")
    buffers: Literal["average", "keep", "reset"] = static(default="average")

    def check(self) -> None:
        scaling.require_scaling(self.scaling, "SAVIC")
        checks.integer("SAVIC.local_steps", self.local_steps)
        checks.choice("SAVIC.scope", self.scope, ("global", "local"))
        checks.choice("SAVIC.at", self.at, ("synchronized", "last"))
        checks.choice("SAVIC.average", self.average, ("mean", "squares"))
        checks.choice("SAVIC.count", self.count, ("updates", "steps"))
        checks.choice("SAVIC.form", self.form, ("heavy ball", "ema"))
        checks.choice("SAVIC.buffers", self.buffers, ("average", "keep", "reset"))
        if self.momentum is not None:
            checks.fraction("SAVIC.momentum", self.momentum)
        if self.average_scalings and self.scope == "global":
            raise ValueError('SAVIC.average_scalings is for scope="local"; a global scaling is one for all clients')

    def init(self, problem, x0, r):
        x = x0.mean(axis=0, keepdims=True)
        u = None if self.momentum is None else jnp.zeros_like(x0 if self.buffers == "keep" else x)
        return State(x, self.scaling.init(x if self.scope == "global" else x0), u), Cost()

    def step(self, problem, s, r):
        K, clients = self.local_steps, r.of(problem)
        keys = r.rows(jax.random.split(r.key, problem.n))
        by = K if self.count == "steps" and self.scope == "global" else 1

        def local(k, carry):
            y, u, D = carry
            batch = r.draw(clients, k, K)
            g = clients.grad(y, batch)

            def updated(D):
                S = self.scaling.statistic(clients, y, g, batch, jax.vmap(jax.random.fold_in, (0, None))(keys, k))
                if self.scope == "global":
                    S = r.W @ S if self.average == "mean" else jnp.sqrt(r.W @ S**2)
                return self.scaling.update(D, S, by)

            now = None if self.scope == "local" else k == (0 if self.at == "synchronized" else K - 1)
            new = updated(D) if now is None else jax.lax.cond(now, updated, lambda D: D, D)
            if self.momentum is not None:
                u = self.momentum * u + (1 - self.momentum if self.form == "ema" else 1) * g
            dhat = self.scaling.diagonal(D if self.scope == "global" and self.at == "last" else new)
            return y - self.lr * (g if u is None else u) / dhat, u, new

        start = r.spread(s.x)
        u = s.u if s.u is None else r.rows(s.u) if self.buffers == "keep" else jnp.broadcast_to(s.u, start.shape)
        D = s.scaling if self.scope == "global" else r.rows(s.scaling)
        y, u, D = jax.lax.fori_loop(0, K, local, (start, u, D))
        if self.average_scalings:
            D = D._replace(D=jnp.broadcast_to(r.W @ D.D, y.shape))
        if self.scope == "local":
            D = r.kept(s.scaling, D)
        if self.buffers == "reset":
            u = s.u
        elif s.u is not None:
            u = r.W @ u if self.buffers == "average" else r.kept(s.u, u)
        return State(r.W @ y, D, u), self._cost(clients, r)

    def _cost(self, clients, r) -> Cost:
        everywhere = self.scope == "local"
        vectors = 1 + (self.average_scalings if everywhere else self.scaling.vectors)
        vectors += self.momentum is not None and self.buffers == "average"
        gradients = self.local_steps + self.scaling.products * (self.local_steps if everywhere else 1)
        return r.cost(gradients * clients.batch_size, vectors, bits_down=32 * clients.d * vectors)
