"""The lines of every measurement but ``request``; docs/reference/measurements.md describes their fields."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from msgspec import to_builtins

from loadstone.domain.histogram import bucket_indexes
from loadstone.influx.line_protocol import FieldValue, point, quoted, tags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadstone.domain.batch import Batch
    from loadstone.domain.event import Balance, Event, Usage
    from loadstone.domain.ledger import IncarnationLedger
    from loadstone.domain.rollup import Rollup

__all__ = [
    "ALIGNED_EPOCH_S",
    "MEASUREMENT",
    "Slow",
    "balancer_line",
    "container_line",
    "errors_line",
    "event_line",
    "request_lines",
    "rollup_fields",
    "slow_line",
    "worker_line",
]

ALIGNED_EPOCH_S: Final = 4_102_444_800
"""2100-01-01T00:00:00Z, the t = 0 of ``rollup_aligned``: in the future, so that no retention period refuses it."""

PERCENTS: Final = {"p50": 50, "p75": 75, "p90": 90, "p95": 95, "p99": 99, "p999": 99.9}
LIMITS_MS: Final = (10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000)
_LIMIT_BUCKETS: Final = bucket_indexes(np.array(LIMITS_MS, np.int64) * 1000).tolist()
_NS: Final = 1_000_000_000
_PERCENT: Final = 100


class Slow(NamedTuple):
    """One slow request; the longest sorts last."""

    duration_us: int
    end_ns: int
    worker: int
    name: int
    status: int
    error: str | None


def rollup_fields(rollup: Rollup) -> dict[str, FieldValue]:
    """Counts, sums (ms, bytes), extremes and percentiles (ms), and how many took at most so many ms."""
    counted: dict[str, FieldValue] = {"n": rollup.n, "err": rollup.err, "bytes": rollup.bytes}
    if not rollup.n:
        return counted
    times = {"rt_sum": rollup.rt_sum_us, "rt_min": rollup.rt_min_us, "rt_max": rollup.rt_max_us}
    percentiles = dict(zip(PERCENTS, rollup.percentiles_us(PERCENTS.values()), strict=True))
    in_ms = {key: value / 1000 for key, value in (times | percentiles).items()}
    return {**counted, **in_ms, **_at_most(rollup)}


def worker_line(batch: Batch, ledger: IncarnationLedger, lag_s: float) -> str:
    """How one worker is doing. ``lag_s``: from packing the batch to its arrival in the stream."""
    fields: dict[str, FieldValue] = {
        "users": batch.users,
        "cpu_pct": float(batch.cpu_pct),
        "rss": batch.rss_bytes,
        "loop_lag_ms": batch.loop_lag_p99_ms,
        "new_connections": batch.new_connections,
        "produced": ledger.produced,
        "stored": ledger.stored,
        "dropped": ledger.dropped,
        "buffered": batch.buffered,
        "lag_s": float(lag_s),
    }
    return point("worker" + tags({"run": batch.run, "worker": batch.worker}), fields, batch.sent_ns)


def container_line(run: str, usage: Usage, at_ns: int) -> str:
    """What one container or process used at one tick; shares of limits only where there are limits."""
    fields: dict[str, FieldValue] = {
        "cpu_cores": float(usage.cpu_cores),
        "cpu_limit": _float(usage.cpu_limit),
        "cpu_pct": _share(usage.cpu_cores, usage.cpu_limit),
        "throttled_pct": _float(usage.throttled_pct),
        "mem_bytes": usage.mem_bytes,
        "mem_limit": usage.mem_limit,
        "mem_pct": _share(usage.mem_bytes, usage.mem_limit),
        "rx_bps": _float(usage.rx_bps),
        "tx_bps": _float(usage.tx_bps),
        "oom": usage.oom,
    }
    series = "container" + tags({"run": run, "service": usage.service, "container": usage.container})
    return point(series, fields, at_ns)


def balancer_line(run: str, balance: Balance, at_ns: int) -> str:
    """What a load balancer did for one service since the tick before."""
    fields: dict[str, FieldValue] = {
        "queue": balance.queue,
        "retries": balance.retries,
        "redispatches": balance.redispatches,
        "up": balance.up,
    }
    return point("balancer" + tags({"run": run, "service": balance.service}), fields, at_ns)


def errors_line(run: str, name: tuple[str, str], kind: str, found: tuple[int, int, str], at_ns: int) -> str:
    """Errors of one kind in one second: how many, the first one's status and its text."""
    n, status, sample = found
    series = "errors" + tags({"run": run, "name": name[1], "method": name[0], "kind": kind})
    return point(series, {"n": n, "status": status, "sample": sample}, at_ns)


