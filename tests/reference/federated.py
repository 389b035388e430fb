"""Federated methods of the families of FedProx, FedADMM, FedOpt and Mime, one plain Python loop over the clients each.

`x0`, `grad(i, x, k)` and `present(t)` are as in `local`, `full(i, x)` is client i's exact gradient, and
`prox(i, x, step)` its exact proximal step. `steps` is how many local steps there are in a round: a method with K of
them uses the minibatches k = t * K + j. Unless its docstring says otherwise, a function returns the server's models at
rounds 0..rounds, of shape (rounds + 1, d), in float64.
"""

import numpy as np


def walk(x, K, direction, lr):
    """K steps from x against direction(y, j), j = 0, ..., K - 1."""
    y = x.copy()
    for j in range(K):
        y = y - lr * direction(y, j)
    return y


def fedprox(grad, x0, rounds, present, *, lr, steps, penalty):
    """FedProx, Li et al. (arXiv 1812.06127), with K gradient steps on each local problem."""
    x = np.array(x0, float)
    history = [x]
    for t in range(rounds):
        ends = [
            walk(x, steps, lambda y, j, i=i, x=x, t=t: grad(i, y, t * steps + j) + penalty * (y - x), lr)
            for i in present(t)
        ]
        x = sum(ends) / len(ends)
        history.append(x)
    return np.array(history)


def feddyn(grad, x0, rounds, present, *, clients, lr, steps, penalty):
    """FedDyn, Acar et al. (arXiv 2111.04263), with K gradient steps on each local problem."""
    x = np.array(x0, float)
    h, linear = np.zeros_like(x), [np.zeros_like(x) for _ in range(clients)]
    history = [x]
    for t in range(rounds):
        ends = []
        for i in present(t):
            y = x.copy()
            for j in range(steps):
                y = y - lr * (grad(i, y, t * steps + j) - linear[i] + penalty * (y - x))
            linear[i] = linear[i] - penalty * (y - x)
            ends.append(y)
        h = h - penalty / clients * sum(y - x for y in ends)
        x = sum(ends) / len(ends) - h / penalty
        history.append(x)
    return np.array(history)


def fedpd(grad, x0, talks, *, clients, lr, steps, penalty):
    """FedPD, Zhang et al. (arXiv 2005.11418); `talks[t]` says whether round t communicates."""
    x = np.array(x0, float)
    models, duals = [x.copy() for _ in range(clients)], [np.zeros_like(x) for _ in range(clients)]
    centres = [x.copy() for _ in range(clients)]
    history = [x]
    for t, talk in enumerate(talks):
        for i in range(clients):
            y = models[i]
            for j in range(steps):
                y = y - lr * (grad(i, y, t * steps + j) + duals[i] + (y - centres[i]) / penalty)
            models[i] = y
            duals[i] = duals[i] + (y - centres[i]) / penalty
            centres[i] = y + penalty * duals[i]
        if talk:
            x = sum(centres) / clients
            centres = [x.copy() for _ in range(clients)]
        history.append(x)
    return np.array(history)


def fedadmm(grad, x0, rounds, present, *, clients, lr, steps, penalty, outer_lr=1.0):
    """FedADMM, Wang et al. (arXiv 2203.15104), with K gradient steps on each local problem."""
    x = np.array(x0, float)
    models, duals = [x.copy() for _ in range(clients)], [np.zeros_like(x) for _ in range(clients)]
    history = [x]
    for t in range(rounds):
        total = np.zeros_like(x)
        for i in present(t):
            before = models[i] + duals[i] / penalty
            y = models[i]
            for j in range(steps):
                y = y - lr * (grad(i, y, t * steps + j) + duals[i] + penalty * (y - x))
            models[i], duals[i] = y, duals[i] + penalty * (y - x)
            total = total + models[i] + duals[i] / penalty - before
        x = x + outer_lr / clients * total
        history.append(x)
    return np.array(history)


def fedsplit(prox, x0, rounds, *, clients, lr):
    """FedSplit, Pathak and Wainwright (arXiv 2005.05238), Algorithm 1."""
    x = np.array(x0, float)
    z = [x.copy() for _ in range(clients)]
    history = [x]
    for _ in range(rounds):
        for i in range(clients):
            half = prox(i, 2 * x - z[i], lr)
            z[i] = z[i] + 2 * (half - x)
        x = sum(z) / clients
        history.append(x)
    return np.array(history)


def fedlt(grad, x0, rounds, present, *, clients, lr, steps, penalty):
    """Fed-LT, Bastianello et al. (arXiv 2403.17572 without noise), with gradient descent as its local solver."""
    x = np.array(x0, float)
    z, models = [x.copy() for _ in range(clients)], [x.copy() for _ in range(clients)]
    history = [x]
    for t in range(rounds):
        for i in present(t):
            v, w = 2 * x - z[i], models[i]
            for j in range(steps):
                w = w - lr * (grad(i, w, t * steps + j) + (w - v) / penalty)
            models[i], z[i] = w, z[i] + 2 * (w - x)
        x = sum(z) / clients
        history.append(x)
    return np.array(history)


