"""The core against what it must not be slower than. `python -m benchmarks core`, about two minutes.

1. `run` against a hand-written scan of the same algorithm: at most 5 % more.
2. Gradient descent on a ring against a stacked NumPy loop: at least 5 times faster.
3. A sweep with common random numbers against one with independent keys: at least 3 times faster at batch 64, where the
   gather and the gradients dominate; small batches spend most of both on other things.
4. ProxSkip in a sweep of one seed: rounds without gossip, where gossip is most of a round, at least 3 times faster.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Table, in_turn
from jaxdec import algorithms, data, networks, problems, run, sweep
from jaxdec.loop import Keys
from jaxdec.metrics import consensus


def noisy(n: int, d: int) -> problems.Quadratic:
    return problems.quadratic(n, d, zeta=1.0, noise=0.1)


@jax.jit
def dsgd_by_hand(problem, W, lr, key, ts):
    """What a user would write: one scan, and the metric at both ends."""

    def step(x, t):
        return W @ (x - lr * (problem.A * x - problem.b + problem.noise * problem.sample(key, t))), None

    x0 = jnp.zeros_like(problem.b)
    x, _ = jax.lax.scan(step, x0, ts)
    spread = lambda x: jnp.mean(jnp.sum((x - jnp.mean(x, axis=0)) ** 2, axis=1))
    return x, jnp.stack([spread(x0), spread(x)])


@jax.jit
def kgt_by_hand(problem, W, lr, key, ts):
    K = 5

    def step(carry, t):
        x, c = carry

        def local(k, y):
            return y - lr * (problem.A * y - problem.b + problem.noise * problem.sample(key, t * K + k) + c)

        z = (x - jax.lax.fori_loop(0, K, local, x)) / (K * lr)
        return (W @ (x - K * lr * z), c - z + W @ z), None

    x0 = jnp.zeros_like(problem.b)
    (x, _), _ = jax.lax.scan(step, (x0, jnp.zeros_like(x0)), ts)
    spread = lambda x: jnp.mean(jnp.sum((x - jnp.mean(x, axis=0)) ** 2, axis=1))
    return x, jnp.stack([spread(x0), spread(x)])


def against_a_scan() -> Table:
    jax.config.update("jax_enable_x64", True)
    rows = []
    for name, algorithm, by_hand, n, d, rounds in (
        ("DSGD", algorithms.DSGD(lr=0.1), dsgd_by_hand, 8, 5, 20_000),
        ("DSGD", algorithms.DSGD(lr=0.1), dsgd_by_hand, 64, 100, 1_000),
        ("K-GT, K=5", algorithms.KGT(lr=0.02, local_steps=5), kgt_by_hand, 8, 5, 4_000),
        ("K-GT, K=5", algorithms.KGT(lr=0.02, local_steps=5), kgt_by_hand, 64, 100, 200),
    ):
        problem, network = noisy(n, d), networks.ring(n)
        key = Keys(*jax.random.split(jax.random.key(0), 5)).data
        ours = lambda a=algorithm, p=problem, w=network, r=rounds: (
            run(a, p, w, rounds=r, every=r, metrics=(consensus,)).state.x
        )
        theirs = lambda f=by_hand, a=algorithm, p=problem, w=network, k=key, r=rounds: f(
            p, w.W, a.lr, k, jnp.arange(r)
        )[0]
        np.testing.assert_allclose(ours(), theirs(), rtol=1e-9)
        a, b, ratio = in_turn(ours, theirs, pairs=21)
        rows.append(
            (f"{name}, n={n}, d={d}", f"{a / rounds * 1e6:.2f}", f"{b / rounds * 1e6:.2f}", f"{ratio:.3f}", "≤ 1.05")
        )
    return Table("run against a hand-written scan", ("case", "run, µs/round", "scan, µs/round", "ratio", "aim"), rows)


def against_numpy() -> Table:
    jax.config.update("jax_enable_x64", True)
    n, d, rounds, lr = 256, 10, 10_000, 0.1
    problem, network = problems.quadratic(n, d, zeta=1.0), networks.ring(n)
    A, b, dense = np.asarray(problem.A), np.asarray(problem.b), np.asarray(network.W.dense())

    def stacked():
        x = np.zeros((n, d))
        for _ in range(rounds):
            x = dense @ (x - lr * (A * x - b))
        return x

    def rolled():
        x = np.zeros((n, d))
        for _ in range(rounds):
            y = x - lr * (A * x - b)
            x = (y + np.roll(y, 1, axis=0) + np.roll(y, -1, axis=0)) / 3
        return x

    ours = lambda: (
        run(algorithms.DSGD(lr=lr), problem, network, rounds=rounds, every=rounds, metrics=(consensus,)).state.x
    )
    rows = []
    for name, theirs in (("NumPy, dense W @ x", stacked), ("NumPy, np.roll", rolled)):
        np.testing.assert_allclose(ours(), theirs(), atol=1e-12)
        a, b_, ratio = in_turn(theirs, ours)
        rows.append((name, f"{b_ / rounds * 1e6:.2f}", f"{a / rounds * 1e6:.2f}", f"{ratio:.1f}", "≥ 5"))
    columns = ("DGD on a ring, n=256, d=10", "run, µs/round", "NumPy, µs/round", "speed-up", "aim")
    return Table("Stacked loops in NumPy", columns, rows)


def common_random_numbers() -> Table:
    jax.config.update("jax_enable_x64", True)
    cancer = data.breast_cancer()
    digits = data.binary(data.digits(), positive=range(5))
    rows = []
    for name, dataset, n, batch in (
        ("breast cancer, batch 16", cancer, 16, 16),
        ("binary digits, batch 16", digits, 16, 16),
        ("binary digits, batch 64", digits, 16, 64),
    ):
        problem = problems.logistic(dataset, data.iid(dataset, n=n), batch_size=batch, l2=1e-3)
        arguments = dict(over={"lr": list(np.geomspace(1e-3, 1, 64))}, seeds=2, rounds=200, every=200)
        go = lambda paired, p=problem, m=n, k=arguments: (
            sweep(
                algorithms.DSGD(lr=0.1), p, networks.ring(m), paired=paired, metrics=(consensus,), progress=False, **k
            ).consensus.values
        )
        independent, paired, ratio = in_turn(partial(go, False), partial(go, True))
        rate = 64 * 2 / paired
        rows.append((name, f"{paired:.3f} ({rate:.0f} runs/s)", f"{independent:.3f}", f"{ratio:.1f}", "≥ 3"))
    columns = ("64 step sizes, DSGD, n=16", "common, s", "independent keys, s", "speed-up", "aim")
    return Table("Common random numbers in a sweep", columns, rows)


def skipped_gossip() -> Table:
    """A sweep of one seed, in which ProxSkip's coin is a branch: a round without gossip costs no product with W."""
    jax.config.update("jax_enable_x64", True)
    n, d, rounds = 512, 256, 400
    W = np.random.default_rng(0).random((n, n)) + n * np.eye(n)
    for _ in range(50):  # Sinkhorn: symmetric and doubly stochastic
        W = W / np.sqrt(W.sum(axis=0) * W.sum(axis=1)[:, None])
        W = (W + W.T) / 2
    problem, network = problems.quadratic(n, d, zeta=1.0), networks.static(W, form="dense")
    over, horizon = {"lr": [0.2, 0.3]}, {"seeds": 1, "rounds": rounds, "every": rounds, "metrics": (consensus,)}
    rows = []
    for probability in (0.02, 0.2):
        go = lambda p, m=horizon: (
            sweep(
                algorithms.ProxSkip(lr=0.1, probability=p, consensus_lr=0.5),
                problem,
                network,
                over=over,
                progress=False,
                **m,
            ).consensus.values
        )
        always, seldom, ratio = in_turn(partial(go, 1.0), partial(go, probability), pairs=5)
        rows.append((f"probability {probability}", f"{seldom / rounds * 1e3:.2f}", f"{always / rounds * 1e3:.2f}",
                     f"{ratio:.1f}", "≥ 3"))  # fmt: skip
    columns = ("ProxSkip, dense W, n=512, d=256", "ms/round", "gossip in every round", "speed-up", "aim")
    return Table("Local rounds that cost no gossip", columns, rows)


PARTS = (against_a_scan, against_numpy, common_random_numbers, skipped_gossip)
