"""Local methods at a server, one plain Python loop over the clients each.

`x0` is the server's model (d,), `grad(i, x, k)` is client i's stochastic gradient at `x` for its k-th draw, k counted
from 0 over the whole run, and `present(t)` lists the clients, at least one, that take part in round t. A method with K
local steps uses k = t * K + j. Unless its docstring says otherwise, a function returns the server's models at rounds
0..rounds, of shape (rounds + 1, d), in float64.
"""

import numpy as np


def local_sgd(grad, x0, rounds, present, *, lr, local_steps, outer_lr=1.0):
    """Federated averaging, McMahan et al. (arXiv 1602.05629), with equal weights; outer_lr = 1 is its own."""
    x = np.array(x0, float)
    history = [x]
    for t in range(rounds):
        moves = []
        for i in present(t):
            y = x.copy()
            for j in range(local_steps):
                y = y - lr * grad(i, y, t * local_steps + j)
            moves.append(y - x)
        x = x + outer_lr * sum(moves) / len(moves)
        history.append(x)
    return np.array(history)


def scaffold(grad, x0, rounds, present, *, clients, lr, local_steps, outer_lr=1.0, option="II"):
    """SCAFFOLD, Karimireddy et al. (arXiv 1910.06378); also returns the server's control variate and the clients'.

    Option I draws one more gradient per round, at the server's model, after the local steps: k = t * (K + 1) + K.
    """
    x = np.array(x0, float)
    c, ci = np.zeros_like(x), [np.zeros_like(x) for _ in range(clients)]
    per_round = local_steps + 1 if option == "I" else local_steps
    history, variates = [x], [[c, *ci]]
    for t in range(rounds):
        dx, dc = np.zeros_like(x), np.zeros_like(x)
        chosen = present(t)
        for i in chosen:
            y = x.copy()
            for j in range(local_steps):
                y = y - lr * (grad(i, y, t * per_round + j) - ci[i] + c)
            new = grad(i, x, t * per_round + local_steps) if option == "I" else ci[i] - c + (x - y) / (local_steps * lr)
            dx = dx + (y - x) / len(chosen)
            dc = dc + (new - ci[i]) / clients
            ci[i] = new
        x = x + outer_lr * dx
        c = c + dc
        history.append(x)
        variates.append([c, *ci])
    return np.array(history), np.array(variates)


def scaffnew(grad, x0, lengths, *, clients, lr, prob):
    """Scaffnew, Mishchenko et al. (arXiv 2202.09357), Algorithm 2: `lengths[t]` local steps before communication t.

    Also returns the clients' control variates, (rounds + 1, clients, d).
    """
    x, k = np.array(x0, float), 0
    h = [np.zeros_like(x) for _ in range(clients)]
    history, variates = [x], [np.array(h)]
    for length in lengths:
        ends = []
        for i in range(clients):
            y = x.copy()
            for j in range(length):
                y = y - lr * (grad(i, y, k + j) - h[i])
            ends.append(y)
        k += length
        x = sum(ends) / clients
        h = [h[i] + prob / lr * (x - ends[i]) for i in range(clients)]
        history.append(x)
        variates.append(np.array(h))
    return np.array(history), np.array(variates)


def vr_proxskip(grad, full, x0, lengths, renewals, *, clients, lr, prob):
    """ProxSkip with L-SVRG, Malinovsky et al. (arXiv 2207.04338), as in their code.

    `full(i, x)` is client i's exact gradient, and `renewals[t]` says whose points of reference are new after
    communication t.
    """
    x, k = np.array(x0, float), 0
    h, reference = [np.zeros_like(x) for _ in range(clients)], [x.copy() for _ in range(clients)]
    history = [x]
    for length, renewed in zip(lengths, renewals, strict=True):
        ends = []
        for i in range(clients):
            y = x.copy()
            for j in range(length):
                g = grad(i, y, k + j) - grad(i, reference[i], k + j) + full(i, reference[i])
                y = y - lr * (g - h[i])
            ends.append(y)
        k += length
        x = sum(ends) / clients
        for i in range(clients):
            h[i] = h[i] + prob / lr * (x - ends[i])
            if renewed[i]:
                reference[i] = x.copy()
        history.append(x)
    return np.array(history)


class Momentum:
    """SGD with heavy-ball momentum, on one vector."""

    def __init__(self, lr, momentum):
        self.lr, self.momentum, self.u = lr, momentum, 0.0

    def step(self, x, g):
        self.u = self.momentum * self.u + g
        return x - self.lr * self.u


class AdamVector:
    """Adam, Kingma and Ba (arXiv 1412.6980), Algorithm 1, on one vector."""

    def __init__(self, lr, b1, b2, eps):
        self.lr, self.b1, self.b2, self.eps = lr, b1, b2, eps
        self.m, self.v, self.t = 0.0, 0.0, 0

    def step(self, x, g):
        self.t += 1
        self.m = self.b1 * self.m + (1 - self.b1) * g
        self.v = self.b2 * self.v + (1 - self.b2) * g * g
        mhat, vhat = self.m / (1 - self.b1**self.t), self.v / (1 - self.b2**self.t)
        return x - self.lr * mhat / (np.sqrt(vhat) + self.eps)


