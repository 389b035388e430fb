"""DiLoCo at a server and on graphs: many steps of AdamW at each node, then a step of an outer optimizer."""

from typing import Any, ClassVar, NamedTuple

from jax.tree_util import Partial
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.algorithms._optimizers import local, nesterov, started, stepped
from jaxdec.types import Cost, Iterates

__all__ = ["OUTER", "DecentralizedDiLoCo", "DecentralizedState", "DiLoCo", "State", "checked", "nesterov"]

OUTER = Partial(nesterov, learning_rate=0.7, momentum=0.9)  # the paper's, for models of 60 to 400 million parameters


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    inner: Any  # the states of the clients' optimizers, (n, ...)
    outer: Any  # that of the server's, (1, ...)


@module
class DiLoCo:
    r"""DiLoCo, distributed low-communication training: K steps of a client's own optimizer, then one of an outer one.

    With K = local_steps, G the stochastic gradients, fresh in every local step, and mean over those who take part::

        Y = 1 x;  repeat K times:  Y = inner_optimizer(Y, G(Y))        each client's own, its state kept
        x = outer_optimizer(x, mean(1 x - Y))                          its state kept

    The paper's inner optimizer is AdamW and its outer one is Nesterov's momentum, the default; K is hundreds. Both may
    be any of optax, given as ``Partial(optax.adamw, learning_rate=1e-3)``, see `FedOpt`; `nesterov` of this module is
    optax's SGD with its switch. They get the model's parameter tensors, a tuple with `problem.shapes`, one client's at
    a time: ``Partial(optax.contrib.muon, learning_rate=0.02)`` orthogonalizes the matrices among them, and takes Adam's
    steps for all other tensors. What the clients' optimizers count, for a schedule too, are the local steps that a
    client has taken, and not those of rounds that it missed.

    Symbols: x is `x` (1, d), Y is (n, d); H is `local_steps`, theta is x, Delta is mean(1 x - Y).
    Cost per round: K minibatch gradients and one d-vector up per client that takes part, one d-vector down.
    Network: a server, `networks.server(n)`; absent clients neither compute nor send, and keep the states of their
    optimizers.
    Guarantee: with SGD inside, and SGD of learning rate 1 outside, it is `LocalSGD`. It is `FedOpt` with buffers =
    "keep". With K = 1 and SGD of learning rate 1 inside, the outer optimizer takes a step with the mean gradient.
    Reference: Douillard, Feng, Rusu, Chhaparia, Donchev, Kuncoro, Ranzato, Szlam, Shen (2023), arXiv:2311.08105,
    Algorithm 1; recalled, and as in the code of github.com/pytorch/torchft, local_sgd.py.
    Deviations: clients weigh the same.

    >>> import optax
    >>> from jaxdec import networks, problems, run
    >>> method = DiLoCo(Partial(optax.adamw, learning_rate=0.01), local_steps=10)
    >>> result = run(method, problems.quadratic(8, 3), networks.server(8), rounds=100)
    >>> bool(result.metrics["distance"][-1] < 0.2)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    inner_optimizer: Partial
    local_steps: int = static()
    outer_optimizer: Partial = OUTER

    def check(self) -> None:
        checked("DiLoCo", self)

    def init(self, problem, x0, r):
        x = x0.mean(axis=0, keepdims=True)
        inner = started(self.inner_optimizer, problem.shapes, x0)
        return State(x, inner, started(self.outer_optimizer, problem.shapes, x)), Cost()

    def step(self, problem, s, r):
        K, clients = self.local_steps, r.of(problem)
        y, inner = local(self.inner_optimizer, clients, r, K, r.spread(s.x), r.rows(s.inner))
        x, outer = stepped(self.outer_optimizer, problem.shapes, r.W @ (s.x - y), s.outer, s.x)
        cost = r.cost(K * clients.batch_size, 1, bits_down=32 * problem.d)
        return State(x, r.kept(s.inner, inner), outer), cost


class DecentralizedState(NamedTuple):
    x: Iterates  # (n, d), iterates
    inner: Any  # the states of the nodes' inner optimizers, (n, ...)
    outer: Any  # those of their outer optimizers, (n, ...)


@module
class DecentralizedDiLoCo:
    r"""DiLoCo on a graph: a node's outer optimizer follows how far its neighbours' models ended from its own.

    With K = local_steps and G the stochastic gradients, fresh in every local step::

        Y = X;  repeat K times:  Y = inner_optimizer(Y, G(Y))          each node's own, its state kept
        X = outer_optimizer(X, X - W Y)                                each node's own, its state kept

    Optimizers are given as in `DiLoCo`, and get a node's parameter tensors.

    Symbols: X is `x` (n, d), Y is (n, d); K is `local_steps`.
    Cost per round: K minibatch gradients per node, one d-vector to each neighbour.
    W: doubly stochastic.
    Guarantee: with W = 11'/n and one start it is `DiLoCo`, whatever the optimizers. With SGD of learning rate 1
    outside, X = W Y: with SGD inside it is `LocalDSGD`. With a heavy ball outside it is `NoLoCo`, whose pairs are
    `networks.random_matchings(n)`, and which says from where momentum makes nodes drift apart.
    Reference: the form of DiLoCo, Douillard et al. (2023), arXiv:2311.08105, that follows where the mean of all is one
    of neighbours; no paper was read that has it.

    >>> import optax
    >>> from jaxdec import networks, problems, run
    >>> inner, outer = Partial(optax.adamw, learning_rate=0.01), Partial(optax.sgd, learning_rate=1.0)
    >>> method = DecentralizedDiLoCo(inner, local_steps=10, outer_optimizer=outer)
    >>> result = run(method, problems.quadratic(8, 3, zeta=0.1), networks.ring(8), rounds=100)
    >>> bool(result.metrics["distance"][-1] < 0.2)
    True
    """

    requires: ClassVar[str] = "doubly stochastic"
    inner_optimizer: Partial
    local_steps: int = static()
    outer_optimizer: Partial = OUTER

    def check(self) -> None:
        checked("DecentralizedDiLoCo", self)

    def init(self, problem, x0, r):
        inner, outer = (started(o, problem.shapes, x0) for o in (self.inner_optimizer, self.outer_optimizer))
        return DecentralizedState(x0, inner, outer), Cost()

    def step(self, problem, s, r):
        y, inner = local(self.inner_optimizer, problem, r, self.local_steps, s.x, s.inner)
        x, outer = stepped(self.outer_optimizer, problem.shapes, s.x - r.W @ y, s.outer, s.x)
        return DecentralizedState(x, inner, outer), Cost(grads=self.local_steps * problem.batch_size, vectors=1)


def checked(name: str, method: Any) -> None:
    """Refuse what is no number of local steps, or no optimizer."""
    checks.integer(f"{name}.local_steps", method.local_steps)
    checks.optimizer(f"{name}.inner_optimizer", method.inner_optimizer)
    if "outer_optimizer" in vars(method):
        checks.optimizer(f"{name}.outer_optimizer", method.outer_optimizer)
