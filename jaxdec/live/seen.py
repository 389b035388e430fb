"""What a callback sees."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxdec.results.labels import usual

__all__ = ["Callback", "One", "Seen", "Stopped"]


class Stopped(Exception):
    """A callback asked to stop a sweep. What is stored is kept, and the same call goes on."""


class One(NamedTuple):
    """The new records of one run."""

    name: str  # its algorithm and seed, and what else tells it from others of a sweep
    labels: dict[str, Any]  # its algorithm, problem, network and seed; of a sweep, its configuration
    rounds: np.ndarray  # (records,)
    metrics: dict[str, np.ndarray]  # (records,) each, or (records, n)
    cost: dict[str, np.ndarray]  # (records,) each, what was spent until then per node; what is no news is left out
    total: int  # the last round that there is to be


class Seen(NamedTuple):
    """The records that are new, of one run, or of some runs of a sweep that went side by side."""

    labels: tuple[dict[str, Any], ...]  # of each configuration; a run has one
    seeds: tuple[int, ...]
    rounds: np.ndarray  # (records,)
    metrics: dict[str, np.ndarray]  # (records,) each, or (records, n); of a sweep behind (seeds, configurations)
    cost: Any  # a Cost of such arrays: all that was spent until then per node
    total: int  # the last round that there is to be

    def runs(self) -> Iterator[One]:
        """The runs, one by one."""
        several = np.ndim(self.cost.grads) > 1
        for k, seed in enumerate(self.seeds):
            for j, labels in enumerate(self.labels):
                of = lambda a, k=k, j=j: a[k, j] if several else a
                metrics = {name: of(a) for name, a in self.metrics.items()}
                spent = {name: of(a) for name, a in self.cost._asdict().items()}
                spent = {name: a for name, a in spent.items() if not usual(name, a, self.rounds)}
                name = f"{labels.get('configuration', labels['algorithm'])} seed={seed}"
                yield One(name, labels | {"seed": seed}, self.rounds, metrics, spent, self.total)


Callback = Callable[[Seen], bool | str | None]
