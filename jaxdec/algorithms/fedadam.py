"""FedAdam, FedYogi and FedAdagrad: adaptive steps at the server, in the form of the paper."""

from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.types import Cost, ScalarLike, StepSize

__all__ = ["FedAdagrad", "FedAdam", "FedYogi", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    m: Float[Array, "1 d"]  # first moments of the mean move
    v: Float[Array, "1 d"]  # second moments


@module
class FedAdam:
    r"""FedAdam: the mean of the clients' moves goes through Adam without bias correction at the server.

    With K = local_steps, b1, b2 and tau the fields of these names, G the stochastic gradients, fresh in every local
    step, mean over those who take part, m = 0 and v = v0 at the start, all of them entry by entry::

        Y = 1 x;  repeat K times:  Y = Y - lr G(Y)
        D = mean(Y - 1 x)
        m = b1 m + (1 - b1) D
        v = b2 v + (1 - b2) D²                     rule = "adam"
        v = v - (1 - b2) D² sign(v - D²)           rule = "yogi"
        v = v + D²                                 rule = "adagrad"
        x = x + outer_lr m / (√v + tau)

    Symbols: x, m, v are `x`, `m`, `v`, (1, d) each; eta_l is `lr`, eta is `outer_lr`, beta_1 and beta_2 are `b1` and
    `b2`.
    Cost per round: K minibatch gradients and one d-vector up per client that takes part, one d-vector down.
    Network: a server, `networks.server(n)`; absent clients neither compute nor send.
    Guarantee: none that is checked here; its fixed points are those of `LocalSGD`, bias included.
    Reference: Reddi, Charles, Zaheer, Garrett, Rush, Konečný, Kumar, McMahan (2021), arXiv:2003.00295, Algorithm 2; as
    in the code of github.com/team-decent/decent-bench, where v0 = 0.
    Ambiguities: the paper lets v start at tau² or more, which is the default.

    >>> from jaxdec import networks, problems, run
    >>> method = FedAdam(lr=0.1, local_steps=5, outer_lr=0.05)
    >>> result = run(method, problems.quadratic(8, 3), networks.server(8), rounds=300)
    >>> bool(result.metrics["distance"][-1] < 0.1)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    local_steps: int = static()
    outer_lr: StepSize = step_size()
    b1: ScalarLike = 0.9
    b2: ScalarLike = 0.99
    tau: ScalarLike = 1e-3
    v0: ScalarLike | None = None
    rule: Literal["adam", "yogi", "adagrad"] = static(default="adam")

    def check(self) -> None:
        checks.integer("FedAdam.local_steps", self.local_steps)
        checks.fraction("FedAdam.b1", self.b1)
        checks.fraction("FedAdam.b2", self.b2)
        checks.positive("FedAdam.tau", self.tau)
        if self.v0 is not None:
            checks.weight("FedAdam.v0", self.v0)
        checks.choice("FedAdam.rule", self.rule, ("adam", "yogi", "adagrad"))

    def init(self, problem, x0, r):
        x = x0.mean(axis=0, keepdims=True)
        start = jnp.asarray(self.tau, x.dtype) ** 2 if self.v0 is None else self.v0
        return State(x, jnp.zeros_like(x), jnp.full_like(x, start)), Cost()

    def step(self, problem, s, r):
        K, clients = self.local_steps, r.of(problem)

        def local(k, y):
            return y - self.lr * clients.grad(y, r.draw(clients, k, K))

        y = jax.lax.fori_loop(0, K, local, r.spread(s.x))
        move = r.W @ (y - s.x)
        m = self.b1 * s.m + (1 - self.b1) * move
        match self.rule:
            case "adam":
                v = self.b2 * s.v + (1 - self.b2) * move**2
            case "yogi":
                v = s.v - (1 - self.b2) * move**2 * jnp.sign(s.v - move**2)
            case _:
                v = s.v + move**2
        x = s.x + self.outer_lr * m / (jnp.sqrt(v) + self.tau)
        return State(x, m, v), r.cost(K * clients.batch_size, 1, bits_down=32 * problem.d)


def FedYogi(lr: StepSize, local_steps: int, outer_lr: StepSize, **others: ScalarLike) -> FedAdam:
    """FedYogi: `FedAdam` with rule="yogi", whose second moments grow no faster than they shrink.

    Reference: Reddi et al. (2021), arXiv:2003.00295, Algorithm 2.

    >>> from jaxdec import networks, problems, run
    >>> method = FedYogi(lr=0.1, local_steps=5, outer_lr=0.05)
    >>> result = run(method, problems.quadratic(8, 3), networks.server(8), rounds=300)
    >>> bool(result.metrics["distance"][-1] < 0.1)
    True
    """
    return FedAdam(lr, local_steps, outer_lr, **others, rule="yogi")


def FedAdagrad(lr: StepSize, local_steps: int, outer_lr: StepSize, **others: ScalarLike) -> FedAdam:
    """FedAdagrad: `FedAdam` with rule="adagrad", whose second moments add up; b1 is 0 unless given, as in the paper.

    Reference: Reddi et al. (2021), arXiv:2003.00295, Algorithm 2.

    >>> from jaxdec import networks, problems, run
    >>> method = FedAdagrad(lr=0.1, local_steps=5, outer_lr=0.2)
    >>> result = run(method, problems.quadratic(8, 3), networks.server(8), rounds=300)
    >>> bool(result.metrics["distance"][-1] < 0.1)
    True
    """
    return FedAdam(lr, local_steps, outer_lr, **{"b1": 0.0, **others}, rule="adagrad")
