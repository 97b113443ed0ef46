"""Proof that an entry belongs to its run: an HMAC-SHA256 (RFC 2104) with a secret that only this run's processes have.

A master makes the secret of its run, writes it to Redis (`open_run`), where only the collector can read it, and gives
it to its workers. The MAC covers the stream, the run and the blob, each with its length, so what was sent to one run or
stream proves nothing in another one. A run exists only when its secret does.
"""

from __future__ import annotations

import hmac
import secrets
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import redis

from loadstone.stream import keys

if TYPE_CHECKING:
    from redis import Redis

    from loadstone.stream.consumer import StreamEntry

__all__ = ["MAC_BYTES", "NotOpenedError", "RunSecret", "RunSecrets", "open_run"]

MAC_BYTES: Final = 32
_SECRET_BYTES: Final = 32
_LENGTHS: Final = struct.Struct("<HHQ")
_MOST_KNOWN: Final = 256


class NotOpenedError(redis.RedisError):
    """The server knows no secret of a run: its master has not opened it, or the server has lost it."""


@dataclass(frozen=True, slots=True)
class RunSecret:
    """The secret of one run, 32 random bytes, which no log shows."""

    run: str
    key: bytes = field(repr=False)

    @classmethod
    def new(cls, run: str) -> RunSecret:
        """A secret that nobody else has."""
        return cls(run, secrets.token_bytes(_SECRET_BYTES))

    def mac(self, stream: str, blob: bytes) -> bytes:
        """The proof for one entry of this run, `MAC_BYTES` long."""
        where, run = stream.encode(), self.run.encode()
        head = _LENGTHS.pack(len(where), len(run), len(blob)) + where + run
        return hmac.digest(self.key, head + blob, "sha256")

    def proves(self, entry: StreamEntry) -> bool:
        """Whether an entry carries the proof that it belongs to this run and stream."""
        return entry.run == self.run and hmac.compare_digest(self.mac(entry.stream, entry.blob), entry.mac)


def open_run(client: Redis, secret: RunSecret) -> None:
    """Let the collector know the secret of a run; nothing happens if it knows one. Raises stream failures."""
    client.setnx(keys.run_secret(secret.run), secret.key)


class RunSecrets:
    """The secrets of runs as the collector and the command that started a run read them, each once."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._known: dict[str, RunSecret] = {}

    def find(self, run: str) -> RunSecret | None:
        """The secret of a run, None before its master has opened it. Raises `loadstone.stream.client.FAILURES`."""
        found = self._known.get(run)
        if found is None:
            key: Any = self._client.get(keys.run_secret(run))
            if key is None:
                return None
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            found = self._known[run] = RunSecret(run, key)
        return found

    def of(self, run: str) -> RunSecret:
        """The secret of a run that was opened. Raises `NotOpenedError` and `loadstone.stream.client.FAILURES`."""
        found = self.find(run)
        if found is None:
            raise NotOpenedError(f"run {run} has no secret in Redis")
        return found

    def expire(self, run: str) -> None:
        """A run is closed: forget its secret after `loadstone.stream.keys.KEPT_S`, when no writer needs it any more."""
        self._client.expire(keys.run_secret(run), keys.KEPT_S)
