from . import augment
from .base import Problem
from .finite_sums import FiniteSum, finite_sum
from .linear import least_squares, logistic, softmax
from .losses import from_loss
from .models import Model
from .networks import neural
from .quadratics import Quadratic, quadratic
from .solving import solve

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
