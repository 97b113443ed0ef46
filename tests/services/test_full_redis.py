"""A real Redis that is full: what the collector needs in order to make room is done all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

from loadstone.collector.service import serve_aggregator
from loadstone.influx.feed import InfluxFeed
from loadstone.influx.ledger import SharedLedger
from loadstone.stream.client import add
from loadstone.stream.consumer import Consumer
from loadstone.stream.keys import AGGREGATOR_LEASE, AGGREGATORS, BACKFILL_QUEUE, INFLUX_OPEN, SAMPLES, WRITERS
from loadstone.stream.lease import Lease
from support.collecting import collector_settings, ship, small_run, threads
from support.processes import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from support.redis_server import RedisServer


def test_leases_groups_and_marks_are_written(redis_server: RedisServer, tmp_path: Path):
    client = redis_server.client()
    add(client, SAMPLES, bytes(1000), run="r")
    redis_server.fill()
    feed = InfluxFeed(client, SharedLedger(client, WRITERS), tmp_path)
    assert [Lease(client, AGGREGATOR_LEASE, name, life_ms=60_000).take() for name in ("one", "two")] == [1, 0]
    Consumer(client, AGGREGATORS, AGGREGATORS, (SAMPLES,)).join()
    feed.join()
    feed.opened("r")
    assert {group["name"] for group in client.xinfo_groups(SAMPLES)} == {AGGREGATORS.encode(), WRITERS.encode()}
    assert client.smembers(INFLUX_OPEN) == {b"r"}
    with pytest.raises(redis.OutOfMemoryError):
        client.set("more", "x")


def test_an_aggregator_that_is_started_makes_room(redis_server: RedisServer, tmp_path: Path):
    client = redis_server.client()
    ship(client, small_run(batches=40, per_batch=1000, ends=False).entries)
    redis_server.fill()
    with threads(collector_settings(redis_server.url, tmp_path, "http://127.0.0.1:9"), serve_aggregator):
        wait_until(lambda: not client.xlen(SAMPLES), "the stream is cut", timeout_s=30)
        wait_until(lambda: bool(client.set("more", "x")), "there is room")
    assert client.hexists(BACKFILL_QUEUE, "r")
