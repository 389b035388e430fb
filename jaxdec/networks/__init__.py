"""Networks: who hears whom in a round, who takes part, and the mixing operator W of that round."""

from jaxdec.networks.designed import (
    base_graph,
    d_equistatic,
    hyper_hypercube,
    matcha,
    od_equidyn,
    ou_equidyn,
    random_k_out,
    random_k_regular,
    simple_base_graph,
    u_equistatic,
)
from jaxdec.networks.drawing import draw
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
from jaxdec.networks.gossiping import chebyshev, repeated
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
    "base_graph",
    "chebyshev",
    "complete",
    "d_equistatic",
    "directed_exponential",
    "directed_ring",
    "draw",
    "erdos_renyi",
    "exponential",
    "grid",
    "hyper_hypercube",
    "hypercube",
    "lossy",
    "matcha",
    "od_equidyn",
    "one_peer_exponential",
    "one_peer_random",
    "ou_equidyn",
    "path",
    "periodic",
    "push_pull",
    "random_digraph",
    "random_erdos_renyi",
    "random_k_out",
    "random_k_regular",
    "random_matchings",
    "random_regular",
    "repeated",
    "ring",
    "semantic_exponential",
    "server",
    "simple_base_graph",
    "sleeping",
    "small_world",
    "star",
    "static",
    "torus",
    "tree",
    "u_equistatic",
]


def __dir__() -> list[str]:
    return __all__
