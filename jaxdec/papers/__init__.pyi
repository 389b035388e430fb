from . import (
    base_graph,
    kgt,
    losses,
    mcm,
    mcm_mnist,
    momentum_tracking,
    momentum_tracking_mnist,
    quantized_push_sum,
    savic,
    stragglers,
)

__all__ = [
    "base_graph",
    "kgt",
    "losses",
    "mcm",
    "mcm_mnist",
    "momentum_tracking",
    "momentum_tracking_mnist",
    "quantized_push_sum",
    "savic",
    "stragglers",
]
