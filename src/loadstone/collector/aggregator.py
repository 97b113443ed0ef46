"""Aggregator: streams in, run folders out. It is the only writer of run folders, and the only one of its deployment.

An entry is appended to the journal of its run, folded into the run's state, and acknowledged after the journal was
synced, at most a second later. Whatever happens in between, the entry is delivered again and counts once.
"""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from loadstone.archive.finalize.closing import close_run
from loadstone.archive.folder import RunFolder, valid_run_id
from loadstone.archive.journal.entry import decode_entry
from loadstone.archive.journal.frame import EntryKind
from loadstone.charts.page import write_report
from loadstone.collector.live.server import serving
from loadstone.collector.live.snapshot import publish_live, snapshot
from loadstone.collector.open_run import OpenRun
from loadstone.errors import ArchiveError, FormatError, LoadstoneError
from loadstone.influx.feed import InfluxFeed, forget_writers
from loadstone.influx.ledger import SharedLedger
from loadstone.stream.client import FAILURES, add_dead_letter, connect
from loadstone.stream.consumer import Consumer, trim_finished
from loadstone.stream.keys import (
    AGGREGATOR_LEASE,
    AGGREGATORS,
    DEAD_LETTERS,
    EVENTS,
    OPEN_RUNS,
    SAMPLES,
    USAGE,
    WRITERS,
)
from loadstone.stream.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from redis import Redis

    from loadstone.collector.live.board import LiveBoard
    from loadstone.domain.batch import Batch
    from loadstone.domain.event import Event, UsageTick
    from loadstone.settings import CollectorSettings
    from loadstone.stream.consumer import StreamEntry

__all__ = ["Aggregator", "serve"]

_KINDS: Final = {EVENTS: EntryKind.EVENTS, SAMPLES: EntryKind.SAMPLES, USAGE: EntryKind.USAGE}
_MOST_DEAD_LETTERS: Final = 1000
_READ_COUNT: Final = 256
_BLOCK_MS: Final = 200
_SYNC_EVERY_S: Final = 0.5
_LEASE_LIFE_MS: Final = 5000
_PAUSE_S: Final = 0.5
log = logging.getLogger("loadstone.aggregator")


@dataclass(slots=True)
class Aggregator:
    """One pass after another over the streams; see the module's docstring."""

    client: Redis
    results: Path
    consumer: Consumer
    feed: InfluxFeed | None = None
    lease: Lease | None = None
    board: LiveBoard | None = None
    now_ns: Callable[[], int] = time.time_ns
    runs: dict[str, OpenRun] = field(default_factory=dict)
    _unsynced: list[StreamEntry] = field(default_factory=list)
    _synced_at_s: float = 0.0

    def resume(self) -> None:
        """Open again what an earlier life left open. Raises stream failures."""
        self.consumer.join()
        if self.feed:
            self.feed.join()
        else:
            forget_writers(self.client)
        members: Any = self.client.smembers(OPEN_RUNS)
        for run in sorted(member.decode() for member in members):
            if (self.results / run).is_dir():
                self._run(run)

    def step(self) -> None:
        """Read once, and sync, publish and close what is due. Raises stream failures and `ArchiveError`."""
        entries = self.consumer.read(count=_READ_COUNT, block_ms=_BLOCK_MS)
        for entry in entries:
            self._take(entry)
        self._unsynced.extend(entries)
        if time.monotonic() - self._synced_at_s >= _SYNC_EVERY_S:
            self.sync()
            self._publish()
            self._close_complete()

    def sync(self) -> None:
        """Make everything read so far safe, then acknowledge it and cut the streams behind it."""
        for run in self.runs.values():
            run.journal.sync()
        self._synced_at_s = time.monotonic()
        for name, run in self.runs.items():
            self._publish_points(name, run)
        if self._unsynced:
            acknowledged, self._unsynced = self._unsynced, []
            self.consumer.acknowledge(acknowledged)
            for stream in _KINDS:
                trim_finished(self.client, stream)
        if self.feed:
            self.feed.trim()
            self.feed.look_at_ledgers()

    def forget_unsynced(self) -> None:
        """After a failure: what was not acknowledged will be read again."""
        self._unsynced.clear()
        self.consumer.rewind()

    def close(self) -> None:
        """Let go of every run folder."""
        for run in self.runs.values():
            run.close()
        self.runs.clear()

    def _take(self, entry: StreamEntry) -> None:
        try:
            content = _content(entry)
        except FormatError as error:
            self._bury(entry, str(error))
            return
        for run in self.runs.values() if entry.stream == USAGE else (self._run(entry.run),):
            run.take(_KINDS[entry.stream], entry.id, entry.blob, content)

    def _run(self, run: str) -> OpenRun:
        if run not in self.runs:
            published = self.feed.opened(run) if self.feed else None
            self.runs[run] = OpenRun.open(RunFolder(self.results / run), published=published)
            self.client.sadd(OPEN_RUNS, run)
            log.info("run=%s state=open folder=%s", run, self.runs[run].folder.path)
        return self.runs[run]

    def _bury(self, entry: StreamEntry, reason: str) -> None:
        log.error("stream=%s id=%s dead_letter=yes reason=%r", entry.stream, entry.id, reason)
        add_dead_letter(self.client, DEAD_LETTERS, entry, reason, entry.blob, most=_MOST_DEAD_LETTERS)

    def _publish(self) -> None:
        for name, run in self.runs.items():
            publish_live(self.client, name, self._snapshot(name, run))
            if self.board:
                self.board.show(name, run.state, now_ns=self.now_ns())

    def _snapshot(self, name: str, run: OpenRun) -> dict[str, Any]:
        live = snapshot(name, run.state, now_ns=self.now_ns())
        return {**live, "influx": self.feed.live(name, live["ledger"]["stored"])} if self.feed else live

    def _publish_points(self, name: str, run: OpenRun) -> None:
        if self.feed and run.points:
            run.unpublished += run.points.take()
            self.feed.publish_names(name, run.state.names)
            self.feed.publish(name, run.unpublished, run.position)
            run.unpublished = []

    def _close_complete(self) -> None:
        for name in [name for name, run in self.runs.items() if run.may_close(self.now_ns())]:
            run = self.runs[name]
            with self.lease.kept() if self.lease else nullcontext():
                result = close_run(run.folder, now_ns=self.now_ns())
                _report(run.folder)
            # The live page and the summary's points still take run.json as a mapping.
            document = msgspec.to_builtins(result.record)
            if self.feed:
                for lines in run.last_points(result.record):
                    run.unpublished += lines
                    self._publish_points(name, run)
                self.feed.closed(name)
            live = self._snapshot(name, run)
            if self.board:
                self.board.close(name, run.state, document, now_ns=self.now_ns())
            del self.runs[name]
            run.close()
            publish_live(self.client, name, {**live, "closed": True, "folder": str(run.folder.path)})
            self.client.srem(OPEN_RUNS, name)
            log.info("run=%s state=closed verdict=%s", name, result.verdict.word)


