"""OpenRun: a run that receives entries, and ClosingRun: the same run while its files are made."""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from loadstone.archive.journal.entry import decode_entry
from loadstone.archive.journal.frame import EntryKind
from loadstone.archive.journal.held import HeldSegments
from loadstone.archive.journal.reader import read_journal
from loadstone.archive.journal.writer import JournalWriter
from loadstone.archive.run_state import MASTER_LOST_AFTER_S, RunState
from loadstone.collector.trouble import storage_event
from loadstone.domain.event import Event, NamesCapped, encode_event
from loadstone.errors import ArchiveError, FormatError
from loadstone.influx.encode_summary import summary_lines
from loadstone.influx.point_stream import PointStream, apply_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loadstone.archive.folder import RunFolder
    from loadstone.archive.run_record import RunRecord
    from loadstone.collector.finalizer import Finalizer
    from loadstone.domain.batch import Batch
    from loadstone.domain.live import Trouble
    from loadstone.domain.time import Clock
    from loadstone.domain.usage_tick import UsageTick
    from loadstone.influx.feed import InfluxFeed

__all__ = ["ClosingRun", "OpenRun"]

_SILENCE_S: Final = 0.4
"""A stopped run from which nothing came for this long has no backlog. Workers ship twice a second."""
_POINTS_SHARE_S: Final = 0.2
"""Time limit for the last points of one run in one pass of the Aggregator, so that the other runs do not wait."""
log = logging.getLogger("loadstone.aggregator")


@dataclass(slots=True)
class OpenRun:
    """Its folder, its journal, what is known of it, and its points if there is an InfluxWriter.

    ``held`` is the lock of the folder, and its journal, which is closed first.
    ``position`` counts the entries of its journal; ``unpublished`` holds lines that the stream has not accepted yet;
    ``arrived_s`` is when the last batch or event came (monotonic).
    """

    folder: RunFolder
    journal: JournalWriter
    state: RunState
    held: ExitStack
    clock: Clock
    arrived_s: float
    points: PointStream | None = None
    position: int = 0
    _lock: ExitStack = field(default_factory=ExitStack)
    _is_locked: bool = True
    unpublished: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, folder: RunFolder, clock: Clock, *, published: int | None = None) -> OpenRun:
        """Begin a run, or continue one whose journal exists.

        ``published``: up to which entry its points were published, None without an InfluxWriter. Raises
        `ArchiveError` when another process holds the folder, or its journal is damaged or cannot be read; nothing stays
        open then.
        """
        state = RunState()
        points = None if published is None else PointStream(folder.run, state.names)
        with ExitStack() as held, _as_archive_error(folder):
            lock = held.enter_context(ExitStack())
            lock.enter_context(folder.create().lock())
            journal = held.enter_context(closing(JournalWriter(folder.journal)))
            run = cls(folder, journal, state, held, clock, clock.monotonic_s(), points)
            run._lock = lock
            run._replay(published or 0)
            run.held = held.pop_all()
        return run

    def take(self, kind: EntryKind, stream_id: str, blob: bytes, content: Batch | Event | UsageTick) -> None:
        """Append one entry to the journal and apply it. Raises `ArchiveError` when the disk is full."""
        self.journal.append(kind, stream_id, blob)
        self.position += 1
        if kind is not EntryKind.USAGE:
            self.arrived_s = self.clock.monotonic_s()
        apply_entry(stream_id, content, self.state, self.points)
        if self.state.names.capped and not self.state.lifecycle.names_capped:
            self._note_names_capped(stream_id)

    def sync(self) -> bool:
        """Make safe all that was taken; whether the journal had been deleted or moved, and was written again.

        Raises `ArchiveError` while it is not safe, or another process holds the folder that was made again.
        """
        written_again = self.journal.sync()
        if written_again:
            self._is_locked = False
        if not self._is_locked:
            self._lock_again()
        return written_again

    def note_storage(self, trouble: Trouble) -> None:
        """Record a trouble of the disk that is over now; recording it again changes nothing."""
        event = storage_event(self.folder.run, trouble, self.clock.now_ns())
        self.take(EntryKind.EVENTS, "", encode_event(event), event)

    def _lock_again(self) -> None:
        """Lock the folder that is at the path now, which may be another one."""
        self._lock.close()
        with _as_archive_error(self.folder):
            self._lock.enter_context(self.folder.lock())
        self._is_locked = True

    def may_close(self) -> bool:
        """Whether the run is complete and no more entries are expected.

        After an outage of the stream, entries may be old when they arrive, so silence is measured by arrival: a backlog
        is drained first, and a master counts as lost only when nothing has arrived here for that long. A run with a
        time that is still to come, by a wrong clock or worse, would be complete only then: arrival alone decides.
        """
        silent_s, now_ns = self.clock.monotonic_s() - self.arrived_s, self.clock.now_ns()
        enough_s = MASTER_LOST_AFTER_S if self.state.lifecycle.stopped_ns is None else _SILENCE_S
        if self.state.newest_ns > now_ns and silent_s >= MASTER_LOST_AFTER_S:
            return True
        return silent_s >= enough_s and self.state.is_complete(now_ns)

    def publish_points(self, feed: InfluxFeed) -> None:
        """Publish the lines that came since the last call, and those that the stream did not accept then."""
        if self.points is not None:
            self.unpublished += self.points.take()
            feed.publish_names(self.folder.run, self.state.names)
            feed.publish(self.folder.run, self.unpublished, self.position)
            self.unpublished = []

    def close(self) -> None:
        """Close the journal and release the folder; `open` continues both."""
        self.held.close()

    def _note_names_capped(self, stream_id: str) -> None:
        """Record in the journal that further names are counted together."""
        payload = NamesCapped(limit=self.state.names.limit)
        event = Event(run=self.folder.run, at_ns=self.state.newest_ns, source="aggregator", seq=0, payload=payload)
        self.take(EntryKind.EVENTS, stream_id, encode_event(event), event)

    def _replay(self, published: int) -> None:
        for entry in read_journal(self.folder.journal):
            self.position += 1
            try:
                content = decode_entry(entry.kind, entry.blob)
            except FormatError as error:  # an older version took it; closing the run counts and reports it
                log.warning("run=%s id=%s skipped=yes reason=%r", self.folder.run, entry.stream_id, str(error))
                continue
            apply_entry(entry.stream_id, content, self.state, self.points)
            if self.points and self.position <= published:
                self.points.take()
        self.arrived_s = self.clock.monotonic_s()