def fed_opt(grad, x0, rounds, present, *, server, client, local_steps, keep=0):
    """FedOpt, Reddi et al. (arXiv 2003.00295), Algorithm 1: `server` is an optimizer, `client()` makes a fresh one.

    With keep = n clients each has one of its own for the whole run.
    """
    x, own = np.array(x0, float), [client() for _ in range(keep)]
    history = [x]
    for t in range(rounds):
        moves = []
        for i in present(t):
            y, optimizer = x.copy(), own[i] if keep else client()
            for j in range(local_steps):
                y = optimizer.step(y, grad(i, y, t * local_steps + j))
            moves.append(y - x)
        x = server.step(x, -sum(moves) / len(moves))
        history.append(x)
    return np.array(history)


KINDS = {
    "adam": ("squared", True),
    "rmsprop": ("squared", False),
    "adagrad": ("sum", False),
    "oasis": ("linear", False),
    "adahessian": ("squared", True),
}


class Diagonal:
    """One raw diagonal D, coordinate by coordinate, updated by the rule of `kind`."""

    def __init__(self, kind, d, *, alpha, beta=None, rule="max", start="statistic"):
        self.recursion, self.corrected = KINDS[kind]
        self.alpha, self.beta, self.rule, self.start = alpha, beta, rule, start
        self.k = 0
        self.D = np.full(d, 0.0 if start == "zero" or kind == "adagrad" else 1.0)

    def update(self, S, by=1):
        for a in range(len(self.D)):
            if self.recursion == "sum":
                self.D[a] = np.sqrt(self.D[a] ** 2 + S[a] ** 2)
                continue
            beta = self.beta
            if self.corrected:
                beta = (beta - beta ** (self.k + 1)) / (1 - beta ** (self.k + 1))
            elif self.start == "statistic" and self.k == 0:
                beta = 0.0
            if self.recursion == "squared":
                self.D[a] = np.sqrt(beta * self.D[a] ** 2 + (1 - beta) * S[a] ** 2)
            else:
                self.D[a] = beta * self.D[a] + (1 - beta) * S[a]
        self.k += by

    def hat(self):
        return np.maximum(np.abs(self.D), self.alpha) if self.rule == "max" else np.abs(self.D) + self.alpha


def savic(
    grad,
    statistic,
    x0,
    rounds,
    present,
    *,
    clients,
    lr,
    local_steps,
    diagonal,
    scope="global",
    at="synchronized",
    average="mean",
    by=1,
    average_diagonals=False,
    momentum=None,
    form="heavy ball",
    buffers="average",
):
    """SAVIC, Chezhegov et al. (arXiv 2406.00846): local SGD divided by a diagonal that changes at synchronization only.

    `statistic(i, x, k)` is client i's statistic at `x` on the minibatch of its k-th draw, and `diagonal()` makes a new
    `Diagonal`. at="synchronized": the statistic is taken at the server's model before the first local step, which uses
    it. at="last": at the point of the last local step, for the next round. scope="local": each client has a diagonal
    of its own, updated before every local step; average_diagonals averages those of the clients present afterwards.
    """
    x = np.array(x0, float)
    shared, own = diagonal(), [diagonal() for _ in range(clients)]
    u = [np.zeros_like(x) for _ in range(clients)]
    history = [x]

    def combine(values):
        if average == "squares":
            return np.sqrt(sum(v**2 for v in values) / len(values))
        return sum(values) / len(values)

    for t in range(rounds):
        chosen = present(t)
        k0 = t * local_steps
        if scope == "global" and at == "synchronized":
            shared.update(combine([statistic(i, x, k0) for i in chosen]), by)
        ends, last = [], []
        for i in chosen:
            y = x.copy()
            for j in range(local_steps):
                if scope == "local":
                    own[i].update(statistic(i, y, k0 + j))
                elif j == local_steps - 1:
                    last.append(statistic(i, y, k0 + j))
                step = grad(i, y, k0 + j)
                if momentum is not None:
                    weight = 1 - momentum if form == "ema" else 1.0
                    u[i] = momentum * u[i] + weight * step
                    step = u[i]
                y = y - lr * step / (own[i] if scope == "local" else shared).hat()
            ends.append(y)
        x = sum(ends) / len(ends)
        if scope == "global" and at == "last":
            shared.update(combine(last), by)
        if average_diagonals:
            D = sum(own[i].D for i in chosen) / len(chosen)
            for i in chosen:
                own[i].D = D.copy()
        if buffers == "average":
            mean = sum(u[i] for i in chosen) / len(chosen)
            u = [mean.copy() for _ in range(clients)]
        elif buffers == "reset":
            u = [np.zeros_like(x) for _ in range(clients)]
        history.append(x)
    return np.array(history)
