"""Undirected methods and the centralized ones they reduce to, one plain Python loop over the nodes each.

`W` is an (n, n) mixing matrix, `x0` is (n, d) and `grad(i, x, k)` is node i's stochastic gradient at `x` for its k-th
draw, k counted from 0 over the whole run. An algorithm with one gradient per round uses k = t in round t, one with K
local steps uses k = t * K + j, and a gradient tracker evaluates g_{t+1} at the new point with k = t + 1. Where the
initial state spends the first minibatch gradient, the first update uses the same draw k = 0 again. Unless its docstring
says otherwise, a function returns the iterates x at rounds 0..rounds, of shape (rounds + 1, n, d), in float64.
"""

import numpy as np


def nodes(x0):
    """The rows of x0 as a list of float64 vectors, one per node."""
    return [np.array(row, dtype=np.float64) for row in x0]


def mix(W, x):
    """Every node's weighted sum over its neighbours: sum_j W[i, j] x[j]."""
    n = len(x)
    return [sum(W[i, j] * x[j] for j in range(n)) for i in range(n)]


def average(x):
    """The plain average over the nodes."""
    return sum(x) / len(x)


def lazy(W):
    """The mixing matrix (I + W) / 2."""
    n = len(W)
    return np.array([[(W[i, j] + (1.0 if i == j else 0.0)) / 2 for j in range(n)] for i in range(n)])


def dsgd(W, grad, x0, rounds, *, lr, form="atc"):
    """Decentralized SGD; "atc" is Koloskova et al. (arXiv 2003.10422), "cta" is D-PSGD of Lian et al. (1705.09056)."""
    x = nodes(x0)
    n = len(x)
    history = [list(x)]
    for t in range(rounds):
        g = [grad(i, x[i], t) for i in range(n)]
        if form == "atc":
            x = mix(W, [x[i] - lr * g[i] for i in range(n)])
        elif form == "cta":
            mixed = mix(W, x)
            x = [mixed[i] - lr * g[i] for i in range(n)]
        else:
            raise ValueError(form)
        history.append(list(x))
    return np.array(history)


def local_dsgd(W, grad, x0, rounds, *, lr, local_steps):
    """Local decentralized SGD, Koloskova et al. (arXiv 2003.10422): K local SGD steps, then one mixing."""
    x = nodes(x0)
    n = len(x)
    history = [list(x)]
    for t in range(rounds):
        local = [x[i].copy() for i in range(n)]
        for i in range(n):
            for j in range(local_steps):
                local[i] = local[i] - lr * grad(i, local[i], t * local_steps + j)
        x = mix(W, local)
        history.append(list(x))
    return np.array(history)


def gradient_tracking(W, grad, x0, rounds, *, lr, form="semi-atc"):
    """Gradient tracking with y_0 = g_0: "cta" is DIGing (Nedic et al., arXiv 1607.03218), "semi-atc" is Algorithm 1 of
    Koloskova et al. (arXiv 2202.03836), "atc" is Aug-DGM (Xu et al., CDC 2015).
    """
    x = nodes(x0)
    n = len(x)
    g = [grad(i, x[i], 0) for i in range(n)]
    y = [g[i].copy() for i in range(n)]
    history = [list(x)]
    for t in range(rounds):
        if form == "cta":
            mixed = mix(W, x)
            x = [mixed[i] - lr * y[i] for i in range(n)]
        elif form in ("semi-atc", "atc"):
            x = mix(W, [x[i] - lr * y[i] for i in range(n)])
        else:
            raise ValueError(form)
        g_new = [grad(i, x[i], t + 1) for i in range(n)]
        if form == "atc":
            y = mix(W, [y[i] + g_new[i] - g[i] for i in range(n)])
        else:
            mixed = mix(W, y)
            y = [mixed[i] + g_new[i] - g[i] for i in range(n)]
        g = g_new
        history.append(list(x))
    return np.array(history)


