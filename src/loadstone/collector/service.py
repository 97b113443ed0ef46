"""The collector's services as programs run them: the Aggregator and the InfluxWriter together, or one of the two alone.

If the stream server is unavailable or the disk is full, it logs that and retries; nothing is lost.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from loadstone.collector.aggregator import STREAMS, Aggregator
from loadstone.collector.finalizer import Finalizer, FinalizerOrder
from loadstone.collector.live.server import serving
from loadstone.errors import ArchiveError, UsageError
from loadstone.host.clock import SYSTEM_CLOCK
from loadstone.influx.feed import InfluxFeed
from loadstone.influx.ledger import SharedLedger
from loadstone.stream.client import FAILURES, connect, what_failed
from loadstone.stream.consumer import Consumer
from loadstone.stream.keys import AGGREGATOR_LEASE, AGGREGATORS, WRITERS
from loadstone.stream.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from loadstone.archive.folder import RunFolder
    from loadstone.collector.live.board import LiveBoard
    from loadstone.domain.time import Clock
    from loadstone.settings import CollectorSettings

__all__ = ["serve", "serve_aggregator", "start_finalizer"]

_LEASE_LIFE_MS: Final = 5000
_PAUSE_S: Final = 0.5
_SAY_AGAIN_S: Final = 60.0
log = logging.getLogger("loadstone.collector")


def serve(settings: CollectorSettings, stopped: Callable[[], bool]) -> None:
    """Serve what the settings name until ``stopped()``. Raises `UsageError` when they name a writer without InfluxDB.

    When one of the two services fails, the other ends too, and the failure is raised: the supervisor of this process
    restarts both.
    """
    if settings.only == "writer" and settings.influx_url is None:
        raise UsageError("the writer has no InfluxDB to write to", hint="Name it with --influx-url")
    if settings.only == "writer":
        _serve_writer(settings, stopped)
    elif settings.only == "aggregator" or settings.influx_url is None:
        serve_aggregator(settings, stopped)
    else:
        _serve_both(settings, stopped)


def _serve_writer(settings: CollectorSettings, stopped: Callable[[], bool]) -> None:
    from loadstone.influx.service import serve_writer  # noqa: PLC0415  (without InfluxDB its client is not needed)

    serve_writer(settings, stopped)


def _serve_both(settings: CollectorSettings, stopped: Callable[[], bool]) -> None:
    failed: list[BaseException] = []

    def write() -> None:
        try:
            _serve_writer(settings, lambda: stopped() or ended.is_set())
        except BaseException as error:  # raised again below, in the thread that can end the process
            failed.append(error)
            log.exception("service=writer state=failed")

    ended = threading.Event()
    writer = threading.Thread(target=write, name="writer")
    writer.start()
    try:
        serve_aggregator(settings, lambda: stopped() or bool(failed))
    finally:
        ended.set()
        writer.join()
    if failed:
        raise failed[0]


def serve_aggregator(settings: CollectorSettings, stopped: Callable[[], bool]) -> None:
    """Aggregate until ``stopped()``, whenever this process holds the lease of its deployment."""
    client = connect(settings.redis_url)
    with serving(settings.live_bind, settings.live_port, settings.results, settings.allowed_hosts) as board:
        service = _AggregatorService(settings, client, board, f"aggregator-{os.getpid()}-{SYSTEM_CLOCK.now_ns()}")
        try:
            while not stopped():
                service.run_once()
        finally:
            service.leave()
            client.close()


@dataclass(slots=True)
class _AggregatorService:
    """At most one Aggregator: there while this process, which calls itself ``name``, holds the lease."""

    settings: CollectorSettings
    client: Redis
    board: LiveBoard | None
    name: str
    aggregator: Aggregator | None = None
    _said: str = ""
    _say_again_s: float = 0.0

    @property
    def lease(self) -> Lease:
        return Lease(self.client, AGGREGATOR_LEASE, self.name, life_ms=_LEASE_LIFE_MS)

    def run_once(self) -> None:
        """One pass of the Aggregator, or a pause when it cannot work."""
        try:
            if not self.lease.take():
                self._step_aside()
            elif self.aggregator is None:
                self.aggregator = self._resumed()
            else:
                self.aggregator.step()
        except (*FAILURES, ArchiveError) as error:
            self._say_waiting(str(error))
            if self.aggregator is not None:
                if not isinstance(error, ArchiveError):
                    self.aggregator.note_stream_failed(what_failed(error))
                self.aggregator.forget_unsynced()
            time.sleep(_PAUSE_S)

    def _say_waiting(self, error: str) -> None:
        """Log what it waits for, once a minute while that stays the same."""
        now_s = SYSTEM_CLOCK.monotonic_s()
        if error != self._said or now_s >= self._say_again_s:
            self._said, self._say_again_s = error, now_s + _SAY_AGAIN_S
            log.error("state=waiting error=%r nothing_lost=yes", error)

    def leave(self) -> None:
        """Make safe what was read, and let the next Aggregator take over."""
        try:
            if self.aggregator is not None:
                with closing(self.aggregator):
                    self.aggregator.sync()
            self.lease.release()
        except (*FAILURES, ArchiveError) as error:
            log.error("state=stopped error=%r unacknowledged=kept", str(error))  # noqa: TRY400  (the cause is enough)

    def _step_aside(self) -> None:
        superseded, self.aggregator = self.aggregator, None  # even if closing it fails, it is not used again
        if superseded is not None:
            log.error("state=superseded reason='another Aggregator holds the lease'")
            superseded.close()
        time.sleep(_PAUSE_S)

    def _resumed(self) -> Aggregator:
        aggregator = self._make()
        try:
            aggregator.resume()
        except BaseException:
            aggregator.close()  # the next one needs the locks of the folders that are open already
            raise
        return aggregator

    def _make(self) -> Aggregator:
        settings, client = self.settings, self.client
        feed = InfluxFeed(client, SharedLedger(client, WRITERS), settings.results) if settings.influx_url else None
        consumer = Consumer(client, AGGREGATORS, AGGREGATORS, STREAMS)
        finalize = partial(start_finalizer, settings.redis_url, self.name, SYSTEM_CLOCK)
        return Aggregator(client, settings.results, consumer, finalize, feed, self.lease, self.board)


def start_finalizer(redis_url: str, holder: str, clock: Clock, folder: RunFolder) -> Finalizer:
    """A finalizer for one run, on behalf of the Aggregator that calls itself ``holder``."""
    path = str(folder.path.resolve())
    return Finalizer(FinalizerOrder(redis_url=redis_url, path=path, closed_at_ns=clock.now_ns(), holder=holder), clock)
