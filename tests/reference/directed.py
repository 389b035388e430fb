"""Push-sum methods on directed graphs, AB/Push-Pull, and CHOCO, one plain Python loop over the nodes each.

For the push-sum family `W` is column-stochastic: W[i, j] is what j sends to i, and 1'W = 1'. The signatures, `grad` and
the count of gradient draws are those of `decentralized`; the gossip methods have no `grad`. `quantize(t, i, v)` and
`compress(t, i, v)` return node i's message for the vector v in round t. Every method that carries push-sum weights
returns the pair (z, x): the de-biased ratios and the numerators, each (rounds + 1, n, d), with z = x at round 0.
"""

import numpy as np


def nodes(x0):
    """The rows of x0 as a list of float64 vectors, one per node."""
    return [np.array(row, dtype=np.float64) for row in x0]


def mix(W, x):
    """Every node's weighted sum over its in-neighbours: sum_j W[i, j] x[j], for vectors or scalar weights x[j]."""
    n = len(x)
    return [sum(W[i, j] * x[j] for j in range(n)) for i in range(n)]


def push_sum_gossip(W, x0, rounds):
    """Push-sum averaging, Kempe, Dobra and Gehrke (FOCS 2003): x = W x, y = W y, z = x / y. Returns (z, x)."""
    x = nodes(x0)
    n = len(x)
    y = [1.0] * n
    zs, xs = [list(x)], [list(x)]
    for _ in range(rounds):
        x = mix(W, x)
        y = mix(W, y)
        zs.append([x[i] / y[i] for i in range(n)])
        xs.append(list(x))
    return np.array(zs), np.array(xs)


def push_sum_sgd(W, grad, x0, rounds, *, lr):
    """Stochastic subgradient-push, Nedic and Olshevsky (arXiv 1406.2075): mix, de-bias, gradient at the new z.

    Returns (z, x), where x is after and z before the round's gradient step: x_{t+1} = y_{t+1} z_{t+1} - lr g(z_{t+1}).
    """
    x = nodes(x0)
    n = len(x)
    y = [1.0] * n
    zs, xs = [list(x)], [list(x)]
    for t in range(rounds):
        v = mix(W, x)
        y = mix(W, y)
        z = [v[i] / y[i] for i in range(n)]
        x = [v[i] - lr * grad(i, z[i], t) for i in range(n)]
        zs.append(z)
        xs.append(list(x))
    return np.array(zs), np.array(xs)


def sgp_assran(W, grad, x0, rounds, *, lr):
    """Stochastic gradient push, Algorithm 1 of Assran et al. (arXiv 1811.10792): gradient at z, mix, de-bias.

    Returns (z, x), both after the round's mixing: z = x / y.
    """
    x = nodes(x0)
    n = len(x)
    y = [1.0] * n
    z = [x[i] / y[i] for i in range(n)]
    zs, xs = [list(z)], [list(x)]
    for t in range(rounds):
        half = [x[i] - lr * grad(i, z[i], t) for i in range(n)]
        x = mix(W, half)
        y = mix(W, y)
        z = [x[i] / y[i] for i in range(n)]
        zs.append(list(z))
        xs.append(list(x))
    return np.array(zs), np.array(xs)


def qps_gossip(W, x0, rounds, *, quantize):
    """Quantized push-sum averaging, Taheri, Mokhtari, Hassani and Pedarsani (arXiv 2002.09964). Returns (z, x)."""
    x = nodes(x0)
    n = len(x)
    xhat = [np.zeros_like(x[i]) for i in range(n)]
    y = [1.0] * n
    zs, xs = [list(x)], [list(x)]
    for t in range(rounds):
        q = [quantize(t, i, x[i] - xhat[i]) for i in range(n)]
        xhat = [xhat[i] + q[i] for i in range(n)]
        mixed = mix(W, xhat)
        x = [x[i] - xhat[i] + mixed[i] for i in range(n)]
        y = mix(W, y)
        zs.append([x[i] / y[i] for i in range(n)])
        xs.append(list(x))
    return np.array(zs), np.array(xs)


def qps_sgd(W, grad, x0, rounds, *, lr, quantize):
    """Quantized push-sum SGD, Taheri, Mokhtari, Hassani and Pedarsani (arXiv 2002.09964).

    Returns (z, x), where x is after and z before the round's gradient step.
    """
    x = nodes(x0)
    n = len(x)
    xhat = [np.zeros_like(x[i]) for i in range(n)]
    y = [1.0] * n
    zs, xs = [list(x)], [list(x)]
    for t in range(rounds):
        q = [quantize(t, i, x[i] - xhat[i]) for i in range(n)]
        xhat = [xhat[i] + q[i] for i in range(n)]
        mixed = mix(W, xhat)
        v = [x[i] - xhat[i] + mixed[i] for i in range(n)]
        y = mix(W, y)
        z = [v[i] / y[i] for i in range(n)]
        x = [v[i] - lr * grad(i, z[i], t) for i in range(n)]
        zs.append(z)
        xs.append(list(x))
    return np.array(zs), np.array(xs)


