"""Page data of a run that is going on: the same shape as a report's, without its points (see `LivePoints`)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from loadstone.charts.binned import heat_rows
from loadstone.charts.catalogue import (
    LATENCY_PERCENTS,
    MARKED,
    MOST_SERIES,
    OTHER_NAMES,
    TARGET_USERS,
    event_name,
    event_words,
)
from loadstone.charts.usage_series import container_label, usage_point
from loadstone.domain.facts import RunFacts, Window
from loadstone.domain.objective import Outcome, parse_objective
from loadstone.domain.rollup import Rollup, merged
from loadstone.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from loadstone.archive.run_state import IncarnationState, RunState
    from loadstone.domain.event import Usage
    from loadstone.domain.ledger import IncarnationLedger, Ledger
    from loadstone.domain.objective import ObjectiveResult
    from loadstone.domain.request_name import RequestName
    from loadstone.domain.rollup import Rollup

__all__ = ["KEPT_S", "LivePoints", "live_data", "live_objectives"]

_NS: Final = 1_000_000_000
_RECENT_S: Final = 10


def live_data(run: str, state: RunState, *, begin: int, now_ns: int) -> dict[str, Any]:
    """What a live page shows beside its charts. ``begin``: the second since 1970 that is 0:00."""
    lifecycle, ledger = state.lifecycle, state.ledger(now_ns)
    started = datetime.fromtimestamp((lifecycle.started_ns or now_ns) // _NS, UTC)
    return {
        "run": run,
        "state": {"phase": _phase(state), "about": _elapsed(state, now_ns), "reasons": [], "notices": []},
        "started_at": started.isoformat(),
        "window": None,
        "events": [{"t": at, "kind": kind, "text": text} for at, kind, text in _events(state, begin)],
        "tiles": _tiles(state, ledger),
        "tables": {
            "objectives": [
                [each.text, each.value, each.unit, Outcome.of(each.ok), each.reason] for each in live_objectives(state)
            ],
            "names": _names(state, now_ns),
            "usage_now": [_usage(row) for _, row in state.usage.values()],
            "workers": [_worker(incarnation, now_ns) for incarnation in state.incarnations.values()],
            "ledger": [_ledger(ledger, _lost(state, now_ns))],
            "events": [list(event) for event in _events(state, begin)],
        },
        "identity": [],
        "links": [],
    }


def live_objectives(state: RunState) -> list[ObjectiveResult]:
    """How the objectives stand in the newest minute, from ramp done on. A verdict looks at the whole window."""
    facts = _recent_facts(state)
    results = []
    for line in state.lifecycle.identity.objectives:
        try:
            results.append(parse_objective(line).evaluate(facts))
        except UsageError:
            continue  # what cannot be understood is told by the verdict
    return results


def _recent_facts(state: RunState) -> RunFacts:
    end = state.watermark_second()
    lifecycle = state.lifecycle
    first = -(-((lifecycle.ramp_done_ns or lifecycle.started_ns or 0) + lifecycle.warmup_ns) // _NS)
    seconds = [second for second in state.open_seconds if first <= second < end]
    names: dict[RequestName, Rollup] = {}
    for name_id in {name_id for second in seconds for name_id in state.open_seconds[second]}:
        parts = (state.open_seconds[second].get(name_id) for second in seconds)
        names[state.names[name_id]] = merged(part for part in parts if part)
    window = Window(max(first, min(seconds, default=end)) * _NS, end * _NS)
    return RunFacts(window=window, names=names, total=merged(names.values()), ledger=state.ledger(end * _NS))


def _phase(state: RunState) -> str:
    lifecycle = state.lifecycle
    if lifecycle.stopped_ns:
        return "closing"
    if lifecycle.stopping_ns:
        return "stopping"
    return "running" if lifecycle.ramp_done_ns else "ramping up"


def _elapsed(state: RunState, now_ns: int) -> str:
    minutes, seconds = divmod(max(0, now_ns - (state.lifecycle.started_ns or now_ns)) // _NS, 60)
    host = state.lifecycle.identity.host or "its target"
    return f"For {minutes}:{seconds:02d} on {host}. Objectives are of the newest minute, the rest as it stands now."


def _events(state: RunState, begin: int) -> Iterator[tuple[int, str, str]]:
    for event in sorted(state.recent_events, key=lambda event: event.at_ns):
        if event.kind in MARKED:
            yield event.at_ns // _NS - begin, event_name(event.kind), event_words(event.payload)


def _tiles(state: RunState, ledger: Ledger) -> list[dict[str, Any]]:
    end = state.watermark_second()
    begin = max(end - _RECENT_S, (state.lifecycle.started_ns or 0) // _NS)
    recent = merged(rollup for at in range(begin, end) for rollup in state.open_seconds.get(at, {}).values())
    p50, p95, p99 = (us / 1000 if recent.n else None for us in recent.percentiles_us((50, 95, 99)))
    tiles: list[tuple[str, str, Any]] = [
        ("requests/s", "number", recent.n / max(1, end - begin)),
        ("failed", "percent", 100 * recent.err_ratio),
        ("p50 ms", "number", p50),
        ("p95 ms", "number", p95),
        ("p99 ms", "number", p99),
        ("requests", "count", ledger.produced),
        ("workers", "count", state.lifecycle.workers),
    ]
    users = {"title": "users", "kind": "count", "value": state.lifecycle.users, "of": str(state.lifecycle.target_users)}
    return [users, *({"title": title, "kind": kind, "value": value} for title, kind, value in tiles)]


def _names(state: RunState, now_ns: int) -> list[list[Any]]:
    seconds = max(1.0, (now_ns - (state.lifecycle.started_ns or now_ns)) / _NS)
    rows = [_name_row(state.names[name_id].label, rollup, seconds) for name_id, rollup in state.totals.items()]
    rows.sort(key=lambda row: (-row[1], row[0]))
    return [_name_row("all requests", merged(state.totals.values()), seconds), *rows] if rows else []


def _name_row(label: str, rollup: Rollup, seconds: float) -> list[Any]:
    latencies = [us / 1000 for us in (rollup.mean_us, *rollup.percentiles_us((50, 95, 99)), rollup.rt_max_us)]
    return [label, rollup.n, rollup.err, 100 * rollup.err_ratio, rollup.n / seconds, *latencies]


def _usage(usage: Any) -> list[Any]:
    values = (usage.cpu_cores, usage.cpu_limit, usage.throttled_pct, usage.mem_bytes, usage.mem_limit, usage.oom)
    return [container_label(usage.service, usage.container), *values]


def _worker(incarnation: IncarnationState, now_ns: int) -> list[Any]:
    ledger, newest = incarnation.ledger, incarnation.newest
    unknown = ledger.unknown(now_ns) if ledger.is_lost else None  # what a running worker holds is not lost
    numbers = [ledger.produced, ledger.stored, ledger.dropped, unknown]
    if newest is None:
        return [str(ledger.worker), _worker_state(ledger), None, None, None, None, *numbers]
    lags = sorted(newest.loop_lag_us)
    lag_ms = lags[min(len(lags) - 1, round(0.99 * len(lags)))] / 1000 if lags else None
    health = [newest.cpu_pct, lag_ms, newest.throttled_us / 1000, newest.clock_offset_ms]
    return [str(ledger.worker), _worker_state(ledger), *health, *numbers]


def _worker_state(ledger: IncarnationLedger) -> str:
    if ledger.final:
        return "ended"
    return "lost" if ledger.is_lost else "running"


def _lost(state: RunState, now_ns: int) -> int:
    return sum(ledger.unknown(now_ns) for ledger in state.ledgers() if ledger.is_lost)


def _ledger(ledger: Ledger, unknown: int) -> list[Any]:
    numbers = (ledger.produced, ledger.stored, ledger.dropped, unknown)
    return ["archive", *numbers, "yes" if ledger.balances else "no"]


KEPT_S: Final = 1800
"""Seconds that a live page shows."""


class LivePoints:
    """The points of one run; who saw change ``number`` N asks for what came after it.

    ``begin``: second since 1970 from which points count; None before the run has one.
    """

    def __init__(self) -> None:
        self.begin: int | None = None
        self.number = 0
        self._points: dict[int, tuple[int, dict[str, Any]]] = {}
        self._prints: dict[int, tuple[int, ...]] = {}
        self._users: dict[int, dict[str, int]] = {}
        self._usage: dict[int, dict[str, dict[str, float | None]]] = {}
        self._own: dict[int, str] = {}

    def update(self, state: RunState) -> None:
        """Take in what is new."""
        self._note(state)
        started_ns = state.lifecycle.started_ns
        first = min(state.open_seconds, default=None)
        if self.begin is None and (started_ns or first):
            self.begin = started_ns // _NS if started_ns else first
        if self.begin is None:
            return
        end = state.watermark_second()
        for second in range(max(self.begin, end - KEPT_S, first or 0), end):
            self._update_second(state, second, state.open_seconds.get(second, {}))
        self._forget(end - KEPT_S)

    def since(self, number: int) -> list[tuple[int, dict[str, Any]]]:
        """Points that changed after ``number``: seconds since ``begin``, and chart to label to value."""
        begin = self.begin or 0
        return [(second - begin, point) for second, (at, point) in sorted(self._points.items()) if at > number]

    @property
    def oldest(self) -> int:
        """The first second, since ``begin``, that is still kept."""
        return min(self._points, default=0) - (self.begin or 0) if self._points else 0

    def _note(self, state: RunState) -> None:
        lifecycle = state.lifecycle
        self._users[lifecycle.newest_ns // _NS] = {"users": lifecycle.users, TARGET_USERS: lifecycle.target_users}
        rows: dict[int, list[Usage]] = {}
        for at_ns, usage in state.usage.values():
            rows.setdefault(at_ns // _NS, []).append(usage)
        for second, found in rows.items():
            self._usage[second] = usage_point(found)

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

    def _requests(self, state: RunState, rollups: Mapping[int, Rollup]) -> dict[str, Any]:
        total = merged(rollups.values())
        rate = {"requests": total.n, "failures": total.err}
        if not total.n:
            return {"rate": rate}
        values = total.percentiles_us(LATENCY_PERCENTS.values())
        latency = {name: us / 1000 for name, us in zip(LATENCY_PERCENTS, values, strict=True)}
        by_label = self._by_label(state, rollups)
        return {
            "rate": rate,
            "latency": {**latency, "max": total.rt_max_us / 1000},
            "failures": {"failed": round(100 * total.err_ratio, 4)},
            "names_rate": {label: rollup.n for label, rollup in by_label.items()},
            "names_p95": {label: rollup.percentile_us(95) / 1000 for label, rollup in by_label.items()},
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
