"""Ratios that can be trusted: the two sides in turn, in one process, compiled beforehand, results compared first."""

import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import jax
from rich.console import Console
from rich.table import Table


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


def report(title: str, rows: list[tuple[str, str, str, str, str]], columns: tuple[str, ...]) -> None:
    """Print a table, with the machine it is of."""
    device = jax.devices()[0]
    table = Table(
        title=f"{title} ({device.platform}, {os.cpu_count()} cores, jax {jax.__version__})", title_justify="left"
    )
    for k, column in enumerate(columns):
        table.add_column(column, justify="left" if k == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)
