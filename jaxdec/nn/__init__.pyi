from . import models
from .layers import Conv, avg_pool, convolution, max_pool

__all__ = [
    "Conv",
    "avg_pool",
    "convolution",
    "max_pool",
    "models",
]
