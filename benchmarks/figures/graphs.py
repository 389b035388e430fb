"""Graphs, networks, and what fails in them."""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jaxdec import algorithms, graphs, networks, plotting, problems, run, sweep
from jaxdec.networks import outages


def a_network():
    """A network: its graph, its weights, and the eigenvalues of W."""
    return networks.draw(networks.torus(4, 4))


def spectral_gaps():
    """How fast graphs mix: the spectral gap of Metropolis weights by the number of nodes."""
    sizes = [8, 16, 32, 64, 128]
    families = {
        "ring": graphs.ring,
        "hypercube": graphs.hypercube,
        "exponential": graphs.exponential,
        "star": graphs.star,
    }
    _, ax = plt.subplots()
    for (label, family), marker in zip(families.items(), "os^v", strict=True):
        gaps = [graphs.spectral_gap(graphs.metropolis(family(n))) for n in sizes]
        ax.loglog(sizes, gaps, marker=marker, label=label)
    ax.set(xlabel="nodes", ylabel="spectral gap")
    ax.legend()
    return ax.figure


def spectra():
    """All eigenvalues of W, sorted: what a graph has near 1 is slow to agree, what it has near -1 oscillates."""
    families = {
        "ring": networks.ring(32),
        "grid": networks.grid(4, 8),
        "Erdős-Rényi": networks.erdos_renyi(32, 0.2, seed=0),
        "hypercube": networks.hypercube(32),
    }
    _, ax = plt.subplots()
    for (label, network), style in zip(families.items(), plotting.LINES, strict=True):
        ax.plot(np.linalg.eigvalsh(network.W.dense())[::-1], style, label=label)
    ax.set(xlabel="index", ylabel="eigenvalue of W")
    ax.legend()
    return ax.figure


def chosen_weights():
    """The same graph with other weights: how far nodes are from agreement, round by round."""
    graph, x = graphs.grid(4, 6), np.random.default_rng(0).normal(size=(24, 1))
    _, ax = plt.subplots()
    for rule, style in zip(("metropolis", "best_constant", "fastest_averaging"), plotting.LINES, strict=False):
        W = np.asarray(networks.static(graph, weights=rule).W.dense())
        errors = [np.linalg.norm(np.linalg.matrix_power(W, t) @ x - x.mean()) for t in range(60)]
        ax.semilogy(errors, style, label=rule.replace("_", " "))
    ax.set(xlabel="round", ylabel="distance from the average")
    ax.legend()
    return ax.figure


def finite_time():
    """Graphs that change: designed ones average any number of nodes exactly, in a few rounds."""
    found = {
        "ring": networks.ring(22),
        "random matchings": networks.random_matchings(22),
        "one-peer exponential": networks.one_peer_exponential(22),
        "Base-2 graph": networks.base_graph(22, 1),
    }
    x0 = np.random.default_rng(0).normal(size=(22, 1))
    _, ax = plt.subplots()
    for (label, network), style in zip(found.items(), plotting.LINES, strict=True):
        gossip = run(algorithms.PushSumGossip(), problems.quadratic(22, 1), network, rounds=20, x0=x0)
        error = np.asarray(gossip.metrics["consensus"])
        ax.semilogy(np.where(error > 1e-13, error, np.nan), style, label=label)
    ax.set(xlabel="round", ylabel="consensus error")
    ax.legend()
    return ax.figure


def directed_graphs():
    """On a directed graph rows or columns of W sum to one: who knows that, and who does not."""
    digraph = networks.random_digraph(8, 0.3, seed=1)
    problem = problems.quadratic(8, 5)
    methods = [
        algorithms.StochasticGradientPush(lr=0.05),
        algorithms.PushDIGing(lr=0.05),
    ]
    found = sweep(methods, problem, digraph, seeds=1, rounds=600, every=10)
    ax = plotting.curves(found, "distance")
    plain = run(algorithms.DSGD(lr=0.05), problem, digraph, rounds=600, every=10, strict=False)
    ax.semilogy(plain.rounds, plain.metrics["distance"], ":", color=plotting.COLOURS[2], label="DSGD, not made for it")
    ax.legend()
    return ax.figure


