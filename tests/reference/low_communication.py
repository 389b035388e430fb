"""Low-communication training, one plain Python loop over the nodes each.

Methods of a server have the arguments and results of `local`, those of a graph the ones of `decentralized`. `inner()`
and `outer()` make an optimizer with `step(x, g)`, of one vector.
"""

import numpy as np

from reference.decentralized import mix, nodes
from reference.local import AdamVector


class Nesterov:
    """SGD with momentum that looks ahead, as that of Sutskever et al. in PyTorch and optax."""

    def __init__(self, lr, momentum):
        self.lr, self.momentum, self.u = lr, momentum, 0.0

    def step(self, x, g):
        self.u = self.momentum * self.u + g
        return x - self.lr * (g + self.momentum * self.u)


class AdamW:
    """Adam with decoupled weight decay, Loshchilov, Hutter (arXiv 1711.05101), whose decay is times the step size."""

    def __init__(self, lr, b1, b2, eps, decay):
        self.adam, self.shrink = AdamVector(lr, b1, b2, eps), lr * decay

    def step(self, x, g):
        return self.adam.step(x, g) - self.shrink * x


def streaming_diloco(
    grad, x0, rounds, present, *, clients, inner, outer, local_steps, of, period, delay=0, alpha=0.0
):  # fmt: skip
    """Streaming DiLoCo, Douillard et al. (arXiv 2501.18512), message by message; `of` is each parameter's fragment."""
    x, of, P = np.array(x0, float), np.array(of), max(of) + 1
    y, optimizers = [x.copy() for _ in range(clients)], [inner() for _ in range(clients)]
    servers, versions, flying = [outer() for _ in range(P)], [0] * P, []
    has = [[0] * P for _ in range(clients)]
    history = [x.copy()]
    for t in range(rounds):
        for i in present(t):
            for p in range(P):
                if has[i][p] < versions[p]:
                    mine = of == p
                    y[i][mine] = alpha * y[i][mine] + (1 - alpha) * x[mine]
                    has[i][p] = versions[p]
            for j in range(local_steps):
                y[i] = optimizers[i].step(y[i], grad(i, y[i], t * local_steps + j))
        for p in range(P):
            if (t + 1 - (p + 1) * period // P) % period == 0:
                moves = [x[of == p] - y[i][of == p] for i in present(t)]
                flying.append((t + delay, p, sum(moves) / len(moves)))
        for _, p, move in [message for message in flying if message[0] == t]:
            x[of == p] = servers[p].step(x[of == p], move)
            versions[p] += 1
        history.append(x.copy())
    return np.array(history)


def decentralized_diloco(W, grad, x0, rounds, *, inner, outer, local_steps):
    """DiLoCo whose mean is that of neighbours."""
    x = nodes(x0)
    optimizers, outers = [inner() for _ in x], [outer() for _ in x]
    history = [list(x)]
    for t in range(rounds):
        y = _ends(grad, x, t, optimizers, local_steps)
        mixed = mix(W, y)
        x = [outers[i].step(x[i], x[i] - mixed[i]) for i in range(len(x))]
        history.append(list(x))
    return np.array(history)


def noloco(W, grad, x0, rounds, *, inner, local_steps, outer_lr, momentum, consensus_lr):
    """NoLoCo, Kolehmainen et al. (arXiv 2506.10911), as in the authors' sparse_optimizer_c.py."""
    x = nodes(x0)
    optimizers, m = [inner() for _ in x], [np.zeros_like(v) for v in x]
    history = [list(x)]
    for t in range(rounds):
        y = _ends(grad, x, t, optimizers, local_steps)
        slow, moves = mix(W, x), mix(W, [y[i] - x[i] for i in range(len(x))])
        for i in range(len(x)):
            m[i] = momentum * m[i] + outer_lr * moves[i] + consensus_lr * (slow[i] - x[i])
        x = [x[i] + m[i] for i in range(len(x))]
        history.append(list(x))
    return np.array(history)


def _ends(grad, x, t, optimizers, local_steps):
    ends = []
    for i in range(len(x)):
        y = x[i].copy()
        for j in range(local_steps):
            y = optimizers[i].step(y, grad(i, y, t * local_steps + j))
        ends.append(y)
    return ends
