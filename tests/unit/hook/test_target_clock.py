"""The target's clock, off the Date of an answer."""

import pytest
from locust.event import EventHook

from loadstone.hook.target_clock import TargetClock, least_offset_ms

DATE = "Wed, 23 Sep 2026 14:13:20 GMT"
MS = 1_790_172_800_000
"""The moment of that date."""


class Answer:
    def __init__(self, **headers):
        self.headers = headers


@pytest.mark.parametrize(
    ("now_ms", "duration_ms", "expected"),
    [
        (MS + 500, 10, 0),
        (MS, 0, 0),
        (MS + 1000, 0, 0),  # the Date may have been a second old
        (MS + 1500, 600, 0),  # it may have been written when the request began
        (MS + 9000, 100, 7900),
        (MS - 8000, 100, -8000),
    ],
)
def test_clocks_differ_by_what_neither_the_request_nor_the_missing_fraction_explains(now_ms, duration_ms, expected):
    assert least_offset_ms(DATE, duration_ms, now_ms) == expected


def fire(event, response, response_time=10.0):
    event.fire(request_type="GET", name="/", response_time=response_time, response_length=1, response=response)


def test_the_first_answer_with_a_date_is_read_once_a_minute_and_nothing_listens_meanwhile():
    event = EventHook()
    clock = TargetClock(event, lambda: (MS - 1000) * 1_000_000)
    assert clock.look() is None
    for odd in (None, object(), Answer(), Answer(Date="yesterday"), Answer(Date=DATE, Age="3600")):
        fire(event, odd)
    assert clock.look() is None
    fire(event, Answer(Date=DATE))
    assert clock.look() == -1000
    assert event._handlers == []
    looks = [clock.look() for _ in range(117)]
    assert (looks, event._handlers) == ([None] * 117, [])
    clock.look()
    assert len(event._handlers) == 1


def test_a_date_that_is_far_off_is_read_again_for_a_few_seconds_and_the_smallest_reading_counts():
    """The target was held up when it started and kept the Date of then."""
    event, now_ms = EventHook(), [MS + 5000]
    clock = TargetClock(event, lambda: now_ms[0] * 1_000_000)
    clock.look()
    fire(event, Answer(Date=DATE))
    assert (clock.look(), len(event._handlers)) == (3990, 1)
    for now_ms[0] in (MS + 6000, MS + 500, MS + 6000):
        fire(event, Answer(Date=DATE))
    assert (clock.look(), event._handlers) == (0, [])


def test_a_clock_that_is_off_is_read_for_a_few_seconds_only():
    event = EventHook()
    clock = TargetClock(event, lambda: (MS - 8000) * 1_000_000)
    readings = []
    for _ in range(11):
        readings.append(clock.look())
        fire(event, Answer(Date=DATE))
    assert (readings, event._handlers) == ([None, *[-8000] * 10], [])


def test_a_target_without_dates_is_listened_to_for_a_few_seconds_only():
    event = EventHook()
    clock = TargetClock(event, lambda: MS * 1_000_000)
    for _ in range(11):
        assert clock.look() is None
        fire(event, None)
    assert event._handlers == []


def test_a_reading_that_ends_while_an_event_is_fired_skips_no_other_listener():
    event, heard = EventHook(), []
    clock = TargetClock(event, lambda: MS * 1_000_000)
    event.add_listener(lambda **_: clock.stop())
    clock.look()
    event.add_listener(lambda **_: heard.append("last"))
    fire(event, None)
    assert heard == ["last"]
