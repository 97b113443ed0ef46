"""PointStream: the points of a run other than its raw requests, as line protocol.

It is a pure fold: the lines depend on the entries and their order alone, not on a clock, so folding the journal again
gives the same points. A second is written when all live workers are past it, at the latest when five newer ones have
begun; later data for it makes it be written again. Memory is bounded by the seconds kept times names.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from loadstone.archive.journal.entry import decode_entry
from loadstone.archive.run_state import BatchAggregate, RunState
from loadstone.domain.batch import Batch
from loadstone.domain.event import Event, Started, Users
from loadstone.domain.lateness import Lateness
from loadstone.domain.request_name import NameTable
from loadstone.domain.time import NS_PER_MS, NS_PER_S
from loadstone.errors import FormatError
from loadstone.influx.encode import balancer_line, container_line, event_line, worker_line
from loadstone.influx.encode_rollups import RollupLines
from loadstone.influx.encode_summary import announced_objectives
from loadstone.influx.time_buckets import TimeBuckets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from loadstone.archive.journal.frame import Entry
    from loadstone.domain.usage_tick import UsageTick

__all__ = ["PointStream", "apply_entry", "replay_points"]

LATEST_S: Final = 5


class PointStream:
    """The points of one run. ``time_buckets`` that are limited to some buckets recompute only these.

    ``names`` is the run's table of names, where a `RunState` counts the same batches.
    """

    def __init__(self, run: str, names: NameTable | None = None, *, time_buckets: TimeBuckets | None = None) -> None:
        if time_buckets is None:  # an empty one is false
            time_buckets = TimeBuckets(NameTable() if names is None else names)
        self.time_buckets = time_buckets
        self._rollups = RollupLines(run)
        self._run = run
        self._lines: list[str] = []
        self._horizon = 0
        self._newest_s = 0
        self._event_ns: dict[str, int] = {}
        self._worker_second: dict[str, int] = {}
        self._lateness: defaultdict[str, Lateness] = defaultdict(Lateness)

    @property
    def names(self) -> NameTable:
        """The names of the run."""
        return self.time_buckets.names

    def apply_batch(self, aggregate: BatchAggregate, stream_id: str, state: RunState) -> None:
        """Count a batch that ``state`` has just counted."""
        batch = aggregate.batch
        self._rollups.open_model |= batch.is_open
        if len(batch.columns):
            self.time_buckets.add(aggregate)
            self._newest_s = max(self._newest_s, int(batch.columns.end_ns[-1]) // NS_PER_S)
        self._note_worker(batch, stream_id, state)
        self._advance(state)

    def apply_event(self, event: Event, state: RunState) -> None:
        """Apply an event that ``state`` has just applied."""
        if isinstance(event.payload, Users):
            self._rollups.note_users(event.payload, event.at_ns)
        else:
            at_ns = max(event.at_ns, self._event_ns.get(event.kind, 0) + 1)
            self._event_ns[event.kind] = at_ns
            self._add(event_line(event, at_ns))
        if isinstance(event.payload, Started):
            self.time_buckets.begin(event.at_ns // NS_PER_S)
            for line in announced_objectives(event.run, event.payload, event.at_ns):
                self._add(line)
        self._advance(state)

    def apply_usage(self, tick: UsageTick) -> None:
        """Apply a usage tick that the state of the run has just applied."""
        self._rollups.note_usage(tick)
        for row in tick.rows:
            self._add(container_line(self._run, row, tick.at_ns))
        for balance in tick.balances:
            self._add(balancer_line(self._run, balance, tick.at_ns))

    def take(self) -> list[str]:
        """The lines since the last call."""
        lines, self._lines = self._lines, []
        return lines

    def finish(self, journal: Callable[[], Iterable[Entry]]) -> Iterator[list[str]]:
        """The seconds still open, those that late data changed (from the journal), and the rollups of the whole run."""
        self.time_buckets.begin(self.time_buckets.first_second)
        yield self.take() + self._rollups.due(self.time_buckets, self.time_buckets.end_second)
        for dirty in self.time_buckets.slices_of_dirty():
            again = PointStream(self._run, time_buckets=dirty)
            yield from replay_points(again, journal())
            yield again.take() + again._rollups.due(dirty, self.time_buckets.end_second)
        yield self._rollups.totals(self.time_buckets)

    def _add(self, line: str) -> None:
        if not self.time_buckets.limited:
            self._lines.append(line)

    def _advance(self, state: RunState) -> None:
        watermark = state.watermark_second()
        horizon = max(watermark, self._newest_s - LATEST_S)
        if horizon > self._horizon:
            self._horizon = horizon
            self.time_buckets.fill(min(watermark, horizon))
            self._lines += self._rollups.due(self.time_buckets, horizon)

    def _note_worker(self, batch: Batch, stream_id: str, state: RunState) -> None:
        """At most one point a second for each incarnation, and its last one."""
        self._lateness[batch.incarnation].merge(Lateness.of_requests(batch.columns.late_us))
        second = batch.sent_ns // NS_PER_S
        if batch.final or self._worker_second.get(batch.incarnation) != second:
            self._worker_second[batch.incarnation] = second
            milliseconds = stream_id.partition("-")[0]
            arrived_ms = int(milliseconds) if milliseconds.isdecimal() else batch.sent_ns // NS_PER_MS
            lag_s = (arrived_ms - batch.sent_ns / NS_PER_MS) / 1000
            lateness = self._lateness.pop(batch.incarnation)
            self._add(worker_line(batch, state.incarnations[batch.incarnation].ledger, lag_s, lateness))


def replay_points(points: PointStream, entries: Iterable[Entry]) -> Iterator[list[str]]:
    """Fold the entries of a journal from its beginning, and yield the lines of each."""
    state = RunState(rollups=False, names=points.names)
    for entry in entries:
        try:
            apply_entry(entry.stream_id, decode_entry(entry.kind, entry.blob), state, points)
        except FormatError:
            continue  # closing the run counts and reports it
        yield points.take()


def apply_entry(
    stream_id: str, content: Batch | Event | UsageTick, state: RunState, points: PointStream | None
) -> None:
    """Apply the content of one entry to the state of a run, and to its points if there are any, once."""
    if isinstance(content, Batch):
        aggregate = BatchAggregate(content, state.names)
        if state.apply_batch(content, aggregate) and points:
            points.apply_batch(aggregate, stream_id, state)
        return
    if not state.apply_content(content) or points is None:
        return
    if isinstance(content, Event):
        points.apply_event(content, state)
    else:
        points.apply_usage(content)
