"""OpenRun: a run that receives entries, and ClosingRun: the same run while its files are made."""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from loadstone.archive.journal.entry import decode_entry
from loadstone.archive.journal.frame import EntryKind
from loadstone.archive.journal.reader import read_journal
from loadstone.archive.journal.writer import JournalWriter
from loadstone.archive.run_state import MASTER_LOST_AFTER_S, RunState
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
            held.enter_context(folder.create().lock())
            journal = held.enter_context(closing(JournalWriter(folder.journal)))
            run = cls(folder, journal, state, held, clock, clock.monotonic_s(), points)
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
