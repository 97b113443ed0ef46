"""The InfluxDB ledger of a run while it is written, kept in Redis so that all writers add to one, and the ingest lag.

Each batch counts once: its place ``(incarnation, seq)`` is one bit that is set when it is counted. A batch that was
shipped twice, that two writers wrote, or that a backfill writes again is therefore not counted twice.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from loadstone.archive.run_record import InfluxLedgerRecord
from loadstone.domain.time import NS_PER_MS, NS_PER_S
from loadstone.influx.line_protocol import point, tags
from loadstone.influx.trouble import note_first_rejected, read_first_rejected, read_trouble
from loadstone.stream.keys import KEPT_S, influx_ledger, influx_ledger_page
from loadstone.stream.when_full import command_when_full

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis

    from loadstone.domain.batch import Batch
    from loadstone.influx.trouble import FirstRejected

__all__ = ["InfluxLedger", "IngestLag", "SharedLedger", "WriteReceipt"]

_PAGE_BITS: Final = 16
_HIGHEST_SEQ: Final = 1 << 40
_SETTLE: Final = """
local first = redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
if ARGV[3] ~= '' then
  first = 1 - redis.call('SETBIT', KEYS[3], ARGV[3], 1)
  redis.call('EXPIRE', KEYS[3], ARGV[7])
end
if first == 1 then
  redis.call('HINCRBY', KEYS[2], ARGV[4] .. 'stored', ARGV[5])
  redis.call('HINCRBY', KEYS[2], ARGV[4] .. 'rejected', ARGV[6])
  redis.call('EXPIRE', KEYS[2], ARGV[7])
