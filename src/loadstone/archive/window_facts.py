"""What workers and services did in the window, gathered from batches and usage ticks in one pass."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loadstone.domain.facts import ServiceUsage, WorkerFacts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadstone.domain.batch import Batch
    from loadstone.domain.event import Usage, UsageTick
    from loadstone.domain.window import Window

__all__ = ["ServicesInWindow", "WorkersInWindow"]


@dataclass(slots=True)
class _Worker:
    lags_us: Counter[int] = field(default_factory=Counter)
    throttled_before_us: dict[str, int] = field(default_factory=dict)
    throttled_after_us: dict[str, int] = field(default_factory=dict)
    cpu_pct_sum: float = 0.0
    batches: int = 0
    offset_ms_sum: float = 0.0
    offsets: int = 0


class WorkersInWindow:
    """Gathers how workers did; a batch belongs to the window if it was made in it."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._workers: dict[int, _Worker] = {}

    def take(self, batch: Batch) -> None:
        """Take in one batch that was not taken in before."""
        worker = self._workers.setdefault(batch.worker, _Worker())
        if batch.sent_ns < self._window.start_ns:
            _raise_to(worker.throttled_before_us, batch)
        elif batch.sent_ns in self._window:
            _raise_to(worker.throttled_after_us, batch)
            worker.lags_us.update(batch.loop_lag_us)
            worker.cpu_pct_sum += batch.cpu_pct
            worker.batches += 1
        if batch.clock_offset_ms is not None and _rightly_sent_ns(batch.sent_ns, batch.clock_offset_ms) in self._window:
            worker.offset_ms_sum += batch.clock_offset_ms
            worker.offsets += 1

    def facts(self) -> tuple[WorkerFacts, ...]:
        """One record per worker, ascending."""
        return tuple(_worker_facts(number, self._workers[number]) for number in sorted(self._workers))


def _rightly_sent_ns(sent_ns: int, offset_ms: float) -> int:
    """When a batch was made by the stream server's clock: a clock far enough off would put itself out of the window."""
    return sent_ns - round(offset_ms * 1_000_000)


def _raise_to(totals_us: dict[str, int], batch: Batch) -> None:
    totals_us[batch.boot] = max(totals_us.get(batch.boot, 0), batch.throttled_us)


def _worker_facts(number: int, worker: _Worker) -> WorkerFacts:
    throttled_us = sum(
        total - worker.throttled_before_us.get(boot, 0) for boot, total in worker.throttled_after_us.items()
    )
    return WorkerFacts(
        worker=number,
        lag_p99_ms=_nearest_rank(worker.lags_us, 99) / 1000 if worker.lags_us else None,
        throttled_us=throttled_us,
        cpu_pct=worker.cpu_pct_sum / worker.batches if worker.batches else 0.0,
        clock_offset_ms=worker.offset_ms_sum / worker.offsets if worker.offsets else None,
    )


def _nearest_rank(counts: Counter[int], percent: int) -> int:
    rank = -(-percent * counts.total() // 100)
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= rank:
            return value
    return 0


@dataclass(slots=True)
class _Service:
    ticks: int = 0
    cpu_sum: float = 0.0
    cpu_max: float = 0.0
    cpu_limit_sum: float = 0.0
    limited_ticks: int = 0
    mem_max: int = 0
    mem_limit: int | None = None
    mem_pct: float | None = None
    throttled_pct: float | None = None
    oom: int = 0


class ServicesInWindow:
    """Gathers what services used. At each tick the containers of a service are added up."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._services: dict[str, _Service] = {}

    def take(self, tick: UsageTick) -> None:
        """Take in one tick that was not taken in before."""
        if tick.at_ns not in self._window:
            return
        rows: dict[str, list[Usage]] = {}
        for row in tick.rows:
            rows.setdefault(row.service, []).append(row)
        for name, containers in rows.items():
            _add(self._services.setdefault(name, _Service()), containers)

    def facts(self) -> dict[str, ServiceUsage]:
        """One record per service that was seen in the window."""
        return {name: _service_usage(self._services[name]) for name in sorted(self._services)}


def _add(service: _Service, containers: list[Usage]) -> None:
    cores = sum(row.cpu_cores for row in containers)
    service.ticks += 1
    service.cpu_sum += cores
    service.cpu_max = max(service.cpu_max, cores)
    limits = [row.cpu_limit for row in containers if row.cpu_limit]
    if len(limits) == len(containers):
        service.limited_ticks += 1
        service.cpu_limit_sum += sum(limits)
    _add_memory(service, containers)
    service.throttled_pct = _highest(service.throttled_pct, (row.throttled_pct for row in containers))
    service.oom = max(service.oom, sum(row.oom for row in containers))


def _add_memory(service: _Service, containers: list[Usage]) -> None:
    service.mem_max = max(service.mem_max, sum(row.mem_bytes for row in containers))
    limits = [row.mem_limit for row in containers if row.mem_limit]
    if len(limits) == len(containers):
        service.mem_limit = sum(limits)
    shares = (100 * row.mem_bytes / row.mem_limit for row in containers if row.mem_limit)
    service.mem_pct = _highest(service.mem_pct, shares)


def _highest(so_far: float | None, values: Iterable[float | None]) -> float | None:
    return max((value for value in (so_far, *values) if value is not None), default=None)


def _service_usage(service: _Service) -> ServiceUsage:
    limited = service.limited_ticks == service.ticks
    return ServiceUsage(
        ticks=service.ticks,
        cpu_cores=service.cpu_sum / service.ticks,
        cpu_cores_max=service.cpu_max,
        cpu_limit=service.cpu_limit_sum / service.ticks if limited else None,
        mem_bytes=service.mem_max,
        mem_limit=service.mem_limit,
        mem_pct=service.mem_pct,
        throttled_pct=service.throttled_pct,
        oom=service.oom,
    )
