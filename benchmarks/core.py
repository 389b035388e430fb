"""The core against what it must not be slower than. `python -m benchmarks core`, about three minutes.

1. `run` against a hand-written scan of the same algorithm: at most 5 % more, and what a call costs besides its rounds.
2. Gradient descent on a ring against a stacked NumPy loop: at least 5 times faster.
3. A sweep with common random numbers against one with independent keys: at least 3 times faster at batch 64, where the
   gather and the gradients dominate; small batches spend most of both on other things.
4. ProxSkip in a sweep of one seed: rounds without gossip, where gossip is most of a round, at least 3 times faster.
"""

from functools import partial
from zlib import crc32

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Table, in_turn, typical
from jaxdec import algorithms, compressors, data, networks, problems, run, sweep
from jaxdec._module import Keys
from jaxdec.metrics import consensus


def noisy(n: int, d: int) -> problems.Quadratic:
    return problems.quadratic(n, d, zeta=1.0, noise=0.1)


# What a user would write: one scan of the listing, and nothing else.


def _gradient(problem, key, x, i):
    return problem.A * x - problem.b + problem.noise * problem.sample(key, i)


@jax.jit
def dsgd_by_hand(problem, W, algorithm, keys, ts):
    def step(x, t):
        return W @ (x - algorithm.lr * _gradient(problem, keys.data, x, t)), None

    return jax.lax.scan(step, jnp.zeros_like(problem.b), ts)[0]


@jax.jit
def tracking_by_hand(problem, W, algorithm, keys, ts):
    def step(carry, t):
        x, y, g = carry
        x = W @ (x - algorithm.lr * y)
        new = _gradient(problem, keys.data, x, t + 1)
        return (x, W @ y + new - g, new), None

    x0 = jnp.zeros_like(problem.b)
    g = _gradient(problem, keys.data, x0, 0)
    return jax.lax.scan(step, (x0, g, g), ts)[0][0]


@jax.jit
def kgt_by_hand(problem, W, algorithm, keys, ts):
    K, lr = algorithm.local_steps, algorithm.lr

    def step(carry, t):
        x, c = carry

        def local(k, y):
            return y - lr * (_gradient(problem, keys.data, y, t * K + k) + c)

        z = (x - jax.lax.fori_loop(0, K, local, x)) / (K * lr)
        return (W @ (x - K * lr * z), c - z + W @ z), None

    x0 = jnp.zeros_like(problem.b)
    return jax.lax.scan(step, (x0, jnp.zeros_like(x0)), ts)[0][0]


@jax.jit
def momentum_by_hand(problem, W, algorithm, keys, ts):
    lr, beta = algorithm.lr, algorithm.momentum

    def step(carry, t):
        x, u, c = carry
        u = beta * u + _gradient(problem, keys.data, x, t)
        return (W @ x - lr * (u - c), u, W @ (c - u) + u), None

    x0 = jnp.zeros_like(problem.b)
    g = _gradient(problem, keys.data, x0, 0)
    u = (g - g.mean(axis=0)) / (1 - beta)
    return jax.lax.scan(step, (x0, u, u), ts)[0][0]


@jax.jit
def mcm_by_hand(problem, W, algorithm, keys, ts):
    n, d = problem.b.shape
    omega = jnp.minimum(d, jnp.sqrt(d))
    alpha = 1 / (2 * (omega + 1))

    def quantized(key, name, v):
        u = jax.random.uniform(jax.random.fold_in(key, crc32(name)), v.shape, v.dtype)
        norm = jnp.linalg.norm(v, axis=1, keepdims=True)
        return norm * jnp.sign(v) * jnp.minimum(jnp.floor(jnp.abs(v) / jnp.where(norm == 0, 1, norm) + u), 1)

    def step(carry, t):
        x, H, h = carry
        key = keys.of_round(t)[1]
        Om = quantized(key, b"down", x - H)
        g = _gradient(problem, keys.data, H + Om, t)
        D = quantized(key, b"up", g - h)
        return (x - algorithm.lr * jnp.mean(h + D, axis=0, keepdims=True), H + alpha * Om, h + alpha * D), None

    x0 = jnp.zeros((1, d))
    h = _gradient(problem, keys.data, jnp.zeros((n, d)), 0)
    return jax.lax.scan(step, (x0, x0, h), ts)[0][0]


SIZES = {(8, 5): 20_000, (64, 10): 4_000, (64, 100): 800, (256, 10): 1_500}  # n and d, and how many rounds


def against_a_scan() -> Table:
    jax.config.update("jax_enable_x64", True)
    ring, quantizer = networks.ring, compressors.Quantization(levels=1)
    rows = []
    for name, algorithm, by_hand, network, share in (
        ("DSGD", algorithms.DSGD(lr=0.1), dsgd_by_hand, ring, 1),
        ("gradient tracking", algorithms.GradientTracking(lr=0.1), tracking_by_hand, ring, 2),
        ("K-GT, K=5", algorithms.KGT(lr=0.02, local_steps=5), kgt_by_hand, ring, 5),
        ("Momentum Tracking", algorithms.MomentumTracking(lr=0.01), momentum_by_hand, ring, 2),
        ("MCM", algorithms.MCM(0.1, quantizer, quantizer), mcm_by_hand, networks.server, 4),
    ):
        for (n, d), most in SIZES.items():
            problem, rounds = noisy(n, d), most // share
            keys = Keys.of(0)
            among = network(n)
            ours = lambda a=algorithm, p=problem, w=among, r=rounds: (
                run(a, p, w, rounds=r, every=r, metrics=(consensus,)).state.x
            )
            W = among.W if network is ring else None
            theirs = lambda f=by_hand, a=algorithm, p=problem, w=W, k=keys, r=rounds: f(p, w, a, k, jnp.arange(r))
            np.testing.assert_allclose(ours(), theirs(), rtol=1e-9, atol=1e-12)
            a, b, ratio = in_turn(ours, theirs, pairs=11)
            aim = "≤ 1.5" if (name, n) == ("MCM", 8) else "≤ 1.05"
            rows.append(
                (f"{name}, n={n}, d={d}", f"{a / rounds * 1e6:.2f}", f"{b / rounds * 1e6:.2f}", f"{ratio:.3f}", aim)
            )
    return Table("run against a hand-written scan", ("case", "run, µs/round", "scan, µs/round", "ratio", "aim"), rows)


def fixed_cost() -> Table:
    """What a call costs besides its rounds: that of one round, on next to nothing."""
    problem, network, one = noisy(8, 5), networks.ring(8), dict(rounds=1, every=1, metrics=(consensus,))
    rows = []
    for name, algorithm in (("DSGD", algorithms.DSGD(lr=0.1)), ("K-GT, K=5", algorithms.KGT(lr=0.02, local_steps=5))):
        taken = typical(lambda a=algorithm: run(a, problem, network, **one).state.x, times=101)
        rows.append((f"run, {name}", f"{taken * 1e3:.2f}", "≤ 0.6"))
    return Table("The fixed cost of a call", ("n=8, d=5, one round", "ms", "aim"), rows)


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


PARTS = (against_a_scan, fixed_cost, against_numpy, common_random_numbers, skipped_gossip)
