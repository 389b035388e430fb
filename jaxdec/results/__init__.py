"""Results: labelled arrays in, labelled arrays, tables and figures out; nothing here runs an experiment."""

from jaxdec.results.statistics import bootstrap, mean, median, paired_differences, quantiles
from jaxdec.results.summary import best, diverged, summarize
from jaxdec.results.time import Link, add_time

__all__ = [
    "Link",
    "add_time",
    "best",
    "bootstrap",
    "diverged",
    "mean",
    "median",
    "paired_differences",
    "quantiles",
    "summarize",
]
