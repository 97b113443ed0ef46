"""Waiting for a command that a rig calls, and ending it with everything it started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ended"]

_LOOK_EVERY_S: Final = 0.1
_GIVES_UP_S: Final = 10.0
"""How long a command that is not wanted any longer may take to end."""


def ended(process: subprocess.Popen[bytes], within_s: float, interrupted: Callable[[], bool]) -> bool:
    """Whether it ended by itself in this time, unless ``interrupted``; it has ended in any case.

    It must have been started in a session of its own, which is ended with it.
    """
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s and not interrupted():
        try:
            process.wait(_LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            continue
        return True
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GIVES_UP_S)
            break
    with suppress(ProcessLookupError):  # children that outlived it
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return False
