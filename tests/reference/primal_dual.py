"""Primal-dual, accelerated and adaptive methods of graphs, one plain Python loop over the nodes each.

Arguments and results are as in `decentralized`; N_i are the neighbours of node i, those that W has an entry for.
"""

import numpy as np

from reference.decentralized import mix, nodes


def neighbours(W):
    n = len(W)
    return [[j for j in range(n) if j != i and W[i, j] != 0] for i in range(n)]


def gaps(N, x):
    """Σ_(j in N_i) (x_i - x_j)."""
    return [sum((x[i] - x[j] for j in N[i]), np.zeros_like(x[i])) for i in range(len(x))]


def dadmm(W, prox, x0, rounds, *, penalty):
    """Decentralized ADMM, Shi et al. (arXiv 1307.5561); `prox(i, x, step)` is node i's exact proximal step."""
    x, N, c = nodes(x0), neighbours(W), penalty
    a = [np.zeros_like(v) for v in x]
    history = [list(x)]
    for _ in range(rounds):
        old = list(x)
        for i in range(len(x)):
            # argmin f_i(x) + a_i'x + c sum_j |x - (x_i + x_j) / 2|^2, its quadratic completed to a square
            d = len(N[i])
            centre = (c * sum(old[i] + old[j] for j in N[i]) - a[i]) / (2 * c * d)
            x[i] = prox(i, centre, 1 / (2 * c * d))
        s = gaps(N, x)
        a = [a[i] + c * s[i] for i in range(len(x))]
        history.append(list(x))
    return np.array(history)


def dlm(W, grad, x0, rounds, *, lr, penalty):
    """DLM, Ling et al. (2015), with the same step for all nodes."""
    x, N = nodes(x0), neighbours(W)
    a = [np.zeros_like(v) for v in x]
    history = [list(x)]
    for t in range(rounds):
        s = gaps(N, x)
        x = [x[i] - lr * (grad(i, x[i], t) + penalty * s[i] + a[i]) for i in range(len(x))]
        s = gaps(N, x)
        a = [a[i] + penalty * s[i] for i in range(len(x))]
        history.append(list(x))
    return np.array(history)


def lt_admm(W, grad, x0, rounds, *, lr, local_steps, penalty, consensus_lr, relaxation):
    """LT-ADMM, Ren et al.; z[i, j] is what node i keeps of its neighbour j."""
    x, N, K = nodes(x0), neighbours(W), local_steps
    z = {(i, j): penalty * x[i] for i in range(len(x)) for j in N[i]}
    history = [list(x)]
    for t in range(rounds):
        new = []
        for i in range(len(x)):
            push = consensus_lr * (penalty * len(N[i]) * x[i] - sum(z[i, j] for j in N[i]))
            y = x[i]
            for j in range(K):
                y = y - lr * grad(i, y, t * K + j) - push
            new.append(y)
        x = new
        sent = {(i, j): 2 * penalty * x[i] - z[i, j] for i, j in z}  # by i to j
        z = {(i, j): (1 - relaxation) * z[i, j] + relaxation * sent[j, i] for i, j in z}
        history.append(list(x))
    return np.array(history)


def atg(W, grad, x0, rounds, *, lr, penalty, relaxation, damping):
    """ATG, Carnevale et al. (arXiv 2309.14142)."""
    x, N, d = nodes(x0), neighbours(W), len(x0[0])
    z = {(i, j): np.zeros(2 * d) for i in range(len(x)) for j in N[i]}
    history = [list(x)]
    for t in range(rounds):
        both = [
            (np.concatenate([x[i], grad(i, x[i], t)]) + sum(z[i, j] for j in N[i])) / (1 + penalty * len(N[i]))
            for i in range(len(x))
        ]
        x = [(1 - damping) * x[i] + damping * (both[i][:d] - lr * both[i][d:]) for i in range(len(x))]
        sent = {(i, j): 2 * penalty * both[i] - z[i, j] for i, j in z}
        z = {(i, j): (1 - relaxation) * z[i, j] + relaxation * sent[j, i] for i, j in z}
        history.append(list(x))
    return np.array(history)