def slow_line(run: str, name: tuple[str, str], slow: Slow) -> str:
    """One of the slowest requests of its ten seconds, at the end of the request."""
    fields: dict[str, FieldValue] = {
        "rt_ms": slow.duration_us / 1000,
        "status": slow.status,
        "error": slow.error,
    }
    series = "slow" + tags({"run": run, "name": name[1], "method": name[0], "worker": slow.worker})
    return point(series, fields, slow.end_ns)


def event_line(event: Event, at_ns: int) -> str:
    """One event; its data as text, nested values left out."""
    told = (f"{key}={value}" for key, value in to_builtins(event.payload).items() if _is_plain(value))
    text = ", ".join(told) or str(event.kind)
    return point("run_event" + tags({"run": event.run, "kind": event.kind}), {"text": text}, at_ns)


def _at_most(rollup: Rollup) -> dict[str, FieldValue]:
    buckets = sorted(rollup.histogram.counts)
    up_to = [0, *accumulate(rollup.histogram.counts[bucket] for bucket in buckets)]
    pairs = zip(LIMITS_MS, _LIMIT_BUCKETS, strict=True)
    return {f"le_{limit}": up_to[bisect_right(buckets, bucket)] for limit, bucket in pairs}


def _is_plain(value: Any) -> bool:
    return value is not None and value != "" and isinstance(value, str | int | float)


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def _share(used: float, limit: float | None) -> float | None:
    return _PERCENT * used / limit if limit else None


MEASUREMENT: Final = "request"


def request_lines(batch: Batch, names: Sequence[tuple[str, str]]) -> list[str]:
    """One line per sample, in the order of the batch. ``names`` are the (method, name) to write for ``batch.names``.

    Fields: ``rt_ms`` float, ``ttfb_ms`` float where it is known, ``bytes`` int, ``status`` int, ``error`` text where
    the request failed. The timestamp is the end of the request.
    """
    # One prefix per name and outcome: what is left to format for a sample costs about a microsecond.
    passed = [_series(batch, name, "t") for name in names]
    failed = [_series(batch, name, "f") for name in names]
    errors = [f",error={quoted(text)}" for text in batch.errors]
    columns = batch.columns
    rows = zip(
        columns.end_ns.tolist(),
        (columns.duration_us / 1000).tolist(),
        (columns.ttfb_us / 1000).tolist(),
        columns.bytes.tolist(),
        columns.status.tolist(),
        columns.name.tolist(),
        columns.error.tolist(),
        strict=True,
    )
    return [
        f"{passed[name] if error < 0 else failed[name]}{rt_ms}{'' if ttfb_ms < 0 else f',ttfb_ms={ttfb_ms}'}"
        f",bytes={size}i,status={status}i{'' if error < 0 else errors[error]} {end_ns}"
        for end_ns, rt_ms, ttfb_ms, size, status, name, error in rows
    ]


def _series(batch: Batch, name: tuple[str, str], ok: str) -> str:
    method, text = name
    found = tags({"run": batch.run, "worker": batch.worker, "method": method, "name": text, "ok": ok})
    return f"{MEASUREMENT}{found} rt_ms="
