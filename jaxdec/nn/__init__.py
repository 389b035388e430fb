"""Neural networks: layers that are fast where every node has its own weights, and the models of the papers."""

from jaxdec.nn import models
from jaxdec.nn.layers import Conv, avg_pool, convolution, max_pool

__all__ = ["Conv", "avg_pool", "convolution", "max_pool", "models"]


def __dir__() -> list[str]:
    return __all__
