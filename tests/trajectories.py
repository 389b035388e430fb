"""Trajectories that are kept: what every method computed before it was written anew, to the bit.

`python tests/trajectories.py` writes trajectories.json from the code as it stands. Each case has a name that does not
depend on how the method is spelled, so that a method can change its constructor and keep its numbers.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import conftest  # noqa: F401  the flags and the precision of the tests, also where this file is run by itself
import jaxlib
import numpy as np
import optax
from cases import CASES, OTHERS, SERVER, X0, N, quadratic
from jax.tree_util import Partial

from jaxdec import algorithms as A
from jaxdec import compressors, graphs, networks, scaling, testing

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


def trajectory(method: Any, network: Any) -> dict[str, Any]:
    """The digest of all states of a short run with noise; the last model and what was spent, as numbers."""
    result = testing.trajectory(method, quadratic(0.5), network, rounds=ROUNDS, x0=X0, seed=SEED)
    digest = hashlib.sha256()
    for array in result.states.values():
        digest.update(np.ascontiguousarray(array).tobytes())
    spent = {name: float(getattr(result.cost, name)[-1]) for name in ("grads", "vectors", "bits", "bits_down")}
    return {"sha256": digest.hexdigest(), "x": np.asarray(result.state.x).ravel().tolist(), "spent": spent}


def machine() -> dict[str, str]:
    """What bits depend on besides the code: another compiler, or another processor, may round otherwise."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    said = lambda what: next((line.partition(":")[2].strip() for line in lines if line.startswith(what)), "unknown")
    vectors = " ".join(flag for flag in said("flags").split() if flag.startswith(("avx", "fma", "amx")))
    return {"jaxlib": jaxlib.__version__, "processor": said("model name"), "instructions": vectors}


def differences(name: str, kept: dict[str, Any], now: dict[str, Any], same_machine: bool) -> list[str]:
    """In what a trajectory is not the kept one: to the bit on the machine that kept it, else to 1e-12 relative."""
    found = [
        f"{name}: {kind} spent is {now['spent'][kind]!r}, it was {was!r}"
        for kind, was in kept["spent"].items()
        if not np.isclose(now["spent"][kind], was, rtol=0 if same_machine else 1e-12, atol=0)
    ]
    x, was = np.asarray(now["x"]), np.asarray(kept["x"])
    if x.shape != was.shape:
        return [*found, f"{name}: the last x has {x.size} entries, it had {was.size}"]
    away = np.max(np.abs(x - was)) / max(1.0, np.max(np.abs(was)))
    if not away < 1e-12:
        found.append(f"{name}: the last x is {away:.2g} away, relative to its largest entry")
    elif same_machine and now["sha256"] != kept["sha256"]:
        found.append(f"{name}: the last x is the same to {away:.2g}, but some bits of the states of its rounds are not")
    return found


def mismatches(names: Iterable[str]) -> list[str]:
    """What differs among those trajectories, with what to do about it."""
    kept, now = json.loads(FILE.read_text()), cases()
    same, found = kept["machine"] == machine(), []
    for name in names:
        found += differences(name, kept["trajectories"][name], trajectory(*now[name]), same)
    where = "on the machine that kept it" if same else f"kept on {kept['machine']}, now on {machine()}"
    hint = f"python tests/trajectories.py keeps anew what is meant to differ ({where})"
    return [f"{line}; {hint}" for line in found]


def write(only: Callable[[str], bool] = lambda name: True) -> None:
    kept = json.loads(FILE.read_text())["trajectories"] if FILE.exists() else {}
    for name, case in cases().items():
        if only(name):
            kept[name] = trajectory(*case)
    FILE.write_text(json.dumps({"machine": machine(), "trajectories": kept}, indent=0, sort_keys=True) + "\n")


if __name__ == "__main__":
    words = sys.argv[1:]
    write(lambda name: not words or any(word in name for word in words))
