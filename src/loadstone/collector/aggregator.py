"""Aggregator: reads the streams and writes the journals of runs. A deployment has one; nothing else writes journals.

An entry is moved from the inbox of its producer into its stream (`loadstone.stream.inbox`), admitted (`Admission`),
appended to the journal of its run, applied to the run's state, and acknowledged after the journal was synced, at most a
second later. An entry that was not acknowledged, for any reason, is delivered again; it counts once. A complete run is
handed to a `Finalizer`, and the Aggregator keeps reading the other runs in the meantime. While the disk takes nothing,
nothing is read or acknowledged, and live snapshots say so.
"""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.folder import RunFolder
from loadstone.collector.admission import KINDS, Admission, RefusedError
from loadstone.collector.live.snapshot import publish_live, snapshot
from loadstone.collector.open_run import ClosingRun, OpenRun
from loadstone.collector.trouble import ARCHIVE, PUT_BACK, FullServer, StorageWatch, WaitingRuns
from loadstone.domain.live import Trouble
from loadstone.domain.retry import Retries
from loadstone.errors import ArchiveError, StorageError
from loadstone.host.clock import SYSTEM_CLOCK
from loadstone.influx.feed import InfluxFeed, forget_writers
from loadstone.stream.consumer import trim_finished
from loadstone.stream.inbox import move_entries
from loadstone.stream.keys import OPEN_RUNS, USAGE
from loadstone.stream.when_full import command_when_full

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from redis import Redis

    from loadstone.archive.journal.entry import Content
    from loadstone.collector.finalizer import Finalizer
    from loadstone.collector.live.board import LiveBoard
    from loadstone.domain.live import LiveSnapshot
    from loadstone.domain.time import Clock
    from loadstone.stream.consumer import Consumer, StreamEntry
    from loadstone.stream.lease import Lease

__all__ = ["STREAMS", "Aggregator"]

STREAMS: Final = tuple(KINDS)
"""The streams that an Aggregator reads."""
_READ_COUNT: Final = 256
_PAUSE_S, _IDLE_PAUSE_S = 0.02, 0.1
"""Between two looks into empty inboxes: while a run is open, and otherwise. Redis cannot wait for what it must keep."""
_SYNC_EVERY_S: Final = 0.5
_MOST_FINALIZERS: Final = 2
"""Finalizers at work at once: after an outage many runs are complete together, and each one needs memory and a core."""
log = logging.getLogger("loadstone.aggregator")


