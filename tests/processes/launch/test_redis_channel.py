"""The events of the command that started a run prove the run as those of its master do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadstone.domain.event import Event, Interrupted
from loadstone.launch.run_channel import RedisChannel
from loadstone.stream.client import FAILURES, add_dead_letter
from loadstone.stream.consumer import Consumer, StreamEntry
from loadstone.stream.inbox import move_entries
from loadstone.stream.keys import AGGREGATORS, DEAD_LETTERS, EVENTS
from loadstone.stream.proof import open_run
from support.collecting import secret_of

if TYPE_CHECKING:
    from support.redis_server import RedisServer

EVENT = Event(run="r", at_ns=1, source="supervisor", seq=0, payload=Interrupted())


def test_an_event_of_an_open_run_is_proven(valkey: RedisServer):
    client = valkey.client()
    reader = Consumer(client, AGGREGATORS, AGGREGATORS, (EVENTS,))
    reader.join()
    open_run(client, secret_of())
    channel = RedisChannel(client)
    channel.publish(EVENT)
    assert not channel.all_events_read(), "it waits in the inbox"
    move_entries(client, (EVENTS,))
    assert not channel.all_events_read(), "it waits in the stream"
    reader.read(count=1, block_ms=None)
    (entry,) = reader.read(count=1, block_ms=None)
    assert secret_of().proves(entry)
    reader.acknowledge([entry])
    assert channel.all_events_read()


def test_an_event_waits_until_its_run_is_open(valkey: RedisServer):
    channel = RedisChannel(valkey.client())
    with pytest.raises(FAILURES):
        channel.publish(EVENT)
    open_run(valkey.client(), secret_of())
    channel.publish(EVENT)
    assert not channel.all_events_read()


def test_why_the_start_of_a_run_was_refused_is_known_by_its_launch(valkey: RedisServer):
    client = valkey.client()
    for launch in ("other", "mine", "third"):
        entry = StreamEntry(EVENTS, "1-0", "r", f'{{"launch":"{launch}"}}'.encode())
        add_dead_letter(client, DEAD_LETTERS, entry, f"the reason of {launch}", entry.blob, most=1000)
    channel = RedisChannel(client)
    assert channel.start_refused("mine") == "the reason of mine"
    assert channel.start_refused("fourth") == ""
