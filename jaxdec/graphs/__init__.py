"""Graphs, their weight matrices, and what a weight matrix promises: build-time theory in float64."""

from jaxdec.graphs.families import (
    Graph,
    complete,
    directed_exponential,
    directed_ring,
    erdos_renyi,
    exponential,
    grid,
    hypercube,
    path,
    random_digraph,
    random_regular,
    ring,
    semantic_exponential,
    small_world,
    star,
    torus,
    tree,
)
from jaxdec.graphs.imported import from_matrix, from_networkx, given
from jaxdec.graphs.spectral import Spectrum, mixing_parameter, properties, spectral_gap, spectrum
from jaxdec.graphs.weights import column_stochastic, lazy, max_degree, metropolis, row_stochastic, uniform

__all__ = [
    "Graph",
    "Spectrum",
    "column_stochastic",
    "complete",
    "directed_exponential",
    "directed_ring",
    "erdos_renyi",
    "exponential",
    "from_matrix",
    "from_networkx",
    "given",
    "grid",
    "hypercube",
    "lazy",
    "max_degree",
    "metropolis",
    "mixing_parameter",
    "path",
    "properties",
    "random_digraph",
    "random_regular",
    "ring",
    "row_stochastic",
    "semantic_exponential",
    "small_world",
    "spectral_gap",
    "spectrum",
    "star",
    "torus",
    "tree",
    "uniform",
]


def __dir__() -> list[str]:
    return __all__
