"""RunState: what is known about a run after some of its journal entries; it depends on nothing but these entries.

The Aggregator applies every entry when it arrives, and finalizing a run applies them again from the journal, with the
same result. Each batch, event and usage tick counts once, however often it is delivered. Memory is bounded by names,
incarnations and open seconds, not by the length of the run.
"""

from __future__ import annotations

from collections import Counter, deque
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Final

from loadstone.archive.journal.entry import decode_entry
from loadstone.archive.journal.frame import EntryKind
from loadstone.archive.lifecycle import Lifecycle
from loadstone.archive.recent_arrivals import RecentArrivals
from loadstone.domain.arrival_counts import ArrivalCounts
from loadstone.domain.batch import NO_ERROR, Batch
from loadstone.domain.event import Event, EventKind
from loadstone.domain.ledger import IncarnationLedger, Ledger, SourceSeqs, ledger_of
from loadstone.domain.live import Trouble
from loadstone.domain.request_name import NAME_LIMIT, NameTable, RequestName
from loadstone.domain.rollup import Rollup, roll_up
from loadstone.domain.time import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from loadstone.archive.journal.entry import Content
    from loadstone.archive.journal.frame import Entry
    from loadstone.archive.recent_arrivals import ArrivalRates
    from loadstone.domain.usage_tick import Usage, UsageTick

__all__ = [
    "CLOSE_AFTER_S",
    "MASTER_LOST_AFTER_S",
    "OPEN_SECONDS",
    "BatchAggregate",
    "IncarnationState",
    "LiveRollups",
    "RunState",
    "name_ids",
]

CLOSE_AFTER_S: Final = 15
"""A run closes this long after it stopped, even if workers are still missing (design.md, "Archive")."""
MASTER_LOST_AFTER_S: Final = 30
"""A run that receives neither a batch nor an event of its master for this long has lost its master."""
_RECENT_EVENTS: Final = 200
_PROBLEM_LASTS_NS: Final = 10 * NS_PER_S
"""A sampler speaks once a second; what it said is no news any more once it has been silent for this long."""


