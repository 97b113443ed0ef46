"""The collector: the Aggregator and the InfluxWriter in one process, or one of the two alone."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from loadstone.collector import aggregator
from loadstone.errors import UsageError
from loadstone.influx.service import serve_writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.settings import CollectorSettings

__all__ = ["serve"]

log = logging.getLogger("loadstone.collector")


def serve(settings: CollectorSettings, stopped: Callable[[], bool]) -> None:
    """Serve what the settings name until ``stopped()``. Raises `UsageError` when they name a writer without InfluxDB.

    When one of the two services fails, the other ends too, and the failure is raised: whoever supervises this process
    starts both again.
    """
    if settings.only == "writer" and settings.influx_url is None:
        raise UsageError("the writer has no InfluxDB to write to", hint="Name it with --influx-url")
    if settings.only == "writer":
        serve_writer(settings, stopped)
    elif settings.only == "aggregator" or settings.influx_url is None:
        aggregator.serve(settings, stopped)
    else:
        _serve_both(settings, stopped)


def _serve_both(settings: CollectorSettings, stopped: Callable[[], bool]) -> None:
    failed: list[BaseException] = []

    def write() -> None:
        try:
            serve_writer(settings, lambda: stopped() or ended.is_set())
        except BaseException as error:  # raised again below, in the thread that can end the process
            failed.append(error)
            log.exception("service=writer state=failed")

    ended = threading.Event()
    writer = threading.Thread(target=write, name="writer")
    writer.start()
    try:
        aggregator.serve(settings, lambda: stopped() or bool(failed))
    finally:
        ended.set()
        writer.join()
    if failed:
        raise failed[0]
