"""SIGTERM while a load shape runs without a web UI.

Locust waits for the shape before it installs its handler of the signal, which until then would kill the process at
once: workers would lose their master, and its totals and exit code would be lost.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import gevent

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.runners import Runner

__all__ = ["end_shape_on_sigterm"]


def end_shape_on_sigterm(runner: Runner, note: Callable[[], None]) -> None:
    """End the shape, with which Locust ends the run, when SIGTERM arrives; ``note`` is called before."""

    def end() -> None:
        shape = runner.shape_greenlet
        if shape is not None and not shape.dead:
            note()
            shape.kill(block=False)

    gevent.signal_handler(signal.SIGTERM, end)
