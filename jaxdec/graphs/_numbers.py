"""Real numbers as they come in."""

from typing import Any

import numpy as np


def above_zero(name: str, value: Any, meaning: str, most: float = np.inf) -> float:
    """A finite real number above zero and at most `most`, refused with its meaning where it is not."""
    found = np.asarray(value)
    if found.shape != () or found.dtype.kind not in "iuf" or not (0 < found <= most and np.isfinite(found)):
        raise ValueError(f"{name} is {meaning}; got {value!r}")
    return float(found)
