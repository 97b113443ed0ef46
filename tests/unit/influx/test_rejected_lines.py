"""Rejected lines: exact counts at a bounded cost, for every way in which InfluxDB 1.x, 2.x and 3 Core reject them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.influx.answer import WriteOutcome, answer_of
from loadstone.influx.delivery import Delivery
from support.influx_answers import (
    AnsweringSink,
    conflicting,
    good,
    old,
    one_six,
    one_twelve,
    speechless,
    three_core,
    three_core_whole,
    two_nine,
    two_zero,
    unreadable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.influx_answers import Says

N = 10_000
MODELS = [
    pytest.param(one_six, id="1.6"),
    pytest.param(one_twelve, id="1.12"),
    pytest.param(two_zero, id="2.0"),
    pytest.param(two_nine, id="2.9"),
    pytest.param(three_core, id="3 Core"),
    pytest.param(three_core_whole, id="3 Core accept_partial=false"),
    pytest.param(speechless, id="no reason"),
]
KINDS = [good, old, conflicting, unreadable]


def deliver(says: Says, lines: list[str]) -> tuple[AnsweringSink, list[str]]:
    """Deliver lines, once each; the sink and the lines that were rejected."""
    sink = AnsweringSink(says)
    rejected = [lines[each.at] for each in Delivery(sink, lambda _: None, refused_pause_s=1).deliver(lines)]
    return sink, rejected


def bound(n: int, k: int) -> int:
    """The most requests for k wrong lines among n: one for all, and for each a search and the rest behind it."""
    return 2 + k * (math.ceil(math.log2(max(2, n))) + 2) + 1


@pytest.mark.attack("points beyond retention", "rejected with their exact number, in a handful of requests")
@pytest.mark.parametrize("says", MODELS[:4])
def test_ten_thousand_points_beyond_retention_cost_one_request(says: Says):
    sink, rejected = deliver(says, [old(number) for number in range(N)])
    assert (len(rejected), len(sink.requests), len(sink.kept)) == (N, 1, 0)


@pytest.mark.attack("points beyond retention", "rejected with their exact number, in a handful of requests")
@pytest.mark.parametrize("says", MODELS[:4])
def test_half_of_the_points_beyond_retention_cost_two_requests_wherever_they_stand(says: Says):
    lines = [(old if number % 2 else good)(number) for number in range(N)]
    sink, rejected = deliver(says, lines)
    assert rejected == [line for line in lines if line not in sink.kept]
    assert (len(rejected), len(sink.requests)) == (N // 2, 2)


@pytest.mark.attack("fields of another type", "rejected with their exact number, in a handful of requests")
@pytest.mark.parametrize("says", MODELS[:6])
def test_fields_of_another_type_cost_few_requests(says: Says):
    lines = [(conflicting if number % 7 == 3 else good)(number) for number in range(70)]
    sink, rejected = deliver(says, lines)
    assert rejected == [line for line in lines if line not in sink.kept] == lines[3::7]
    assert len(sink.requests) <= (2 if says is not three_core_whole else 11)


@pytest.mark.attack("lines that cannot be parsed", "each named one is rejected, all others are stored")
@pytest.mark.parametrize("says", MODELS[:5])
def test_lines_that_cannot_be_parsed_are_named_and_cost_two_requests(says: Says):
    lines = [(unreadable if number % 10 == 3 else good)(number) for number in range(1000)]
    sink, rejected = deliver(says, lines)
    assert rejected == lines[3::10]
    assert sink.kept == set(lines) - set(rejected)
    assert len(sink.requests) == 2


@pytest.mark.parametrize("says", MODELS)
@given(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=120))
def test_counts_are_exact_whatever_is_wrong_and_however_little_the_answers_say(says: Says, kinds: list[Callable]):
    lines = [kind(number) for number, kind in enumerate(kinds)]
    sink, rejected = deliver(says, lines)
    assert len(rejected) + len(sink.kept) == len(lines)
    assert set(rejected) == set(lines) - sink.kept
    assert len(sink.requests) <= bound(len(lines), len(rejected))


@pytest.mark.parametrize("k", [1, 2, 5, 40, 1000])
def test_without_any_reason_the_cost_is_bounded_by_the_number_of_wrong_lines(k: int):
    lines = [(conflicting if number % (N // k) == N // k - 1 else good)(number) for number in range(N)]
    sink, rejected = deliver(speechless, lines)
    assert len(rejected) == k
    assert len(sink.requests) <= k * (math.log2(N) + 2) + 3


def test_when_every_line_is_wrong_and_no_reason_is_given_each_costs_hardly_more_than_one_request():
    sink, rejected = deliver(speechless, [conflicting(number) for number in range(N)])
    assert len(rejected) == N
    assert len(sink.requests) < 1.1 * N


def test_a_reason_keeps_both_ends_of_a_long_text_and_hides_secrets():
    text = f"unable to parse 'm url=http://me:pw@host/?token=abc': {'x' * 900} dropped=2 for database: 0a1b"
    answer = answer_of(422, f'{{"code":"unprocessable entity","message":"{text}"}}')
    assert answer.said.dropped == 2
    assert len(answer.reason) < 520
    assert answer.reason.startswith("HTTP 422: unable to parse")
    assert answer.reason.endswith("dropped=2 for database: 0a1b")
    assert "pw@" not in answer.reason
    assert "abc" not in answer.reason


@pytest.mark.attack("an answer that is not InfluxDB's", "the data waits, as after a wrong address")
@pytest.mark.parametrize(
    "body",
    [
        pytest.param("", id="an empty body"),
        pytest.param("<html>The plain HTTP request was sent to HTTPS port</html>", id="a page of a proxy"),
        pytest.param("[]", id="a list"),
        pytest.param("{}", id="an object without a message"),
        pytest.param("7", id="a number"),
    ],
)
def test_a_400_that_is_not_influxdbs_rejects_no_line(body: str):
    assert answer_of(400, body).outcome is WriteOutcome.REFUSED


@pytest.mark.attack("an answer that is not InfluxDB's", "no part of it is believed")
@pytest.mark.parametrize(
    "data",
    [
        pytest.param('[{"line_number": "2"}, {"line_number": -1}, 5, null]', id="numbers that are none"),
        pytest.param('{"line_number": 99}', id="a line that was not sent"),
        pytest.param('"x"', id="a text for the lines"),
        pytest.param("[[]]", id="a list of lists"),
    ],
)
def test_a_body_of_another_shape_names_no_line(data: str):
    answer = answer_of(400, f'{{"error": "partial write", "data": {data}}}')
    assert answer.outcome is WriteOutcome.REJECTED
    assert answer.said.named(["a", "b"]) == []
