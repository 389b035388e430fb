"""All methods of decent-bench 0.3.0 beside ours, on the same problems. `python -m benchmarks.peers`, three minutes.

Before, `benchmarks/peers/environment.sh` makes an environment with that library. It is run there on a quadratic and on
a logistic regression, without failures and with exact gradients, and leaves its data and its last iterates in a file;
ours run on the same data, graph and coins. It writes `docs/benchmarks/peers/decent-bench.json` and `docs/peers.md`;
`--written` runs nothing, and makes the page of that file.
"""

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.page import table
from benchmarks.peers.methods import NODES, PEERS, Peer
from benchmarks.peers.ours import COUNTERPARTS, Counterpart, coins, ended, problem
from benchmarks.timing import Table, machine, show

ROOT = Path(__file__).parents[2]
PAGE, KEPT = ROOT / "docs" / "peers.md", ROOT / "docs" / "benchmarks" / "peers" / "decent-bench.json"
PROBLEMS = ("quadratic", "logistic")
EQUAL = 1e-10
COLUMNS = ("there", "here", *PROBLEMS, "there, ms", "here, ms", "ratio", "remark")

HEAD = """# Beside decent-bench

All peer-to-peer and all federated methods of [decent-bench](https://github.com/team-decent/decent-bench) {peer}, beside
what has their place here: the largest difference of an entry of the last iterates, after as many rounds, from zero, of
the same data, graph and arguments. {equal} of {all} agree to 1e-10 on both problems{but}.

Made by `python -m benchmarks.peers` on {date}: jaxdec {jaxdec}, JAX {jax}, Python {python}; decent-bench {peer} with
NumPy on Python {theirs}, in an environment that `benchmarks/peers/environment.sh` makes. {cores} cores, {processor}.

The problems are a linear and a logistic regression of {samples} samples a node with {d} features, without a
regularizer, on {n} nodes with float64, on an irregular graph with Metropolis weights, or at a server; gradients are
exact, nothing fails, and methods are given steps at which they converge. Times are of all rounds on both problems:
medians, compiled before on our side, with n and d so small that it is the overhead of a round that is compared.
Compiling takes about a second here, once for all steps, seeds and data.

Where the peer is wrong the difference is that of the peer as it is, and the remark has that of the peer mended.

"""


def compared(peer: Peer, one: Counterpart, found: Mapping[str, np.ndarray], tasks: Mapping[str, Any]) -> dict[str, Any]:
    """A method's largest differences, by problem, as it is and mended, and both times."""
    off: dict[str, float] = {}
    mended: dict[str, float] = {}
    theirs = sum(float(found[f"{name}/{peer.name}/seconds"]) for name in PROBLEMS)
    ours = 0.0
    for name in PROBLEMS:
        key = f"{name}/{peer.name}"
        x, seconds = ended(one, tasks[name], found["edges"])
        ours += seconds
        server = peer.family == "federated" and one.of == "x"
        off[name] = float(np.abs(found[f"{key}/{'server' if server else 'x'}"] - x).max())
        if f"{key}/mended" in found:
            mended[name] = float(np.abs(found[f"{key}/mended"] - x).max())
    return {
        "theirs": theirs,
        "ours": ours,
        "off": off,
        "mended": mended,
        "here": repr(one.method),
        "remark": one.remark,
    }


def cells(name: str, row: Mapping[str, Any]) -> list[str]:
    """A row of the table."""
    theirs = f"{row['theirs'] * 1e3:.0f}"
    again = ", ".join(f"{row['mended'][key]:.1e}" for key in PROBLEMS) if row["mended"] else ""
    remark = "; ".join(filter(None, [row["remark"], again and f"mended: {again}"]))
    ours, ratio = f"{row['ours'] * 1e3:.1f}", f"{row['theirs'] / row['ours']:.0f}"
    return [name, row["here"], *(f"{row['off'][key]:.1e}" for key in PROBLEMS), theirs, ours, ratio, remark]


def tables(rows: Mapping[str, Any]) -> list[Table]:
    """A table for each family."""
    titles = {"p2p": "Peer-to-peer methods", "federated": "Federated methods"}
    of = lambda family: [cells(peer.name, rows[peer.name]) for peer in PEERS if peer.family == family]
    return [Table(title, COLUMNS, of(family)) for family, title in titles.items()]


def least(row: Mapping[str, Any]) -> float:
    """The larger difference of both problems, where the peer is mended if it is."""
    return max((row["mended"] or row["off"]).values(), default=np.inf)


def page(of: Mapping[str, Any]) -> str:
    """The page of what was found."""
    rows, found = of["rows"], of["machine"]
    equal = [name for name, row in rows.items() if least(row) <= EQUAL]
    wrong = [name for name in equal if max(rows[name]["off"].values()) > EQUAL]
    others = [name for name in rows if name not in equal]
    but = f", {len(wrong)} of them once the peer is mended ({', '.join(wrong)})" if wrong else ""
    but += f"; not {', '.join(others)}" if others else ""
    versions = {"jaxdec": found["versions"]["jaxdec"], "jax": found["versions"]["jax"], "python": found["python"]}
    about = {"peer": of["peer"]["decent-bench"], "theirs": of["peer"]["python"], "date": found["date"]}
    sizes = {"n": NODES, "samples": of["samples"], "d": of["d"]}
    where = {"cores": found["cores"], "processor": found["processor"]}
    head = HEAD.format(equal=len(equal), all=len(rows), but=but, **versions, **about, **sizes, **where)
    return head + "\n".join(table(one._asdict()).replace("### ", "## ", 1) for one in tables(rows))


def measured(python: Path) -> dict[str, Any]:
    """What both sides come to, and what it is of."""
    with tempfile.TemporaryDirectory() as folder:
        file, given = Path(folder) / "theirs.npz", Path(folder) / "coins.json"
        given.write_text(json.dumps(coins()))
        command = [str(python), "-m", "benchmarks.peers.theirs", str(file), "--coins", str(given)]
        subprocess.run(
            command, check=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL
        )
        with np.load(file) as arrays:
            found = dict(arrays)
    tasks = {name: problem(name, found[f"{name}/inputs"], found[f"{name}/targets"]) for name in PROBLEMS}
    rows = {peer.name: compared(peer, COUNTERPARTS[peer.name], found, tasks) for peer in PEERS}
    _, samples, d = found["quadratic/inputs"].shape
    return {"machine": machine(), "peer": json.loads(str(found["versions"])), "samples": samples, "d": d, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--python", type=Path, default=ROOT / ".venv" / "decent-bench" / "bin" / "python")
    parser.add_argument("--written", action="store_true", help="run nothing")
    asked = parser.parse_args()
    if not asked.written:
        jax.config.update("jax_enable_x64", True)
        if not asked.python.exists():
            raise SystemExit(f"there is no {asked.python}: run benchmarks/peers/environment.sh, or name it in --python")
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        KEPT.write_text(json.dumps(measured(asked.python), indent=1) + "\n", encoding="utf-8")
    of = json.loads(KEPT.read_text(encoding="utf-8"))
    for one in tables(of["rows"]):
        show(one)
    PAGE.write_text(page(of), encoding="utf-8")


if __name__ == "__main__":
    main()
