"""The Recorder: what Locust's request event says, in columns, with unique ends."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import replace
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from types import SimpleNamespace

import gevent
import gevent.monkey
import numpy as np
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from loadstone.domain.batch import NO_INTENT, UNTIMED, Batch, decode_batch, encode_batch
from loadstone.domain.request_name import RequestName
from loadstone.domain.rollup import MAX_DURATION_US
from loadstone.hook.odd_event import MAX_BYTES
from loadstone.hook.recorder import Recorder, Recording
from loadstone.lean.request import TemplateBook
from loadstone.lean.response import LeanResponse
from support.run_maker import IncarnationMaker


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
    return LeanResponse(TemplateBook("http://h", (), None).template("GET", "http://h/", None), b"", None, ttfb_us)


class Unshowable:
    """A value whose every use raises."""

    def __repr__(self) -> str:
        raise LookupError("no text")

    __str__ = __repr__

    def __bool__(self) -> bool:
        raise LookupError("neither true nor false")


UNSHOWABLE = "Unshowable, whose text raises LookupError"
HUGE = 10**400


def repr_of(value) -> str:
    """An id for a case."""
    return type(value).__name__ if isinstance(value, Unshowable) else repr(value)[:20]


def test_a_lean_response_tells_its_time_to_first_byte():
    recorder = Recorder()
    fire(recorder, response=lean_answer(ttfb_us=345))
    fire(recorder, response=lean_answer(ttfb_us=-1))
    assert recorder.take()[0].ttfb_us.tolist() == [345, -1]


def test_a_request_becomes_one_value_in_each_column():
    recorder = Recorder()
    before = time.time_ns()
    fire(recorder)
    columns, names, errors, *_ = recorder.take()
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
    columns, names, *_ = recorder.take()
    assert names == (("GET", "/b"),)
    assert columns.name.tolist() == [0]


def test_names_and_errors_are_told_once_however_often_they_come():
    recorder = Recorder()
    for number in range(6):
        fire(recorder, name=f"/{number % 2}", exception=ValueError("bad") if number % 3 == 0 else None)
    columns, names, errors, *_ = recorder.take()
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


def test_a_request_without_a_response_time_counts_and_has_no_duration():
    recorder = Recorder()
    fire(recorder, response_time=None, response_length=None, extra="ignored")
    taken = recorder.take()
    assert (taken.columns.duration_us.tolist(), taken.columns.bytes.tolist(), taken.odd) == ([UNTIMED], [0], 0)


@pytest.mark.parametrize(
    ("response_time", "duration_us"),
    [
        *((float("nan"), UNTIMED), (float("inf"), MAX_DURATION_US), (float("-inf"), 0), (-0.001, 0), (-5, 0)),
        *(("12", UNTIMED), (b"12", UNTIMED), (object(), UNTIMED), (Unshowable(), UNTIMED), ([1], UNTIMED)),
        *((HUGE, MAX_DURATION_US), (-HUGE, 0), (1e300, MAX_DURATION_US), (1e12, MAX_DURATION_US), (1j, UNTIMED)),
    ],
    ids=repr_of,
)
def test_a_response_time_that_cannot_be_stored_is_replaced_and_counted_as_odd(response_time, duration_us):
    recorder = Recorder()
    fire(recorder)
    fire(recorder, response_time=response_time)
    fire(recorder)
    taken = recorder.take()
    assert taken.columns.duration_us.tolist() == [12_500, duration_us, 12_500]
    assert taken.odd == 1
    assert "response_time" in taken.odd_example


@pytest.mark.parametrize(
    "response_time", [np.float64(12.5), Decimal("12.5"), Fraction(25, 2), np.float32(12.5)], ids=repr_of
)
def test_a_response_time_of_any_numeric_type_is_stored(response_time):
    recorder = Recorder()
    fire(recorder, response_time=response_time)
    assert recorder.take().columns.duration_us.tolist() == [12_500]


@pytest.mark.parametrize(
    ("response_length", "size"),
    [
        *((1.5, 1), (-1, 0), (float("nan"), 0), (float("inf"), MAX_BYTES), ("3", 0), (object(), 0), (HUGE, MAX_BYTES)),
        *((Unshowable(), 0), (1 << 62, MAX_BYTES)),
    ],
    ids=repr_of,
)
def test_a_response_length_that_cannot_be_stored_is_replaced_and_counted_as_odd(response_length, size):
    recorder = Recorder()
    fire(recorder, response_length=response_length)
    taken = recorder.take()
    assert (taken.columns.bytes.tolist(), taken.odd) == ([size], 1)
    assert "response_length" in taken.odd_example


@pytest.mark.parametrize(
    ("given", "text"),
    [
        *((b"/caf\xc3\xa9", "/caf\u00e9"), (None, "None"), (7, "7"), (["/a"], "['/a']"), (Unshowable(), UNSHOWABLE)),
        (object(), "<object object at 0x....>"),
    ],
    ids=repr_of,
)
@pytest.mark.parametrize("field", ["request_type", "name"])
def test_a_type_or_name_that_is_no_text_is_shown_as_text_and_counted_as_odd(field: str, given, text: str):
    recorder = Recorder()
    fire(recorder)
    fire(recorder, **{field: given})
    taken = recorder.take()
    method, name = taken.names[taken.columns.name[1]]
    assert (method if field == "request_type" else name) == text
    assert (len(taken.columns), taken.odd) == (2, 1)


def test_a_name_of_a_string_enumeration_is_its_value():
    recorder = Recorder()
    fire(recorder, name=StrEnum("Page", {"HOME": "/home"}).HOME)
    taken = recorder.take()
    assert (taken.names, taken.odd) == ((("GET", "/home"),), 0)
    assert type(taken.names[0][1]) is str


def test_an_exception_without_a_text_is_a_failure_with_a_text_that_says_so():
    recorder = Recorder()

    class SilentError(Exception):
        def __repr__(self) -> str:
            raise LookupError

    fire(recorder, exception=SilentError())
    taken = recorder.take()
    assert taken.errors == ("SilentError, whose text raises LookupError",)
    assert (taken.columns.error.tolist(), taken.odd) == ([0], 1)


def test_a_response_that_cannot_be_read_costs_only_its_status():
    class Broken:
        @property
        def status_code(self) -> int:
            raise LookupError

    class Late:
        status_code = 200
        ttfb_us = "late"

    recorder = Recorder()
    for response in (Broken(), SimpleNamespace(status_code=1 << 40), Late()):
        fire(recorder, response=response)
    taken = recorder.take()
    assert (taken.columns.status.tolist(), taken.columns.ttfb_us.tolist(), taken.odd) == ([0, 0, 0], [-1, -1, -1], 3)


def test_an_odd_event_with_two_odd_values_counts_once():
    recorder = Recorder()
    fire(recorder, name=None, response_time=-1, response_length=-1)
    assert recorder.take().odd == 1


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.complex_numbers(), st.decimals(),
    st.lists(st.integers(), max_size=2), st.builds(object), st.builds(Unshowable), st.just(HUGE), st.builds(ValueError),
)  # fmt: skip
odd_events = st.fixed_dictionaries(
    {
        **dict.fromkeys(("request_type", "name", "response_time", "response_length"), anything),
        "response": anything,
        "exception": anything,
    }
)


@given(st.lists(st.one_of(st.none(), st.tuples(odd_events, st.booleans())), max_size=30))
def test_no_odd_event_costs_another_one_its_sample(events):
    """None stands for a good event; an odd one is fired from a greenlet's thread, or from a native thread."""
    recorder, good = Recorder(), 0
    for event in events:
        if event is None:
            good += 1
            fire(recorder, name="/good", response_time=float(good))
        elif event[1]:
            in_native_thread(lambda odd=event[0]: recorder.record(**odd))
        else:
            recorder.record(**event[0])
    taken = recorder.take()
    assert len(taken.columns) == len(events), "as many samples as events"
    index = taken.names.index(("GET", "/good")) if good else -1
    rows = np.flatnonzero(taken.columns.name == index)
    assert taken.columns.duration_us[rows].tolist() == [1000 * (number + 1) for number in range(good)]
    assert taken.columns.bytes[rows].tolist() == [3] * good
    assert taken.columns.status[rows].tolist() == [201] * good
    assert taken.columns.error[rows].tolist() == [-1] * good
    assert (np.diff(taken.columns.end_ns) > 0).all()
    assert taken.odd <= len(events) - good
    assert decode_batch(encode_batch(batch_of(taken))).names == taken.names


