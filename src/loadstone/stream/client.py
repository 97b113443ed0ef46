"""A connection to Redis or Valkey that fails fast instead of hanging, and the one way into a stream: `add`.

Producers of entries have no right to use it: theirs is `loadstone.stream.inbox.send`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from loadstone.domain.time import NS_PER_MS, NS_PER_S, NS_PER_US
from loadstone.errors import StreamError
from loadstone.stream import keys
from loadstone.stream.when_full import command_when_full

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from loadstone.stream.consumer import StreamEntry

__all__ = [
    "FAILURES",
    "add",
    "add_dead_letter",
    "check",
    "clock_offset_ms",
    "connect",
    "is_local",
    "refusal",
    "what_failed",
]

FAILURES: Final = (redis.RedisError, OSError)
"""What a command can raise if the server is unavailable, full, or rejects the command."""

_CLOCK_READINGS: Final = 3
_LONGEST_LETTER: Final = 64 * 1024
_WAITS: Final = "Samples wait in the workers, up to 64 MB in each, and are sent when it works again"
_FULL: Final = f"Redis is full and takes nothing. {_WAITS}"
_UNWRITABLE: Final = f"Redis cannot write to its disk and takes nothing. Make room on the disk of its data. {_WAITS}"


def connect(url: str, *, timeout_s: float = 5.0) -> Redis:
    """A client for a server that may not be there yet: no command waits longer than ``timeout_s``, none is repeated.

    Retrying is up to the caller, who knows which commands are safe to repeat.
    """
    over_tcp = {} if url.startswith("unix:") else {"socket_keepalive": True}
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        protocol=2,
        **over_tcp,
    )


def check(client: Redis) -> None:
    """Raise `StreamError` with cause and cure when the server does not answer."""
    try:
        client.ping()
    except FAILURES as error:
        where = client.connection_pool.connection_kwargs
        name = where.get("path") or f"{where.get('host')}:{where.get('port')}"
        raise StreamError(
            f"Redis at {name} does not answer: {error}",
            hint="Start it, or leave --redis-url out and a private one is started",
        ) from error


def add(client: Redis, stream: str, blob: bytes, *, run: str = "") -> None:
    """Put one entry into a stream, or into the pipeline that is given as ``client``.

    May raise any of `loadstone.stream.client.FAILURES`; the entry may then be there or not.
    """
    client.xadd(stream, {keys.RUN: run, keys.BLOB: blob})


def add_dead_letter(
    client: Redis, stream: str, entry: StreamEntry, reason: str, content: bytes | str, *, most: int
) -> None:
    """Keep ``content``, an entry or the line of it that could not be used, in a stream of the ``most`` newest ones.

    Of a long one its beginning is kept, so that what was refused does not fill the server.

    It is kept on a full server too: its entry can be cut afterwards, and everything behind it.
    """
    content = content[:_LONGEST_LETTER]
    letter = (keys.RUN, entry.run, "stream", entry.stream, "id", entry.id, "reason", reason, keys.BLOB, content)
    command_when_full(client, stream, "XADD", stream, "MAXLEN", "~", str(most), "*", *letter)


def clock_offset_ms(client: Redis, now_ns: Callable[[], int] = time.time_ns) -> float:
    """How far a wall clock is ahead of the server's, in milliseconds, to half the quickest of a few round trips.

    The first one may also connect, and a busy machine delays single ones. Raises `loadstone.stream.client.FAILURES`.
    """
    return min(_round_trip(client, now_ns) for _ in range(_CLOCK_READINGS))[1]


def refusal(client: Redis) -> str:
    """Why the server takes nothing though it answers: it cannot write its append-only file, or is full. Else empty.

    Raises `FAILURES`; a server that may not be asked is taken for a sound one.
    """
    try:
        disk: Any = client.info("persistence")
        memory: Any = client.info("memory")
    except redis.ResponseError:
        return ""
    if disk.get("aof_last_write_status", "ok") != "ok":
        return _UNWRITABLE
    return _FULL if 0 < memory.get("maxmemory", 0) <= memory.get("used_memory", 0) else ""


def what_failed(error: Exception) -> str:
    """A sentence for people about one of `FAILURES`, with what becomes of the samples meanwhile."""
    if "MISCONF" in str(error):
        return _UNWRITABLE
    if isinstance(error, redis.OutOfMemoryError):
        return _FULL
    return f"Redis does not answer: {error}. {_WAITS}"


def is_local(url: str) -> bool:
    """Whether the server at this URL runs on this machine, and so has its clock."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme == "unix" or host in {"localhost", "::1"} or host.startswith("127.")


def _round_trip(client: Redis, now_ns: Callable[[], int]) -> tuple[int, float]:
    """How long asking for the time took, ns, and the offset in ms that follows."""
    before, local_ns = time.perf_counter_ns(), now_ns()
    seconds, microseconds = _time(client)
    took_ns = time.perf_counter_ns() - before
    return took_ns, (local_ns + took_ns // 2 - (seconds * NS_PER_S + microseconds * NS_PER_US)) / NS_PER_MS


def _time(client: Redis) -> tuple[int, int]:
    answer: Any = client.time()
    return answer[0], answer[1]
