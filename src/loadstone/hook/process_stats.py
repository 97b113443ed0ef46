"""How a worker process itself is doing: a load generator that runs out of CPU measures itself, not the target."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import gevent
import psutil

__all__ = ["LoopLag", "ProcessMonitor", "ProcessStats"]

_TICK_S: Final = 0.05
_CPU_STAT: Final = (
    (Path("/sys/fs/cgroup/cpu.stat"), "throttled_usec", 1),  # cgroup v2
    (Path("/sys/fs/cgroup/cpu/cpu.stat"), "throttled_time", 1000),  # cgroup v1, in ns
)


class LoopLag:
    """How late the event loop runs timers: twenty measurements a second, microseconds each."""

    def __init__(self) -> None:
        self._lags_us: list[int] = []

    def watch(self) -> None:
        """Measure for ever; meant for a greenlet of its own."""
        loop = gevent.get_hub().loop
        while True:
            loop.update_now()  # else the timer counts from when this turn of the loop began, and lag is hidden
            due = time.perf_counter() + _TICK_S
            gevent.sleep(_TICK_S)
            self._lags_us.append(max(0, int((time.perf_counter() - due) * 1e6)))

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
    """Reads the process_stats of the process it is made in."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._read_at = (time.perf_counter_ns(), time.process_time_ns())
        self._throttled_source = next((s for s in _CPU_STAT if s[0].exists()), None)
        self._throttled_before_us = self._throttled_us()

    def read(self) -> ProcessStats:
        """The process_stats now."""
        now = (time.perf_counter_ns(), time.process_time_ns())
        wall, cpu = now[0] - self._read_at[0], now[1] - self._read_at[1]
        self._read_at = now
        return ProcessStats(
            cpu_pct=round(100 * cpu / wall, 1) if wall > 0 else 0.0,
            rss_bytes=self._process.memory_info().rss,
            throttled_us=self._throttled_us() - self._throttled_before_us,
        )

    def _throttled_us(self) -> int:
        if self._throttled_source is None:
            return 0
        file, key, per_us = self._throttled_source
        try:
            pairs = dict(line.split() for line in file.read_text().splitlines())
        except (OSError, ValueError):
            return 0
        return int(pairs.get(key, 0)) // per_us
