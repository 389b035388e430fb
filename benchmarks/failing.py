"""At which steps methods reach the minimizer on networks that fail. `python -m benchmarks.failing`, nine minutes.

It writes `docs/failing-networks.md`: for every graph method, on a ring and a path of 15, the largest step at which it
does, on the network that is reliable and on six that fail; or that it is refused there, and by which law. A sweep over
steps and seeds is one program, the same for all networks that fail. `--fast` shows three methods on the ring, and
`--missing` runs what the page has no row of.
"""

import argparse
import datetime
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jax.tree_util import Partial

from jaxdec import algorithms as A
from jaxdec import compressors, loop, module, networks, problems, sweep
from jaxdec.checks import facts
from jaxdec.networks import lossy, sleeping
from jaxdec.networks.families import PushPull
from jaxdec.networks.outages import GilbertElliott, Markov

jax.config.update("jax_enable_x64", True)

PAGE = Path(__file__).parents[1] / "docs" / "failing-networks.md"
N, D, ROUNDS, SEEDS, CLOSE = 15, 2, 30_000, 2, 1e-9
STEPS = [2.0 ** (k / 2) for k in range(-14, 7)]
FIXED = 2.0**-5  # the step at which biases are compared
PROBLEM = problems.quadratic(N, D, zeta=10.0, L=1.0, mu=0.5)
GRAPHS = {"ring": networks.ring(N), "path": networks.path(N)}