def wang_elia(W, grad, x0, rounds, *, lr):
    """Wang and Elia (2010) in discrete time, with K = (I - W) / 2."""
    x, n = nodes(x0), len(x0)
    K, z = (np.eye(n) - W) / 2, [np.zeros_like(v) for v in nodes(x0)]
    history = [list(x)]
    for t in range(rounds):
        g, moved = [grad(i, x[i], t) for i in range(n)], mix(K, [x[i] + z[i] for i in range(n)])
        kx = mix(K, x)
        x = [x[i] - moved[i] - lr * g[i] for i in range(n)]
        z = [z[i] + kx[i] for i in range(n)]
        history.append(list(x))
    return np.array(history)


def simple_gt(W, grad, x0, rounds, *, lr):
    """SimpleGT, in the form with the last two local steps."""
    x = nodes(x0)
    n, before = len(x), nodes(x0)
    history = [list(x)]
    for t in range(rounds):
        after, mixed = [x[i] - lr * grad(i, x[i], t) for i in range(n)], mix(W, x)
        x = [after[i] - before[i] + mixed[i] for i in range(n)]
        before = after
        history.append(list(x))
    return np.array(history)


def dinno(W, grad, x0, rounds, *, lr, local_steps, penalty):
    """DiNNO, Yu et al. (arXiv 2109.08665), with gradient descent as its local method."""
    x, N, K = nodes(x0), neighbours(W), local_steps
    p = [np.zeros_like(v) for v in x]
    history = [list(x)]
    for t in range(rounds):
        s, new = gaps(N, x), []
        p = [p[i] + penalty * s[i] for i in range(len(x))]
        for i in range(len(x)):
            y = x[i]
            for k in range(K):
                pull = sum(2 * penalty * (y - (x[i] + x[j]) / 2) for j in N[i])
                y = y - lr * (grad(i, y, t * K + k) + p[i] + pull)
            new.append(y)
        x = new
        history.append(list(x))
    return np.array(history)


def opapc(W, grad, x0, rounds, *, lr, momentum, curvature, consensus_lr):
    """OPAPC, Kovalev et al. (arXiv 2006.11773), Algorithm 2, with I - W as its gossip matrix."""
    x, n, tau, mu = nodes(x0), len(x0), momentum, curvature
    f, y, L = nodes(x0), [np.zeros_like(v) for v in nodes(x0)], np.eye(len(x0)) - W
    history = [list(x)]
    for t in range(rounds):
        e = [tau * x[i] + (1 - tau) * f[i] for i in range(n)]
        g = [grad(i, e[i], t) - mu * e[i] for i in range(n)]
        half = mix(L, [(x[i] - lr * (g[i] + y[i])) / (1 + lr * mu) for i in range(n)])
        y = [y[i] + consensus_lr / lr * half[i] for i in range(n)]
        new = [(x[i] - lr * (g[i] + y[i])) / (1 + lr * mu) for i in range(n)]
        f = [e[i] + 2 * tau / (2 - tau) * (new[i] - x[i]) for i in range(n)]
        x = new
        history.append(list(x))
    return np.array(history)


def acc_dngd(W, grad, x0, rounds, *, lr, curvature):
    """Acc-DNGD-SC, Qu and Li (arXiv 1705.07176)."""
    x, v, y, n = nodes(x0), nodes(x0), nodes(x0), len(x0)
    g = [grad(i, y[i], 0) for i in range(n)]
    s, alpha = list(g), np.sqrt(curvature * lr)
    history = [list(x)]
    for t in range(rounds):
        wy, wv, ws = mix(W, y), mix(W, v), mix(W, s)
        x = [wy[i] - lr * s[i] for i in range(n)]
        v = [(1 - alpha) * wv[i] + alpha * wy[i] - lr / alpha * s[i] for i in range(n)]
        y = [(x[i] + alpha * v[i]) / (1 + alpha) for i in range(n)]
        new = [grad(i, y[i], t + 1) for i in range(n)]
        s = [ws[i] + new[i] - g[i] for i in range(n)]
        g = new
        history.append(list(x))
    return np.array(history)


