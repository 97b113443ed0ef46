"""How a worker process itself is doing: a load generator that runs out of CPU measures itself, not the target."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Final

import gevent
import psutil

from loadstone.domain.time import US_PER_S
from loadstone.host.cgroup import cgroup_of

__all__ = ["LoopLag", "ProcessMonitor", "ProcessStats"]

_TICK_S: Final = 0.05


class LoopLag:
    """How late the event loop runs timers: twenty measurements a second, microseconds each."""

    def __init__(self) -> None:
        self._lags_us: list[int] = []

    def watch(self) -> None:
        """Measure forever, in a greenlet of its own."""
        loop = gevent.get_hub().loop
        while True:
            loop.update_now()  # else the timer counts from the start of this iteration of the loop, which hides lag
            due_s = time.perf_counter() + _TICK_S
            gevent.sleep(_TICK_S)
            self._lags_us.append(max(0, int((time.perf_counter() - due_s) * US_PER_S)))

    def take(self) -> tuple[int, ...]:
        """The measurements since the last call."""
        taken = tuple(self._lags_us)
        self._lags_us.clear()
        return taken


@dataclass(frozen=True, slots=True)
class ProcessStats:
    """CPU of this process since the last reading (percent of one core), memory (bytes), time throttled so far (us)."""

    cpu_pct: float
    rss_bytes: int
    throttled_us: int


class ProcessMonitor:
    """Reads the statistics of the process that it is made in."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._cgroup = cgroup_of(os.getpid())
        self._read_at_ns = (time.perf_counter_ns(), time.process_time_ns())
        self._throttled_before_us = self._throttled_us()

    def read(self) -> ProcessStats:
        """The statistics now."""
        now_ns = (time.perf_counter_ns(), time.process_time_ns())
        wall_ns, cpu_ns = now_ns[0] - self._read_at_ns[0], now_ns[1] - self._read_at_ns[1]
        self._read_at_ns = now_ns
        return ProcessStats(
            cpu_pct=round(100 * cpu_ns / wall_ns, 1) if wall_ns > 0 else 0.0,
            rss_bytes=self._process.memory_info().rss,
            throttled_us=self._throttled_us() - self._throttled_before_us,
        )

    def _throttled_us(self) -> int:
        throttling = self._cgroup.throttling() if self._cgroup else None
        return throttling.throttled_us if throttling else 0