def aug_dgm(W, grad, x0, rounds, *, lr):
    """Aug-DGM (Xu, Zhu, Soh and Xie, CDC 2015), also known as ATC-DIGing: x = W(x - lr y), y = W(y + g_new - g)."""
    x = nodes(x0)
    n = len(x)
    g = [grad(i, x[i], 0) for i in range(n)]
    y = [g[i].copy() for i in range(n)]
    history = [list(x)]
    for t in range(rounds):
        x = mix(W, [x[i] - lr * y[i] for i in range(n)])
        g_new = [grad(i, x[i], t + 1) for i in range(n)]
        y = mix(W, [y[i] + g_new[i] - g[i] for i in range(n)])
        g = g_new
        history.append(list(x))
    return np.array(history)


def kgt(W, grad, x0, rounds, *, lr, outer_lr, local_steps, init="zero"):
    """K-GT, Algorithm 1 of Liu, Lin, Koloskova and Stich (arXiv 2301.01313); init="paper" is c_0 = mean(g_0) - g_0."""
    x = nodes(x0)
    n, K = len(x), local_steps
    if init == "zero":
        c = [np.zeros_like(x[i]) for i in range(n)]
    elif init == "paper":
        g = [grad(i, x[i], 0) for i in range(n)]
        c = [-g[i] + average(g) for i in range(n)]
    else:
        raise ValueError(init)
    history = [list(x)]
    for t in range(rounds):
        local = [x[i].copy() for i in range(n)]
        for i in range(n):
            for j in range(K):
                local[i] = local[i] - lr * (grad(i, local[i], t * K + j) + c[i])
        z = [(x[i] - local[i]) / (K * lr) for i in range(n)]
        mixed = mix(W, z)
        c = [c[i] - z[i] + mixed[i] for i in range(n)]
        x = mix(W, [x[i] - K * outer_lr * lr * z[i] for i in range(n)])
        history.append(list(x))
    return np.array(history)


def periodical_gt(W, grad, x0, rounds, *, lr, outer_lr, local_steps, track="last"):
    """Periodical gradient tracking, Liu et al. (arXiv 2301.01313), written like K-GT from c_0 = 0.

    The tracked gradient s is the round's local average ("mean", which is K-GT), its last or its first draw. "first" is
    the tracker that evaluates a gradient at the mixed point and takes the next round's first local step with it.
    """
    x = nodes(x0)
    n, K = len(x), local_steps
    c = [np.zeros_like(x[i]) for i in range(n)]
    history = [list(x)]
    for t in range(rounds):
        local = [x[i].copy() for i in range(n)]
        s = []
        for i in range(n):
            draws = []
            for j in range(K):
                g = grad(i, local[i], t * K + j)
                draws.append(g)
                local[i] = local[i] - lr * (g + c[i])
            s.append({"mean": sum(draws) / K, "last": draws[-1], "first": draws[0]}[track])
        z = [(x[i] - local[i]) / (K * lr) for i in range(n)]
        mixed = mix(W, [s[i] + c[i] for i in range(n)])
        c = [mixed[i] - s[i] for i in range(n)]
        x = mix(W, [x[i] - K * outer_lr * lr * z[i] for i in range(n)])
        history.append(list(x))
    return np.array(history)


def periodical_gt_by_communication(W, grad, x0, rounds, *, lr, local_steps):
    """Periodical gradient tracking, Liu et al. (arXiv 2301.01313), as gradient tracking over a time-varying network.

    Every iteration is x = W_m (x - lr y), y = W_m y + g_new - g, with W_m = W in every K-th iteration and the identity
    in the others. Returns x at the start and after each of the `rounds` communications.
    """
    x = nodes(x0)
    n, K = len(x), local_steps
    g = [grad(i, x[i], 0) for i in range(n)]
    y = [g[i].copy() for i in range(n)]
    history = [list(x)]
    for m in range(rounds * K):
        communicate = (m + 1) % K == 0
        x = [x[i] - lr * y[i] for i in range(n)]
        if communicate:
            x = mix(W, x)
            y = mix(W, y)
        g_new = [grad(i, x[i], m + 1) for i in range(n)]
        y = [y[i] + g_new[i] - g[i] for i in range(n)]
        g = g_new
        if communicate:
            history.append(list(x))
    return np.array(history)


