"""Requests cut off in flight are counted for every kind of user, without a cost per request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent
import pytest
from gevent.event import Event
from locust import FastHttpUser, HttpUser, User, constant, task
from locust.env import Environment
from locust.exception import StopUser
from requests.adapters import HTTPAdapter

from loadstone import LeanHttpUser
from loadstone.hook.aborted import Aborted, Stuck, UserEnd, WentAway, watch_ends
from support.processes import wait_in_greenlet

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.counting_server import CountingServer


def ends_when_killed(user_class: type[User], server: CountingServer, *, answered: int = 0) -> list[UserEnd]:
    """What is noted when one user of this class is killed after its first request arrived."""
    noted: list[UserEnd] = []
    user_class.host = server.url
    environment = Environment(user_classes=[user_class], host=server.url)
    watch_ends([user_class], noted.append)
    runner = environment.create_local_runner()
    runner.spawn_users({user_class.__name__: 1})
    wait_in_greenlet(lambda: server.count().total == 1, "the request has arrived")
    wait_in_greenlet(lambda: environment.stats.total.num_requests == answered, "the user thinks")
    runner.stop_users({user_class.__name__: 1})
    runner.quit()
    return noted


def ends_of_one(user_class: type[User], ready: Callable[[], bool]) -> list[UserEnd]:
    """What is noted of one user that is killed as soon as it is ``ready``."""
    noted: list[UserEnd] = []
    environment = Environment(user_classes=[user_class])
    watch_ends([user_class], noted.append)
    runner = environment.create_local_runner()
    runner.spawn_users({user_class.__name__: 1})
    wait_in_greenlet(ready, "the user is ready")
    gevent.sleep(0.05)
    runner.stop_users({user_class.__name__: 1})
    runner.quit()
    return noted


def aborted_when_killed(user_class: type[User], server: CountingServer, *, answered: int = 0) -> int:
    """How many aborted requests are counted then."""
    return sum(isinstance(end, Aborted) for end in ends_when_killed(user_class, server, answered=answered))


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


@pytest.mark.parametrize("base", [LeanHttpUser, FastHttpUser])
def test_the_request_that_was_cut_off_is_described(base, counting_server: CountingServer):
    (end,) = ends_when_killed(slow_user(base), counting_server)
    assert isinstance(end, Aborted)
    assert (end.method, end.name) == ("GET", "/slow?ms=5000")
    assert 0 < end.age_us < 4_000_000, "it was cut off long before its answer was due"


class Silent(HTTPAdapter):
    """Stands in for a socket that never gets an answer: those of this process are not gevent's."""

    def send(self, *_args, **_more):
        gevent.sleep(60)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [({}, "/slow"), ({"params": {"ms": 5000}}, "/slow?ms=5000"), ({"params": {"ms": 5000}, "name": "wait"}, "wait")],
)
def test_a_cut_request_of_the_stock_client_has_the_name_that_locust_would_give_it(arguments, name):
    class Slow(HttpUser):
        host = "http://127.0.0.1"

        @task
        def ask(self):
            self.client.mount("http://", Silent())
            asked.append(1)
            self.client.get("/slow", **arguments)

    asked: list[int] = []
    (end,) = ends_of_one(Slow, lambda: bool(asked))
    assert isinstance(end, Aborted)
    assert (end.method, end.name) == ("GET", name)


def test_a_user_killed_in_a_client_of_its_own_is_stuck_and_one_that_sleeps_in_its_task_is_not():
    waiting, asleep = Event(), []

    class Stubborn(User):
        @task
        def wait_for_nothing(self):
            asleep.append(1)
            waiting.wait()

    class Asleep(User):
        @task
        def think(self):
            asleep.append(1)
            gevent.sleep(60)

    assert ends_of_one(Stubborn, lambda: bool(asleep)) == [Stuck()]
    asleep.clear()
    assert ends_of_one(Asleep, lambda: bool(asleep)) == []


def test_a_user_that_leaves_by_itself_is_noted():
    class Leaving(User):
        @task
        def leave(self):
            raise StopUser

    assert ends_of_one(Leaving, lambda: True) == [WentAway()]


def test_stock_clients_have_the_functions_that_are_looked_for():
    from locust.clients import HttpSession
    from locust.contrib.fasthttp import FastHttpSession

    assert HttpSession._send_request_safe_mode.__code__.co_name == "_send_request_safe_mode"
    assert FastHttpSession.request.__code__.co_name == "request"
