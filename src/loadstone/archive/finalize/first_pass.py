"""The first pass over a journal: events, incarnations and the extent of the run, before any sample is rolled up."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from loadstone.archive.events_file import event_line
from loadstone.archive.finalize.answers import Answers
from loadstone.archive.finalize.ending import UserReports
from loadstone.archive.finalize.pauses import StuckUsers
from loadstone.archive.integrity import ContentsRecord
from loadstone.archive.journal.entry import decode_entry
from loadstone.archive.run_state import RunState
from loadstone.domain.batch import Batch
from loadstone.domain.event import EventKind
from loadstone.domain.time import NS_PER_S, NS_PER_US
from loadstone.domain.usage_tick import UsageTick
from loadstone.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import TextIO

    from loadstone.archive.journal.frame import Entry
    from loadstone.domain.facts import Window
    from loadstone.domain.stall import Stall

__all__ = ["FirstPass", "first_pass"]

_FOREVER: Final = (1 << 63) - 1


@dataclass(slots=True)
class FirstPass:
    """What the first pass found. Times are wall clock, ns; 0 where there was no sample.

    ``users``: number of users by second since 1970; ``reports``: how many were wanted. ``answers``: when requests
    ended. ``stalls``: of each incarnation that ever stood still. ``stuck``: users that were cut off inside a task.
    ``unread``: entries whose blob was not what their kind says. ``events``, ``usage_ticks`` and ``usage_rows``: how
    many different ones there are. ``has_arrivals``: a worker has told of any.
    """

    state: RunState = field(default_factory=lambda: RunState(rollups=False))
    users: dict[int, int] = field(default_factory=dict)
    reports: UserReports = field(default_factory=UserReports)
    answers: Answers = field(default_factory=Answers)
    first_start_ns: int = 0
    last_end_ns: int = 0
    unread: int = 0
    events: int = 0
    usage_ticks: int = 0
    usage_rows: int = 0
    has_arrivals: bool = False
    stalls: dict[str, list[Stall]] = field(default_factory=dict)
    stuck: list[StuckUsers] = field(default_factory=list)
    _stuck: dict[str, int] = field(default_factory=dict)
    _first_seconds: array[int] = field(default_factory=lambda: array("q"))

    def take(self, entry: Entry, events: TextIO) -> None:
        """Take in one entry of the journal; a new event is written as a line to ``events``."""
        try:
            content = decode_entry(entry.kind, entry.blob)
        except FormatError:
            self.unread += 1
            return
        if not self.state.apply_content(content):
            return
        if isinstance(content, Batch):
            self._note_extent(content)
            self._note_stuck(content)
            self.has_arrivals |= content.is_open
            self.reports.take_batch(content)
            if content.stalls:
                self.stalls.setdefault(content.incarnation, []).extend(content.stalls)
        elif isinstance(content, UsageTick):
            self.usage_ticks += 1
            self.usage_rows += len(content.rows)
        else:
            self.events += 1
            events.write(event_line(content))
            self.reports.take(content)
            if content.kind is EventKind.USERS:
                self.users[content.at_ns // NS_PER_S] = self.state.lifecycle.users

    def finish(self) -> None:
        """Turn the first second of each batch into the first second of it and all batches after it."""
        lowest = _FOREVER
        for at in range(len(self._first_seconds) - 1, -1, -1):
            lowest = min(lowest, self._first_seconds[at])
            self._first_seconds[at] = lowest

    @property
    def open_model(self) -> bool:
        """Whether a schedule asked for the iterations, so that response times begin at their intended starts."""
        return self.has_arrivals or bool(self.state.lifecycle.identity.rate)

    @property
    def contents(self) -> ContentsRecord:
        """How much the journal holds."""
        ledgers = [each.ledger for each in self.state.incarnations.values() if len(each.ledger.seqs)]
        return ContentsRecord(
            requests=sum(ledger.stored for ledger in ledgers),
            batches=sum(len(ledger.seqs) for ledger in ledgers),
            incarnations=len(ledgers),
            events=self.events,
            usage_ticks=self.usage_ticks,
            usage_rows=self.usage_rows,
        )

    def watermark_after(self, batches: int) -> int:
        """The first second that gets samples after this many different batches."""
        return self._first_seconds[batches] if batches < len(self._first_seconds) else _FOREVER

    @property
    def started_ns(self) -> int:
        """When the run started: by its master, else by its first sample, else by its newest entry; 0 without any."""
        return self.state.lifecycle.started_ns or self.first_start_ns or self.state.newest_ns

    @property
    def ended_ns(self) -> int:
        """When the run ended: by its master, else by its last sample, else by its newest entry; 0 without any."""
        ended_ns = self.state.lifecycle.stopped_ns or self.last_end_ns or self.state.newest_ns
        return max(self.started_ns, ended_ns)

    @property
    def window(self) -> Window:
        """The part of the run that objectives judge."""
        return self.state.lifecycle.window(self.first_start_ns, self.last_end_ns)

    def _note_stuck(self, batch: Batch) -> None:
        known = self._stuck.get(batch.incarnation, 0)
        if batch.stuck > known:
            self.stuck.append(StuckUsers(batch.sent_ns, batch.stuck - known))
            self._stuck[batch.incarnation] = batch.stuck

    def _note_extent(self, batch: Batch) -> None:
        ends = batch.columns.end_ns
        self._first_seconds.append(int(ends.min()) // NS_PER_S if len(ends) else _FOREVER)
        if len(ends):
            start_ns = int((ends - np.maximum(batch.columns.duration_us, 0) * NS_PER_US).min())
            self.first_start_ns = min(self.first_start_ns or start_ns, start_ns)
            self.last_end_ns = max(self.last_end_ns, int(ends.max()))
            self.answers.take(ends)


def first_pass(journal: Iterable[Entry], events: Path) -> FirstPass:
    """Read the whole journal once and write every event, in the journal's order, to ``events``.

    Raises what reading the journal does.
    """
    found = FirstPass()
    with events.open("w", encoding="utf-8") as lines:
        for entry in journal:
            found.take(entry, lines)
    found.finish()
    return found
