"""Fixtures for tests against real servers: the programs, and running Redis and InfluxDB servers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from support import run_maker
from support.influx_server import InfluxServer
from support.redis_server import RedisServer
from support.servers import server_binary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.starters import StartRedis


@pytest.fixture
def recent_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of long ago would be closed for want of a master."""
    monkeypatch.setattr(run_maker, "START", time.time_ns() // run_maker.SECOND * run_maker.SECOND)


@pytest.fixture(scope="session")
def redis_server_binary() -> Path:
    """The program redis-server (or valkey-server, where the machine has that)."""
    return server_binary("redis-server", "valkey-server")


@pytest.fixture(scope="session")
def influxd_binary() -> Path:
    """The program influxd, 1.6.7."""
    return server_binary("influxd")


@pytest.fixture(scope="session")
def nginx_binary() -> Path:
    """The program nginx."""
    return server_binary("nginx")


@pytest.fixture(scope="session")
def haproxy_binary() -> Path:
    """The program haproxy."""
    return server_binary("haproxy")


@pytest.fixture(scope="session")
def wrk_binary() -> Path:
    """The program wrk, an independent load generator."""
    return server_binary("wrk")


@pytest.fixture
def start_redis(redis_server_binary: Path, tmp_path: Path) -> Iterator[StartRedis]:
    """Start any number of fresh Redis servers; all are gone after the test."""
    servers: list[RedisServer] = []

    def start(**options: Any) -> RedisServer:
        servers.append(RedisServer(redis_server_binary, tmp_path / f"redis-{len(servers)}", **options))
        return servers[-1].start()

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def redis_server(start_redis: StartRedis) -> RedisServer:
    """A fresh Redis server with an append-only file: ``.url .client() .stop() .kill() .start() .restart()``."""
    return start_redis()


@pytest.fixture
def influxdb(influxd_binary: Path, nginx_binary: Path, tmp_path: Path) -> Iterator[InfluxServer]:
    """A fresh InfluxDB behind the 2.x paths: ``.url .query() .count() .stop() .kill() .start() .restart()``."""
    server = InfluxServer(influxd_binary, nginx_binary, tmp_path / "influxdb")
    try:
        yield server.start()
    finally:
        server.kill()
