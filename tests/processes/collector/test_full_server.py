"""The collector behind a Valkey that is full while InfluxDB is away: it makes room by itself, and loses nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import redis

from loadstone.collector.aggregator import STREAMS, Aggregator
from loadstone.collector.finalizer import Finalizer, FinalizerOrder
from loadstone.domain.time import Clock
from loadstone.host.clock import SYSTEM_CLOCK
from loadstone.influx import service
from loadstone.influx.feed import InfluxFeed
from loadstone.influx.ledger import SharedLedger
from loadstone.stream.client import FAILURES, connect, refusal
from loadstone.stream.consumer import Consumer
from loadstone.stream.keys import (
    AGGREGATORS,
    BACKFILL_QUEUE,
    DEAD_LETTERS,
    EVENTS,
    INFLUX_CUT,
    OPEN_RUNS,
    SAMPLES,
    WRITERS,
    admitted_names,
)
from support import run_maker
from support.collecting import collector_settings, run_json, ship, small_run, threads, wait_for_influx
from support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadstone.archive.folder import RunFolder
    from loadstone.archive.journal.frame import Entry
    from support.faulty_influx import FaultyInflux
    from support.redis_server import RedisServer


@pytest.fixture(autouse=True)
def run_of_now(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run_maker, "START", time.time_ns())  # a run of long ago would be closed for want of a master
    monkeypatch.setattr(service, "_BACKFILL_EVERY_S", 0.3)


@pytest.fixture
def client(valkey: RedisServer) -> Iterator[redis.Redis]:
    made = connect(valkey.url)
    yield made
    made.close()


@pytest.fixture
def aggregator(client: redis.Redis, tmp_path: Path) -> Iterator[Aggregator]:
    """An Aggregator with an InfluxDB that is away: no writer reads anything."""
    consumer = Consumer(client, AGGREGATORS, AGGREGATORS, STREAMS)
    made = Aggregator(
        client, tmp_path, consumer, closing_never, InfluxFeed(client, SharedLedger(client, WRITERS), tmp_path)
    )
    yield made
    made.close()


def closing_never(folder: RunFolder) -> Finalizer:
    order = FinalizerOrder(redis_url="", path=str(folder.path), closed_at_ns=0, holder="")
    return Finalizer(order, Clock(now_ns=SYSTEM_CLOCK.now_ns, monotonic_s=lambda: 0.0))


def has_made_room(aggregator: Aggregator) -> bool:
    """One pass as the service makes it; whether everything is acknowledged and cut."""
    try:
        aggregator.step()
    except FAILURES:
        aggregator.forget_unsynced()
    client = aggregator.client
    return all(not client.xpending(stream, AGGREGATORS)["pending"] for stream in STREAMS) and not client.xlen(SAMPLES)


def is_shipped(client: redis.Redis, entry: Entry) -> bool:
    try:
        ship(client, [entry])
    except redis.OutOfMemoryError:
        return False
    return True


def assert_writers_can_complete(client: redis.Redis) -> None:
    assert client.smembers(OPEN_RUNS) == client.smembers(INFLUX_CUT) == {b"r"}
    assert client.hexists(BACKFILL_QUEUE, "r")
    assert client.exists(admitted_names("r"))


def test_an_aggregator_makes_room_in_a_server_that_is_full(
    valkey: RedisServer, client: redis.Redis, aggregator: Aggregator
):
    run = small_run(batches=40, per_batch=1000, ends=False).entries
    aggregator.resume()
    ship(client, run[:10])
    aggregator.step()
    ship(client, run[10:])
    valkey.fill()
    wait_until(lambda: has_made_room(aggregator), "the stream is cut", timeout_s=20)
    wait_until(lambda: has_made_room(aggregator) and client.exists(admitted_names("r")), "the rest is published")
    assert_writers_can_complete(client)
    assert aggregator.runs["r"].unpublished == []


@pytest.mark.parametrize("known", [True, False], ids=["after an earlier one", "as the first one"])
def test_an_aggregator_that_is_started_on_a_full_server_makes_room_in_it(
    valkey: RedisServer, client: redis.Redis, aggregator: Aggregator, *, known: bool
):
    if known:
        aggregator.resume()
    ship(client, small_run(batches=40, per_batch=1000, ends=False).entries)
    valkey.fill()
    aggregator.resume()
    wait_until(lambda: has_made_room(aggregator), "the stream is cut", timeout_s=20)
    wait_until(lambda: has_made_room(aggregator) and client.exists(admitted_names("r")), "the rest is published")
    assert_writers_can_complete(client)


def test_an_entry_that_cannot_be_read_is_put_aside_on_a_full_server_too(
    valkey: RedisServer, client: redis.Redis, aggregator: Aggregator
):
    aggregator.resume()
    client.xadd(EVENTS, {"run": "r", "b": "nonsense"})
    ship(client, small_run(batches=40, per_batch=1000, ends=False).entries)
    valkey.fill()
    wait_until(lambda: has_made_room(aggregator), "the stream is cut", timeout_s=20)
    assert client.xlen(DEAD_LETTERS) == 1


def test_what_a_full_server_did_not_take_is_in_influxdb_in_the_end(
    valkey: RedisServer, client: redis.Redis, faulty_influx: FaultyInflux, tmp_path: Path
):
    faulty_influx.stop()
    run = small_run(batches=20, per_batch=1000)
    begun = run.entries[:40]
    ship(client, begun)
    valkey.fill()
    with threads(collector_settings(valkey.url, tmp_path, faulty_influx.url, influx_timeout="10s")):
        wait_until(lambda: not client.xlen(SAMPLES), "the stream is cut", timeout_s=20)
        for entry in run.entries[len(begun) :]:
            wait_until(lambda entry=entry: is_shipped(client, entry), "there is room for the entry", timeout_s=20)
        faulty_influx.start()
        assert wait_for_influx(client, tmp_path) == {"stored": 40_000, "rejected": 0, "pending": 0}
    requests = {key for key in faulty_influx.points if key.measurement == "request"}
    assert len(requests) == run_json(tmp_path)["requests"] == 40_000
    assert 40_000 in [fields["n"] for key, fields in faulty_influx.points.items() if ("res", "run") in key.tags]


def test_a_server_that_is_full_says_so_and_one_with_room_says_nothing(valkey: RedisServer, client: redis.Redis):
    assert refusal(client) == ""
    valkey.fill()
    assert "Redis is full and takes nothing" in refusal(client)
    valkey.set_maxmemory("0")
    assert refusal(client) == ""
