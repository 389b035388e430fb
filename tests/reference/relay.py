"""RelaySGD node by node and message by message, after Algorithm 1 of Vogels et al. (arXiv 2110.04175).

`W` says only who hears whom; arguments and results are those of `decentralized`.
"""

from collections import defaultdict

import numpy as np

from .decentralized import nodes


def neighbours(W):
    """Of each node."""
    n = len(W)
    return [[j for j in range(n) if j != i and W[i, j] != 0] for i in range(n)]


def behind(near, i, j):
    """How many nodes are on j's side of the edge between i and j."""
    return 1 + sum(behind(near, j, k) for k in near[j] if k != i)


def relay_sgd(W, grad, x0, rounds, *, lr):
    """RelaySum/Model, where a node's start stands for all that it did not hear yet, also in what it relays."""
    x, n, near = nodes(x0), len(x0), neighbours(W)
    message = {(j, i): behind(near, i, j) * x[i] for i in range(n) for j in near[i]}
    history = [list(x)]
    for t in range(rounds):
        v = [x[i] - lr * grad(i, x[i], t) for i in range(n)]
        message = {(j, i): v[j] + sum(message[k, j] for k in near[j] if k != i) for i in range(n) for j in near[i]}
        x = [(v[i] + sum(message[j, i] for j in near[i])) / n for i in range(n)]
        history.append(list(x))
    return np.array(history)


def relay_sgd_counted(W, grad, x0, rounds, *, lr):
    """RelaySum/Model as published, of one start: counters are sent along, and x0 is put in for what is missing."""
    x, start, n, near = nodes(x0), nodes(x0)[0], len(x0), neighbours(W)
    message, count = defaultdict(float), defaultdict(int)
    history = [list(x)]
    for t in range(rounds):
        v = [x[i] - lr * grad(i, x[i], t) for i in range(n)]
        sent, counted = defaultdict(float), defaultdict(int)
        for i in range(n):
            for j in near[i]:
                sent[i, j] = v[i] + sum(message[k, i] for k in near[i] if k != j)
                counted[i, j] = 1 + sum(count[k, i] for k in near[i] if k != j)
        message, count = sent, counted
        for i in range(n):
            missing = n - 1 - sum(count[j, i] for j in near[i])
            x[i] = (v[i] + sum(message[j, i] for j in near[i]) + missing * start) / n
        history.append(list(x))
    return np.array(history)


def relay_sgd_grad(W, grad, x0, rounds, *, lr):
    """RelaySum/Grad: for what did not arrive yet there is nothing."""
    x, n, near = nodes(x0), len(x0), neighbours(W)
    message = defaultdict(float)
    history = [list(x)]
    for t in range(rounds):
        u = [-lr * grad(i, x[i], t) for i in range(n)]
        sent = {(i, j): u[i] + sum(message[k, i] for k in near[i] if k != j) for i in range(n) for j in near[i]}
        message = defaultdict(float, sent)
        x = [x[i] + (u[i] + sum(message[j, i] for j in near[i])) / n for i in range(n)]
        history.append(list(x))
    return np.array(history)
