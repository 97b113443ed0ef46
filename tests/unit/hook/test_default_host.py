"""The host that a stack gives to HTTP users: only to classes without one, and only where nobody names one for all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from locust import HttpUser, User

from loadstone import LeanHttpUser
from loadstone.hook.default_host import ClassHosts, give_default_host

STACK = "http://balancer:8000"


def user(base: type[User], host: str | None = None) -> Any:
    return type("Made", (base,), {"host": host})


@pytest.mark.parametrize(
    ("users", "given", "hosts"),
    [
        ([user(HttpUser)], None, [STACK]),
        ([user(LeanHttpUser), user(User)], "", [STACK, None]),
        ([user(User)], None, [None]),
        ([user(HttpUser, "http://own"), user(HttpUser)], None, ["http://own", STACK]),
        ([user(User, "localhost:50051"), user(HttpUser)], None, ["localhost:50051", STACK]),
        ([user(HttpUser)], "http://given", [None]),
    ],
)
def test_it_is_given_to_each_http_class_without_one(users: list[Any], given: str | None, hosts: list[str | None]):
    environment: Any = SimpleNamespace(host=given, user_classes=users)
    give_default_host(environment, STACK)
    assert environment.host == given  # it would take the place of what the scenario sets when the test starts
    assert [each.host for each in users] == hosts


def test_without_one_nothing_changes():
    environment: Any = SimpleNamespace(host=None, user_classes=[user(HttpUser)])
    give_default_host(environment, None)
    assert environment.user_classes[0].host is None


def locust_starts(environment: Any, hosts: ClassHosts, host: str | None) -> list[str | None]:
    """What Locust does in a worker with the host of a run."""
    environment.host = host
    hosts.begin(environment)
    for each in environment.user_classes:
        if host:
            each.host = host
    return [each.host for each in environment.user_classes]


def test_the_host_of_one_run_does_not_stay_for_the_next():
    environment: Any = SimpleNamespace(host=None, user_classes=[user(HttpUser, "http://own"), user(User)])
    hosts = ClassHosts(environment)
    assert locust_starts(environment, hosts, None) == ["http://own", None]
    assert locust_starts(environment, hosts, "http://other") == ["http://other", "http://other"]
    assert locust_starts(environment, hosts, "http://third") == ["http://third", "http://third"]
    assert locust_starts(environment, hosts, None) == ["http://own", None]


def test_a_host_that_the_scenario_set_itself_stays():
    environment: Any = SimpleNamespace(host=None, user_classes=[user(HttpUser)])
    hosts = ClassHosts(environment)
    locust_starts(environment, hosts, "http://other")
    environment.user_classes[0].host = "http://scenario"
    assert locust_starts(environment, hosts, None) == ["http://scenario"]