@dataclass(slots=True)
class Aggregator:
    """Reads the streams in passes, one for each call of `step`; see the module's docstring.

    ``finalize`` begins to close the run in a folder. ``lease`` is renewed while the journal of a run is replayed.
    ``set_aside``: runs whose folders cannot be used, as with a damaged journal. Their entries stay unacknowledged, and
    they are tried again from time to time; the other runs go on. The usage of that time is not in them.
    """

    client: Redis
    results: Path
    consumer: Consumer
    finalize: Callable[[RunFolder], Finalizer]
    feed: InfluxFeed | None = None
    lease: Lease | None = None
    board: LiveBoard | None = None
    clock: Clock = SYSTEM_CLOCK
    admission: Admission = field(init=False)
    runs: dict[str, OpenRun] = field(default_factory=dict)
    closing: dict[str, ClosingRun] = field(default_factory=dict)
    set_aside: Retries = field(default_factory=Retries)
    _unannounced: Retries = field(default_factory=Retries)
    _unsynced: list[StreamEntry] = field(default_factory=list)
    _due_s: float = 0.0
    _full: FullServer = field(init=False)
    _storage: StorageWatch = field(init=False)
    _waiting: WaitingRuns = field(init=False)
    _stream_trouble: Trouble | None = None
    _left_open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.admission = Admission(self.client, self.results, self.clock)
        self._full = FullServer(self.clock)
        self._storage = StorageWatch(self.client, self.clock)
        self._waiting = WaitingRuns(self.client, self.clock)

    def resume(self) -> None:
        """Open again the runs that an earlier Aggregator left open, unless the disk refuses. Raises stream failures."""
        self._storage.resume()
        self.consumer.join()
        if self.feed:
            self.feed.join()
        else:
            forget_writers(self.client)
        members: Any = self.client.smembers(OPEN_RUNS)
        names = sorted(member.decode() for member in members)
        self._left_open = [run for run in names if (self.results / run).is_dir()]
        try:
            self._open_again()
        except StorageError as error:
            self._storage.failed(str(error))

    def _open_again(self) -> None:
        """Open what an earlier Aggregator left open, before anything is read, and try what was set aside.

        The entries of a run that was set aside and is open again are read now.
        """
        while self._left_open:
            self._open(self._left_open[-1])
            self._left_open.pop()
        for name in self.set_aside.names:
            if self.set_aside.is_due(name, self.clock.monotonic_s()) and self._open(name) is not None:
                self.set_aside.succeeded(name)
                self._read_again()

    def _read_again(self) -> None:
        """Read what was left unacknowledged once more."""
        self.sync()
        self.consumer.rewind()

    def step(self) -> None:
        """Read once, and sync, publish and close what is due. Raises stream failures and `ArchiveError`."""
        try:
            came = self._read()
            is_due = self.clock.monotonic_s() >= self._due_s
            if is_due:
                self.sync()
                self._note_storage_works()
        except StorageError as error:
            self._note_storage_failed(error)
            raise
        self._stream_trouble = None
        if is_due:
            with self._full.left_out():
                self._publish()
            self._close_complete()
        with self._full.left_out():
            self._finish_closed()
        if not came:
            time.sleep(_PAUSE_S if self.runs else _IDLE_PAUSE_S)

    def _read(self) -> bool:
        """Take what has come; whether anything has."""
        self._open_again()
        if self.admission.may_read_again():
            self._read_again()
        moved = move_entries(self.client, STREAMS)
        entries = self.consumer.read(count=_READ_COUNT, block_ms=None)
        for entry in entries:
            if self._take(entry):
                self._unsynced.append(entry)
        return bool(moved or entries)

    def _note_storage_failed(self, error: StorageError) -> None:
        """Show what the disk refuses; what it did take is safe, and counts."""
        self._storage.failed(str(error))
        with suppress(StorageError):
            self.sync()
        with self._full.left_out():
            self._publish()
            self._finish_closed()

    def _note_storage_works(self) -> None:
        """After everything that waited was taken and synced: record in each run for how long it had to wait."""
        over = self._storage.trouble
        if over is not None:
            for run in self.runs.values():
                run.note_storage(over)
            self.sync()
            self._storage.is_over()

    def note_stream_failed(self, text: str) -> None:
        """Show on the live page, which needs no stream, why nothing comes in. Kept until the next pass works."""
        since_ns = self._stream_trouble.since_ns if self._stream_trouble else self.clock.now_ns()
        self._stream_trouble = Trouble(part="stream", text=text, since_ns=since_ns)
        if self.board:
            for run in self.runs.values():
                live = snapshot(run.folder.run, run.state, now_ns=self.clock.now_ns())
                self.board.show(replace(live, troubles=(self._stream_trouble,)), run.state)

    def sync(self) -> None:
        """Sync everything read so far to disk, publish it to the writers, acknowledge it and trim the streams.

        A full server takes nothing that is published, and only the last two steps make room in it. They are safe
        without the second: points stay with their run, or are made again from the journal behind the position in the
        ledger, and a writer that misses a name of an acknowledged entry asks for a backfill.
        """
        for name in list(self.runs):
            self._sync(name)
        self._due_s = self.clock.monotonic_s() + _SYNC_EVERY_S
        with self._full.left_out():
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

    def _sync(self, name: str) -> None:
        """Sync a run. What another process does to its folder stops this run only; its entries are read again later."""
        try:
            if self.runs[name].sync():
                self.runs[name].note_storage(self._storage.mended(PUT_BACK))
        except ArchiveError as error:
            if isinstance(error, StorageError):
                raise
            _close(self.runs.pop(name))
            self._set_aside(name, error)
            self._unsynced = [entry for entry in self._unsynced if entry.run != name]

    def forget_unsynced(self) -> None:
        """After a failure: what was not acknowledged will be read again.

        No run was heard in the meantime, so none of them has fallen silent.
        """
        self._unsynced.clear()
        self.consumer.rewind()
        for run in self.runs.values():
            run.arrived_s = self.clock.monotonic_s()

    def close(self) -> None:
        """Release every run folder and end the finalizers. Raises the first `ArchiveError` when all that was done."""
        for closing in self.closing.values():
            closing.finalizer.stop()
            closing.release()
        runs, self.runs = self.runs, {}
        self.closing.clear()
        errors = [error for run in runs.values() if (error := _close(run)) is not None]
        if errors:
            raise errors[0]

    def _take(self, entry: StreamEntry) -> bool:
        """Whether the entry was processed; one that is of a run that is being closed, or waits, is read again later."""
        try:
            content = self.admission.content(entry)
            if content is None:
                return False
            if entry.run in self.closing:
                self.closing[entry.run].deferred = True
                return False
            runs = list(self.runs.values()) if entry.stream == USAGE else self._opened_for(entry.run, content)
        except RefusedError as refused:
            self.admission.refuse(entry, str(refused))
            return True
        for run in runs:
            run.take(KINDS[entry.stream], entry.id, entry.blob, content)
        return bool(runs) or entry.stream == USAGE

    def _opened_for(self, run: str, content: Content) -> list[OpenRun]:
        """The open run that this content belongs to; none, and what waits is known, while it cannot be opened.

        Raises `RefusedError`.
        """
        if run not in self.runs and run not in self.set_aside:
            self.admission.check_open(run, content)
        opened = None
        try:
            if run not in self.set_aside:
                opened = self._open(run)
        finally:
            if opened is None:
                self._waiting.add(run, content)
        return [opened] if opened else []

    def _open(self, run: str) -> OpenRun | None:
        """The run, opened if it is not open; None, and it is set aside, if that is not possible."""
        if run not in self.runs:
            command_when_full(self.client, OPEN_RUNS, "SADD", OPEN_RUNS, run)
            self.admission.opened(run)
            published = self.feed.opened(run) if self.feed else None
            try:
                with self.lease.kept() if self.lease else nullcontext():
                    self.runs[run] = OpenRun.open(RunFolder(self.results / run), self.clock, published=published)
            except ArchiveError as error:
                if isinstance(error, StorageError) and error.everywhere:
                    raise
                self._set_aside(run, error)
                return None
            self._waiting.opened(run)
            log.info("run=%s state=open folder=%s", run, self.runs[run].folder.path)
        return self.runs[run]

    def _set_aside(self, run: str, error: ArchiveError) -> None:
        pause_s = self.set_aside.failed(run, self.clock.monotonic_s())
        self._waiting.refused(run, str(error))
        log.error(
            "run=%s state=set_aside folder=%s error=%r nothing_lost=yes retry_in_s=%g hint=%r",
            *(run, self.results / run, str(error), pause_s, RunFolder(self.results / run).command("recover")),
        )

    def _publish(self) -> None:
        for run in [*self.runs.values(), *(each.run for each in self.closing.values())]:
            live = self._snapshot(run)
            publish_live(self.client, live)
            if self.board:
                self.board.show(live, run.state)
        for live, state in self._waiting.snapshots(tuple(self._storage.shown())):
            publish_live(self.client, live)
            if self.board:
                self.board.show(live, state)

    def _snapshot(self, run: OpenRun) -> LiveSnapshot:
        name = run.folder.run
        live = snapshot(name, run.state, now_ns=self.clock.now_ns(), closing=name in self.closing)
        live = replace(live, troubles=(*live.troubles, *self._troubles(name), *self.admission.troubles()))
        if self.feed is None or live.ledger is None:
            return live
        ledger, troubles = self.feed.live(name, live.ledger.stored, live.now_ns)
        return replace(live, influx=ledger, troubles=(*live.troubles, *troubles))

    def _troubles(self, name: str) -> Iterator[Trouble]:
        yield from self._storage.shown()
        closing = self.closing.get(name)
        if closing is not None and closing.finalizer.error:
            yield Trouble(part=ARCHIVE, text=closing.finalizer.error, since_ns=closing.finalizer.failed_ns)

    def _close_complete(self) -> None:
        """Hand complete runs to a finalizer: their journals, just synced, and the locks of their folders.

        Runs for which there is no finalizer yet stay open, and so do those of which an entry waits or is read again.
        """
        if self.consumer.is_catching_up:
            return
        at_work = sum(closing.finalizer.pid is not None for closing in self.closing.values())
        complete = [name for name, run in self.runs.items() if run.may_close() and name not in self.admission.waiting]
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
            if closing.put_back(self.finalize):
                self._storage.mended(PUT_BACK)
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
        if closing.deferred:  # entries that came before it was closed: they are read now, and it is closed with them
            self._open(name)
        else:
            self._announce_closed(name, closing.run)
        self._unannounced.succeeded(name)
        closing.release()
        del self.closing[name]  # after what can fail: that is done again in the next pass, which changes nothing twice
        if closing.deferred:
            self._read_again()

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
        self.admission.closed(name)
        self.client.srem(OPEN_RUNS, name)
        log.info("run=%s state=closed verdict=%s", name, record.verdict)


def _close(run: OpenRun) -> ArchiveError | None:
    try:
        run.close()
    except ArchiveError as error:
        return error
    return None
