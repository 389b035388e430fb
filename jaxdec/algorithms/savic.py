"""SAVIC: local SGD divided by a diagonal preconditioner, one for all clients or one for each; momentum as a part."""

from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxdec import checks, scaling
from jaxdec._module import module, static, step_size
from jaxdec.scaling import Scaling
from jaxdec.types import Cost, Iterates, Round, ScalarLike, StepSize

__all__ = ["SAVIC", "HeavyBall", "LocalSAVIC", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    scaling: scaling.State  # the raw diagonal: the server's, (1, d), or each client's, (n, d)
    u: Any  # momentum that a round starts from: None, one for all, (1, d), or each client's, (n, d)


@module
class HeavyBall:
    r"""Momentum of local steps: a step is along U and not along the gradient; a part of `SAVIC` and `LocalSAVIC`.

    ::

        form = "heavy ball":   U = momentum U + G(Y)                       in every local step
        form = "ema":          U = momentum U + (1 - momentum) G(Y)

    `buffers` says what becomes of the clients' U at synchronization: "average", "keep" for each client's own, "reset"
    to zero.

    Symbols: beta_1 of Adam is `momentum`.
    Cost per round: one d-vector more each way where it is averaged.
    Reference: the experiments of Chezhegov et al. (2024), arXiv:2406.00846; it is outside their theory.
    Ambiguities: the paper's listing was not read. Of both choices the first is the default.

    >>> from jaxdec import networks, problems, run
    >>> method = SAVIC(lr=0.1, local_steps=5, scaling=scaling.Adam(alpha=0.1), momentum=HeavyBall(0.5))
    >>> result = run(method, problems.quadratic(8, 3, zeta=0.0), networks.server(8), rounds=50, x0=[1.0, 1.0, 1.0])
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    momentum: ScalarLike
    form: Literal["heavy ball", "ema"] = static(default="heavy ball")
    buffers: Literal["average", "keep", "reset"] = static(default="average")

    @property
    def vectors(self) -> int:
        """d-vectors that it adds to a message."""
        return 1 if self.buffers == "average" else 0

    def init(self, x0: Iterates) -> Iterates:
        return jnp.zeros_like(x0 if self.buffers == "keep" else x0[:1])

    def start(self, u: Iterates, r: Round) -> Float[Array, "m d"]:
        """U of the rows that are computed."""
        return r.rows(u) if self.buffers == "keep" else r.spread(u)

    def direction(self, u: Iterates, g: Iterates) -> tuple[Iterates, Iterates]:
        """What a step is along, and U after it."""
        u = self.momentum * u + (1 - self.momentum if self.form == "ema" else 1) * g
        return u, u

    def synchronized(self, u: Iterates, new: Float[Array, "m d"], r: Round) -> Iterates:
        """What the next round starts from, of U before and after this one."""
        if self.buffers == "average":
            return r.W @ new
        return r.kept(u, new) if self.buffers == "keep" else u

    def check(self) -> None:
        checks.fraction("HeavyBall.momentum", self.momentum)
        checks.choice("HeavyBall.form", self.form, ("heavy ball", "ema"))
        checks.choice("HeavyBall.buffers", self.buffers, ("average", "keep", "reset"))


@module
class _Plain:
    """No momentum: a step is along the gradient."""

    vectors: ClassVar[int] = 0

    def init(self, x0):
        return None

    def start(self, u, r):
        return None

    def direction(self, u, g):
        return g, None

    def synchronized(self, u, new, r):
        return None


@module
class SAVIC:
    r"""SAVIC: local SGD whose steps are divided by a diagonal Dhat, which changes at synchronization only.

    With K = local_steps, G the stochastic gradients, fresh in every local step, S the scaling's statistic at the same
    points and minibatches, and mean over those who take part (divisions entry by entry)::

        D, Dhat = update(D, mean S(1 x))
        Y = 1 x;  repeat K times:  Y = Y - lr G(Y) / Dhat
        x = mean Y

    Symbols: x is `x` (1, d), Y is (n, d); H, the longest time between synchronizations, is `local_steps`, gamma is
    `lr`; D and Dhat are those of `scaling`, alpha is `scaling.alpha`, beta is `scaling.beta`; `momentum` is None or a
    `HeavyBall`, whose U then stands for G(Y) in the step.
    Cost per round: K minibatch gradients per client that takes part, and a Hessian-vector product, counted as one more
    minibatch gradient, where the scaling needs one. Up Y and S, down x and Dhat; one d-vector more each way for a
    momentum that is averaged.
    Network: a server, `networks.server(n)`; absent clients neither compute nor change.
    Guarantee: Dhat ≥ alpha; it is the same for all clients and constant within a round. With scaling.Identity it is
    `LocalSGD`. K = 1 is minibatch SGD divided by Dhat: with scaling.Adam(rule="add") Adam without momentum. A Dhat that
    never changes makes it local SGD in the variable √Dhat x, with L / alpha and mu / max Dhat for L and mu: no better
    in the worst case.
    Reference: Chezhegov, Skorik, Khachaturov, Shalagin, Avetisyan, Takáč, Kholodov, Beznosikov (2024),
    arXiv:2406.00846, with global scaling.
    Ambiguities: the paper's listing was not read, and no code is public. Of each choice the first is the default.
    `at`, where the statistic is taken: "synchronized", at the new x on the minibatch of the round's first local step,
    whose gradient serves both; "last", at Y in the last local step, for the round that follows.
    `average`, of the clients' statistics: "mean", or "squares" for the root of the mean of squares.
    `count`, what k in the scaling's bias correction is: "updates", or "steps" for local steps made so far.
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
    momentum: HeavyBall | None = None
    at: Literal["synchronized", "last"] = static(default="synchronized")
    average: Literal["mean", "squares"] = static(default="mean")
    count: Literal["updates", "steps"] = static(default="updates")

    def check(self) -> None:
        _check("SAVIC", self)
        checks.choice("SAVIC.at", self.at, ("synchronized", "last"))
        checks.choice("SAVIC.average", self.average, ("mean", "squares"))
        checks.choice("SAVIC.count", self.count, ("updates", "steps"))

    def init(self, problem, x0, r):
        x = x0.mean(axis=0, keepdims=True)
        return State(x, self.scaling.init(x), _part(self.momentum).init(x0)), Cost()

    def step(self, problem, s, r):
        K, clients, momentum = self.local_steps, r.of(problem), _part(self.momentum)
        keys = r.keys("statistic")
        first, by = self.at == "synchronized", K if self.count == "steps" else 1

        def local(k, carry):
            y, u, D = carry
            batch = r.draw(clients, k, K)
            g = clients.grad(y, batch)

            def updated(D):
                S = self.scaling.statistic(clients, y, g, batch, _folded(keys, k))
                return self.scaling.update(D, r.W @ S if self.average == "mean" else jnp.sqrt(r.W @ S**2), by)

            new = jax.lax.cond(k == (0 if first else K - 1), updated, lambda D: D, D)
            dhat = self.scaling.diagonal(new if first else D)
            v, u = momentum.direction(u, g)
            return y - self.lr * v / dhat, u, new

        y, u, D = jax.lax.fori_loop(0, K, local, (r.spread(s.x), momentum.start(s.u, r), s.scaling))
        vectors = 1 + self.scaling.vectors + momentum.vectors
        cost = r.cost((K + self.scaling.products) * clients.batch_size, vectors, bits_down=32 * problem.d * vectors)
        return State(r.W @ y, D, momentum.synchronized(s.u, u, r)), cost


@module
class LocalSAVIC:
    r"""SAVIC with local scaling: each client divides by a diagonal of its own, which changes in every local step.

    With K, G, S and mean as in `SAVIC`, and a row of D for each client::

        Y = 1 x;  repeat K times:  D, Dhat = update(D, S(Y))
                                   Y = Y - lr G(Y) / Dhat
        x = mean Y
        with average_scalings:  D = 1 mean D

    Symbols: as in `SAVIC`; D is (n, d).
    Cost per round: K minibatch gradients per client that takes part, and as many Hessian-vector products, each counted
    as one more minibatch gradient, where the scaling needs them. Up Y, down x; one d-vector more each way for a
    momentum and for a D that are averaged.
    Network: a server, `networks.server(n)`; absent clients neither compute nor change.
    Guarantee: Dhat ≥ alpha. It is outside the paper's theory: where the clients differ, so do the directions they
    scale. One client with K = 1 is `SAVIC`; with scaling.Identity it is `LocalSGD`.
    Reference: the experiments of Chezhegov et al. (2024), arXiv:2406.00846.
    Ambiguities: the paper's listing was not read, and no code is public. `average_scalings`, whether synchronization
    averages D: False, or True.

    >>> from jaxdec import networks, problems, run
    >>> method = LocalSAVIC(lr=0.3, local_steps=5, scaling=scaling.OASIS(alpha=0.1))
    >>> result = run(method, problems.quadratic(8, 3, zeta=0.0), networks.server(8), rounds=50, x0=[1.0, 1.0, 1.0])
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    local_steps: int = static()
    scaling: Scaling
    momentum: HeavyBall | None = None
    average_scalings: bool = static(default=False)

    def check(self) -> None:
        _check("LocalSAVIC", self)

    def init(self, problem, x0, r):
        x = x0.mean(axis=0, keepdims=True)
        return State(x, self.scaling.init(x0), _part(self.momentum).init(x0)), Cost()

    def step(self, problem, s, r):
        K, clients, momentum = self.local_steps, r.of(problem), _part(self.momentum)
        keys = r.keys("statistic")

        def local(k, carry):
            y, u, D = carry
            batch = r.draw(clients, k, K)
            g = clients.grad(y, batch)
            S = self.scaling.statistic(clients, y, g, batch, _folded(keys, k))
            D = self.scaling.update(D, S)
            v, u = momentum.direction(u, g)
            return y - self.lr * v / self.scaling.diagonal(D), u, D

        start = r.spread(s.x), momentum.start(s.u, r), r.rows(s.scaling)
        y, u, D = jax.lax.fori_loop(0, K, local, start)
        if self.average_scalings:
            D = D._replace(D=jnp.broadcast_to(r.W @ D.D, y.shape))
        vectors = 1 + self.average_scalings + momentum.vectors
        cost = r.cost(K * (1 + self.scaling.products) * clients.batch_size, vectors, bits_down=32 * problem.d * vectors)
        return State(r.W @ y, r.kept(s.scaling, D), momentum.synchronized(s.u, u, r)), cost


def _part(momentum: HeavyBall | None) -> Any:
    return _Plain() if momentum is None else momentum


def _folded(keys: Key[Array, " m"], k: Any) -> Key[Array, " m"]:
    """The clients' keys of local step k."""
    return jax.vmap(jax.random.fold_in, (0, None))(keys, k)


def _check(name: str, method: Any) -> None:
    scaling.require_scaling(method.scaling, name)
    checks.integer(f"{name}.local_steps", method.local_steps)
    if method.momentum is not None:
        if not isinstance(method.momentum, HeavyBall):
            raise TypeError(
                f"{name}.momentum is None or a part of the method, algorithms.HeavyBall(momentum=0.9); "
                f"got {method.momentum!r}"
            )
        method.momentum.check()