def _report(folder: RunFolder) -> None:
    """A run without a report is still a whole run, and `loadstone report` makes it again."""
    try:
        write_report(folder)
    except (LoadstoneError, OSError, ValueError, KeyError) as error:
        log.error("run=%s report=no error=%r", folder.run, str(error))  # noqa: TRY400  (the cause is enough)


def _content(entry: StreamEntry) -> Batch | Event | UsageTick:
    """What an entry holds. Raises `FormatError` when it is not what its stream is for."""
    if entry.stream != USAGE and not valid_run_id(entry.run):
        raise FormatError(f"{entry.run!r} is not the id of a run")
    return decode_entry(_KINDS[entry.stream], entry.blob)


def serve(settings: CollectorSettings, stopped: Callable[[], bool]) -> None:
    """Aggregate until ``stopped()``. An absent stream or a full disk is said and waited for; neither loses anything."""
    client = connect(settings.redis_url)
    lease = Lease(client, AGGREGATOR_LEASE, f"aggregator-{time.time_ns()}", life_ms=_LEASE_LIFE_MS)
    aggregator: Aggregator | None = None
    with serving(settings.live_bind, settings.live_port, settings.results) as board:
        make = partial(_aggregator, client, lease, settings, board)
        try:
            while not stopped():
                try:
                    aggregator = _turn(aggregator, lease, make)
                except (*FAILURES, ArchiveError) as error:
                    log.error("state=waiting error=%r nothing_lost=yes", str(error))  # noqa: TRY400  (cause is enough)
                    if aggregator is not None:
                        aggregator.forget_unsynced()
                    time.sleep(_PAUSE_S)
        finally:
            _leave(aggregator, lease)
            client.close()


def _turn(aggregator: Aggregator | None, lease: Lease, make: Callable[[], Aggregator]) -> Aggregator | None:
    if not lease.take():
        if aggregator is not None:
            log.error("state=superseded action='another Aggregator holds the lease; its turn'")
            aggregator.close()
        time.sleep(_PAUSE_S)
        return None
    if aggregator is None:
        aggregator = make()
        aggregator.resume()
    aggregator.step()
    return aggregator


def _aggregator(client: Redis, lease: Lease, settings: CollectorSettings, board: LiveBoard | None) -> Aggregator:
    streams: Sequence[str] = tuple(_KINDS)
    consumer = Consumer(client, AGGREGATORS, AGGREGATORS, streams)
    return Aggregator(client, settings.results, consumer, _feed(client, settings), lease, board)


def _feed(client: Redis, settings: CollectorSettings) -> InfluxFeed | None:
    if settings.influx_url is None:
        return None
    return InfluxFeed(client, SharedLedger(client, WRITERS), settings.results)


def _leave(aggregator: Aggregator | None, lease: Lease) -> None:
    try:
        if aggregator is not None:
            aggregator.sync()
            aggregator.close()
        lease.release()
    except (*FAILURES, ArchiveError) as error:
        log.error("state=stopped error=%r unacknowledged=kept", str(error))  # noqa: TRY400
