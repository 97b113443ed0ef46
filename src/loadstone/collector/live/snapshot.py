"""Makes the live snapshot of a run out of its state, and passes it on through Redis."""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from loadstone.collector.live.newest_minute import live_objectives
from loadstone.domain.arrival_rate import RateCurve, parse_stages
from loadstone.domain.live import (
    LiveLedger,
    LiveSecond,
    LiveSnapshot,
    LiveStage,
    LiveUsage,
    decode_live,
    encode_live,
)
from loadstone.domain.rollup import merged
from loadstone.domain.time import NS_PER_S
from loadstone.errors import LoadstoneError
from loadstone.stream import keys

if TYPE_CHECKING:
    from redis import Redis

    from loadstone.archive.run_state import RunState
    from loadstone.domain.rollup import Rollup
    from loadstone.domain.usage_tick import Usage

__all__ = ["all_closed", "latest_live", "publish_live", "read_live", "snapshot"]

_KEPT_S: Final = 600
_RECENT_S: Final = 10


def snapshot(run: str, state: RunState, *, now_ns: int, closing: bool = False) -> LiveSnapshot:
    """The newest state of a run; ``closing`` says that its files are being made."""
    lifecycle, seconds = state.lifecycle, _recent(state)
    recent = merged(seconds.values())
    p50_us, p95_us, p99_us = recent.percentiles_us((50, 95, 99))
    arrivals = state.arrivals
    return LiveSnapshot(
        run=run,
        now_ns=now_ns,
        launch=lifecycle.identity.launch,
        host=lifecycle.identity.host,
        started_ns=lifecycle.started_ns,
        ramp_done_ns=lifecycle.ramp_done_ns,
        stopping_ns=lifecycle.stopping_ns,
        interrupted=lifecycle.interrupted,
        target_exited=lifecycle.target_exited is not None,
        exited=lifecycle.exit_observed is not None,
        users=lifecycle.users,
        target_users=lifecycle.target_users,
        workers=lifecycle.workers,
        requests=sum(rollup.n for rollup in state.totals.values()),
        failures=sum(rollup.err for rollup in state.totals.values()),
        rps=recent.n / max(1, len(seconds)),
        failure_share=recent.err_ratio,
        p50_ms=p50_us / 1000,
        p95_ms=p95_us / 1000,
        p99_ms=p99_us / 1000,
        service_p95_ms=None if arrivals is None else recent.by_service.percentile_us(95) / 1000,
        arrivals=arrivals,
        **(state.recent_arrivals._asdict() if state.recent_arrivals else {}),
        open_model=bool(lifecycle.identity.rate),
        stage=_stage(state, now_ns),
        warmup_s=lifecycle.identity.warmup_s,
        seconds=tuple(_second(at, rollup) for at, rollup in seconds.items()),
        objectives=tuple(live_objectives(state)),
        usage=tuple(_usage(usage, state.oom[key]) for key, (_, usage) in state.usage.items()),
        ledger=LiveLedger(**asdict(state.ledger(now_ns))),
        closing=closing or lifecycle.stopped_ns is not None,
        troubles=state.usage_troubles(now_ns),
    )


def publish_live(client: Redis, live: LiveSnapshot) -> None:
    """Put a snapshot where `read_live` finds it, for ten minutes."""
    client.set(keys.live(live.run), encode_live(live), ex=_KEPT_S)


def read_live(client: Redis, launch: str) -> LiveSnapshot | None:
    """The newest snapshot of the run that was started by this launch; None while there is none."""
    return max(_of_launch(client, launch), key=lambda live: live.run, default=None)


def latest_live(client: Redis, run: str) -> LiveSnapshot | None:
    """The newest snapshot of a run; None when there is none any more."""
    text: bytes | None = client.get(keys.live(run))  # type: ignore[assignment]
    return decode_live(text) if text else None


def all_closed(client: Redis, launch: str) -> bool:
    """Whether every run that was started by this launch is closed: an earlier one may take longer than the newest."""
    return all(live.closed for live in _of_launch(client, launch))


def _of_launch(client: Redis, launch: str) -> list[LiveSnapshot]:
    found = [decode_live(text) for key in client.scan_iter(match=keys.live("*")) if (text := client.get(key))]
    return [live for live in found if live.launch == launch]


def _recent(state: RunState) -> dict[int, Rollup]:
    """All requests of each of the last ten full seconds, the oldest first; fewer at the start of a run."""
    end = state.watermark_second()
    begin = max(end - _RECENT_S, (state.lifecycle.started_ns or 0) // NS_PER_S)
    return {second: merged(state.open_seconds.get(second, {}).values()) for second in range(begin, end)}


def _second(at: int, rollup: Rollup) -> LiveSecond:
    p95_ms = rollup.percentile_us(95) / 1000 if rollup.timed else None
    return LiveSecond(at=at, requests=rollup.n, p95_ms=p95_ms)


def _stage(state: RunState, now_ns: int) -> LiveStage | None:
    """The stage of the rate that is due; the last one for as long as its rate holds."""
    lifecycle = state.lifecycle
    if lifecycle.ramp_done_ns is None or not (curve := _curve(lifecycle.identity.rate)):
        return None
    elapsed_s = ((lifecycle.stopping_ns or now_ns) - lifecycle.ramp_done_ns) / NS_PER_S
    number, of = curve.stage_number(elapsed_s), len(lifecycle.identity.rate)
    return LiveStage(number=min(number, of), of=of, text=lifecycle.identity.rate[min(number, of) - 1])


@lru_cache(maxsize=8)
def _curve(rate: tuple[str, ...]) -> RateCurve | None:
    """The curve of these stages; None without any, and for what another version of the master may call a stage."""
    try:
        return RateCurve(parse_stages(rate)) if rate else None
    except LoadstoneError:
        return None


def _usage(usage: Usage, oom: int) -> LiveUsage:
    return replace(msgspec.convert(usage, LiveUsage, from_attributes=True), oom=oom)