# Local steps are four, momenta 0.5.
K, BETA, TOP = {"local_steps": 4}, {"momentum": 0.5}, {"compressor": compressors.TopK(k=2)}
ONE = {"compressor": compressors.TopK(k=1)}
QUANTIZED = {"compressor": compressors.Quantization(levels=8)}
EXACT = {
    "GradientTracking, cta": A.GradientTracking(lr=1.0, form="cta"),
    "GradientTracking, semi-atc": A.GradientTracking(lr=1.0),
    "GradientTracking, atc (AugDGM)": A.AugDGM(lr=1.0),
    "GradientTrackingHB": A.GradientTrackingHB(lr=1.0, **BETA),
    "GradientTrackingHB, from zero": A.GradientTrackingHB(lr=1.0, start="zero", **BETA),
    "KGT": A.KGT(lr=1.0, **K),
    "KGT, the paper's start": A.KGT(lr=1.0, start="paper", **K),
    "PeriodicalGT, last": A.PeriodicalGT(lr=1.0, **K),
    "PeriodicalGT, first": A.PeriodicalGT(lr=1.0, track="first", **K),
    "PeriodicalGT, mean": A.PeriodicalGT(lr=1.0, track="mean", **K),
    "MomentumTracking": A.MomentumTracking(lr=1.0, **BETA),
    "MomentumTracking, from zero": A.MomentumTracking(lr=1.0, start="zero", **BETA),
    "AB, atc": A.AB(lr=1.0),
    "AB, cta": A.AB(lr=1.0, form="cta"),
    "PushDIGing": A.PushDIGing(lr=1.0),
    "ASYSONATA": A.ASYSONATA(lr=1.0),
    "RelaxedADMM, lr = 1 / penalty": A.RelaxedADMM(penalty=1.0),
    "DADMM, lr = 1 / penalty": A.DADMM(penalty=1.0),
    "DLM": A.DLM(lr=1.0, penalty=0.25),
    "LTADMM": A.LTADMM(lr=1.0, penalty=0.25, consensus_lr=0.25, **K),
    "LTADMMVR": A.LTADMMVR(lr=1.0, penalty=0.25, consensus_lr=0.25, **K),
    "ATG (ADMM-tracking)": A.ATG(lr=1.0, damping=0.5),
    "DiNNO": A.DiNNO(lr=1.0, penalty=0.25, **K),
    "GTAdam": A.GTAdam(lr=1.0, eps=1.0),
    "AccDNGD": A.AccDNGD(lr=1.0, curvature=0.5),
    "OPAPC": A.OPAPC(lr=1.0, curvature=0.5, **BETA),
    "SimpleGT": A.SimpleGT(lr=1.0),
    "WangElia": A.WangElia(lr=1.0),
    "RelaySGD": A.RelaySGD(lr=1.0),
    "EXTRA": A.EXTRA(lr=1.0),
    "NIDS": A.NIDS(lr=1.0),
    "PGEXTRA": A.PGEXTRA(lr=1.0),
    "ProxNIDS": A.ProxNIDS(lr=1.0),
    "ProxGT": A.ProxGT(lr=1.0),
    "ProxSkip, one round in two": A.ProxSkip(lr=1.0, probability=0.5),
    "D2 (ExactDiffusion)": A.D2(lr=1.0),
    "LED": A.LED(lr=1.0, **K),
    "GTSAGA": A.GTSAGA(lr=1.0),
    "GTSVRG": A.GTSVRG(lr=1.0, period=10),
    "GTSARAH": A.GTSARAH(lr=1.0, inner_steps=10),
    "DGET": A.DGET(lr=1.0, period=10),
    "GTHSGD": A.GTHSGD(lr=1.0, beta=0.3),
    "DESTRESS": A.DESTRESS(lr=1.0, period=10),
    "DSPIDERSFO": A.DSPIDERSFO(lr=1.0, period=10),
    "NetworkDANE": A.NetworkDANE(lr=1.0, penalty=1.0),
    "NewtonRaphsonConsensus": A.NewtonRaphsonConsensus(lr=1.0, curvature=0.1),
    "BEER": A.BEER(lr=1.0, consensus_lr=0.3, **ONE),
    "MoTEF": A.MoTEF(lr=1.0, consensus_lr=0.3, **ONE, **BETA),
    "LEAD": A.LEAD(lr=1.0, **QUANTIZED),
    "CGT": A.CGT(lr=1.0, consensus_lr=0.3, **ONE),
    "CPP": A.CPP(lr=1.0, consensus_lr=0.3, **ONE),
}
BIASED = {
    "DSGD, atc": A.DSGD(lr=1.0),
    "DSGD, cta": A.DSGD(lr=1.0, form="cta"),
    "LocalDSGD": A.LocalDSGD(lr=1.0, **K),
    "DSGDm": A.DSGDm(lr=1.0, **BETA),
    "QGDSGDm": A.QGDSGDm(lr=1.0, **BETA),
    "DecentLaM": A.DecentLaM(lr=1.0, **BETA),
    "DFedAvgM": A.DFedAvgM(lr=1.0, **K, **BETA),
    "DFedSAM": A.DFedSAM(lr=1.0, **K),
    "DAdam": A.DAdam(lr=1.0),
    "DAMSGrad": A.DAMSGrad(lr=1.0),
    "QGAdam": A.QGAdam(lr=1.0),
    "StochasticGradientPush": A.StochasticGradientPush(lr=1.0),
    "RobustStochasticGradientPush": A.RobustStochasticGradientPush(lr=1.0),
    "RelaySGDGrad": A.RelaySGDGrad(lr=1.0),
    "ChocoSGD": A.ChocoSGD(lr=1.0, consensus_lr=0.3, **TOP),
    "QuantizedPushSum": A.QuantizedPushSum(lr=1.0, **QUANTIZED),
    "DeepSqueeze": A.DeepSqueeze(lr=1.0, consensus_lr=0.3, **ONE),
    "PowerGossip": A.PowerGossip(lr=1.0, rank=1),
    "DCDPSGD": A.DCDPSGD(lr=1.0, **QUANTIZED),
    "ECDPSGD": A.ECDPSGD(lr=1.0, **QUANTIZED),
    "ADPSGD": A.ADPSGD(lr=1.0),
    "A2CiD2": A.A2CiD2(lr=1.0, eta=0.1, alpha=1.0),
    "SWIFT": A.SWIFT(lr=1.0),
    "NoLoCo, SGD inside": A.NoLoCo(Partial(optax.sgd, learning_rate=1.0), **K, **BETA),
    "DecentralizedDiLoCo, SGD inside": A.DecentralizedDiLoCo(Partial(optax.sgd, learning_rate=1.0), **K),
}
GOSSIP = {
    "PushSumGossip": A.PushSumGossip(),
    "RobustPushSum": A.RobustPushSum(),
    "QuantizedGossip": A.QuantizedGossip(**QUANTIZED),
    "DirectlyQuantizedPushSum": A.DirectlyQuantizedPushSum(**QUANTIZED),
    "ChocoGossip": A.ChocoGossip(consensus_lr=0.3, **TOP),
    "QuantizedPushSumGossip": A.QuantizedPushSumGossip(**QUANTIZED),
}
METHODS = EXACT | BIASED | GOSSIP
FAST = ("GradientTracking, semi-atc", "D2 (ExactDiffusion)", "DSGD, atc")


