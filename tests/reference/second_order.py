"""Second-order methods, one plain Python loop over the nodes each.

`grad(i, x)` and `hessian(i, x)` are node i's exact ones. At a server x0 is (d,), of n clients; on a graph it is (n, d),
and `W` as in decentralized.py.
"""

import numpy as np

from reference.decentralized import average, mix, nodes


def newton_steps(grad, hessian, i, start, c, penalty, steps):
    """So many Newton steps on f_i(w) - c'w + penalty/2 |w - start|^2."""
    w = start
    for _ in range(steps):
        slope = grad(i, w) - c + penalty * (w - start)
        w = w - np.linalg.inv(hessian(i, w) + penalty * np.eye(len(w))) @ slope
    return w


def dane(grad, hessian, x0, rounds, *, n, lr=1.0, penalty=0.0, local_steps=1):
    """DANE, Shamir, Srebro and Zhang (arXiv 1312.7853)."""
    x, history = np.array(x0), [np.array(x0)]
    for _ in range(rounds):
        g_i = [grad(i, x) for i in range(n)]
        g = average(g_i)
        x = average([newton_steps(grad, hessian, i, x, g_i[i] - lr * g, penalty, local_steps) for i in range(n)])
        history.append(x)
    return np.array(history)


def network_dane(grad, hessian, W, x0, rounds, *, lr=1.0, penalty=0.0, local_steps=1):
    """Network-DANE, Li et al. (arXiv 1909.05844), in the order of its authors' code: y, s, then x."""
    x, y, n = nodes(x0), nodes(x0), len(x0)
    last = [grad(i, y[i]) for i in range(n)]
    s, history = list(last), [np.array(x0)]
    for _ in range(rounds):
        y = mix(W, x)
        s, new = mix(W, s), [grad(i, y[i]) for i in range(n)]
        s = [s[i] - last[i] + new[i] for i in range(n)]
        last = new
        x = [newton_steps(grad, hessian, i, y[i], new[i] - lr * s[i], penalty, local_steps) for i in range(n)]
        history.append(np.array(x))
    return np.array(history)


def giant(grad, hessian, x0, rounds, *, n, products, lr=1.0):
    """GIANT, Wang et al. (arXiv 1709.03528), with the textbook's conjugate gradients."""
    x, history = np.array(x0), [np.array(x0)]
    for _ in range(rounds):
        g, p = average([grad(i, x) for i in range(n)]), []
        for i in range(n):
            H, v = hessian(i, x), np.zeros_like(x)
            r = q = g
            for _ in range(products):
                if r @ r == 0:
                    break
                a = r @ r / (q @ H @ q)
                v, new = v + a * q, r - a * H @ q
                q, r = new + new @ new / (r @ r) * q, new
            p.append(v)
        x = x - lr * average(p)
        history.append(x)
    return np.array(history)


def fednl(grad, hessian, x0, rounds, *, n, compress, curvature=None, alpha=1.0, lr=1.0, start="hessian"):
    """FedNL, Safaryan et al. (arXiv 2106.02969), Algorithm 1; `compress` is a map of symmetric matrices."""
    x, d = np.array(x0), len(x0)
    H_i = [hessian(i, x) if start == "hessian" else np.zeros((d, d)) for i in range(n)]
    history = [x]
    for _ in range(rounds):
        g, H = average([grad(i, x) for i in range(n)]), average(H_i)
        D = [hessian(i, x) - H_i[i] for i in range(n)]
        if curvature is None:
            M = H + average([np.linalg.norm(D[i], "fro") for i in range(n)]) * np.eye(d)
        else:
            values, vectors = np.linalg.eigh(H)
            M = sum(max(v, curvature) * np.outer(u, u) for v, u in zip(values, vectors.T, strict=True))
        x = x - lr * np.linalg.solve(M, g)
        H_i = [H_i[i] + alpha * compress(D[i]) for i in range(n)]
        history.append(x)
    return np.array(history)


def top_k(k):
    """The k entries of the lower triangle that add most to the Frobenius norm."""

    def compress(D):
        d, out = len(D), np.zeros_like(D)
        size = lambda ij: abs(D[ij]) * (1 if ij[0] == ij[1] else np.sqrt(2))
        triangle = [(row, column) for row in range(d) for column in range(row + 1)]
        for i, j in sorted(triangle, key=size, reverse=True)[:k]:
            out[i, j] = out[j, i] = D[i, j]
        return out

    return compress


def rank_r(rank):
    """The best approximation of that rank."""

    def compress(D):
        U, s, V = np.linalg.svd(D)
        return (U[:, :rank] * s[:rank]) @ V[:rank]

    return compress


def newton_raphson_consensus(grad, hessian, W, x0, rounds, *, lr, curvature):
    """Newton-Raphson consensus, Varagnolo et al. (arXiv 1511.01509), Algorithm 1."""
    x, n, d = nodes(x0), len(x0), len(x0[0])
    y, z = [np.zeros(d)] * n, [np.zeros((d, d))] * n
    old_g, old_H, history = list(y), list(z), [np.array(x0)]
    for _ in range(rounds):
        H = [hessian(i, x[i]) for i in range(n)]
        g = [H[i] @ x[i] - grad(i, x[i]) for i in range(n)]
        y = mix(W, [y[i] + g[i] - old_g[i] for i in range(n)])
        z = mix(W, [z[i] + H[i] - old_H[i] for i in range(n)])
        old_g, old_H = g, H
        for i in range(n):
            values, vectors = np.linalg.eigh((z[i] + z[i].T) / 2)
            M = sum(max(v, curvature) * np.outer(u, u) for v, u in zip(values, vectors.T, strict=True))
            x[i] = (1 - lr) * x[i] + lr * np.linalg.solve(M, y[i])
        history.append(np.array(x))
    return np.array(history)
