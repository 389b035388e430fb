"""Messages that are late or lost, one by one on the host; and methods that mix by them.

`mix`(t, z) is what `W @ z` becomes in round t, for z of n rows. `delay`(t)[i, j] is how many rounds the message takes
that j sends to i in round t, and `arrived`(t)[i, j] whether it ever arrives.
"""

import numpy as np


def neighbours(W):
    return [(i, j) for i in range(len(W)) for j in range(len(W)) if i != j and W[i, j] != 0]


def last_arrived(W, delay):
    """Of what has arrived the last sent; a node's own vector until something has."""
    flying, last = [], {}

    def mix(t, z):
        nonlocal flying
        flying += [(t + delay(t)[i, j], t, (i, j), z[j].copy()) for i, j in neighbours(W)]
        for at, sent, arc, value in flying:
            if at <= t and (arc not in last or last[arc][0] < sent):
                last[arc] = sent, value
        flying = [message for message in flying if message[0] > t]
        return _sum(W, z, {arc: value for arc, (_, value) in last.items()})

    return mix


def added_up(W, delay):
    """All that arrives in a round, weighed when it was sent."""
    flying = []

    def mix(t, z):
        nonlocal flying
        flying += [(t + delay(t)[i, j], i, W[i, j] * z[j]) for i, j in neighbours(W)]
        out = np.array([W[i, i] * z[i] for i in range(len(W))])
        for _, i, value in (message for message in flying if message[0] == t):
            out[i] = out[i] + value
        flying = [message for message in flying if message[0] > t]
        return out

    return mix


def held(W, arrived):
    """What was lost is replaced by what arrived last over the arc; by a node's own vector if nothing did."""
    last = {}

    def mix(t, z):
        last.update({(i, j): z[j].copy() for i, j in neighbours(W) if arrived(t)[i, j]})
        return _sum(W, z, last)

    return mix


def _sum(W, z, heard):
    out = np.array([W[i, i] * z[i] for i in range(len(W))])
    for i, j in neighbours(W):
        out[i] = out[i] + W[i, j] * heard.get((i, j), z[i])
    return out


def dsgd(mix, grad, x0, rounds, *, lr, form="atc"):
    x = np.array(x0)
    path, nodes = [x], range(len(x))
    for t in range(rounds):
        step = lr * np.array([grad(i, x[i], t) for i in nodes])
        x = mix(t, x - step) if form == "atc" else mix(t, x) - step
        path.append(x)
    return np.array(path)


def dsgdm(mix, grad, x0, rounds, *, lr, momentum):
    x, u = np.array(x0), np.zeros_like(x0)
    path, nodes = [x], range(len(x))
    for t in range(rounds):
        u = momentum * u + np.array([grad(i, x[i], t) for i in nodes])
        x = mix(t, x - lr * u)
        path.append(x)
    return np.array(path)


def dadam(mix, grad, x0, rounds, *, lr, b1, b2, eps):
    x, m, v = np.array(x0), np.zeros_like(x0), np.zeros_like(x0)
    path, nodes = [x], range(len(x))
    for t in range(rounds):
        g = np.array([grad(i, x[i], t) for i in nodes])
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        x = mix(t, x - lr * m / (1 - b1 ** (t + 1)) / (np.sqrt(v / (1 - b2 ** (t + 1))) + eps))
        path.append(x)
    return np.array(path)


def dfedsam(mix, grad, x0, rounds, *, lr, local_steps, radius):
    x = np.array(x0)
    path = [x]
    for t in range(rounds):
        y = x.copy()
        for i in range(len(x)):
            for k in range(t * local_steps, (t + 1) * local_steps):
                g = grad(i, y[i], k)
                y[i] = y[i] - lr * grad(i, y[i] + radius * g / np.linalg.norm(g), k)
        x = mix(t, y)
        path.append(x)
    return np.array(path)


def push_sum(mix_u, mix_y, grad, x0, rounds, *, lr=None):
    """Averaging where lr is None, else stochastic gradient push."""
    u, y = np.array(x0), np.ones(len(x0))
    path, nodes = [u], range(len(u))
    for t in range(rounds):
        u, y = mix_u(t, u), mix_y(t, y)
        x = u / y[:, None]
        if lr is not None:
            u = u - lr * np.array([grad(i, x[i], t) for i in nodes])
        path.append(x)
    return np.array(path)
