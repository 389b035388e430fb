"""Variance-reduced methods, one plain Python loop over the nodes each.

`W`, `x0` and `rounds` are as in decentralized.py. `part(i, j, x)` is the gradient of sample j of node i, `sizes[i]`
says how many there are, and `drawn(i, k)` lists those of node i's minibatch number k. At a server x0 is (d,).
"""

import numpy as np

from reference.decentralized import average, mix, nodes


class Samples:
    """Minibatch and exact gradients of nodes' samples."""

    def __init__(self, part, sizes, drawn):
        self.part, self.sizes, self.drawn, self.n = part, sizes, drawn, len(sizes)

    def exact(self, i, x):
        return sum(self.part(i, j, x) for j in range(self.sizes[i])) / self.sizes[i]

    def grad(self, i, x, k):
        chosen = self.drawn(i, k)
        return sum(self.part(i, j, x) for j in chosen) / len(chosen)


class Saga:
    """The tables of all nodes; the mean of a table is computed anew each time."""

    def __init__(self, samples, x):
        s = self.samples = samples
        self.table = [[s.part(i, j, x[i]) for j in range(s.sizes[i])] for i in range(s.n)]

    def estimate(self, i, x, k):
        s, rows = self.samples, self.table[i]
        chosen, mean = s.drawn(i, k), sum(rows) / len(rows)
        v = sum(s.part(i, j, x) - rows[j] for j in chosen) / len(chosen) + mean
        for j in chosen:
            rows[j] = s.part(i, j, x)
        return v


def tracked(W, x0, rounds, estimate, v, *, lr, form):
    """Gradient tracking of `estimate(t, i, new, old, v_i)`, from v; "cta" or, with the tracker mixed first, "atc"."""
    x, n = nodes(x0), len(x0)
    y, history = [v[i].copy() for i in range(n)], [np.array(x)]
    for t in range(rounds):
        mixed = mix(W, y)
        if form == "cta":
            moved = mix(W, x)
            new = [moved[i] - lr * y[i] for i in range(n)]
        else:
            new = mix(W, [x[i] - lr * mixed[i] for i in range(n)])
        found = [estimate(t, i, new[i], x[i], v[i]) for i in range(n)]
        y = [mixed[i] + found[i] - v[i] for i in range(n)]
        x, v = new, found
        history.append(np.array(x))
    return np.array(history)


def gt_saga(W, samples, x0, rounds, *, lr, form="cta"):
    """GT-SAGA, Xin, Khan and Kar (arXiv 1912.04230; "atc" is 2011.03853); draw t is that of round t."""
    saga = Saga(samples, x0)
    start = [samples.exact(i, x0[i]) for i in range(samples.n)]
    return tracked(W, x0, rounds, lambda t, i, x, old, v: saga.estimate(i, x, t), start, lr=lr, form=form)


def gt_svrg(W, samples, x0, rounds, *, lr, period, form="cta"):
    """GT-SVRG, Xin, Khan and Kar (arXiv 1912.04230)."""
    at = nodes(x0)

    def estimate(t, i, x, old, v):
        if (t + 1) % period == 0:
            at[i] = x
        return samples.grad(i, x, t) - samples.grad(i, at[i], t) + samples.exact(i, at[i])

    start = [samples.exact(i, x0[i]) for i in range(samples.n)]
    return tracked(W, x0, rounds, estimate, start, lr=lr, form=form)


def gt_sarah(W, samples, x0, rounds, *, lr, inner_steps):
    """GT-SARAH, Xin, Khan and Kar (arXiv 2008.07428): an outer loop around q inner steps, the tracker first."""
    x, n, k, history = nodes(x0), len(x0), -1, [np.array(x0)]
    old = x
    y = [np.zeros_like(x[0])] * n
    v = [np.zeros_like(x[0])] * n
    while len(history) <= rounds:
        for inner in range(inner_steps + 1):
            if inner == 0:
                new = [samples.exact(i, x[i]) for i in range(n)]
            else:
                new = [samples.grad(i, x[i], k) - samples.grad(i, old[i], k) + v[i] for i in range(n)]
            mixed = mix(W, y)
            y = [mixed[i] + new[i] - v[i] for i in range(n)]
            moved = mix(W, x)
            old, x, v, k = x, [moved[i] - lr * y[i] for i in range(n)], new, k + 1
            history.append(np.array(x))
    return np.array(history[: rounds + 1])