def momentum_tracking(W, grad, x0, rounds, *, lr, momentum, weight_decay=0.0, init="authors"):
    """Momentum Tracking, Takezawa et al. (arXiv 2209.15505), as in the authors' code.

    init="authors" is u_0 = c_0 = (g_0 - mean(g_0)) / (1 - momentum), without weight decay; "zero" is u_0 = c_0 = 0.
    """
    x = nodes(x0)
    n = len(x)
    if init == "authors":
        g = [grad(i, x[i], 0) for i in range(n)]
        u = [(g[i] - average(g)) / (1 - momentum) for i in range(n)]
    elif init == "zero":
        u = [np.zeros_like(x[i]) for i in range(n)]
    else:
        raise ValueError(init)
    c = [u[i].copy() for i in range(n)]
    history = [list(x)]
    for t in range(rounds):
        g = [grad(i, x[i], t) for i in range(n)]
        u = [momentum * u[i] + g[i] + weight_decay * x[i] for i in range(n)]
        mixed = mix(W, x)
        x = [mixed[i] - lr * (u[i] - c[i]) for i in range(n)]
        mixed = mix(W, [c[i] - u[i] for i in range(n)])
        c = [mixed[i] + u[i] for i in range(n)]
        history.append(list(x))
    return np.array(history)


def dsgdm(W, grad, x0, rounds, *, lr, momentum, weight_decay=0.0):
    """DSGDm, decentralized SGD with local heavy-ball momentum (baseline of Takezawa et al., arXiv 2209.15505)."""
    x = nodes(x0)
    n = len(x)
    u = [np.zeros_like(x[i]) for i in range(n)]
    history = [list(x)]
    for t in range(rounds):
        g = [grad(i, x[i], t) + weight_decay * x[i] for i in range(n)]
        u = [momentum * u[i] + g[i] for i in range(n)]
        x = mix(W, [x[i] - lr * u[i] for i in range(n)])
        history.append(list(x))
    return np.array(history)


def qg_dsgdm(W, grad, x0, rounds, *, lr, momentum, buffer_momentum=None, nesterov=False, weight_decay=0.0):
    """QG-DSGDm, quasi-global momentum, Lin et al. (arXiv 2102.04761); buffer_momentum is mu, None makes it momentum."""
    x = nodes(x0)
    n = len(x)
    mu = momentum if buffer_momentum is None else buffer_momentum
    m = [np.zeros_like(x[i]) for i in range(n)]
    history = [list(x)]
    for t in range(rounds):
        g = [grad(i, x[i], t) + weight_decay * x[i] for i in range(n)]
        step = [momentum * m[i] + g[i] for i in range(n)]
        if nesterov:
            step = [g[i] + momentum * step[i] for i in range(n)]
        x_new = mix(W, [x[i] - lr * step[i] for i in range(n)])
        m = [mu * m[i] + (1 - mu) * (x[i] - x_new[i]) / lr for i in range(n)]
        x = x_new
        history.append(list(x))
    return np.array(history)


def decentlam(W, grad, x0, rounds, *, lr, momentum, weight_decay=0.0):
    """DecentLaM, Yuan et al. (arXiv 2104.11981): heavy ball on the gradient (x - W(x - lr g)) / lr."""
    x = nodes(x0)
    n = len(x)
    m = [np.zeros_like(x[i]) for i in range(n)]
    history = [list(x)]
    for t in range(rounds):
        g = [grad(i, x[i], t) + weight_decay * x[i] for i in range(n)]
        mixed = mix(W, [x[i] - lr * g[i] for i in range(n)])
        g = [(x[i] - mixed[i]) / lr for i in range(n)]
        m = [momentum * m[i] + g[i] for i in range(n)]
        x = [x[i] - lr * m[i] for i in range(n)]
        history.append(list(x))
    return np.array(history)


