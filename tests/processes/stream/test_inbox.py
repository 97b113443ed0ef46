"""Inboxes: what producers put there reaches the streams once and in order, on a full and on a killed server too."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
import redis

from loadstone.stream.client import FAILURES, connect
from loadstone.stream.inbox import LONGEST_ENTRY, move_entries, send, send_usage
from loadstone.stream.keys import BLOB, EVENTS, MAC, RUN, SAMPLES, USAGE, inbox
from loadstone.stream.proof import RunSecret, RunSecrets, open_run
from support.collecting import secret_of
from support.processes import wait_until

if TYPE_CHECKING:
    from support.redis_server import RedisServer
    from support.starters import StartRedis

STREAMS = (EVENTS, SAMPLES, USAGE)


def blobs(client: redis.Redis, stream: str = SAMPLES) -> list[bytes]:
    return [fields[BLOB.encode()] for _, fields in client.xrange(stream)]


def test_entries_are_moved_in_order_with_their_run_and_proof(valkey: RedisServer):
    client = valkey.client()
    for number in range(3):
        send(client, SAMPLES, b"%d" % number, secret_of())
    send(client, EVENTS, b"event", secret_of("s"))
    send_usage(client, b"tick")
    assert move_entries(client, STREAMS) == 5
    assert [blobs(client, stream) for stream in STREAMS] == [[b"event"], [b"0", b"1", b"2"], [b"tick"]]
    ((_, event),) = client.xrange(EVENTS)
    assert event[RUN.encode()] == b"s"
    assert event[MAC.encode()] == secret_of("s").mac(EVENTS, b"event")
    assert move_entries(client, STREAMS) == 0


def test_one_pass_moves_a_bounded_number_of_entries_and_bytes_of_each_stream(valkey: RedisServer):
    client = valkey.client()
    for number in range(600):
        send(client, EVENTS, b"%d" % number, secret_of())
    for _ in range(20):
        send(client, SAMPLES, bytes(1_000_000), secret_of())
    moved = [move_entries(client, STREAMS) for _ in range(4)]
    assert moved == [256 + 9, 256 + 9, 88 + 2, 0]
    assert blobs(client, EVENTS) == [b"%d" % number for number in range(600)]


@pytest.mark.parametrize(
    "element",
    [b"", b"\x01", b"\x01\x05" + bytes(20), b"\x01\x05" + bytes(36), b"\x02\x01" + bytes(33), b"LSB1" + bytes(100)],
    ids=["empty", "one byte", "half a MAC", "half a run", "version 2", "no frame"],
)
def test_what_is_no_entry_is_moved_as_a_blob_of_no_run(valkey: RedisServer, element: bytes):
    client = valkey.client()
    client.rpush(inbox(SAMPLES), element)
    assert move_entries(client, STREAMS) == 1
    assert client.xrange(SAMPLES)[0][1] == {RUN.encode(): b"", MAC.encode(): b"", BLOB.encode(): element}


def test_of_an_element_that_is_too_long_only_the_beginning_is_moved(valkey: RedisServer):
    client = valkey.client()
    client.rpush(inbox(SAMPLES), b"\x01\x01" + bytes(LONGEST_ENTRY))
    send(client, SAMPLES, b"next", secret_of())
    assert move_entries(client, STREAMS) == 1
    assert move_entries(client, STREAMS) == 1
    long, after = blobs(client)
    assert (len(long), after) == (1024, b"next")


@pytest.mark.attack("a stream that takes nothing", "no element leaves its inbox")
def test_what_a_stream_does_not_take_stays_where_it_is(valkey: RedisServer):
    client = valkey.client()
    send(client, SAMPLES, b"1", secret_of())
    send(client, SAMPLES, b"2", secret_of())
    client.xadd(SAMPLES, {"b": "x"}, id=f"{2**64 - 1}-{2**64 - 1}")
    waiting = client.lrange(inbox(SAMPLES), 0, -1)
    for _ in range(2):
        with pytest.raises(redis.ResponseError, match="last possible ID"):
            move_entries(client, STREAMS)
        assert client.lrange(inbox(SAMPLES), 0, -1) == waiting
    client.delete(SAMPLES)
    assert move_entries(client, STREAMS) == 2
    assert blobs(client) == [b"1", b"2"]


def test_a_full_server_takes_nothing_new_but_moves_what_it_has(valkey: RedisServer):
    client = valkey.client()
    for number in range(200):
        send(client, SAMPLES, b"%d" % number * 1000, secret_of())
    valkey.fill()
    with pytest.raises(redis.OutOfMemoryError):
        send(client, SAMPLES, b"more", secret_of())
    assert move_entries(client, STREAMS) == 200
    assert len(blobs(client)) == 200


def test_a_server_that_is_killed_while_entries_are_moved_has_each_of_them_once_and_in_order(start_valkey: StartRedis):
    server, n = start_valkey(appendfsync="always"), 20_000
    client = server.client()
    with client.pipeline(transaction=False) as pipeline:
        for number in range(n):
            send(pipeline, SAMPLES, b"%d" % number, secret_of())
        pipeline.execute()
    mover = connect(server.url)
    passes = []

    def move() -> None:
        try:
            while moved := move_entries(mover, STREAMS):
                passes.append(moved)
        except FAILURES:
            pass

    thread = threading.Thread(target=move)
    thread.start()
    wait_until(lambda: len(passes) > 3, "it moves")
    server.kill()
    thread.join()
    server.start()
    again = server.client()
    assert 0 < again.xlen(SAMPLES) < n
    while move_entries(again, STREAMS):
        pass
    assert blobs(again) == [b"%d" % number for number in range(n)]


def test_the_first_secret_of_a_run_stays(valkey: RedisServer):
    client = valkey.client()
    assert RunSecrets(client).find("r") is None
    open_run(client, secret_of())
    open_run(client, RunSecret.new("r"))
    assert RunSecrets(client).of("r") == secret_of()
