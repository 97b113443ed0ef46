"""The catalogue: every chart and table that live page and report draw, and the labels in them, defined once.

The page's script draws what the catalogue lists from the page data (`loadstone.charts.page_data`), so a live page and a
report of the same second show the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadstone.domain.event import (
    ArrivalsShared,
    Crashed,
    EventKind,
    NamesCapped,
    Orphaned,
    RampDone,
    Restarted,
    Stage,
    Started,
    Stopped,
    StorageFailed,
    TargetExited,
    WorkerJoined,
    WorkerLost,
    WorkerQuit,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from loadstone.domain.event import Payload
    from loadstone.domain.request_name import RequestName

__all__ = [
    "CHARTS",
    "LATENCY_PERCENTS",
    "LIMIT",
    "MARKED",
    "MEAN",
    "MOST_SERIES",
    "OF_RUN",
    "OF_WINDOW",
    "OTHER_CONTAINERS",
    "OTHER_ERRORS",
    "OTHER_NAMES",
    "SERVICE_P95",
    "SERVICE_TIMES",
    "TABLES",
    "TARGET_USERS",
    "Catalogue",
    "ChartSpec",
    "Column",
    "TableSpec",
    "catalogue",
    "event_name",
    "event_words",
    "own_labels",
]

MOST_SERIES: Final = 20
"""How many series a chart may have; all further names or containers share one."""
OTHER_NAMES: Final = "other names"
OTHER_ERRORS: Final = "other errors"
OTHER_CONTAINERS: Final = "other containers"
TARGET_USERS: Final = "users wanted"
"""The series of the number of users that was asked for."""
LIMIT: Final = "limit"
"""A series with this label is drawn as a dashed line."""
LATENCY_PERCENTS: Final[Mapping[str, float]] = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartSpec:
    """One chart. ``unit`` is that of its vertical axis; a ``wide`` one takes the whole width of the page.

    ``beside``: the series that it also draws, in ``beside_unit``, by an axis on the right. One that is ``logarithmic``
    has a switch for the scale of its axis. ``binned`` says what a point is that covers several seconds, ``{}``. Many
    runs have nothing for one that is ``optional``: a live page shows it once there is something, and keeps room for all
    others from the start: nothing moves when they are drawn.
    """

    id: str
    title: str
    unit: str
    wide: bool = False
    beside: str = ""
    beside_unit: str = ""
    logarithmic: bool = False
    optional: bool = False
    binned: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One column; its kind says how a value is formatted (see `format` in page.js).

    One that is ``optional`` is left out where no row has a value in it.
    """

    title: str
    kind: str = "text"
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """One table; ``empty`` is shown when it has no row."""

    id: str
    title: str
    columns: tuple[Column, ...]
    empty: str


