"""InfluxWriter: raw requests from the stream `samples`, and ready points from the stream `points`, into InfluxDB.

Any number of writers share the samples; entries of a crashed one are claimed by another. Points are written by one
writer at a time (`PointsLease`), in their order, because a later point may replace an earlier one. An entry is
acknowledged after InfluxDB has stored or rejected all its lines; after any failure before that it is written again,
identically. Samples whose names the Aggregator has not admitted yet (`AdmittedNames`) stay pending until it has, and so
do those of a run whose secret is not there yet. What does not prove its run is not written; the Aggregator counts it.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections import OrderedDict
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from loadstone.archive.folder import valid_run_id
from loadstone.domain.batch import decode_batch
from loadstone.domain.masking import mask_secrets
from loadstone.errors import FormatError
from loadstone.influx.backfill_queue import BackfillQueue
from loadstone.influx.delivery import MOST_LINES
from loadstone.influx.encode import request_lines
from loadstone.influx.lease import PointsLease, PointsLeaseLostError
from loadstone.influx.ledger import IngestLag, WriteReceipt
from loadstone.influx.name_cap import AdmittedNames
from loadstone.influx.trouble import FirstRejected
from loadstone.influx.turns import Turns
from loadstone.stream.client import add_dead_letter
from loadstone.stream.consumer import Consumer, first_unfinished, order
from loadstone.stream.keys import AGGREGATORS, INFLUX_DEAD_LETTERS, INFLUX_OPEN, POINTS, SAMPLES, WRITERS
from loadstone.stream.proof import RunSecrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from loadstone.domain.batch import Batch
    from loadstone.influx.delivery import Delivery, Rejection
    from loadstone.influx.ledger import SharedLedger
    from loadstone.stream.consumer import StreamEntry

__all__ = ["CLAIM_AFTER_MS", "MOST_DEFERRED", "InfluxWriter"]

CLAIM_AFTER_MS: Final = 15_000
"""An entry is taken over when its writer gave no sign of life for it that long, or longer where a write may be."""

_MOST_DEAD_LETTERS, _MOST_A_ROUND = 10_000, 1000
_LINE_LIMIT: Final = 200
_SIGN_EVERY_S: Final = 3.0
_CLAIM_EVERY_S: Final = 5.0
_BLOCK_MS: Final = 200
_FEWEST_ENTRIES, _MOST_ENTRIES = 4, 512
_LINES_A_ROUND: Final = 2 * MOST_LINES
_RUNS_KNOWN: Final = 32
_POINTS_ENTRIES: Final = 8
"""The Aggregator puts up to 5,000 lines into an entry of points."""

MOST_DEFERRED: Final = 256
"""A writer that waits for the names of this many entries reads no more: the rest stays in Redis."""

log = logging.getLogger("loadstone.influx")


class _Piece(NamedTuple):
    """The lines of one entry: where they begin among those of its round, and how many there are."""

    entry: StreamEntry
    batch: Batch | None
    start: int
    n: int


@dataclass(slots=True)
class _Round:
    """The entries that are delivered together, and their lines."""

    lines: list[str] = field(default_factory=list)
    pieces: list[_Piece] = field(default_factory=list)

    def add(self, entry: StreamEntry, batch: Batch | None, lines: Sequence[str]) -> None:
        self.pieces.append(_Piece(entry, batch, len(self.lines), len(lines)))
        self.lines += lines

    def receipts(self, rejected: Sequence[Rejection]) -> list[WriteReceipt]:
        return [_receipt(piece, bad, self.lines) for piece, bad in self.rejected_of(rejected)]

    def rejected_of(self, rejected: Sequence[Rejection]) -> list[tuple[_Piece, Sequence[Rejection]]]:
        """Each entry with those of its lines that were rejected; ``rejected`` is in order."""
        at = [rejection.at for rejection in rejected]
        bounds = (
            (piece, bisect_left(at, piece.start), bisect_left(at, piece.start + piece.n)) for piece in self.pieces
        )
        return [(piece, rejected[first:last]) for piece, first, last in bounds]


class InfluxWriter:
    """One of the writers. Its methods raise `loadstone.stream.client.FAILURES`; nothing is lost then.

    ``longest_write_s`` is the timeout of a request: the points lease outlives it, or each slow request would lose it.
    ``turns`` are those of all writers of the process.
    """

    def __init__(
        self,
        client: Redis,
        ledger: SharedLedger,
        *,
        name: str,
        longest_write_s: float = 0.0,
        turns: Turns | None = None,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._turns = turns or Turns()
        self._claim_after_ms = max(CLAIM_AFTER_MS, round((longest_write_s + 2 * _SIGN_EVERY_S) * 1000))
        self._samples = Consumer(client, WRITERS, name, (SAMPLES,))
        self._points = Consumer(client, WRITERS, "points", (POINTS,))
        self.points_lease = PointsLease(client, name, life_ms=CLAIM_AFTER_MS + round(longest_write_s * 1000))
        self._ingest_lag = IngestLag(client, ledger, name)
        self._names: OrderedDict[str, AdmittedNames] = OrderedDict()
        self._secrets = RunSecrets(client)
        self._count = _FEWEST_ENTRIES
        self._held: list[StreamEntry] = []
        self._signed_at_s = self._claimed_at_s = 0.0

    def join(self) -> None:
        """Create the groups where they do not exist, and begin with what was read but not acknowledged."""
        self._samples.join()
        self._points.join()
        self._held = []
        self.points_lease.number = 0
        self._samples.rewind()

    def step(self, delivery: Delivery) -> bool:
        """Read, write and acknowledge once. False when there was nothing to do.

        Samples and points share requests: where a request is slow whatever it holds, fewer of them are faster.
        """
        round_ = _Round()
        with self._turns.reading():
            undecided = self._take_samples(round_)
            runs = self._take_points(round_)
            lag_lines = self._ingest_lag.lines()
            if not round_.pieces and not lag_lines:
                return False
            begun_s = self._turns.begin()
        try:
            guard = partial(self.points_lease.writing, self.points_lease.number, runs) if runs else nullcontext
            rejected = delivery.deliver(round_.lines + lag_lines, guard=guard)
        except PointsLeaseLostError:
            log.warning("points=deferred cause='another writer holds the points lease'")
            return True
        finally:
            self._turns.end(begun_s)
        self._bury(round_, rejected)
        receipts = round_.receipts(rejected)
        self._ledger.settle(receipts)
        self._ingest_lag.note(receipts)
        self._held = undecided
        return bool(round_.pieces)

    def sign(self) -> None:
        """Give a sign of life, if one is due: for the samples that this writer holds, and for the points lease."""
        if time.monotonic() - self._signed_at_s >= _SIGN_EVERY_S:
            self._signed_at_s = time.monotonic()
            self._samples.keep(self._held)
            if self.points_lease.take():
                self._points.rewind()

    def leave(self) -> None:
        """Let other writers claim at once what this one holds."""
        self._samples.keep(self._held, idle_ms=self._claim_after_ms)
        self.points_lease.release()

    def _names_of(self, run: str) -> AdmittedNames:
        found = self._names.setdefault(run, AdmittedNames(self._client, run))
        self._names.move_to_end(run)
        if len(self._names) > _RUNS_KNOWN:
            self._names.popitem(last=False)
        return found

    def _read_samples(self) -> list[StreamEntry]:
        self.sign()
        if len(self._held) >= MOST_DEFERRED:
            time.sleep(_BLOCK_MS / 1000)
            return []
        entries = self._samples.read(count=self._count, block_ms=_BLOCK_MS)
        if time.monotonic() - self._claimed_at_s >= _CLAIM_EVERY_S:
            self._claimed_at_s = time.monotonic()
            entries += self._samples.claim(idle_ms=self._claim_after_ms, count=self._count)
        return entries

    def _take_samples(self, round_: _Round) -> list[StreamEntry]:
        """Take what was read now, and what was held before, into a round; the entries whose names are undecided.

        All are held until they are written.
        """
        deferred = self._held
        self._held = deferred + self._read_samples()
        # This mark is read before secrets and names are: what the Aggregator acknowledged by then has all its names
        # published, unless Redis was full.
        archived = first_unfinished(self._client, SAMPLES, AGGREGATORS) if deferred else None
        undecided = [entry for entry in self._held if not self._add_samples(round_, entry, archived)]
        if round_.pieces:
            self._learn_size(round_)
        return undecided

    def _add_samples(self, round_: _Round, entry: StreamEntry, archived: str | None) -> bool:
        """Take an entry into a round; False when it is undecided and the Aggregator has yet to read it."""
        is_archived = archived is not None and order(entry.id) < order(archived)
        secret = self._secrets.find(entry.run)
        if secret is None and entry.blob:
            return is_archived and self._leave_to_backfill(round_, entry, "secret=expired")
        batch = _batch_of(entry) if secret is not None and secret.proves(entry) else None
        if batch is None or not len(batch.columns):
            round_.add(entry, batch, ())
            return True
        names = self._names_of(entry.run).admitted(batch.names)
        if names is None:
            return is_archived and self._leave_to_backfill(round_, entry, "names=not_admitted")
        round_.add(entry, batch, request_lines(batch, names))
        return True

    def _leave_to_backfill(self, round_: _Round, entry: StreamEntry, cause: str) -> bool:
        """Take an entry into a round without lines: the journal of its run has it, if the run was ever recorded."""
        if self._client.sismember(INFLUX_OPEN, entry.run):
            log.warning("run=%s id=%s %s action='backfill from the journal'", entry.run, entry.id, cause)
            BackfillQueue(self._client).add([entry.run])
        round_.add(entry, None, ())
        return True

    def _take_points(self, round_: _Round) -> frozenset[str]:
        """Take the next points into a round, behind the samples; the runs that they belong to."""
        entries = self.points_lease.read(self._points, count=_POINTS_ENTRIES)
        for entry in entries:
            round_.add(entry, None, _lines_of(entry))
        return frozenset(entry.run for entry in entries)

    def _bury(self, round_: _Round, rejected: Sequence[Rejection]) -> None:
        """Keep rejected lines as dead letters, up to a thousand of a round, and log the first of each entry."""
        room = _MOST_A_ROUND
        for piece, bad in round_.rejected_of(rejected):
            entry = piece.entry
            for at, reason in bad[: max(0, room)]:
                add_dead_letter(
                    self._client, INFLUX_DEAD_LETTERS, entry, reason, round_.lines[at], most=_MOST_DEAD_LETTERS
                )
            room -= len(bad)
            if bad:
                line = mask_secrets(round_.lines[bad[0].at][:_LINE_LIMIT])
                log.error(
                    "run=%s id=%s rejected=%d reason=%r first=%r", entry.run, entry.id, len(bad), bad[0].reason, line
                )

    def _learn_size(self, round_: _Round) -> None:
        """Read as many entries as make a few full requests: entries hold one sample or thousands."""
        lines_an_entry = max(1, len(round_.lines) // len(round_.pieces))
        self._count = min(max(_LINES_A_ROUND // lines_an_entry, _FEWEST_ENTRIES), _MOST_ENTRIES)


def _receipt(piece: _Piece, bad: Sequence[Rejection], lines: Sequence[str]) -> WriteReceipt:
    entry, n = piece.entry, len(bad)
    run = piece.batch.run if piece.batch else entry.run
    first = FirstRejected.of(bad[0].reason, lines[bad[0].at], time.time_ns()) if bad else None
    return WriteReceipt(entry.stream, entry.id, run, piece.batch, piece.n - n, n, first)


def _batch_of(entry: StreamEntry) -> Batch | None:
    """The batch of a proven entry; None for one that is among the Aggregator's dead letters."""
    try:
        batch = decode_batch(entry.blob)
    except FormatError as error:
        log.warning("stream=%s id=%s skipped=yes reason=%r", entry.stream, entry.id, str(error))
        return None
    return batch if batch.run == entry.run and valid_run_id(entry.run) else None


def _lines_of(entry: StreamEntry) -> list[str]:
    return [line for line in entry.blob.decode().split("\n") if line]
