"""FedOpt: any optimizer at the server, any at the clients."""

from typing import Any, ClassVar, Literal, NamedTuple

import jax
from jax.tree_util import Partial
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.types import Cost

__all__ = ["FedOpt", "State"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    optimizer: Any  # the state of the server's optimizer
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
        kept = jax.vmap(self.client_optimizer().init)(x0) if self.buffers == "keep" else ()
        return State(x, self.server_optimizer().init(x), kept), Cost()

    def step(self, problem, s, r):
        import optax

        K, clients = self.local_steps, r.of(problem)
        client, server = self.client_optimizer(), self.server_optimizer()

        def local(k, carry):
            y, state = carry
            g = clients.grad(y, r.draw(clients, k, K))
            # Row by row: an optimizer may look at the norm of what it gets.
            updates, state = jax.vmap(client.update)(g, state, y)
            return optax.apply_updates(y, updates), state

        y, keeps = r.spread(s.x), self.buffers == "keep"
        begun = r.rows(s.clients) if keeps else jax.vmap(client.init)(y)
        y, ended = jax.lax.fori_loop(0, K, local, (y, begun))
        updates, optimizer = server.update(r.W @ (s.x - y), s.optimizer, s.x)
        x: Any = optax.apply_updates(s.x, updates)
        cost = r.cost(K * clients.batch_size, 1, bits_down=32 * problem.d)
        return State(x, optimizer, r.kept(s.clients, ended) if keeps else ()), cost