def gt_hb(W, grad, x0, rounds, *, lr, momentum):
    """DSGT-HB, ATC gradient tracking with an averaged heavy ball (Kun Huang's code; cf. Xin and Khan, 1808.02942).

    Starts from y_0 = g_0 and u = 0; a round first averages u = momentum u + (1 - momentum) y, so that its first step is
    x_1 = W(x_0 - lr (1 - momentum) g_0), and then updates x and last y.
    """
    x = nodes(x0)
    n = len(x)
    g = [grad(i, x[i], 0) for i in range(n)]
    y = [g[i].copy() for i in range(n)]
    u = [np.zeros_like(x[i]) for i in range(n)]
    history = [list(x)]
    for t in range(rounds):
        u = [momentum * u[i] + (1 - momentum) * y[i] for i in range(n)]
        x = mix(W, [x[i] - lr * u[i] for i in range(n)])
        g_new = [grad(i, x[i], t + 1) for i in range(n)]
        y = mix(W, [y[i] + g_new[i] - g[i] for i in range(n)])
        g = g_new
        history.append(list(x))
    return np.array(history)


def d2(W, grad, x0, rounds, *, lr):
    """D2, Tang et al. (arXiv 1803.07068): x_1 = W(x_0 - lr g_0), then the two-gradient recursion."""
    x = nodes(x0)
    n = len(x)
    x_old, g_old = None, None
    history = [list(x)]
    for t in range(rounds):
        g = [grad(i, x[i], t) for i in range(n)]
        if t == 0:
            half = [x[i] - lr * g[i] for i in range(n)]
        else:
            half = [2 * x[i] - x_old[i] - lr * g[i] + lr * g_old[i] for i in range(n)]
        x_old, g_old = x, g
        x = mix(W, half)
        history.append(list(x))
    return np.array(history)


def d2_varying(W, grad, x0, rounds, *, lr):
    """D2, Tang et al. (arXiv 1803.07068), for a step size that changes: the code of Lin et al. (arXiv 2102.04761).

    `lr` is a number or a function of the round t.
    """
    step = lr if callable(lr) else lambda t: lr
    x = nodes(x0)
    n = len(x)
    x_old, g_old = None, None
    history = [list(x)]
    for t in range(rounds):
        g = [grad(i, x[i], t) for i in range(n)]
        direction = g
        if t > 0:
            direction = [(x_old[i] - x[i]) / step(t - 1) + g[i] - g_old[i] for i in range(n)]
        x_old, g_old = x, g
        x = mix(W, [x[i] - step(t) * direction[i] for i in range(n)])
        history.append(list(x))
    return np.array(history)


def nids(W, grad, x0, rounds, *, lr, mix_first=True):
    """NIDS, Li, Shi and Yan (arXiv 1704.07808), smooth case: the recursion of D2 with (I + W) / 2 for W.

    mix_first=True takes the first step of D2, x_1 = (I + W)/2 (x_0 - lr g_0); False that of the paper, x_0 - lr g_0.
    """
    V = lazy(W)
    x = nodes(x0)
    n = len(x)
    x_old, g_old = None, None
    history = [list(x)]
    for t in range(rounds):
        g = [grad(i, x[i], t) for i in range(n)]
        if t == 0:
            x_new = [x[i] - lr * g[i] for i in range(n)]
            if mix_first:
                x_new = mix(V, x_new)
        else:
            x_new = mix(V, [2 * x[i] - x_old[i] - lr * (g[i] - g_old[i]) for i in range(n)])
        x_old, g_old = x, g
        x = x_new
        history.append(list(x))
    return np.array(history)


