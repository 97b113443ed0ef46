"""The page data of a closed run, computed from its archive."""

from __future__ import annotations

from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import pyarrow as pa

from loadstone.archive.figure_notes import figure_notes, influx_notes, rate_text
from loadstone.charts.binned import SERVICE, Binned, Bins, step_for
from loadstone.charts.catalogue import (
    LATENCY_PERCENTS,
    MARKED,
    MEAN,
    OF_RUN,
    OF_WINDOW,
    OTHER_NAMES,
    SERVICE_P95,
    SERVICE_TIMES,
    TARGET_USERS,
    catalogue,
    event_name,
    event_words,
    own_labels,
)
from loadstone.charts.confidence import objective_intervals
from loadstone.charts.error_series import read_error_series
from loadstone.charts.folding import folded_tables
from loadstone.charts.objective_rows import judged_objective
from loadstone.charts.page_data import (
    NO_HEALTH,
    EventMark,
    Heat,
    ReportCharts,
    ReportPage,
    ReportTables,
    Tile,
    VerdictState,
    WindowMark,
    WorkerRow,
)
from loadstone.charts.usage_series import read_usage_series
from loadstone.domain.event import EventKind, ScenarioIdentity, Users
from loadstone.domain.host_doubts import TARGET
from loadstone.domain.time import MS_PER_S, NS_PER_S, parse_iso_ns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from loadstone.archive.closed_run import ClosedRun, FailureRow
    from loadstone.archive.run_record import (
        Figures,
        IncarnationRecord,
        Latencies,
        NameFigures,
        PartRecord,
        RunRecord,
        WorkerHealth,
    )
    from loadstone.charts.page_data import Row, Series
    from loadstone.domain.event import Payload

__all__ = ["report_data"]

_ERROR_LIMIT: Final = 100
_EVENT_LIMIT: Final = 500
_SLOWEST: Final = 20
_US_PER_MS: Final = 1000


class _Happened(NamedTuple):
    """One event, ``at`` seconds after the first bin begins."""

    at: int
    kind: EventKind
    payload: Payload


