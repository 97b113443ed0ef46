"""Arrivals that were late or not sent: when they make a run inconclusive, and when a failure stays one."""

import numpy as np
import pytest

from loadstone.domain.arrival_doubts import lateness_limit_ms
from loadstone.domain.expected_arrivals import Expected
from loadstone.domain.facts import ArrivalFacts, TargetFacts
from loadstone.domain.in_flight import InFlight
from loadstone.domain.objective import parse_objectives
from loadstone.domain.request_name import RequestName
from loadstone.domain.rollup import roll_up
from loadstone.domain.stall import Stall
from loadstone.domain.verdict import judge
from support.fact_maker import SECOND, facts, rollup_of, worker

PREDICT = RequestName("POST", "/predict")
PUNCTUAL = ArrivalFacts(1000, 1000, 0, 0.5, 2.0)


def late_rollup(service_us, late_us):
    """Requests of these service times that are so late."""
    n = len(service_us)
    zeros, none = np.zeros(n, np.int64), np.zeros(n, np.bool_)
    return roll_up(zeros, zeros, np.array(service_us), zeros, none, np.array(late_us))[0, 0]


def verdict(*texts, arrivals=PUNCTUAL, **changes):
    return judge(parse_objectives(texts), facts(arrivals=arrivals, **changes))


def late_run(*texts, service_ms, late_ms, **changes):
    """100 requests, of which the last five began late."""
    service_us, late_us = [service_ms * 1000] * 100, [0] * 95 + [late_ms * 1000] * 5
    arrivals = ArrivalFacts(100, 100, 0, float(late_ms), float(late_ms))
    return verdict(*texts, arrivals=arrivals, names={PREDICT: late_rollup(service_us, late_us)}, **changes)


def test_a_generator_that_is_on_time_and_sends_everything_is_not_doubted():
    assert verdict("p95<500ms").word == "pass"
    assert verdict().reasons == ()


@pytest.mark.parametrize(
    ("texts", "limit_ms"),
    [
        ((), 5),
        (("p95<80ms",), 5),
        (("p95<500ms", "p50<200ms"), 10),
        (("p95<500ms", "service.p95<120ms"), 6),
        (("p95>1s",), 5),
    ],
)
def test_the_limit_of_lateness_follows_the_tightest_latency(texts, limit_ms):
    assert lateness_limit_ms(parse_objectives(texts)) == limit_ms


@pytest.mark.parametrize(("late_ms", "expected"), [(25.0, "pass"), (25.1, "inconclusive"), (None, "pass")])
def test_lateness_beyond_the_limit_makes_a_run_inconclusive_that_would_pass(late_ms, expected):
    assert verdict("p95<500ms", arrivals=ArrivalFacts(1000, 1000, 0, late_ms, late_ms)).word == expected


def test_the_reason_names_the_lateness_and_its_limit():
    (reason,) = verdict(arrivals=ArrivalFacts(1000, 1000, 0, 7.5, 80.0)).reasons
    assert reason == (
        "iterations began 7.5 ms late (p99, limit 5 ms): the load generator did not keep up with its schedule"
    )


@pytest.mark.parametrize(("not_sent", "expected"), [(0, "pass"), (10, "pass"), (11, "inconclusive")])
def test_a_thousandth_of_the_arrivals_may_be_missing(not_sent, expected):
    arrivals = ArrivalFacts(10_000, 10_000 - not_sent, not_sent, 0.1, 0.2)
    assert verdict("p95<500ms", arrivals=arrivals).word == expected


