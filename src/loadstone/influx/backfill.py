"""Backfill: an archived run into InfluxDB, from its journal. Doing it twice changes nothing.

By hand it writes a whole run (`write_run`). By itself it happens after the streams had to be cut, because Redis was
filling up while InfluxDB was away (`Backfill`): then only batches that no writer has counted are written.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from loadstone.archive.closed_run import load_run
from loadstone.archive.folder import RunFolder
from loadstone.archive.journal.frame import EntryKind
from loadstone.archive.journal.segments import read_journal
from loadstone.domain.batch import decode_batch
from loadstone.domain.event import NamesCapped, decode_event
from loadstone.domain.ledger import SeqTracker
from loadstone.errors import ArchiveError, FormatError
from loadstone.influx.delivery import MOST_LINES
from loadstone.influx.encode import request_lines
from loadstone.influx.encode_summary import summary_lines
from loadstone.influx.lease import PointsLeaseLostError, dequeue_backfill, queued_backfills
from loadstone.influx.ledger import WriteReceipt
from loadstone.influx.name_cap import CAPPED_BY_WRITER, LocalNameCap
from loadstone.influx.point_stream import PointStream, replay_points
from loadstone.stream.client import SAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from redis import Redis

    from loadstone.archive.journal.frame import Entry
    from loadstone.domain.batch import Batch
    from loadstone.influx.delivery import Delivery
    from loadstone.influx.ledger import SharedLedger
    from loadstone.influx.name_cap import NameCap
    from loadstone.influx.writer import InfluxWriter

    Entries = Callable[[], Iterable[Entry]]

__all__ = ["Backfill", "names_in_journal", "write_run"]

_FROM_JOURNAL: Final = "0-0"
log = logging.getLogger("loadstone.influx")


def write_run(folder: RunFolder, delivery: Delivery) -> dict[str, int]:
    """Write everything of an archived run. Its InfluxDB ledger: samples ``stored``, ``rejected``, and ``pending`` 0.

    Raises `ArchiveError` when the run was closed without keeping its journal, or that is damaged.
    """
    _require_journal(folder)
    ledger = {"stored": 0, "rejected": 0, "pending": 0}
    seen: dict[str, SeqTracker] = {}
    entries = partial(read_journal, folder.journal)
    batches = (
        batch for batch in _batches(folder, entries) if seen.setdefault(batch.incarnation, SeqTracker()).add(batch.seq)
    )
    for settled in _write_batches(batches, names_in_journal(folder), delivery):
        ledger["stored"] += sum(each.stored for each in settled)
        ledger["rejected"] += sum(each.rejected for each in settled)
    _write_points(folder, entries, delivery.deliver)
    return ledger


def names_in_journal(folder: RunFolder) -> NameCap:
    """The names that the writers admitted, if the run had too many, else names in order of appearance."""
    for entry in read_journal(folder.journal):
        if entry.kind is EntryKind.EVENTS and CAPPED_BY_WRITER.encode() in entry.blob:
            event = decode_event(entry.blob)
            if isinstance(event.payload, NamesCapped) and event.source == CAPPED_BY_WRITER:
                return LocalNameCap(event.payload.names)
    return LocalNameCap()


class Backfill:
    """Does the backfills that are wanted, when it is this writer's turn: no other writes points meanwhile."""

    def __init__(self, client: Redis, ledger: SharedLedger, writer: InfluxWriter, results: Path) -> None:
        self._client = client
        self._ledger = ledger
        self._writer = writer
        self._results = results

    def do_wanted(self, delivery: Delivery) -> None:
        """Do every backfill that is wanted. Raises stream failures and `ArchiveError`; what is done stays done."""
        number = self._writer.turn.number
        wanted = queued_backfills(self._client) if number else {}
        try:
            for run, token in wanted.items():
                self._write(RunFolder(self._results / run), delivery, number)
                dequeue_backfill(self._client, run, token)
        except PointsLeaseLostError:
            log.warning("backfill=left cause='another writer has the turn'")

    def _write(self, folder: RunFolder, delivery: Delivery, number: int) -> None:
        begun_s = time.monotonic()
        if not folder.journal.is_dir():
            log.error("run=%s backfill=impossible cause='its journal is not in %s'", folder.run, self._results)
            return
        closed = folder.is_closed
        signing = partial(self._entries, folder)
        missing = (batch for batch in _batches(folder, signing) if not self._ledger.counted(batch.run, batch))
        samples = 0
        for settled in _write_batches(missing, self._writer.names_of(folder.run), delivery):
            self._ledger.settle(settled)
            samples += sum(each.stored for each in settled)
        guard = partial(self._writer.turn.writing, number, frozenset({folder.run}))
        _write_points(folder, signing, partial(delivery.deliver, guard=guard))
        if closed:
            self._ledger.note_all_points_stored(folder.run)
        log.warning("run=%s backfill=done samples=%d seconds=%.1f", folder.run, samples, time.monotonic() - begun_s)

    def _entries(self, folder: RunFolder) -> Iterator[Entry]:
        """The journal, with signs of life while it is read: nothing may have to be sent for a long time."""
        for entry in read_journal(folder.journal):
            self._writer.sign()
            yield entry


def _require_journal(folder: RunFolder) -> None:
    if not folder.journal.is_dir():
        raise ArchiveError(
            f"run {folder.run} has no journal in {folder.path}, so it cannot be written to InfluxDB",
            hint="Give a run whose journal was kept",
        )


def _batches(folder: RunFolder, entries: Entries) -> Iterator[Batch]:
    for entry in entries():
        if entry.kind is EntryKind.SAMPLES:
            try:
                yield decode_batch(entry.blob)
            except FormatError as error:
                log.warning("run=%s id=%s skipped=yes reason=%r", folder.run, entry.stream_id, str(error))


def _write_batches(batches: Iterable[Batch], names: NameCap, delivery: Delivery) -> Iterator[list[WriteReceipt]]:
    """Write batches in requests of full size; what became of each."""
    taken: list[tuple[Batch, int]] = []
    lines: list[str] = []
    for batch in batches:
        formatted = request_lines(batch, names.admitted(batch.names))
        taken.append((batch, len(lines)))
        lines += formatted
        if len(lines) >= MOST_LINES:
            yield _deliver(taken, lines, delivery)
            taken, lines = [], []
    yield _deliver(taken, lines, delivery)


def _deliver(taken: list[tuple[Batch, int]], lines: list[str], delivery: Delivery) -> list[WriteReceipt]:
    bad = [rejection.at for rejection in delivery.deliver(lines)]
    found = []
    for batch, start in taken:
        n = len(batch.columns)
        rejected = sum(start <= at < start + n for at in bad)
        found.append(WriteReceipt(SAMPLES, _FROM_JOURNAL, batch.run, batch, n - rejected, rejected))
    return found


def _write_points(folder: RunFolder, entries: Entries, deliver: Callable[[list[str]], object]) -> None:
    lines: list[str] = []
    for some in _points(folder, entries):
        lines += some
        if len(lines) >= MOST_LINES:
            deliver(lines)
            lines = []
    deliver(lines)


def _points(folder: RunFolder, entries: Entries) -> Iterator[list[str]]:
    points = PointStream(folder.run)
    yield from replay_points(points, entries())
    if folder.is_closed:
        yield from points.finish(entries)
        yield summary_lines(load_run(folder))
