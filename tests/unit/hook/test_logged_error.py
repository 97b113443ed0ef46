"""Errors that scenarios log themselves: every total stays what Locust's own statistics count."""

from __future__ import annotations

import threading

import gevent.monkey
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from locust.stats import RequestStats

from loadstone.domain.batch import NO_ERROR, UNTIMED
from loadstone.hook.recorder import Recorder, Recording

NAMES = st.sampled_from(["/a", "/b"])
CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("event"), NAMES, st.booleans()),
        st.tuples(st.just("request"), NAMES),
        st.tuples(st.just("error"), NAMES),
        st.tuples(st.just("take"), NAMES),
    ),
    max_size=40,
)


class Both:
    """A Recorder and Locust's statistics that are told the same."""

    def __init__(self) -> None:
        self.recorder, self.stats = Recorder(), RequestStats()
        self.taken: list[Recording] = []

    def event(self, name: str, failed: object = None) -> None:
        exception = ValueError("event") if failed else None
        self.recorder.record("GET", name, 5.0, 3, exception=exception)
        self.stats.log_request("GET", name, 5, 3)
        if exception:
            self.stats.log_error("GET", name, exception)

    def request(self, name: str) -> None:
        for each in (self.recorder, self.stats):
            each.log_request("GET", name, 7, 2)

    def error(self, name: str, error: str | None = "logged") -> None:
        for each in (self.recorder, self.stats):
            each.log_error("GET", name, error)

    def take(self, _name: str = "") -> Recording:
        self.taken.append(self.recorder.take())
        return self.taken[-1]

    def counted(self) -> dict[str, tuple[int, int]]:
        """Requests and failures of each name as the archive would hold them, lone errors left out of requests."""
        found: dict[str, tuple[int, int]] = {}
        for taken in self.taken:
            for (_, name), at in zip(taken.names, range(len(taken.names)), strict=True):
                own = taken.columns.name == at
                failed = own & (taken.columns.error != NO_ERROR)
                requests, failures = found.get(name, (0, 0))
                found[name] = (requests + int(own.sum()), failures + int(failed.sum()))
        return found


def outcomes(taken: Recording) -> list[str]:
    """The error of each sample in order of their ends, empty for a success."""
    return ["" if at == NO_ERROR else taken.errors[at] for at in taken.columns.error.tolist()]


@given(CALLS)
def test_requests_and_failures_are_those_of_locust_but_for_lone_errors(calls):
    both = Both()
    for call, *arguments in calls:
        getattr(both, call)(*arguments)
    both.take()
    counted, lone = both.counted(), sum(taken.lone_errors for taken in both.taken)
    assert sum(requests for requests, _ in counted.values()) - lone == both.stats.total.num_requests
    for name, (_, failures) in counted.items():
        assert failures == both.stats.get(name, "GET").num_failures
    assert sum(failures for _, failures in counted.values()) == both.stats.total.num_failures


def test_an_error_makes_the_newest_request_of_its_name_fail():
    both = Both()
    for name in ("/a", "/a", "/b"):
        both.event(name)
    both.error("/a")
    taken = both.take()
    assert (outcomes(taken), taken.lone_errors) == (["", "logged", ""], 0)


def test_an_error_that_is_logged_before_its_request_belongs_to_it():
    both = Both()
    both.event("/a", failed=True)
    both.error("/a")
    both.request("/a")
    taken = both.take()
    assert (outcomes(taken), taken.lone_errors) == (["ValueError('event')", "logged"], 0)


def test_an_error_does_not_make_a_later_request_of_another_user_fail():
    both = Both()
    both.event("/a", failed=True)
    both.error("/a")
    both.event("/a")
    taken = both.take()
    assert (outcomes(taken), taken.lone_errors) == (["ValueError('event')", "logged", ""], 1)


@pytest.mark.parametrize("error", ["logged", None, ValueError("logged")])
def test_an_error_without_a_request_is_a_failed_sample_without_a_time(error):
    both = Both()
    both.error("/a", error)
    taken = both.take()
    assert (taken.columns.duration_us.tolist(), taken.columns.bytes.tolist()) == ([UNTIMED], [0])
    assert (taken.columns.error.tolist(), taken.lone_errors, taken.names) == ([0], 1, (("GET", "/a"),))
    assert both.take().lone_errors == 0


def test_a_lone_error_has_its_place_in_time_among_the_others():
    both = Both()
    both.error("/a")
    both.event("/b")
    taken = both.take()
    assert np.all(np.diff(taken.columns.end_ns) > 0)
    assert outcomes(taken) == ["logged", ""]


def test_a_name_that_cannot_be_looked_up_is_taken_as_text():
    recorder = Recorder()
    recorder.log_error("GET", ["/a"], "logged")
    assert recorder.take().names == (("GET", "['/a']"),)


def test_calls_in_native_threads_are_recorded_and_paired():
    both = Both()
    started = gevent.monkey.get_original("_thread", "start_new_thread")
    done = gevent.monkey.get_original("_thread", "allocate_lock")()
    done.acquire()

    def work() -> None:
        both.request("/a")
        both.error("/a")
        done.release()

    started(work, ())
    done.acquire()
    taken = both.take()
    assert threading.current_thread() is threading.main_thread()
    assert (outcomes(taken), taken.lone_errors) == (["logged"], 0)
