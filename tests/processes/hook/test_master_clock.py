"""By which clock a master dates the events of its runs."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from loadstone.domain.event import decode_event
from loadstone.domain.time import NS_PER_S
from loadstone.hook import master
from loadstone.stream.inbox import move_entries
from loadstone.stream.keys import BLOB, EVENTS
from support.begun_master import begun
from support.processes import wait_in_greenlet

if TYPE_CHECKING:
    from support.redis_server import RedisServer

pytestmark = pytest.mark.usefixtures("as_if_started_by_locust")
HOUR_NS = 3600 * NS_PER_S


def dates(valkey: RedisServer, run: str) -> list[int]:
    """When the events of a run happened by their master, ns, oldest first."""
    client = valkey.client()
    move_entries(client, [EVENTS])
    events = [decode_event(fields[BLOB.encode()]) for _, fields in client.xrange(EVENTS)]
    return [event.at_ns for event in events if event.run == run]


@pytest.mark.parametrize("clock", ["time_ns", "perf_counter_ns"], ids=["set", "stood still while the machine slept"])
def test_each_run_begins_by_the_clock_as_it_is_then(valkey: RedisServer, monkeypatch: pytest.MonkeyPatch, clock: str):
    clocks = {"time_ns": time.time_ns, "perf_counter_ns": time.perf_counter_ns}
    with begun(valkey.url) as (hook, _):
        hook.end()
        is_true = clocks[clock]
        clocks[clock] = lambda: is_true() - HOUR_NS
        monkeypatch.setattr(master, "time", SimpleNamespace(**clocks))
        hook.begin()
        run = str(hook.run)
        wait_in_greenlet(lambda: bool(dates(valkey, run)), "the first event of the second run is there")
        behind_ns = clocks["time_ns"]() - dates(valkey, run)[0]
        assert 0 <= behind_ns < 30 * NS_PER_S
