"""FedOpt: any optimizer at the server, any at the clients."""

from typing import Any, ClassVar, Literal, NamedTuple

from jax.tree_util import Partial
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.algorithms._optimizers import local, started, stepped
from jaxdec.types import Cost

__all__ = ["FedOpt", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    optimizer: Any  # the state of the server's optimizer, (1, ...)
    clients: Any  # those of the clients' optimizers, (n, ...) each, where they are kept; else ()


@module
class FedOpt:
    r"""FedOpt: the mean of the clients' moves is a gradient, up to its sign, for an optimizer at the server.

    With K = local_steps, G the stochastic gradients, fresh in every local step, and mean over those who take part::

        Y = 1 x;  repeat K times:  Y = client_optimizer(Y, G(Y))      its state fresh in every round, buffers = "reset",
                                                                      or each client's own, buffers = "keep"
        x = server_optimizer(x, mean(1 x - Y))                       its state kept

    FedAdam, FedYogi and FedAdagrad have optax.adam, yogi and adagrad at the server and SGD at the clients; optax.sgd
    there with momentum is FedAvgM, without it `LocalSGD`, its learning rate being outer_lr.

    Optimizers are optax's, given as ``jax.tree_util.Partial(optax.adam, learning_rate=0.01, b1=0.9)``: the numbers in a
    Partial stay traced, so that many values of them are one program. A switch is bound inside, by a function at module
    level: ``Partial(nesterov, learning_rate=0.1)`` with ``def nesterov(**kw): return optax.sgd(**kw, nesterov=True)``.
    They are given the model's parameter tensors, a tuple with `problem.shapes`, one client's at a time.

    Symbols: x is `x` (1, d), Y is (n, d); K is `local_steps`; ClientOpt and ServerOpt are `client_optimizer` and
    `server_optimizer`, whose learning rates are eta_l and eta; mean(1 x - Y) is -Delta.
    Cost per round: K minibatch gradients and one d-vector up per client that takes part, one d-vector down.
    Network: a server, `networks.server(n)`; absent clients neither compute nor send.
    Guarantee: none that is checked here; with SGD at both ends that of `LocalSGD`, bias included.
    Reference: Reddi, Charles, Zaheer, Garrett, Rush, Konečný, Kumar, McMahan (2021), arXiv:2003.00295, Algorithm 1.
    Deviations: clients weigh the same. optax's adam corrects its bias, which FedAdam does not; its yogi and adagrad
    start their accumulators at values of their own.

    >>> import optax
    >>> from jaxdec import networks, problems, run
    >>> method = FedOpt(Partial(optax.adam, learning_rate=0.05), Partial(optax.sgd, learning_rate=0.1), local_steps=5)
    >>> result = run(method, problems.quadratic(8, 3), networks.server(8), rounds=300)
    >>> bool(result.metrics["distance"][-1] < 0.1)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    server_optimizer: Partial
    client_optimizer: Partial
    local_steps: int = static()
    buffers: Literal["reset", "keep"] = static(default="reset")

    def check(self) -> None:
        checks.integer("FedOpt.local_steps", self.local_steps)
        checks.choice("FedOpt.buffers", self.buffers, ("reset", "keep"))
        for name in ("server_optimizer", "client_optimizer"):
            checks.optimizer(f"FedOpt.{name}", getattr(self, name))

    def init(self, problem, x0, r):
        x = x0.mean(axis=0, keepdims=True)
        kept = started(self.client_optimizer, problem.shapes, x0) if self.buffers == "keep" else ()
        return State(x, started(self.server_optimizer, problem.shapes, x), kept), Cost()

    def step(self, problem, s, r):
        K, clients, keeps, y = self.local_steps, r.of(problem), self.buffers == "keep", r.spread(s.x)
        begun = r.rows(s.clients) if keeps else started(self.client_optimizer, problem.shapes, y)
        y, ended = local(self.client_optimizer, clients, r, K, y, begun)
        x, optimizer = stepped(self.server_optimizer, problem.shapes, r.W @ (s.x - y), s.optimizer, s.x)
        cost = r.cost(K * clients.batch_size, 1, bits_down=32 * problem.d)
        return State(x, optimizer, r.kept(s.clients, ended) if keeps else ()), cost
