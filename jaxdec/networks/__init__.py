"""Networks: who hears whom in a round, who takes part, and the mixing operator W of that round."""

from jaxdec.networks.events import asynchronous
from jaxdec.networks.failing import lossy, sleeping
from jaxdec.networks.families import (
    complete,
    directed_exponential,
    directed_ring,
    erdos_renyi,
    exponential,
    grid,
    hypercube,
    path,
    push_pull,
    random_digraph,
    random_regular,
    ring,
    semantic_exponential,
    small_world,
    star,
    static,
    torus,
    tree,
)
from jaxdec.networks.servers import server
from jaxdec.networks.varying import (
    one_peer_exponential,
    one_peer_random,
    periodic,
    random_erdos_renyi,
    random_matchings,
)

__all__ = [
    "asynchronous",
    "complete",
    "directed_exponential",
    "directed_ring",
    "erdos_renyi",
    "exponential",
    "grid",
    "hypercube",
    "lossy",
    "one_peer_exponential",
    "one_peer_random",
    "path",
    "periodic",
    "push_pull",
    "random_digraph",
    "random_erdos_renyi",
    "random_matchings",
    "random_regular",
    "ring",
    "semantic_exponential",
    "server",
    "sleeping",
    "small_world",
    "star",
    "static",
    "torus",
    "tree",
]


def __dir__() -> list[str]:
    return __all__
