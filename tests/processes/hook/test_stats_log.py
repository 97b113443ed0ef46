"""Direct calls of ``environment.stats.log_request`` and ``log_error`` are recorded, each once, as Locust counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from locust.env import Environment
from locust.exception import StopUser

from loadstone import LeanHttpUser
from loadstone.domain.batch import NO_ERROR
from loadstone.hook.recorder import Recorder
from loadstone.hook.stats_log import StatsLog

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENT = {"request_type": "GET", "name": "/event", "response_time": 5.0, "response_length": 3}


@pytest.fixture
def environment() -> Iterator[Environment]:
    made = Environment()
    runner = made.create_local_runner()
    yield made
    runner.quit()


def recording(environment: Environment) -> tuple[StatsLog, Recorder]:
    log, recorder = StatsLog(environment), Recorder()
    log.start(recorder)
    return log, recorder


def counts(recorder: Recorder) -> tuple[int, int]:
    taken = recorder.take()
    return len(taken.columns) - taken.lone_errors, int((taken.columns.error != NO_ERROR).sum())


def of_locust(environment: Environment) -> tuple[int, int]:
    return environment.stats.total.num_requests, environment.stats.total.num_failures


def test_events_and_direct_calls_are_each_recorded_once(environment: Environment):
    _, recorder = recording(environment)
    environment.events.request.fire(**EVENT, exception=None)
    environment.events.request.fire(**EVENT, exception=ValueError("failed"))
    environment.stats.log_request("GET", "/direct", 5, 3)
    environment.stats.log_request(method="GET", name="/direct", response_time=5, content_length=3)
    environment.stats.log_error("GET", "/direct", "wrong")
    environment.stats.log_error("GET", "/other", error="wrong")
    assert counts(recorder) == of_locust(environment) == (4, 3)


def test_statistics_that_are_reset_or_cleared_keep_being_recorded(environment: Environment):
    _, recorder = recording(environment)
    for reset in (environment.stats.reset_all, environment.stats.clear_all):
        reset()
        environment.stats.log_request("GET", "/direct", 5, 3)
        assert counts(recorder) == of_locust(environment) == (1, 0)


def test_functions_that_the_scenario_puts_in_their_place_are_called_and_record_no_event_twice(environment: Environment):
    called: list[str] = []
    _, recorder = recording(environment)
    ours = environment.stats.log_request

    def theirs(method: str, name: str, *rest: Any) -> None:
        called.append(name)
        ours(method, name, *rest)

    environment.stats.log_request = theirs  # type: ignore[method-assign, assignment]
    environment.events.request.fire(**EVENT, exception=ValueError("failed"))
    environment.stats.log_request("GET", "/direct", 5, 3)
    assert called == ["/event", "/direct"]
    assert counts(recorder) == of_locust(environment) == (2, 1)


def test_arguments_that_locust_refuses_are_refused_in_its_own_words(environment: Environment):
    _, recorder = recording(environment)
    with pytest.raises(
        TypeError, match=r"^RequestStats.log_request\(\) got an unexpected keyword argument 'request_type'"
    ):
        environment.stats.log_request(request_type="GET", name="/", response_time=1, response_length=1)  # type: ignore[call-arg]
    assert counts(recorder) == of_locust(environment) == (0, 0)


@pytest.mark.parametrize("when", ["before Locust", "after Locust"])
def test_a_listener_that_ends_the_user_loses_what_locust_loses_and_nothing_else(environment: Environment, when: str):
    def stop(**_: Any) -> None:
        raise StopUser

    environment.events.request.add_listener(stop)
    handlers = environment.events.request._handlers
    if when == "before Locust":
        handlers.insert(0, handlers.pop())
    _, recorder = recording(environment)
    with pytest.raises(StopUser):
        environment.events.request.fire(**EVENT, exception=None)
    assert counts(recorder) == of_locust(environment) == ((0, 0) if when == "before Locust" else (1, 0))


def test_after_the_end_nothing_is_recorded_and_locust_counts_on(environment: Environment):
    log, recorder = recording(environment)
    log.stop()
    environment.events.request.fire(**EVENT, exception=None)
    environment.stats.log_error("GET", "/direct", "wrong")
    assert (counts(recorder), of_locust(environment)) == ((0, 0), (1, 1))


def test_lean_users_keep_their_cheaper_statistics():
    class Lean(LeanHttpUser):
        host = "http://127.0.0.1:1"

    environment = Environment(user_classes=[Lean])
    runner = environment.create_local_runner()
    _, recorder = recording(environment)
    Lean(environment)
    assert environment.stats.log_request.__wrapped__.__qualname__.startswith("quick_log")  # type: ignore[attr-defined]
    environment.events.request.fire(**EVENT, exception=None)
    environment.stats.log_request("GET", "/direct", 5, 3)
    assert counts(recorder) == of_locust(environment) == (2, 0)
    runner.quit()
