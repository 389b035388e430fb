"""Methods compared."""

import matplotlib.pyplot as plt
import numpy as np
import optax

from jaxdec import algorithms, compressors, networks, plotting, problems, results, run, sweep, theory
from jaxdec.networks import clocks


def local_steps():
    """Local steps on nodes that differ: LocalDSGD stalls, K-GT does not."""
    problem, ring = problems.quadratic(8, 5, zeta=1.0), networks.ring(8)
    methods = [algorithms.LocalDSGD(lr=0.05, local_steps=5), algorithms.KGT(lr=0.05, local_steps=5)]
    found = sweep(methods, problem, ring, seeds=1, rounds=300, every=5)
    ax = plotting.curves(found, "distance")
    ax.legend()
    return ax.figure


def step_sizes():
    """How much the step size matters: where a line ends, larger steps diverge."""
    problem, ring = problems.quadratic(8, 5, zeta=1.0, noise=0.1), networks.ring(8)
    methods = [algorithms.DSGD(lr=0.1), algorithms.GradientTracking(lr=0.1), algorithms.MomentumTracking(lr=0.1)]
    grid = {"lr": [0.01 * 2**k for k in range(9)]}
    found = sweep(methods, problem, ring, over=grid, seeds=5, rounds=200, every=200)
    ax = plotting.sensitivity(found, "distance")
    ax.legend()
    return ax.figure


def stability():
    """Where gradient tracking becomes unstable: measured over step sizes, and the limit that is calculated."""
    problem, ring = problems.quadratic(8, 5, mu=1.0, L=1.0), networks.ring(8)
    methods = {form: algorithms.GradientTracking(lr=0.1, form=form) for form in ("atc", "cta")}
    found = sweep(methods, problem, ring, over={"lr": np.geomspace(0.05, 3.0, 60)}, seeds=1, rounds=400, every=400)
    ax = plotting.sensitivity(found, "distance")
    for (form, method), colour in zip(methods.items(), plotting.COLOURS, strict=False):
        limit = theory.stability_limit(method, ring.W)
        ax.axvline(limit, color=colour, linestyle=":", label=f"limit of {form}, {limit:.3f}")
    ax.legend()
    return ax.figure


def heterogeneity():
    """The more the nodes differ the farther from the minimizer DSGD ends; exact methods do not care."""
    zetas = [0.01, 0.1, 1.0, 10.0]
    methods = [algorithms.DSGD(lr=0.1), algorithms.D2(lr=0.1), algorithms.GradientTracking(lr=0.1)]
    of = {f"{zeta}": problems.quadratic(8, 5, zeta=zeta, noise=0.01) for zeta in zetas}
    found = sweep(methods, of, networks.ring(8), seeds=5, rounds=500, every=500)
    last = found.distance.isel(round=-1).median("seed")
    _, ax = plt.subplots()
    for name, marker in zip(last.algorithm.values, "os^", strict=True):
        ax.loglog(zetas, last.sel(algorithm=name), marker=marker, label=name)
    ax.set(xlabel="heterogeneity zeta", ylabel="distance to the minimizer")
    ax.legend()
    return ax.figure


def momenta():
    """Momentum on nodes that differ, at the same effective step: where each method comes to rest."""
    problem, ring = problems.quadratic(8, 5, zeta=1.0), networks.ring(8)
    methods = [
        algorithms.DSGD(lr=0.1),
        algorithms.DSGDm(lr=0.01, momentum=0.9),
        algorithms.DecentLaM(lr=0.01, momentum=0.9),
        algorithms.MomentumTracking(lr=0.01, momentum=0.9),
    ]
    found = sweep(methods, problem, ring, seeds=1, rounds=400, every=10)
    ax = plotting.curves(found, "distance")
    ax.legend()
    return ax.figure


def schedules():
    """A step size that decays: the noise that a constant one leaves goes with it."""
    problem, ring = problems.quadratic(8, 5, noise=1.0), networks.ring(8)
    decaying = optax.exponential_decay(0.3, transition_steps=100, decay_rate=0.5)
    methods = {
        "constant 0.3": algorithms.GradientTracking(lr=0.3),
        "constant 0.03": algorithms.GradientTracking(lr=0.03),
        "halved every 100 rounds": algorithms.GradientTracking(lr=decaying),
    }
    found = sweep(methods, problem, ring, seeds=20, rounds=600, every=5)
    ax = plotting.curves(found, "distance")
    ax.legend()
    return ax.figure


