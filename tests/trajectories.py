"""Trajectories that are kept: what every method computed before it was written anew, to the bit.

`python tests/trajectories.py` writes trajectories.json from the code as it stands. Each case has a name that does not
depend on how the method is spelled, so that a method can change its constructor and keep its numbers.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import conftest  # noqa: F401  the flags and the precision of the tests, also where this file is run by itself
import jax
import jaxlib
import numpy as np
import optax
from cases import CASES, OTHERS, SERVER, X0, N, quadratic
from jax.tree_util import Partial
from rounds import recorded

from jaxdec import algorithms as A
from jaxdec import compressors, graphs, networks, scaling

FILE = Path(__file__).with_suffix(".json")
ROUNDS, SEED = 12, 7

Q, TOP = compressors.Quantization(levels=2), compressors.TopK(k=2)
BOTH = {"compressor": Q, "down_compressor": Q}
EVERYBODY, SOME, COHORT = networks.server(N), networks.server(N, participation=0.6), networks.server(N, cohort=2)
ONCE = networks.server(N, participation=0.6, broadcast="once")
ADAM, OASIS = scaling.Adam(beta=0.9, alpha=0.1), scaling.OASIS(beta=0.9, alpha=0.1)
RMSPROP, KEPT = scaling.RMSProp(beta=0.9, alpha=0.1), A.HeavyBall(0.7, buffers="keep")


def label(method: Any) -> str:
    return "SAVIC local" if isinstance(method, A.LocalSAVIC) else type(method).__name__


savic = partial(A.SAVIC, lr=0.05, local_steps=3)
local_savic = partial(A.LocalSAVIC, lr=0.05, local_steps=3)


def server_cases() -> dict[str, tuple[Any, Any]]:
    """Methods of a server under each way of taking part, and their variants."""
    found: dict[str, tuple[Any, Any]] = {}
    for method in SERVER:
        found[f"{label(method)}, everybody"] = method, EVERYBODY
        if type(method).absent == "own":
            found[f"{label(method)}, coins"] = method, SOME
    learning = {"alpha": 0.1, "momentum": 0.3}
    for network, kind in ((EVERYBODY, "everybody"), (SOME, "coins"), (COHORT, "cohort")):
        for memories in ("n", "one"):
            for start in ("gradient", "zero"):
                about = f"memories {memories}, start {start}, {kind}"
                given = {"memories": memories, "start": start} | learning
                found[f"DIANA, {about}"] = A.DIANA(lr=0.1, compressor=Q, **given), network
                found[f"RandMCM, {about}"] = A.RandMCM(lr=0.1, **BOTH, **given), network
        found[f"RandMCM, one down memory, {kind}"] = A.RandMCM(lr=0.1, **BOTH, down_memories="one"), network
        found[f"SCAFFOLD, option I, {kind}"] = A.SCAFFOLD(lr=0.1, local_steps=3, option="I", outer_lr=0.7), network
    found["RandMCM, reset, everybody"] = A.RandMCM(lr=0.1, **BOTH, down_memories="one", reset=4), EVERYBODY
    found["MCM, no down memory"] = A.MCM(lr=0.1, **BOTH, down_memory=False), EVERYBODY
    found["MCM, one memory"] = A.MCM(lr=0.1, **BOTH, memories="one", start="zero"), EVERYBODY
    found["DORE, original"] = A.DORE(lr=0.1, **BOTH, form="original", feedback=0.3, momentum=0.2), SOME
    found["Artemis, once"] = A.Artemis(lr=0.1, **BOTH), ONCE
    found["SGD, once"] = A.SGD(lr=0.1, momentum=0.4), ONCE
    variants: dict[str, tuple[Any, Any]] = {
        "Adam": (savic(scaling=ADAM), EVERYBODY),
        "Adam local averaged": (local_savic(scaling=ADAM, average_scalings=True), SOME),
        "Adam steps last squares": (savic(scaling=ADAM, count="steps", at="last", average="squares"), EVERYBODY),
        "Adam momentum keep": (savic(scaling=ADAM, momentum=KEPT), COHORT),
        "RMSProp squares ema": (savic(scaling=RMSPROP, average="squares", momentum=A.HeavyBall(0.7, form="ema")), SOME),
        "RMSProp last": (savic(scaling=RMSPROP, at="last"), COHORT),
        "OASIS momentum": (savic(scaling=OASIS, momentum=A.HeavyBall(0.7)), COHORT),
        "OASIS local momentum reset": (local_savic(scaling=OASIS, momentum=A.HeavyBall(0.7, buffers="reset")), COHORT),
        "OASIS last momentum keep": (savic(scaling=OASIS, at="last", momentum=KEPT), SOME),
        "OASIS local ema keep": (local_savic(scaling=OASIS, momentum=A.HeavyBall(0.7, "ema", "keep")), SOME),
        "Adam local": (local_savic(scaling=ADAM), COHORT),
        "Identity": (savic(scaling=scaling.Identity()), COHORT),
    }
    return found | {f"SAVIC, {name}": variant for name, variant in variants.items()}


def cases() -> dict[str, tuple[Any, Any]]:
    """All that is kept: the method and its network, by a name."""
    found = {}
    for k, case in enumerate(CASES):
        found[f"{k:02d} {type(case.algorithm).__name__}"] = case.algorithm, case.network
    for case in OTHERS[: -len(SERVER)]:
        found[type(case.algorithm).__name__] = case.algorithm, case.network
    for case in OTHERS[-len(SERVER) :]:
        found[f"{label(case.algorithm)}, half"] = case.algorithm, case.network
    ring, matchings = networks.ring(N), networks.random_matchings(N, pool=40)
    for name, network in {"ring": ring, "matchings": matchings, "torus": networks.torus(2, 3)}.items():
        found[f"GradientTracking, {name}"] = A.GradientTracking(lr=0.1), network
        found[f"KGT, {name}"] = A.KGT(lr=0.05, local_steps=2), network
    found["DSGD, periodic"] = A.DSGD(lr=0.1), networks.periodic([graphs.ring(N), np.eye(N)])
    found["DSGD, one peer"] = A.DSGD(lr=0.1), networks.one_peer_exponential(N)
    found["GradientTrackingHB, authors"] = A.GradientTrackingHB(lr=0.1, momentum=0.7), ring
    found["ProxSkip, ring"] = A.ProxSkip(lr=0.1, probability=0.5, consensus_lr=0.5), ring
    found["FedOpt, momentum"] = (
        A.FedOpt(Partial(optax.yogi, learning_rate=0.1), Partial(optax.sgd, learning_rate=0.1, momentum=0.5), 2),
        SOME,
    )
    return found | server_cases()


def everything(problem: Any, state: Any) -> dict[str, Any]:
    """Every array of the state, by its path."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


