"""Page data: what a report page shows, as typed records that become the JSON which page.js reads.

A live page's messages have the same shape, but send the values of charts second by second.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from loadstone.charts.catalogue import Catalogue  # noqa: TC001  (msgspec may need the type)

__all__ = [
    "NO_HEALTH",
    "Cell",
    "EventMark",
    "EventRow",
    "Heat",
    "LedgerRow",
    "LiveHead",
    "LiveMessage",
    "LiveTables",
    "NameRow",
    "ObjectiveRow",
    "PhaseState",
    "Point",
    "ReportCharts",
    "ReportPage",
    "ReportTables",
    "Row",
    "Series",
    "Tile",
    "UsageRow",
    "VerdictState",
    "WindowMark",
    "WorkerRow",
]

Cell: TypeAlias = str | int | float | None
Row: TypeAlias = tuple[Cell, ...]
"""The cells of a table's row, one for each column that the catalogue gives the table."""
Series: TypeAlias = dict[str, list[float | None]]
"""The lines of a chart: label to values, one for each of the page's bins; None where there is nothing to draw."""


class Tile(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure at the top of the page; ``kind`` is that of a `Column`, ``of`` what the value is a part of.

    ``scope`` says in a word or two of which part of the run it is.
    """

    title: str
    kind: str
    value: float | None
    of: str | None = None
    scope: str = ""


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
    errors: Series
    heat: Heat
    names_rate: Series
    names_p95: Series
    cpu: Series
    memory: Series
    throttled: Series


class ReportTables(Struct, frozen=True, kw_only=True):
    """The rows of every table that a report has, by its id in the catalogue; None for one that is left out."""

    objectives: list[ObjectiveRow]
    baseline: list[Row]
    window: list[Row] | None
    names: list[Row]
    slowest: list[Row] | None
    errors: list[Row]
    usage: list[Row]
    workers: list[WorkerRow]
    ledger: list[Row]
    events: list[Row]


class ReportPage(Struct, frozen=True, kw_only=True):
    """Everything that a report shows.

    ``t``: the beginnings of the bins, in seconds after ``begin`` (seconds since 1970), each ``step_s`` long.
    ``notes``: what a reader of the tiles has to know. ``baseline``: id of the run that the table of that name compares
    with. ``remarks``: for the id of a table a sentence that stands above it. ``identity``: title and text pairs.
    ``folded``: ids of tables that are closed until a reader opens them.
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
    notes: list[str]
    tables: ReportTables
    identity: list[tuple[str, str]]
    baseline: str
    remarks: dict[str, str]
    folded: list[str]


Point: TypeAlias = dict[str, Mapping[str, float | None] | list[int]]
"""One second of every chart: chart to label to value; of the heat map, pairs of row and count."""


class PhaseState(Struct, frozen=True, kw_only=True):
    """The phase of an open run, and a sentence about it."""

    phase: str
    about: str
    reasons: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


class ObjectiveRow(Struct, frozen=True, array_like=True):
    """An objective and how it stands; ``margin_pct`` as in `loadstone.domain.objective.margin_pct`."""

    text: str
    result: str
    value: float | None
    limit: float
    unit: str
    margin_pct: float | None
    interval: str | None
    reason: str


class NameRow(Struct, frozen=True, array_like=True):
    """The figures of one request name since the run started; latencies in ms, None where no request has one.

    ``service_p95_ms`` is None under the closed model.
    """

    label: str
    requests: int
    failures: int
    failures_pct: float
    rps: float
    mean_ms: float | None
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    max_ms: float | None
    service_p95_ms: float | None


class UsageRow(Struct, frozen=True, array_like=True):
    """The newest tick of one container; ``oom`` adds up all ticks."""

    label: str
    cpu_cores: float
    cpu_limit: float | None
    throttled_pct: float | None
    mem_bytes: int
    mem_limit: int | None
    oom: int


class WorkerRow(Struct, frozen=True, array_like=True):
    """One incarnation of a worker: its state, its health and its ledger."""

    worker: str
    state: str
    cpu_pct: float | None
    lag_p99_ms: float | None
    longest_stall_ms: float | None
    throttled_ms: float | None
    clock_offset_ms: float | None
    host_busy_pct: float | None
    host_stolen_pct: float | None
    host_waiting_pct: float | None
    produced: int
    stored: int
    dropped: int
    unknown: int | None


NO_HEALTH: Final = (None, None, None, None, None, None, None, None)
"""The columns of a worker that has not told about its health."""


class LedgerRow(Struct, frozen=True, array_like=True):
    """The ledger of one sink."""

    sink: str
    produced: int
    stored: int
    dropped: int
    unknown: int
    balances: str


class EventRow(Struct, frozen=True, array_like=True):
    """An event in the table of events."""

    t: int
    kind: str
    text: str


class LiveTables(Struct, frozen=True, kw_only=True):
    """The tables of the live page."""

    objectives: list[ObjectiveRow]
    names: list[NameRow]
    usage_now: list[UsageRow]
    workers: list[WorkerRow]
    ledger: list[LedgerRow]
    events: list[EventRow]


class LiveHead(Struct, frozen=True, kw_only=True):
    """Everything on the live page but its points.

    ``links``: text and address. ``folded``: as in `ReportPage`. ``troubles``: what is wrong with the platform now, a
    sentence each.
    """

    run: str
    state: PhaseState | VerdictState
    started_at: str
    window: None = None
    events: list[EventMark]
    tiles: list[Tile]
    notes: list[str] = []
    troubles: list[str] = []
    tables: LiveTables
    identity: list[str] = []
    links: list[tuple[str, str]] = []
    folded: list[str] = []


class LiveMessage(LiveHead, frozen=True, kw_only=True):
    """What the page is sent: the points that changed, by second of the run, and the ``oldest`` second that it keeps.

    ``begin`` is the second since 1970 from which the run's seconds count, None before the run has one.
    """

    begin: int | None
    oldest: int
    points: list[tuple[int, Point]]
