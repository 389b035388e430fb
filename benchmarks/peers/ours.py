"""Our side: of each method of the peer the counterpart, on the same problems and graph."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import networkx as nx
import numpy as np

from benchmarks.peers.methods import ITERATIONS, LOCAL, LR, NODES, K
from benchmarks.timing import typical
from jaxdec import algorithms as A
from jaxdec import data, graphs, networks, problems, run
from jaxdec.metrics import consensus

__all__ = ["COUNTERPARTS", "Counterpart", "coins", "ended", "network", "problem"]

KEPT = {"lr": LOCAL["step_size"], "local_steps": K}
ADMM = {"penalty": 0.5, "relaxation": 0.6}
MOVES = KEPT | {"outer_lr": 0.05, "b1": 0.9, "tau": 1e-3, "v0": 0.0}
NOVA = {"momentum": 0.5, "penalty": 0.1, "outer_momentum": 0.5}


class Counterpart(NamedTuple):
    """A method here."""

    method: Any
    remark: str = ""
    form: str = "graph"  # of its network: "graph", "lazy" with (I + W)/2, "server"
    rounds: int = ITERATIONS
    of: str = "x"  # what of the state is compared
    stepped: bool = False  # whether a step of gradient descent at each node comes before


WRONG = "the peer is wrong: += adds into the message that others are still to read, and it diverges"
COIN = "the peer's coin is given ours"
FULL = "with full batches"
COUNTERPARTS = {
    "ADMM": Counterpart(
        A.RelaxedADMM(**ADMM), "the peer's proximal step of a logistic regression stops where it moves by 1e-5"
    ),
    "ATC": Counterpart(A.DSGD(lr=LR)),
    "ATC_Tracking": Counterpart(A.GradientTracking(lr=LR)),
    "ATG": Counterpart(A.ATG(lr=0.3, damping=0.3, **ADMM)),
    "AugDGM": Counterpart(A.GradientTracking(lr=LR, form="atc")),
    "DGD": Counterpart(A.DSGD(lr=LR, form="cta")),
    "DiNNO": Counterpart(A.DiNNO(**KEPT, penalty=0.25), WRONG),
    "DLM": Counterpart(A.DLM(lr=LR, penalty=0.25), f"{WRONG}; one iteration more, of which the first only sends"),
    "ED": Counterpart(A.D2(lr=LR), "with (I + W)/2 for W, which the peer has inside", "lazy"),
    "EXTRA": Counterpart(A.EXTRA(lr=LR)),
    "GT_SAGA": Counterpart(
        A.GTSAGA(lr=LR, form="atc"), f"{FULL}; with smaller ones the peer draws another for its table"
    ),
    "GT_SARAH": Counterpart(A.GTSARAH(lr=LR, inner_steps=K), f"{FULL}; an iteration is {K + 1} rounds here"),
    "GT_VR": Counterpart(
        A.GradientTracking(lr=LR, form="atc"),
        f"{FULL}, with which it is that; GTSVRG takes its points of reference in every period-th round, not by chance",
    ),
    "KGT": Counterpart(A.KGT(**KEPT, outer_lr=0.8)),
    "LED": Counterpart(A.LED(**KEPT, beta=0.25)),
    "LT_ADMM": Counterpart(A.LTADMM(**KEPT, **ADMM, consensus_lr=0.1)),
    "LT_ADMM_VR": Counterpart(
        A.LTADMMVR(**KEPT, **ADMM, consensus_lr=0.1, stored="next"), f"{FULL}; the peer's v2, its default"
    ),
    "NIDS": Counterpart(
        A.NIDS(lr=LR), "from a step of gradient descent, which is the peer's first iteration", "graph", ITERATIONS - 1,
        "x", True,
    ),
    "ProxSkip": Counterpart(
        A.ProxSkip(lr=LR, probability=0.4, consensus_lr=1 / 3), f"{COIN}; consensus_lr is 1/(2 chi)"
    ),
    "SimpleGT": Counterpart(A.SimpleGT(lr=LR)),
    "WangElia": Counterpart(A.WangElia(lr=LR)),
    "FedAdagrad": Counterpart(A.FedAdagrad(**MOVES), "", "server"),
    "FedAdam": Counterpart(A.FedAdam(**MOVES, b2=0.99), "", "server"),
    "FedAvg": Counterpart(A.LocalSGD(**KEPT), "", "server"),
    "FedDyn": Counterpart(A.FedDyn(**KEPT, penalty=0.5), "", "server"),
    "FedLT": Counterpart(
        A.FedLT(**KEPT, penalty=1.0), "of the clients; the peer's server averages when a round begins", "server", of="y"
    ),
    "FedNova": Counterpart(A.FedNova(lr=0.02, local_steps=(1, 2, 3, 4) * 2, **NOVA), "", "server"),
    "FedPD": Counterpart(A.FedPD(**KEPT, penalty=1.0, skip=0.4), COIN, "server"),
    "FedProx": Counterpart(A.FedProx(**KEPT, penalty=0.5), "", "server"),
    "FedYogi": Counterpart(A.FedYogi(**MOVES, b2=0.99), "", "server"),
    "Scaffold": Counterpart(A.SCAFFOLD(**KEPT, outer_lr=0.8), "", "server"),
}  # fmt: skip
WITH_COINS = ("ProxSkip", "FedPD")


def coins() -> dict[str, str]:
    """In which rounds the methods that flip coins communicate, as they count it: they are the same on all problems."""

    def flipped(one: Counterpart) -> str:
        given = networks.server(NODES) if one.form == "server" else networks.ring(NODES)
        found = run(one.method, problems.quadratic(NODES, 1), given, rounds=one.rounds, metrics=(consensus,))
        return "".join("1" if more > 0 else "0" for more in np.diff(found.cost.vectors))

    return {name: flipped(COUNTERPARTS[name]) for name in WITH_COINS}


def network(form: str, edges: np.ndarray) -> Any:
    """The peer's graph with its weights, which are Metropolis', or a server."""
    if form == "server":
        return networks.server(NODES)
    graph = nx.Graph()
    graph.add_nodes_from(range(NODES))
    graph.add_edges_from(map(tuple, edges))
    W = graphs.metropolis(graphs.from_networkx(graph))
    return networks.static(graphs.lazy(W) if form == "lazy" else W)


def problem(name: str, inputs: np.ndarray, targets: np.ndarray) -> Any:
    """The peer's data (n, m, d) as a problem with exact gradients."""
    n, m, d = inputs.shape
    given = data.dataset(inputs.reshape(-1, d), targets.ravel() if name == "quadratic" else targets.ravel().astype(int))
    made = problems.least_squares if name == "quadratic" else problems.logistic
    return made(given, data.explicit(list(np.arange(n * m).reshape(n, m)), n * m), bias=False)


def ended(one: Counterpart, task: Any, edges: np.ndarray) -> tuple[np.ndarray, float]:
    """The last iterates, and the seconds of a run that is compiled."""
    where, x0 = network(one.form, edges), jnp.zeros((NODES, task.d))
    if one.stepped:
        x0 = x0 - one.method.lr * task.grad(x0)
    go = lambda: run(
        one.method, task, where, rounds=one.rounds, every=one.rounds, metrics=(consensus,), x0=x0
    ).state._asdict()[one.of]
    return np.asarray(go()), typical(go)
