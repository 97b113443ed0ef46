"""What the master says of a run when it starts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from loadstone.domain.event import Event, ScenarioIdentity, decode_event, encode_event
from loadstone.hook.identity import identity_of, target_users
from loadstone.settings import HookSettings, load


@pytest.mark.parametrize(("asked_for", "users"), [(10, 10), (10.0, 10), (10.5, 11)])
def test_users_that_a_load_shape_asks_for_are_whole(asked_for: float, users: int):
    runner: Any = SimpleNamespace(target_user_count=asked_for)
    assert target_users(runner) == users
    assert isinstance(target_users(runner), int)


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
