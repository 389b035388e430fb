"""Ratios that can be trusted: the two sides in turn, in one process, compiled beforehand, results compared first."""

import datetime
import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any, NamedTuple

import jax
import rich.table
from rich.console import Console


class Table(NamedTuple):
    """What a benchmark found: a title, the names of the columns, and rows of texts."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def seconds(call: Callable[[], Any]) -> float:
    """The time of one call, up to the moment its results are there."""
    began = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - began


def in_turn(first: Callable[[], Any], second: Callable[[], Any], *, pairs: int = 11) -> tuple[float, float, float]:
    """Median seconds of both, and the median over pairs of first / second. Both are called once before."""
    jax.block_until_ready((first(), second()))
    times = [(seconds(first), seconds(second)) for _ in range(pairs)]
    return median(a for a, _ in times), median(b for _, b in times), median(a / b for a, b in times)


def typical(call: Callable[[], Any], *, times: int = 7) -> float:
    """Median seconds of a call, which is called once before."""
    jax.block_until_ready(call())
    return median(seconds(call) for _ in range(times))


def machine() -> dict[str, Any]:
    """What the numbers are of."""
    device = jax.devices()[0]
    return {
        "date": datetime.date.today().isoformat(),
        "device": device.device_kind,
        "platform": device.platform,
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("jaxdec", "jax", "jaxlib", "numpy", "torch")},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def show(table: Table) -> None:
    """Print a table, with the machine it is of."""
    found = machine()
    where = f"{found['platform']}, {found['cores']} cores, jax {found['versions']['jax']}"
    shown = rich.table.Table(title=f"{table.title} ({where})", title_justify="left")
    for k, column in enumerate(table.columns):
        shown.add_column(column, justify="left" if k == 0 else "right")
    for row in table.rows:
        shown.add_row(*row)
    Console(width=120).print(shown)
