"""The methods that K-GT is compared with, and how figures over local steps are drawn."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.ticker import NullLocator

from jaxdec.algorithms import KGT, LED, LocalDSGD, PeriodicalGT
from jaxdec.results import plotting

__all__ = ["PROGRAM", "look", "methods", "over_steps"]

PROGRAM = "a program in NumPy, written apart"


def methods(K: int, lr: float) -> dict[str, Any]:
    """The four methods."""
    return {
        "K-GT": KGT(lr=lr, local_steps=K),
        "Periodical GT": PeriodicalGT(lr=lr, local_steps=K),
        "LED": LED(lr=lr, local_steps=K),
        "local DSGD": LocalDSGD(lr=lr, local_steps=K),
    }


def look(k: int) -> Mapping[str, Any]:
    """Colour and marker of a line."""
    return {"color": plotting.COLOURS[k], "marker": plotting.MARKERS[k]}


def over_steps(ax: Any, K: np.ndarray, label: str) -> None:
    """Axes of a number against the local steps, which are the ticks."""
    ax.set(xscale="log", yscale="log", xlabel="local steps $K$", ylabel=label)
    ax.set_xticks(K, [str(k) for k in K])
    ax.xaxis.set_minor_locator(NullLocator())