@contextmanager
def _as_archive_error(folder: RunFolder) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArchiveError(
            f"cannot read the run folder {folder.path}: {error.strerror or error}",
            hint="Make its files readable and writable for this user",
        ) from error


@dataclass(slots=True)
class ClosingRun:
    """A run whose journal is complete and released, and the finalizer that builds its files.

    ``deferred``: entries for this run arrived later. They stay unacknowledged and are read again once it is closed.
    """

    run: OpenRun
    finalizer: Finalizer
    deferred: bool = False
    _last_points: Iterator[list[str]] | None = None
    _journal: HeldSegments = field(init=False)

    def __post_init__(self) -> None:
        self._journal = HeldSegments(self.run.folder.journal)
        with suppress(OSError):  # as with too many open files: then a journal that is taken away is not put back
            self._journal.hold_earlier()

    def put_back(self, finalize: Callable[[RunFolder], Finalizer]) -> bool:
        """Whether something else had deleted or moved the journal: it was written again, and is finalized anew."""
        try:
            missing = self._journal.missing()
            for number in missing:
                self._journal.write_again(number)
        except OSError as error:
            log.error("run=%s journal=missing error=%r", self.run.folder.run, str(error))  # noqa: TRY400  (the cause is enough)
            return False
        if missing:
            self.finalizer.stop()
            self.finalizer = finalize(self.run.folder)
        return bool(missing)

    def release(self) -> None:
        """Close the files of the journal, which is not needed any more."""
        self._journal.close()

    def publish_last_points(self, feed: InfluxFeed, load: Callable[[], RunRecord]) -> bool:
        """Publish points that are known only at the end of the run, for a fifth of a second; whether all are published.

        ``load`` reads its run.json. Late batches require slices of the journal to be read again, hence the time limit.
        """
        if self._last_points is None:
            self._last_points = self._ending(load)
        clock = self.run.clock
        until_s = clock.monotonic_s() + _POINTS_SHARE_S
        self.run.publish_points(feed)
        for lines in self._last_points:
            self.run.unpublished += lines
            self.run.publish_points(feed)
            if clock.monotonic_s() >= until_s:
                return False
        return True

    def _ending(self, load: Callable[[], RunRecord]) -> Iterator[list[str]]:
        if self.run.points is not None:
            yield from self.run.points.finish(lambda: read_journal(self.run.folder.journal))
            yield summary_lines(load())