@module
class Paired:
    """A doubly stochastic W as the pair (W, W) of push-pull methods."""

    inner: Any

    @property
    def n(self) -> int:
        return self.inner.n

    @property
    def provides(self) -> frozenset[str]:
        return self.inner.provides & {"fixed", "reliable"} | {"push-pull"}

    def init(self, key):
        return self.inner.init(key)

    def at(self, memory, t, key):
        memory, world = self.inner.at(memory, t, key)
        return memory, world._replace(W=PushPull(world.W, world.W))


def failing(network: Any) -> dict[str, Any]:
    """The six networks, of one structure: a burst of 1 / (1 - p) is none, and what fails with probability 0 never."""

    def made(lost: float = 0.0, lost_for: float | None = None, asleep: Any = 0.0, asleep_for: float | None = None):
        asleep = np.broadcast_to(asleep, N).astype(float)
        burst = 1 / (1 - asleep) if asleep_for is None else np.full(N, asleep_for)
        loss = GilbertElliott(lost, 1 / (1 - lost) if lost_for is None else lost_for)
        return sleeping(lossy(network, loss), Markov(asleep, burst))

    return {
        "loss": made(0.3),
        "bursts": made(0.3, 5.0),
        "sleep": made(asleep=0.3),
        "Markov sleep": made(asleep=0.3, asleep_for=5.0),
        "unequal sleep": made(asleep=np.linspace(0.05, 0.55, N)),
        "both": made(0.3, 5.0, 0.3, 5.0),
    }


def away(problem: Any, state: Any) -> Any:
    """The largest distance of a node from the minimizer."""
    return jnp.max(jnp.linalg.norm(state.x - problem.minimizer[None], axis=1))


def bias(problem: Any, state: Any) -> Any:
    """The root of the mean squared distance of a node from the minimizer."""
    return jnp.sqrt(jnp.mean(jnp.sum((state.x - problem.minimizer[None]) ** 2, axis=1)))


def apart(problem: Any, state: Any) -> Any:
    """The largest distance of a node from the nodes' mean at the start, which is zero."""
    return jnp.max(jnp.linalg.norm(state.x, axis=1))


def start() -> np.ndarray:
    """Different points, of mean zero."""
    x0 = np.random.default_rng(0).standard_normal((N, D))
    return x0 - x0.mean(axis=0)


def refusal(method: Any, network: Any) -> str | None:
    """By which laws a method is refused on a network, if it is."""
    try:
        loop.check(method, PROBLEM, network, rounds=1, every=1)
    except ValueError:
        needs = facts(method)
        if needs.replicas:
            return "refused: keeps copies, needs a reliable network"
        return f"refused: needs {', '.join(sorted(needs.requires - network.provides))}"
    return None


def wrapping(method: Any) -> Any:
    """What a network is put into for a method."""
    return Paired if "push-pull" in facts(method).requires else lambda network: network


