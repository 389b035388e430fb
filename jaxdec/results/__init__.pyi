from . import export, plotting
from .labels import labelled
from .page import report
from .passes import add_passes
from .result import Result
from .shares import add_shares
from .statistics import bootstrap, mean, median, paired_differences, quantiles
from .summary import best, diverged, summarize
from .time import Link, add_clock, add_time, at_times

__all__ = [
    "Link",
    "Result",
    "add_clock",
    "add_passes",
    "add_shares",
    "add_time",
    "at_times",
    "best",
    "bootstrap",
    "diverged",
    "export",
    "labelled",
    "mean",
    "median",
    "paired_differences",
    "plotting",
    "quantiles",
    "report",
    "summarize",
]
