"""Tables for people that fit the terminal: figures stay whole, names are folded, and columns are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rich.box import HEAVY_HEAD, SIMPLE_HEAD
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from rich.console import Console

__all__ = ["Row", "fitting_table", "new_table", "shortened"]

_NARROW: Final = 100
"""Below this width tables have no vertical lines."""
_LEAST_OF_NAME: Final = 16
"""A column of names that leaves less room than that to a longer one is too narrow to be read."""
_MOST_LINES: Final = 3
"""A longer name loses its middle; reports and CSV files have all of it."""


class Row(NamedTuple):
    """A cell for each column, and the style of all of them."""

    cells: Mapping[str, Text]
    style: str | None = None


def new_table(console: Console, title: Text | str | None = None) -> Table:
    """An empty table that suits the width of the console."""
    return _table(ruled=console.width >= _NARROW, title=title)


def _table(*, ruled: bool, title: Text | str | None = None) -> Table:
    if ruled:
        return Table(title=title, title_justify="left", box=HEAVY_HEAD)
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)


def shortened(text: str, width: int) -> str:
    """The text in at most so many cells: its middle goes first, because a limit stands at its end."""
    if cell_len(text) <= width:
        return text
    if width < 1:
        return ""
    end = (width - 1) // 2
    return _start(text, width - 1 - end) + "…" + _start(text[::-1], end)[::-1]


def _start(text: str, width: int) -> str:
    """As much of the beginning as fits into so many cells; a wide character that does not fit is left out."""
    taken = 0
    for at, character in enumerate(text):
        taken += cell_len(character)
        if taken > width:
            return text[:at]
    return text


def fitting_table(
    console: Console,
    rows: Sequence[Row],
    choices: Sequence[Sequence[str]],
    *,
    name: str,
    left: Collection[str] = (),
) -> Table:
    """A table of these rows, with the first of the ``choices`` of columns that the console has room for.

    The column ``name`` takes what the others leave, and about three lines; beside it those of ``left`` hold texts, all
    others figures. Where not even the last choice has room, figures are folded: that is hard to read, but complete.
    """
    ruled_first = (True, False) if console.width >= _NARROW else (False,)
    for columns, ruled in ((columns, ruled) for columns in choices for ruled in ruled_first):
        room = _room(console, rows, columns, name, ruled=ruled)
        if room >= min(_LEAST_OF_NAME, _longest(rows, name)) * (name in columns):
            return _filled(rows, columns, room, name=name, left=left, ruled=ruled, whole=True)
    return _filled(rows, choices[-1], _LEAST_OF_NAME, name=name, left=left, ruled=False, whole=False)


def _room(console: Console, rows: Sequence[Row], columns: Sequence[str], name: str, *, ruled: bool) -> int:
    """How many columns of the terminal the others leave for ``name``; negative where they do not fit themselves."""
    lines = 3 * len(columns) + 1 if ruled else 2 * len(columns)
    return console.width - lines - sum(_longest(rows, column) for column in columns if column != name)


def _longest(rows: Iterable[Row], column: str) -> int:
    return max([cell_len(column), *(cell_len(row.cells[column].plain) for row in rows)])


def _filled(
    rows: Sequence[Row],
    columns: Sequence[str],
    room: int,
    *,
    name: str,
    left: Collection[str],
    ruled: bool,
    whole: bool,
) -> Table:
    table = _table(ruled=ruled)
    for column in columns:
        is_figure = column != name and column not in left
        table.add_column(
            column, justify="right" if is_figure else "left", overflow="fold", no_wrap=whole and column != name
        )
    for row in rows:
        cells = dict(row.cells) | ({name: _in_few_lines(row.cells[name], room)} if name in columns else {})
        table.add_row(*(cells[column] for column in columns), style=row.style)
    return table


def _in_few_lines(text: Text, room: int) -> Text:
    most = _MOST_LINES * room
    return text if cell_len(text.plain) <= most else Text(shortened(text.plain, most), text.style)
