"""Compressed methods with local steps at a server, one plain Python loop over the clients each.

As in local.py; besides, `compress(t, rows)` gives the messages of round t for all clients' vectors, (n, d), also of
those who are absent and send none, and `steps(t)` is how many local steps round t has.
"""

import numpy as np


def _local(grad, i, start, first, count, lr, correction=0.0):
    y = start.copy()
    for k in range(count):
        y = y - lr * (grad(i, y, first + k) - correction)
    return y


def qsparse(grad, x0, rounds, present, *, clients, lr, local_steps, compress):
    """Qsparse-local-SGD, Basu et al. (arXiv 1906.02367); with one local step MemSGD, Stich et al. (1809.07599).

    Also returns what the clients' messages left out, (rounds + 1, clients, d).
    """
    x, e = np.array(x0, float), np.zeros((clients, len(x0)))
    history, errors = [x], [e]
    for t in range(rounds):
        u = [e[i] + x - _local(grad, i, x, t * local_steps, local_steps, lr) for i in range(clients)]
        D, e = compress(t, np.array(u)), e.copy()
        for i in present(t):
            e[i] = u[i] - D[i]
        x = x - sum(D[i] for i in present(t)) / clients
        history.append(x)
        errors.append(e)
    return np.array(history), np.array(errors)


def fedcom(grad, x0, rounds, present, *, clients, lr, local_steps, outer_lr, compress, gate=False):
    """FedCOM, and with `gate` FedCOMGATE, Haddadpour et al. (arXiv 2007.01154); also returns the corrections."""
    x, c = np.array(x0, float), np.zeros((clients, len(x0)))
    history, corrections = [x], [c]
    for t in range(rounds):
        ends = [_local(grad, i, x, t * local_steps, local_steps, lr, c[i]) for i in range(clients)]
        D, c = compress(t, np.array([(x - y) / lr for y in ends])), c.copy()
        mean = sum(D[i] for i in present(t)) / len(present(t))
        for i in present(t) if gate else ():
            c[i] = c[i] + (D[i] - mean) / local_steps
        x = x - outer_lr * lr * mean
        history.append(x)
        corrections.append(c)
    return np.array(history), np.array(corrections)


def compressed_scaffnew(grad, x0, lengths, sends, *, clients, lr, prob, eta):
    """CompressedScaffnew, Condat et al. (arXiv 2210.13277): `sends[t][i][k]` says whether i sends coordinate k.

    Also returns the clients' control variates.
    """
    x, k = np.array(x0, float), 0
    h = [np.zeros_like(x) for _ in range(clients)]
    history, variates = [x], [np.array(h)]
    for t, length in enumerate(lengths):
        ends = [_local(grad, i, x, k, length, lr, h[i]) for i in range(clients)]
        k += length
        x = np.empty_like(x)
        for j in range(len(x)):
            those = [i for i in range(clients) if sends[t][i][j]]
            x[j] = sum(ends[i][j] for i in those) / len(those)
            for i in those:
                h[i][j] += prob * eta / lr * (x[j] - ends[i][j])
        history.append(x)
        variates.append(np.array(h))
    return np.array(history), np.array(variates)


def locodl(grad, x0, lengths, *, clients, lr, prob, l2, omega, rho, chi, compress):
    """LoCoDL, Condat et al. (arXiv 2403.04348), iteration by iteration; also returns u and v of each communication."""
    y, k = np.array(x0, float), 0
    x = [y.copy() for _ in range(clients)]
    u, v = [np.zeros_like(y) for _ in range(clients)], np.zeros_like(y)
    history, variates = [y], [(np.array(u), v)]
    for t, length in enumerate(lengths):
        for j in range(length):
            x = [x[i] - lr * (grad(i, x[i], k) - l2 * x[i]) + lr * u[i] for i in range(clients)]
            y = y - lr * l2 * y + lr * v
            k += 1
            if j == length - 1:
                d = compress(t, np.array([x[i] - y for i in range(clients)]))
                mean = sum(d) / (2 * clients)
                scale = prob * chi / (lr * (1 + 2 * omega))
                x = [(1 - rho) * x[i] + rho * (y + mean) for i in range(clients)]
                u = [u[i] + scale * (mean - d[i]) for i in range(clients)]
                y, v = y + rho * mean, v + scale * mean
        history.append(y)
        variates.append((np.array(u), v))
    return np.array(history), variates
