"""Methods of running sums, one plain Python loop over the nodes each, held as the papers hold them: in totals.

On an arc j -> i node j keeps the running sum s[i, j] of all that it ever shared there, W[i, j] z[j], and sends that.
Node i keeps r[i, j], the last that it heard of it, and takes in the difference: all that was lost before comes with it.

`W` is a column-stochastic matrix, or one for each round, (rounds, n, n); `arrived(t, i, j)` says whether what j sends
in round t reaches i. `grad` and the count of gradient draws are those of `decentralized`.
"""

import numpy as np


def always(t, i, j):
    return True


def matrices(W, rounds):
    W = np.asarray(W)
    return W if W.ndim == 3 else [W] * rounds


class Totals:
    """The running sums of one quantity, an array for each arc, and what was last heard of them."""

    def __init__(self, n, shape):
        self.s = np.zeros((n, n, *shape))
        self.r = np.zeros((n, n, *shape))

    def exchange(self, W, z, here):
        """What each node keeps of z and takes in, where here(i, j) says what arrives."""
        n = len(z)
        kept = [W[i, i] * z[i] for i in range(n)]
        for i in range(n):
            for j in range(n):
                if i == j:
                    continue
                self.s[i, j] += W[i, j] * z[j]
                if W[i, j] != 0 and here(i, j):
                    kept[i] = kept[i] + self.s[i, j] - self.r[i, j]
                    self.r[i, j] = self.s[i, j]
        return kept


def push_sum(W, x0, rounds, arrived=always):
    """Averaging, Hadjicostis, Vaidya and Dominguez-Garcia (IEEE TAC 2016): z = x / y, both by running sums."""
    return gradient_push(W, lambda i, x, t: np.zeros_like(x), x0, rounds, lr=0.0, arrived=arrived)


def gradient_push(W, grad, x0, rounds, *, lr, floor=0.0, arrived=always):
    """Robust stochastic gradient push, Spiridonoff, Olshevsky, Paschalidis (arXiv 1811.03982), mixing before a step."""
    x, n = [np.array(row, float) for row in x0], len(x0)
    y = [1.0] * n
    numerators, masses = Totals(n, x[0].shape), Totals(n, ())
    zs = [list(x)]
    for t, W_t in enumerate(matrices(W, rounds)):
        here = lambda i, j, t=t: arrived(t, i, j)
        x, y = numerators.exchange(W_t, x, here), masses.exchange(W_t, y, here)
        z = [x[i] / y[i] for i in range(n)]
        step = [lr if y[i] >= floor else lr * y[i] / floor for i in range(n)]
        x = [x[i] - step[i] * grad(i, z[i], t) for i in range(n)]
        zs.append(z)
    return np.array(zs)


def asy_sonata(W, grad, x0, rounds, *, lr, arrived=always):
    """ASY-SONATA, Tian, Sun and Scutari (arXiv 1803.10359), every node active in every round, rows of R those of W."""
    x, n = [np.array(row, float) for row in x0], len(x0)
    g = [grad(i, x[i], 0) for i in range(n)]
    z = list(g)
    rho, last = Totals(n, x[0].shape), [[x[i]] * n for i in range(n)]
    history = [list(x)]
    for t, W_t in enumerate(matrices(W, rounds)):
        here = lambda i, j, t=t: arrived(t, i, j)
        v = [x[i] - lr * z[i] for i in range(n)]
        for i in range(n):
            for j in range(n):
                if i != j and W_t[i, j] != 0 and here(i, j):
                    last[i][j] = v[j]
            last[i][i] = v[i]
        R = W_t / W_t.sum(axis=1, keepdims=True)
        x = [sum(R[i, j] * last[i][j] for j in range(n)) for i in range(n)]
        new = [grad(i, x[i], t + 1) for i in range(n)]
        z = rho.exchange(W_t, z, here)
        z, g = [z[i] + new[i] - g[i] for i in range(n)], new
        history.append(list(x))
    return np.array(history)
