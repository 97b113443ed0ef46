"""The names of everything kept in Redis or Valkey, and a connection that fails fast instead of hanging."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from loadstone.errors import StreamError

if TYPE_CHECKING:
    from redis import Redis

__all__ = [
    "AGGREGATORS",
    "EVENTS",
    "FAILURES",
    "LEASE",
    "POINTS",
    "SAMPLES",
    "USAGE",
    "WRITERS",
    "add",
    "check",
    "clock_offset_ms",
    "connect",
    "live_key",
]

SAMPLES: Final = "samples"
EVENTS: Final = "events"
USAGE: Final = "usage"
POINTS: Final = "points"
AGGREGATORS: Final = "aggregator"
WRITERS: Final = "influx"
"""Consumer groups: the Aggregator, and all InfluxWriters of a deployment."""
LEASE: Final = "lease:aggregator"
FAILURES: Final = (redis.RedisError, OSError)
"""What a command can raise when the server is away, full or unwilling."""


def live_key(run: str) -> str:
    """The key of a run's newest live snapshot."""
    return f"live:{run}"


def connect(url: str, *, timeout_s: float = 5.0) -> Redis:
    """A client for a server that may not be there yet: no command waits longer than ``timeout_s``, none is repeated.

    Repeating is the caller's, who knows what may be sent twice.
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
    """One XADD. May raise any of `loadstone.stream.client.FAILURES`; the entry may then be there or not."""
    client.xadd(stream, {"run": run, "b": blob})


def clock_offset_ms(client: Redis, now_ns: int | None = None) -> float:
    """How far this machine's wall clock is ahead of the server's, in milliseconds, to half the round trip.

    ``now_ns`` stands for the wall clock when it is not the system's. Raises `loadstone.stream.client.FAILURES`.
    """
    before = time.perf_counter_ns()
    local_ns = time.time_ns() if now_ns is None else now_ns
    seconds, microseconds = _time(client)
    half_way_ns = (time.perf_counter_ns() - before) // 2
    return (local_ns + half_way_ns - (seconds * 1_000_000_000 + microseconds * 1000)) / 1e6


def _time(client: Redis) -> tuple[int, int]:
    answer: Any = client.time()
    return answer[0], answer[1]