SERVICE_TIMES: Final = "all requests, service times"
"""Label of the row of all requests by service time, which there is under the open model."""
SERVICE_P95: Final = "service p95"
"""Label of the 95th percentile of service times, which there is under the open model."""
MEAN: Final = "mean"
OF_WINDOW: Final = "window"
OF_RUN: Final = "whole run"
"""Of what a figure is, in as few words as a tile has room for."""
_OF_ALL: Final = "each point is of all requests in {}"
_MEAN: Final = "each point is the mean of {}"
_HIGHEST: Final = "each point is the highest value in {}"
CHARTS: Final = (
    ChartSpec(
        id="rate",
        title="Requests per second, and users",
        unit="1/s",
        wide=True,
        beside="users",
        beside_unit="users",
        binned="each point is the mean rate, and the newest number of users, of {}",
    ),
    ChartSpec(id="latency", title="Latency", unit="ms", wide=True, logarithmic=True, binned=_OF_ALL),
    ChartSpec(id="cpu", title="CPU", unit="cores", wide=True, optional=True, binned=_MEAN),
    ChartSpec(id="memory", title="Memory", unit="MiB", wide=True, optional=True, binned=_HIGHEST),
    ChartSpec(id="failures", title="Failed requests", unit="%", wide=True, binned=_OF_ALL),
    ChartSpec(id="errors", title="Errors per second by text", unit="1/s", wide=True, optional=True, binned=_MEAN),
    ChartSpec(id="heat", title="Latency heatmap", unit="ms", wide=True, binned=_OF_ALL),
    ChartSpec(id="names_rate", title="Requests per second by name", unit="1/s", binned=_MEAN),
    ChartSpec(id="names_p95", title="p95 by name", unit="ms", logarithmic=True, binned=_OF_ALL),
    ChartSpec(id="throttled", title="CPU throttling", unit="%", optional=True, binned=_HIGHEST),
)
"""All wide ones share one time axis from edge to edge, so what happens at one moment stands in one line."""
_FIGURES: Final = (
    Column("requests", "count"),
    Column("failures", "count"),
    Column("failed", "percent"),
    Column("req/s", "number"),
    *(Column(f"{title} ms", "number") for title in (MEAN, "p50", "p90", "p95", "p99", "p99.9", "max")),
    Column(f"{SERVICE_P95} ms", "number", optional=True),
)
TABLES: Final = (
    TableSpec(
        id="objectives",
        title="Objectives",
        columns=(
            Column("objective"),
            Column("result"),
            Column("measured", "number"),
            Column("limit", "number"),
            Column("unit"),
            Column("margin", "margin", optional=True),
            Column("99 % interval", optional=True),
            Column("reason", "long"),
        ),
        empty="No objective was given.",
    ),
    TableSpec(
        id="baseline",
        title="Change from baseline",
        columns=(
            *(Column(title) for title in ("request", "metric")),
            Column("baseline"),
            Column("this run"),
            *(Column(title) for title in ("change", "99 % interval", "different")),
        ),
        empty="No baseline was given.",
    ),
    TableSpec(
        id="window",
        title="Requests, window",
        columns=(Column("request"), *_FIGURES),
        empty="No request ended in the window.",
    ),
    TableSpec(
        id="names", title="Requests, whole run", columns=(Column("request"), *_FIGURES), empty="No request was sent."
    ),
    TableSpec(
        id="slowest",
        title="Slowest answered requests, whole run",
        columns=(
            Column("request"),
            Column("response time, ms", "number"),
            Column("began at", "elapsed"),
            Column("status", "text"),
            Column("size", "bytes"),
            Column("worker"),
            Column("error", "long"),
        ),
        empty="No answered request has a response time.",
    ),
    TableSpec(
        id="errors",
        title="Errors, whole run",
        columns=(
            Column("request"),
            Column("error", "long"),
            Column("count", "count"),
            Column("first seen, UTC"),
            Column("last seen, UTC"),
        ),
        empty="No request failed.",
    ),
    TableSpec(
        id="usage",
        title="Usage in the window",
        columns=(
            Column("service"),
            Column("mean CPU, cores", "number"),
            Column("highest CPU, cores", "number"),
            Column("CPU limit, cores", "number"),
            Column("highest throttling, %", "number"),
            Column("highest memory", "bytes"),
            Column("memory limit", "bytes"),
            Column("out-of-memory kills", "count"),
        ),
        empty="No usage was recorded.",
    ),
    TableSpec(
        id="usage_now",
        title="Usage now",
        columns=(
            Column("container"),
            Column("CPU, cores", "number"),
            Column("CPU limit, cores", "number"),
            Column("throttled, %", "number"),
            Column("memory", "bytes"),
            Column("memory limit", "bytes"),
            Column("out-of-memory kills, newest tick", "count"),
        ),
        empty="No usage has been recorded yet.",
    ),
    TableSpec(
        id="workers",
        title="Workers",
        columns=(
            Column("worker"),
            Column("state"),
            Column("CPU, % of a core", "number"),
            Column("event-loop lag p99, ms", "number"),
            Column("longest stall, ms", "number"),
            Column("throttled, ms", "number"),
            Column("clock offset, ms", "number"),
            Column("CPU of its host, % busy", "number"),
            Column("stolen from its host, %", "number"),
            Column("host's tasks waiting for CPU, % of time", "number"),
            Column("produced", "count"),
            Column("stored", "count"),
            Column("dropped", "count"),
            Column("unknown", "count"),
        ),
        empty="No worker sent any data.",
    ),
    TableSpec(
        id="ledger",
        title="Ledger",
        columns=(
            Column("sink"),
            *(Column(title, "count") for title in ("produced", "stored", "dropped", "unknown")),
            Column("balances"),
        ),
        empty="No request was recorded.",
    ),
    TableSpec(
        id="events",
        title="Events",
        columns=(Column("at", "elapsed"), Column("event"), Column("details", "long")),
        empty="No event was recorded.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All charts and tables, in the order in which a page shows them."""

    charts: tuple[ChartSpec, ...]
    tables: tuple[TableSpec, ...]


def catalogue() -> Catalogue:
    """The catalogue of every page."""
    return Catalogue(charts=CHARTS, tables=TABLES)


def own_labels(names: Iterable[RequestName]) -> dict[RequestName, str]:
    """The labels of the names that get a series of their own, given all names in order of importance."""
    ordered = list(names)
    room = MOST_SERIES if len(ordered) <= MOST_SERIES else MOST_SERIES - 1
    return {name: name.label for name in ordered[:room]}


# -- labels of events --------------------------------------------------------------------------------------------------

MARKED: Final = frozenset(EventKind) - {EventKind.USERS, EventKind.ROSTER, EventKind.EXCEPTION, EventKind.EXITED}
"""Events that every chart marks with a line and that the table of events lists."""


def event_words(payload: Payload) -> str:  # noqa: C901, PLR0911  (one line per kind)
    """The details of an event, for people; empty where its kind says everything."""
    match payload:
        case Started(users=users, host=host):
            return f"{_known(users)} users on {_known(host)}"
        case RampDone(users=users):
            return f"{_known(users)} users running"
        case Stage(users=users):
            return f"target of {_known(users)} users"
        case (
            WorkerJoined(worker=worker)
            | WorkerLost(worker=worker)
            | Orphaned(worker=worker)
            | WorkerQuit(worker=worker)
        ):
            return f"worker {worker}"
        case ArrivalsShared(workers=workers):
            return f"{len(workers)} worker{'s' if len(workers) != 1 else ''}"
        case Stopped(requests=requests):
            return f"Locust counted {requests} requests"
        case TargetExited(code=code):
            return f"exit code {_known(code)}"
        case Crashed(part=part, code=code):
            return f"{part}, exit code {_known(code)}"
        case Restarted(part=part):
            return part
        case NamesCapped(limit=limit):
            return f"more than {_known(limit)} request names"
        case StorageFailed(text=text, lasted_s=lasted_s):
            return f"for {lasted_s:.0f} s: {text}"
    return ""


def _known(value: object) -> str:
    return "?" if value is None else str(value)


def event_name(kind: EventKind) -> str:
    """The kind of an event, for people."""
    return kind.replace("_", " ")
