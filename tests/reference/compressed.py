"""Methods with compression, one plain Python loop over the clients or nodes each.

`grad(i, x, k)` is i's k-th stochastic gradient, with k = None its exact one; `up(t, i, v)` and `down(t, i, v)` are the
messages of round t of a server; `x(t, i, v)` and `y(t, i, v)` those of a node for iterates and trackers. `present(t)`
are the clients of round t. Methods of a server return its models, (rounds + 1, d), those of graphs their iterates,
(rounds + 1, n, d).
"""

import numpy as np


def ef21(grad, x0, rounds, *, n, lr, up, present, down=None, momentum=0.0, average=0.0, smart=True):
    """EF21 with EF21-PP, -BC and -HB, and with `average` EF21-SGDM, in the order of the papers: first the model moves.

    Their round t ends with the gradients of round t + 1, and their first memories are those after our round 0.
    """
    x = np.array(x0)
    v = [np.array(grad(i, x, 0)) if smart else np.zeros_like(x) for i in range(n)]
    h = [a.copy() for a in v]
    g, u = sum(h) / n, np.zeros_like(x)
    history = []
    for t in range(rounds + 1):  # the gradients at the model of round t, then the step to that of round t + 1
        history.append(x)
        for i in present(t):
            v[i] = average * v[i] + (1 - average) * grad(i, x, t)
            h[i] = h[i] + up(t, i, v[i] - h[i])
        mean = sum(h) / n
        g = mean if down is None else g + down(t, 0, mean - g)
        u = momentum * u + g
        x = x - lr * u
    return np.array(history)


def gossip(W, x, i):
    """Σ_j w_ij (x_j - x_i)."""
    return sum(W[i, j] * (x[j] - x[i]) for j in range(len(x)))


def beer(W, grad, x0, rounds, *, lr, consensus_lr, x, y, momentum=0.0):
    """BEER, Algorithm 1 of arXiv 2201.13320, node by node; with momentum MoTEF, lambda = 1 - momentum."""
    n = len(x0)
    X = [np.array(row) for row in x0]
    m = [grad(i, X[i], 0) for i in range(n)]
    V, H, G = list(m), [np.zeros_like(m[0]) for _ in range(n)], [np.zeros_like(m[0]) for _ in range(n)]
    history = [list(X)]
    for t in range(rounds):
        X = [X[i] + consensus_lr * gossip(W, H, i) - lr * V[i] for i in range(n)]
        H = [H[i] + x(t, i, X[i] - H[i]) for i in range(n)]
        new = [momentum * m[i] + (1 - momentum) * grad(i, X[i], t + 1) for i in range(n)]
        V = [V[i] + consensus_lr * gossip(W, G, i) + new[i] - m[i] for i in range(n)]
        G, m = [G[i] + y(t, i, V[i] - G[i]) for i in range(n)], new
        history.append(list(X))
    return np.array(history)


def lead(W, grad, x0, rounds, *, lr, consensus_lr, alpha, message):
    """LEAD, Algorithm 1 of arXiv 2007.00232 as recalled: every node keeps h and, of its neighbours, their sum h_w."""
    n = len(x0)
    X = [np.array(row) for row in x0]
    D, H, Hw = ([np.zeros_like(X[0]) for _ in range(n)] for _ in range(3))
    history = [list(X)]
    for t in range(rounds):
        g = [grad(i, X[i], t) for i in range(n)]
        Y = [X[i] - lr * g[i] - lr * D[i] for i in range(n)]
        q = [message(t, i, Y[i] - H[i]) for i in range(n)]
        Yhat = [H[i] + q[i] for i in range(n)]
        Yw = [Hw[i] + sum(W[i, j] * q[j] for j in range(n)) for i in range(n)]
        H = [(1 - alpha) * H[i] + alpha * Yhat[i] for i in range(n)]
        Hw = [(1 - alpha) * Hw[i] + alpha * Yw[i] for i in range(n)]
        D = [D[i] + consensus_lr / (2 * lr) * (Yhat[i] - Yw[i]) for i in range(n)]
        X = [X[i] - lr * g[i] - lr * D[i] for i in range(n)]
        history.append(list(X))
    return np.array(history)


