"""Lease: at most one holder at a time, each with a number higher than the one before (the fencing number).

It can be taken on a full server too: its holder may be the one that makes room.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from loadstone.stream.client import FAILURES
from loadstone.stream.keys import lease_number
from loadstone.stream.when_full import script_when_full

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

__all__ = ["Lease"]

_TAKE: Final = """
local holder = redis.call('HGET', KEYS[1], 'holder')
if holder and holder ~= ARGV[1] then return 0 end
if not holder then
  redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'number', redis.call('INCR', KEYS[2]))
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return tonumber(redis.call('HGET', KEYS[1], 'number'))
"""
_RELEASE: Final = """
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class Lease:
    """A named lease in Redis that ends by itself ``life_ms`` after it was last taken."""

    def __init__(self, client: Redis, key: str, holder: str, *, life_ms: int) -> None:
        self._client = client
        self._key = key
        self._holder = holder
        self._life_ms = life_ms

    def take(self) -> int:
        """Take or renew the lease. The fencing number, or 0 while someone else holds it."""
        names = (self._key, lease_number(self._key))
        return int(script_when_full(self._client, _TAKE, names, self._holder, str(self._life_ms)))

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renew the lease from a thread during work that may take longer than its life."""
        done = threading.Event()

        def renew() -> None:
            while not done.wait(self._life_ms / 3000):
                with suppress(*FAILURES):  # the holder finds out when it takes the lease again
                    self.take()

        thread = threading.Thread(target=renew, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def release(self) -> None:
        """Let the next one in; nothing happens when someone else holds it."""
        self._client.eval(_RELEASE, 1, self._key, self._holder)
