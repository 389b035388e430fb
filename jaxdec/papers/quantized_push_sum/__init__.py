"""Quantized push-sum: Taheri, Mokhtari, Hassani, Pedarsani (2020), arXiv:2002.09964.

Averaging and learning over 10 nodes on a digraph, in the style of the paper's experiments. Its two digraphs are
published as a drawing only; here they are random ones from a seed. What it shows:

- With enough bits an entry, quantized push-sum averages at the rate of exact push-sum: to a given error it takes as
  many rounds, and several times fewer bits. The same holds for learning.
- Enough is a matter of the norm by which the quantizer scales. At this dimension 4 bits diverge in the l2 norm and are
  plenty in the l-infinity norm: the variance is above and below `theory.critical_variance`.
- Quantizing the values themselves, not their changes, never gets beyond the quantizer's error.
"""

from jaxdec.papers.exhibits import Paper
from jaxdec.papers.quantized_push_sum import gossip, learning

__all__ = ["PAPER", "gossip", "learning"]

PAPER = Paper(
    "quantized_push_sum",
    "Taheri, Mokhtari, Hassani, Pedarsani (2020), Quantized decentralized stochastic learning over directed graphs, "
    "arXiv:2002.09964",
    (gossip.GOSSIP, learning.CONVEX, learning.MNIST),
)


def __dir__() -> list[str]:
    return __all__
