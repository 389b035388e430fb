"""An early stop."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from jaxdec import checks
from jaxdec.live.seen import Seen
from jaxdec.results.statistics import larger_is_better

__all__ = ["Stop"]


@dataclass(frozen=True)
class Stop:
    """Stop a run where a metric has reached a target, or where it diverged, at the end of that segment.

    The result has the records until then, to the bit those of the run that goes on, and its `attrs` say why under
    `stopped`. A sweep has no shorter runs: it is given up, with `Stopped`, where all runs side by side have come
    to that.

    Args:
        target: the value to reach; None stops at divergence alone.
        metric: what is to reach it, downwards, or upwards where more is better, as of an accuracy.
        diverged: whether to stop where a metric is not finite.

    >>> from jaxdec import algorithms, live, networks, problems, run
    >>> given = algorithms.KGT(lr=0.1, local_steps=5), problems.quadratic(8, 3), networks.ring(8)
    >>> result = run(*given, rounds=1000, callback=live.Stop(1e-3, "distance"), callback_every=10)
    >>> result.attrs["rounds"] < 100, result.attrs["stopped"]
    (True, 'distance reached 0.001')
    """

    target: float | None = None
    metric: str = "loss"
    diverged: bool = True

    def __post_init__(self) -> None:
        if self.target is not None:
            checks.finite("target", self.target)
        if not checks.flag("diverged", self.diverged) and self.target is None:
            raise ValueError("this would never stop; give a target, or leave diverged at True")

    def check(self, names: Iterable[str]) -> None:
        """Refuse a metric that is not among those that are recorded."""
        if self.target is not None and self.metric not in (names := list(names)):
            raise ValueError(f"Stop looks at {self.metric!r}, and recorded are {', '.join(names) or 'no metrics'}")

    def __call__(self, seen: Seen) -> str | None:
        """Why to stop."""
        runs = list(seen.runs())
        there = [self._reached(one.metrics) for one in runs]
        lost = [self.diverged and not all(np.isfinite(a).all() for a in one.metrics.values()) for one in runs]
        if not all(a or b for a, b in zip(there, lost, strict=True)):
            return None
        return f"{self.metric} reached {self.target:g}" if any(there) and self.target is not None else "diverged"

    def _reached(self, metrics: dict[str, np.ndarray]) -> bool:
        if self.target is None:
            return False
        values = metrics[self.metric]
        return bool(np.any(values >= self.target if larger_is_better(self.metric) else values <= self.target))
