"""PowerSGD and PowerGossip, one plain Python loop over the nodes each.

Only the first `a b` parameters are a matrix that is compressed, of shape (a, b); `q` is the right factor to begin with.
"""

import numpy as np

from reference.decentralized import average, mix, nodes


def basis(p):
    return np.linalg.qr(p)[0]


def power_sgd(grad, x0, rounds, *, n, lr, momentum, shape, q):
    """PowerSGD, Vogels et al. (arXiv 1905.13727), with the error of what a client sent itself."""
    (a, b), x, m = shape, np.array(x0), np.zeros_like(x0)
    e, history = [np.zeros((a, b))] * n, [x]
    for t in range(rounds):
        g = [grad(i, x, t) for i in range(n)]
        U = [e[i] + g[i][: a * b].reshape(a, b) for i in range(n)]
        P = basis(average([U[i] @ q for i in range(n)]))
        each = [U[i].T @ P for i in range(n)]
        q = average(each)
        e = [U[i] - P @ each[i].T for i in range(n)]
        step = np.concatenate([(P @ q.T).ravel(), average(g)[a * b :]])
        m = momentum * m + step
        x = x - lr * m
        history.append(x)
    return np.array(history)


def power_gossip(W, grad, x0, rounds, *, lr, consensus_lr, shape, q):
    """PowerGossip, Vogels et al. (arXiv 2008.01425), edge by edge."""
    (a, b), x, n = shape, nodes(x0), len(x0)
    edges = [(i, j) for i in range(n) for j in range(i) if W[i, j] != 0]
    Q, P, history = dict.fromkeys(edges, q), {}, [np.array(x0)]
    for t in range(rounds):
        g, X = [grad(i, x[i], t) for i in range(n)], [v[: a * b].reshape(a, b) for v in x]
        moved, plain = [np.zeros((a, b)) for _ in range(n)], mix(W, x)
        for i, j in edges:
            if t % 2 == 0:
                along = basis(Q[i, j])
                P[i, j] = X[i] @ along - X[j] @ along
                S = P[i, j] @ along.T
            else:
                along = basis(P[i, j])
                Q[i, j] = X[i].T @ along - X[j].T @ along
                S = along @ Q[i, j].T
            moved[i] = moved[i] - W[i, j] * S
            moved[j] = moved[j] + W[i, j] * S
        for i in range(n):
            gossip = np.concatenate([moved[i].ravel(), (plain[i] - x[i])[a * b :]])
            x[i] = x[i] + consensus_lr * gossip - lr * g[i]
        history.append(np.array(x))
    return np.array(history)
