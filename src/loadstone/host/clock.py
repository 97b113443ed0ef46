"""The clocks of this machine. Programs pass them down; only tests use others."""

from __future__ import annotations

import time
from typing import Final

from loadstone.domain.time import Clock

__all__ = ["SYSTEM_CLOCK", "suspended_ns"]

SYSTEM_CLOCK: Final = Clock(now_ns=time.time_ns, monotonic_s=time.monotonic)
_BOOTTIME: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)


def suspended_ns() -> int:
    """How long this machine has been suspended since it started, ns: the monotonic clock stands still meanwhile.

    Always 0 where the system has no clock that goes on.
    """
    if _BOOTTIME is None:
        return 0
    return time.clock_gettime_ns(_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
