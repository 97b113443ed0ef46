"""The streams, against a real Valkey: delivery at least once, trimming behind every group, leases, bounded outbox."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import redis

from loadstone.errors import StreamError
from loadstone.hook.sender import Outbox
from loadstone.stream import when_full
from loadstone.stream.client import FAILURES, add, add_dead_letter, check, clock_offset_ms, connect
from loadstone.stream.consumer import Consumer, StreamEntry, trim_finished
from loadstone.stream.keys import DEAD_LETTERS, EVENTS, SAMPLES
from loadstone.stream.lease import Lease
from support.processes import wait_until

if TYPE_CHECKING:
    from support.redis_server import RedisServer
    from support.starters import StartRedis


def consumer(valkey: RedisServer, group: str = "aggregator", name: str = "one") -> Consumer:
    made = Consumer(connect(valkey.url), group, name, (EVENTS, SAMPLES))
    made.join()
    return made


def blobs(entries) -> list[bytes]:
    return [entry.blob for entry in entries]


def test_entries_come_in_order_and_events_before_samples(valkey: RedisServer):
    client = valkey.client()
    add(client, SAMPLES, b"s1", run="r")
    add(client, EVENTS, b"e1", run="r")
    add(client, SAMPLES, b"s2", run="r")
    reader = consumer(valkey)
    reader.read(count=10, block_ms=1)  # what an earlier life left: nothing
    found = reader.read(count=10, block_ms=1)
    assert blobs(found) == [b"e1", b"s1", b"s2"]
    assert {entry.run for entry in found} == {"r"}


def test_what_was_not_acknowledged_is_delivered_again_to_the_next_life(valkey: RedisServer):
    client = valkey.client()
    for number in range(5):
        add(client, SAMPLES, b"%d" % number, run="r")
    first = consumer(valkey)
    first.read(count=10, block_ms=1)
    entries = first.read(count=10, block_ms=1)
    first.acknowledge(entries[:2])
    again = consumer(valkey)
    assert blobs(again.read(count=10, block_ms=1)) == [b"2", b"3", b"4"]


def test_after_a_failure_what_was_read_is_read_again(valkey: RedisServer):
    client = valkey.client()
    add(client, SAMPLES, b"x", run="r")
    reader = consumer(valkey)
    reader.read(count=10, block_ms=1)
    assert blobs(reader.read(count=10, block_ms=1)) == [b"x"]
    reader.rewind()
    assert blobs(reader.read(count=10, block_ms=1)) == [b"x"]


def test_nothing_is_lost_when_the_server_is_killed(start_valkey: StartRedis):
    valkey = start_valkey(appendfsync="always")
    client = valkey.client()
    for number in range(50):
        add(client, SAMPLES, b"%d" % number, run="r")
    reader = consumer(valkey)
    valkey.kill()
    with pytest.raises(FAILURES):
        reader.read(count=10, block_ms=1)
    valkey.start()
    reader.rewind()
    reader.join()
    found = []
    for _ in range(4):
        found += blobs(reader.read(count=100, block_ms=1))
    assert found == [b"%d" % number for number in range(50)]


def test_a_stream_is_cut_only_behind_what_every_group_has_finished(valkey: RedisServer):
    client = valkey.client()
    for number in range(6):
        add(client, SAMPLES, b"%d" % number, run="r")
    fast, slow = consumer(valkey), consumer(valkey, "writer")
    for reader in (fast, slow):
        reader.read(count=10, block_ms=1)
    fast.acknowledge(fast.read(count=10, block_ms=1))
    trim_finished(client, SAMPLES)
    assert client.xlen(SAMPLES) == 6, "the other group has read nothing"
    entries = slow.read(count=10, block_ms=1)
    slow.acknowledge(entries[:4])
    trim_finished(client, SAMPLES)
    assert [fields[b"b"] for _, fields in client.xrange(SAMPLES)] == [b"4", b"5"]
    slow.acknowledge(entries[4:])
    trim_finished(client, SAMPLES)
    assert client.xlen(SAMPLES) == 0


def test_a_group_may_finish_all_it_had_while_the_stream_is_being_cut(valkey: RedisServer, monkeypatch):
    client, reader = valkey.client(), consumer(valkey)
    for number in range(3):
        add(client, SAMPLES, b"%d" % number, run="r")
    reader.read(count=10, block_ms=1)
    entries = reader.read(count=2, block_ms=1)
    look = client.xinfo_groups

    def look_before_it_finishes(stream: str):
        groups = look(stream)
        reader.acknowledge(entries)
        return groups

    monkeypatch.setattr(client, "xinfo_groups", look_before_it_finishes)
    trim_finished(client, SAMPLES)
    assert client.xlen(SAMPLES) == 1, "what was not delivered yet is still there"


def test_a_stream_without_groups_stays_whole(valkey: RedisServer):
    client = valkey.client()
    add(client, SAMPLES, b"x", run="r")
    trim_finished(client, SAMPLES)
    assert client.xlen(SAMPLES) == 1


def test_a_foreign_entry_comes_with_an_empty_blob(valkey: RedisServer):
    valkey.client().xadd(SAMPLES, {"something": "else"})
    reader = consumer(valkey)
    reader.read(count=10, block_ms=1)
    assert blobs(reader.read(count=10, block_ms=1)) == [b""]


def test_a_lease_has_one_holder_and_its_number_rises_with_each_new_one(valkey: RedisServer):
    client = valkey.client()
    one, two = (Lease(client, "lease", name, life_ms=200) for name in ("one", "two"))
    assert one.take() == 1
    assert two.take() == 0
    assert one.take() == 1
    one.release()
    assert two.take() == 2
    two_again = Lease(client, "lease", "three", life_ms=200)
    wait_until(lambda: two_again.take() == 3, "a lease that is not renewed ends by itself")


def test_releasing_a_lease_that_someone_else_holds_does_nothing(valkey: RedisServer):
    client = valkey.client()
    one, two = (Lease(client, "lease", name, life_ms=60_000) for name in ("one", "two"))
    one.take()
    two.release()
    assert two.take() == 0


def test_the_offset_of_a_clock_that_is_three_seconds_ahead_is_three_seconds(valkey: RedisServer):
    client = valkey.client()
    ahead = clock_offset_ms(client, lambda: time.time_ns() + 3_000_000_000)
    assert ahead == pytest.approx(3000, abs=200)
    assert clock_offset_ms(client) == pytest.approx(0, abs=200)


def test_an_absent_server_is_told_with_its_address_and_what_to_do():
    client = connect("redis://127.0.0.1:1/0")
    with pytest.raises(StreamError, match=r"Redis at 127.0.0.1:1 does not answer.*Start it"):
        check(client)


def test_a_full_outbox_takes_no_more_until_something_was_sent():
    outbox = Outbox(limit_bytes=10)
    assert outbox.fits(100), "an empty one takes anything"
    outbox.put(b"12345678", samples=3)
    assert not outbox.fits(3)
    assert outbox.fits(2)
    outbox.put(b"ab", samples=1)
    assert (outbox.size_bytes, outbox.samples, len(outbox)) == (10, 4, 2)
    assert outbox.oldest() == b"12345678"
    outbox.sent()
    assert outbox.oldest() == b"ab"
    assert (outbox.size_bytes, outbox.samples) == (2, 1)


def full(server: RedisServer) -> redis.Redis:
    """A client to the server, which is full from now on."""
    server.fill()
    return server.client()


def test_a_full_server_still_gives_the_lease_to_one_holder(valkey: RedisServer):
    client = full(valkey)
    one, two = (Lease(client, "lease", name, life_ms=60_000) for name in ("one", "two"))
    assert (one.take(), two.take(), one.take()) == (1, 0, 1)
    one.release()
    assert two.take() == 2


def test_a_full_server_lets_a_consumer_join_again_read_and_acknowledge(valkey: RedisServer):
    add(valkey.client(), SAMPLES, b"x", run="r")
    consumer(valkey)
    client = full(valkey)
    again = consumer(valkey, name="two")
    again.read(count=10, block_ms=1)
    entries = again.read(count=10, block_ms=1)
    again.acknowledge(entries)
    trim_finished(client, SAMPLES)
    assert blobs(entries) == [b"x"]
    assert client.xlen(SAMPLES) == 0


def test_a_full_server_lets_a_group_begin(valkey: RedisServer):
    add(valkey.client(), SAMPLES, b"x", run="r")
    full(valkey)
    reader = consumer(valkey)
    reader.read(count=10, block_ms=1)
    assert blobs(reader.read(count=10, block_ms=1)) == [b"x"]


def test_a_full_server_keeps_a_dead_letter(valkey: RedisServer):
    client = full(valkey)
    add_dead_letter(client, DEAD_LETTERS, StreamEntry(SAMPLES, "1-0", "r", b""), "why", b"\xff\x00", most=10)
    ((_, letter),) = client.xrange(DEAD_LETTERS)
    assert letter == {b"run": b"r", b"stream": b"samples", b"id": b"1-0", b"reason": b"why", b"b": b"\xff\x00"}


def test_a_server_that_does_not_know_the_flag_says_that_it_is_full(valkey: RedisServer, monkeypatch):
    client = full(valkey)
    monkeypatch.setattr(when_full, "_ALLOWED_WHEN_FULL", "#not lua\n")  # as Redis before 7.0 takes the flags
    with pytest.raises(redis.OutOfMemoryError, match="maxmemory"):
        Lease(client, "lease", "one", life_ms=60_000).take()
