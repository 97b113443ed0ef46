"""The Recorder: what Locust's request event says, in columns, with unique ends."""

from __future__ import annotations

import datetime as dt
import time

import numpy as np
import pytest
import requests

from loadstone.hook.recorder import Recorder
from loadstone.lean.request import TemplateBook
from loadstone.lean.response import LeanResponse


class Answer:
    status_code = 201
    ttfb_us = 7


def fire(recorder: Recorder, **changes) -> None:
    keywords = {
        "request_type": "GET",
        "name": "/",
        "response_time": 12.5,
        "response_length": 3,
        "response": Answer(),
        "context": {},
        "exception": None,
        "start_time": time.time(),
        "url": "http://h/",
    }
    recorder.record(**{**keywords, **changes})


def requests_answer(*, history: bool = False) -> requests.Response:
    answer = requests.Response()
    answer.status_code = 200
    answer.elapsed = dt.timedelta(microseconds=1500)
    answer.history = [requests.Response()] if history else []
    return answer


def lean_answer(ttfb_us: int) -> LeanResponse:
    return LeanResponse(TemplateBook("http://h", ()).template("GET", "http://h/", None), b"", None, ttfb_us)


def test_a_lean_response_tells_its_time_to_first_byte():
    recorder = Recorder()
    fire(recorder, response=lean_answer(ttfb_us=345))
    fire(recorder, response=lean_answer(ttfb_us=-1))
    assert recorder.take()[0].ttfb_us.tolist() == [345, -1]


def test_a_request_becomes_one_value_in_each_column():
    recorder = Recorder()
    before = time.time_ns()
    fire(recorder)
    columns, names, errors = recorder.take()
    assert len(columns) == 1
    assert columns.duration_us[0] == 12_500
    assert (columns.bytes[0], columns.status[0], columns.ttfb_us[0], columns.error[0]) == (3, 201, 7, -1)
    assert names == (("GET", "/"),)
    assert errors == ()
    assert before - 5_000_000 <= columns.end_ns[0] <= time.time_ns() + 5_000_000


def test_taking_leaves_the_recorder_empty_and_its_tables_begin_anew():
    recorder = Recorder()
    fire(recorder, name="/a")
    recorder.take()
    assert len(recorder.take()[0]) == 0
    fire(recorder, name="/b")
    columns, names, _ = recorder.take()
    assert names == (("GET", "/b"),)
    assert columns.name.tolist() == [0]


def test_names_and_errors_are_told_once_however_often_they_come():
    recorder = Recorder()
    for number in range(6):
        fire(recorder, name=f"/{number % 2}", exception=ValueError("bad") if number % 3 == 0 else None)
    columns, names, errors = recorder.take()
    assert names == (("GET", "/0"), ("GET", "/1"))
    assert errors == ("ValueError('bad')",)
    assert columns.name.tolist() == [0, 1, 0, 1, 0, 1]
    assert columns.error.tolist() == [0, -1, -1, 0, -1, -1]


def test_error_texts_are_cut_and_lose_addresses_of_objects_as_in_locust():
    recorder = Recorder()
    fire(recorder, exception="x" * 5000)
    fire(recorder, exception="<a object at 0x7f0012345678>")
    errors = recorder.take()[2]
    assert [len(errors[0]), errors[1]] == [1024, "<a object at 0x....>"]


def test_ends_are_strictly_increasing_over_batches_even_if_the_clock_stands_still(monkeypatch: pytest.MonkeyPatch):
    recorder = Recorder()
    monkeypatch.setattr(time, "perf_counter_ns", lambda: 5)
    ends = []
    for _ in range(3):
        for _ in range(4):
            fire(recorder)
        ends += recorder.take()[0].end_ns.tolist()
    assert (np.diff(ends) == 1).all()


def test_a_step_of_the_wall_clock_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    recorder = Recorder()
    fire(recorder)
    first = recorder.take()[0].end_ns[0]
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    fire(recorder)
    assert 0 < recorder.take()[0].end_ns[0] - first < 60_000_000_000


def test_a_response_of_requests_tells_its_time_to_first_byte_unless_it_was_redirected():
    recorder = Recorder()
    fire(recorder, response=requests_answer())
    fire(recorder, response=requests_answer(history=True))
    assert recorder.take()[0].ttfb_us.tolist() == [1500, -1]


@pytest.mark.parametrize("response", [None, object(), requests.Response()])
def test_without_a_status_the_status_is_zero(response):
    recorder = Recorder()
    fire(recorder, response=response)
    columns = recorder.take()[0]
    assert (columns.status[0], columns.ttfb_us[0]) == (0, -1)


def test_events_that_scenarios_fire_themselves_may_lack_time_and_length():
    recorder = Recorder()
    fire(recorder, response_time=None, response_length=None, extra="ignored")
    columns = recorder.take()[0]
    assert (columns.duration_us[0], columns.bytes[0]) == (0, 0)
