"""Putting blobs into a stream, and the server's clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis import Redis

__all__ = ["add", "clock_offset_ms"]


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
