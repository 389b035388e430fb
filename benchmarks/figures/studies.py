"""Data, tuning and statistics."""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from flax import linen

from jaxdec import algorithms, compressors, data, gradients, networks, plotting, problems, sweep
from jaxdec.results import paired_differences


def partitions():
    """Who holds what: a disc for each node and class, by a Dirichlet partition of digits."""
    digits = data.digits()
    fig, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    for ax, alpha in zip(axes, (0.1, 10.0), strict=True):
        plotting.partition(data.dirichlet(digits, n=16, alpha=alpha), digits, ax=ax)
        ax.set_title(f"alpha = {alpha}")
    return fig


def uneven_digits():
    """Softmax regression on digits, the more uneven the harder: alpha of the Dirichlet partition."""
    digits = data.digits()
    of = {
        f"alpha = {alpha}": problems.softmax(digits, data.dirichlet(digits, n=16, alpha=alpha), batch_size=16, l2=1e-3)
        for alpha in (10.0, 0.1)
    }
    methods = [algorithms.LocalDSGD(lr=0.5, local_steps=5), algorithms.KGT(lr=0.5, local_steps=5)]
    found = sweep(methods, of, networks.ring(16), seeds=3, rounds=200, every=10, metrics=["loss"])
    return plotting.panels(found, "loss")


def a_neural_network():
    """A network of Flax at each of eight nodes, with two classes of digits each: accuracy of the mean model."""
    digits = data.digits()
    model = linen.Sequential([linen.Dense(32), linen.relu, linen.Dense(10)])
    problem = problems.neural(model, digits, data.classes_per_node(digits, n=8, k=2), batch_size=16)
    methods = [algorithms.DSGD(lr=0.2), algorithms.GradientTracking(lr=0.2), algorithms.MomentumTracking(lr=0.02)]
    found = sweep(methods, problem, networks.ring(8), seeds=2, rounds=300, every=20, metrics=["test"])
    ax = plotting.curves(found, "test_accuracy")
    ax.legend()
    return ax.figure


def error_of_compressors():
    """What compressors lose of a vector of a thousand entries, and what they send."""
    x, key = jnp.tile(jax.random.normal(jax.random.key(0), (1000,)), (50, 1)), jax.random.key(1)
    shown = {
        "quantization": [compressors.Quantization(levels=s) for s in (1, 4, 16, 64)],
        "top k": [compressors.TopK(k=k) for k in (10, 50, 200, 500)],
        "random k, scaled": [compressors.Scaled(compressors.RandK(k=k)) for k in (10, 50, 200, 500)],
        "natural": [compressors.NaturalCompression()],
        "sign": [compressors.ScaledSign()],
    }
    _, ax = plt.subplots()
    for (label, those), marker in zip(shown.items(), plotting.MARKERS, strict=False):
        messages = [C(key, x) for C in those]  # of fifty nodes
        error = [jnp.sum((m.value - x) ** 2) / jnp.sum(x**2) for m in messages]
        ax.loglog([np.mean(m.bits) for m in messages], error, marker=marker, label=label)
    ax.axvline(32_000, color="0.6", linestyle=":", label="float32")
    ax.set(xlabel="bits of a message", ylabel="relative squared error")
    ax.legend()
    return ax.figure


def two_hyperparameters():
    """Step size and momentum together: what is reached in 100 rounds; white is divergence."""
    problem, ring = problems.quadratic(8, 5, zeta=1.0), networks.ring(8)
    grid = {"lr": np.geomspace(0.003, 1.0, 24), "momentum": np.linspace(0.0, 0.95, 20)}
    found = sweep(algorithms.MomentumTracking(lr=0.1), problem, ring, over=grid, seeds=1, rounds=100, every=100)
    last = found.distance.isel(round=-1, seed=0).transpose("momentum", "lr").values
    first = float(found.distance.isel(round=0, seed=0).min())
    _, ax = plt.subplots()
    shown = ax.pcolormesh(grid["lr"], grid["momentum"], np.log10(np.where(last < first, last, np.nan)), cmap="cividis")
    ax.set(xscale="log", xlabel="step size lr", ylabel="momentum")
    ax.grid(False)
    ax.figure.colorbar(shown, label="log10 of the distance to the minimizer")
    return ax.figure


def descent_on_hyperparameters():
    """Gradients through the simulator: step size and momentum go downhill on what 40 rounds end with."""
    problem, ring = problems.quadratic(8, 5, zeta=1.0), networks.ring(8)
    end = gradients.final("distance", rounds=40)

    def log_end(z):
        return jnp.log(end(algorithms.MomentumTracking(lr=jnp.exp(z[0]), momentum=jax.nn.sigmoid(z[1])), problem, ring))

    step, optimizer = jax.jit(jax.grad(log_end)), optax.adam(0.15)
    lrs, momenta = jnp.linspace(-5.5, -0.5, 40), jnp.linspace(-3.0, 3.0, 40)
    heights = jax.vmap(lambda m: jax.vmap(lambda s: log_end(jnp.stack([s, m])))(lrs))(momenta)
    _, ax = plt.subplots()
    levels = np.arange(-10, 2, 1.0)
    ax.contourf(jnp.exp(lrs), jax.nn.sigmoid(momenta), heights, levels, cmap="cividis", extend="both")
    for start, marker in zip(((-5.0, -2.0), (-5.0, 2.0)), "os", strict=True):
        z, path = jnp.asarray(start), []
        state = optimizer.init(z)
        for _ in range(40):
            path.append((jnp.exp(z[0]), jax.nn.sigmoid(z[1])))
            update, state = optimizer.update(step(z), state)
            z = optax.apply_updates(z, update)
        ax.plot(*np.asarray(path).T, f"w-{marker}", markersize=3, markeredgecolor="k", linewidth=1)
    ax.set(xscale="log", xlabel="step size lr", ylabel="momentum")
    ax.grid(False)
    return ax.figure


def paired():
    """Why seeds are shared: the difference of two methods varies less where both see the same noise."""
    problem, ring = problems.quadratic(8, 5, zeta=0.3, noise=1.0), networks.ring(8)
    methods = [algorithms.DSGD(lr=0.1), algorithms.GradientTracking(lr=0.1)]
    fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharex=True, layout="constrained")
    for ax, shared in zip(axes, (False, True), strict=True):
        found = sweep(methods, problem, ring, seeds=200, rounds=100, every=100, paired=shared)
        last = found.loss.isel(round=-1)
        ax.hist(
            last.sel(algorithm="GradientTracking") - last.sel(algorithm="DSGD"), bins=np.linspace(-0.012, 0.012, 49)
        )
        bounds = paired_differences(found, reference="DSGD").difference.isel(round=-1).sel(algorithm="GradientTracking")
        ax.axvspan(*bounds.sel(bound=["low", "high"]).values, color=plotting.COLOURS[1], alpha=0.4)
        ax.set(title="shared noise" if shared else "noise of its own", xlabel="difference of the losses")
    axes[0].set(ylabel="seeds")
    return fig


def seeds():
    """Two hundred seeds in one program: every run, the median, and where 80 % of the runs are."""
    problem, ring = problems.quadratic(8, 5, noise=1.0), networks.ring(8)
    found = sweep(algorithms.GradientTracking(lr=0.1), problem, ring, seeds=200, rounds=150, every=2)
    ax = plotting.curves(found, "distance")
    ax.semilogy(found["round"], found.distance.transpose("round", "seed"), color="0.5", lw=0.3, alpha=0.3, zorder=0)
    return ax.figure
