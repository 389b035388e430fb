"""Problems: n local objectives, their gradients and their data."""

from jaxdec.problems import augment
from jaxdec.problems.finite_sum import FiniteSum, finite_sum, solve
from jaxdec.problems.linear import least_squares, logistic, softmax
from jaxdec.problems.neural import neural
from jaxdec.problems.quadratic import Quadratic, quadratic

__all__ = [
    "FiniteSum",
    "Quadratic",
    "augment",
    "finite_sum",
    "least_squares",
    "logistic",
    "neural",
    "quadratic",
    "softmax",
    "solve",
]