def cgt(W, grad, x0, rounds, *, lr, consensus_lr, alpha, x, y):
    """C-GT, arXiv 2103.13748 as recalled; W may be a pair (R, C), and it is CPP. Sums of memories are kept beside."""
    R, C = W if isinstance(W, tuple) else (W, W)
    n = len(x0)
    X = [np.array(row) for row in x0]
    g = [grad(i, X[i], 0) for i in range(n)]
    Y = list(g)
    H, Hw, K, Kw = ([np.zeros_like(g[0]) for _ in range(n)] for _ in range(4))

    def sent(t, Z, H, Hw, A, message):
        q = [message(t, i, Z[i] - H[i]) for i in range(n)]
        own = [H[i] + q[i] for i in range(n)]
        mixed = [Hw[i] + sum(A[i, j] * q[j] for j in range(n)) for i in range(n)]
        keep = lambda old, now: [(1 - alpha) * a + alpha * b for a, b in zip(old, now, strict=True)]
        return own, mixed, keep(H, own), keep(Hw, mixed)

    history = [list(X)]
    for t in range(rounds):
        Xhat, Xw, H, Hw = sent(t, X, H, Hw, R, x)
        Yhat, Yw, K, Kw = sent(t, Y, K, Kw, C, y)
        X = [X[i] - consensus_lr * (Xhat[i] - Xw[i]) - lr * Y[i] for i in range(n)]
        new = [grad(i, X[i], t + 1) for i in range(n)]
        Y = [Y[i] - consensus_lr * (Yhat[i] - Yw[i]) + new[i] - g[i] for i in range(n)]
        g = new
        history.append(list(X))
    return np.array(history)


def deep_squeeze(W, grad, x0, rounds, *, lr, consensus_lr, message):
    """DeepSqueeze, arXiv 1907.07346, after the code that compares with it."""
    n = len(x0)
    X, e = [np.array(row) for row in x0], [np.zeros(len(x0[0])) for _ in range(n)]
    history = [list(X)]
    for t in range(rounds):
        X = [X[i] - lr * grad(i, X[i], t) for i in range(n)]
        p = [X[i] + e[i] for i in range(n)]
        q = [message(t, i, p[i]) for i in range(n)]
        e = [p[i] - q[i] for i in range(n)]
        X = [X[i] + consensus_lr * gossip(W, q, i) for i in range(n)]
        history.append(list(X))
    return np.array(history)


def dcd_psgd(W, grad, x0, rounds, *, lr, message):
    """DCD-PSGD, Algorithm 1 of arXiv 1803.06443 as recalled: every node keeps a replica of each of the others."""
    n = len(x0)
    X = [np.array(row) for row in x0]
    replicas = [[np.array(row) for row in x0] for _ in range(n)]  # of j at i
    history = [list(X)]
    for t in range(rounds):
        half = [sum(W[i, j] * replicas[i][j] for j in range(n)) - lr * grad(i, X[i], t) for i in range(n)]
        q = [message(t, i, half[i] - X[i]) for i in range(n)]
        X = [X[i] + q[i] for i in range(n)]
        replicas = [[replicas[i][j] + q[j] for j in range(n)] for i in range(n)]
        history.append(list(X))
    return np.array(history)


