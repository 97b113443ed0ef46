"""PointStream: everything about a run that becomes line protocol besides its raw requests.

A pure fold: the lines depend on the entries and their order alone, not on a clock, so whoever folds the journal again
gets the same points. A second is written once all live workers are past it, at the latest when five newer ones have
begun; what comes later for it writes it again. Memory is bounded by the seconds kept times names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.archive.journal.frame import EntryKind
from loadstone.archive.run_state import RunState
from loadstone.domain.batch import Batch, decode_batch
from loadstone.domain.event import Event, Started, Users, decode_event, decode_usage
from loadstone.errors import FormatError
from loadstone.influx.encode import balancer_line, container_line, event_line, worker_line
from loadstone.influx.encode_rollups import RollupLines
from loadstone.influx.encode_summary import announced_objectives
from loadstone.influx.time_buckets import TimeBuckets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from loadstone.archive.journal.frame import Entry
    from loadstone.domain.event import UsageTick

__all__ = ["PointStream", "apply_entry", "decoded", "replay_points"]

LATEST_S: Final = 5
_NS: Final = 1_000_000_000
_MS: Final = 1_000_000


class PointStream:
    """The points of one run. TimeBuckets that are limited to some buckets compute just these anew, and nothing else."""

    def __init__(self, run: str, *, spans: TimeBuckets | None = None) -> None:
        self.spans = TimeBuckets() if spans is None else spans
        self._rollups = RollupLines(run)
        self._run = run
        self._lines: list[str] = []
        self._horizon = 0
        self._newest_s = 0
        self._event_ns: dict[str, int] = {}
        self._worker_second: dict[str, int] = {}

    def apply_batch(self, batch: Batch, stream_id: str, state: RunState) -> None:
        """Take in a batch that ``state`` has just taken in."""
        if len(batch.columns):
            self.spans.add(batch)
            self._newest_s = max(self._newest_s, int(batch.columns.end_ns[-1]) // _NS)
        self._note_worker(batch, stream_id, state)
        self._advance(state)

    def apply_event(self, event: Event, state: RunState) -> None:
        """Take in an event that ``state`` has just taken in."""
        if isinstance(event.payload, Users):
            self._rollups.note_users(event.payload, event.at_ns)
        else:
            at_ns = max(event.at_ns, self._event_ns.get(event.kind, 0) + 1)
            self._event_ns[event.kind] = at_ns
            self._say(event_line(event, at_ns))
        if isinstance(event.payload, Started):
            self.spans.begin(event.at_ns // _NS)
            for line in announced_objectives(event.run, event.payload, event.at_ns):
                self._say(line)
        self._advance(state)

    def apply_usage(self, tick: UsageTick) -> None:
        """Take in a tick that the state of the run has just taken in."""
        self._rollups.note_usage(tick)
        for row in tick.rows:
            self._say(container_line(self._run, row, tick.at_ns))
        for balance in tick.balances:
            self._say(balancer_line(self._run, balance, tick.at_ns))

    def take(self) -> list[str]:
        """The lines since the last call."""
        lines, self._lines = self._lines, []
        return lines

    def finish(self, journal: Callable[[], Iterable[Entry]]) -> Iterator[list[str]]:
        """What is still open, what late data made wrong (from the journal), and the rollups of the whole run."""
        self.spans.begin(self.spans.first_second)
        yield self.take() + self._rollups.due(self.spans, self.spans.end_second)
        for spans in self.spans.slices_of_dirty():
            again = PointStream(self._run, spans=spans)
            yield from replay_points(again, journal())
            yield again.take() + again._rollups.due(spans, self.spans.end_second)
        yield self._rollups.totals(self.spans)

    def _say(self, line: str) -> None:
        if not self.spans.limited:
            self._lines.append(line)

    def _advance(self, state: RunState) -> None:
        watermark = state.watermark_second()
        horizon = max(watermark, self._newest_s - LATEST_S)
        if horizon > self._horizon:
            self._horizon = horizon
            self.spans.fill(min(watermark, horizon))
            self._lines += self._rollups.due(self.spans, horizon)

    def _note_worker(self, batch: Batch, stream_id: str, state: RunState) -> None:
        """At most one point a second for each incarnation, and its last one."""
        second = batch.sent_ns // _NS
        if batch.final or self._worker_second.get(batch.incarnation) != second:
            self._worker_second[batch.incarnation] = second
            arrived_ms = int(stream_id.partition("-")[0]) if stream_id[:1].isdigit() else batch.sent_ns // _MS
            lag_s = (arrived_ms - batch.sent_ns / _MS) / 1000
            self._say(worker_line(batch, state.incarnations[batch.incarnation].ledger, lag_s))


def replay_points(points: PointStream, entries: Iterable[Entry]) -> Iterator[list[str]]:
    """Fold the entries of a journal from its beginning; the lines of each entry as it was folded."""
    state = RunState(rollups=False)
    for entry in entries:
        try:
            apply_entry(entry.stream_id, decoded(entry.kind, entry.blob), state, points)
        except FormatError:
            continue  # closing the run counts and says it
        yield points.take()


def decoded(kind: EntryKind, blob: bytes) -> Batch | Event | UsageTick:
    """What an entry holds. Raises `FormatError` when it is not what its kind says."""
    if kind is EntryKind.SAMPLES:
        return decode_batch(blob)
    return decode_event(blob) if kind is EntryKind.EVENTS else decode_usage(blob)


def apply_entry(
    stream_id: str, content: Batch | Event | UsageTick, state: RunState, points: PointStream | None
) -> None:
    """Let the state of a run, and its points if they are wanted, take in the content of one entry, once."""
    if isinstance(content, Batch):
        if state.apply_batch(content) and points:
            points.apply_batch(content, stream_id, state)
    elif isinstance(content, Event):
        if state.apply_event(content) and points:
            points.apply_event(content, state)
    elif state.apply_usage(content) and points:
        points.apply_usage(content)
