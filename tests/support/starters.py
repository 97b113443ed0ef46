"""The types of the fixtures that start servers, for the annotations of tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from support.counting_server import CountingServer
    from support.redis_server import RedisServer


class StartRedis(Protocol):
    """Starts one more server: ``start_valkey(maxmemory="16mb", appendonly=True, appendfsync="everysec")``."""

    def __call__(self, *, maxmemory: str = ..., appendonly: bool = ..., appendfsync: str = ...) -> RedisServer:
        """Start it."""
        ...


class StartCountingServer(Protocol):
    """Starts one more counting server: ``start_counting_server(latency_ms=5, pem=None)``."""

    def __call__(self, *, latency_ms: float = ..., pem: Path | None = ...) -> CountingServer:
        """Start it."""
        ...
