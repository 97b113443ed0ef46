"""What ends a run: the functions on the stack of whoever stops Locust's runner tell it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import locust
from locust.main import main
from locust.runners import MasterRunner, Runner, locust_exception_handler
from locust.web import WebUI

from loadstone.domain.ending import WORKERS_QUIT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

__all__ = ["who_stops"]

_KNOWN: Final[Mapping[tuple[str, str], str]] = {
    (Runner.shape_worker.__code__.co_filename, Runner.shape_worker.__name__): "load shape",
    (MasterRunner.heartbeat_worker.__code__.co_filename, MasterRunner.heartbeat_worker.__name__): "lost workers",
    (MasterRunner.client_listener.__code__.co_filename, MasterRunner.client_listener.__name__): WORKERS_QUIT,
    (locust_exception_handler.__code__.co_filename, "handler"): "scenario",  # a task raised StopTest
    (main.__code__.co_filename, "stop_and_optionally_quit"): "run time",
    (main.__code__.co_filename, "shutdown"): "signal",
    (WebUI.__init__.__code__.co_filename, "stop"): "web UI",
}
"""File and name of a function, and what it means that it stops the runner."""
_STOPPING: Final = frozenset({"quit", "stop", "quit_after_stop"})
"""Functions that nothing but a scenario starts in a greenlet of their own, as with ``gevent.spawn(runner.quit)``."""
_OF_THE_PLATFORM: Final = tuple(f"{Path(file).parent}{os.sep}" for file in (locust.__file__, __file__))


def who_stops(frame: FrameType | None) -> str | None:
    """What ended the run, given the innermost frame of whoever stops it; None where that cannot be told."""
    name = ""
    while frame is not None:
        file, name = frame.f_code.co_filename, frame.f_code.co_name
        if known := _KNOWN.get((file, name)):
            return known
        if not file.startswith(_OF_THE_PLATFORM):
            return "scenario"
        frame = frame.f_back
    return "scenario" if name in _STOPPING else None
