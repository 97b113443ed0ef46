"""IngestLag: how many requests InfluxDB has, and how long they took to get there, as the measurement ``delivery``.

A writer tells it of its own work, once a second for each run that it wrote; what a backfill writes is not in it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from loadstone.influx.line_protocol import point, tags

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis

    from loadstone.domain.batch import Batch
    from loadstone.influx.ledger import SharedLedger, WriteReceipt

__all__ = ["IngestLag"]

_EVERY_S: Final = 1.0
_NS: Final = 1_000_000_000
_MS: Final = 1_000_000


class IngestLag:
    """What one writer has to tell. Methods raise `loadstone.stream.client.FAILURES`."""

    def __init__(self, client: Redis, ledger: SharedLedger, writer: str) -> None:
        self._client = client
        self._ledger = ledger
        self._writer = writer
        self._visible_ns: dict[str, int] = {}
        self._told_at_s = 0.0

    def note(self, settled: Iterable[WriteReceipt]) -> None:
        """These entries were stored just now; clocks of workers are corrected to that of Redis."""
        now_ns = self._now_ns()
        for each in settled:
            if each.batch is not None and len(each.batch.columns):
                visible_ns = max(0, now_ns - _first_end_ns(each.batch))
                self._visible_ns[each.run] = max(visible_ns, self._visible_ns.get(each.run, 0))

    def lines(self) -> list[str]:
        """One point for each run that was written since the last call, at most once a second."""
        if not self._visible_ns or time.monotonic() - self._told_at_s < _EVERY_S:
            return []
        self._told_at_s = time.monotonic()
        now_ns = self._now_ns()
        told, self._visible_ns = self._visible_ns, {}
        return [self._line(run, visible_ns, now_ns) for run, visible_ns in told.items()]

    def _line(self, run: str, visible_ns: int, now_ns: int) -> str:
        ledger = self._ledger.read(run)
        fields = {"stored": ledger.stored, "rejected": ledger.rejected, "visible_s": visible_ns / _NS}
        return point("delivery" + tags({"run": run, "writer": self._writer}), fields, now_ns)

    def _now_ns(self) -> int:
        answer: Any = self._client.time()
        return int(answer[0]) * _NS + int(answer[1]) * 1000


def _first_end_ns(batch: Batch) -> int:
    """When the first request of a batch ended, by the clock of Redis."""
    return int(batch.columns.end_ns[0]) - round((batch.clock_offset_ms or 0.0) * _MS)
