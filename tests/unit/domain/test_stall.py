"""How long a generator stood still while a request was in flight."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.domain.stall import Span, Stall, Stalled, common_spans, spans_of

SECOND = 1_000_000_000
BASE = 1_790_000_000 * SECOND


def stall(end_s, length_s, suspended_s=0.0):
    return Stall(BASE + round(end_s * SECOND), round((length_s - 0.05) * 1e6), round(suspended_s * 1e6))


@pytest.mark.parametrize(
    ("begin_s", "end_s", "expected_s"),
    [
        (0, 1, 0),  # before
        (0, 20, 4),  # around both
        (9, 11, 1),  # ends in the middle of the first
        (11, 12, 1),
        (12, 14, 1),  # starts in it
        (13, 14, 0),
        (11.5, 15.5, 2),
        (17, 18, 0),
    ],
)
def test_a_request_spans_that_part_of_the_stalls_in_which_it_was_in_flight(begin_s, end_s, expected_s):
    stalled = Stalled([stall(16, 1), stall(13, 3)])
    begin, end = (np.array([BASE + round(at_s * SECOND)]) for at_s in (begin_s, end_s))
    assert stalled.within_us(begin, end)[0] == pytest.approx(expected_s * 1e6, abs=2)


def test_without_stalls_nothing_stood_still():
    assert Stalled([]).within_us(np.array([BASE]), np.array([BASE + SECOND])).tolist() == [0]


def test_stalls_that_overlap_are_one_span_and_the_time_of_a_suspended_machine_is_on_no_clock():
    assert spans_of([stall(12, 1.5), stall(11, 1)]) == [Span(BASE + 10 * SECOND, BASE + 12 * SECOND)]
    assert spans_of([stall(12, 9, suspended_s=8)]) == [Span(BASE + 11 * SECOND, BASE + 12 * SECOND)]


def test_the_common_part_of_spans():
    assert common_spans([Span(0, 10), Span(20, 30)], [Span(5, 25), Span(40, 50)]) == [Span(5, 10), Span(20, 25)]
    assert common_spans([Span(0, 10)], [Span(10, 20)]) == []


def test_the_common_part_of_many_spans_is_found_at_once():
    first = [Span(20 * at, 20 * at + 10) for at in range(100_000)]
    second = [Span(20 * at + 5, 20 * at + 15) for at in range(100_000)]
    assert common_spans(first, second) == [Span(20 * at + 5, 20 * at + 10) for at in range(100_000)]


@given(*[st.sets(st.integers(0, 60), max_size=20)] * 2)
def test_the_common_part_is_what_both_contain(first, second):
    spans = [[Span(at, at + 1) for at in sorted(each)] for each in (first, second)]
    assert common_spans(*spans) == [Span(at, at + 1) for at in sorted(first & second)]
