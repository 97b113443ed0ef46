"""The InfluxWriter as a service: it retries after every failure, until it has to stop."""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadstone.errors import ArchiveError
from loadstone.influx.backfill import Backfill
from loadstone.influx.client import InfluxClient
from loadstone.influx.delivery import LONGEST_PAUSE_S, Delivery
from loadstone.influx.ledger import SharedLedger
from loadstone.influx.trouble import TroubleNote
from loadstone.influx.writer import InfluxWriter
from loadstone.stream.client import FAILURES, connect
from loadstone.stream.keys import WRITERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.settings import CollectorSettings

__all__ = ["serve_writer"]

_PAUSE_S: Final = 0.5
_TICK_S: Final = 0.1
_BACKFILL_EVERY_S: Final = 2.0
log = logging.getLogger("loadstone.influx")


class _StoppedError(Exception):
    """The service has to stop while it waits for InfluxDB."""


@dataclass(slots=True)
class _Wait:
    """Waits for InfluxDB while it keeps the heartbeat going, and ends when the service has to stop."""

    writer: InfluxWriter
    stopped: Callable[[], bool]

    def __call__(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while True:
            if self.stopped():
                raise _StoppedError
            self.writer.sign()
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return
            time.sleep(min(left_s, _TICK_S))


def serve_writer(settings: CollectorSettings, stopped: Callable[[], bool]) -> None:
    """Write until ``stopped()``. Raises `UsageError` when the token file cannot be read at the start."""
    sink = InfluxClient(settings, now_s=time.time)
    client = connect(settings.redis_url)
    ledger = SharedLedger(client, WRITERS)
    timeout_s = settings.influx_timeout
    name = _name()
    writer = InfluxWriter(client, ledger, name=name, longest_write_s=timeout_s)
    note = TroubleNote(
        client, name, pause_s=max(settings.influx_retry, LONGEST_PAUSE_S) + timeout_s, now_ns=time.time_ns
    )
    delivery = Delivery(sink, _Wait(writer, stopped), refused_pause_s=settings.influx_retry, watch=note)
    backfill = Backfill(client, ledger, writer, settings.results)
    try:
        while not stopped():
            _work(writer, delivery, backfill, stopped)
    except _StoppedError:
        log.info("state=stopped unacknowledged=kept")
    finally:
        _leave(writer)
        sink.close()
        client.close()


def _work(writer: InfluxWriter, delivery: Delivery, backfill: Backfill, stopped: Callable[[], bool]) -> None:
    """Write until a failure, which is logged; the caller starts again after a pause."""
    looked_at_s = time.monotonic()
    try:
        writer.join()
        while not stopped():
            writer.step(delivery)
            if time.monotonic() - looked_at_s >= _BACKFILL_EVERY_S:
                backfill.work_off_queue(delivery)
                looked_at_s = time.monotonic()
    except (*FAILURES, ArchiveError) as error:
        log.error("state=waiting error=%r nothing_lost=yes", str(error))  # noqa: TRY400  (the cause is enough)
        time.sleep(_PAUSE_S)


def _leave(writer: InfluxWriter) -> None:
    try:
        writer.leave()
    except FAILURES as error:
        log.warning("state=stopped error=%r unacknowledged=kept", str(error))


def _name() -> str:
    """Unique for every life of every writer."""
    return f"writer-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
