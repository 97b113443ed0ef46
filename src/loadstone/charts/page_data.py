"""Page data: what a report page shows, as typed records that become the JSON which page.js reads.

A live page's messages have the same shape, but send the values of charts second by second.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from loadstone.charts.catalogue import Catalogue  # noqa: TC001  (msgspec may need the type)

__all__ = [
    "Cell",
    "EventMark",
    "Heat",
    "ReportCharts",
    "ReportPage",
    "ReportTables",
    "Row",
    "Series",
    "Tile",
    "VerdictState",
    "WindowMark",
]

Cell: TypeAlias = str | int | float | None
Row: TypeAlias = tuple[Cell, ...]
"""The cells of a table's row, one for each column that the catalogue gives the table."""
Series: TypeAlias = dict[str, list[float | None]]
"""The lines of a chart: label to values, one for each of the page's bins; None where there is nothing to draw."""


class Tile(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure at the top of the page; ``kind`` is that of a `Column`, ``of`` what the value is a part of."""

    title: str
    kind: str
    value: float | None
    of: str | None = None


class EventMark(Struct, frozen=True, kw_only=True):
    """An event that every chart marks at ``t`` seconds."""

    t: int
    kind: str
    text: str


class WindowMark(Struct, frozen=True, kw_only=True):
    """The window, which charts shade, in seconds on their time axis. ``seconds`` is its length."""

    start: float
    end: float
    opened: bool
    seconds: float


class VerdictState(Struct, frozen=True, kw_only=True):
    """The verdict on the run and what a reader should know about it."""

    verdict: str
    exit_code: int
    reasons: tuple[str, ...]
    notices: tuple[str, ...]


class Heat(Struct, frozen=True, kw_only=True):
    """For every bin its histogram as pairs of row and count, flat (see `loadstone.charts.binned.heat_row`)."""

    counts: list[list[int]]


class ReportCharts(Struct, frozen=True, kw_only=True):
    """The values of every chart of the catalogue, by its id."""

    users: Series
    rate: Series
    latency: Series
    failures: Series
    heat: Heat
    names_rate: Series
    names_p95: Series
    cpu: Series
    memory: Series
    throttled: Series


class ReportTables(Struct, frozen=True, kw_only=True):
    """The rows of every table that a report has, by its id in the catalogue."""

    objectives: list[Row]
    baseline: list[Row]
    names: list[Row]
    errors: list[Row]
    usage: list[Row]
    workers: list[Row]
    ledger: list[Row]
    events: list[Row]


class ReportPage(Struct, frozen=True, kw_only=True):
    """Everything that a report shows.

    ``t``: the beginnings of the bins, in seconds after ``begin`` (seconds since 1970), each ``step_s`` long.
    ``baseline``: id of the run that the table of that name compares with. ``identity``: title and text pairs.
    """

    mode: Literal["report"] = "report"
    catalogue: Catalogue
    run: str
    t: list[int]
    step_s: int
    begin: int
    charts: ReportCharts
    events: list[EventMark]
    state: VerdictState
    started_at: str | None
    window: WindowMark
    tiles: list[Tile]
    tables: ReportTables
    identity: list[tuple[str, str]]
    baseline: str