def ecd_psgd(W, grad, x0, rounds, *, lr, message):
    """ECD-PSGD, Algorithm 2 of arXiv 1803.06443 as recalled, counted from t = 1."""
    n = len(x0)
    X, estimate = [np.array(row) for row in x0], [np.array(row) for row in x0]
    history = [list(X)]
    for t in range(1, rounds + 1):
        new = [sum(W[i, j] * estimate[j] for j in range(n)) - lr * grad(i, X[i], t - 1) for i in range(n)]
        z = [(1 - 0.5 * t) * X[i] + 0.5 * t * new[i] for i in range(n)]
        estimate = [(1 - 2 / t) * estimate[i] + 2 / t * message(t - 1, i, z[i]) for i in range(n)]
        X = new
        history.append(list(X))
    return np.array(history)


def marina(grad, x0, rounds, *, n, lr, up, coins, minibatches=False, some=None):
    """MARINA, with minibatches VR-MARINA, with `some(t)`, the clients of a round, PP-MARINA: arXiv 2102.07845."""
    x = np.array(x0)
    g = sum(grad(i, x, None) for i in range(n)) / n
    history = [x]
    for t in range(rounds):
        new = x - lr * g
        if coins[t]:
            g = sum(grad(i, new, None) for i in range(n)) / n
        else:
            k = t if minibatches else None
            S = range(n) if some is None else some(t)
            messages = [up(t, place, grad(i, new, k) - grad(i, x, k)) for place, i in enumerate(S)]
            g = g + sum(messages) / len(messages)
        x = new
        history.append(x)
    return np.array(history)


def dasha(grad, x0, rounds, *, n, lr, up, a, b=None):
    """DASHA, arXiv 2202.01268, and with b DASHA-MVR."""
    first = None if b is None else 0
    old = lambda h, i, x, t: 0 if b is None else (1 - b) * (h - grad(i, x, t + 1))
    x = np.array(x0)
    h = [np.array(grad(i, x, first)) for i in range(n)]
    g = [v.copy() for v in h]
    history = [x]
    for t in range(rounds):
        new = x - lr * sum(g) / n
        for i in range(n):
            moved = grad(i, new, None if b is None else t + 1) + old(h[i], i, x, t)
            g[i], h[i] = g[i] + up(t, i, moved - h[i] - a * (g[i] - h[i])), moved
        x = new
        history.append(x)
    return np.array(history)


def sign_sgd(grad, x0, rounds, *, n, lr, momentum, present):
    """SignSGD with majority vote, with momentum Signum: arXiv 1802.04434 and 1810.05291."""
    x, m = np.array(x0), [np.zeros(len(x0)) for _ in range(n)]
    history = [x]
    for t in range(rounds):
        votes = np.zeros(len(x0), int)
        for i in present(t):
            m[i] = momentum * m[i] + (1 - momentum) * grad(i, x, t)
            votes += np.where(m[i] < 0, -1, 1)
        x = x - lr * np.where(votes < 0, -1, 1)
        history.append(x)
    return np.array(history)


def three_pc(grad, x0, rounds, *, n, lr, mechanism):
    """3PC of arXiv 2202.00998, as recalled; `mechanism(t, i, h, y, x)` is the new memory of client i."""
    x = np.array(x0)
    old = [np.array(grad(i, x, 0)) for i in range(n)]
    h, history = [v.copy() for v in old], [x]
    for t in range(rounds):
        for i in range(n):
            g = grad(i, x, t)
            h[i], old[i] = mechanism(t, i, h[i], old[i], g), g
        x = x - lr * sum(h) / n
        history.append(x)
    return np.array(history)


def clag(grad, x0, rounds, *, n, lr, up, trigger):
    """CLAG of arXiv 2202.00998, as recalled."""
    x = np.array(x0)
    old = [np.array(grad(i, x, 0)) for i in range(n)]
    h = [v.copy() for v in old]
    history = [x]
    for t in range(rounds):
        for i in range(n):
            g = grad(i, x, t)
            if np.sum((g - h[i]) ** 2) > trigger * np.sum((g - old[i]) ** 2):
                h[i] = h[i] + up(t, i, g - h[i])
            old[i] = g
        x = x - lr * sum(h) / n
        history.append(x)
    return np.array(history)
