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
