"""Asynchronous methods as a queue of events on the host, from their papers: a heap of who ends when.

`durations`[i][c] is how long computation c of node i takes; `grad`(i, x, k) its stochastic gradient number k at x, that
of local step s of K in event t being number t K + s. Trajectories are those of the server's model, (events + 1, d).
"""

import heapq
from collections.abc import Iterator

import numpy as np
from scipy.linalg import expm


def queue(durations, events: int, latency: float = 0.0, server: bool = True) -> Iterator[tuple[int, float, int, int]]:
    """The events: their number, their time, who ends, and how many that one has ended with it."""
    heap = [(row[0] + latency, i) for i, row in enumerate(durations)]
    heapq.heapify(heap)
    ended = [0] * len(durations)
    for t in range(events):
        now, i = heapq.heappop(heap)
        ended[i] += 1
        yield t, now, i, ended[i]
        heapq.heappush(heap, (now + (durations[i][ended[i]] + (2 * latency if server else latency)), i))


def asynchronous_sgd(durations, grad, x0, events, *, lr, adaptive, latency=0.0):
    """Mishchenko et al. 2022, with the steps of the authors' code."""
    n, x = len(durations), np.array(x0)
    sent, version, path, times = [x] * n, [0] * n, [x], [0.0]
    for t, now, i, _ in queue(durations, events, latency):
        step = lr * n / max(n, t - version[i]) if adaptive else lr
        x = x - step * grad(i, sent[i], t)
        sent[i], version[i] = x, t + 1
        path.append(x)
        times.append(now)
    return np.array(path), np.array(times)


def fedasync(durations, grad, x0, events, *, lr, local_steps, alpha, rho, weight, latency=0.0):
    """Xie, Koyejo, Gupta 2019; `weight` is s."""
    n, x = len(durations), np.array(x0)
    sent, version, path, times = [x] * n, [0] * n, [x], [0.0]
    for t, now, i, _ in queue(durations, events, latency):
        y = sent[i]
        for s in range(local_steps):
            y = y - lr * (grad(i, y, t * local_steps + s) + rho * (y - sent[i]))
        mixed = alpha * weight(t - version[i])
        x = (1 - mixed) * x + mixed * y
        sent[i], version[i] = x, t + 1
        path.append(x)
        times.append(now)
    return np.array(path), np.array(times)


def fedbuff(durations, grad, x0, events, *, lr, local_steps, size, outer_lr, exponent, latency=0.0):
    """Nguyen et al. 2021, with late changes weighed by (1 + tau)^(-exponent)."""
    n, x = len(durations), np.array(x0)
    sent, version, path, times, k, buffer = [x] * n, [0] * n, [x], [0.0], 0, []
    for t, now, i, _ in queue(durations, events, latency):
        y = sent[i]
        for s in range(local_steps):
            y = y - lr * grad(i, y, t * local_steps + s)
        buffer.append((1 + k - version[i]) ** -exponent * (sent[i] - y))
        if len(buffer) == size:
            x = x - outer_lr * np.sum(buffer, axis=0) / size
            buffer, k = [], k + 1
        sent[i], version[i] = x, k
        path.append(x)
        times.append(now)
    return np.array(path), np.array(times)


def rennala_sgd(durations, grad, x0, events, *, lr, batch, latency=0.0):
    """Tyurin, Richtárik 2023; those who deliver at one time are sent the model when all of them have delivered."""
    n, x = len(durations), np.array(x0)
    version, path, times, k, batched, waiting = [0] * n, [x], [0.0], 0, [], []
    for t, now, i, _ in queue(durations, events, latency):
        if now > times[-1]:
            for j in waiting:
                version[j] = k
            waiting = []
        if version[i] == k:
            batched.append(grad(i, x, t))
        if len(batched) == batch:
            x = x - lr * np.mean(batched, axis=0)
            batched, k = [], k + 1
        waiting.append(i)
        path.append(x)
        times.append(now)
    return np.array(path), np.array(times)


def ringmaster_asgd(durations, grad, x0, events, *, lr, threshold, latency=0.0):
    """Maranjyan, Tyurin, Richtárik 2025, without calculation stops."""
    n, x = len(durations), np.array(x0)
    sent, version, path, times, k = [x] * n, [0] * n, [x], [0.0], 0
    for t, now, i, _ in queue(durations, events, latency):
        if k - version[i] < threshold:
            x = x - lr * grad(i, sent[i], t)
            k += 1
        sent[i], version[i] = x, k
        path.append(x)
        times.append(now)
    return np.array(path), np.array(times)


def ad_psgd(durations, meets, grad, x0, events, *, lr, latency=0.0):
    """Lian et al. 2017; `meets`[i][c] is whom node i meets when it has ended c computations. (events + 1, n, d)."""
    x = np.array(x0)
    began, path, times = x.copy(), [x.copy()], [0.0]
    for t, now, i, c in queue(durations, events, latency, server=False):
        g, j = grad(i, began[i], t), meets[i][c]
        x[i] = x[j] = (x[i] + x[j]) / 2
        x[i] = x[i] - lr * g
        began[i] = x[i]
        path.append(x.copy())
        times.append(now)
    return np.array(path), np.array(times)


def a2cid2(durations, meets, grad, x0, events, *, lr, eta, alpha, latency=0.0):
    """Nabli et al. 2023, from the authors' code, where nodes meet when they end a gradient. (events + 1, n, d)."""
    x, y = np.array(x0), np.array(x0)
    began, last, path, times = x.copy(), np.zeros(len(x)), [x.copy()], [0.0]
    for t, now, i, c in queue(durations, events, latency, server=False):
        g, j = grad(i, began[i], t), meets[i][c]
        for node in {i, j}:
            flow = expm(np.array([[-eta, eta], [eta, -eta]]) * (now - last[node]))
            x[node], y[node] = flow @ np.stack([x[node], y[node]])
            last[node] = now
        towards = x[j] - x[i]
        y[i], y[j] = y[i] + alpha * towards, y[j] - alpha * towards
        x[i] = x[j] = (x[i] + x[j]) / 2
        x[i], y[i] = x[i] - lr * g, y[i] - lr * g
        began[i] = x[i]
        path.append(x.copy())
        times.append(now)
    return np.array(path), np.array(times)


def swift(durations, W, grad, x0, events, *, lr, period):
    """Bornstein et al. 2022, with the weights of W; messages arrive at once. (events + 1, n, d)."""
    x = np.array(x0)
    path, times = [x.copy()], [0.0]
    for t, now, i, c in queue(durations, events, server=False):
        g = grad(i, x[i], t)
        x[i] = (sum(W[i, j] * x[j] for j in range(len(x))) if c % period == 0 else x[i]) - lr * g
        path.append(x.copy())
        times.append(now)
    return np.array(path), np.array(times)