def test_the_reason_for_missing_arrivals_says_what_to_do():
    (reason,) = verdict(arrivals=ArrivalFacts(10_000, 9_800, 200, 0.1, 0.2)).reasons
    assert reason == (
        "200 of 10,000 planned arrivals were not sent, because every user was busy "
        "(2 %, at most 0.1 % may be missing): raise --max-users"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p95<50ms", "fail"),  # with all of the load it would have been slower
        ("failures<=1%", "fail"),
        ("cpu(target)<10%", "fail"),
        ("cpu(target)>90%", "fail"),
        ("rps<=5", "fail"),
        ("rps>=11", "inconclusive"),  # the missing ones could have made it up
        ("count>=101", "inconclusive"),
    ],
)
@pytest.mark.parametrize("arrivals", [ArrivalFacts(110, 100, 10, 0.1, 0.2), ArrivalFacts(100, 100, 0, 60.0, 70.0)])
def test_a_target_that_misses_its_limit_under_less_load_than_planned_has_missed_it(text, expected, arrivals):
    assert verdict(text, arrivals=arrivals, failed=4).word == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p99<100ms", "inconclusive"),  # 80 ms of service, and 40 ms late
        ("max<100ms", "inconclusive"),
        ("mean<81ms", "inconclusive"),
        ("service.p99<100ms", "pass"),
        ("p90<100ms", "pass"),
        ("p99<70ms", "fail"),  # even without lateness it is too slow
        ("service.p99<70ms", "fail"),
    ],
)
def test_a_response_time_that_fails_only_for_lateness_is_inconclusive(text, expected):
    outcome = late_run(text, service_ms=80, late_ms=40)
    doubted = [reason for reason in outcome.reasons if "could have held" in reason]
    assert doubted == (
        [f"iterations began up to 40 ms late: without that, {text} could have held"]
        if outcome.objectives[0].ok is False and expected == "inconclusive"
        else []
    )
    assert outcome.word == ("inconclusive" if expected == "pass" else expected), "40 ms are beyond the limit as well"


def test_lateness_within_its_limit_matters_too_where_it_decides():
    outcome = late_run("p99<100ms", service_ms=97, late_ms=4)
    assert (outcome.word, len(outcome.reasons)) == ("inconclusive", 2)


def test_requests_in_flight_are_judged_without_their_lateness_too():
    waiting = {PREDICT: late_rollup([80_000] * 20, [60_000] * 20)}
    outcome = late_run("p99<100ms", service_ms=50, late_ms=1, target=TargetFacts(in_flight=InFlight(names=waiting)))
    assert (outcome.objectives[0].ok, outcome.word) == (False, "inconclusive")


def test_a_stall_and_lateness_may_be_the_cause_together():
    """120 ms of service, 40 of them in a stall, and 40 ms late for another reason: only both explain 100 ms."""
    stalled = worker(1, stalls=(Stall(104 * SECOND, 200_000, 0),))
    outcome = late_run(
        "p99<100ms",
        service_ms=120,
        late_ms=40,
        undisturbed={PREDICT: late_rollup([80_000] * 100, [0] * 95 + [40_000] * 5)},
        workers=(worker(0), stalled),
    )
    assert outcome.word == "inconclusive"
    assert "iterations began up to 40 ms late: without that, p99<100ms could have held" in outcome.reasons


def test_a_stall_that_explains_a_miss_alone_is_told_alone():
    outcome = late_run(
        "p99<100ms",
        service_ms=120,
        late_ms=4,
        undisturbed={PREDICT: rollup_of([80_000] * 100)},
        workers=(worker(0), worker(1, stalls=(Stall(104 * SECOND, 200_000, 0),))),
    )
    assert outcome.word == "inconclusive"
    assert not any("iterations began" in reason for reason in outcome.reasons)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("p99<50ms", "response time p99 is 120 ms, must be < 50 ms"),
        ("service.p99[POST /predict]<50ms", "service time p99[POST /predict] is 80 ms, must be < 50 ms"),
        ("service.mean>1s", "service time mean is 80 ms, must be > 1000 ms"),
        ("max<1us", "response time max is 120 ms, must be < 0.001 ms"),
        ("rps>=1000", "rps is 10/s, must be >= 1000/s"),
    ],
)
def test_a_reason_says_which_time_it_is_about(text, reason):
    assert late_run(text, service_ms=80, late_ms=40).objectives[0].reason == reason


@pytest.mark.parametrize(
    ("planned", "texts", "word"),
    [
        (990, ("p95<500ms",), "pass"),
        (880, ("p95<500ms",), "inconclusive"),
        (1120, ("p95<500ms",), "inconclusive"),
        (880, ("p95<50ms",), "fail"),
        (1120, ("p95<50ms",), "inconclusive"),
        (880, ("rps>=1000",), "inconclusive"),
        (1120, ("rps>=1000",), "fail"),
    ],
)
def test_a_load_that_is_not_what_the_rate_asks_for_is_doubted(planned, texts, word):
    arrivals = ArrivalFacts(planned, planned, 0, 0.1, 0.2, Expected(1000.0, 100.0))
    found = verdict(*texts, arrivals=arrivals, names={PREDICT: late_rollup([100_000] * 100, [0] * 100)})
    assert found.word == word
    said = any(f"there were {planned:,} arrivals, and the rate asks for 1,000" in each for each in found.reasons)
    assert said is (planned != 990)
