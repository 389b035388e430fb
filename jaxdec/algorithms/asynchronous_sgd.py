"""Asynchronous SGD at a server, with steps that are shorter where a gradient is late."""

from typing import ClassVar, Literal

import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.algorithms import _events
from jaxdec.types import Cost, StepSize

__all__ = ["AsynchronousSGD"]


@module
class AsynchronousSGD:
    r"""Asynchronous SGD: the server steps along every gradient as it comes, and its client goes on from the new model.

    In an event client i sends g, its stochastic gradient at the model that it was sent tau updates ago::

        x = x - lr g                       steps = "constant"
        x = x - lr n / max(n, tau) g       steps = "delay-adaptive"

    and is sent x.

    Symbols: x is `x` (1, d), the models that gradients are taken at are the rows of `start` (n, d); gamma is `lr`. tau
    is k less the client's entry of `began`.
    Cost per event: one minibatch gradient and one d-vector up for one client; the model down to it.
    Network: an asynchronous server, `networks.asynchronous(networks.server(n), speed=...)`.
    Guarantee: on average over events tau is n - 1 whatever the speeds, since n gradients are on their way at all times;
    so the rate depends on n and not on the largest delay, where the f_i are one. Where they differ, fast clients weigh
    more, and it does not reach the minimizer of the mean. With one client it is SGD.
    Reference: Mishchenko, Bach, Even, Woodworth (2022), arXiv:2206.07638. The page could not be read; delay-adaptive
    steps are those of the authors' code (github.com/konstmish/asynchronous_sgd), lr n / max(n, tau), and the theorem's
    min(1/n, 1/tau) / L up to constants, as it is recalled.
    Deviations: in that code a client goes on from the model before its own gradient; here, as in the paper, after it.

    >>> from jaxdec import networks, problems, run
    >>> network = networks.asynchronous(networks.server(8), speed=[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 0.1])
    >>> result = run(AsynchronousSGD(lr=0.05), problems.quadratic(8, 3, zeta=0.0), network, rounds=800, x0=[1.0] * 3)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"asynchronous", "server"})
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    steps: Literal["constant", "delay-adaptive"] = static(default="delay-adaptive")

    def check(self) -> None:
        checks.choice("AsynchronousSGD.steps", self.steps, ("constant", "delay-adaptive"))

    def init(self, problem, x0, r):
        return _events.first(x0, r), Cost()

    def step(self, problem, s, r):
        clients = r.of(problem)
        g = clients.grad(r.rows(s.start), r.draw(clients))
        tau = (s.k - r.rows(s.began)[0]).astype(g.dtype)
        lr = self.lr if self.steps == "constant" else self.lr * r.n / jnp.maximum(r.n, tau)
        x, k = s.x - lr * r.mean(g), s.k + 1
        cost = r.cost(clients.batch_size, 1, bits_down=32 * problem.d)
        return _events.send(s, x, k, r), cost
