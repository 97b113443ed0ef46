"""Page data of a run that is going on: the same shape as a report's, without its points (see `LivePoints`)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from loadstone.charts.catalogue import label_of
from loadstone.charts.happenings import MARKED, event_name, event_words
from loadstone.charts.usage_series import container_label
from loadstone.domain.facts import RunFacts
from loadstone.domain.objective import parse_objective
from loadstone.domain.rollup import merged
from loadstone.domain.window import Window
from loadstone.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadstone.archive.fold import BootState, RunState
    from loadstone.domain.ledger import BootLedger, Ledger
    from loadstone.domain.objective import ObjectiveResult
    from loadstone.domain.rollup import Rollup

__all__ = ["live_data", "live_objectives"]

_NS: Final = 1_000_000_000
_RECENT_S: Final = 10
_OK_WORDS: Final = {True: "held", False: "missed", None: "not measured"}


def live_data(run: str, state: RunState, *, begin: int, now_ns: int) -> dict[str, Any]:
    """What a live page shows beside its charts. ``begin``: the second since 1970 that is 0:00."""
    about, ledger = state.about, state.ledger(now_ns)
    started = datetime.fromtimestamp((about.started_ns or now_ns) // _NS, UTC)
    return {
        "run": run,
        "state": {"phase": _phase(state), "about": _elapsed(state, now_ns), "reasons": [], "notices": []},
        "started_at": started.isoformat(),
        "window": None,
        "events": [{"t": at, "kind": kind, "text": text} for at, kind, text in _events(state, begin)],
        "tiles": _tiles(state, ledger),
        "tables": {
            "objectives": [
                [each.text, each.value, each.unit, _OK_WORDS[each.ok], each.reason] for each in live_objectives(state)
            ],
            "names": _names(state, now_ns),
            "usage_now": [_usage(row) for _, row in state.usage.values()],
            "workers": [_worker(boot, now_ns) for boot in state.boots.values()],
            "ledger": [_ledger(ledger, _lost(state, now_ns))],
            "events": [list(event) for event in _events(state, begin)],
        },
        "identity": [],
        "links": [],
    }


def live_objectives(state: RunState) -> list[ObjectiveResult]:
    """How the objectives stand in the newest minute, from ramp done on. A verdict looks at the whole window."""
    facts = _recent_facts(state)
    lines = state.about.identity.get("objectives")
    results = []
    for line in lines if isinstance(lines, list) else ():
        try:
            results.append(parse_objective(str(line)).evaluate(facts))
        except UsageError:
            continue  # what cannot be understood is told by the verdict
    return results


def _recent_facts(state: RunState) -> RunFacts:
    end = state.watermark_second()
    about = state.about
    first = -(-((about.ramp_done_ns or about.started_ns or 0) + about.warmup_ns) // _NS)
    seconds = [second for second in state.open_seconds if first <= second < end]
    names: dict[tuple[str, str], Rollup] = {}
    for name_id in {name_id for second in seconds for name_id in state.open_seconds[second]}:
        parts = (state.open_seconds[second].get(name_id) for second in seconds)
        names[state.names[name_id]] = merged(part for part in parts if part)
    window = Window(max(first, min(seconds, default=end)) * _NS, end * _NS)
    return RunFacts(window=window, names=names, total=merged(names.values()), ledger=state.ledger(end * _NS))


def _phase(state: RunState) -> str:
    about = state.about
    if about.stopped_ns:
        return "closing"
    if about.stopping_ns:
        return "stopping"
    return "running" if about.ramp_done_ns else "ramping up"


def _elapsed(state: RunState, now_ns: int) -> str:
    minutes, seconds = divmod(max(0, now_ns - (state.about.started_ns or now_ns)) // _NS, 60)
    host = state.about.identity.get("host") or "its target"
    return f"For {minutes}:{seconds:02d} on {host}. Objectives are of the newest minute, the rest as it stands now."


def _events(state: RunState, begin: int) -> Iterator[tuple[int, str, str]]:
    for event in sorted(state.recent_events, key=lambda event: event.at_ns):
        if event.kind in MARKED:
            yield event.at_ns // _NS - begin, event_name(event.kind), event_words(event.kind, event.data)


def _tiles(state: RunState, ledger: Ledger) -> list[dict[str, Any]]:
    end = state.watermark_second()
    begin = max(end - _RECENT_S, (state.about.started_ns or 0) // _NS)
    recent = merged(rollup for at in range(begin, end) for rollup in state.open_seconds.get(at, {}).values())
    p50, p95, p99 = (us / 1000 if recent.n else None for us in recent.percentiles_us((50, 95, 99)))
    tiles: list[tuple[str, str, Any]] = [
        ("requests/s", "number", recent.n / max(1, end - begin)),
        ("failed", "percent", 100 * recent.err_ratio),
        ("p50 ms", "number", p50),
        ("p95 ms", "number", p95),
        ("p99 ms", "number", p99),
        ("requests", "count", ledger.produced),
        ("workers", "count", state.about.workers),
    ]
    users = {"title": "users", "kind": "count", "value": state.about.users, "of": str(state.about.target_users)}
    return [users, *({"title": title, "kind": kind, "value": value} for title, kind, value in tiles)]


def _names(state: RunState, now_ns: int) -> list[list[Any]]:
    seconds = max(1.0, (now_ns - (state.about.started_ns or now_ns)) / _NS)
    rows = [_name_row(label_of(*state.names[name_id]), rollup, seconds) for name_id, rollup in state.totals.items()]
    rows.sort(key=lambda row: (-row[1], row[0]))
    return [_name_row("all requests", merged(state.totals.values()), seconds), *rows] if rows else []


def _name_row(label: str, rollup: Rollup, seconds: float) -> list[Any]:
    latencies = [us / 1000 for us in (rollup.mean_us, *rollup.percentiles_us((50, 95, 99)), rollup.rt_max_us)]
    return [label, rollup.n, rollup.err, 100 * rollup.err_ratio, rollup.n / seconds, *latencies]


def _usage(usage: Any) -> list[Any]:
    values = (usage.cpu_cores, usage.cpu_limit, usage.throttled_pct, usage.mem_bytes, usage.mem_limit, usage.oom)
    return [container_label(usage.service, usage.container), *values]


def _worker(boot: BootState, now_ns: int) -> list[Any]:
    ledger, newest = boot.ledger, boot.newest
    unknown = ledger.unknown(now_ns) if ledger.is_lost else None  # what a running worker holds is not lost
    numbers = [ledger.produced, ledger.stored, ledger.dropped, unknown]
    if newest is None:
        return [str(ledger.worker), _worker_state(ledger), None, None, None, None, *numbers]
    lags = sorted(newest.loop_lag_us)
    lag_ms = lags[min(len(lags) - 1, round(0.99 * len(lags)))] / 1000 if lags else None
    health = [newest.cpu_pct, lag_ms, newest.throttled_us / 1000, newest.clock_offset_ms]
    return [str(ledger.worker), _worker_state(ledger), *health, *numbers]


def _worker_state(ledger: BootLedger) -> str:
    if ledger.final:
        return "ended"
    return "lost" if ledger.is_lost else "running"


def _lost(state: RunState, now_ns: int) -> int:
    return sum(ledger.unknown(now_ns) for ledger in state.ledgers() if ledger.is_lost)


def _ledger(ledger: Ledger, unknown: int) -> list[Any]:
    numbers = (ledger.produced, ledger.stored, ledger.dropped, unknown)
    return ["archive", *numbers, "yes" if ledger.balances else "no"]
