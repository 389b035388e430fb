"""Problems: n local objectives, their gradients and their data."""

from jaxdec.problems import augment
from jaxdec.problems.base import Problem
from jaxdec.problems.finite_sums import FiniteSum, finite_sum, solve
from jaxdec.problems.linear import least_squares, logistic, softmax
from jaxdec.problems.losses import from_loss
from jaxdec.problems.models import Model
from jaxdec.problems.networks import neural
from jaxdec.problems.quadratics import Quadratic, quadratic

__all__ = [
    "FiniteSum",
    "Model",
    "Problem",
    "Quadratic",
    "augment",
    "finite_sum",
    "from_loss",
    "least_squares",
    "logistic",
    "neural",
    "quadratic",
    "softmax",
    "solve",
]
