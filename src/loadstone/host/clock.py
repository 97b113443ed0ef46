"""The clocks of this machine. Programs pass them down; only tests use others."""

from __future__ import annotations

import time
from typing import Final

from loadstone.domain.time import Clock

__all__ = ["SYSTEM_CLOCK", "suspended_ns"]

SYSTEM_CLOCK: Final = Clock(now_ns=time.time_ns, monotonic_s=time.monotonic)
_BOOTTIME: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)
_ATTEMPTS: Final = 3


def suspended_ns() -> int:
    """How long this machine has been suspended since it started, ns: the monotonic clock stands still meanwhile.

    Always 0 where the system has no clock that goes on. Two clocks cannot be read at once, so two results differ by a
    few microseconds although nothing was suspended; by more only if this process was held up in all three attempts.
    """
    if _BOOTTIME is None:
        return 0
    return min(_reading(_BOOTTIME) for _ in range(_ATTEMPTS))[1]


def _reading(boottime: int) -> tuple[int, int]:
    """How exact a reading is, ns, and the reading: the other clock is read before and after."""
    before_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    boot_ns = time.clock_gettime_ns(boottime)
    took_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - before_ns
    return took_ns, boot_ns - before_ns - took_ns // 2
