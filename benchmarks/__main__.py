"""`python -m benchmarks [NAME ...] [--json FILE]`: measure, print tables, and write them with the machine they are of.

A name is a file of this folder, or a file and one of its tables: `limits`, `limits.mixing`. None means all. What is
measured elsewhere: failing.py, gallery.py, papers.py and peers make pages of the documentation.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import jax

from benchmarks.timing import Table, machine, show

NAMES = (
    "core",
    "cells",
    "sweep",
    "limits",
    "nodes",
    "many",
    "convolution",
    "training",
    "outages",
    "events",
    "uneven",
    "branches",
)


def parts(names: list[str]) -> Iterator[tuple[str, Callable[[], Table]]]:
    """The measurements of these names, and what they are called."""
    for name in names:
        file, _, one = name.partition(".")
        if file not in NAMES:
            raise SystemExit(f"no benchmarks are called {file!r}; there are {', '.join(NAMES)}")
        found = {part.__name__: part for part in import_module(f"benchmarks.{file}").PARTS}
        if one and one not in found:
            raise SystemExit(f"{file} has no table {one!r}; it has {', '.join(found)}")
        yield from ((f"{file}.{key}", part) for key, part in found.items() if not one or key == one)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", default=list(NAMES), metavar="NAME")
    parser.add_argument("--json", type=Path, help="a file for the tables and the machine")
    arguments = parser.parse_args()
    tables = {}
    for name, part in parts(arguments.names):
        jax.config.update("jax_enable_x64", False)  # which a measurement may change for itself
        tables[name] = part()
        show(tables[name])
        if arguments.json:  # after each: a measurement cut short has what it came to
            found = {key: table._asdict() for key, table in tables.items()}
            arguments.json.write_text(json.dumps({"machine": machine(), "tables": found}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
