"""SAVIC: Chezhegov et al. (2024), Local methods with adaptivity via scaling, arXiv:2406.00846.

The paper trains a network on CIFAR-10. What is here, besides a small form of that, is logistic regression, where the
minimum is known.
"""

from jaxdec.papers.exhibits import Paper
from jaxdec.papers.savic import convex

__all__ = ["PAPER", "convex"]

PAPER = Paper(
    "savic",
    "Chezhegov, Skorik, Khachaturov, Shalagin, Avetisyan, Takáč, Kholodov, Beznosikov (2024), Local methods with "
    "adaptivity via scaling, arXiv:2406.00846",
    (convex.CONVEX,),
)


def __dir__() -> list[str]:
    return __all__
