"""Waiting for a command that a rig calls, and ending it with everything it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ended"]

_LOOK_EVERY_S: Final = 0.1
_ENDS_WITHIN_S: Final = 5.0
_LOOK_AT_GROUP_EVERY_S: Final = 0.02


def ended(process: subprocess.Popen[bytes], within_s: float, interrupted: Callable[[], bool]) -> bool:
    """Whether it ended by itself in this time, unless ``interrupted``; it has ended in any case.

    It must have been started in a session of its own, which is ended with it.
    """
    in_time = False
    try:
        in_time = _await_end(process, within_s, interrupted)
    finally:
        if not in_time:
            _end(process)
    return in_time


def _await_end(process: subprocess.Popen[bytes], within_s: float, interrupted: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + within_s
    while not interrupted() and (left_s := deadline_s - time.monotonic()) > 0:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(min(_LOOK_EVERY_S, left_s))
            return True
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let it and its children end in order, then kill what is left of them."""
    deadline_s = time.monotonic() + _ENDS_WITHIN_S
    with contextlib.suppress(ProcessLookupError):  # nothing is left
        os.killpg(process.pid, signal.SIGTERM)
        while time.monotonic() < deadline_s:
            process.poll()
            os.killpg(process.pid, 0)
            time.sleep(_LOOK_AT_GROUP_EVERY_S)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
