"""Ringmaster ASGD: asynchronous SGD that ignores gradients which are too late."""

from typing import ClassVar

import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.algorithms import _events
from jaxdec.types import Cost, ScalarLike, StepSize

__all__ = ["RingmasterASGD"]


@module
class RingmasterASGD:
    r"""Ringmaster ASGD: the server steps along every gradient whose delay is below a threshold.

    In an event client i sends g, its stochastic gradient at the model that it was sent tau updates ago::

        if tau < R:  x = x - lr g

    and is sent x.

    Symbols: x is `x` (1, d), the models that gradients are taken at are the rows of `start` (n, d); gamma is `lr`, R is
    `threshold`, the delay delta^k is tau: k less the client's entry of `began`.
    Cost per event: one minibatch gradient and one d-vector up for one client, whether it is used or not; the model down
    to it.
    Network: an asynchronous server, `networks.asynchronous(networks.server(n), speed=...)`.
    Guarantee: with R = 1 it is SGD with the gradients of whoever is first; with R large, `AsynchronousSGD` with
    constant steps. With R of the order of max(1, sigma²/epsilon) it is optimal in time where the f_i are one; where
    they differ, fast clients weigh more, and those beyond the threshold nothing.
    Reference: Maranjyan, Tyurin, Richtárik (2025), arXiv:2501.16168, Algorithm 4 (without calculation stops), as it is
    recalled: of the page the introduction could be read.

    >>> from jaxdec import networks, problems, run
    >>> network = networks.asynchronous(networks.server(8), speed=[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 0.1])
    >>> method = RingmasterASGD(lr=0.05, threshold=16)
    >>> result = run(method, problems.quadratic(8, 3, zeta=0.0), network, rounds=800, x0=[1.0] * 3)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[frozenset[str]] = frozenset({"asynchronous", "server"})
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    threshold: ScalarLike

    def check(self) -> None:
        checks.count("RingmasterASGD.threshold", self.threshold)

    def init(self, problem, x0, r):
        return _events.first(x0, r), Cost()

    def step(self, problem, s, r):
        clients = r.of(problem)
        g = clients.grad(r.rows(s.start), r.draw(clients))
        fresh = s.k - r.rows(s.began)[0] < self.threshold
        x, k = jnp.where(fresh, s.x - self.lr * r.mean(g), s.x), s.k + fresh
        cost = r.cost(clients.batch_size, 1, bits_down=32 * problem.d)
        return _events.send(s, x, k, r), cost
