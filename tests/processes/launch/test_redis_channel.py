"""The events of the command that started a run prove the run as those of its master do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadstone.domain.event import Event, Interrupted
from loadstone.launch.supervisor import RedisChannel
from loadstone.stream.client import FAILURES
from loadstone.stream.consumer import Consumer
from loadstone.stream.inbox import move_entries
from loadstone.stream.keys import AGGREGATORS, EVENTS
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
