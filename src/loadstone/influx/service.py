"""The InfluxWriter as a service: it retries after every failure, until it has to stop.

A process has two writers, so that two requests may be in flight: what comes in while one hangs does not wait for its
end. They are as independent as those of two processes, except that they take turns and learn of an outage together.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadstone.errors import ArchiveError
from loadstone.influx.backfill import Backfill
from loadstone.influx.client import InfluxClient
from loadstone.influx.delivery import LONGEST_PAUSE_S, Delivery, Outage
from loadstone.influx.ledger import SharedLedger
from loadstone.influx.trouble import TroubleNote
from loadstone.influx.turns import Turns
from loadstone.influx.writer import InfluxWriter
from loadstone.stream.client import FAILURES, connect
from loadstone.stream.keys import WRITERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from loadstone.settings import CollectorSettings

__all__ = ["serve_writer"]

_IN_FLIGHT: Final = 2
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
    """Write until ``stopped()``. Raises `UsageError` when the token file cannot be read at the start.

    When one of the writers fails, the others end too, and its failure is raised.
    """
    name, failed = _name(), threading.Event()
    with closing(connect(settings.redis_url)) as client, ThreadPoolExecutor(_IN_FLIGHT, "writer") as threads:
        pause_s = max(settings.influx_retry, LONGEST_PAUSE_S) + settings.influx_timeout
        outage = Outage(TroubleNote(client, name, pause_s=pause_s, now_ns=time.time_ns))
        turns = Turns()
        made = [_Service.of(settings, client, f"{name}-{number}", turns, outage) for number in range(_IN_FLIGHT)]
        running = [threads.submit(one.serve, lambda: stopped() or failed.is_set()) for one in made]
        try:
            wait(running, return_when=FIRST_EXCEPTION)
        finally:
            failed.set()
        for each in running:
            each.result()


@dataclass(slots=True)
class _Service:
    """One writer with all that it works with."""

    writer: InfluxWriter
    sink: InfluxClient
    outage: Outage
    backfill: Backfill
    refused_pause_s: float

    @classmethod
    def of(cls, settings: CollectorSettings, client: Redis, name: str, turns: Turns, outage: Outage) -> _Service:
        sink = InfluxClient(settings, now_s=time.time)
        ledger = SharedLedger(client, WRITERS)
        writer = InfluxWriter(client, ledger, name=name, longest_write_s=settings.influx_timeout, turns=turns)
        return cls(writer, sink, outage, Backfill(client, ledger, writer, settings.results), settings.influx_retry)

    def serve(self, stopped: Callable[[], bool]) -> None:
        """Write until ``stopped()``, and again after every failure."""
        pause = _Wait(self.writer, stopped)
        delivery = Delivery(self.sink, pause, refused_pause_s=self.refused_pause_s, outage=self.outage)
        try:
            while not stopped():
                self._work(delivery, stopped)
        except _StoppedError:
            log.info("state=stopped unacknowledged=kept")
        finally:
            _leave(self.writer)
            self.sink.close()

    def _work(self, delivery: Delivery, stopped: Callable[[], bool]) -> None:
        """Write until a failure, which is logged; the caller starts again after a pause."""
        looked_at_s = time.monotonic()
        try:
            self.writer.join()
            while not stopped():
                self.writer.step(delivery)
                if time.monotonic() - looked_at_s >= _BACKFILL_EVERY_S:
                    self.backfill.work_off_queue(delivery)
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