def report_data(run: ClosedRun, *, baseline: Sequence[Sequence[str]] = (), baseline_id: str = "") -> ReportPage:
    """Everything that the report of a run shows. Raises `ArchiveError` when a file of the run cannot be read.

    ``baseline``: rows of the table that compares the run with the run ``baseline_id``.
    """
    record, bins = run.record, _bins(run)
    events = [_Happened(event.at_ns // NS_PER_S - bins.begin, event.kind, event.payload) for event in run.events()]
    names = sorted(record.summary.run.names, key=lambda figures: (-figures.requests, figures.request_name))
    marks = _marks(events)
    tables = _tables(run, names, marks, bins, baseline)
    return ReportPage(
        catalogue=catalogue(),
        run=record.id,
        t=[at * bins.step_s for at in range(bins.count)],
        step_s=bins.step_s,
        begin=bins.begin,
        charts=_charts(run, names, events, bins),
        events=marks,
        state=VerdictState(
            verdict=record.verdict, exit_code=record.exit_code, reasons=record.reasons, notices=record.notices
        ),
        started_at=record.started_at,
        window=_window(record, bins),
        tiles=_tiles(record),
        notes=[*figure_notes(record), *influx_notes(record)],
        tables=tables,
        identity=_identity(record),
        baseline=baseline_id,
        remarks=_remarks(record),
        folded=folded_tables(tables.workers, record.objectives),
    )


def _remarks(record: RunRecord) -> dict[str, str]:
    cut = record.in_flight.cut
    if not cut:
        return {}
    are, they = ("requests were", "They are not listed") if cut > 1 else ("request was", "It is not listed")
    return {"slowest": f"{cut:,} {are} cut off in flight, before an answer came. {they}, and may have been slower."}


def _bins(run: ClosedRun) -> Bins:
    """Bins of a readable number in which every sample has its place."""
    seconds = run.rollups().read(["second"])["second"].cast(pa.int64()).to_numpy() // MS_PER_S
    begin, end = _ns(run.record.started_at) // NS_PER_S, ceil(_ns(run.record.ended_at) / NS_PER_S) - 1
    if len(seconds):
        begin, end = min(begin, int(seconds[0])), max(end, int(seconds[-1]))
    end = max(begin, end)
    length_s = end - begin + 1
    return Bins(begin=begin, seconds=length_s, step_s=step_for(length_s))


def _ns(moment: str | None) -> int:
    return parse_iso_ns(moment) if moment else 0


def _marks(events: Iterable[_Happened]) -> list[EventMark]:
    marks = [EventMark(t=at, kind=event_name(kind), text=event_words(payload))
             for at, kind, payload in events if kind in MARKED]  # fmt: skip
    return sorted(marks, key=lambda mark: mark.t)[:_EVENT_LIMIT]


def _charts(run: ClosedRun, names: Sequence[NameFigures], events: Sequence[_Happened], bins: Bins) -> ReportCharts:
    keys = [figures.request_name for figures in names]
    own = own_labels(keys)
    groups = {key: min(at, len(own)) for at, key in enumerate(keys)}
    binned = Binned(groups, bins).add(run.rollups())
    labels = [*own.values(), *([OTHER_NAMES] if len(own) < len(keys) else [])]
    n, err = (binned.sums[field][0].tolist() for field in ("n", "err"))
    usage = read_usage_series(run.usage(), bins)
    return ReportCharts(
        users=_users(events, bins),
        rate={"requests": _rates(binned, 0, "n"), "failures": _rates(binned, 0, "err")},
        latency={**_latency(binned), **_service_latency(run, bins)},
        failures={"failed": [round(100 * e / count, 8) if count else None for e, count in zip(err, n, strict=True)]},
        errors=read_error_series(run, bins),
        heat=Heat(counts=binned.heat()),
        names_rate={label: _rates(binned, 1 + at, "n") for at, label in enumerate(labels)},
        names_p95={label: binned.percentiles_ms(1 + at, (95.0,))[0] for at, label in enumerate(labels)},
        cpu=usage["cpu"],
        memory=usage["memory"],
        throttled=usage["throttled"],
    )


def _users(events: Sequence[_Happened], bins: Bins) -> Series:
    """The last report of each bin; a bin without one repeats the bin before."""
    reports = {event.at // bins.step_s: event.payload for event in events if isinstance(event.payload, Users)}
    series: Series = {"users": [], TARGET_USERS: []}
    newest: Users | None = None
    for at in range(bins.count):
        newest = reports.get(at, newest)
        series["users"].append(newest.users if newest else None)
        series[TARGET_USERS].append(newest.target_users if newest else None)
    return series


def _latency(binned: Binned) -> Series:
    percentiles = binned.percentiles_ms(0, [*LATENCY_PERCENTS.values()])
    counts, high_us = binned.sums["n"][0], binned.high_us[0]
    highest = [us / _US_PER_MS if n else None for n, us in zip(counts.tolist(), high_us.tolist(), strict=True)]
    return {MEAN: binned.means_ms(0), **dict(zip(LATENCY_PERCENTS, percentiles, strict=True)), "max": highest}


def _service_latency(run: ClosedRun, bins: Bins) -> Series:
    """What there is to draw of service times: nothing under the closed model."""
    if run.record.judged.arrivals is None:
        return {}
    groups = {figures.request_name: 0 for figures in run.record.summary.run.names}
    binned = Binned(groups, bins, of=SERVICE).add(run.rollups())
    return {SERVICE_P95: binned.percentiles_ms(0, (95.0,))[0]}


def _rates(binned: Binned, row: int, field: str) -> list[float | None]:
    return [*binned.bins.rates(binned.sums[field][row])]


def _window(record: RunRecord, bins: Bins) -> WindowMark:
    window = record.window
    start, end = (at_ns / NS_PER_S - bins.begin for at_ns in (window.start_ns, window.end_ns))
    return WindowMark(start=start, end=end, opened=window.opened, seconds=window.seconds)


def _tiles(record: RunRecord) -> list[Tile]:
    total, scope = record.judged.total, _scope(record)
    return [
        Tile(title="requests", kind="count", value=total.requests, scope=scope),
        Tile(title="requests/s", kind="number", value=total.rps, scope=scope),
        Tile(title="failed", kind="percent", value=total.failures_pct, scope=scope),
        Tile(title="mean ms", kind="number", value=total.mean_ms, scope=scope),
        Tile(title="p50 ms", kind="number", value=total.p50_ms, scope=scope),
        Tile(title="p95 ms", kind="number", value=total.p95_ms, scope=scope),
        Tile(title="p99 ms", kind="number", value=total.p99_ms, scope=scope),
        *_open_tiles(record.judged, scope),
        *_exceptions(record),
        Tile(title="most users", kind="count", value=record.users_peak, scope=OF_RUN),
    ]


def _scope(record: RunRecord) -> str:
    """Of what the figures are that objectives judge, in a word or two."""
    return OF_WINDOW if record.window.opened else OF_RUN


def _exceptions(record: RunRecord) -> list[Tile]:
    if not record.exceptions:
        return []
    return [Tile(title="exceptions", kind="count", value=record.exceptions_in_window, scope=_scope(record))]


def _open_tiles(part: PartRecord, scope: str) -> list[Tile]:
    """What there is to tell under the open model only."""
    arrivals, service = part.arrivals, part.total.service
    if arrivals is None or service is None:
        return []
    planned = f"{arrivals.planned:,}"
    return [
        Tile(title="service p95 ms", kind="number", value=service.p95_ms, scope=scope),
        Tile(title="arrivals not sent", kind="count", value=arrivals.not_sent, of=planned, scope=scope),
        Tile(title="lateness p99 ms", kind="number", value=arrivals.lateness_p99_ms, scope=scope),
    ]


def _tables(
    run: ClosedRun,
    names: Sequence[NameFigures],
    marks: Sequence[EventMark],
    bins: Bins,
    baseline: Sequence[Sequence[str]],
) -> ReportTables:
    record = run.record
    return ReportTables(
        objectives=[*map(judged_objective, record.objectives, objective_intervals(run))],
        baseline=[tuple(row) for row in baseline],
        window=_request_rows(record.summary.window, names) if record.window.opened else None,
        names=_request_rows(record.summary.run, names),
        slowest=_slowest(run, bins),
        errors=_errors(run),
        usage=[
            (name, of.cpu_cores, of.cpu_cores_max, of.cpu_limit, of.throttled_pct, of.mem_bytes, of.mem_limit, of.oom)
            for name, of in sorted(record.usage.items(), key=lambda each: (each[0] != TARGET, each[0]))
        ],
        workers=_workers(record),
        ledger=_ledger(record),
        events=[(mark.t, mark.kind, mark.text) for mark in marks],
    )


def _request_rows(part: PartRecord, names: Sequence[NameFigures]) -> list[Row]:
    """All requests together, then each name in the order of ``names``; none where nothing was sent."""
    figures = {each.request_name: each for each in part.names}
    ordered = [figures[name] for each in names if (name := each.request_name) in figures]
    total = _total_rows(part.total) if ordered else []
    return [*total, *(_name_row(each.request_name.label, each) for each in ordered)]


def _slowest(run: ClosedRun, bins: Bins) -> list[Row]:
    return [
        (
            each.name.label,
            each.rt_us / _US_PER_MS,
            each.start_ns / NS_PER_S - bins.begin,
            each.status,
            each.size_bytes,
            str(each.worker),
            each.error,
        )
        for each in run.slowest(_SLOWEST)
    ]


def _total_rows(total: Figures) -> list[Row]:
    """All requests together; under the open model by service time too."""
    rows = [_name_row("all requests", total)]
    return rows if total.service is None else [*rows, _name_row(SERVICE_TIMES, total, total.service)]


def _name_row(label: str, of: Figures, times: Latencies | None = None) -> Row:
    """Counts and latencies, which are response times unless others are given."""
    shown = times or of
    percentiles = (shown.p50_ms, shown.p90_ms, shown.p95_ms, shown.p99_ms, shown.p999_ms)
    service_p95_ms = of.service.p95_ms if of.service else None
    latencies = (shown.mean_ms, *percentiles, shown.max_ms)
    return (label, of.requests, of.failures, of.failures_pct, of.rps, *latencies, service_p95_ms)


def _errors(run: ClosedRun) -> list[Row]:
    """The most frequent errors; failures.csv has all of them."""

    def rank(failure: FailureRow) -> tuple[int, str, str]:
        return (-failure.occurrences, failure.name.label, failure.error)

    form = "%H:%M:%S"
    return [
        (each.name.label, each.error, each.occurrences, _utc(each.first_seen, form), _utc(each.last_seen, form))
        for each in sorted(run.failures(), key=rank)[:_ERROR_LIMIT]
    ]


def _utc(moment: str, form: str) -> str:
    return datetime.fromtimestamp(parse_iso_ns(moment) // NS_PER_S, UTC).strftime(form)


def _workers(record: RunRecord) -> list[WorkerRow]:
    health = {worker.worker: worker for worker in record.worker_health}
    return [_worker_row(incarnation, health.get(incarnation.worker)) for incarnation in record.incarnations]


def _worker_row(incarnation: IncarnationRecord, health: WorkerHealth | None) -> WorkerRow:
    state = "ended" if incarnation.final else "lost" if incarnation.lost_at else "no longer heard from"
    ledger = (incarnation.produced, incarnation.stored, incarnation.dropped, incarnation.unknown)
    if health is None:
        return WorkerRow(str(incarnation.worker), state, *NO_HEALTH, *ledger)
    found = (
        *(health.cpu_pct, health.lag_p99_ms, health.longest_stall_ms, health.throttled_us / _US_PER_MS),
        *(health.clock_offset_ms, health.host_busy_pct, health.host_stolen_pct, health.host_waiting_pct),
    )
    return WorkerRow(str(incarnation.worker), state, *found, *ledger)


def _ledger(record: RunRecord) -> list[Row]:
    archive, influx = record.ledgers.archive, record.ledgers.influx
    balances = "yes" if archive.balances else "no"
    rows: list[Row] = [("archive", archive.produced, archive.stored, archive.dropped, archive.unknown, balances)]
    if influx:
        rows.append(
            ("InfluxDB", None, influx.stored, None, None, f"{influx.rejected} rejected, {influx.pending} pending")
        )
    return rows


def _identity(record: RunRecord) -> list[tuple[str, str]]:
    """What was run, as title and text; what is unknown is left out."""
    scenario = record.scenario or ScenarioIdentity()
    texts = [
        ("run", record.id),
        ("started", _moment(record.started_at)),
        ("ended", _moment(record.ended_at)),
        ("scenario files", ", ".join(scenario.files)),
        ("scenario digest", scenario.digest),
        ("git revision", scenario.git_revision),
        ("user classes", ", ".join(scenario.user_classes)),
        ("load shape", scenario.shape),
        ("host", record.host),
        ("users", _text(record.users)),
        ("spawn rate", _text(record.spawn_rate, " users/s")),
        ("rate", rate_text(record)),
        ("arrivals", record.arrivals_spread),
        ("run time", _text(record.run_time_s, " s")),
        ("steady state", _text(record.steady_state_s, " s")),
        ("warm-up", _text(record.warmup_s, " s")),
        ("stop timeout", _text(record.stop_timeout_s, " s")),
        ("workers", _text(record.workers)),
        ("exceptions of tasks", _text(record.exceptions or None)),
        ("sent but not reported", _text(record.unreported or None, " requests")),
        ("seed", _text(record.seed)),
        ("tags", ", ".join(record.tags)),
        ("excluded tags", ", ".join(record.exclude_tags)),
        ("limits", _pairs(record.limits)),
        ("target", _pairs(record.target)),
        *((f"version of {name}", version) for name, version in record.versions.items()),
    ]
    return [(title, text) for title, text in texts if text]


def _text(value: float | str | None, unit: str = "") -> str:
    return "" if value is None else f"{value:g}{unit}" if isinstance(value, float) else f"{value}{unit}"


def _moment(moment: str | None) -> str:
    return _utc(moment, "%Y-%m-%d %H:%M:%S UTC") if moment else ""


def _pairs(values: Mapping[str, Any] | None) -> str:
    """What a target or a user says about the target, such as ``cpus: 2, memory: 512MiB``; nested values as JSON."""
    texts = ((key, value if isinstance(value, str) else msgspec.json.encode(value).decode())
             for key, value in (values or {}).items() if value is not None)  # fmt: skip
    return ", ".join(f"{key}: {text}" for key, text in texts)
