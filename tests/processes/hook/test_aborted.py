"""Requests cut off in flight are counted for every kind of user, without a cost per request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from locust import User, constant, task
from locust.env import Environment

from loadstone import LeanHttpUser
from loadstone.hook.aborted import count_aborted
from support.processes import wait_in_greenlet

if TYPE_CHECKING:
    from support.counting_server import CountingServer


def aborted_when_killed(user_class: type[User], server: CountingServer, *, answered: int = 0) -> int:
    """How many aborted requests are counted when one user of this class is killed after its first request arrived."""
    counted: list[int] = []
    user_class.host = server.url
    environment = Environment(user_classes=[user_class], host=server.url)
    count_aborted([user_class], lambda: counted.append(1))
    runner = environment.create_local_runner()
    runner.spawn_users({user_class.__name__: 1})
    wait_in_greenlet(lambda: server.count().total == 1, "the request has arrived")
    wait_in_greenlet(lambda: environment.stats.total.num_requests == answered, "the user thinks")
    runner.stop_users({user_class.__name__: 1})
    runner.quit()
    return len(counted)


def slow_user(base: type[User]) -> type[User]:
    class Slow(base):  # type: ignore[misc, valid-type]
        abstract = False
        wait_time = constant(60)

        @task
        def wait_for_answer(self):
            self.client.get("/slow?ms=5000")

    return Slow


@pytest.mark.parametrize("base", [LeanHttpUser])
def test_a_user_killed_in_a_request_counts_one_aborted(base, counting_server: CountingServer):
    assert aborted_when_killed(slow_user(base), counting_server) == 1


def test_a_user_killed_while_it_thinks_counts_none(counting_server: CountingServer):
    class Quick(LeanHttpUser):
        wait_time = constant(60)

        @task
        def ask(self):
            self.client.get("/")

    assert aborted_when_killed(Quick, counting_server, answered=1) == 0
    assert counting_server.count().total == 1


def test_a_user_that_runs_in_its_own_way_is_counted_too(counting_server: CountingServer):
    class Own(LeanHttpUser):
        def run(self):
            self.client.get("/slow?ms=5000")

    assert aborted_when_killed(Own, counting_server) == 1


def test_the_own_on_stop_of_a_user_still_runs(counting_server: CountingServer):
    said: list[str] = []

    class Polite(LeanHttpUser):
        wait_time = constant(60)

        def on_stop(self):
            said.append("bye")

        @task
        def ask(self):
            self.client.get("/slow?ms=5000")

    assert aborted_when_killed(Polite, counting_server) == 1
    assert said == ["bye"]


def test_stock_clients_have_the_functions_that_are_looked_for():
    from locust.clients import HttpSession
    from locust.contrib.fasthttp import FastHttpSession

    assert HttpSession._send_request_safe_mode.__code__.co_name == "_send_request_safe_mode"
    assert FastHttpSession.request.__code__.co_name == "request"
