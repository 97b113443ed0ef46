"""Locust's event and statistics, reached by shorter ways: nobody who looks can tell the difference."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from locust import log, stats
from locust.env import Environment
from locust.event import EventHook
from locust.exception import StopUser

from loadstone.lean import reporting

KEYWORDS: dict[str, Any] = {
    "request_type": "GET",
    "name": "/",
    "context": {},
    "response": None,
    "exception": None,
    "start_time": 1.0,
    "url": "http://h/",
    "response_length": 3,
    "response_time": 4.5,
}
requests = st.lists(
    st.tuples(
        st.sampled_from(["GET", "POST"]),
        st.sampled_from(["/a", "/b", "/c"]),
        st.one_of(st.none(), st.floats(0, 100_000), st.integers(0, 10**6)),
        st.integers(0, 10**9),
    ),
    max_size=40,
)


@given(requests, st.booleans())
def test_quick_statistics_are_locust_s_after_every_request(sequence: Any, cached: Any):
    quick, stock = stats.RequestStats(use_response_times_cache=cached), stats.RequestStats(cached)
    reporting.quicken(quick)
    assert "log_request" in vars(quick)
    for method, name, response_time, length in sequence:
        quick.log_request(method, name, response_time, length)
        stock.log_request(method, name, response_time, length)
    assert list(quick.entries) == list(stock.entries)
    for ours, theirs in zip(
        [quick.total, *quick.entries.values()], [stock.total, *stock.entries.values()], strict=True
    ):
        timed = {"stats", "start_time", "last_request_timestamp", "num_reqs_per_sec", "response_times_cache"}
        assert {k: v for k, v in vars(ours).items() if k not in timed} == {
            k: v for k, v in vars(theirs).items() if k not in timed
        }
        assert sum(ours.num_reqs_per_sec.values()) == sum(theirs.num_reqs_per_sec.values())


def counted_at(monkeypatch: Any, times: Any, *, quick: bool):
    """Statistics of one request at each of these moments, in seconds."""
    monkeypatch.setattr(stats.time, "time", lambda: times[0])
    made = stats.RequestStats()
    if quick:
        made.log_request = reporting.quick_log(made)
    for moment in times:
        monkeypatch.setattr(stats.time, "time", lambda moment=moment: moment)
        made.log_request("GET", "/", 3.0, 1)
    return made


@pytest.mark.parametrize("times", [[1000.2, 1000.9, 1001.0, 1003.5, 1003.6], [5.0, 5.0], [7.0, *range(8, 60)]])
def test_quick_statistics_keep_seconds_and_the_cache_of_the_web_ui_as_locust_does(monkeypatch: Any, times: Any):
    quick, stock = (counted_at(monkeypatch, times, quick=quick) for quick in (True, False))
    for ours, theirs in ((quick.total, stock.total), (quick.entries["/", "GET"], stock.entries["/", "GET"])):
        assert ours.num_reqs_per_sec == theirs.num_reqs_per_sec
        assert ours.last_request_timestamp == theirs.last_request_timestamp
        assert ours.response_times_cache == theirs.response_times_cache


def test_statistics_that_are_cleared_or_reset_go_on_from_zero():
    made = stats.RequestStats()
    reporting.quicken(made)
    for empty in (made.clear_all, made.reset_all):
        made.log_request("GET", "/", 1.0, 1)
        empty()
        made.log_request("GET", "/", 1.0, 1)
        assert made.total.num_requests == made.entries[("/", "GET")].num_requests == 1


def test_a_locust_that_counts_otherwise_is_left_alone(monkeypatch: Any):
    stock = stats.StatsEntry.log

    def log_twice(self: Any, response_time: Any, content_length: Any):
        stock(self, response_time, content_length)
        self.num_failures += 1

    monkeypatch.setattr(stats.StatsEntry, "log", log_twice)
    made = stats.RequestStats()
    reporting.quicken(made)
    assert "log_request" not in vars(made)


def test_statistics_of_another_class_are_left_alone():
    class Own(stats.RequestStats):
        pass

    made = Own()
    reporting.quicken(made)
    assert "log_request" not in vars(made)


def test_a_replaced_rounding_of_response_times_is_used(monkeypatch: Any):
    monkeypatch.setattr(stats, "bucket_response_time", lambda _time: 42)
    made = stats.RequestStats()
    reporting.quicken(made)
    made.log_request("GET", "/", 1.0, 1)
    assert made.total.response_times == {42: 1}


def test_listeners_get_the_same_keywords_in_the_same_order():
    event, seen = EventHook(), []
    event.add_listener(lambda **keywords: seen.append(("first", keywords)))
    event.add_listener(lambda **keywords: seen.append(("second", keywords)))
    reporting.firing(event)(**KEYWORDS)
    lean, seen[:] = list(seen), []
    event.fire(**KEYWORDS)
    assert lean == seen


def test_a_listener_may_add_and_remove_listeners_while_the_event_fires():
    event, seen = EventHook(), []

    def once(**_keywords: Any):
        seen.append("once")
        event.remove_listener(once)
        event.add_listener(lambda **_keywords: seen.append("added"))

    event.add_listener(once)
    event.add_listener(lambda **_keywords: seen.append("last"))
    fire = reporting.firing(event)
    fire(**KEYWORDS)
    assert seen == ["once", "last"]
    fire(**KEYWORDS)
    assert seen == ["once", "last", "last", "added"]


def test_a_broken_listener_is_logged_marks_the_run_and_does_not_stop_the_others(caplog: Any, monkeypatch: Any):
    monkeypatch.setattr(log, "unhandled_greenlet_exception", False)
    event, seen = EventHook(), []
    event.add_listener(lambda **_keywords: 1 / 0)
    event.add_listener(lambda **_keywords: seen.append(1))
    with caplog.at_level(logging.ERROR):
        reporting.firing(event)(**KEYWORDS)
    assert seen == [1]
    assert "Uncaught exception in event handler" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert log.unhandled_greenlet_exception


def test_a_listener_can_stop_its_user():
    event = EventHook()

    def stop(**_keywords: Any):
        raise StopUser

    event.add_listener(stop)
    with pytest.raises(StopUser):
        reporting.firing(event)(**KEYWORDS)


def test_an_event_with_a_fire_of_its_own_is_fired_by_it():
    class Own(EventHook):
        def fire(self, **keywords: Any):
            self.fired = keywords

    event = Own()
    reporting.firing(event)(**KEYWORDS)
    assert event.fired == KEYWORDS


def test_a_listener_added_after_the_user_was_made_is_called(make_user: Any, uvicorn_url: str):
    user, late = make_user(uvicorn_url), []
    user.environment.events.request.add_listener(lambda **keywords: late.append(keywords["name"]))
    user.client.get("/big/1")
    assert late == ["/big/1"]


def test_only_the_statistics_of_the_environment_with_lean_users_are_quickened(make_user: Any, uvicorn_url: str):
    assert "log_request" in vars(make_user(uvicorn_url).environment.stats)
    assert "log_request" not in vars(Environment().stats)