def nesterov(gradient, x0, rounds, *, lr, curvature):
    """Nesterov's method for strongly convex functions, in the form with three sequences, on one vector."""
    x, v, y, alpha = x0, x0, x0, np.sqrt(curvature * lr)
    history = [x]
    for _ in range(rounds):
        g = gradient(y)
        x, v = y - lr * g, (1 - alpha) * v + alpha * y - lr / alpha * g
        y = (x + alpha * v) / (1 + alpha)
        history.append(x)
    return np.array(history)


def dfedavgm(W, grad, x0, rounds, *, lr, local_steps, momentum):
    """DFedAvgM, Sun et al. (arXiv 2104.11375), without quantization."""
    x, K = nodes(x0), local_steps
    history = [list(x)]
    for t in range(rounds):
        ends = []
        for i in range(len(x)):
            y, before = x[i], x[i]
            for j in range(K):
                y, before = y - lr * grad(i, y, t * K + j) + momentum * (y - before), y
            ends.append(y)
        x = mix(W, ends)
        history.append(list(x))
    return np.array(history)


def dfedsam(W, grad, x0, rounds, *, lr, local_steps, radius):
    """DFedSAM, Shi et al. (arXiv 2302.04083)."""
    x, K = nodes(x0), local_steps
    history = [list(x)]
    for t in range(rounds):
        ends = []
        for i in range(len(x)):
            y = x[i]
            for j in range(K):
                g = grad(i, y, t * K + j)
                y = y - lr * grad(i, y + radius * g / np.linalg.norm(g), t * K + j)
            ends.append(y)
        x = mix(W, ends)
        history.append(list(x))
    return np.array(history)


def dadam(W, grad, x0, rounds, *, lr, b1, b2, eps, amsgrad=False):
    """Decentralized Adam or AMSGrad: `Adam` of Kingma and Ba (arXiv 1412.6980) at each node, then gossip."""
    x, n = nodes(x0), len(x0)
    m, v, top = ([np.zeros_like(a) for a in x] for _ in range(3))
    history = [list(x)]
    for t in range(rounds):
        for i in range(n):
            g = grad(i, x[i], t)
            m[i], v[i] = b1 * m[i] + (1 - b1) * g, b2 * v[i] + (1 - b2) * g * g
            corrected = v[i] / (1 - b2 ** (t + 1))
            top[i] = np.maximum(top[i], corrected) if amsgrad else corrected
            x[i] = x[i] - lr * (m[i] / (1 - b1 ** (t + 1))) / (np.sqrt(top[i]) + eps)
        x = mix(W, x)
        history.append(list(x))
    return np.array(history)


def damsgrad(W, grad, x0, rounds, *, lr, b1, b2, eps):
    """Decentralized AMSGrad, Chen et al. (arXiv 2109.03194), Algorithm 3."""
    x, n = nodes(x0), len(x0)
    m, v = [np.zeros_like(a) for a in x], [np.zeros_like(a) for a in x]
    top, u = [np.full_like(a, eps) for a in x], [np.full_like(a, eps) for a in x]
    history = [list(x)]
    for t in range(rounds):
        g, u, half = [grad(i, x[i], t) for i in range(n)], mix(W, u), mix(W, x)
        x = []
        for i in range(n):
            m[i], v[i] = b1 * m[i] + (1 - b1) * g[i], b2 * v[i] + (1 - b2) * g[i] * g[i]
            x.append(half[i] - lr * m[i] / np.sqrt(np.maximum(u[i], eps)))
            new = np.maximum(top[i], v[i])
            u[i], top[i] = u[i] - top[i] + new, new
        history.append(list(x))
    return np.array(history)


