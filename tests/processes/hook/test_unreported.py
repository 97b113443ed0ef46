"""Requests that are sent and reported to nobody are counted for every user class; those that are reported are not."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import gevent
import pytest
from gevent.event import Event
from locust import FastHttpUser, HttpUser
from locust.clients import HttpSession
from locust.clients import ResponseContextManager as HttpResponse
from locust.contrib.fasthttp import FastHttpSession
from locust.contrib.fasthttp import ResponseContextManager as FastCaught
from locust.env import Environment
from locust.exception import InterruptTaskSet, RescheduleTask, StopUser

from loadstone import LeanHttpUser
from loadstone.hook import unreported
from loadstone.lean import LeanHttpSession, LeanResponse
from support.processes import wait_in_greenlet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.counting_server import CountingServer

PATCHED = (
    (HttpResponse, "wrap_response"),
    (HttpResponse, "_report_request"),
    (FastCaught, "__init__"),
    (FastCaught, "_report_request"),
    (LeanResponse, "catch"),
    (LeanResponse, "_report"),
    (HttpSession, "_send_request_safe_mode"),
    (FastHttpSession, "request"),
    (LeanHttpSession, "_exchange"),
)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count, and put everything back after the test."""
    for owner, name in PATCHED:
        monkeypatch.setattr(owner, name, owner.__dict__[name])
    unreported.install()
    unreported.install()


@pytest.fixture(params=[HttpUser, FastHttpUser, LeanHttpUser])
def user(request: pytest.FixtureRequest, counting_server: CountingServer) -> Iterator[Any]:
    """A user of each class."""
    environment = Environment()
    runner = environment.create_local_runner()
    made: Any = type("One", (request.param,), {"host": counting_server.url, "abstract": False})(environment)
    yield made
    client = made.client
    (client.client.clientpool if hasattr(client, "client") else client).close()
    runner.quit()


def leaving(error: BaseException) -> Callable[[Any], None]:
    def leave(client: Any) -> None:
        with client.get("/", catch_response=True):
            raise error

    return leave


def ask_without_with(client: Any) -> None:
    client.get("/", catch_response=True)


UNREPORTED = {
    "an assert in the block": leaving(AssertionError("wrong")),
    "a rescheduled task": leaving(RescheduleTask()),
    "an interrupt": leaving(InterruptTaskSet()),
    "no block": ask_without_with,
}


def failing(client: Any) -> None:
    with client.get("/", catch_response=True) as response:
        response.failure("wrong")


def failing_and_raising(client: Any) -> None:
    with client.get("/", catch_response=True) as response:
        response.failure("wrong")
        raise AssertionError


def entering_twice(client: Any) -> None:
    response = client.get("/", catch_response=True)
    for _ in range(2):
        with response:
            pass


REPORTED = {
    "no catch_response": lambda client: client.get("/"),
    "a block": lambda client: client.get("/", catch_response=True).__enter__().__exit__(None, None, None),
    "a failure": failing,
    "a failure, then an exception": failing_and_raising,
    "a block that is entered twice": entering_twice,
}


def play(user: Any, scenario: Callable[[Any], None]) -> int:
    """How many unreported requests a scenario adds."""
    before = unreported.unreported()
    with contextlib.suppress(Exception):
        scenario(user.client)
    return unreported.unreported() - before


@pytest.mark.parametrize("case", UNREPORTED)
def test_a_request_that_nobody_is_told_of_is_counted(user: Any, counting_server: CountingServer, case: str):
    assert play(user, UNREPORTED[case]) == 1
    assert user.environment.stats.total.num_requests == 0
    assert counting_server.count().total == 1


@pytest.mark.parametrize("case", REPORTED)
def test_a_request_that_is_reported_is_not(user: Any, case: str):
    assert play(user, REPORTED[case]) == 0
    assert user.environment.stats.total.num_requests >= 1


def test_a_listener_that_ends_the_user_does_not_make_its_request_unreported(user: Any):
    def stop(**_: Any) -> None:
        raise StopUser

    user.environment.events.request.add_listener(stop)
    with pytest.raises(StopUser):
        user.client.get("/")
    assert play(user, lambda client: client.get("/")) == 0
    assert user.environment.stats.total.num_requests == 2


@pytest.mark.parametrize("path", ["ftp://127.0.0.1/", "http://"])
def test_what_cannot_be_sent_is_not_counted(user: Any, counting_server: CountingServer, path: str):
    assert play(user, lambda client: client.get(path)) == 0
    assert counting_server.count().total == 0


def test_an_argument_that_the_client_refuses_is_not_counted(user: Any):
    assert play(user, lambda client: client.get("/", no_such_argument=1)) == 0


def killed(user: Any, work: Callable[[], None], under_way: Callable[[], bool], *, is_user: bool) -> int:
    """How many unreported requests there are more when a greenlet is killed while its work is ``under_way``."""
    before = unreported.unreported()
    greenlet = gevent.spawn(work)
    user._greenlet = greenlet if is_user else gevent.getcurrent()
    wait_in_greenlet(under_way, "the work is under way")
    greenlet.kill()
    return unreported.unreported() - before


def test_a_user_that_is_stopped_in_its_block_has_sent_a_request_that_nobody_is_told_of(user: Any):
    inside = Event()

    def work() -> None:
        with user.client.get("/", catch_response=True):
            inside.set()
            gevent.sleep(30)

    assert killed(user, work, inside.is_set, is_user=True) == 1


@pytest.mark.parametrize("user", [FastHttpUser, LeanHttpUser], indirect=True)
@pytest.mark.parametrize("is_user", [True, False])
def test_a_request_cut_off_with_its_user_is_aborted_and_one_in_a_greenlet_of_its_own_unreported(
    user: Any, counting_server: CountingServer, is_user: bool
):
    def work() -> None:
        user.client.get("/slow?ms=20000")

    def has_arrived() -> bool:
        return counting_server.count().total == 1

    assert killed(user, work, has_arrived, is_user=is_user) == int(not is_user)
