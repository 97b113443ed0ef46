"""A worker's sign of life for health checks: it has no port that could be asked."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import gevent

if TYPE_CHECKING:
    from pathlib import Path

    from locust.runners import WorkerRunner

__all__ = ["show_life"]

_EVERY_S: Final = 2.0
_HEARD_WITHIN_S: Final = 7.0
log = logging.getLogger("loadstone.worker")


def show_life(runner: WorkerRunner, file: Path) -> None:
    """Touch the file for ever, as long as the master is heard."""
    while True:
        heard = runner.last_heartbeat_timestamp
        if heard and time.time() - heard < _HEARD_WITHIN_S:
            try:
                file.touch()
            except OSError as error:
                log.error("heartbeat_file=%s error=%r", file, str(error))  # noqa: TRY400  (the cause is enough)
        gevent.sleep(_EVERY_S)
