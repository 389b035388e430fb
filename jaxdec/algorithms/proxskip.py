"""ProxSkip, over a network and at a server: local steps, and communication when a coin says so."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdec import checks
from jaxdec._module import module, step_size
from jaxdec.types import Cost, Iterates, PRNGKey, ScalarLike, StepSize

__all__ = ["ProxSkip", "Scaffnew", "ScaffnewState", "State", "chance", "drawn_steps"]


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
        chance("ProxSkip.probability, of communicating in a round", self.probability)

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


class ScaffnewState(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    h: Iterates  # (n, d), control variates, subtracted from each gradient; they sum to zero over the clients
    steps: Int[Array, ""]  # local steps made so far: the number of the next minibatch


@module
class Scaffnew:
    r"""Scaffnew, ProxSkip at a server: a random number of local steps along corrected gradients, and one average.

    With p = probability, G the stochastic gradients, fresh in every local step, and H = 0 at the start::

        K ~ geometric(p), the same for all clients
        Y = 1 x;  repeat K times:  Y = Y - lr (G(Y) - H)
        x = mean Y
        H = H + (p / lr) (1 x - Y)

    Symbols: x is `x` (1, d), H is `h` (n, d); gamma is `lr`, p is `probability`.
    Cost per round: K minibatch gradients and one d-vector up per client, 1/p gradients in the mean; one d-vector down.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: Σ h_i = 0 in every round. With exact gradients the fixed point is x = x*, h_i = ∇f_i(x*), however
    different the f_i; for lr ≤ 1/L the rate of a local step is the worse one of 1 - lr mu and 1 - p², so that with
    lr = 1/L and p = √(mu / L) about √(L / mu) rounds are made where gradient descent makes L / mu. With minibatches it
    goes on until it is as near as lr lets it come: `VRProxSkip` comes nearer. With p = 1 it is `SGD`.
    Reference: Mishchenko, Malinovsky, Stich, Richtárik (2022), arXiv:2202.09357, Algorithm 2, whose rate is recalled;
    the form in rounds is that of the code github.com/WilliamYi96/VR-ProxSkip, main_0002.py, where K is drawn so.
    Deviations: a round is one communication and not one iteration, of which there are K: the coin that says in each
    iteration whether to communicate gives the same K.

    >>> from jaxdec import networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=10.0), networks.server(8)
    >>> result = run(Scaffnew(lr=0.5, probability=0.3), problem, network, rounds=300)
    >>> bool(result.metrics["distance"][-1] < 1e-4)  # where LocalSGD stalls
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    lr: StepSize = step_size()
    probability: ScalarLike

    def check(self) -> None:
        chance("Scaffnew.probability, of communicating after a local step", self.probability)

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        return ScaffnewState(x, jnp.zeros_like(x0), jnp.asarray(0)), Cost()

    def step(self, problem, s, r):
        K = drawn_steps(r.fold("steps"), self.probability)
        grad = lambda k, y: problem.grad(y, problem.sample(r.key_data, s.steps + k))
        y = jax.lax.fori_loop(0, K, lambda k, y: y - self.lr * (grad(k, y) - s.h), r.spread(s.x))
        x = r.W @ y
        h = s.h + (x - y) * self.probability / self.lr
        return ScaffnewState(x, h, s.steps + K), r.cost(K * problem.batch_size, 1, bits_down=32 * problem.d)


def drawn_steps(key: PRNGKey, probability: ScalarLike) -> Int[Array, ""]:
    """How many local steps there are until a coin of this probability says to communicate: at least one.

    >>> int(drawn_steps(jax.random.key(0), 1.0))
    1
    """
    return jax.random.geometric(key, probability)


def chance(name: str, value: ScalarLike) -> None:
    """Refuse a probability without which nothing ever happens.

    >>> chance("probability", 1.0)
    """
    if not checks.bounded(value, lambda p: (p > 0) & (p <= 1)):
        raise ValueError(f"{name}, lies in (0, 1]; got {value}")
