"""SAVIC: Chezhegov et al. (2024), Local methods with adaptivity via scaling, arXiv:2406.00846.

The paper trains a ResNet-18 on CIFAR-10; by default a small form of that is here. Besides, logistic regression, where
the minimum is known.
"""

from jaxdec.papers.exhibits import Paper
from jaxdec.papers.savic import cifar, convex

__all__ = ["PAPER", "cifar", "convex"]

PAPER = Paper(
    "savic",
    "Chezhegov, Skorik, Khachaturov, Shalagin, Avetisyan, Takáč, Kholodov, Beznosikov (2024), Local methods with "
    "adaptivity via scaling, arXiv:2406.00846",
    (convex.CONVEX, cifar.CIFAR),
)


def __dir__() -> list[str]:
    return __all__
