"""PreciseAlarm: calls a function at a moment, to a tenth of a millisecond.

The timers of gevent's loop end up to a millisecond late, because epoll counts in milliseconds. That would be part of
response times even where arrivals are rare. A timer of Linux's own (timerfd) is a file that becomes readable when it is
time; elsewhere, and where none can be had, gevent's timers have to do.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import gevent

from loadstone.domain.time import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PreciseAlarm"]

_CLOCK_MONOTONIC: Final = 1
"""The clock of ``time.perf_counter`` on Linux."""
_ABSOLUTE: Final = 1
_READABLE: Final = 1


class PreciseAlarm:
    """Calls ``ring`` in the loop's own greenlet, where nothing may wait, once for each call of `set`.

    A watcher that stays, and no greenlet that sleeps, because an arrival can be due a thousand times a second.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._loop = gevent.get_hub().loop
        self._spec = (ctypes.c_long * 4)()
        """Linux's ``struct itimerspec``: interval (s, ns), value (s, ns)."""
        self._file, self._set = _opened()
        self._watcher: Any = None
        self.is_open = True
        if self._file is not None:
            self._watcher = self._loop.io(self._file, _READABLE)
            self._watcher.start(ring)

    def set(self, at_ns: int) -> None:
        """Ring at a moment of ``time.perf_counter_ns``, or at once if that is over, and not when it was set to before.

        ``ring`` has to set it again or to close it: until then it rings without end.
        """
        if not self.is_open:
            return
        if self._file is None:
            self._set_timer(at_ns)
            return
        self._spec[2], self._spec[3] = divmod(at_ns, NS_PER_S)
        self._set(self._file, _ABSOLUTE, self._spec, None)

    def close(self) -> None:
        """Ring no more."""
        if not self.is_open:
            return
        self.is_open = False
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
        if self._file is not None:
            os.close(self._file)

    def _set_timer(self, at_ns: int) -> None:
        if self._watcher is not None:
            self._watcher.close()
        self._watcher = self._loop.timer(max(0, at_ns - time.perf_counter_ns()) / NS_PER_S)
        self._watcher.start(self._ring, update=True)


def _opened() -> tuple[int | None, Any]:
    """A timer as a file, and the function that sets it; None where there is none."""
    if not sys.platform.startswith("linux"):
        return None, None
    libc = ctypes.CDLL(None)
    try:
        file = libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    except AttributeError:
        return None, None
    return (file if file >= 0 else None), libc.timerfd_settime
