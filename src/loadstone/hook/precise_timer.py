"""PreciseTimer: sleeps until a moment, to a tenth of a millisecond.

The timers of gevent's loop end up to a millisecond late, because epoll counts in milliseconds. That would be part of
every response time. A timer of Linux's own (timerfd) is a file that becomes readable when it is time; elsewhere, and
where none can be had, gevent's timers have to do.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final, Self

import gevent

from loadstone.domain.time import NS_PER_S

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["PreciseTimer"]

_CLOCK_MONOTONIC: Final = 1
"""The clock of ``time.perf_counter`` on Linux."""
_ABSOLUTE: Final = 1
_READABLE: Final = 1


class _Timespec(ctypes.Structure):
    _fields_ = (("s", ctypes.c_long), ("ns", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class PreciseTimer:
    """A context; for one greenlet."""

    def __init__(self) -> None:
        self._hub = gevent.get_hub()
        self._spec = _Itimerspec()
        self._file, self._set = _opened()
        self._watcher: Any = None if self._file is None else self._hub.loop.io(self._file, _READABLE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._file is not None:
            self._watcher.close()
            os.close(self._file)

    def sleep_until(self, until_ns: int) -> None:
        """Sleep until a moment of ``time.perf_counter_ns``. It may end early, as every sleep may."""
        if self._file is None:
            gevent.sleep(max(0, until_ns - time.perf_counter_ns()) / NS_PER_S)
            return
        self._spec.value.s, self._spec.value.ns = divmod(until_ns, NS_PER_S)
        self._set(self._file, _ABSOLUTE, ctypes.byref(self._spec), None)
        self._hub.wait(self._watcher)


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