def lost_messages():
    """A ring that loses 30 % of its messages: trackers stay exact, DSGD does not get there."""
    problem = problems.quadratic(15, 4)
    methods = [algorithms.DSGD(lr=0.1), algorithms.GradientTracking(lr=0.1)]
    rings = {"reliable": networks.ring(15), "30 % lost": networks.lossy(networks.ring(15), 0.3)}
    found = sweep(methods, problem, rings, seeds=3, rounds=600, every=20)
    return plotting.panels(found, "distance")


def loss_rates():
    """The share of messages that is lost, swept like a step size: what a method still reaches in 600 rounds."""
    ring = networks.lossy(networks.ring(15), 0.1)
    methods = [algorithms.DSGD(lr=0.05), algorithms.GradientTracking(lr=0.05), algorithms.MomentumTracking(lr=0.01)]
    grid = {"network.loss.probability": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]}
    found = sweep(methods, problems.quadratic(15, 4), ring, over=grid, seeds=5, rounds=600, every=600)
    ax = plotting.sensitivity(found, "distance", over="network.loss.probability")
    ax.set(xlabel="probability that a message is lost", xscale="linear")
    ax.legend()
    return ax.figure


def unseen_losses():
    """Losses of which neither end knows: ASY-SONATA is exact, robust push-sum stays near."""
    digraph = networks.lossy(networks.random_digraph(8, 0.4, seed=2), 0.3, rule="arcs")
    problem = problems.quadratic(8, 5)
    methods = [algorithms.RobustStochasticGradientPush(lr=0.02), algorithms.ASYSONATA(lr=0.02)]
    found = sweep(methods, problem, digraph, seeds=3, rounds=1500, every=25)
    ax = plotting.curves(found, "distance")
    ax.legend()
    return ax.figure


def who_sleeps():
    """Who is asleep, in white: 30 % of the time, each round by itself or in bursts of 15 rounds."""
    laws = {"independent": 0.3, "in bursts": outages.GilbertElliott(probability=0.3, burst=15.0)}
    fig, axes = plt.subplots(2, 1, figsize=(8, 3.6), sharex=True, layout="constrained")
    for ax, (title, law) in zip(axes, laws.items(), strict=True):
        network = networks.sleeping(networks.ring(10), law)

        def one_round(memory, t, network=network):
            memory, world = network.at(memory, t, jax.random.fold_in(jax.random.key(1), t))
            return memory, world.active

        _, awake = jax.lax.scan(one_round, network.init(jax.random.key(0)), jnp.arange(120))
        ax.imshow(awake.T, aspect="auto", cmap="Greys", vmin=0, vmax=1.4, interpolation="nearest")
        ax.set(title=title, ylabel="node")
        ax.grid(False)
    axes[1].set(xlabel="round")
    return fig


def participation():
    """A few clients a round: SCAFFOLD corrects for who is missing, LocalSGD drifts with who is there."""
    problem = problems.quadratic(20, 5, zeta=1.0)
    methods = [algorithms.LocalSGD(lr=0.05, local_steps=5), algorithms.SCAFFOLD(lr=0.05, local_steps=5)]
    grid = {"network.participation": [0.2, 0.5, 1.0]}
    found = sweep(methods, problem, networks.server(20, participation=0.5), over=grid, seeds=5, rounds=300, every=5)
    fig, axes = plt.subplots(1, 3, figsize=(10, 3.4), sharey=True, layout="constrained")
    for ax, share in zip(axes, grid["network.participation"], strict=True):
        plotting.curves(found.sel({"network.participation": share}), "distance", ax=ax)
        ax.set(title=f"{share:.0%} of the clients", ylabel="" if ax is not axes[0] else ax.get_ylabel())
    axes[0].legend()
    return fig
