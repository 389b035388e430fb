"""Methods of a server and its clients, one plain Python loop over the clients each.

`grad(i, x, k)` is client i's k-th stochastic gradient; `up(t, i, v)` and `down(t, i, v)` are the messages of round t
for the vector v, from client i and to client i (0 for a broadcast); `present(t)` are the clients of round t, in
increasing order, and p is the probability of being among them. All return the server's models, (rounds + 1, d).
"""

import numpy as np


def uplink(up, t, S, g, h, hbar, *, n, p, alpha, memories):
    """The server's gradient from messages about memories; h and hbar are changed in place."""
    message = {i: up(t, i, g[i] - h[i]) for i in S}
    if memories == "n":
        ghat = sum(message[i] + h[i] for i in S) / (p * n)
    else:
        total = sum(message[i] for i in S) / n
        ghat = hbar + total / p
        hbar += alpha * total / (p if memories == "authors" else 1)
    for i in S:
        h[i] = h[i] + alpha * message[i]
    return ghat


def start(grad, x, n, d, smart):
    """Memories: zero, or the first gradients ("smart initialization")."""
    h = [np.array(grad(i, x, 0)) if smart else np.zeros(d) for i in range(n)]
    return h, sum(h) / n


def diana(
    grad, x0, rounds, *, n, lr, up, present, p=1.0, alpha=0.0, smart=False, momentum=0.0, memories="n",
    down=lambda t, i, v: v,
):  # fmt: skip
    """SGD (up is the identity, alpha = 0), QSGD (alpha = 0), DIANA, and with `down` BiQSGD and Artemis."""
    x = np.array(x0)
    v = np.zeros_like(x)
    h, hbar = start(grad, x, n, len(x), smart)
    history = [x]
    for t in range(rounds):
        S = present(t)
        g = {i: grad(i, x, t) for i in S}
        ghat = uplink(up, t, S, g, h, hbar, n=n, p=p, alpha=alpha, memories=memories)
        v = momentum * v + down(t, 0, ghat)
        x = x - lr * v
        history.append(x)
    return np.array(history)


def dore(
    grad, x0, rounds, *, n, lr, up, down, present, p=1.0, alpha, smart=False, form, feedback, outer_lr=1.0,
    momentum=0.0, memories="n",
):  # fmt: skip
    """DORE as in the MCM paper's code, and in its original form."""
    x = np.array(x0)
    v, e = np.zeros_like(x), np.zeros_like(x)
    h, hbar = start(grad, x, n, len(x), smart)
    history = [x]
    for t in range(rounds):
        S = present(t)
        g = {i: grad(i, x, t) for i in S}
        ghat = uplink(up, t, S, g, h, hbar, n=n, p=p, alpha=alpha, memories=memories)
        if form == "code":
            u = ghat + feedback * e
            c = down(t, 0, u)
            e = u - c
            v = momentum * v + c
            x = x - lr * v
        else:
            q = -lr * ghat + feedback * e
            qhat = down(t, 0, q)
            e = q - qhat
            x = x + outer_lr * qhat
        history.append(x)
    return np.array(history)


def double_squeeze(grad, x0, rounds, *, n, lr, up, down, feedback=1.0, momentum=0.0):
    """DoubleSqueeze; with a list of steps `lr` and feedback=None it is Dist-EF-SGD, residuals times lr_{t-1} / lr_t."""
    x = np.array(x0)
    v = np.zeros_like(x)
    e, E = [np.zeros_like(x) for _ in range(n)], np.zeros_like(x)
    history = [x]
    for t in range(rounds):
        step = lr[t] if feedback is None else lr
        factor = lr[max(t - 1, 0)] / lr[t] if feedback is None else feedback
        total = np.zeros_like(x)
        for i in range(n):
            p = grad(i, x, t) + factor * e[i]
            D = up(t, i, p)
            e[i] = p - D
            total = total + D / n
        u = total + factor * E
        c = down(t, 0, u)
        E = u - c
        v = momentum * v + c
        x = x - step * v
        history.append(x)
    return np.array(history)


def mcm(
    grad, x0, rounds, *, n, lr, up, down, alpha, down_alpha, smart=False, momentum=0.0, memories="n", down_memory=True
):
    """MCM in the order of the code: the message that a round ends with is received at the start of the next."""
    w = np.array(x0)
    v = np.zeros_like(w)
    H = np.array(x0) if down_memory else np.zeros_like(w)
    h, hbar = start(grad, w, n, len(w), smart)
    Om = down(0, 0, w - H)
    history = [w]
    for t in range(rounds):
        what = H + Om
        H = H + (down_alpha * Om if down_memory else 0)
        g = {i: grad(i, what, t) for i in range(n)}
        ghat = uplink(up, t, range(n), g, h, hbar, n=n, p=1.0, alpha=alpha, memories=memories)
        v = momentum * v + ghat
        w = w - lr * v
        Om = down(t + 1, 0, w - H)
        history.append(w)
    return np.array(history)


def rand_mcm(
    grad, x0, rounds, *, n, lr, up, down, present, p=1.0, alpha, down_alpha, smart=False, momentum=0.0, memories="n",
    single=False, reset=0,
):  # fmt: skip
    """Rand-MCM; single: one memory of the model at the server, reset: rounds between resets of the clients' to it."""
    w = np.array(x0)
    v = np.zeros_like(w)
    H, server = [np.array(x0) for _ in range(n)], np.array(x0)
    h, hbar = start(grad, w, n, len(w), smart)
    history = [w]
    for t in range(rounds):
        S = present(t)
        if reset and t > 0 and t % reset == 0:
            for i in S:
                H[i] = server.copy()
        what, total = {}, np.zeros_like(w)
        for i in S:
            Om = down(t, i, w - (server if single else H[i]))
            what[i] = H[i] + Om
            H[i] = H[i] + down_alpha * Om
            total = total + down_alpha * Om / n
        server = server + total
        g = {i: grad(i, what[i], t) for i in S}
        ghat = uplink(up, t, S, g, h, hbar, n=n, p=p, alpha=alpha, memories=memories)
        v = momentum * v + ghat
        w = w - lr * v
        history.append(w)
    return np.array(history)


def undegraded(grad, x0, rounds, *, n, lr, up, down, alpha, smart=False, ghost):
    """Ghost, and Artemis-ND."""
    w, what = np.array(x0), np.array(x0)
    h, hbar = start(grad, w, n, len(w), smart)
    history = [w]
    for t in range(rounds):
        g = {i: grad(i, what, t) for i in range(n)}
        ghat = uplink(up, t, range(n), g, h, hbar, n=n, p=1.0, alpha=alpha, memories="n")
        c = down(t, 0, ghat)
        what = (w if ghost else what) - lr * c
        w = w - lr * ghat
        history.append(w)
    return np.array(history)
