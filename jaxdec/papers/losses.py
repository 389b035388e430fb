"""Where the weight of a lost message goes: the error of five methods against the probability of a loss, by five rules.

`python -m jaxdec.papers.losses` draws the figure, `losses.png`, in about a minute. Quadratics without noise that differ
from node to node, on a ring of 15; every message, or under "link" every link, is lost independently. The rules are
those of `networks.lossy`. Only "link" and "sender" keep what is averaged. Trackers then reach the minimizer under
"link", whatever is lost, and DSGD stays at the bias that it has without loss; "sender" is for push-sum methods, such as
Push-DIGing, which reach it under both. Under "self" and "renormalize" nodes agree on a point that is none, and under
"drop" the iterates shrink.

A method that needs a law that a rule does not keep is refused there: these runs are negative controls, made with
strict=False, and drawn dashed and hollow. What diverged is drawn at the top.

Experiments take the precision of JAX; the figure is drawn in float64.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from jaxdec import networks, problems
from jaxdec.algorithms import DSGD, EXTRA, KGT, GradientTracking, PushDIGing
from jaxdec.networks.arcs import Rule
from jaxdec.results import plotting
from jaxdec.sweeps import sweep

__all__ = ["METHODS", "PROBABILITIES", "RULES", "SIZE", "error", "experiment", "figure"]

SIZE = 15
RULES: tuple[Rule, ...] = ("link", "sender", "self", "renormalize", "drop")
PROBABILITIES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
METHODS = {
    "DSGD": DSGD(lr=0.05),
    "EXTRA": EXTRA(lr=0.05),
    "GradientTracking": GradientTracking(lr=0.05),
    "KGT": KGT(lr=0.02, local_steps=3),
    "PushDIGing": PushDIGing(lr=0.05),
}
LEAST, MOST = 1e-12, 1e3  # errors that are shown: what is more has diverged


def error(problem: Any, state: Any) -> Any:
    """The root of mean_i ‖x_i - x*‖²: how far nodes are from the minimizer."""
    return jnp.sqrt(jnp.mean(jnp.sum((state.x - problem.minimizer) ** 2, axis=1)))


def experiment(
    *, probabilities: Sequence[float] = PROBABILITIES, rounds: int = 3000, seeds: int = 3, d: int = 5
) -> xr.Dataset:
    """The final `error` over `algorithm`, `network` (the rule), `probability` and `seed`; `refused` where a law fails.

    Args:
        probabilities: of a loss.
        rounds: after how many the error is taken.
        seeds: how many.
        d: the dimension.
    """
    over = "network.loss.probability"
    found = sweep(
        METHODS,
        problems.quadratic(SIZE, d, zeta=1.0),
        {rule: networks.lossy(networks.ring(SIZE), 0.1, rule) for rule in RULES},
        over={over: list(probabilities)},
        seeds=seeds,
        rounds=rounds,
        every=rounds,
        metrics=[error],
        strict=False,
        progress=False,
    )
    broken = json.loads(found.attrs["specification"])["broken_laws"]
    refused = [[f"{method} on {rule}" in broken for rule in RULES] for method in METHODS]
    last = found[["error", "lost"]].isel(round=-1, drop=True).rename({over: "probability"})
    return last.assign(refused=(("algorithm", "network"), refused)).drop_attrs()


def figure(dataset: xr.Dataset) -> Any:
    """The median error against the probability of a loss, a panel for each method and a line for each rule."""
    import matplotlib.pyplot as plt

    with plt.rc_context(plotting.STYLE):
        figure, axes = plt.subplots(1, dataset.sizes["algorithm"], figsize=(10.5, 3.7), sharex=True, sharey=True)
        for ax, method in zip(axes, dataset["algorithm"].values, strict=True):
            for k, rule in enumerate(dataset["network"].values):
                one = dataset.sel(algorithm=method, network=rule)
                shown = np.nan_to_num(one["error"], nan=MOST, posinf=MOST).clip(LEAST, MOST)
                refused, colour = bool(one["refused"]), plotting.COLOURS[k]
                line = {"color": colour, "marker": plotting.MARKERS[k], "linestyle": "--" if refused else "-"}
                line |= {"markerfacecolor": "white" if refused else colour, "linewidth": 3 - 0.4 * k}
                line["markersize"] = 8 - k  # those that are hidden show around
                ax.semilogy(one["probability"], np.median(shown, axis=-1), **line)
            ax.set_title(method, fontsize=9)
            ax.set_xlabel("probability of a loss")
        axes[0].set(ylabel=r"error $(\frac{1}{n}\sum_i\|x_i-x^*\|^2)^{1/2}$", ylim=(LEAST / 3, 3 * MOST))
        for k, rule in enumerate(dataset["network"].values):
            axes[0].plot([], [], color=plotting.COLOURS[k], marker=plotting.MARKERS[k], label=f'"{rule}"')
        axes[0].plot(
            [], [], "--", color="0.3", marker="o", markerfacecolor="white", label="refused: a negative control"
        )
        figure.suptitle(
            f"messages lost on a ring of {SIZE}; at the top, what diverged; at the bottom, {LEAST:g} and less",
            fontsize=10,
        )
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return figure


if __name__ == "__main__":
    path = Path(sys.argv[1] if len(sys.argv) > 1 else ".") / "losses.png"
    with jax.enable_x64(True):
        found = experiment()
    figure(found).savefig(path, dpi=150)
    print(path)
