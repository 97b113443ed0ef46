"""The lines of single requests, workers, containers and events; see docs/reference/measurements.md for their fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from msgspec import to_builtins

from loadstone.domain.batch import NO_INTENT, UNTIMED
from loadstone.domain.rollup import response_us
from loadstone.influx.line_protocol import FieldValue, point, quoted, tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from loadstone.domain.batch import Batch
    from loadstone.domain.event import Event
    from loadstone.domain.lateness import Lateness
    from loadstone.domain.ledger import IncarnationLedger
    from loadstone.domain.request_name import RequestName
    from loadstone.domain.usage_tick import Balance, Usage

__all__ = [
    "MEASUREMENT",
    "Slow",
    "balancer_line",
    "container_line",
    "errors_line",
    "event_line",
    "request_lines",
    "slow_line",
    "worker_line",
]

MEASUREMENT: Final = "request"
"""Raw requests, one point each."""

_PERCENT: Final = 100


class Slow(NamedTuple):
    """One slow request; the longest sorts last."""

    duration_us: int
    end_ns: int
    worker: int
    name: int
    status: int
    error: str | None


def request_lines(batch: Batch, names: Sequence[RequestName]) -> list[str]:
    """One line per sample, in the order of the batch. ``names`` are those to write for ``batch.names``.

    Fields: ``rt_ms`` float and ``ttfb_ms`` float where it is known, ``bytes`` int, ``status`` int, ``error`` text where
    the request failed; under the open model ``service_ms`` float too, and ``late_ms`` float where the request is the
    first of an iteration. The timestamp is the end of the request.
    """
    # One prefix per name and outcome: what is left to format for a sample costs about a microsecond.
    passed = [_series(batch, name, "t") for name in names]
    failed = [_series(batch, name, "f") for name in names]
    errors = [f",error={quoted(text)}" for text in batch.errors]
    columns = batch.columns
    rows = zip(
        columns.end_ns.tolist(),
        (_response_us(batch) / 1000).tolist(),
        (columns.ttfb_us / 1000).tolist(),
        columns.bytes.tolist(),
        columns.status.tolist(),
        columns.name.tolist(),
        columns.error.tolist(),
        strict=True,
    )
    lines = [
        f"{passed[name] if error < 0 else failed[name]}{rt_ms}{'' if ttfb_ms < 0 else f',ttfb_ms={ttfb_ms}'}"
        f",bytes={size}i,status={status}i{'' if error < 0 else errors[error]} {end_ns}"
        for end_ns, rt_ms, ttfb_ms, size, status, name, error in rows
    ]
    for row in np.flatnonzero(columns.duration_us == UNTIMED).tolist():
        lines[row] = lines[row].replace(" rt_ms=-0.001,", " ", 1)  # spaces in tags are escaped: this is the field
    return _with_service(batch, lines) if batch.is_open else lines


def _response_us(batch: Batch) -> NDArray[np.int64]:
    columns = batch.columns
    return response_us(columns.duration_us, columns.late_us) if batch.is_open else columns.duration_us


def _with_service(batch: Batch, lines: Iterable[str]) -> list[str]:
    """The lines with service times and lateness, where there are any, as their last fields."""
    columns, found = batch.columns, []
    for line, service_us, late_us in zip(lines, columns.duration_us.tolist(), columns.late_us.tolist(), strict=True):
        fields, _, time = line.rpartition(" ")
        service = "" if service_us == UNTIMED else f",service_ms={service_us / 1000}"
        late = "" if late_us == NO_INTENT else f",late_ms={late_us / 1000}"
        found.append(f"{fields}{service}{late} {time}")
    return found


def _series(batch: Batch, name: RequestName, ok: str) -> str:
    series = tags({"run": batch.run, "worker": batch.worker, "method": name.method, "name": name.name, "ok": ok})
    return f"{MEASUREMENT}{series} rt_ms="


def worker_line(batch: Batch, ledger: IncarnationLedger, lag_s: float, lateness: Lateness) -> str:
    """The state of one worker, and under the open model its arrivals.

    ``lag_s`` is the time from packing the batch to its arrival in the stream, ``lateness`` that of the iterations since
    the line before.
    """
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
        "longest_stall_ms": batch.longest_stall_ms,
        "host_busy_pct": batch.host_busy_pct,
        "host_stolen_pct": batch.host_stolen_pct,
        "host_waiting_pct": batch.host_waiting_pct,
    }
    if batch.arrivals is not None:
        fields |= {f"arrivals_{name}": count for name, count in batch.arrivals._asdict().items()}
        fields |= {"lateness_p99_ms": lateness.p99_ms, "lateness_max_ms": lateness.max_ms}
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


def errors_line(run: str, name: RequestName, kind: str, found: tuple[int, int, str], at_ns: int) -> str:
    """Errors of one kind in one second: ``found`` is how many, and the status and text of the first one."""
    n, status, sample = found
    series = "errors" + tags({"run": run, "name": name.name, "method": name.method, "kind": kind})
    return point(series, {"n": n, "status": status, "sample": sample}, at_ns)


def slow_line(run: str, name: RequestName, slow: Slow) -> str:
    """One of the slowest requests of its ten seconds, at the end of the request."""
    fields: dict[str, FieldValue] = {
        "rt_ms": slow.duration_us / 1000,
        "status": slow.status,
        "error": slow.error,
    }
    series = "slow" + tags({"run": run, "name": name.name, "method": name.method, "worker": slow.worker})
    return point(series, fields, slow.end_ns)


def event_line(event: Event, at_ns: int) -> str:
    """One event; its data as text, nested values left out."""
    facts = (f"{key}={value}" for key, value in to_builtins(event.payload).items() if _is_plain(value))
    text = ", ".join(facts) or str(event.kind)
    return point("run_event" + tags({"run": event.run, "kind": event.kind}), {"text": text}, at_ns)


def _is_plain(value: Any) -> bool:
    return value is not None and value != "" and isinstance(value, str | int | float)


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def _share(used: float, limit: float | None) -> float | None:
    return _PERCENT * used / limit if limit else None
