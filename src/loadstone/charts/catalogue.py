"""The catalogue: every chart and table that live page and report draw, defined once.

Page data is one JSON object: ``charts`` (id to series label to values, aligned with ``t``), ``tables`` (id to rows),
``tiles``, ``events`` and texts. The page's script draws whatever is in it, so that a live page and a report of the same
second show the same numbers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from loadstone.domain.event import (
    Crashed,
    EventKind,
    NamesCapped,
    Orphaned,
    RampDone,
    Restarted,
    Stage,
    Started,
    Stopped,
    TargetExited,
    WorkerJoined,
    WorkerLost,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from loadstone.domain.event import Payload

__all__ = [
    "CHARTS",
    "LATENCY_PERCENTS",
    "LIMIT",
    "MARKED",
    "MOST_SERIES",
    "OTHER_NAMES",
    "TABLES",
    "ChartSpec",
    "Column",
    "TableSpec",
    "catalogue",
    "event_name",
    "event_words",
    "label_of",
    "own_labels",
]

MOST_SERIES: Final = 20
"""Series that one chart may have; what is beyond is drawn as one series, `OTHER_NAMES`."""
OTHER_NAMES: Final = "other names"
LIMIT: Final = "limit"
"""A series with this label is drawn as a dashed line."""
LATENCY_PERCENTS: Final[Mapping[str, float]] = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartSpec:
    """One chart: ``unit`` stands on its axis; ``wide`` takes the whole width."""

    id: str
    title: str
    unit: str
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its title, and its kind, which says how a value is shown (see `format` in page.js)."""

    title: str
    kind: str = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """One table; ``empty`` is said when there is no row."""

    id: str
    title: str
    columns: tuple[Column, ...]
    empty: str


CHARTS: Final = (
    ChartSpec(id="users", title="Users", unit="users"),
    ChartSpec(id="rate", title="Requests per second", unit="1/s"),
    ChartSpec(id="latency", title="Latency", unit="ms"),
    ChartSpec(id="failures", title="Failed requests", unit="%"),
    ChartSpec(id="heat", title="Latency heatmap", unit="ms", wide=True),
    ChartSpec(id="names_rate", title="Requests per second by name", unit="1/s"),
    ChartSpec(id="names_p95", title="p95 by name", unit="ms"),
    ChartSpec(id="cpu", title="CPU of the target", unit="cores"),
    ChartSpec(id="memory", title="Memory of the target", unit="MiB"),
    ChartSpec(id="throttled", title="CPU throttling of the target", unit="%"),
)
_FIGURES: Final = (
    Column("requests", "count"),
    Column("failures", "count"),
    Column("failed", "percent"),
    Column("req/s", "number"),
    Column("mean ms", "number"),
    Column("p50 ms", "number"),
    Column("p95 ms", "number"),
    Column("p99 ms", "number"),
    Column("max ms", "number"),
)
TABLES: Final = (
    TableSpec(
        id="objectives",
        title="Objectives",
        columns=(
            Column("objective"),
            Column("measured", "number"),
            Column("unit"),
            Column("result"),
            Column("why", "long"),
        ),
        empty="No objective was given.",
    ),
    TableSpec(
        id="baseline",
        title="Difference to the baseline",
        columns=(
            *(Column(title) for title in ("request", "metric")),
            Column("baseline"),
            Column("this run"),
            *(Column(title) for title in ("change", "99 % interval", "different")),
        ),
        empty="No baseline was named.",
    ),
    TableSpec(id="names", title="Requests", columns=(Column("request"), *_FIGURES), empty="No request was made."),
    TableSpec(
        id="errors",
        title="Errors",
        columns=(Column("request"), Column("error", "long"), Column("count", "count"), Column("first"), Column("last")),
        empty="No request failed.",
    ),
    TableSpec(
        id="usage",
        title="What the target used",
        columns=(
            Column("service"),
            Column("CPU mean, cores", "number"),
            Column("CPU highest, cores", "number"),
            Column("CPU limit, cores", "number"),
            Column("throttled at most, %", "number"),
            Column("memory highest", "bytes"),
            Column("memory limit", "bytes"),
            Column("out of memory", "count"),
        ),
        empty="No usage was recorded.",
    ),
    TableSpec(
        id="usage_now",
        title="What the target uses",
        columns=(
            Column("container"),
            Column("CPU, cores", "number"),
            Column("CPU limit, cores", "number"),
            Column("throttled, %", "number"),
            Column("memory", "bytes"),
            Column("memory limit", "bytes"),
            Column("out of memory", "count"),
        ),
        empty="No usage was recorded yet.",
    ),
    TableSpec(
        id="workers",
        title="Workers",
        columns=(
            Column("worker"),
            Column("state"),
            Column("CPU, % of a core", "number"),
            Column("loop lag p99, ms", "number"),
            Column("held back, ms", "number"),
            Column("clock offset, ms", "number"),
            Column("produced", "count"),
            Column("stored", "count"),
            Column("dropped", "count"),
            Column("unknown", "count"),
        ),
        empty="No worker sent anything.",
    ),
    TableSpec(
        id="ledger",
        title="Ledger",
        columns=(
            Column("sink"),
            *(Column(title, "count") for title in ("produced", "stored", "dropped", "unknown")),
            Column("balances"),
        ),
        empty="No sample was produced.",
    ),
    TableSpec(
        id="events",
        title="Events",
        columns=(Column("at", "elapsed"), Column("event"), Column("about", "long")),
        empty="Nothing happened.",
    ),
)


def catalogue() -> dict[str, Any]:
    """All charts and tables, as page data has them."""
    return {"charts": [asdict(chart) for chart in CHARTS], "tables": [asdict(table) for table in TABLES]}


def label_of(method: str, name: str) -> str:
    """A request name as people see it."""
    return f"{method} {name}".strip()


def own_labels(names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Of names in order of importance, those that get a series of their own in a chart of names, with its label."""
    ordered = list(names)
    room = MOST_SERIES if len(ordered) <= MOST_SERIES else MOST_SERIES - 1
    return {name: label_of(*name) for name in ordered[:room]}


MARKED: Final = frozenset(EventKind) - {EventKind.USERS, EventKind.ROSTER, EventKind.EXCEPTION}
"""Events that are drawn as a line in every chart, and listed."""


def event_words(payload: Payload) -> str:  # noqa: PLR0911  (one line per kind)
    """What an event says beside its kind."""
    match payload:
        case Started(users=users, host=host):
            return f"{_known(users)} users on {_known(host)}"
        case RampDone(users=users):
            return f"{_known(users)} users run"
        case Stage(users=users):
            return f"{_known(users)} users wanted"
        case WorkerJoined(worker=worker) | WorkerLost(worker=worker) | Orphaned(worker=worker):
            return f"worker {worker}"
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
    return ""


def _known(value: object) -> str:
    return "?" if value is None else str(value)


def event_name(kind: EventKind) -> str:
    """The kind of an event for people."""
    return kind.replace("_", " ")
