"""Delivery: the failure table, request by request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.influx.answer import WriteAnswer, WriteOutcome
from loadstone.influx.delivery import MOST_LINES, Delivery, Outage

if TYPE_CHECKING:
    from collections.abc import Callable

STORED = WriteAnswer(WriteOutcome.STORED)


class ScriptedSink:
    """Stands for InfluxDB where the exact order of requests matters: answers by a rule, keeps what it stored."""

    def __init__(self, answer: Callable[[list[str]], WriteAnswer]) -> None:
        self._answer = answer
        self.requests: list[list[str]] = []
        self.stored: list[str] = []
        self.reloads = 0

    def write(self, lines: bytes) -> WriteAnswer:
        self.requests.append(lines.decode().split("\n"))
        answer = self._answer(self.requests[-1])
        if answer.outcome is WriteOutcome.STORED:
            self.stored += self.requests[-1]
        return answer

    def reload_token(self) -> None:
        self.reloads += 1


def scripted(*answers: WriteAnswer) -> ScriptedSink:
    left = list(answers)
    return ScriptedSink(lambda _: left.pop(0) if left else STORED)


def pauses(sink: ScriptedSink, lines: list[str]) -> list[float]:
    """The pauses of a delivery, in a time that passes only with them."""
    waited: list[float] = [0.0]
    Delivery(sink, waited.append, refused_pause_s=30, now_s=lambda: sum(waited)).deliver(lines)
    return [seconds for seconds in waited if seconds]


def interrupted_by_a_pause(seconds: float) -> None:
    if seconds:
        raise InterruptedError


def rejects(*poison: str) -> ScriptedSink:
    bad = set(poison)
    return ScriptedSink(
        lambda lines: WriteAnswer(WriteOutcome.REJECTED, "bad line", 400) if bad & set(lines) else STORED
    )


def test_no_request_has_more_than_ten_thousand_lines_and_all_are_sent_in_order():
    sink = scripted()
    lines = [str(number) for number in range(25_000)]
    assert not Delivery(sink, lambda _: None, refused_pause_s=1).deliver(lines)
    assert [len(request) for request in sink.requests] == [MOST_LINES, MOST_LINES, 5000]
    assert sink.stored == lines


def test_nothing_to_deliver_is_no_request():
    sink = scripted()
    assert Delivery(sink, lambda _: None, refused_pause_s=1).deliver([]) == []
    assert not sink.requests


@given(st.sets(st.integers(0, 199)))
def test_bisecting_rejects_the_poison_lines_and_stores_all_others_in_order(poison: set[int]):
    lines = [str(number) for number in range(200)]
    sink = rejects(*(lines[at] for at in poison))
    rejected = Delivery(sink, lambda _: None, refused_pause_s=1).deliver(lines)
    assert [rejection.at for rejection in rejected] == sorted(poison)
    assert sink.stored == [line for at, line in enumerate(lines) if at not in poison]
    assert all(rejection.reason == "bad line" for rejection in rejected)


def test_one_poison_line_among_five_thousand_costs_few_requests():
    lines = [str(number) for number in range(5000)]
    sink = rejects("1234")
    assert len(Delivery(sink, lambda _: None, refused_pause_s=1).deliver(lines)) == 1
    assert len(sink.requests) <= 2 * 13 + 1


def test_too_large_is_halved_and_the_next_requests_start_smaller():
    sink = ScriptedSink(
        lambda lines: STORED if len(lines) <= 3 else WriteAnswer(WriteOutcome.TOO_LARGE, "HTTP 413", 413)
    )
    delivery = Delivery(sink, lambda _: None, refused_pause_s=1)
    lines = [str(number) for number in range(12)]
    assert delivery.deliver(lines) == []
    assert sink.stored == lines
    sink.requests.clear()
    delivery.deliver(lines)
    assert max(map(len, sink.requests)) < 12


def test_a_single_line_that_is_too_large_is_rejected():
    sink = ScriptedSink(lambda _: WriteAnswer(WriteOutcome.TOO_LARGE, "HTTP 413", 413))
    assert Delivery(sink, lambda _: None, refused_pause_s=1).deliver(["x"]) == [(0, "HTTP 413")]


def test_an_outage_is_retried_until_it_ends_with_growing_bounded_pauses():
    away = WriteAnswer(WriteOutcome.AWAY, "connection refused")
    waited = pauses(scripted(*[away] * 40), ["a"])
    assert len(waited) == 40
    assert waited[0] <= 0.5
    assert 7 <= max(waited) <= 15


def test_retry_after_is_honoured():
    assert pauses(scripted(WriteAnswer(WriteOutcome.AWAY, "HTTP 429", 429, retry_after_s=7.0)), ["a"]) == [7.0]


def test_what_takes_too_long_is_sent_again_in_smaller_requests():
    sink = ScriptedSink(lambda lines: STORED if len(lines) <= 700 else WriteAnswer(WriteOutcome.SLOW, "timed out"))
    lines = [str(number) for number in range(5000)]
    assert Delivery(sink, lambda _: None, refused_pause_s=1).deliver(lines) == []
    assert sink.stored == lines


def test_a_refusal_waits_reads_the_token_again_and_is_said_once(caplog: pytest.LogCaptureFixture):
    sink = scripted(*[WriteAnswer(WriteOutcome.REFUSED, "HTTP 401: unauthorized", 401)] * 5)
    assert pauses(sink, ["a"]) == [30] * 5
    assert (sink.reloads, sink.stored) == (5, ["a"])
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


def test_what_waiting_raises_ends_the_delivery():
    class EndedError(Exception):
        pass

    def wait(seconds: float) -> None:
        if seconds:
            raise EndedError

    with pytest.raises(EndedError):
        Delivery(scripted(WriteAnswer(WriteOutcome.AWAY, "no")), wait, refused_pause_s=1).deliver(["a"])


def test_what_one_delivery_is_asked_to_wait_another_of_its_process_waits_too():
    waited: list[float] = [0.0]
    outage = Outage()
    asked = scripted(WriteAnswer(WriteOutcome.AWAY, "HTTP 429", 429, retry_after_s=7.0))
    other = scripted()

    with pytest.raises(InterruptedError):
        Delivery(asked, interrupted_by_a_pause, refused_pause_s=1, outage=outage, now_s=lambda: 0.0).deliver(["a"])
    Delivery(other, waited.append, refused_pause_s=1, outage=outage, now_s=lambda: sum(waited)).deliver(["b", "c"])
    assert waited == [0.0, 7.0]
    assert other.stored == ["b", "c"]


def test_an_outage_is_logged_once_whichever_delivery_meets_it(caplog: pytest.LogCaptureFixture):
    outage = Outage()
    for sink in (scripted(*[WriteAnswer(WriteOutcome.AWAY, "connection refused")] * 2), rejects()):
        Delivery(sink, lambda _: None, refused_pause_s=1, outage=outage).deliver(["a"])
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_a_token_that_one_delivery_has_read_again_is_read_by_the_others_before_they_send():
    outage, clock = Outage(), [0.0]

    def wait(seconds: float) -> None:
        clock[0] += seconds

    refused = scripted(WriteAnswer(WriteOutcome.REFUSED, "unauthorized", 401))
    idle = scripted()
    for sink in (refused, idle):
        Delivery(sink, wait, refused_pause_s=30, outage=outage, now_s=lambda: clock[0]).deliver(["a"])
    assert (refused.reloads, idle.reloads) == (1, 1)
    assert clock == [30.0]


def test_a_pause_that_another_delivery_prolongs_is_kept_to_its_end():
    outage, clock, prolonged = Outage(), [0.0], [50.0]

    def wait(seconds: float) -> None:
        clock[0] += seconds
        if prolonged:
            outage.pause_until(prolonged.pop())

    outage.pause_until(10.0)
    sent_at: list[float] = []

    def answer(_lines: list[str]) -> WriteAnswer:
        sent_at.append(clock[0])
        return STORED

    Delivery(ScriptedSink(answer), wait, refused_pause_s=30, outage=outage, now_s=lambda: clock[0]).deliver(["a"])
    assert sent_at == [50.0]