class IncarnationState:
    """One incarnation: its ledger and its newest batch (None before the first one)."""

    __slots__ = ("ledger", "newest")

    def __init__(self, ledger: IncarnationLedger) -> None:
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
    """What is known about a run. With ``rollups=False`` samples count in the ledger but are not rolled up.

    ``names`` is a table of names that is shared with other consumers of the same batches in the same order.
    """

    def __init__(self, *, rollups: bool = True, name_limit: int = NAME_LIMIT, names: NameTable | None = None) -> None:
        self.names = NameTable(name_limit) if names is None else names
        self.lifecycle = Lifecycle()
        self.incarnations: dict[str, IncarnationState] = {}
        self.usage: dict[tuple[str, str], tuple[int, Usage]] = {}
        self.oom: Counter[tuple[str, str]] = Counter()
        self._usage_problems: dict[str, tuple[int, int, str]] = {}
        self.recent_events: deque[Event] = deque(maxlen=_RECENT_EVENTS)
        self.newest_ns = 0
        self._live = LiveRollups() if rollups else None
        self._recent_arrivals = RecentArrivals()
        self._seen = SourceSeqs()

    def apply(self, entry: Entry) -> bool:
        """Take in one journal entry; False when its content was taken in before.

        Raises `FormatError` when its blob is not what its kind says; nothing has changed then.
        """
        return self.apply_content(decode_entry(entry.kind, entry.blob))

    def apply_content(self, content: Content) -> bool:
        """Take in the content of one entry; False when it was taken in before."""
        if isinstance(content, Batch):
            return self.apply_batch(content)
        return self.apply_event(content) if isinstance(content, Event) else self.apply_usage(content)

    def apply_batch(self, batch: Batch, aggregate: BatchAggregate | None = None) -> bool:
        """Take in one batch; False when it was taken in before.

        ``aggregate`` is that of the batch with this run's names, where someone else needs it too.
        """
        if not self._incarnation_of(batch).apply(batch):
            return False
        self.newest_ns = max(self.newest_ns, batch.sent_ns)
        if self._live is not None:
            self._live.apply(aggregate or BatchAggregate(batch, self.names))
            if self.incarnations[batch.incarnation].newest is batch:
                self._recent_arrivals.apply(batch)
        return True

    def apply_event(self, event: Event) -> bool:
        """Take in one event; False when it was taken in before."""
        if not self._seen.add((EntryKind.EVENTS, event.source), event.seq):
            return False
        self.lifecycle.apply(event)
        self.newest_ns = max(self.newest_ns, event.at_ns)
        if event.kind is not EventKind.USERS:
            self.recent_events.append(event)
        if event.kind in {EventKind.WORKER_LOST, EventKind.WORKER_JOINED}:
            self._note_lost()
        return True

    def apply_usage(self, tick: UsageTick) -> bool:
        """Take in one tick; False when it was taken in before."""
        if not self._seen.add((EntryKind.USAGE, tick.source), tick.seq):
            return False
        self._note_problem(tick)
        for row in tick.rows:
            key = (row.service, row.container)
            self.oom[key] += row.oom
            if key not in self.usage or self.usage[key][0] <= tick.at_ns:
                self.usage[key] = (tick.at_ns, row)
        return True

    def usage_troubles(self, now_ns: int) -> tuple[Trouble, ...]:
        """What is wrong with the figures of containers at ``now_ns``, as the samplers said in their newest ticks."""
        return tuple(
            Trouble(part="usage", text=text, since_ns=since_ns)
            for since_ns, at_ns, text in self._usage_problems.values()
            if now_ns - at_ns < _PROBLEM_LASTS_NS
        )

    def _note_problem(self, tick: UsageTick) -> None:
        if not tick.problem:
            self._usage_problems.pop(tick.source, None)
            return
        since_ns, *_ = self._usage_problems.get(tick.source, (tick.at_ns,))
        self._usage_problems[tick.source] = since_ns, tick.at_ns, tick.problem

    @property
    def open_seconds(self) -> dict[int, dict[int, Rollup]]:
        """The newest seconds: second to name id to rollup."""
        return self._live.open_seconds if self._live else {}

    @property
    def complete_from_second(self) -> int:
        """The first second from which on `open_seconds` lacks nothing."""
        return self._live.dropped_second + 1 if self._live else 0

    @property
    def totals(self) -> dict[int, Rollup]:
        """Name id to rollup of the whole run."""
        return self._live.totals if self._live else {}

    @property
    def arrivals(self) -> ArrivalCounts | None:
        """Arrivals of the open model, as the newest batch of each incarnation tells; None under the closed model."""
        newest = [each.newest.arrivals for each in self.incarnations.values() if each.newest is not None]
        found = [counts for counts in newest if counts is not None]
        return reduce(ArrivalCounts.plus, found) if found else None

    @property
    def recent_arrivals(self) -> ArrivalRates | None:
        """Those of the last ten seconds; None under the closed model."""
        live = {name for name, incarnation in self.incarnations.items() if incarnation.ledger.is_live}
        return self._recent_arrivals.rates(live, self.lifecycle.schedule_ns or 0)

    @property
    def master_lost(self) -> bool:
        """Whether the master has not reported the end of the run."""
        return self.lifecycle.stopped_ns is None

    def watermark_second(self) -> int:
        """The first second that may still get samples: the oldest progress of live incarnations, 0 before any batch."""
        ledgers = [incarnation.ledger for incarnation in self.incarnations.values()]
        live = [ledger.progress_ns for ledger in ledgers if ledger.is_live]
        if live:
            return min(live) // NS_PER_S
        newest = max((ledger.last_end_ns for ledger in ledgers), default=0)
        return newest // NS_PER_S + 1 if newest else 0

    def is_complete(self, now_ns: int) -> bool:
        """Whether incarnations of the roster and Locust's exit code are all there at ``now_ns``, or the wait is over.

        At the latest `CLOSE_AFTER_S` after it stopped; without batch and master for `MASTER_LOST_AFTER_S` too.
        """
        stopped_ns = self.lifecycle.stopped_ns
        if stopped_ns is None:
            return now_ns - self._last_sign_ns() >= MASTER_LOST_AFTER_S * NS_PER_S
        ended = self._all_accounted_for() and self.lifecycle.exit_known
        return ended or now_ns - stopped_ns >= CLOSE_AFTER_S * NS_PER_S

    def ledger(self, closed_at_ns: int) -> Ledger:
        """The archive's ledger if the run were closed at ``closed_at_ns``."""
        return ledger_of(self.ledgers(), closed_at_ns)

    def ledgers(self) -> list[IncarnationLedger]:
        """The ledger of every incarnation, and of every worker lost before its first batch came (incarnation "")."""
        ledgers = [incarnation.ledger for incarnation in self.incarnations.values()]
        known = {ledger.worker for ledger in ledgers}
        lost_early = set(self.lifecycle.lost_at_ns) - known - self.silent_workers
        return ledgers + [self._silent(worker) for worker in sorted(lost_early)]

    def missing(self, kind: EntryKind) -> int:
        """How many events or usage ticks are missing between the first and the last one of each source."""
        return sum(
            last - first + 1
            for source, seqs in self._seen.items()
            for first, last in (seqs.gaps() if isinstance(source, tuple) and source[0] is kind else ())
        )

    @property
    def silent_workers(self) -> set[int]:
        """Workers of the roster that never sent a batch though they stayed, such as one that runs without the hook.

        A worker that has stopped is gone from the master's list, so one that goes while users stop has stayed.
        """
        known = {incarnation.ledger.worker for incarnation in self.incarnations.values()}
        return self.lifecycle.roster - known - self.lifecycle.lost_under_load

    def _silent(self, worker: int) -> IncarnationLedger:
        """A worker that never sent a batch may have been as fast as the fastest one, from when it joined."""
        lost_at_ns = self.lifecycle.lost_at_ns[worker]
        begun_ns = self.lifecycle.joined_ns.get(worker, self.lifecycle.started_ns or lost_at_ns)
        fastest = max((incarnation.ledger.peak_rate for incarnation in self.incarnations.values()), default=0.0)
        return IncarnationLedger(
            incarnation="", worker=worker, peak_rate=fastest, last_sent_ns=begun_ns, lost_at_ns=lost_at_ns
        )

    def _last_sign_ns(self) -> int:
        sent = max((incarnation.ledger.last_sent_ns for incarnation in self.incarnations.values()), default=0)
        return max(sent, self.lifecycle.master_ns) or self.newest_ns

    def _all_accounted_for(self) -> bool:
        ledgers = [incarnation.ledger for incarnation in self.incarnations.values()]
        known = {ledger.worker for ledger in ledgers} | set(self.lifecycle.lost_at_ns)
        return bool(known) and self.lifecycle.roster <= known and not any(ledger.is_live for ledger in ledgers)

    def _incarnation_of(self, batch: Batch) -> IncarnationState:
        if batch.incarnation not in self.incarnations:
            lost_at_ns = self.lifecycle.lost_at_ns.get(batch.worker)
            ledger = IncarnationLedger(incarnation=batch.incarnation, worker=batch.worker, lost_at_ns=lost_at_ns)
            self.incarnations[batch.incarnation] = IncarnationState(ledger)
        return self.incarnations[batch.incarnation]

    def _note_lost(self) -> None:
        for incarnation in self.incarnations.values():
            incarnation.ledger.lost_at_ns = self.lifecycle.lost_at_ns.get(incarnation.ledger.worker)


