"""Problems: n local objectives, their gradients and their data."""

from jaxdec.problems import augment
from jaxdec.problems.base import Problem
from jaxdec.problems.finite_sums import FiniteSum, finite_sum, solve
from jaxdec.problems.linear import least_squares, logistic, softmax
from jaxdec.problems.networks import neural
from jaxdec.problems.quadratics import Quadratic, quadratic

__all__ = [
    "FiniteSum",
    "Problem",
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
