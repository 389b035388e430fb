"""What is printed: texts as they are, and tables that fit the terminal."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from jaxdec.results.texts import plain

__all__ = ["Column", "Grid", "say"]

UNLIMITED = 100_000  # columns of a file or a pipe


def say(*shown: RenderableType) -> None:
    """Print texts as they are, and tables as wide as the terminal; in a file or a pipe they are as wide as they need.

    The variable COLUMNS, where it is set, is the width of either.
    """
    console = Console()
    limited = console.is_terminal or os.environ.get("COLUMNS", "").isdigit()
    console = console if limited else Console(width=UNLIMITED)
    for one in shown:
        if isinstance(one, str):
            console.print(Text(plain(one)), soft_wrap=True)
        else:
            console.print(one)


@dataclass(frozen=True)
class Column:
    """A column of a `Grid`."""

    header: str
    cells: Sequence[str]
    right: bool = True  # as numbers are; else on the left, as texts

    @property
    def widths(self) -> tuple[int, int]:
        """The least width, at which words of the header are on lines of their own, and the whole one."""
        inside = max(map(_width, self.cells), default=0)
        words = max(map(cell_len, plain(self.header).split(" ")), default=0)
        return max(inside, words), max(inside, _width(self.header))


@dataclass(frozen=True)
class Grid:
    """A table that goes on below itself where the terminal is too narrow, each part with the first columns again.

    No number is ever cut: what does not fit alone is folded.
    """

    title: str
    columns: Sequence[Column]
    keys: int = 1  # so many columns are in every part
    caption: str = ""

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return len(self.columns[0].cells) if self.columns else 0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        parts = self.parts(options.max_width)
        for k, part in enumerate(parts):
            title = Text(plain(self.title), style="italic") if self.title and k == 0 else None
            caption = Text(plain(self.caption), style="dim italic") if self.caption and k + 1 == len(parts) else None
            if title:
                yield title
            table = Table(show_lines=_folds(part))
            for column, width in part:
                justify = "right" if column.right else "left"
                table.add_column(Text(plain(column.header)), justify=justify, width=width, overflow="fold")
            for row in zip(*(column.cells for column, _ in part), strict=True):
                table.add_row(*(Text(plain(cell)) for cell in row))
            yield table
            if caption:
                yield caption

    def parts(self, width: int) -> list[list[tuple[Column, int]]]:
        """The columns of each part and their widths, for a terminal of so many columns."""
        whole = [(column, column.widths[1]) for column in self.columns]
        least = [(column, column.widths[0]) for column in self.columns]
        for columns in (whole, least):
            if _total(columns) <= width:
                return [columns]
        keys, rest = least[: self.keys], least[self.keys :]
        room = max(3 * width // 5, 3 * self.keys)  # of texts that are too long, which are folded
        while sum(w for _, w in keys) + 3 * len(keys) > room and max(w for _, w in keys) > 3:
            longest = max(range(len(keys)), key=lambda k: keys[k][1])
            keys[longest] = keys[longest][0], keys[longest][1] - 1
        found = [list(keys)]
        for column in rest:
            if len(found[-1]) > len(keys) and _total([*found[-1], column]) > width:
                found.append(list(keys))
            free = width - _total(found[-1]) - 3
            found[-1].append((column[0], min(column[1], max(free, 1))))
        return found


def _total(columns: Sequence[tuple[Column, int]]) -> int:
    """The width of a table, with a space on both sides of each cell and lines around it."""
    return 1 + sum(width + 3 for _, width in columns)


def _width(text: str) -> int:
    return max(map(cell_len, plain(text).split("\n")), default=0)


def _folds(part: Sequence[tuple[Column, int]]) -> bool:
    """Whether some cell takes more than a line, so that rows are told apart by lines between them."""
    return any("\n" in cell or _width(cell) > width for column, width in part for cell in column.cells)
