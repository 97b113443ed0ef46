"""Ledger: where every produced sample is, per incarnation and for the whole run.

An incarnation that sent its final batch is exact: produced equals stored plus dropped, or the ledger does not balance.
One that was killed cannot report what it still held; for it the ledger gives an upper bound, ``unknown``.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Final

from loadstone.domain.time import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from loadstone.domain.batch import Batch

__all__ = ["IncarnationLedger", "Ledger", "SeqTracker", "SourceSeqs", "ledger_of"]

_SHORTEST_RATE_NS: Final = NS_PER_S // 10
"""A rate is taken over at least 0.1 s, so that two batches in quick succession do not look like a peak."""


class SeqTracker:
    """Which sequence numbers were seen, kept as disjoint ranges: memory grows with the gaps, not with the numbers."""

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []  # one past the last number of each range

    def add(self, seq: int) -> bool:
        """Note one number; False when it was seen before."""
        at = bisect_right(self._starts, seq)
        if at and seq < self._ends[at - 1]:
            return False
        joins_left = at > 0 and self._ends[at - 1] == seq
        joins_right = at < len(self._starts) and self._starts[at] == seq + 1
        if joins_left and joins_right:
            self._ends[at - 1] = self._ends.pop(at)
            del self._starts[at]
        elif joins_left:
            self._ends[at - 1] = seq + 1
        elif joins_right:
            self._starts[at] = seq
        else:
            self._starts.insert(at, seq)
            self._ends.insert(at, seq + 1)
        return True

    def __contains__(self, seq: int) -> bool:
        at = bisect_right(self._starts, seq)
        return at > 0 and seq < self._ends[at - 1]

    def __len__(self) -> int:
        """How many numbers were seen."""
        return sum(self._ends) - sum(self._starts)

    def gaps(self, first: int | None = None) -> list[tuple[int, int]]:
        """The first and last number of each gap before the highest number, from ``first`` or the lowest one on."""
        ends = self._ends[:-1] if first is None else [first, *self._ends[:-1]]
        starts = self._starts[1:] if first is None else self._starts
        return [(end, start - 1) for end, start in zip(ends, starts, strict=bool(self._ends)) if end < start]


class SourceSeqs:
    """Which sequence numbers of which sources were seen. Sources are any hashable values, such as an incarnation."""

    __slots__ = ("_trackers",)

    def __init__(self) -> None:
        self._trackers: dict[Hashable, SeqTracker] = {}

    def add(self, source: Hashable, seq: int) -> bool:
        """Note one number of a source; False when it was seen before."""
        tracker = self._trackers.get(source)
        if tracker is None:
            tracker = self._trackers[source] = SeqTracker()
        return tracker.add(seq)

    def items(self) -> Iterable[tuple[Hashable, SeqTracker]]:
        """Every source with its numbers."""
        return self._trackers.items()


@dataclass(slots=True, kw_only=True)
class IncarnationLedger:
    """Where the samples of one life of one worker process are.

    ``produced`` and ``dropped`` (because the worker's buffer was full) are the totals that it reported last, ``stored``
    counts the samples of its batches, each once. ``buffered`` waited in the worker behind its last batch. ``peak_rate``
    is its highest samples/s between two batches, ``peak_users`` the most users it reported; `Batch` explains
    ``aborted``, ``odd``, ``odd_example``, ``stuck``, ``went_away``, ``unreported`` and ``lone_errors``. Times are wall
    clock, ns; 0 or None before they are known. ``lost_at_ns`` is when the master reported its worker lost. ``damaged``
    samples were stored once, in a part of the journal that is damaged now.
    """

    incarnation: str
    worker: int
    produced: int = 0
    stored: int = 0
    dropped: int = 0
    damaged: int = 0
    buffered: int = 0
    aborted: int = 0
    odd: int = 0
    odd_example: str = ""
    stuck: int = 0
    went_away: int = 0
    unreported: int = 0
    lone_errors: int = 0
    final: bool = False
    peak_rate: float = 0.0
    peak_users: int = 0
    last_end_ns: int = 0
    first_sent_ns: int = 0
    last_sent_ns: int = 0
    lost_at_ns: int | None = None
    seqs: SeqTracker = field(default_factory=SeqTracker)
    last_seq: int = -1
    progress_ns: int = 0
    """All samples that ended before this moment have arrived, according to its newest batch."""

    def apply(self, batch: Batch) -> bool:
        """Enter one batch of this incarnation; False, and nothing changes, when its ``seq`` was entered before."""
        if not self.seqs.add(batch.seq):
            return False
        self.stored += len(batch.columns)
        self.final = self.final or batch.final
        self._note_ends(batch)
        self._note_rate(batch)
        self.peak_users = max(self.peak_users, batch.users)
        if batch.seq > self.last_seq:
            self._note_totals(batch)
        return True

    def _note_ends(self, batch: Batch) -> None:
        ends = batch.columns.end_ns
        if len(ends):
            self.last_end_ns = max(self.last_end_ns, int(ends[-1]))
        self.first_sent_ns = min(self.first_sent_ns or batch.sent_ns, batch.sent_ns)

    def _note_rate(self, batch: Batch) -> None:
        n = len(batch.columns)
        if batch.seq == self.last_seq + 1 and self.last_seq >= 0:
            since_ns, n = self.last_sent_ns, max(n, batch.produced - self.produced)
        else:
            since_ns = int(batch.columns.end_ns[0]) if n else batch.sent_ns
        self.peak_rate = max(self.peak_rate, n * NS_PER_S / max(batch.sent_ns - since_ns, _SHORTEST_RATE_NS))

    def _note_totals(self, batch: Batch) -> None:
        self.last_seq = batch.seq
        self.last_sent_ns = batch.sent_ns
        ends = batch.columns.end_ns
        self.progress_ns = max(self.progress_ns, int(ends[-1]) if len(ends) else batch.sent_ns)
        self.produced, self.dropped = batch.produced, batch.dropped
        self.buffered, self.aborted = batch.buffered, batch.aborted
        self.odd, self.odd_example = batch.odd, batch.odd_example
        self.stuck, self.went_away = batch.stuck, batch.went_away
        self.unreported, self.lone_errors = batch.unreported, batch.lone_errors

    @property
    def is_lost(self) -> bool:
        """Whether it was reported lost and has sent neither a final batch nor anything since."""
        return not self.final and self.lost_at_ns is not None and self.last_sent_ns <= self.lost_at_ns

    @property
    def is_live(self) -> bool:
        """Whether more batches may arrive."""
        return not (self.final or self.is_lost)

    @property
    def missing(self) -> int:
        """Produced, but neither stored nor dropped, up to its last batch; not 0 means lost (or invented) samples."""
        return self.produced - self.stored - self.dropped

    def unknown(self, closed_at_ns: int) -> int:
        """How many requests it may have sent beyond what is stored or dropped, at most.

        After its final batch those that are ``damaged``, else the sum of: its peak rate over the time from its last
        batch to its end (``lost_at_ns``, else ``closed_at_ns``), one request in flight for each of its users, what was
        buffered behind that batch, and what that batch counted but was never received.
        """
        if self.final:
            return self.damaged
        ended_ns = self.lost_at_ns if self.is_lost and self.lost_at_ns is not None else closed_at_ns
        silent_s = max(0, ended_ns - self.last_sent_ns) / NS_PER_S
        return ceil(self.peak_rate * silent_s) + self.peak_users + self.buffered + max(0, self.missing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Where every sample of a run is: ``produced == stored + dropped`` for every incarnation that ended properly.

    ``unknown`` is an upper bound for the incarnations that did not. ``unbalanced`` names the ended incarnations that do
    not add up.
    """

    produced: int = 0
    stored: int = 0
    dropped: int = 0
    unknown: int = 0
    unbalanced: tuple[str, ...] = ()
    off_by: int = 0

    @property
    def balances(self) -> bool:
        """Whether every ended incarnation is exact."""
        return not self.unbalanced


def ledger_of(incarnations: Iterable[IncarnationLedger], closed_at_ns: int) -> Ledger:
    """The run's ledger; ``off_by`` sums how far the unbalanced incarnations are off, without regard to sign."""
    incarnations = tuple(incarnations)
    off = {
        incarnation.incarnation: abs(incarnation.missing)
        for incarnation in incarnations
        if incarnation.final and incarnation.missing
    }
    return Ledger(
        produced=sum(incarnation.produced for incarnation in incarnations),
        stored=sum(incarnation.stored for incarnation in incarnations),
        dropped=sum(incarnation.dropped for incarnation in incarnations),
        unknown=sum(incarnation.unknown(closed_at_ns) for incarnation in incarnations),
        unbalanced=tuple(off),
        off_by=sum(off.values()),
    )
