"""BackfillQueue: the runs that a writer is to write again from their journals, kept in Redis."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from loadstone.stream.keys import BACKFILL_QUEUE
from loadstone.stream.when_full import command_when_full

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis

__all__ = ["BackfillQueue"]

_REMOVE: Final = """
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end
return 0
"""


class BackfillQueue:
    """One queue for all processes of a deployment. Methods raise `loadstone.stream.client.FAILURES`."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def add(self, runs: Iterable[str]) -> None:
        """Ask for a backfill of these runs, one that begins after now."""
        token = str(time.time_ns())
        requests = [word for run in runs for word in (run, token)]
        if requests:
            command_when_full(self._client, BACKFILL_QUEUE, "HSET", BACKFILL_QUEUE, *requests)

    def __contains__(self, run: str) -> bool:
        return bool(self._client.hexists(BACKFILL_QUEUE, run))

    def waiting(self) -> dict[str, str]:
        """The runs to backfill, each with the token of its newest request."""
        queued: Any = self._client.hgetall(BACKFILL_QUEUE)
        return {run.decode(): token.decode() for run, token in queued.items()}

    def remove(self, run: str, token: str) -> None:
        """A backfill is done; nothing happens when the run was requested again meanwhile."""
        self._client.eval(_REMOVE, 1, BACKFILL_QUEUE, run, token)