def direct_quantized_push_sum(W, x0, rounds, *, quantize):
    """Push-sum averaging of directly quantized values, x = W Q(x): the non-convergent control for Taheri et al.'s
    quantized push-sum (arXiv 2002.09964). A node's own term is quantized too. Returns (z, x).
    """
    x = nodes(x0)
    n = len(x)
    y = [1.0] * n
    zs, xs = [list(x)], [list(x)]
    for t in range(rounds):
        x = mix(W, [quantize(t, i, x[i]) for i in range(n)])
        y = mix(W, y)
        zs.append([x[i] / y[i] for i in range(n)])
        xs.append(list(x))
    return np.array(zs), np.array(xs)


def push_diging(W, grad, x0, rounds, *, lr):
    """Push-DIGing, Nedic, Olshevsky and Shi (arXiv 1607.03218), with y_0 = g_0. Returns (z, u) with z = u / v."""
    u = nodes(x0)
    n = len(u)
    v = [1.0] * n
    z = [u[i] / v[i] for i in range(n)]
    g = [grad(i, z[i], 0) for i in range(n)]
    y = [g[i].copy() for i in range(n)]
    zs, us = [list(z)], [list(u)]
    for t in range(rounds):
        u = mix(W, [u[i] - lr * y[i] for i in range(n)])
        v = mix(W, v)
        z = [u[i] / v[i] for i in range(n)]
        g_new = [grad(i, z[i], t + 1) for i in range(n)]
        mixed = mix(W, y)
        y = [mixed[i] + g_new[i] - g[i] for i in range(n)]
        g = g_new
        zs.append(list(z))
        us.append(list(u))
    return np.array(zs), np.array(us)


def ab_push_pull(R, C, grad, x0, rounds, *, lr, form="atc"):
    """AB / Push-Pull with row-stochastic R and column-stochastic C, from y_0 = g_0; y = C y + g_new - g in both forms.

    "atc" is x = R(x - lr y), Pu, Shi, Xu and Nedic (arXiv 1810.06653); "cta" is x = R x - lr y, Xin and Khan
    (arXiv 1803.02503).
    """
    x = nodes(x0)
    n = len(x)
    g = [grad(i, x[i], 0) for i in range(n)]
    y = [g[i].copy() for i in range(n)]
    history = [list(x)]
    for t in range(rounds):
        if form == "atc":
            x = mix(R, [x[i] - lr * y[i] for i in range(n)])
        elif form == "cta":
            mixed = mix(R, x)
            x = [mixed[i] - lr * y[i] for i in range(n)]
        else:
            raise ValueError(form)
        g_new = [grad(i, x[i], t + 1) for i in range(n)]
        mixed = mix(C, y)
        y = [mixed[i] + g_new[i] - g[i] for i in range(n)]
        g = g_new
        history.append(list(x))
    return np.array(history)


def choco_gossip(W, x0, rounds, *, consensus_lr, compress):
    """CHOCO-Gossip, Koloskova, Stich and Jaggi (arXiv 1902.00340), from xhat_0 = 0."""
    x = nodes(x0)
    n = len(x)
    xhat = [np.zeros_like(x[i]) for i in range(n)]
    history = [list(x)]
    for t in range(rounds):
        q = [compress(t, i, x[i] - xhat[i]) for i in range(n)]
        xhat = [xhat[i] + q[i] for i in range(n)]
        x = [x[i] + consensus_lr * sum(W[i, j] * (xhat[j] - xhat[i]) for j in range(n)) for i in range(n)]
        history.append(list(x))
    return np.array(history)


def choco_sgd(W, grad, x0, rounds, *, lr, consensus_lr, compress):
    """CHOCO-SGD, Koloskova, Stich and Jaggi (arXiv 1902.00340): a gradient step, then one round of CHOCO-Gossip."""
    x = nodes(x0)
    n = len(x)
    xhat = [np.zeros_like(x[i]) for i in range(n)]
    history = [list(x)]
    for t in range(rounds):
        half = [x[i] - lr * grad(i, x[i], t) for i in range(n)]
        q = [compress(t, i, half[i] - xhat[i]) for i in range(n)]
        xhat = [xhat[i] + q[i] for i in range(n)]
        x = [half[i] + consensus_lr * sum(W[i, j] * (xhat[j] - xhat[i]) for j in range(n)) for i in range(n)]
        history.append(list(x))
    return np.array(history)
