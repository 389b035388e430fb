"""K-GT: Liu, Lin, Koloskova, Stich (2023), Decentralized gradient tracking with local steps, arXiv:2301.01313.

A reconstruction: the page's own experiments could not be read. Least squares and noise are in the style of Koloskova,
Loizou, Boreiri, Jaggi, Stich (2020), arXiv:2003.10422; logistic regression and images in that of the abstract, which
names convex and non-convex problems and a network trained on MNIST. What it shows:

- K-GT, Periodical GT and LED do not feel heterogeneity; local DSGD stalls at a floor that grows as zeta².
- At a fixed K lr, K local steps divide the noise in K-GT's gradient and disagreement by K. Periodical GT tracks a
  single gradient, and its disagreement does not fall with K.
- K local steps save up to K times the communication, until the network is the bottleneck.
"""

from jaxdec.papers.exhibits import Paper
from jaxdec.papers.kgt import floors, images, logistic, saving

__all__ = ["PAPER", "floors", "images", "logistic", "saving"]

PAPER = Paper(
    "kgt",
    "Liu, Lin, Koloskova, Stich (2023), Decentralized gradient tracking with local steps, arXiv:2301.01313",
    (floors.FLOORS, saving.SAVING, logistic.LOGISTIC, images.MNIST, images.SOFTMAX),
)


def __dir__() -> list[str]:
    return __all__
