"""Live: what is known of a run while it runs, as one JSON object that every view reads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from loadstone.domain.rollup import Rollup
from loadstone.stream.client import live_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis

    from loadstone.archive.fold import RunState

__all__ = ["publish_live", "read_live", "snapshot"]

_KEPT_S: Final = 600
_RECENT_S: Final = 10


def snapshot(state: RunState, *, now_ns: int) -> dict[str, Any]:
    """The newest state of a run: rates and percentiles over the last ten full seconds, totals since its start."""
    second = state.watermark_second()
    recent = _recent(state, second)
    total = _merged(state.totals.values())
    return {
        "run": state.run,
        "launch": state.identity.get("launch"),
        "now_ns": now_ns,
        "started_ns": state.started_ns,
        "ramp_done_ns": state.ramp_done_ns,
        "stopping_ns": state.stopping_ns,
        "users": state.users,
        "target_users": state.target_users,
        "workers": state.workers,
        "requests": total.n,
        "failures": total.err,
        **_rates(recent, second, state),
        "usage": [_usage(row) for row in state.usage.values()],
        "ledger": state.ledger_totals(),
        "closed": False,
    }


def publish_live(client: Redis, run: str, live: dict[str, Any]) -> None:
    """Put a snapshot where `read_live` finds it, for ten minutes."""
    client.set(live_key(run), json.dumps(live), ex=_KEPT_S)


def read_live(client: Redis, launch: str) -> dict[str, Any] | None:
    """The newest snapshot of the run that was started by this launch; None while there is none."""
    found = [json.loads(text) for key in client.scan_iter(match=live_key("*")) if (text := client.get(key))]
    return max((live for live in found if live["launch"] == launch), key=lambda live: str(live["run"]), default=None)


def _recent(state: RunState, second: int | None) -> list[Rollup]:
    if second is None:
        return []
    wanted = range(second - _RECENT_S, second)
    return [rollup for s in wanted for rollup in state.open_seconds.get(s, {}).values()]


def _rates(recent: list[Rollup], second: int | None, state: RunState) -> dict[str, Any]:
    merged = _merged(recent)
    started = (state.started_ns or 0) // 1_000_000_000
    seconds = max(1, min(_RECENT_S, (second or 0) - started))
    p50, p95, p99 = merged.histogram.percentiles_us((50, 95, 99))
    return {
        "rps": merged.n / seconds,
        "failure_share": merged.err / merged.n if merged.n else 0.0,
        "p50_ms": p50 / 1000,
        "p95_ms": p95 / 1000,
        "p99_ms": p99 / 1000,
    }


def _merged(rollups: Iterable[Rollup]) -> Rollup:
    merged = Rollup()
    for rollup in rollups:
        merged.merge(rollup)
    return merged


def _usage(row: Any) -> dict[str, Any]:
    return {
        name: getattr(row, name)
        for name in ("service", "container", "cpu_cores", "cpu_limit", "mem_bytes", "mem_limit")
    }
