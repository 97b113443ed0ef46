"""Live: what is known of a run while it runs, as one JSON object that every view reads."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from loadstone.domain.rollup import merged
from loadstone.stream.client import live_key

if TYPE_CHECKING:
    from redis import Redis

    from loadstone.archive.run_state import RunState

__all__ = ["publish_live", "read_live", "snapshot"]

_KEPT_S: Final = 600
_RECENT_S: Final = 10
_NS: Final = 1_000_000_000


def snapshot(run: str, state: RunState, *, now_ns: int, closing: bool = False) -> dict[str, Any]:
    """The newest state of a run: rates and percentiles over the last ten full seconds, totals since its start."""
    lifecycle, total = state.lifecycle, merged(state.totals.values())
    return {
        "run": run,
        "launch": lifecycle.identity.get("launch"),
        "now_ns": now_ns,
        "started_ns": lifecycle.started_ns,
        "ramp_done_ns": lifecycle.ramp_done_ns,
        "stopping_ns": lifecycle.stopping_ns,
        "interrupted": lifecycle.interrupted,
        "target_exited": lifecycle.target_exited is not None,
        "users": lifecycle.users,
        "target_users": lifecycle.target_users,
        "workers": lifecycle.workers,
        "requests": total.n,
        "failures": total.err,
        **_rates(state),
        "usage": [_usage(row) for _, row in state.usage.values()],
        "ledger": asdict(state.ledger(now_ns)),
        "closing": closing,
        "closed": False,
    }


def publish_live(client: Redis, run: str, live: dict[str, Any]) -> None:
    """Put a snapshot where `read_live` finds it, for ten minutes."""
    client.set(live_key(run), json.dumps(live), ex=_KEPT_S)


def read_live(client: Redis, launch: str) -> dict[str, Any] | None:
    """The newest snapshot of the run that was started by this launch; None while there is none."""
    found = [json.loads(text) for key in client.scan_iter(match=live_key("*")) if (text := client.get(key))]
    return max((live for live in found if live["launch"] == launch), key=lambda live: str(live["run"]), default=None)


def _rates(state: RunState) -> dict[str, Any]:
    end = state.watermark_second()
    begin = max(end - _RECENT_S, (state.lifecycle.started_ns or 0) // _NS)
    recent = merged(rollup for second in range(begin, end) for rollup in state.open_seconds.get(second, {}).values())
    p50, p95, p99 = recent.percentiles_us((50, 95, 99))
    return {
        "rps": recent.n / max(1, end - begin),
        "failure_share": recent.err_ratio,
        "p50_ms": p50 / 1000,
        "p95_ms": p95 / 1000,
        "p99_ms": p99 / 1000,
    }


def _usage(row: Any) -> dict[str, Any]:
    return {
        name: getattr(row, name)
        for name in ("service", "container", "cpu_cores", "cpu_limit", "mem_bytes", "mem_limit")
    }