end
return first
"""
_POINTS: Final = "points_"
_REPORT_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class InfluxLedger:
    """Samples stored and rejected, and points published, stored and rejected; ``position``: see `note_published`."""

    stored: int = 0
    rejected: int = 0
    points: int = 0
    points_stored: int = 0
    points_rejected: int = 0
    position: int = 0

    def pending(self, produced: int) -> int:
        """Samples of ``produced`` that are neither stored nor rejected yet."""
        return max(0, produced - self.stored - self.rejected)

    @property
    def points_pending(self) -> int:
        """Published points that are neither stored nor rejected yet."""
        return max(0, self.points - self.points_stored - self.points_rejected)


class WriteReceipt(NamedTuple):
    """One entry that was written: where it came from, its batch (None for points), and what became of its lines."""

    stream: str
    id: str
    run: str
    batch: Batch | None
    stored: int
    rejected: int
    first: FirstRejected | None = None


class SharedLedger:
    """The ledgers of all runs. Methods raise `loadstone.stream.client.FAILURES`."""

    def __init__(self, client: Redis, group: str) -> None:
        self._client = client
        self._group = group

    def settle(self, receipts: Iterable[WriteReceipt]) -> None:
        """Acknowledge entries and count their lines, both or none, each batch once."""
        pipeline = self._client.pipeline(transaction=False)
        for each in receipts:
            page, bit = _place(each.run, each.batch)
            keys = (each.stream, influx_ledger(each.run), page)
            kind = "" if each.batch else _POINTS
            numbers = (str(each.stored), str(each.rejected), str(KEPT_S))
            pipeline.eval(_SETTLE, len(keys), *keys, self._group, each.id, bit, kind, *numbers)
            if each.first:
                note_first_rejected(pipeline, each.run, each.first)
        pipeline.execute()

    def counted(self, run: str, batch: Batch) -> bool:
        """Whether a batch was counted."""
        page, bit = _place(run, batch)
        return bool(bit) and bool(self._client.getbit(page, int(bit)))

    def note_published(self, pipeline: Any, run: str, n: int, position: int) -> None:
        """In a transaction that publishes ``n`` points: that they exist, and up to which journal entry that is so."""
        pipeline.hincrby(influx_ledger(run), "points", n)
        pipeline.hset(influx_ledger(run), "position", position)
        pipeline.expire(influx_ledger(run), KEPT_S)

    def note_all_points_stored(self, run: str) -> None:
        """After a backfill: no point is missing, wherever its entry went."""
        now = self.read(run)
        key, stored = influx_ledger(run), str(now.points - now.points_rejected)
        command_when_full(self._client, key, "HSET", key, f"{_POINTS}stored", stored)

    def record(self, run: str, produced: int) -> InfluxLedgerRecord:
        """The ledger of one run as run.json keeps it, when the archive holds ``produced`` samples; with reasons."""
        now = self.read(run)
        first = read_first_rejected(self._client, run) if now.rejected or now.points_rejected else None
        pending = now.pending(produced)
        trouble = read_trouble(self._client) if pending else None
        return InfluxLedgerRecord(
            stored=now.stored,
            rejected=now.rejected,
            pending=pending,
            points_rejected=now.points_rejected,
            rejected_reason=first.told if first else None,
            first_rejected=first.line if first else None,
            pending_reason=trouble.told if trouble else None,
        )

    def read(self, run: str) -> InfluxLedger:
        """The ledger of one run as it is now."""
        values: Any = self._client.hgetall(influx_ledger(run))
        return InfluxLedger(**{key.decode(): int(value) for key, value in values.items()})


def _place(run: str, batch: Batch | None) -> tuple[str, str]:
    """The key and the bit of a batch. Pages of 8 KB each, so that a nonsensical ``seq`` costs no more than that."""
    if batch is None:
        return influx_ledger(run), ""
    seq = min(max(0, batch.seq), _HIGHEST_SEQ)
    return influx_ledger_page(run, batch.incarnation[:64], seq >> _PAGE_BITS), str(seq & ((1 << _PAGE_BITS) - 1))


class IngestLag:
    """How many requests InfluxDB has, and how long they took to get there: points of the measurement ``delivery``.

    A writer reports its own work, once a second for each run that it wrote; backfills are not part of it. Methods raise
    `loadstone.stream.client.FAILURES`.
    """

    def __init__(self, client: Redis, ledger: SharedLedger, writer: str) -> None:
        self._client = client
        self._ledger = ledger
        self._writer = writer
        self._visible_ns: dict[str, int] = {}
        self._reported_at_s = 0.0

    def note(self, receipts: Iterable[WriteReceipt]) -> None:
        """Note entries that were stored just now; the clocks of workers are corrected to that of Redis."""
        now_ns = self._now_ns()
        for each in receipts:
            if each.batch is not None and len(each.batch.columns):
                visible_ns = max(0, now_ns - _first_end_ns(each.batch))
                self._visible_ns[each.run] = max(visible_ns, self._visible_ns.get(each.run, 0))

    def lines(self) -> list[str]:
        """One point for each run that was written since the last call, at most once a second."""
        if not self._visible_ns or time.monotonic() - self._reported_at_s < _REPORT_EVERY_S:
            return []
        self._reported_at_s = time.monotonic()
        now_ns = self._now_ns()
        reported, self._visible_ns = self._visible_ns, {}
        return [self._line(run, visible_ns, now_ns) for run, visible_ns in reported.items()]

    def _line(self, run: str, visible_ns: int, now_ns: int) -> str:
        ledger = self._ledger.read(run)
        fields = {"stored": ledger.stored, "rejected": ledger.rejected, "visible_s": visible_ns / NS_PER_S}
        return point("delivery" + tags({"run": run, "writer": self._writer}), fields, now_ns)

    def _now_ns(self) -> int:
        answer: Any = self._client.time()
        return int(answer[0]) * NS_PER_S + int(answer[1]) * 1000


def _first_end_ns(batch: Batch) -> int:
    """When the first request of a batch ended, by the clock of Redis."""
    return int(batch.columns.end_ns[0]) - round((batch.clock_offset_ms or 0.0) * NS_PER_MS)
