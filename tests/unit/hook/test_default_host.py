"""The host that a stack gives to users: only where nothing else names one, and only to HTTP clients."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from locust import HttpUser, User

from loadstone import LeanHttpUser
from loadstone.hook.default_host import give_default_host

STACK = "http://balancer:8000"


def user(base: type[User], host: str | None = None) -> Any:
    return type("Made", (base,), {"host": host})


@pytest.mark.parametrize(
    ("users", "given", "host"),
    [
        ([user(HttpUser)], None, STACK),
        ([user(LeanHttpUser), user(User)], "", STACK),
        ([user(User)], None, None),
        ([user(HttpUser, "http://own"), user(HttpUser)], None, None),
        ([user(HttpUser)], "http://given", "http://given"),
    ],
)
def test_it_is_given_where_no_class_and_no_person_names_one(users: list[Any], given: str | None, host: str | None):
    environment: Any = SimpleNamespace(host=given, user_classes=users)
    give_default_host(environment, STACK)
    assert environment.host == host


def test_without_one_nothing_changes():
    environment: Any = SimpleNamespace(host=None, user_classes=[user(HttpUser)])
    give_default_host(environment, None)
    assert environment.host is None