def in_native_thread(work) -> None:
    """Locust's monkey patch turns threads into greenlets; scenarios reach real ones through gevent's pool."""
    done: list[bool] = []
    start_thread = gevent.monkey.get_original("_thread", "start_new_thread")
    start_thread(lambda: (work(), done.append(True)), ())
    while not done:
        time.sleep(0)


def batch_of(taken: Recording) -> Batch:
    batch = IncarnationMaker().batch(at_s=1)
    names = tuple(RequestName(*name) for name in taken.names)
    return replace(batch, columns=taken.columns, names=names, errors=taken.errors, odd=taken.odd)


@pytest.mark.attack("a secret in the error text of a request", "masked in its worker, and equal errors stay one")
def test_secrets_in_errors_never_leave_the_recorder():
    recorder = Recorder()
    for token in ("a1b2c3", "d4e5f6"):
        fire(recorder, exception=ValueError(f"401 for /x?token={token}"))
        recorder.log_error("GET", "/", f"password={token}")
    taken = recorder.take()
    assert taken.errors == ("ValueError('401 for /x?token=***')", "password=***")
    assert taken.columns.error.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("length", [1010, 1024, 4000])
def test_a_secret_at_the_place_where_an_error_is_cut_is_masked(length: int):
    recorder = Recorder()
    fire(recorder, exception="e" * (length - 12) + " http://bob:hunter2@host/")
    (error,) = recorder.take().errors
    assert "hunter2" not in error
    assert len(error) <= 1024


def test_the_first_request_of_an_iteration_takes_its_lateness_and_no_other_one():
    lateness_us = {gevent.getcurrent(): 70, "another user": 9}
    recorder = Recorder(lateness_us)
    recorder.record("GET", "/first", 1.0, 10)
    recorder.record("GET", "/second", 1.0, 10)
    lateness_us[gevent.getcurrent()] = 80
    recorder.record("GET", "/odd", "three", 10)
    taken = recorder.take()
    assert taken.columns.late_us.tolist() == [70, NO_INTENT, 80]
    assert taken.odd == 1
    assert lateness_us == {"another user": 9}
    recorder.record("GET", "/later", 1.0, 10)
    assert recorder.take().columns.late_us.tolist() == [NO_INTENT]


def test_an_error_that_was_logged_without_a_request_has_no_lateness_whoever_takes_it():
    lateness_us = {gevent.getcurrent(): 70}
    recorder = Recorder(lateness_us)
    recorder.log_error("GET", "/lone", "boom")
    assert recorder.take().columns.late_us.tolist() == [NO_INTENT]
    assert lateness_us == {gevent.getcurrent(): 70}
