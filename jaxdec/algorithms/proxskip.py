"""ProxSkip over a network: local steps, and gossip when a coin says so."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

__all__ = ["ProxSkip", "State"]


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    h: Iterates  # (n, d), control variates, subtracted from each gradient; they sum to zero over the nodes


@module
class ProxSkip:
    r"""ProxSkip over a network, "decentralized Scaffnew": a step along a corrected gradient, and gossip by chance.

    With p = probability, G the stochastic gradients at X, and H = 0 at the start::

        X' = X - lr (G - H)
        flip a coin that is common to all nodes; with probability p:
            X+ = X' + consensus_lr (W X' - X')
            H+ = H + (p / lr) (X+ - X')
        else:
            X+ = X',  H+ = H

    Symbols: X and H are `x` and `h`, (n, d) each; gamma is `lr`, p is `probability`, lr tau / p is `consensus_lr`.
    Cost per round: one minibatch gradient per node; one d-vector to each neighbour in the rounds that communicate.
    W: symmetric; positive semidefinite for consensus_lr = 1, which `run` does not check. For any other take
    consensus_lr = 1/2, or less: it stands for (I + W)/2 in the place of W. Otherwise small steps may diverge.
    Where W changes, sums and fixed point stay, but convergence is not promised, as of `EXTRA`.
    Guarantee: Σ h_i = 0 in every round. With exact gradients the fixed point is x_i = x*, h_i = ∇f_i(x*), however
    different the f_i. With p = 1 and consensus_lr = 1 it is D2, h being minus its c.
    Reference: Mishchenko, Malinovsky, Stich, Richtárik (2022), arXiv:2202.09357, whose variant for networks this is.
    The update follows the code github.com/OscarYau525/FSPDA, pcode/optim/decen_scaffnew.py. With
    consensus_lr = 1/(2 chi) it is, for beta = p, also the ProxSkip of Guo, Alghunaim, Yuan, Condat, Cao (2023),
    arXiv:2310.07983, as implemented in github.com/team-decent/decent-bench.
    Deviations: a round is one iteration, also where nothing is sent; plot against vectors to compare communication.

    >>> from jaxdec import networks, problems, run
    >>> method = ProxSkip(lr=0.5, probability=0.3, consensus_lr=0.5)
    >>> result = run(method, problems.quadratic(8, 3, zeta=10.0), networks.ring(8), rounds=1000)
    >>> bool(result.metrics["distance"][-1] < 1e-4)
    True
    """

    requires: ClassVar[str] = "symmetric"
    wants: ClassVar[Mapping[str, str]] = {
        "fixed": "convergence is not promised: where links are down for long it may diverge, at small steps too"
    }
    lr: StepSize = step_size()
    probability: ScalarLike
    consensus_lr: StepSize = step_size(default=1.0)

    def check(self) -> None:
        if not checks.bounded(self.probability, lambda p: (p > 0) & (p <= 1)):
            raise ValueError(
                f"ProxSkip.probability, of communicating in a round, lies in (0, 1]; got {self.probability}"
            )

    def init(self, problem, x0, r):
        return State(x0, jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        g = problem.grad(s.x, r.draw(problem))
        local = s.x - self.lr * (g - s.h)
        coin = jax.random.bernoulli(r.fold("coin"), self.probability)
        gossip = lambda x: x + self.consensus_lr * (r.W @ x - x)
        x = jax.lax.cond(coin, gossip, lambda x: x, local)
        h = s.h + (x - local) * self.probability / self.lr  # unchanged without communication, where x is local
        sent = coin.astype(int)
        return State(x, h), Cost(grads=problem.batch_size, vectors=sent, messages=sent)