def row(name: str, graph: Any, rounds: int = ROUNDS) -> dict[str, str]:
    """The cells of a method, by network."""
    method = METHODS[name]
    wrapped = wrapping(method)
    cells: dict[str, str] = {}
    for label, network in ({"reliable": graph} | failing(graph)).items():
        with warnings.catch_warnings(record=True):  # of what is not promised, which the table says
            warnings.simplefilter("always")
            given = wrapped(network)
            cells[label] = refusal(method, given) or measured(name, given, rounds)
    return cells


def measured(name: str, network: Any, rounds: int = ROUNDS, steps: Sequence[float] = STEPS) -> str:
    """What a sweep of one program finds; networks of one structure share it, since nothing else differs."""
    asked = {"seeds": SEEDS, "rounds": rounds, "every": rounds, "progress": False}
    problem = problems.Quadratic(jnp.zeros((N, D)), jnp.zeros((N, D)), 0.0) if name in GOSSIP else PROBLEM
    metric, over, x0 = away, {"lr": steps}, None
    if isinstance(METHODS[name], A.RelaxedADMM | A.DADMM):
        over = {"penalty": [1 / step for step in steps]}
    if name in BIASED:
        metric, over = bias, {"lr": [FIXED]}
    if isinstance(METHODS[name], A.NoLoCo | A.DecentralizedDiLoCo):
        over = {"inner_optimizer": [Partial(optax.sgd, learning_rate=FIXED)]}
    if name in GOSSIP:
        metric, over, x0 = apart, {}, start()
    found = sweep(METHODS[name], problem, network, over=over, metrics={"found": metric}, x0=x0, **asked)
    assert found.attrs["programs"] == 1
    last = found["found"].isel(round=-1)
    if name in EXACT:
        return reached(last, steps)
    size = float(np.sqrt((last**2).mean()))
    return f"{size:.2g}" if size > 1e-12 else "< 1e-12"


def reached(values: xr.DataArray, steps: Sequence[float]) -> str:
    """The largest step up to which all reach the minimizer; from the least that does, if that is not the grid's."""
    good = (values.max("seed", skipna=False) < CLOSE).values.ravel()
    if not good.any():
        return "none"
    first = int(np.argmax(good))
    last = first + int(np.argmin(np.append(good[first:], False))) - 1
    return f"{steps[last]:.3g}" if first == 0 else f"{steps[first]:.3g} to {steps[last]:.3g}"


def table(graph: Any, names: Any, rounds: int = ROUNDS, before: Mapping[str, dict[str, str]] | None = None) -> str:
    """Rows of the methods, in Markdown; those of `before` as they are there."""
    header = ["method", "reliable", *failing(graph)]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for name in names:
        cells = (before or {}).get(name) or row(name, graph, rounds)
        print(name, *cells.values(), sep=" | ", flush=True)
        promised = "" if not facts(METHODS[name]).wants or "refused" in cells["both"] else ", not promised"
        lines.append("| " + " | ".join([name + promised, *cells.values()]) + " |")
    return "\n".join(lines)


