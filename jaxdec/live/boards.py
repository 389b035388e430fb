"""Records in TensorBoard and in Weights & Biases, whose packages are extras and are imported where they are used."""

import importlib
import os
from typing import Any

import numpy as np

from jaxdec.live.seen import One, Seen
from jaxdec.storage.places import as_file, located, writable

__all__ = ["TensorBoard", "WeightsAndBiases"]


class TensorBoard:
    """Event files for TensorBoard, a folder for each run: `tensorboard --logdir FOLDER` shows them while they go on.

    Metrics are scalars by their names, numbers of each node are histograms, and what was spent is under `cost/`. It
    needs the extra `tensorboard`.

    Args:
        folder: where the folders of runs are made.

    Raises:
        ImportError: without tensorboardX, with how to install it.
        OSError: if nothing can be written in the folder.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.writer = _installed("tensorboardX", "tensorboard").SummaryWriter
        self.folder = writable(located(folder), folder=True)
        self._writers: dict[str, Any] = {}

    def __call__(self, seen: Seen) -> None:
        """Write the records."""
        for one in seen.runs():
            if one.name not in self._writers:
                self._writers[one.name] = self.writer(str(self.folder / as_file(one.name)))
            board = self._writers[one.name]
            for k, t in enumerate(one.rounds.tolist()):
                for name, a in _values(one):
                    if a.ndim == 1:
                        board.add_scalar(name, a[k].item(), t)
                    elif np.isfinite(a[k]).all():
                        board.add_histogram(name, a[k], t)
            board.flush()
            if _last(one):
                self._writers.pop(one.name).close()

    def __repr__(self) -> str:
        return f"TensorBoard({str(self.folder)!r})"


class WeightsAndBiases:
    """A run of Weights & Biases for each run: its labels are the configuration, rounds are the steps.

    It needs the extra `wandb`, and an account or `mode="offline"`.

    Args:
        settings: what `wandb.init` takes besides name and configuration, such as `project`, `group` or `mode`.

    Raises:
        ImportError: without wandb, with how to install it.
    """

    def __init__(self, **settings: Any):
        self.init, self.settings = _installed("wandb", "wandb").init, settings
        self._runs: dict[str, Any] = {}

    def __call__(self, seen: Seen) -> None:
        """Log the records."""
        for one in seen.runs():
            if one.name not in self._runs:
                given = {"name": one.name, "config": one.labels, "reinit": "create_new"}
                self._runs[one.name] = self.init(**given | self.settings)
            for k, t in enumerate(one.rounds.tolist()):
                values = {name: a[k].tolist() for name, a in _values(one)}
                self._runs[one.name].log(values, step=t)
            if _last(one):
                self._runs.pop(one.name).finish()

    def __repr__(self) -> str:
        return "WeightsAndBiases()"


def _values(one: One) -> list[tuple[str, np.ndarray]]:
    return [*one.metrics.items(), *((f"cost/{name}", a) for name, a in one.cost.items())]


def _last(one: One) -> bool:
    return int(one.rounds[-1]) == one.total


def _installed(package: str, extra: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(f'this needs {package}; install it with pip install "jaxdec[{extra}]"') from error
