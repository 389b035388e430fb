"""Momentum Tracking: Takezawa, Bao, Niwa, Sato, Yamada (2023), arXiv:2209.15505.

The heavy ball of the authors' code (momentum 0.9, weight decay 1e-3 inside the gradient), its split by classes, its
graphs, its networks for CIFAR-10, and its metric: the mean over nodes of the accuracy of each node's own model. The
paper trains for hundreds of epochs on an accelerator; the default budgets are short, and say so. What it shows:

- DSGD and DSGDm are left far behind where nodes hold few classes, and DSGDm is as good as any where they hold all.
- Of the methods that correct for heterogeneity Momentum Tracking is first when there is little time. Nothing is claimed
  about their order when a small problem is trained for long.
- Momentum Tracking does not feel the graph.
"""

from jaxdec.papers.exhibits import Paper
from jaxdec.papers.momentum_tracking import cifar, clusters, graphs, images, methods

__all__ = ["PAPER", "cifar", "clusters", "graphs", "images", "methods"]

PAPER = Paper(
    "momentum_tracking",
    "Takezawa, Bao, Niwa, Sato, Yamada (2023), Momentum Tracking: Momentum acceleration for decentralized deep "
    "learning on heterogeneous data, arXiv:2209.15505",
    (clusters.TOY, images.K_CLASS, cifar.LENET, graphs.GRAPHS, cifar.VGG),
)


def __dir__() -> list[str]:
    return __all__