def qg_adam(W, grad, x0, rounds, *, lr, b1, b2, eps, moments="second"):
    """QG-DAdam, Lin et al. (arXiv 2102.04761)."""
    x, n = nodes(x0), len(x0)
    m, v = [np.zeros_like(a) for a in x], [np.zeros_like(a) for a in x]
    history = [list(x)]
    for t in range(rounds):
        ends, firsts = [], []
        for i in range(n):
            g = grad(i, x[i], t)
            first, second = b1 * m[i] + (1 - b1) * g, b2 * v[i] + (1 - b2) * g * g
            denominator = np.sqrt(second / (1 - b2 ** (t + 1))) + eps
            ends.append(x[i] - lr * first / (1 - b1 ** (t + 1)) / denominator)
            firsts.append(first)
        new = mix(W, ends)
        for i in range(n):
            move = x[i] - new[i]
            move = move / (np.linalg.norm(move) + eps)
            m[i] = firsts[i] if moments == "second" else b1 * m[i] + (1 - b1) * move
            v[i] = b2 * v[i] + (1 - b2) * move * move
        x = new
        history.append(list(x))
    return np.array(history)


def gt_adam(W, grad, x0, rounds, *, lr, b1, b2, eps, cap=np.inf):
    """GTAdam, Carnevale et al. (arXiv 2009.01745)."""
    x, n = nodes(x0), len(x0)
    m, v, g = [np.zeros_like(a) for a in x], [np.zeros_like(a) for a in x], [grad(i, x[i], 0) for i in range(n)]
    s = list(g)
    history = [list(x)]
    for t in range(rounds):
        wx, ws = mix(W, x), mix(W, s)
        for i in range(n):
            m[i] = b1 * m[i] + (1 - b1) * s[i]
            v[i] = np.minimum(b2 * v[i] + (1 - b2) * s[i] * s[i], cap)
            x[i] = wx[i] - lr * m[i] / (np.sqrt(v[i]) + eps)
        new = [grad(i, x[i], t + 1) for i in range(n)]
        s = [ws[i] + new[i] - g[i] for i in range(n)]
        g = new
        history.append(list(x))
    return np.array(history)


def pg_extra(W, grad, prox, x0, rounds, *, lr):
    """PG-EXTRA, Shi et al. (arXiv 1506.01412), Algorithm 1; `prox(x)` is the regularizer's step of length lr."""
    n = len(x0)
    x, V = nodes(x0), (np.eye(n) + W) / 2
    history = [list(x)]
    g, mixed = [grad(i, x[i], 0) for i in range(n)], mix(W, x)
    half = [mixed[i] - lr * g[i] for i in range(n)]
    before, x = x, [prox(h) for h in half]
    history.append(list(x))
    for t in range(1, rounds):
        new, mixed, old = [grad(i, x[i], t) for i in range(n)], mix(W, x), mix(V, before)
        half = [mixed[i] + half[i] - old[i] - lr * (new[i] - g[i]) for i in range(n)]
        before, x, g = x, [prox(h) for h in half], new
        history.append(list(x))
    return np.array(history)


def prox_nids(W, grad, prox, x0, rounds, *, lr):
    """NIDS, Li et al. (arXiv 1704.07808), with (I + W) / 2 and a first round that mixes."""
    n = len(x0)
    x, V = nodes(x0), (np.eye(n) + W) / 2
    history = [list(x)]
    g = [grad(i, x[i], 0) for i in range(n)]
    z = mix(V, [x[i] - lr * g[i] for i in range(n)])
    before, x = x, [prox(v) for v in z]
    history.append(list(x))
    for t in range(1, rounds):
        new = [grad(i, x[i], t) for i in range(n)]
        ahead = mix(V, [2 * x[i] - before[i] - lr * (new[i] - g[i]) for i in range(n)])
        z = [z[i] - x[i] + ahead[i] for i in range(n)]
        before, x, g = x, [prox(v) for v in z], new
        history.append(list(x))
    return np.array(history)


def prox_gt(W, grad, prox, x0, rounds, *, lr):
    """Proximal gradient tracking, Sun et al. (arXiv 1905.02637), with linear models."""
    n, x = len(x0), nodes(x0)
    g = [grad(i, x[i], 0) for i in range(n)]
    y = list(g)
    history = [list(x)]
    for t in range(rounds):
        x, mixed = mix(W, [prox(x[i] - lr * y[i]) for i in range(n)]), mix(W, y)
        new = [grad(i, x[i], t + 1) for i in range(n)]
        y, g = [mixed[i] + new[i] - g[i] for i in range(n)], new
        history.append(list(x))
    return np.array(history)