def extra(W, grad, x0, rounds, *, lr):
    """EXTRA, Shi, Ling, Wu and Yin (arXiv 1404.6264), with (I + W) / 2 as its second matrix."""
    V = lazy(W)
    x = nodes(x0)
    n = len(x)
    x_old, g_old = None, None
    history = [list(x)]
    for t in range(rounds):
        g = [grad(i, x[i], t) for i in range(n)]
        mixed = mix(W, x)
        if t == 0:
            x_new = [mixed[i] - lr * g[i] for i in range(n)]
        else:
            mixed_old = mix(V, x_old)
            x_new = [x[i] + mixed[i] - mixed_old[i] - lr * (g[i] - g_old[i]) for i in range(n)]
        x_old, g_old = x, g
        x = x_new
        history.append(list(x))
    return np.array(history)


def led(W, grad, x0, rounds, *, lr, local_steps, beta=None):
    """LED, local exact diffusion, Alghunaim (arXiv 2302.00620); beta=None is 1 / local_steps."""
    x = nodes(x0)
    n, K = len(x), local_steps
    b = 1 / K if beta is None else beta
    y = [np.zeros_like(x[i]) for i in range(n)]
    history = [list(x)]
    for t in range(rounds):
        p = [x[i].copy() for i in range(n)]
        for i in range(n):
            for j in range(K):
                p[i] = p[i] - lr * grad(i, p[i], t * K + j) - b * y[i]
        x = mix(W, p)
        y = [y[i] + p[i] - x[i] for i in range(n)]
        history.append(list(x))
    return np.array(history)


def proxskip(W, grad, x0, rounds, *, lr, prob, coins, tau=None):
    """Decentralized Scaffnew, Mishchenko, Malinovsky, Stich and Richtarik (arXiv 2202.09357).

    A round is one iteration, which mixes where coins[t] is 1. `prob` is the coin's probability, and tau=None is
    prob / lr, with which an iteration that communicates is plain mixing x = W xhat.
    """
    x = nodes(x0)
    n = len(x)
    weight = 1.0 if tau is None else lr * tau / prob
    h = [np.zeros_like(x[i]) for i in range(n)]
    history = [list(x)]
    for t in range(rounds):
        xhat = [x[i] - lr * (grad(i, x[i], t) - h[i]) for i in range(n)]
        if coins[t]:
            mixed = mix(W, xhat)
            x = [(1 - weight) * xhat[i] + weight * mixed[i] for i in range(n)]
            h = [h[i] + (prob / lr) * (x[i] - xhat[i]) for i in range(n)]
        else:
            x = xhat
        history.append(list(x))
    return np.array(history)


def scaffold_option_ii(W, grad, x0, rounds, *, lr, outer_lr, local_steps):
    """SCAFFOLD with option II and full participation, Karimireddy et al. (arXiv 1910.06378).

    There is a server and no network, so `W` is not used. The server starts at the average of x0, all control variates
    at zero, and the server's model is returned as every node's.
    """
    x = average(nodes(x0))
    n, K = len(x0), local_steps
    c = np.zeros_like(x)
    ci = [np.zeros_like(x) for _ in range(n)]
    history = [[x] * n]
    for t in range(rounds):
        y = [x.copy() for _ in range(n)]
        for i in range(n):
            for j in range(K):
                y[i] = y[i] - lr * (grad(i, y[i], t * K + j) - ci[i] + c)
        ci_new = [ci[i] - c + (x - y[i]) / (K * lr) for i in range(n)]
        dy = average([y[i] - x for i in range(n)])
        dc = average([ci_new[i] - ci[i] for i in range(n)])
        x = x + outer_lr * dy
        c = c + dc
        ci = ci_new
        history.append([x] * n)
    return np.array(history)


def heavy_ball(W, grad, x0, rounds, *, lr, momentum, weight_decay=0.0):
    """Centralized heavy ball, Polyak (1964): u = momentum u + mean of all nodes' gradients at one x, x = x - lr u.

    `W` is not used. Starts at the average of x0 and returns the one model as every node's.
    """
    x = average(nodes(x0))
    n = len(x0)
    u = np.zeros_like(x)
    history = [[x] * n]
    for t in range(rounds):
        g = average([grad(i, x, t) for i in range(n)]) + weight_decay * x
        u = momentum * u + g
        x = x - lr * u
        history.append([x] * n)
    return np.array(history)
