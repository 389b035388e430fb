"""Aug-DGM, which is gradient tracking in its full adapt-then-combine form."""

from jaxdec.algorithms.gradient_tracking import GradientTracking
from jaxdec.types import StepSize

__all__ = ["AugDGM"]


def AugDGM(lr: StepSize) -> GradientTracking:
    """Aug-DGM, also known as ATC-DIGing: `GradientTracking` with form="atc", and nothing else.

    Reference: Xu, Zhu, Soh, Xie (2015), Augmented distributed gradient methods for multi-agent optimization under
    uncoordinated constant stepsizes (CDC).

    >>> AugDGM(lr=0.1)
    GradientTracking(lr=0.1, form='atc')
    >>> from jaxdec import networks, problems, run
    >>> result = run(AugDGM(lr=0.1), problems.quadratic(8, 3, zeta=10.0), networks.ring(8), rounds=400)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """
    return GradientTracking(lr=lr, form="atc")
