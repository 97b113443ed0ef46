"""Aggregator: reads the streams and writes the journals of runs. A deployment has one; nothing else writes journals.

An entry is appended to the journal of its run, applied to the run's state, and acknowledged after the journal was
synced, at most a second later. An entry that was not acknowledged, for any reason, is delivered again; it counts
once. A complete run is handed to a `Finalizer`, and the Aggregator keeps reading the other runs in the meantime.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace
from redis import OutOfMemoryError

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.folder import RunFolder, valid_run_id
from loadstone.archive.journal.entry import decode_entry
from loadstone.archive.journal.frame import EntryKind
from loadstone.collector.live.snapshot import publish_live, snapshot
from loadstone.collector.open_run import ClosingRun, OpenRun
from loadstone.domain.retry import Retries
from loadstone.errors import ArchiveError, FormatError
from loadstone.host.clock import SYSTEM_CLOCK
from loadstone.influx.feed import InfluxFeed, forget_writers
from loadstone.stream.client import add_dead_letter
from loadstone.stream.consumer import trim_finished
from loadstone.stream.keys import DEAD_LETTERS, EVENTS, OPEN_RUNS, SAMPLES, USAGE
from loadstone.stream.when_full import command_when_full

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from redis import Redis

    from loadstone.collector.finalizer import Finalizer
    from loadstone.collector.live.board import LiveBoard
    from loadstone.domain.batch import Batch
    from loadstone.domain.event import Event
    from loadstone.domain.live import LiveSnapshot
    from loadstone.domain.time import Clock
    from loadstone.domain.usage_tick import UsageTick
    from loadstone.stream.consumer import Consumer, StreamEntry
    from loadstone.stream.lease import Lease

__all__ = ["STREAMS", "Aggregator"]

_KINDS: Final = {EVENTS: EntryKind.EVENTS, SAMPLES: EntryKind.SAMPLES, USAGE: EntryKind.USAGE}
STREAMS: Final = tuple(_KINDS)
"""The streams that an Aggregator reads."""
_MOST_DEAD_LETTERS: Final = 1000
_READ_COUNT: Final = 256
_BLOCK_MS: Final = 200
_SYNC_EVERY_S: Final = 0.5
_SAY_FULL_EVERY_S: Final = 60.0
_MOST_FINALIZERS: Final = 2
"""Finalizers at work at once: after an outage many runs are complete together, and each one needs memory and a core."""
log = logging.getLogger("loadstone.aggregator")


@dataclass(slots=True)
class Aggregator:
    """Reads the streams in passes, one for each call of `step`; see the module's docstring.

    ``finalize`` begins to close the run in a folder. ``lease`` is renewed while the journal of a run is replayed.
    ``set_aside``: runs whose folders could not be opened, as with a damaged journal. Their entries stay unacknowledged,
    and they are tried again from time to time; the other runs go on. The usage of that time is not in them.
    """

    client: Redis
    results: Path
    consumer: Consumer
    finalize: Callable[[RunFolder], Finalizer]
    feed: InfluxFeed | None = None
    lease: Lease | None = None
    board: LiveBoard | None = None
    clock: Clock = SYSTEM_CLOCK
    runs: dict[str, OpenRun] = field(default_factory=dict)
    closing: dict[str, ClosingRun] = field(default_factory=dict)
    set_aside: Retries = field(default_factory=Retries)
    _unannounced: Retries = field(default_factory=Retries)
    _unsynced: list[StreamEntry] = field(default_factory=list)
    _due_s: float = 0.0
    _said_full_s: float | None = None

    def resume(self) -> None:
        """Open again the runs that an earlier Aggregator left open. Raises stream failures."""
        self.consumer.join()
        if self.feed:
            self.feed.join()
        else:
            forget_writers(self.client)
        members: Any = self.client.smembers(OPEN_RUNS)
        for run in sorted(member.decode() for member in members):
            if (self.results / run).is_dir():
                self._open(run)

    def _open_again(self) -> None:
        """Try to open the runs that were set aside; the entries of one that is open again are read now."""
        for name in self.set_aside.names:
            if self.set_aside.is_due(name, self.clock.monotonic_s()) and self._open(name) is not None:
                self.set_aside.succeeded(name)
                self.sync()
                self.consumer.rewind()

    def step(self) -> None:
        """Read once, and sync, publish and close what is due. Raises stream failures and `ArchiveError`."""
        self._open_again()
        for entry in self.consumer.read(count=_READ_COUNT, block_ms=_BLOCK_MS):
            if self._take(entry):
                self._unsynced.append(entry)
        if self.clock.monotonic_s() >= self._due_s:
            self.sync()
            with self._unless_full():
                self._publish()
            self._close_complete()
        with self._unless_full():
            self._finish_closed()

    def sync(self) -> None:
        """Sync everything read so far to disk, publish it to the writers, acknowledge it and trim the streams.

        A full server takes nothing that is published, and only the last two steps make room in it. They are safe
        without the second: points stay with their run, or are made again from the journal behind the position in the
        ledger, and a writer that misses a name of an acknowledged entry asks for a backfill.
        """
        for run in self.runs.values():
            run.journal.sync()
        self._due_s = self.clock.monotonic_s() + _SYNC_EVERY_S
        with self._unless_full():
            if self.feed:
                for run in self.runs.values():
                    run.publish_points(self.feed)
        if self._unsynced:
            acknowledged, self._unsynced = self._unsynced, []
            self.consumer.acknowledge(acknowledged)
            for stream in STREAMS:
                trim_finished(self.client, stream)
        if self.feed:
            self.feed.trim()
            self.feed.look_at_ledgers(busy={*self.runs, *self.closing, *self.set_aside.names})

    def forget_unsynced(self) -> None:
        """After a failure: what was not acknowledged will be read again."""
        self._unsynced.clear()
        self.consumer.rewind()

    def close(self) -> None:
        """Release every run folder and end the finalizers; the next Aggregator starts them again.

        Every run is closed, even if one of them fails. Raises the first `ArchiveError` at the end.
        """
        for closing in self.closing.values():
            closing.finalizer.stop()
        runs, self.runs = self.runs, {}
        self.closing.clear()
        errors = [error for run in runs.values() if (error := _close(run)) is not None]
        if errors:
            raise errors[0]

    def _take(self, entry: StreamEntry) -> bool:
        """Whether the entry was processed; an entry of a run that is being closed has to be read again later."""
        try:
            content = _content(entry)
        except FormatError as error:
            self._bury(entry, str(error))
            return True
        if entry.run in self.closing:
            self.closing[entry.run].deferred = True
            return False
        if entry.stream == USAGE:
            runs = list(self.runs.values())
        elif entry.run not in self.set_aside and (opened := self._open(entry.run)) is not None:
            runs = [opened]
        else:
            return False
        for run in runs:
            run.take(_KINDS[entry.stream], entry.id, entry.blob, content)
        return True

    def _open(self, run: str) -> OpenRun | None:
        """The run, opened if it is not open; None, and it is set aside, if that is not possible."""
        if run not in self.runs:
            command_when_full(self.client, OPEN_RUNS, "SADD", OPEN_RUNS, run)
            published = self.feed.opened(run) if self.feed else None
            try:
                with self.lease.kept() if self.lease else nullcontext():
                    self.runs[run] = OpenRun.open(RunFolder(self.results / run), self.clock, published=published)
            except ArchiveError as error:
                self._set_aside(run, error)
                return None
            log.info("run=%s state=open folder=%s", run, self.runs[run].folder.path)
        return self.runs[run]

    def _set_aside(self, run: str, error: ArchiveError) -> None:
        pause_s = self.set_aside.failed(run, self.clock.monotonic_s())
        log.error(
            "run=%s state=set_aside folder=%s error=%r nothing_lost=yes retry_in_s=%g hint='loadstone recover %s'",
            *(run, self.results / run, str(error), pause_s, run),
        )

    def _bury(self, entry: StreamEntry, reason: str) -> None:
        log.error("stream=%s id=%s dead_letter=yes reason=%r", entry.stream, entry.id, reason)
        add_dead_letter(self.client, DEAD_LETTERS, entry, reason, entry.blob, most=_MOST_DEAD_LETTERS)

    @contextmanager
    def _unless_full(self) -> Iterator[None]:
        """Leave out what the server has no room for: it is done again in the next pass."""
        try:
            yield
        except OutOfMemoryError as error:
            now_s = self.clock.monotonic_s()
            if self._said_full_s is None or now_s - self._said_full_s >= _SAY_FULL_EVERY_S:
                self._said_full_s = now_s
                log.error(  # noqa: TRY400  (the cause is enough)
                    "state=full error=%r nothing_lost=yes action='cut the streams, publish later'", str(error)
                )

    def _publish(self) -> None:
        for run in [*self.runs.values(), *(each.run for each in self.closing.values())]:
            live = self._snapshot(run)
            publish_live(self.client, live)
            if self.board:
                self.board.show(live, run.state)

    def _snapshot(self, run: OpenRun) -> LiveSnapshot:
        name = run.folder.run
        live = snapshot(name, run.state, now_ns=self.clock.now_ns(), closing=name in self.closing)
        if self.feed is None or live.ledger is None:
            return live
        ledger, troubles = self.feed.live(name, live.ledger.stored, live.now_ns)
        return replace(live, influx=ledger, troubles=(*live.troubles, *troubles))

    def _close_complete(self) -> None:
        """Hand complete runs to a finalizer: their journals, just synced, and the locks of their folders.

        Runs for which there is no finalizer yet stay open.
        """
        at_work = sum(closing.finalizer.pid is not None for closing in self.closing.values())
        complete = [name for name, run in self.runs.items() if run.may_close()]
        for name in complete[: max(0, _MOST_FINALIZERS - at_work)]:
            run = self.runs.pop(name)
            error = _close(run)
            if error is not None:
                self._set_aside(name, error)
                continue
            self.closing[name] = ClosingRun(run, self.finalize(run.folder))
            log.info("run=%s state=closing", name)

    def _finish_closed(self) -> None:
        for name, closing in list(self.closing.items()):
            if not closing.finalizer.poll() or not self._unannounced.is_due(name, self.clock.monotonic_s()):
                continue
            try:
                self._finish(name, closing)
            except ArchiveError as error:
                pause_s = self._unannounced.failed(name, self.clock.monotonic_s())
                log.error(  # noqa: TRY400  (the cause is enough)
                    "run=%s state=closing error=%r nothing_lost=yes retry_in_s=%g", name, str(error), pause_s
                )
                if self.feed:
                    self.feed.note_cut(name)

    def _finish(self, name: str, closing: ClosingRun) -> None:
        if not self._last_points_published(closing):
            return
        if closing.deferred:  # its late entries are read now, and it is closed once more with them
            self.sync()
            self.consumer.rewind()
        else:
            self._announce_closed(name, closing.run)
        self._unannounced.succeeded(name)
        del self.closing[name]  # last: what failed is done again in the next pass, which changes nothing twice

    def _last_points_published(self, closing: ClosingRun) -> bool:
        folder = closing.run.folder
        return self.feed is None or closing.publish_last_points(self.feed, lambda: ClosedRun.open(folder).record)

    def _announce_closed(self, name: str, run: OpenRun) -> None:
        record = ClosedRun.open(run.folder).record
        if self.feed:
            self.feed.closed(name)
        live = replace(self._snapshot(run), closing=False, closed=True, folder=str(run.folder.path))
        if self.board:
            self.board.close(live, run.state, record)
        publish_live(self.client, live)
        self.client.srem(OPEN_RUNS, name)
        log.info("run=%s state=closed verdict=%s", name, record.verdict)


def _close(run: OpenRun) -> ArchiveError | None:
    try:
        run.close()
    except ArchiveError as error:
        return error
    return None


def _content(entry: StreamEntry) -> Batch | Event | UsageTick:
    """What an entry holds. Raises `FormatError` when it does not belong in its stream."""
    if entry.stream != USAGE and not valid_run_id(entry.run):
        raise FormatError(f"{entry.run!r} is not the id of a run")
    return decode_entry(_KINDS[entry.stream], entry.blob)