OPEN_SECONDS: Final = 60
"""How many of the newest seconds are kept."""


def name_ids(table: NameTable, names: Sequence[RequestName]) -> NDArray[np.int64]:
    """The run-wide ids of a batch's names, cleaned first."""
    return table.ids_of([RequestName.cleaned(*name) for name in names])


class BatchAggregate:
    """A batch counted by second and name: computed once, on first use, and shared by all consumers.

    Computing it admits the batch's names to the run, so batches have to be processed in the order of the journal.
    """

    def __init__(self, batch: Batch, names: NameTable) -> None:
        self.batch = batch
        self._names = names

    @cached_property
    def name_ids(self) -> NDArray[np.int64]:
        """The run-wide id of each sample's name, shape (n,)."""
        return name_ids(self._names, self.batch.names)[self.batch.columns.name]

    @cached_property
    def rollups(self) -> dict[tuple[int, int], Rollup]:
        """The rollup of each (second, name id). `LiveRollups` keeps and extends them: others keep copies."""
        columns = self.batch.columns
        failed = columns.error != NO_ERROR
        values = (columns.duration_us, columns.bytes, failed, columns.late_us)
        return roll_up(columns.end_ns // NS_PER_S, self.name_ids, *values)


class LiveRollups:
    """``open_seconds``: second to name id to rollup; ``totals``: name id to rollup of the whole run.

    A sample that arrives after its second was dropped counts in ``totals`` only; the archive's rollups of that second
    are complete, because finalizing builds them from the journal.
    """

    def __init__(self) -> None:
        self.open_seconds: dict[int, dict[int, Rollup]] = {}
        self.totals: dict[int, Rollup] = {}
        self.dropped_second = -1

    def apply(self, aggregate: BatchAggregate) -> None:
        """Count the samples of a batch that was not seen before."""
        if not len(aggregate.batch.columns):
            return
        for (second, name), rollup in aggregate.rollups.items():
            self.totals.setdefault(name, Rollup()).merge(rollup)
            self._count(second, name, rollup)
        self._drop_oldest()

    def _count(self, second: int, name: int, rollup: Rollup) -> None:
        if second <= self.dropped_second:
            return
        names = self.open_seconds.setdefault(second, {})
        if name in names:
            names[name].merge(rollup)
        else:
            names[name] = rollup

    def _drop_oldest(self) -> None:
        while len(self.open_seconds) > OPEN_SECONDS:
            oldest = min(self.open_seconds)
            del self.open_seconds[oldest]
            self.dropped_second = max(self.dropped_second, oldest)
