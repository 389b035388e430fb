"""Synthetic sets with knobs."""

import math

import numpy as np

from jaxdec import checks
from jaxdec.data.sources import Dataset, dataset

__all__ = ["synthetic_classification", "synthetic_regression"]


def synthetic_classification(
    samples: int, features: int, classes: int = 2, separation: float = 1.0, seed: int = 0
) -> Dataset:
    """Gaussian classes whose means are all `separation` apart; no test set.

    x = m_y + z with z ~ N(0, I). The means m_0, ..., m_{classes-1} are the corners of a regular simplex centred at the
    origin and turned at random: |m_j - m_k| = separation for all j != k. Classes hold equally many samples, up to one.
    For two classes the best attainable error is Phi(-separation / 2), with Phi the normal distribution function.

    Args:
        samples: N, at least `classes`.
        features: at least `classes - 1`, the dimension of the simplex.
        classes: at least 2.
        separation: distance between class means, in units of the noise; 0 makes the labels unlearnable.
        seed: of means, labels and noise.

    Returns:
        `Dataset` with inputs (samples, features) float64 and int32 labels (samples,).

    Raises:
        ValueError: a size is too small, or `separation` is negative or not finite.

    >>> task = synthetic_classification(100, features=5, classes=3)
    >>> task.inputs.shape, task.classes
    ((100, 5), 3)
    """
    classes = checks.integer("classes", classes, 2)
    samples = checks.integer("samples", samples, classes, most=10**18)
    features = checks.integer("features", features, classes - 1, most=10**18)
    separation = _nonnegative("separation", separation)
    _fits(samples, features)
    rng = np.random.default_rng(checks.seed("seed", seed))

    # Rows of an orthonormal basis of the complement of (1, ..., 1) are sqrt(2) apart and sum to zero.
    corners = np.linalg.qr(np.column_stack([np.ones(classes), np.eye(classes)[:, 1:]]))[0][:, 1:]
    turn = np.linalg.qr(rng.normal(size=(features, classes - 1)))[0]
    means = separation / math.sqrt(2) * corners @ turn.T
    labels = rng.permutation(np.arange(samples) % classes)
    inputs = means[labels] + rng.normal(size=(samples, features))
    return dataset(inputs, labels, classes=classes, name="synthetic_classification")


def synthetic_regression(samples: int, features: int, noise: float = 0.1, seed: int = 0) -> Dataset:
    """A noisy linear map: y = <w, x> + noise e, with x ~ N(0, I), e ~ N(0, 1), w uniform on the sphere; no test set.

    Since |w| = 1 the signal has variance 1, so `noise` is the noise-to-signal ratio and noise^2 the best attainable
    mean squared error.

    Args:
        samples: N, at least 1.
        features: at least 1.
        noise: standard deviation of the noise.
        seed: of w, inputs and noise.

    Returns:
        `Dataset` with inputs (samples, features) and targets (samples,), both float64; classes is None.

    Raises:
        ValueError: a size is too small, or `noise` is negative or not finite.

    >>> task = synthetic_regression(100, features=5)
    >>> task.targets.shape, task.classes
    ((100,), None)
    """
    samples = checks.integer("samples", samples, 1, most=10**18)
    features = checks.integer("features", features, 1, most=10**18)
    noise = _nonnegative("noise", noise)
    _fits(samples, features)
    rng = np.random.default_rng(checks.seed("seed", seed))
    weights = rng.normal(size=features)
    weights /= np.linalg.norm(weights)
    inputs = rng.normal(size=(samples, features))
    return dataset(inputs, inputs @ weights + noise * rng.normal(size=samples), name="synthetic_regression")


def _fits(samples: int, features: int) -> None:
    checks.affordable(f"{samples} samples of {features} features", 24 * samples * features, "take fewer of either")


def _nonnegative(name: str, value: float) -> float:
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}")
    return float(value)