def trajectory(method: Any, network: Any) -> dict[str, Any]:
    """The digest of all states of a short run with noise; the last model and what was spent, as numbers."""
    result = recorded(method, quadratic(0.5), network, rounds=ROUNDS, x0=X0, seed=SEED, metrics=(everything,))
    digest = hashlib.sha256()
    for array in result.metrics.values():
        digest.update(np.ascontiguousarray(np.asarray(array)).tobytes())
    spent = {name: float(total[-1]) for name, total in result.cost._asdict().items()}
    return {"sha256": digest.hexdigest(), "x": np.asarray(result.state.x).ravel().tolist(), "spent": spent}


def machine() -> dict[str, str]:
    """What bits depend on besides the code: another compiler, or another processor, may round otherwise."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {"jaxlib": jaxlib.__version__, "processor": model}


def write(only: Callable[[str], bool] = lambda name: True) -> None:
    kept = json.loads(FILE.read_text())["trajectories"] if FILE.exists() else {}
    for name, case in cases().items():
        if only(name):
            kept[name] = trajectory(*case)
    FILE.write_text(json.dumps({"machine": machine(), "trajectories": kept}, indent=0, sort_keys=True) + "\n")


if __name__ == "__main__":
    words = sys.argv[1:]
    write(lambda name: not words or any(word in name for word in words))
