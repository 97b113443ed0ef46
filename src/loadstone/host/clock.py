"""The clock of this machine. Programs pass it down; only tests use another one."""

from __future__ import annotations

import time
from typing import Final

from loadstone.domain.time import Clock

__all__ = ["SYSTEM_CLOCK"]

SYSTEM_CLOCK: Final = Clock(now_ns=time.time_ns, monotonic_s=time.monotonic)
