"""MCM: Philippenko and Dieuleveut (2021), Preserved central model for faster bidirectional compression.

arXiv:2102.12528. The experiments of the paper with 20 clients, in the settings of the authors' code. Published values
were read off the figures in its notebooks and from the results that are stored there,
github.com/philipco/mcm-bidirectional-compression. What it shows:

- With compression in both directions MCM comes to rest where DIANA does, which compresses in one, for a tenth of the
  bits. Artemis and DORE, whose model itself takes compressed steps, come to rest most of a decade higher.
- The memory of the model needs a rate above 0 and at most 1/(omega + 1), and one memory for each client where clients
  are absent.

The sets "quantum", "superconduct" and FE-MNIST of the paper, the last of which has no loader, are not here. Where the
authors draw 599 passes it is 600.
"""

from jaxdec.papers.exhibits import Paper
from jaxdec.papers.mcm import convex, images, methods, synthetic, tasks, variants

__all__ = ["PAPER", "convex", "images", "methods", "synthetic", "tasks", "variants"]

PAPER = Paper(
    "mcm",
    "Philippenko, Dieuleveut (2021), Preserved central model for faster bidirectional compression in distributed "
    "settings, arXiv:2102.12528",
    (
        convex.CONVEX,
        variants.PARTICIPATION,
        variants.MEMORIES,
        variants.ALPHA,
        synthetic.SYNTHETIC,
        images.IMAGES,
        images.CIFAR10,
        images.FASHION_MNIST,
    ),
)


def __dir__() -> list[str]:
    return __all__