def gt_hsgd(W, samples, x0, rounds, *, lr, beta):
    """GT-HSGD, Xin, Khan and Kar (arXiv 2102.06752): gradients first, then the tracker, then the step."""
    x, n, history = nodes(x0), len(x0), [np.array(x0)]
    old = x
    y = [np.zeros_like(x[0])] * n
    v = [np.zeros_like(x[0])] * n
    for t in range(rounds):
        if t == 0:
            new = [samples.grad(i, x[i], 0) for i in range(n)]
        else:
            new = [samples.grad(i, x[i], t) + (1 - beta) * (v[i] - samples.grad(i, old[i], t)) for i in range(n)]
        y = mix(W, [y[i] + new[i] - v[i] for i in range(n)])
        old, x, v = x, mix(W, [x[i] - lr * y[i] for i in range(n)]), new
        history.append(np.array(x))
    return np.array(history)


def destress(W, samples, x0, rounds, *, lr, period, coins, prob, inner, outer):
    """DESTRESS, Li, Li and Chi (arXiv 2110.01165): `inner` and `outer` are the matrices of so many gossips."""
    u, n, history = nodes(x0), len(x0), [np.array(x0)]
    at = [samples.exact(i, u[i]) for i in range(n)]
    s, t = [g.copy() for g in at], 0
    while t < rounds:
        v = [a.copy() for a in s]
        for _ in range(period):
            old, u = u, mix(inner, [u[i] - lr * v[i] for i in range(n)])
            change = [(samples.grad(i, u[i], t) - samples.grad(i, old[i], t)) * coins[t][i] / prob for i in range(n)]
            v = mix(inner, [v[i] + change[i] for i in range(n)])
            t += 1
            history.append(np.array(u))
        new = [samples.exact(i, u[i]) for i in range(n)]
        s, at = mix(outer, [s[i] + new[i] - at[i] for i in range(n)]), new
    return np.array(history[: rounds + 1])


def chebyshev(W, alpha, rounds):
    """T_K(W / alpha) / T_K(1 / alpha), by the polynomial's own recursion."""
    T = lambda A, one: _polynomial(A, one, rounds)
    return T(W / alpha, np.eye(len(W))) / T(np.array([[1 / alpha]]), np.eye(1))


def _polynomial(A, one, k):
    if k == 0:
        return one
    return A if k == 1 else 2 * A @ _polynomial(A, one, k - 1) - _polynomial(A, one, k - 2)


def d_spider_sfo(W, samples, x0, rounds, *, lr, period):
    """D-SPIDER-SFO, Pan, Liu and Wang (arXiv 1911.12665), as two rounds of iterates and of estimates."""
    x, n, history = nodes(x0), len(x0), [np.array(x0)]
    v = [samples.exact(i, x[i]) for i in range(n)]
    before = None
    for t in range(rounds):
        if before is None:
            ahead = [x[i] - lr * v[i] for i in range(n)]
        else:
            (old, past) = before
            ahead = [2 * x[i] - old[i] - lr * (v[i] - past[i]) for i in range(n)]
        before = (x, v)
        new = mix(W, ahead)
        if (t + 1) % period == 0:
            v = [samples.exact(i, new[i]) for i in range(n)]
        else:
            v = [v[i] + samples.grad(i, new[i], t) - samples.grad(i, x[i], t) for i in range(n)]
        x = new
        history.append(np.array(x))
    return np.array(history)


