"""Page data of a run in progress: the same JSON as a report's, but with its points sent as they change.

`live_head` makes everything beside the charts, `LivePoints` keeps the points of the charts. Rows of tables are arrays
on the page, in the order of the catalogue's columns.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from loadstone.archive.figure_notes import CLOSED_MODEL, OPEN_MODEL
from loadstone.charts.binned import heat_rows
from loadstone.charts.catalogue import (
    LATENCY_PERCENTS,
    MARKED,
    MEAN,
    MOST_SERIES,
    OF_RUN,
    OTHER_NAMES,
    SERVICE_P95,
    SERVICE_TIMES,
    TARGET_USERS,
    event_name,
    event_words,
)
from loadstone.charts.folding import folded_tables
from loadstone.charts.objective_rows import live_objective
from loadstone.charts.page_data import (
    NO_HEALTH,
    EventMark,
    EventRow,
    LedgerRow,
    LiveHead,
    LiveTables,
    NameRow,
    PhaseState,
    Point,
    Tile,
    UsageRow,
    WorkerRow,
)
from loadstone.charts.usage_series import admit, usage_point
from loadstone.domain.host_doubts import TARGET
from loadstone.domain.live import container_label
from loadstone.domain.quantile import percentile_of
from loadstone.domain.rollup import Rollup, merged
from loadstone.domain.time import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadstone.archive.run_state import IncarnationState, RunState
    from loadstone.domain.ledger import IncarnationLedger
    from loadstone.domain.live import LiveLedger, LiveSnapshot, LiveUsage, Trouble
    from loadstone.domain.usage_tick import Usage

__all__ = ["KEPT_S", "LivePoints", "live_head"]

_SILENT_S: Final = 3.0
_THOUSAND: Final = 1000
_PERCENTS: Final = (50, 90, 95, 99, 99.9)
_NOW: Final = "now"
_RECENT: Final = "last 10 s"
KEPT_S: Final = 1800
"""Seconds that a live page shows."""


def live_head(live: LiveSnapshot, state: RunState, *, begin: int) -> LiveHead:
    """What a live page shows beside its charts. ``begin``: the second since 1970 that is 0:00."""
    started = datetime.fromtimestamp((live.started_ns or live.now_ns) // NS_PER_S, UTC)
    marks = _marks(state, begin)
    workers = [_worker(incarnation, live.now_ns) for incarnation in state.incarnations.values()]
    return LiveHead(
        run=live.run,
        state=PhaseState(phase=live.phase, about=_about(live, state)),
        started_at=started.isoformat(),
        events=marks,
        tiles=_tiles(live),
        notes=_notes(live, state),
        troubles=[_trouble(each, live.now_ns) for each in live.troubles],
        tables=LiveTables(
            objectives=[live_objective(each) for each in live.objectives],
            names=_names(state, live),
            usage_now=[_usage(each) for each in sorted(live.usage, key=_place)],
            workers=workers,
            ledger=[_ledger(live.ledger, state, live.now_ns)] if live.ledger else [],
            events=[EventRow(mark.t, mark.kind, mark.text) for mark in marks],
        ),
        folded=folded_tables(workers, live.objectives),
    )


def _about(live: LiveSnapshot, state: RunState) -> str:
    minutes, seconds = divmod(int(_measured_s(live, state)), 60)
    host = live.host or "its target"
    return f"Running for {minutes}:{seconds:02d} against {host}. Objectives cover the newest minute of the window."


def _measured_s(live: LiveSnapshot, state: RunState) -> float:
    """Seconds from the start to the stop, or to the last request of a run that closes without one; else until now."""
    end_ns = state.lifecycle.stopped_ns
    if end_ns is None and (live.closing or live.closed):
        end_ns = max((each.last_end_ns for each in state.ledgers()), default=0)
    started_ns = live.started_ns or live.now_ns
    return max(0, (end_ns or live.now_ns) - started_ns) / NS_PER_S


def _marks(state: RunState, begin: int) -> list[EventMark]:
    events = sorted((event for event in state.recent_events if event.kind in MARKED), key=lambda event: event.at_ns)
    return [
        EventMark(t=event.at_ns // NS_PER_S - begin, kind=event_name(event.kind), text=event_words(event.payload))
        for event in events
    ]


def _tiles(live: LiveSnapshot) -> list[Tile]:
    latencies = {"p50 ms": live.p50_ms, "p95 ms": live.p95_ms, "p99 ms": live.p99_ms}
    requests = live.ledger.produced if live.ledger else live.requests
    return [
        Tile(title="users", kind="count", value=live.users, of=str(live.target_users), scope=_NOW),
        Tile(title="requests/s", kind="number", value=live.rps, scope=_RECENT),
        Tile(title="failed", kind="percent", value=100 * live.failure_share if live.rps else None, scope=_RECENT),
        *(
            Tile(title=title, kind="number", value=value if live.rps else None, scope=_RECENT)
            for title, value in latencies.items()
        ),
        *_open_tiles(live),
        Tile(title="requests", kind="count", value=requests, scope=OF_RUN),
        Tile(title="workers", kind="count", value=live.workers, scope=_NOW),
    ]


def _open_tiles(live: LiveSnapshot) -> list[Tile]:
    """What there is to tell under the open model only."""
    arrivals = live.arrivals
    if arrivals is None:
        return []
    service_p95_ms, planned = live.service_p95_ms if live.rps else None, f"{arrivals.planned:,}"
    return [
        Tile(title="service p95 ms", kind="number", value=service_p95_ms, scope=_RECENT),
        Tile(title="arrivals/s", kind="number", value=live.sent_rps, of=_rate(live.planned_rps), scope=_RECENT),
        Tile(title="arrivals not sent", kind="count", value=arrivals.not_sent, of=planned, scope=OF_RUN),
        Tile(title="lateness p99 ms", kind="number", value=live.lateness_p99_ms, scope=_RECENT),
    ]


def _rate(per_s: float | None) -> str | None:
    """As the page writes numbers: without decimals from a thousand on."""
    return None if per_s is None else f"{per_s:,.0f}" if per_s >= _THOUSAND else f"{per_s:,.1f}"


def _notes(live: LiveSnapshot, state: RunState) -> list[str]:
    """Of what the tiles are, the model, and for how long nobody has been answered, if that is long."""
    model = CLOSED_MODEL if live.arrivals is None else OPEN_MODEL
    notes = ["Rate, failures and latencies are of the last ten full seconds, requests of the whole run", model]
    newest_ns = max((each.last_end_ns for each in state.ledgers()), default=0)
    silent_s = (live.now_ns - newest_ns) / NS_PER_S if newest_ns else 0.0
    if live.users and live.phase in {"ramping up", "running"} and silent_s >= _SILENT_S:
        notes.append(f"Nobody has been answered for {silent_s:.0f} s, with {live.users} users running")
    return notes


def _trouble(trouble: Trouble, now_ns: int) -> str:
    since_s = max(0, now_ns - trouble.since_ns) // (10 * NS_PER_S) * 10
    text = trouble.text.rstrip(".")
    return f"{trouble.part}: {text} " + (f"(for {since_s} s)" if since_s else "(just now)")


def _names(state: RunState, live: LiveSnapshot) -> list[NameRow]:
    seconds = max(1.0, _measured_s(live, state))
    is_open = live.arrivals is not None

    def row(label: str, rollup: Rollup) -> NameRow:
        values_us = (rollup.mean_us, *rollup.percentiles_us(_PERCENTS), rollup.rt_max_us)
        latencies = [us / 1000 if rollup.timed else None for us in values_us]
        latencies.append(rollup.by_service.percentile_us(95) / 1000 if is_open and rollup.timed else None)
        return NameRow(label, rollup.n, rollup.err, 100 * rollup.err_ratio, rollup.n / seconds, *latencies)

    rows = [row(state.names[name_id].label, rollup) for name_id, rollup in state.totals.items()]
    rows.sort(key=lambda row: (-row.requests, row.label))
    if not rows:
        return []
    total = merged(state.totals.values())
    return [row("all requests", total), *([row(SERVICE_TIMES, total.by_service)] if is_open else []), *rows]


def _place(usage: LiveUsage) -> tuple[bool, str, str]:
    """Those of the target come first; none changes its place while it is read."""
    return (usage.service != TARGET, usage.service, usage.container)


def _usage(usage: LiveUsage) -> UsageRow:
    return UsageRow(
        container_label(usage.service, usage.container),
        usage.cpu_cores,
        usage.cpu_limit,
        usage.throttled_pct,
        usage.mem_bytes,
        usage.mem_limit,
        usage.oom,
    )


def _worker(incarnation: IncarnationState, now_ns: int) -> WorkerRow:
    ledger, newest = incarnation.ledger, incarnation.newest
    unknown = ledger.unknown(now_ns) if ledger.is_lost else None  # what a running worker holds is not lost
    numbers = (ledger.produced, ledger.stored, ledger.dropped, unknown)
    if newest is None:
        return WorkerRow(str(ledger.worker), _worker_state(ledger), *NO_HEALTH, *numbers)
    lag_us = percentile_of(newest.loop_lag_us, 99)
    health = (
        newest.cpu_pct,
        None if lag_us is None else lag_us / 1000,
        newest.longest_stall_ms,
        newest.throttled_us / 1000,
        newest.clock_offset_ms,
        *(newest.host_busy_pct, newest.host_stolen_pct, newest.host_waiting_pct),
    )
    return WorkerRow(str(ledger.worker), _worker_state(ledger), *health, *numbers)


def _worker_state(ledger: IncarnationLedger) -> str:
    if ledger.final:
        return "ended"
    return "lost" if ledger.is_lost else "running"


def _ledger(ledger: LiveLedger, state: RunState, now_ns: int) -> LedgerRow:
    lost = sum(each.unknown(now_ns) for each in state.ledgers() if each.is_lost)
    balances = "yes" if ledger.balances else "no"
    return LedgerRow("archive", ledger.produced, ledger.stored, ledger.dropped, lost, balances)


class LivePoints:
    """The points of one run. Every change has a ``number``: a page asks for the changes after the last one it has.

    ``begin``: second since 1970 from which points count; None before the run has one.
    """

    def __init__(self) -> None:
        self.begin: int | None = None
        self.number = 0
        self._points: dict[int, tuple[int, Point]] = {}
        self._prints: dict[int, tuple[int, ...]] = {}
        self._users: dict[int, dict[str, int]] = {}
        self._usage: dict[int, dict[str, dict[str, float | None]]] = {}
        self._own: dict[int, str] = {}
        self._containers: list[str] = []

    def update(self, state: RunState) -> None:
        """Take in what is new."""
        self._note(state)
        started_ns = state.lifecycle.started_ns
        first = min(state.open_seconds, default=None)
        if self.begin is None and (started_ns or first):
            self.begin = started_ns // NS_PER_S if started_ns else first
        if self.begin is None:
            return
        end = state.watermark_second()
        for second in range(max(self.begin, end - KEPT_S, first or 0), end):
            self._update_second(state, second, state.open_seconds.get(second, {}))
        self._forget(end - KEPT_S)

    def since(self, number: int) -> list[tuple[int, Point]]:
        """Points that changed after ``number``: seconds since ``begin``, and chart to label to value."""
        begin = self.begin or 0
        return [(second - begin, point) for second, (at, point) in sorted(self._points.items()) if at > number]

    @property
    def oldest(self) -> int:
        """The first second, since ``begin``, that a page keeps. After a restart these points may begin later."""
        return max(self._points) - KEPT_S - (self.begin or 0) if self._points else 0

    def _note(self, state: RunState) -> None:
        lifecycle = state.lifecycle
        self._users[lifecycle.newest_ns // NS_PER_S] = {"users": lifecycle.users, TARGET_USERS: lifecycle.target_users}
        rows: dict[int, list[Usage]] = {}
        for at_ns, usage in state.usage.values():
            rows.setdefault(at_ns // NS_PER_S, []).append(usage)
        for second, found in rows.items():
            admit(self._containers, found)
            self._usage[second] = usage_point(found, self._containers)

    def _update_second(self, state: RunState, second: int, rollups: Mapping[int, Rollup]) -> None:
        users = self._users.get(second) or self._users_before(second)
        usage = self._usage.get(second, {})
        sums = [(rollup.n, rollup.err, rollup.rt_sum_us) for rollup in rollups.values()]
        print_ = (*map(sum, zip(*sums, strict=True)), *users.values(), len(usage))
        if self._prints.get(second) == print_:
            return
        self.number += 1
        self._prints[second] = print_
        self._points[second] = (self.number, {"users": users, **usage, **self._requests(state, rollups)})

    def _users_before(self, second: int) -> dict[str, int]:
        earlier = [at for at in self._users if at <= second]
        return self._users[max(earlier)] if earlier else {}

    def _requests(self, state: RunState, rollups: Mapping[int, Rollup]) -> Point:
        total = merged(rollups.values())
        rate = {"requests": total.n, "failures": total.err}
        if not total.n:
            return {"rate": rate}
        by_label = self._by_label(state, rollups)
        return {
            "rate": rate,
            **({"latency": _latency(total, open_model=state.arrivals is not None)} if total.timed else {}),
            "failures": {"failed": round(100 * total.err_ratio, 8)},
            "names_rate": {label: rollup.n for label, rollup in by_label.items()},
            "names_p95": {label: rollup.percentile_us(95) / 1000 for label, rollup in by_label.items() if rollup.timed},
            "heat": heat_rows(total.histogram.counts),
        }

    def _by_label(self, state: RunState, rollups: Mapping[int, Rollup]) -> dict[str, Rollup]:
        """The first names of a run keep a series of their own; all further ones share one."""
        found: dict[str, list[Rollup]] = {}
        for name_id, rollup in rollups.items():
            if name_id not in self._own and len(self._own) < MOST_SERIES - 1:
                self._own[name_id] = state.names[name_id].label
            found.setdefault(self._own.get(name_id, OTHER_NAMES), []).append(rollup)
        return {label: merged(parts) for label, parts in found.items()}

    def _forget(self, before: int) -> None:
        for kept in (self._points, self._prints, self._users, self._usage):
            for second in [second for second in kept if second < before]:
                del kept[second]


def _latency(rollup: Rollup, *, open_model: bool) -> dict[str, float]:
    values_us = (rollup.mean_us, *rollup.percentiles_us(LATENCY_PERCENTS.values()), rollup.rt_max_us)
    times = {name: us / 1000 for name, us in zip((MEAN, *LATENCY_PERCENTS, "max"), values_us, strict=True)}
    return {**times, SERVICE_P95: rollup.by_service.percentile_us(95) / 1000} if open_model else times
