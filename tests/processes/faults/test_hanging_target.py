"""A target that stops answering does not pass: nothing that it left unanswered, or was not asked, is left out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from support.hanging_server import HangingServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.loadstone_run import LoadstoneRun

pytestmark = pytest.mark.timeout(400)
WIDE = ("--objective", "p95<3s")
"""Wide, so that a busy machine does not make a worker's event loop late by too much."""
NO_FAILURE = ("--objective", "failures==0")
LOAD = ("-u", "5", "-r", "50", "-t", "14s", "--stop-timeout", "4s", "--workers", "1")


@pytest.fixture
def target() -> Iterator[HangingServer]:
    with HangingServer() as server:
        yield server


def start(new_run: Callable[..., LoadstoneRun], target: HangingServer, *more: str, scenario: str = "steady"):
    return new_run(scenario, "--host", target.url, *LOAD, *more).start()


def hang_under_load(run: LoadstoneRun, target: HangingServer) -> None:
    run.wait_for(lambda: target.answered > 100 or None, timeout_s=150)
    target.hang()


def has(run: LoadstoneRun, text: str) -> bool:
    return any(text in reason for reason in run.run_json()["reasons"])


def test_a_target_that_keeps_answering_passes(new_run, target):
    run = start(new_run, target, *WIDE, *NO_FAILURE)
    assert run.finish(200) == 0, run.output
    found = run.run_json()
    assert (found["verdict"], found["silences"]) == ("pass", [])
    assert found["requests"] == target.received
    assert found["in_flight"]["cut"] == found["in_flight"]["failed"] == 0
    assert found["ending"]["ended_by"] == "run time"


@pytest.mark.fault(
    "the target stops answering for the rest of the window",
    verdict="inconclusive",
    shown="for how long nobody was answered, and how many requests were cut off",
)
def test_a_target_that_stops_answering_is_no_sound_measurement(new_run, target):
    run = start(new_run, target, *WIDE)
    hang_under_load(run, target)
    assert run.finish(200) == 3, run.output
    found = run.run_json()
    assert found["verdict"] == "inconclusive"
    assert has(run, "nobody was answered for")
    assert found["requests"] == target.answered
    assert found["in_flight"]["cut"] == target.received - target.answered == 5
    assert found["in_flight"]["failed"] == 5
    total = found["summary"]["window"]["total"]
    assert (total["requests"], total["in_flight"] >= 5, total["max_ms"] > 4000) == (total["requests"], True, True)
    assert "5 requests in flight were cut off" in run.output


@pytest.mark.fault(
    "the target stops answering, and an objective limits failures",
    verdict="fail",
    shown="the requests cut off after the stop timeout as failures",
)
def test_requests_that_are_never_answered_are_failures(new_run, target):
    run = start(new_run, target, *WIDE, *NO_FAILURE, "--objective", "max<3s")
    hang_under_load(run, target)
    assert run.finish(200) == 1, run.output
    assert run.run_json()["verdict"] == "fail"
    assert has(run, "failures are 5, must be == 0")
    assert has(run, "max is ")


@pytest.mark.fault(
    "the target stops answering for 5 s of the window and then recovers",
    verdict="inconclusive",
    shown="for how long nobody was answered, from when to when",
)
def test_a_target_that_recovers_was_not_asked_enough(new_run, target):
    run = start(new_run, target, *WIDE, *NO_FAILURE)
    hang_under_load(run, target)
    time.sleep(5)
    target.resume()
    assert run.finish(200) == 3, run.output
    found = run.run_json()
    assert found["verdict"] == "inconclusive"
    assert has(run, "nobody was answered for")
    (pause,) = [pause for pause in found["silences"] if pause["doubtful"]]
    assert (pause["waiting"], pause["answered"]) == (5, 0)
    assert 4.5 < pause["end_s"] - pause["start_s"] < 7
    assert found["requests"] == target.received
    assert all(objective["ok"] for objective in found["objectives"])


@pytest.mark.fault(
    "the target accepts every request and answers none", verdict="fail", shown="that nothing was answered in the window"
)
def test_a_target_that_never_answers_fails(new_run, target):
    target.hang()
    run = start(new_run, target, *WIDE)
    assert run.finish(200) == 1, run.output
    found = run.run_json()
    assert (found["verdict"], found["requests"], found["in_flight"]["cut"]) == ("fail", 0, 5)
    assert has(run, "the target answered none of the 5 requests")


@pytest.mark.fault(
    "the target answers one request in ten and leaves the others open",
    verdict="fail",
    shown="the requests cut off after the stop timeout as failures",
)
def test_a_target_that_answers_one_in_ten_fails(new_run, target):
    target.answers_one_in = 10
    run = start(new_run, target, *WIDE, *NO_FAILURE)
    assert run.finish(200) == 1, run.output
    found = run.run_json()
    assert (found["verdict"], found["in_flight"]["cut"]) == ("fail", 5)
    assert has(run, "failures are 5, must be == 0")


@pytest.mark.fault(
    "the target stops answering a client that loadstone does not know",
    verdict="inconclusive",
    shown="how many users were cut off inside a task, and for how long nobody was answered",
)
def test_users_of_an_unknown_client_that_wait_for_ever_are_seen_too(new_run, target):
    run = start(new_run, target, *WIDE, *NO_FAILURE, scenario="own_client")
    hang_under_load(run, target)
    assert run.finish(200) == 3, run.output
    found = run.run_json()
    assert found["verdict"] == "inconclusive"
    assert found["in_flight"]["stuck"] == 5
    assert has(run, "nobody was answered for")
