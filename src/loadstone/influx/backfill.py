"""Backfill: an archived run into InfluxDB, from its journal. Doing it twice changes nothing.

`write_run` writes a whole run, for ``loadstone influx backfill``. `Backfill` does it for a writer when the streams were
cut because Redis was filling up while InfluxDB was away, or when a frozen writer may have written old points: it writes
only those batches that no writer has counted, and all points.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict, deque
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Final

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.folder import RunFolder
from loadstone.archive.journal.frame import EntryKind
from loadstone.archive.journal.reader import read_journal
from loadstone.archive.run_record import InfluxLedgerRecord
from loadstone.domain.batch import decode_batch
from loadstone.domain.event import EventKind, decode_event
from loadstone.domain.ledger import SeqTracker
from loadstone.domain.request_name import NameTable, RequestName
from loadstone.domain.retry import Retries
from loadstone.domain.time import iso
from loadstone.errors import ArchiveError, FormatError, UsageError
from loadstone.influx.answer import is_beyond_retention, retention_in
from loadstone.influx.backfill_queue import BackfillQueue
from loadstone.influx.delivery import MOST_LINES
from loadstone.influx.encode import request_lines
from loadstone.influx.encode_summary import summary_lines
from loadstone.influx.lease import PointsLeaseLostError
from loadstone.influx.ledger import WriteReceipt
from loadstone.influx.name_cap import names_in, names_listed_by_writers
from loadstone.influx.point_stream import PointStream, replay_points
from loadstone.influx.trouble import FirstRejected
from loadstone.stream.keys import SAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from redis import Redis

    from loadstone.archive.journal.frame import Entry
    from loadstone.domain.batch import Batch
    from loadstone.domain.request_name import RequestName
    from loadstone.influx.delivery import Delivery, Rejection
    from loadstone.influx.ledger import SharedLedger
    from loadstone.influx.writer import InfluxWriter

    Entries = Callable[[], Iterable[Entry]]

__all__ = ["Backfill", "write_run"]

_FROM_JOURNAL: Final = "0-0"
log = logging.getLogger("loadstone.influx")


def write_run(folder: RunFolder, delivery: Delivery, warn: Callable[[str], object] = log.warning) -> InfluxLedgerRecord:
    """Write everything of an archived run. Its InfluxDB ledger then, with nothing pending.

    ``warn`` is told first, before much is written, that the bucket does not keep points as old as the run's first ones.
    Raises `UsageError` when it keeps none of the run, and `ArchiveError` when the run has no journal, or one that is
    damaged or lacks what the run was closed with.
    """
    _require_journal(folder)
    entries = partial(read_journal, folder.journal)
    _check_retention(folder, entries, delivery, warn)
    stored, rejected, first = 0, 0, None
    for receipts in _write_batches(_named_batches(folder, entries), delivery):
        stored += sum(each.stored for each in receipts)
        rejected += sum(each.rejected for each in receipts)
        first = first or next((each.first for each in receipts if each.first), None)
    points_rejected, first_point = _write_points(folder, entries, delivery.deliver)
    first = first or first_point
    return InfluxLedgerRecord(
        stored=stored,
        rejected=rejected,
        pending=0,
        points_rejected=points_rejected,
        rejected_reason=first.told if first else None,
        first_rejected=first.line if first else None,
    )


def _check_retention(folder: RunFolder, entries: Entries, delivery: Delivery, warn: Callable[[str], object]) -> None:
    """Write the run's first request, which is about its oldest, and if the bucket does not keep it, its last one.

    A token that may only write cannot ask for the retention. Raises `UsageError` when both are beyond it.
    """
    named = (each for each in _named_batches(folder, entries) if len(each[0].columns))
    first = next(named, None)
    reason = _beyond_retention(first, 0, delivery) if first else None
    if first is None or reason is None:
        return
    last = next(iter(deque(named, maxlen=1)), first)
    kept = f"points for {duration}" if (duration := retention_in(reason)) else "no points as old as this"
    if _beyond_retention(last, -1, delivery) is None:
        begun = iso(int(first[0].columns.end_ns[0]))
        warn(f"InfluxDB keeps {kept}, and run {folder.run} began at {begun}: its first requests will be rejected")
        return
    ended = iso(int(last[0].columns.end_ns[-1]))
    raise UsageError(
        f"InfluxDB keeps {kept}, and run {folder.run} ended at {ended}: it would reject all of it",
        hint="Raise the retention of the bucket (INFLUX_RETENTION in the stack), and run this again",
    )


def _beyond_retention(named: tuple[Batch, list[RequestName]], at: int, delivery: Delivery) -> str | None:
    """Write one request of a batch; the reason if the bucket does not keep it."""
    rejected = delivery.deliver(request_lines(*named)[at:][:1])
    return next((each.reason for each in rejected if is_beyond_retention(each.reason)), None)


def _names(folder: RunFolder) -> NameTable:
    """Where the names of raw points come from: the list of an older version's writers, else the journal's order."""
    for entry in read_journal(folder.journal):
        if entry.kind is EntryKind.EVENTS and EventKind.NAMES_CAPPED.encode() in entry.blob:
            with suppress(FormatError):  # closing the run counts and reports it
                listed = names_listed_by_writers(decode_event(entry.blob))
                if listed is not None:
                    return listed
    return NameTable()


class Backfill:
    """Processes the backfill queue while its writer holds the points lease, so that no other writer writes points."""

    def __init__(self, client: Redis, ledger: SharedLedger, writer: InfluxWriter, results: Path) -> None:
        self._queue = BackfillQueue(client)
        self._ledger = ledger
        self._writer = writer
        self._results = results
        self._refused = Retries()

    def work_off_queue(self, delivery: Delivery) -> None:
        """Do every backfill of the queue that is due. Raises stream failures; finished ones stay finished.

        A run whose folder cannot be read stays in the queue and is tried again after a pause.
        """
        number = self._writer.points_lease.number
        waiting = self._queue.waiting() if number else {}
        try:
            for run, token in waiting.items():
                if self._refused.is_due(run, time.monotonic()) and self._is_written(run, delivery, number):
                    self._queue.remove(run, token)
        except PointsLeaseLostError:
            log.warning("backfill=deferred cause='another writer holds the points lease'")

    def _is_written(self, run: str, delivery: Delivery, number: int) -> bool:
        folder = RunFolder(self._results / run)
        try:
            self._write(folder, delivery, number)
        except (ArchiveError, OSError) as error:
            pause_s = self._refused.failed(run, time.monotonic())
            log.error(  # noqa: TRY400  (the cause is enough)
                "run=%s backfill=failed folder=%s error=%r retry_in_s=%g hint=%r",
                *(run, folder.path, str(error), pause_s, folder.command("recover")),
            )
            return False
        self._refused.succeeded(run)
        return True

    def _write(self, folder: RunFolder, delivery: Delivery, number: int) -> None:
        begun_s = time.monotonic()
        if not folder.journal.is_dir():
            log.error("run=%s backfill=impossible cause='its journal is not in %s'", folder.run, self._results)
            return
        closed = folder.is_closed
        signing = partial(self._entries, folder)
        named = _named_batches(folder, signing)
        missing = ((batch, names) for batch, names in named if not self._ledger.counted(batch.run, batch))
        samples = 0
        for receipts in _write_batches(missing, delivery):
            self._ledger.settle(receipts)
            samples += sum(each.stored for each in receipts)
        guard = partial(self._writer.points_lease.writing, number, frozenset({folder.run}))
        _write_points(folder, signing, partial(delivery.deliver, guard=guard))
        if closed:
            self._ledger.note_all_points_stored(folder.run)
        log.warning("run=%s backfill=done samples=%d seconds=%.1f", folder.run, samples, time.monotonic() - begun_s)

    def _entries(self, folder: RunFolder) -> Iterator[Entry]:
        """The journal, with signs of life while it is read: a long part of it may need no request."""
        for entry in read_journal(folder.journal):
            self._writer.sign()
            yield entry


def _require_journal(folder: RunFolder) -> None:
    if not folder.journal.is_dir():
        raise ArchiveError(
            f"run {folder.run} has no journal in {folder.path}, so it cannot be written to InfluxDB",
            hint="Give a run whose folder still holds the directory journal",
        )
    if folder.is_closed:
        ClosedRun.open(folder).check_journal()


def _batches(folder: RunFolder, entries: Entries) -> Iterator[Batch]:
    for entry in entries():
        if entry.kind is EntryKind.SAMPLES:
            try:
                yield decode_batch(entry.blob)
            except FormatError as error:
                log.warning("run=%s id=%s skipped=yes reason=%r", folder.run, entry.stream_id, str(error))


def _named_batches(folder: RunFolder, entries: Entries) -> Iterator[tuple[Batch, list[RequestName]]]:
    """Each batch of the journal once, with the names to write: every earlier batch has to be asked for its names."""
    table, seen = _names(folder), defaultdict[str, SeqTracker](SeqTracker)
    for batch in _batches(folder, entries):
        if seen[batch.incarnation].add(batch.seq):
            yield batch, names_in(table, batch.names) if len(batch.columns) else []


def _write_batches(
    batches: Iterable[tuple[Batch, list[RequestName]]], delivery: Delivery
) -> Iterator[list[WriteReceipt]]:
    """Write batches in requests of full size; what became of each."""
    taken: list[tuple[Batch, int]] = []
    lines: list[str] = []
    for batch, names in batches:
        taken.append((batch, len(lines)))
        lines += request_lines(batch, names)
        if len(lines) >= MOST_LINES:
            yield _deliver(taken, lines, delivery)
            taken, lines = [], []
    yield _deliver(taken, lines, delivery)


def _deliver(taken: list[tuple[Batch, int]], lines: list[str], delivery: Delivery) -> list[WriteReceipt]:
    bad = {rejection.at: rejection.reason for rejection in delivery.deliver(lines)}
    found = []
    for batch, start in taken:
        n = len(batch.columns)
        rejected = [at for at in range(start, start + n) if at in bad] if bad else []
        first = FirstRejected.of(bad[rejected[0]], lines[rejected[0]], time.time_ns()) if rejected else None
        stored = n - len(rejected)
        found.append(WriteReceipt(SAMPLES, _FROM_JOURNAL, batch.run, batch, stored, len(rejected), first))
    return found


def _write_points(
    folder: RunFolder, entries: Entries, deliver: Callable[[list[str]], list[Rejection]]
) -> tuple[int, FirstRejected | None]:
    """Write all points; how many were rejected, and the first of them."""
    lines: list[str] = []
    rejected, first = 0, None
    for some in chain(_points(folder, entries), [None]):
        lines += some or ()
        if lines and (some is None or len(lines) >= MOST_LINES):
            bad = deliver(lines)
            rejected += len(bad)
            if bad and first is None:
                first = FirstRejected.of(bad[0].reason, lines[bad[0].at], time.time_ns())
            lines = []
    return rejected, first


def _points(folder: RunFolder, entries: Entries) -> Iterator[list[str]]:
    points = PointStream(folder.run)
    yield from replay_points(points, entries())
    if folder.is_closed:
        yield from points.finish(entries)
        yield summary_lines(ClosedRun.open(folder).record)