def lt_admm_vr(W, samples, x0, rounds, *, lr, local_steps, penalty, consensus_lr, relaxation, renewal, stored):
    """LT-ADMM-VR, Ren et al. (arXiv 2501.13516); z[i, j] is what node i keeps of its neighbour j."""
    x, n, history, K = nodes(x0), len(x0), [np.array(x0)], local_steps
    N = [[j for j in range(n) if j != i and W[i, j] != 0] for i in range(n)]
    z, saga = {(i, j): penalty * x[i] for i in range(n) for j in N[i]}, Saga(samples, x0)
    for t in range(rounds):
        new = []
        for i in range(n):
            if renewal == "round":
                saga.table[i] = [samples.part(i, j, x[i]) for j in range(samples.sizes[i])]
            push = consensus_lr * (penalty * len(N[i]) * x[i] - sum(z[i, j] for j in N[i]))
            y = x[i]
            for k in range(t * K, (t + 1) * K):
                y = y - lr * saga.estimate(i, y, k) - push
                if stored == "next":
                    saga.estimate(i, y, k)
            new.append(y)
        x = new
        sent = {(i, j): 2 * penalty * x[i] - z[i, j] for i, j in z}
        z = {(i, j): (1 - relaxation) * z[i, j] + relaxation * sent[j, i] for i, j in z}
        history.append(np.array(x))
    return np.array(history)


# At a server.


def saga(samples, x0, rounds, *, lr):
    """SAGA, Defazio et al. (arXiv 1407.0202), at every client."""
    x, tables = np.array(x0), Saga(samples, [x0] * samples.n)
    history = [x]
    for t in range(rounds):
        x = x - lr * average([tables.estimate(i, x, t) for i in range(samples.n)])
        history.append(x)
    return np.array(history)


def svrg(samples, x0, rounds, *, lr, period):
    """SVRG, Johnson and Zhang (2013), option I: an outer loop, whose every inner step draws."""
    x, history = np.array(x0), [np.array(x0)]
    clients = range(samples.n)
    while len(history) <= rounds:
        y, full = x, average([samples.exact(i, x) for i in clients])
        for _ in range(period):
            k = len(history) - 1
            x = x - lr * (average([samples.grad(i, x, k) - samples.grad(i, y, k) for i in clients]) + full)
            history.append(x)
    return np.array(history[: rounds + 1])


def l_svrg(samples, x0, rounds, *, lr, coins):
    """L-SVRG, Kovalev et al. (arXiv 1901.08689)."""
    x = y = np.array(x0)
    history, clients = [x], range(samples.n)
    for t in range(rounds):
        noisy = [samples.grad(i, x, t) - samples.grad(i, y, t) + samples.exact(i, y) for i in clients]
        y, x = x if coins[t] else y, x - lr * average(noisy)
        history.append(x)
    return np.array(history)


def page(samples, x0, rounds, *, lr, whole):
    """SARAH, Nguyen et al. (arXiv 1703.00102), and PAGE, Li et al. (2008.10898): `whole[t]` says which it is."""
    x, clients = np.array(x0), range(samples.n)
    v, history = average([samples.exact(i, x) for i in clients]), [np.array(x0)]
    for t in range(rounds):
        old, x = x, x - lr * v
        if whole[t]:
            v = average([samples.exact(i, x) for i in clients])
        else:
            v = v + average([samples.grad(i, x, t) - samples.grad(i, old, t) for i in clients])
        history.append(x)
    return np.array(history)


def gradskip(samples, x0, lengths, *, lr, prob, eta):
    """GradSkip, Maranjyan et al. (arXiv 2210.16402), Algorithm 1, iteration by iteration with exact gradients.

    It communicates at the end of each of `lengths`; eta[t, i] are the coins of iteration t. Returns the models and the
    clients' shifts after each communication.
    """
    n = samples.n
    x, h, t = [np.array(x0)] * n, [np.zeros_like(x0)] * n, 0
    history, shifts = [np.array(x0)], [np.array(h)]
    for length in lengths:
        for k in range(length):
            shift = [h[i] if eta[t, i] else samples.exact(i, x[i]) for i in range(n)]
            moved = [x[i] - lr * (samples.exact(i, x[i]) - shift[i]) for i in range(n)]
            x = [average([moved[j] - lr / prob * shift[j] for j in range(n)])] * n if k == length - 1 else moved
            h = [shift[i] + prob / lr * (x[i] - moved[i]) for i in range(n)]
            t += 1
        history.append(x[0])
        shifts.append(np.array(h))
    return np.array(history), np.array(shifts)
