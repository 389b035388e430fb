"""Where the weight of a lost message goes: the error of five methods against the probability of a loss, by five rules.

Quadratics without noise that differ from node to node, on a ring of 15; every message, or under "link" every link, is
lost independently. The rules are those of `networks.lossy`. Only "link" and "sender" keep what is averaged. Trackers
then reach the minimizer under "link", whatever is lost, and DSGD stays at the bias that it has without loss; "sender"
is for push-sum methods, such as Push-DIGing, which reach it under both. Under "self" and "renormalize" nodes agree on a
point that is none, and under "drop" the iterates shrink.

A method that needs a law that a rule does not keep is refused there: these runs are negative controls, made with
strict=False, and drawn dashed and hollow. What diverged is drawn at the top.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from jaxdec import networks, problems
from jaxdec.algorithms import DSGD, EXTRA, KGT, GradientTracking, PushDIGing
from jaxdec.networks.arcs import Rule
from jaxdec.papers.command import main
from jaxdec.papers.exhibits import Claim, Exhibit, Paper
from jaxdec.results import plotting

__all__ = ["METHODS", "OVER", "PAPER", "PROBABILITIES", "RULES", "SIZE", "error", "figure", "losses", "refused"]

SIZE = 15
OVER = "network.loss.probability"
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
    return jnp.sqrt(jnp.mean(jnp.sum((state.x - problem.minimizer[None]) ** 2, axis=1)))


def losses(*, probabilities: Sequence[float], rounds: int, seeds: int, d: int) -> Mapping[str, Any]:
    """All methods under all rules, over the probability of a loss."""
    networks_of = {rule: networks.lossy(networks.ring(SIZE), 0.1, rule) for rule in RULES}
    parts = {"algorithms": METHODS, "problems": problems.quadratic(SIZE, d, zeta=1.0), "networks": networks_of}
    horizon = {"seeds": seeds, "rounds": rounds, "every": rounds, "metrics": (error,), "strict": False}
    return {"": parts | {"over": {OVER: list(probabilities)}} | horizon}


def refused(results: xr.Dataset, method: str, rule: str) -> bool:
    """Whether a method needs a law that a rule does not keep."""
    return f"{method} on {rule}" in json.loads(results.attrs["specification"])["broken_laws"]


def _last(results: xr.Dataset) -> xr.DataArray:
    return results["error"].isel(round=-1, drop=True).rename({OVER: "probability"})


def _kept(results: xr.Dataset) -> float:
    """The largest error of trackers under the rules that keep what they track."""
    last = _last(results)
    pairs = [(m, r) for m in ("GradientTracking", "KGT", "PushDIGing") for r in ("link", "sender")]
    return max(float(last.sel(algorithm=m, network=r).max()) for m, r in pairs if not refused(results, m, r))


def _bias(results: xr.Dataset) -> float:
    """DSGD's error under "link" over that without loss, where it is farthest from one."""
    ratio = _last(results).sel(algorithm="DSGD", network="link").median("seed")
    ratio = ratio / ratio.isel(probability=0)
    return float(ratio.max())


def _shrunk(results: xr.Dataset) -> float:
    """The least error under "drop", where anything is lost."""
    last = _last(results).sel(network="drop")
    return float(last.isel(probability=slice(1, None)).min())


def figure(results: xr.Dataset) -> Any:
    """The median error against the probability of a loss, a panel for each method and a line for each rule."""
    dataset = _last(results)
    with plt.rc_context(plotting.STYLE):
        figure, axes = plt.subplots(1, dataset.sizes["algorithm"], figsize=(10.5, 3.7), sharex=True, sharey=True)
        for ax, method in zip(axes, dataset["algorithm"].values, strict=True):
            for k, rule in enumerate(dataset["network"].values):
                one = dataset.sel(algorithm=method, network=rule)
                shown = np.nan_to_num(one.transpose("probability", "seed"), nan=MOST, posinf=MOST).clip(LEAST, MOST)
                control, colour = refused(results, method, rule), plotting.COLOURS[k]
                line: dict[str, Any] = {"color": colour, "marker": plotting.MARKERS[k]}
                line |= {"linestyle": "--" if control else "-", "linewidth": 3 - 0.4 * k}
                line["markerfacecolor"] = "white" if control else colour
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


PAPER = Paper(
    "losses",
    "Where the weight of a lost message goes",
    (
        Exhibit(
            "rules",
            "The error of five methods against the probability of a loss, by five rules",
            losses,
            figure,
            (
                Claim(
                    "the largest error of trackers under rules that keep what they track",
                    _kept,
                    most=1e-9,
                    source="derived",
                    where="their fixed point",
                    why="rounding, after so many rounds",
                ),
                Claim(
                    'DSGD\'s error under "link" over that without loss, at most',
                    _bias,
                    most=3.0,
                    source="seen",
                    where="this exhibit",
                    why="half of the links mix as a graph of less than half the gap",
                ),
                Claim(
                    'the least error under "drop"',
                    _shrunk,
                    least=1e-2,
                    source="derived",
                    where="what is dropped is missing, and iterates shrink towards zero",
                    why="far from zero error",
                ),
            ),
            minutes={"default": 4.4},
            precision="float64",
            default={"probabilities": PROBABILITIES, "rounds": 3000, "seeds": 3, "d": 5},
            fast={"probabilities": (0.0, 0.1, 0.3), "seeds": 1},
            full={"seeds": 20},
            assumed="the graph, the methods and their steps",
            warned=tuple(
                f"{type(method).__name__} {how}" for method in METHODS.values() for how in ("runs without", "on")
            ),
        ),
    ),
)

if __name__ == "__main__":
    main(PAPER)
