"""Graphs, their weight matrices, and what a weight matrix promises: build-time theory in float64."""

from jaxdec.graphs.decomposition import Matcha, matcha, matchings
from jaxdec.graphs.designed import base_graph, d_equistatic, hyper_hypercube, simple_base_graph, u_equistatic
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
from jaxdec.graphs.optimal import Optimal, best_constant, fastest, fastest_averaging, fastest_mixing
from jaxdec.graphs.shapes import barbell, dumbbell, points, random_geometric, social, two_castle
from jaxdec.graphs.spectral import Spectrum, mixing_parameter, properties, spectral_gap, spectrum
from jaxdec.graphs.weights import column_stochastic, lazy, max_degree, metropolis, row_stochastic, uniform

__all__ = [
    "Graph",
    "Matcha",
    "Optimal",
    "Spectrum",
    "barbell",
    "base_graph",
    "best_constant",
    "column_stochastic",
    "complete",
    "d_equistatic",
    "directed_exponential",
    "directed_ring",
    "dumbbell",
    "erdos_renyi",
    "exponential",
    "fastest",
    "fastest_averaging",
    "fastest_mixing",
    "from_matrix",
    "from_networkx",
    "given",
    "grid",
    "hyper_hypercube",
    "hypercube",
    "lazy",
    "matcha",
    "matchings",
    "max_degree",
    "metropolis",
    "mixing_parameter",
    "path",
    "points",
    "properties",
    "random_digraph",
    "random_geometric",
    "random_regular",
    "ring",
    "row_stochastic",
    "semantic_exponential",
    "simple_base_graph",
    "small_world",
    "social",
    "spectral_gap",
    "spectrum",
    "star",
    "torus",
    "tree",
    "two_castle",
    "u_equistatic",
    "uniform",
]


def __dir__() -> list[str]:
    return __all__
