"""The page of measurements. `python -m benchmarks.page` makes `docs/benchmarks.md` of the files in `docs/benchmarks`.

Those are what `python -m benchmarks --json FILE` leaves, one for each machine.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxdec.results.texts import markdown

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HEAD = """# Measured

What `python -m benchmarks` prints: both sides of a ratio are called in turn in one process, compiled before, and their
results are compared before a time is taken. Medians. Ratios are what carries over to another machine; seconds do not.

Left out: decent-bench, which has a [page of its own](peers.md), and how long papers take, which is on
[theirs](papers.md).
"""


def table(found: Mapping[str, Any]) -> str:
    line = lambda cells: "| " + " | ".join(markdown(cell) for cell in cells) + " |"
    rule = "|" + "---|" + "---:|" * (len(found["columns"]) - 1)
    return "\n".join([f"### {found['title']}\n", line(found["columns"]), rule, *map(line, found["rows"])]) + "\n"


def section(of: Mapping[str, Any]) -> str:
    machine, versions = of["machine"], of["machine"]["versions"]
    where = f"## {machine['device']}" if machine["platform"] != "cpu" else f"## {machine['cores']} cores of a CPU"
    used = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    about = f"{machine['date']}; {machine['cores']} cores, {machine['processor']}, Python {machine['python']}, {used}."
    return "\n".join([where + "\n", about + "\n", *map(table, of["tables"].values())])


def page(of: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join([HEAD, *map(section, of)])


if __name__ == "__main__":
    files = sorted(PAGE.with_suffix("").glob("*.json"))
    PAGE.write_text(page([json.loads(file.read_text(encoding="utf-8")) for file in files]), encoding="utf-8")
