"""How a worker process itself is doing: a load generator that runs out of CPU measures itself, not the target."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import gevent
import psutil

from loadstone.domain.limits import MAX_DURATION_US
from loadstone.domain.stall import STALL_US, TICK_US, Stall
from loadstone.domain.time import NS_PER_US, US_PER_S
from loadstone.host.cgroup import cgroup_of
from loadstone.host.clock import suspended_ns

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LoopLag", "ProcessMonitor", "ProcessStats"]

_TICK_S: Final = TICK_US / US_PER_S
_SUSPENSION_US: Final = 10_000
"""The time suspended comes from two clocks that are read one after the other: a smaller difference means nothing."""


class LoopLag:
    """How late the event loop runs timers: twenty measurements a second, microseconds each.

    ``now_ns`` dates the longest ones, the stalls; it is the clock of the worker's samples. ``suspended_ns``: how long
    the machine has been suspended so far, which no other clock of this class shows.
    """

    def __init__(
        self, now_ns: Callable[[], int] = time.time_ns, suspended_ns: Callable[[], int] = suspended_ns
    ) -> None:
        self._now_ns = now_ns
        self._suspended_ns = suspended_ns
        self._lags_us: list[int] = []
        self._stalls: list[Stall] = []

    def watch(self) -> None:
        """Measure forever, in a greenlet of its own."""
        loop = gevent.get_hub().loop
        suspended_us = self._suspended_ns() // NS_PER_US
        while True:
            loop.update_now()  # else the timer counts from the start of this iteration of the loop, which hides lag
            due_s = time.perf_counter() + _TICK_S
            gevent.sleep(_TICK_S)
            lag_us = max(0, int((time.perf_counter() - due_s) * US_PER_S))
            before_us, suspended_us = suspended_us, self._suspended_ns() // NS_PER_US
            self._note(lag_us, suspended_us - before_us)

    def take(self) -> tuple[int, ...]:
        """The measurements since the last call."""
        taken = tuple(self._lags_us)
        self._lags_us.clear()
        return taken

    def take_stalls(self) -> tuple[Stall, ...]:
        """The stalls since the last call."""
        taken = tuple(self._stalls)
        self._stalls.clear()
        return taken

    def _note(self, lag_us: int, suspended_us: int) -> None:
        self._lags_us.append(lag_us)
        if suspended_us < _SUSPENSION_US:
            suspended_us = 0
        if lag_us + suspended_us > STALL_US:
            length_us, suspended_us = (min(each, MAX_DURATION_US) for each in (lag_us + suspended_us, suspended_us))
            self._stalls.append(Stall(self._now_ns(), length_us, suspended_us))


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