def bits():
    """Bits against accuracy: QSGD stalls on nodes that differ, DIANA sends differences that vanish."""
    C = compressors.Quantization(levels=1)
    methods = {
        "SGD": algorithms.SGD(lr=0.5),
        "QSGD": algorithms.QSGD(lr=0.2, compressor=C),
        "DIANA": algorithms.DIANA(lr=0.2, compressor=C),
    }
    found = sweep(methods, problems.quadratic(8, 50), networks.server(8), seeds=3, rounds=200, every=5)
    ax = plotting.curves(found, "distance", x="bits", log_x=True)
    ax.legend()
    return ax.figure


def bits_on_a_ring():
    """Compressed gossip on a ring, two entries in fifty a message: CHOCO-SGD has a bias, BEER and CGT are exact."""
    C = compressors.TopK(k=2)
    methods = [
        algorithms.ChocoSGD(lr=0.05, consensus_lr=0.1, compressor=C),
        algorithms.BEER(lr=0.05, consensus_lr=0.1, compressor=C),
        algorithms.CGT(lr=0.05, consensus_lr=0.1, compressor=C),
    ]
    found = sweep(methods, problems.quadratic(8, 50), networks.ring(8), seeds=1, rounds=3000, every=50)
    ax = plotting.curves(found, "distance", x="bits")
    ax.legend()
    return ax.figure


def stragglers():
    """Two clients of eight are slow: who waits for them takes longer, who does not ends nearer to the fast ones."""
    problem, speed = problems.quadratic(8, 10, noise=0.1), [1.0] * 6 + [0.1] * 2
    link = results.Link(latency=0.0, bandwidth=1e9)
    waits = run(algorithms.SGD(lr=0.3), problem, networks.server(8), rounds=30)
    waits = results.add_clock(waits, networks.server(8), link, compute=clocks.Fixed(speed))
    network = networks.asynchronous(networks.server(8), speed=speed)
    goes_on = run(algorithms.AsynchronousSGD(lr=0.05), problem, network, rounds=1800, every=10)
    _, ax = plt.subplots()
    for label, found, style in (("SGD, which waits", waits, "-"), ("Asynchronous SGD", goes_on.to_xarray(), "--")):
        ax.semilogy(np.squeeze(found.seconds), np.squeeze(found.distance), style, label=label)
    ax.set(xlabel="seconds", ylabel="distance to the minimizer")
    ax.legend()
    return ax.figure


def staleness():
    """Two clients of eight are slow: how stale the gradients are, and how large a step that leaves."""
    problem = problems.quadratic(8, 10, zeta=0.0)
    x0 = np.ones(10)
    speeds = {"as fast": 1.0, "10 times slower": 0.1, "50 times slower": 0.02}
    of = {label: networks.asynchronous(networks.server(8), speed=[1.0] * 6 + [s] * 2) for label, s in speeds.items()}
    asked = {"over": {"lr": np.geomspace(0.01, 2.0, 16)}, "metrics": ["distance", "staleness"]}
    found = sweep(algorithms.AsynchronousSGD(lr=0.1), problem, of, seeds=1, rounds=400, x0=x0, **asked).isel(seed=0)
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for label, style in zip(of, plotting.LINES, strict=False):
        one = found.sel(network=label)
        left.plot(one["round"], one.staleness.isel(lr=0), style, label=label)
        last = one.distance.isel(round=-1).values
        right.loglog(one.lr, np.where(last < 1, np.maximum(last, 1e-7), np.nan), style, marker="o")
    left.set(xlabel="event", ylabel="staleness of the gradient")
    right.set(xlabel="step size lr", ylabel="distance after 400 events, at least 1e-7")
    left.legend()
    return fig


def seconds():
    """Loss against seconds: over a slow link local steps pay, over a fast one they do not."""
    problem, ring = problems.quadratic(8, 20, zeta=0.1, mu=0.02), networks.ring(8)
    methods = {f"K-GT, {k} local steps": algorithms.KGT(lr=0.05, local_steps=k) for k in (1, 4, 16)}
    found = sweep(methods, problem, ring, seeds=1, rounds=2000, every=10)
    links = {"slow link": results.Link(latency=0.1, bandwidth=1e6, seconds_per_gradient=0.01),
             "fast link": results.Link(latency=1e-3, bandwidth=1e9, seconds_per_gradient=0.01)}  # fmt: skip
    fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for ax, (title, link), limit in zip(axes, links.items(), (200, 20), strict=True):
        plotting.curves(results.add_time(found, link, degree=2), "distance", x="seconds", ax=ax)
        ax.set(title=title, xlim=(0, limit))
    axes[0].legend()
    return fig
