"""Clock: the two clocks of this machine, handed to whatever waits or measures so that a test can replace both."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SYSTEM_CLOCK", "Clock"]


@dataclass(frozen=True, slots=True)
class Clock:
    """``now_ns`` is the wall clock in ns since 1970 (UTC), ``monotonic_s`` a clock in seconds that never goes back."""

    now_ns: Callable[[], int]
    monotonic_s: Callable[[], float]


SYSTEM_CLOCK: Final = Clock(time.time_ns, time.monotonic)
