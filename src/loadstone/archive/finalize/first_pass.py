"""The first pass over a journal: events, incarnations and the extent of the run, before any sample is rolled up."""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from msgspec import to_builtins

from loadstone.archive.journal.frame import EntryKind
from loadstone.archive.lifecycle import masked
from loadstone.archive.run_state import RunState
from loadstone.domain.batch import decode_batch
from loadstone.domain.event import EventKind, decode_event
from loadstone.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO

    from loadstone.archive.journal.frame import Entry
    from loadstone.archive.journal.segments import JournalReader
    from loadstone.domain.batch import Batch
    from loadstone.domain.event import Event

__all__ = ["FirstPass", "event_line", "first_pass", "iso"]

_NS: Final = 1_000_000_000
_FOREVER: Final = (1 << 63) - 1


@dataclass(slots=True)
class FirstPass:
    """What the first pass found. Times are wall clock, ns; 0 where there was no sample.

    ``users``: second since 1970 to users that ran then. ``unread``: entries whose blob was not what it claimed to be.
    """

    state: RunState = field(default_factory=lambda: RunState(rollups=False))
    users: dict[int, int] = field(default_factory=dict)
    first_start_ns: int = 0
    last_end_ns: int = 0
    unread: int = 0
    _first_seconds: array[int] = field(default_factory=lambda: array("q"))

    def take(self, entry: Entry, events: TextIO) -> None:
        """Take in one entry of the journal; a new event is written as a line to ``events``."""
        try:
            if entry.kind is EntryKind.SAMPLES:
                self._take_batch(decode_batch(entry.blob))
            elif entry.kind is EntryKind.EVENTS:
                self._take_event(decode_event(entry.blob), events)
            else:
                self.state.apply(entry)
        except FormatError:
            self.unread += 1

    def finish(self) -> None:
        """PointsLease the first second of each batch into the first second of it and all batches after it."""
        lowest = _FOREVER
        for at in range(len(self._first_seconds) - 1, -1, -1):
            lowest = min(lowest, self._first_seconds[at])
            self._first_seconds[at] = lowest

    def watermark_after(self, batches: int) -> int:
        """The first second that gets samples after this many (different) batches."""
        return self._first_seconds[batches] if batches < len(self._first_seconds) else _FOREVER

    def _take_batch(self, batch: Batch) -> None:
        if not self.state.apply_batch(batch):
            return
        ends = batch.columns.end_ns
        self._first_seconds.append(int(ends.min()) // _NS if len(ends) else _FOREVER)
        if len(ends):
            start_ns = int((ends - batch.columns.duration_us * 1000).min())
            self.first_start_ns = min(self.first_start_ns or start_ns, start_ns)
            self.last_end_ns = max(self.last_end_ns, int(ends.max()))

    def _take_event(self, event: Event, events: TextIO) -> None:
        if not self.state.apply_event(event):
            return
        events.write(event_line(event))
        if event.kind is EventKind.USERS:
            self.users[event.at_ns // _NS] = self.state.lifecycle.users


def first_pass(journal: JournalReader, events: Path) -> FirstPass:
    """Read the whole journal once and write every event, in the journal's order, to ``events``.

    Raises `ArchiveError` as `JournalReader` does.
    """
    found = FirstPass()
    with events.open("w", encoding="utf-8") as lines:
        for entry in journal:
            found.take(entry, lines)
    found.finish()
    return found


def event_line(event: Event) -> str:
    """One line of events.jsonl; secrets are masked."""
    return json.dumps(
        {
            "at": iso(event.at_ns),
            "at_ns": event.at_ns,
            "kind": event.kind,
            "source": event.source,
            "seq": event.seq,
            "data": to_builtins(masked(event.payload)),
        }
    ) + "\n"  # fmt: skip


def iso(at_ns: int) -> str:
    """A moment in ISO 8601, UTC, to the microsecond."""
    seconds, rest_ns = divmod(at_ns, _NS)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest_ns // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
