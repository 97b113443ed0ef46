"""PointsLease: one InfluxWriter at a time may write points, because a later point may replace an earlier one.

InfluxDB knows no fencing number: a writer that was frozen in the middle of a request writes on when it wakes, however
long ago its turn ended, and what was new is old again. So the turn is confirmed before each request, which is then not
sent; and after it, and where the turn has passed on meanwhile, a backfill of the runs concerned mends them.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from loadstone.stream.keys import BACKFILL_QUEUE, POINTS_LEASE
from loadstone.stream.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from redis import Redis

    from loadstone.stream.consumer import Consumer, StreamEntry

__all__ = [
    "PointsLease",
    "PointsLeaseLostError",
    "dequeue_backfill",
    "queue_backfill",
    "queued_backfills",
]

log = logging.getLogger("loadstone.influx")


class PointsLeaseLostError(Exception):
    """It is not, or no longer, this writer's turn; what it has in hand is another's to write."""


class PointsLease:
    """The turn as one writer sees it. Methods raise `loadstone.stream.client.FAILURES`.

    ``number`` is the fencing number of this writer's turn, 0 when it is not its turn.
    """

    def __init__(self, client: Redis, holder: str, *, life_ms: int) -> None:
        self._client = client
        self._lease = Lease(client, POINTS_LEASE, holder, life_ms=life_ms)
        self._sent: tuple[int, frozenset[str]] | None = None
        self.number = 0

    def take(self) -> bool:
        """Take or renew the turn. True when a new one begins, with what was read but not acknowledged."""
        number = self._ask()
        begins = number not in {0, self.number}
        self.number = number
        return begins

    def read(self, points: Consumer, *, count: int) -> list[StreamEntry]:
        """The next points; none when the turn was lost, and then none are taken away from whoever has it."""
        return points.read_as_holder(POINTS_LEASE, self.number, count=count) if self.number else []

    @contextmanager
    def writing(self, number: int, runs: frozenset[str]) -> Iterator[None]:
        """Around one request with points of these runs, read in turn ``number``. Raises `PointsLeaseLostError`."""
        self._confirm(number)
        self._sent = number, runs
        yield
        self._confirm(number)

    def release(self) -> None:
        """Let the next one in."""
        self._lease.release()
        self.number = 0

    def _confirm(self, number: int) -> None:
        if self._ask() != number:
            self.number = 0
            raise PointsLeaseLostError

    def _ask(self) -> int:
        number = self._lease.take()
        if self._sent is not None:
            sent_in, runs = self._sent
            if number != sent_in:
                log.error("state=overtaken runs=%s action='backfill: a frozen request may be old'", ",".join(runs))
                queue_backfill(self._client, runs)
            self._sent = None
        return number


_FORGET: Final = """
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end
return 0
"""


def queue_backfill(client: Redis, runs: Iterable[str]) -> None:
    """Ask for a backfill of these runs, one that begins after now."""
    wishes: dict[Any, Any] = dict.fromkeys(runs, str(time.time_ns()))
    if wishes:
        client.hset(BACKFILL_QUEUE, mapping=wishes)


def queued_backfills(client: Redis) -> dict[str, str]:
    """The runs that are to be backfilled, each with the token of its newest wish."""
    wanted: Any = client.hgetall(BACKFILL_QUEUE)
    return {run.decode(): token.decode() for run, token in wanted.items()}


def dequeue_backfill(client: Redis, run: str, token: str) -> None:
    """A backfill is done; nothing happens when there was another wish meanwhile."""
    client.eval(_FORGET, 1, BACKFILL_QUEUE, run, token)