def fednova(grad, x0, rounds, present, *, lr, steps, momentum=0.0, penalty=0.0, outer_lr=1.0, outer_momentum=0.0):
    """FedNova, Wang et al. (arXiv 2007.07481), equal weights; client i makes steps[i] of max(steps) local steps."""
    x = np.array(x0, float)
    m, most = np.zeros_like(x), max(steps)
    history = [x]
    for t in range(rounds):
        normalized, worth = [], []
        for i in present(t):
            y, u, s, a = x.copy(), np.zeros_like(x), 0.0, 0.0
            for j in range(steps[i]):
                u = momentum * u + grad(i, y, t * most + j) + penalty * (y - x)
                y = y - lr * u
                s = momentum * s + 1
                a = (1 - lr * penalty) * a + s
            normalized.append((x - y) / a)
            worth.append(a)
        m = outer_momentum * m + np.mean(worth) * sum(normalized) / len(normalized)
        x = x - outer_lr * m
        history.append(x)
    return np.array(history)


def fedexp(grad, x0, rounds, present, *, lr, steps, eps):
    """FedExP, Jhunjhunwala et al. (arXiv 2301.09604), Algorithm 1, without its mean of the last two models."""
    x = np.array(x0, float)
    history = [x]
    for t in range(rounds):
        moves = []
        for i in present(t):
            moves.append(x - walk(x, steps, lambda y, j, i=i, t=t: grad(i, y, t * steps + j), lr))
        mean = sum(moves) / len(moves)
        eta = max(1.0, sum(np.sum(d**2) for d in moves) / (2 * len(moves) * (np.sum(mean**2) + eps)))
        x = x - eta * mean
        history.append(x)
    return np.array(history)


def served(grad, x0, rounds, present, *, lr, steps, server, momentum=0.0):
    """Local heavy-ball steps, whose mean move server(x, move) turns into the next model: FedAvgM, FedAdam, SlowMo."""
    x = np.array(x0, float)
    history = [x]
    for t in range(rounds):
        moves = []
        for i in present(t):
            y, v = x.copy(), np.zeros_like(x)
            for j in range(steps):
                v = momentum * v + grad(i, y, t * steps + j)
                y = y - lr * v
            moves.append(y - x)
        x = server(x, sum(moves) / len(moves))
        history.append(x)
    return np.array(history)


class HeavyBall:
    """The server of FedAvgM, Hsu et al. (arXiv 1909.06335), and with unit = lr that of SlowMo (arXiv 1910.00643)."""

    def __init__(self, momentum, lr=1.0, unit=1.0):
        self.momentum, self.lr, self.unit, self.v = momentum, lr, unit, 0.0

    def __call__(self, x, move):
        self.v = self.momentum * self.v - move / self.unit
        return x - self.lr * self.unit * self.v


class Adaptive:
    """The server of FedAdam, FedYogi and FedAdagrad, Reddi et al. (arXiv 2003.00295), Algorithm 2."""

    def __init__(self, rule, lr, b1, b2, tau):
        self.rule, self.lr, self.b1, self.b2, self.tau = rule, lr, b1, b2, tau
        self.m, self.v = 0.0, tau**2

    def __call__(self, x, move):
        self.m = self.b1 * self.m + (1 - self.b1) * move
        if self.rule == "adam":
            self.v = self.b2 * self.v + (1 - self.b2) * move**2
        elif self.rule == "yogi":
            self.v = self.v - (1 - self.b2) * move**2 * np.sign(self.v - move**2)
        else:
            self.v = self.v + move**2
        return x + self.lr * self.m / (np.sqrt(self.v) + self.tau)


def mime(grad, full, x0, rounds, present, *, lr, steps, momentum, outer_lr=1.0, lite=False):
    """Mime and MimeLite with momentum SGD, Karimireddy et al. (arXiv 2008.03606), Algorithm 1."""
    x = np.array(x0, float)
    m = np.zeros_like(x)
    history = [x]
    for t in range(rounds):
        chosen = present(t)
        c = sum(full(i, x) for i in chosen) / len(chosen)
        moves = []
        for i in chosen:
            y = x.copy()
            for j in range(steps):
                g = grad(i, y, t * steps + j)
                if not lite:
                    g = g - grad(i, x, t * steps + j) + c
                y = y - lr * ((1 - momentum) * g + momentum * m)
            moves.append(y - x)
        x = x + outer_lr * sum(moves) / len(moves)
        m = (1 - momentum) * c + momentum * m
        history.append(x)
    return np.array(history)
