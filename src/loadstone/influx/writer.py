"""InfluxWriter: raw requests from the stream `samples`, and ready points from the stream `points`, into InfluxDB.

Any number of writers share the samples; entries of a crashed one are claimed by another. Points are written by one
writer at a time (`PointsLease`), in their order, because a later point may replace an earlier one. An entry is
acknowledged after InfluxDB has stored or rejected all its lines, so whatever breaks in between, it is written again,
identically.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from loadstone.domain.batch import decode_batch
from loadstone.errors import FormatError
from loadstone.influx.delivery import MOST_LINES
from loadstone.influx.encode import request_lines
from loadstone.influx.lag import IngestLag
from loadstone.influx.lease import PointsLease, PointsLeaseLostError
from loadstone.influx.ledger import WriteReceipt
from loadstone.influx.name_cap import SharedNameCap
from loadstone.stream.client import add_dead_letter
from loadstone.stream.consumer import Consumer
from loadstone.stream.keys import INFLUX_DEAD_LETTERS, POINTS, SAMPLES, WRITERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from redis import Redis

    from loadstone.domain.batch import Batch
    from loadstone.influx.delivery import Delivery, Rejection
    from loadstone.influx.ledger import SharedLedger
    from loadstone.stream.consumer import StreamEntry

__all__ = ["CLAIM_AFTER_MS", "InfluxWriter"]

CLAIM_AFTER_MS: Final = 15_000
"""An entry is taken over when its writer gave no sign of life for it that long; a write times out before."""

_MOST_DEAD_LETTERS: Final = 10_000
_SIGN_EVERY_S: Final = 3.0
_CLAIM_EVERY_S: Final = 5.0
_BLOCK_MS: Final = 200
_FEWEST_ENTRIES, _MOST_ENTRIES = 4, 512
_LINES_A_ROUND: Final = 2 * MOST_LINES
_RUNS_KNOWN: Final = 32
_POINTS_ENTRIES: Final = 8
"""The Aggregator puts up to 5,000 lines into an entry of points."""
log = logging.getLogger("loadstone.influx")


class _Piece(NamedTuple):
    """The lines of one entry: where they begin among those of its round, and how many they are."""

    entry: StreamEntry
    batch: Batch | None
    start: int
    n: int


@dataclass(slots=True)
class _Round:
    """What is delivered together."""

    lines: list[str] = field(default_factory=list)
    pieces: list[_Piece] = field(default_factory=list)

    def add(self, entry: StreamEntry, batch: Batch | None, lines: Sequence[str]) -> None:
        self.pieces.append(_Piece(entry, batch, len(self.lines), len(lines)))
        self.lines += lines

    def settled(self, rejected: Sequence[Rejection]) -> list[WriteReceipt]:
        bad = [rejection.at for rejection in rejected]
        return [_settled(piece, sum(piece.start <= at < piece.start + piece.n for at in bad)) for piece in self.pieces]


class InfluxWriter:
    """One of the writers. Its methods raise `loadstone.stream.client.FAILURES`; nothing is lost then.

    A turn to write points outlives the longest request, ``longest_write_s``: else it would be lost with each of them.
    """

    def __init__(
        self,
        client: Redis,
        ledger: SharedLedger,
        *,
        name: str,
        now_ns: Callable[[], int],
        longest_write_s: float = 0.0,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._now_ns = now_ns
        self._samples = Consumer(client, WRITERS, name, (SAMPLES,))
        self._points = Consumer(client, WRITERS, "points", (POINTS,))
        self.turn = PointsLease(client, name, life_ms=CLAIM_AFTER_MS + round(longest_write_s * 1000))
        self._arrivals = IngestLag(client, ledger, name)
        self._names: OrderedDict[str, SharedNameCap] = OrderedDict()
        self._count = _FEWEST_ENTRIES
        self._held: list[StreamEntry] = []
        self._signed_at_s = self._claimed_at_s = 0.0

    def join(self) -> None:
        """Make the groups where they are not there, and begin with what was read but not acknowledged."""
        self._samples.join()
        self._points.join()
        self._held = []
        self.turn.number = 0
        self._samples.rewind()

    def step(self, delivery: Delivery) -> bool:
        """Read, write and acknowledge once. False when there was nothing to do."""
        self._held = self._read_samples()
        wrote = bool(self._held)
        if wrote:
            self._write(self._held, delivery.deliver)
            self._held = []
        if told := self._arrivals.lines():
            delivery.deliver(told)
        return self._write_points(delivery) or wrote

    def sign(self) -> None:
        """Give a sign of life, if one is due: for the samples in hand and for the turn to write points."""
        if time.monotonic() - self._signed_at_s >= _SIGN_EVERY_S:
            self._signed_at_s = time.monotonic()
            self._samples.keep(self._held)
            if self.turn.take():
                self._points.rewind()

    def leave(self) -> None:
        """Let other writers have at once what this one holds."""
        self._samples.keep(self._held, idle_ms=CLAIM_AFTER_MS)
        self.turn.release()

    def names_of(self, run: str) -> SharedNameCap:
        """The names of one run."""
        found = self._names.setdefault(run, SharedNameCap(self._client, run, self._now_ns))
        self._names.move_to_end(run)
        if len(self._names) > _RUNS_KNOWN:
            self._names.popitem(last=False)
        return found

    def _read_samples(self) -> list[StreamEntry]:
        self.sign()
        entries = self._samples.read(count=self._count, block_ms=_BLOCK_MS)
        if time.monotonic() - self._claimed_at_s >= _CLAIM_EVERY_S:
            self._claimed_at_s = time.monotonic()
            entries += self._samples.claim(idle_ms=CLAIM_AFTER_MS, count=self._count)
        return entries

    def _write_points(self, delivery: Delivery) -> bool:
        number = self.turn.number
        entries = self.turn.read(self._points, count=_POINTS_ENTRIES)
        runs = frozenset(entry.run for entry in entries)
        try:
            if entries:
                self._write(entries, partial(delivery.deliver, guard=partial(self.turn.writing, number, runs)))
        except PointsLeaseLostError:
            log.warning("points=left cause='another writer has the turn'")
        return bool(entries)

    def _write(self, entries: Sequence[StreamEntry], deliver: Callable[[Sequence[str]], list[Rejection]]) -> None:
        round_ = self._round(entries)
        rejected = deliver(round_.lines)
        self._bury(round_, rejected)
        settled = round_.settled(rejected)
        self._ledger.settle(settled)
        if entries[0].stream == SAMPLES:
            self._arrivals.note(settled)
            self._learn_size(round_)

    def _round(self, entries: Iterable[StreamEntry]) -> _Round:
        round_ = _Round()
        for entry in entries:
            if entry.stream == POINTS:
                round_.add(entry, None, _lines_of(entry))
            elif (batch := _batch_of(entry)) is not None:
                round_.add(entry, batch, request_lines(batch, self.names_of(batch.run).admitted(batch.names)))
            else:
                round_.add(entry, None, ())
        return round_

    def _bury(self, round_: _Round, rejected: Iterable[Rejection]) -> None:
        for at, reason in rejected:
            entry = next(piece.entry for piece in round_.pieces if piece.start <= at < piece.start + piece.n)
            line = round_.lines[at]
            log.error("run=%s id=%s rejected=1 reason=%r line=%r", entry.run, entry.id, reason, line[:200])
            add_dead_letter(self._client, INFLUX_DEAD_LETTERS, entry, reason, line, most=_MOST_DEAD_LETTERS)

    def _learn_size(self, round_: _Round) -> None:
        """Read as many entries as make a few full requests: entries hold one sample or thousands."""
        lines_an_entry = max(1, len(round_.lines) // len(round_.pieces))
        self._count = min(max(_LINES_A_ROUND // lines_an_entry, _FEWEST_ENTRIES), _MOST_ENTRIES)


def _settled(piece: _Piece, rejected: int) -> WriteReceipt:
    entry = piece.entry
    run = piece.batch.run if piece.batch else entry.run
    return WriteReceipt(entry.stream, entry.id, run, piece.batch, piece.n - rejected, rejected)


def _batch_of(entry: StreamEntry) -> Batch | None:
    """The batch of an entry; None for one that was cut away meanwhile, or that the Aggregator buries."""
    if not entry.blob:
        return None
    try:
        return decode_batch(entry.blob)
    except FormatError as error:
        log.warning("stream=%s id=%s skipped=yes reason=%r", entry.stream, entry.id, str(error))
        return None


def _lines_of(entry: StreamEntry) -> list[str]:
    return [line for line in entry.blob.decode().split("\n") if line]