TEXT = """# Methods on networks that fail

Made by `python -m benchmarks.failing` on {date}, with jaxdec {jaxdec} and jax {jax}, in float64 on a CPU.

Nodes have quadratics f_i(x) = Σ_k a_ik x_k² / 2 - b_ik x_k with curvatures between 0.5 and 1 and minimizers about 10
apart (`problems.quadratic(15, 2, zeta=10.0, L=1.0, mu=0.5)`), without noise: what keeps a method from the minimizer is
the method or the network. All nodes start at zero. There are {rounds} rounds, and {seeds} seeds, which are the same
failures for all methods.

The networks are a ring and a path of 15: better connected graphs hide what failures do.

| network | what fails |
|---|---|
| reliable | nothing |
| loss | each link in each round with probability 0.3, `lossy(graph, 0.3)` |
| bursts | each link 0.3 of the time, for 5 rounds on average, `lossy(graph, GilbertElliott(0.3, 5))` |
| sleep | each node sleeps in each round with probability 0.3, `sleeping(graph, 0.3)` |
| Markov sleep | each node sleeps 0.3 of the time, for 5 rounds on average, `sleeping(graph, Markov(0.3, 5))` |
| unequal sleep | node i sleeps in each round with a probability of its own, from 0.05 to 0.55 along the graph |
| both | bursts and Markov sleep together |

Losses have the rule "link": both ends of a link that is down know it, and W stays symmetric. A push-pull method has
such a W as R and as C. `ASYSONATA` and `RelaxedADMM` stand losses by `rule="arcs"`, too, of which nobody knows.

What a cell says:

- **A number**, for a method that is exact: the largest step `lr` of the grid {least}, {least} √2, ... {most} at which,
  and at all smaller ones, every node is within {close} of the minimizer after these rounds, for every seed. Not reached
  may mean too slow: large steps of a tracker converge more slowly than small ones where the graph mixes slowly. So it
  is on the path, reliable or not: there the steps above the number, up to about those of the ring, converge too, in
  more rounds; and what fails in bursts may be faster than what does not fail. Local methods take 4 steps a round,
  momenta are 0.5.
- **Two numbers**, a to b: steps below a do not reach it, either.
- **none**: no step of the grid.
- **not promised**: the method keeps what it conserves, and its fixed point is the minimizer, but on a W that changes
  nothing is proved and jaxdec warns. Where links are down for long it diverges at small steps.
- **refused**: jaxdec raises an error that names the law, or that the nodes keep copies of their neighbours' vectors,
  which a lost message corrupts for ever.
- **bias**: these methods have no exact fixed point on heterogeneous problems. They keep the mean of what is mixed; the
  number is how far a node is from the minimizer at the end (root mean square over nodes and seeds) at `lr` = {fixed}.
- **gossip**: these average, and minimize nothing. From random points of mean zero, the distance of the node that is
  farthest from zero at the end.
- Methods of events need an asynchronous network, which has failures of its own: speeds and latencies.

Where a row's label has "from zero", it is how the method starts.
"""


def page(before: Mapping[str, Mapping[str, dict[str, str]]], rounds: int = ROUNDS) -> str:
    """The whole page; `before` has the rows that are not to be run anew, by graph."""
    parts = [
        TEXT.format(
            date=datetime.date.today().isoformat(), jaxdec=version("jaxdec"), jax=jax.__version__, rounds=rounds,
            seeds=SEEDS, least=f"{STEPS[0]:.3g}", most=f"{STEPS[-1]:.3g}", close=CLOSE, fixed=FIXED,
        )
    ]  # fmt: skip
    groups = {"exact methods": EXACT, "bias at the end": BIASED, "gossip, distance from the mean": GOSSIP}
    for label, graph in GRAPHS.items():
        for title, group in groups.items():
            parts.append(f"## {label.capitalize()}: {title}\n\n{table(graph, group, rounds, before.get(label))}\n")
    return "\n".join(parts)


def kept() -> dict[str, dict[str, dict[str, str]]]:
    """The cells of the page that is kept: by graph, method and network."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    graph, header = "", []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            graph, header = line[3:].partition(":")[0].lower(), []
        elif line.startswith("| ") and graph:
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if header:
                name = cells[0].removesuffix(", not promised")
                found.setdefault(graph, {})[name] = dict(zip(header[1:], cells[1:], strict=True))
            else:
                header = cells
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fast", action="store_true", help="three methods on the ring, shown and not kept")
    parser.add_argument("--missing", action="store_true", help="rows that the page has not; the others as they are")
    asked = parser.parse_args()
    if asked.fast:
        print(table(GRAPHS["ring"], FAST))
    else:
        PAGE.write_text(page(kept() if asked.missing else {}), encoding="utf-8")
