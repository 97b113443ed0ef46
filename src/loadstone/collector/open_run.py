"""OpenRun: a run that still receives entries."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from loadstone.archive.journal.frame import EntryKind
from loadstone.archive.journal.segments import JournalWriter, read_journal
from loadstone.archive.run_state import MASTER_LOST_AFTER_S, RunState
from loadstone.domain.event import Event, EventKind, encode_event
from loadstone.influx.encode_summary import record_of, summary_lines
from loadstone.influx.point_stream import PointStream, apply_entry, decoded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from loadstone.archive.folder import RunFolder
    from loadstone.domain.batch import Batch
    from loadstone.domain.event import UsageTick

__all__ = ["OpenRun"]

_SILENCE_S: Final = 0.4
"""A stopped run of which nothing came for this long has no backlog. Workers ship twice a second."""


@dataclass(slots=True)
class OpenRun:
    """Its locked folder, its journal, what is known of it, and its points if there is an InfluxWriter.

    ``position`` counts the entries of its journal; ``unpublished`` are lines that the stream did not take yet;
    ``arrived_s`` is when the last batch or event came (monotonic).
    """

    folder: RunFolder
    journal: JournalWriter
    state: RunState
    lock: ExitStack
    points: PointStream | None = None
    position: int = 0
    unpublished: list[str] = field(default_factory=list)
    arrived_s: float = field(default_factory=time.monotonic)
    _last_points: Iterator[list[str]] | None = None

    @classmethod
    def open(cls, folder: RunFolder, *, published: int | None = None) -> OpenRun:
        """Begin a run, or go on with one whose journal is there.

        ``published``: up to which entry its points were published, None when nobody wants points. Raises
        `ArchiveError` when another process has the folder.
        """
        lock = ExitStack()
        lock.enter_context(folder.create().lock())
        state = RunState()
        points = None if published is None else PointStream(folder.run, state.names)
        run = cls(folder, JournalWriter(folder.journal), state, lock, points)
        for entry in read_journal(folder.journal):
            run.position += 1
            apply_entry(entry.stream_id, decoded(entry.kind, entry.blob), run.state, points)
            if points and published is not None and run.position <= published:
                points.take()
        return run

    def take(self, kind: EntryKind, stream_id: str, blob: bytes, content: Batch | Event | UsageTick) -> None:
        """Write one entry into the journal and take it in. Raises `ArchiveError` when the disk is full."""
        self.journal.append(kind, stream_id, blob)
        self.position += 1
        if kind is not EntryKind.USAGE:
            self.arrived_s = time.monotonic()
        apply_entry(stream_id, content, self.state, self.points)
        if self.state.names.capped and not self.state.lifecycle.names_capped:
            self._note_names_capped(stream_id)

    def _note_names_capped(self, stream_id: str) -> None:
        """Put it into the journal that further names are counted together."""
        event = Event(
            run=self.folder.run,
            kind=EventKind.NAMES_CAPPED,
            at_ns=self.state.newest_ns,
            source="aggregator",
            seq=0,
            data={"limit": self.state.names.limit},
        )
        self.take(EntryKind.EVENTS, stream_id, encode_event(event), event)

    def may_close(self, now_ns: int) -> bool:
        """Whether the run is complete and nothing more comes in.

        After an outage of the stream its last words may be old when they arrive, so silence is measured by arrival:
        a backlog is drained first, and a master is only lost when nobody said anything for that long here.
        """
        silent_s = time.monotonic() - self.arrived_s
        enough_s = MASTER_LOST_AFTER_S if self.state.lifecycle.stopped_ns is None else _SILENCE_S
        return silent_s >= enough_s and self.state.is_complete(now_ns)

    def last_points(self, document: Mapping[str, Any]) -> Iterator[list[str]]:
        """The points that only the end of the run can tell, given its run.json; asked again, those not taken yet."""
        if self._last_points is None:
            self._last_points = self._ending(document)
        return self._last_points

    def close(self) -> None:
        """Let go of the folder; its journal can be gone on with."""
        self.journal.close()
        self.lock.close()

    def _ending(self, document: Mapping[str, Any]) -> Iterator[list[str]]:
        if self.points is not None:
            yield from self.points.finish(lambda: read_journal(self.folder.journal))
            if (record := record_of(document)) is not None:
                yield summary_lines(record)
