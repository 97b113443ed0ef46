"""The event that starts a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from loadstone.domain.event import Event, ScenarioIdentity, decode_event, encode_event
from loadstone.hook.identity import identity_of
from loadstone.settings import HookSettings, load


def test_a_scenario_with_more_hosts_than_an_event_may_name_starts_all_the_same():
    hosts = [f"http://host-{number}.example.com:8000" for number in range(500)]
    environment: Any = SimpleNamespace(
        parsed_options=SimpleNamespace(),
        runner=None,
        user_classes=[type(f"User{number}", (), {"host": host}) for number, host in enumerate(hosts)],
        host=None,
        shape_class=None,
        stop_timeout=0,
    )
    started = identity_of(environment, load(HookSettings, environ={}), ScenarioIdentity())
    event = Event(run="r", at_ns=1, source="s", seq=0, payload=started)
    assert decode_event(encode_event(event)) == event
    assert started.host is not None
    assert started.host.startswith("http://host-0.example.com:8000, ")
