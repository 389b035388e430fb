from . import augment, regularizers
from .base import Problem
from .finite_sums import FiniteSum, finite_sum
from .linear import least_squares, logistic, softmax
from .losses import from_loss
from .models import Model
from .networks import neural
from .quadratics import Quadratic, quadratic
from .regularized import Composite, composite
from .solving import solve

__all__ = [
    "Composite",
    "FiniteSum",
    "Model",
    "Problem",
    "Quadratic",
    "augment",
    "composite",
    "finite_sum",
    "from_loss",
    "least_squares",
    "logistic",
    "neural",
    "quadratic",
    "regularizers",
    "softmax",
    "solve",
]
