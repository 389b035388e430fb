"""Legends that fit: inside the axes of a figure, or one for all of its panels."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["WIDE", "legend_below", "legend_in"]

WIDE = 0.075  # inches, of a character
SMALL = 8  # points


def legend_in(ax: "Axes", title: str) -> None:
    """One in the axes, where lines have labels."""
    if any(ax.get_legend_handles_labels()[1]):
        ax.legend(title=title or None, fontsize=SMALL, title_fontsize=SMALL)


def legend_below(figure: "Figure", ax: "Axes", title: str, labels: Sequence[str] = ()) -> None:
    """One for all panels, below them, in as many columns as fit; with these labels, or else those of some axes."""
    handles, found = ax.get_legend_handles_labels()
    labels = labels or found
    if labels:
        longest = int((figure.get_figwidth() - 0.55) / WIDE)
        folded = [re.findall(rf"(?:\\\$|.){{1,{longest}}}", label) for label in labels]  # "\$" is one character
        widest = max((len(line) for lines in folded for line in lines), default=1)
        fitting = int(figure.get_figwidth() / (0.55 + WIDE * widest))
        columns = min(len(labels), max(1, fitting))
        columns = -(-len(labels) // -(-len(labels) // columns))  # as many rows, but even ones
        told = {"title": title, "title_fontsize": SMALL} if title else {}
        figure.legend(handles, list(map("\n".join, folded)), loc="outside lower center", ncols=columns, **told)
