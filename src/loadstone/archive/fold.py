"""RunState: a pure fold of journal entries into what is known of a run.

The Aggregator applies every entry as it comes, closing a run applies them again from the journal; the result is the
same, and each batch, event and usage tick counts once however often it comes. Memory is bounded by names, boots and
open seconds, not by the length of the run.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from loadstone.archive.frame import EntryKind
from loadstone.archive.live_rollups import LiveRollups
from loadstone.archive.run_events import RunEvents
from loadstone.domain.batch import decode_batch
from loadstone.domain.event import EventKind, decode_event, decode_usage
from loadstone.domain.ledger import BootLedger, Ledger, SeqTracker, ledger_of
from loadstone.domain.rollup import NAME_LIMIT, NameTable

if TYPE_CHECKING:
    from loadstone.archive.frame import Entry
    from loadstone.domain.batch import Batch
    from loadstone.domain.event import Event, Usage, UsageTick
    from loadstone.domain.rollup import Rollup

__all__ = ["CLOSE_AFTER_S", "MASTER_LOST_AFTER_S", "BootState", "RunState"]

CLOSE_AFTER_S: Final = 15
"""A run closes this long after it stopped, whoever is still missing (design.md, "Archive")."""
MASTER_LOST_AFTER_S: Final = 30
"""A run without a batch and without a word of its master for this long has lost its master."""
_RECENT_EVENTS: Final = 200
_NS: Final = 1_000_000_000


class BootState:
    """One boot: its ledger and the newest word on how it is doing (None before the first batch)."""

    __slots__ = ("ledger", "newest")

    def __init__(self, ledger: BootLedger) -> None:
        self.ledger = ledger
        self.newest: Batch | None = None

    def apply(self, batch: Batch) -> bool:
        """Enter one batch; False when it was entered before."""
        if not self.ledger.apply(batch):
            return False
        if batch.seq == self.ledger.last_seq:
            self.newest = batch
        return True


class RunState:
    """What is known of a run. With ``rollups=False`` samples are entered in the ledger but not rolled up."""

    def __init__(self, *, rollups: bool = True, name_limit: int = NAME_LIMIT) -> None:
        self.names = NameTable(name_limit)
        self.about = RunEvents()
        self.boots: dict[str, BootState] = {}
        self.usage: dict[tuple[str, str], tuple[int, Usage]] = {}
        self.recent_events: deque[Event] = deque(maxlen=_RECENT_EVENTS)
        self.duplicates = 0
        self.newest_ns = 0
        self._live = LiveRollups(self.names) if rollups else None
        self._seen: dict[tuple[EntryKind, str], SeqTracker] = {}

    def apply(self, entry: Entry) -> bool:
        """Take in one journal entry; False when its content was taken in before.

        Raises `FormatError` when its blob is not what its kind says; nothing has changed then.
        """
        if entry.kind is EntryKind.SAMPLES:
            return self.apply_batch(decode_batch(entry.blob))
        if entry.kind is EntryKind.EVENTS:
            return self.apply_event(decode_event(entry.blob))
        return self.apply_usage(decode_usage(entry.blob))

    def apply_batch(self, batch: Batch) -> bool:
        """Take in one batch; False when it was taken in before."""
        if not self._boot_of(batch).apply(batch):
            self.duplicates += 1
            return False
        self.newest_ns = max(self.newest_ns, batch.sent_ns)
        if self._live is not None:
            self._live.apply(batch)
        return True

    def apply_event(self, event: Event) -> bool:
        """Take in one event; False when it was taken in before."""
        if not self._is_new(EntryKind.EVENTS, event.source, event.seq):
            return False
        self.about.apply(event)
        self.newest_ns = max(self.newest_ns, event.at_ns)
        if event.kind is not EventKind.USERS:
            self.recent_events.append(event)
        if event.kind in {EventKind.WORKER_LOST, EventKind.WORKER_JOINED}:
            self._note_lost()
        return True

    def apply_usage(self, tick: UsageTick) -> bool:
        """Take in one tick; False when it was taken in before."""
        if not self._is_new(EntryKind.USAGE, tick.source, tick.seq):
            return False
        for row in tick.rows:
            key = (row.service, row.container)
            if key not in self.usage or self.usage[key][0] <= tick.at_ns:
                self.usage[key] = (tick.at_ns, row)
        return True

    @property
    def open_seconds(self) -> dict[int, dict[int, Rollup]]:
        """The newest seconds: second to name id to rollup."""
        return self._live.open_seconds if self._live else {}

    @property
    def totals(self) -> dict[int, Rollup]:
        """Name id to rollup of the whole run."""
        return self._live.totals if self._live else {}

    @property
    def late(self) -> int:
        """Samples whose second was no longer open when they came; closing puts them right."""
        return self._live.late if self._live else 0

    @property
    def master_lost(self) -> bool:
        """Whether the run has no end that its master told."""
        return self.about.stopped_ns is None

    def watermark_second(self) -> int:
        """The first second that may still get samples: the oldest progress of all live boots, 0 before any batch."""
        ledgers = [boot.ledger for boot in self.boots.values()]
        live = [ledger.progress_ns for ledger in ledgers if ledger.is_live]
        if live:
            return min(live) // _NS
        newest = max((ledger.last_end_ns for ledger in ledgers), default=0)
        return newest // _NS + 1 if newest else 0

    def is_complete(self, now_ns: int) -> bool:
        """Whether the run may be closed at ``now_ns``: every boot of its roster is accounted for, or the wait is over.

        At the latest `CLOSE_AFTER_S` after it stopped; without batch and master for `MASTER_LOST_AFTER_S` too.
        """
        stopped_ns = self.about.stopped_ns
        if stopped_ns is None:
            return now_ns - self._last_sign_ns() >= MASTER_LOST_AFTER_S * _NS
        return self._all_accounted_for() or now_ns - stopped_ns >= CLOSE_AFTER_S * _NS

    def ledger(self, closed_at_ns: int) -> Ledger:
        """The archive's ledger if the run were closed at ``closed_at_ns``."""
        return ledger_of(self.ledgers(), closed_at_ns)

    def ledgers(self) -> list[BootLedger]:
        """The ledger of every boot, and of every worker that was lost before its first batch came (boot "")."""
        ledgers = [boot.ledger for boot in self.boots.values()]
        known = {ledger.worker for ledger in ledgers}
        return ledgers + [self._silent(worker) for worker in sorted(set(self.about.lost_at_ns) - known)]

    def _silent(self, worker: int) -> BootLedger:
        """A worker of which nothing came may have been as fast as the fastest, from when it joined."""
        lost_at_ns = self.about.lost_at_ns[worker]
        begun_ns = self.about.joined_ns.get(worker, self.about.started_ns or lost_at_ns)
        fastest = max((boot.ledger.peak_rate for boot in self.boots.values()), default=0.0)
        return BootLedger(boot="", worker=worker, peak_rate=fastest, last_sent_ns=begun_ns, lost_at_ns=lost_at_ns)

    def _last_sign_ns(self) -> int:
        sent = max((boot.ledger.last_sent_ns for boot in self.boots.values()), default=0)
        return max(sent, self.about.master_ns) or self.newest_ns

    def _all_accounted_for(self) -> bool:
        ledgers = [boot.ledger for boot in self.boots.values()]
        known = {ledger.worker for ledger in ledgers} | set(self.about.lost_at_ns)
        return bool(known) and self.about.roster <= known and not any(ledger.is_live for ledger in ledgers)

    def _boot_of(self, batch: Batch) -> BootState:
        if batch.boot not in self.boots:
            lost_at_ns = self.about.lost_at_ns.get(batch.worker)
            ledger = BootLedger(boot=batch.boot, worker=batch.worker, lost_at_ns=lost_at_ns)
            self.boots[batch.boot] = BootState(ledger)
        return self.boots[batch.boot]

    def _note_lost(self) -> None:
        for boot in self.boots.values():
            boot.ledger.lost_at_ns = self.about.lost_at_ns.get(boot.ledger.worker)

    def _is_new(self, kind: EntryKind, source: str, seq: int) -> bool:
        return self._seen.setdefault((kind, source), SeqTracker()).add(seq)
