"""PointsLease: one InfluxWriter at a time may write points, because a later point may replace an earlier one.

InfluxDB does not check fencing numbers. A writer that was frozen in the middle of a request continues when it wakes,
however long ago its lease expired, and overwrites newer points with older ones. So the lease is confirmed before each
request, which is not sent if the lease was lost, and after it: if another writer has taken the lease in the meantime,
the affected runs are backfilled, which writes their newest points again.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from loadstone.influx.backfill_queue import BackfillQueue
from loadstone.stream.keys import POINTS_LEASE
from loadstone.stream.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from loadstone.stream.consumer import Consumer, StreamEntry

__all__ = ["PointsLease", "PointsLeaseLostError"]

log = logging.getLogger("loadstone.influx")


class PointsLeaseLostError(Exception):
    """The writer does not hold the points lease (any more): another one writes the entries that it has read."""


class PointsLease:
    """The points lease as one writer sees it. Methods raise `loadstone.stream.client.FAILURES`.

    ``number`` is the fencing number under which this writer holds it, 0 when it does not.
    """

    def __init__(self, client: Redis, holder: str, *, life_ms: int) -> None:
        self._lease = Lease(client, POINTS_LEASE, holder, life_ms=life_ms)
        self._backfills = BackfillQueue(client)
        self._sent: tuple[int, frozenset[str]] | None = None
        self.number = 0

    def take(self) -> bool:
        """Take or renew the lease. True when it is newly taken: then entries that were read before are read again."""
        number = self._take()
        is_new = number not in {0, self.number}
        self.number = number
        return is_new

    def read(self, points: Consumer, *, count: int) -> list[StreamEntry]:
        """The next points; none when the lease was lost, and then they stay for its new holder."""
        return points.read_as_holder(POINTS_LEASE, self.number, count=count) if self.number else []

    @contextmanager
    def writing(self, number: int, runs: frozenset[str]) -> Iterator[None]:
        """Around one request with points of these runs, read under ``number``. Raises `PointsLeaseLostError`."""
        self._confirm(number)
        self._sent = number, runs
        yield
        self._confirm(number)

    def release(self) -> None:
        """Let another writer take the lease."""
        self._lease.release()
        self.number = 0

    def _confirm(self, number: int) -> None:
        if self._take() != number:
            self.number = 0
            raise PointsLeaseLostError

    def _take(self) -> int:
        number = self._lease.take()
        if self._sent is not None:
            sent_under, runs = self._sent
            if number != sent_under:
                log.error(
                    "state=overtaken runs=%s cause='the points lease expired during a request' action=backfill",
                    ",".join(runs),
                )
                self._backfills.add(runs)
            self._sent = None
        return number
