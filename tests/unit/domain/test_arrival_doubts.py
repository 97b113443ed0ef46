"""Arrivals that were late or not sent: when they make a run inconclusive, and when a failure stays one."""

import numpy as np
import pytest

from loadstone.domain.arrival_doubts import lateness_limit_ms
from loadstone.domain.facts import ArrivalFacts, TargetFacts, Window
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


def planned(count, not_sent=0, expected=10_000.0, tolerance=100.0):
    """So many planned arrivals, where the rate asks for ``expected``."""
    return ArrivalFacts(count, count - not_sent, not_sent, 0.1, 0.2, expected, tolerance)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p95<500ms", "inconclusive"),  # with all arrivals it might not have held
        ("p95<50ms", "fail"),  # nor would it have with more of them
        ("failures<=100", "inconclusive"),
        ("rps>=11", "inconclusive"),
        ("count==101", "inconclusive"),
        ("rps<=9", "fail"),
        ("mem(target)<1B", "fail"),
    ],
)
def test_arrivals_that_nobody_counted_excuse_only_what_less_load_can_have_caused(text, expected):
    assert verdict(text, arrivals=planned(9899)).word == expected


def test_the_reason_says_how_many_arrivals_the_rate_asks_for():
    (reason,) = verdict(arrivals=planned(9620)).reasons
    assert reason == "9,620 arrivals are accounted for, where the rate asks for 10,000 (96.2 %)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p95<500ms", "inconclusive"),
        ("p95<50ms", "inconclusive"),  # more load than was asked for may have slowed the target down
        ("rps<=9", "inconclusive"),
        ("count==99", "inconclusive"),
        ("rps>=11", "fail"),
        ("cpu(target)<10%", "fail"),
    ],
)
def test_too_many_arrivals_excuse_only_what_more_load_can_have_caused(text, expected):
    outcome = verdict(text, arrivals=planned(10_120))
    assert outcome.word == expected
    assert outcome.reasons[-1] == "10,120 arrivals are accounted for, where the rate asks for 10,000 (101.2 %)"


@pytest.mark.parametrize(
    "arrivals", [planned(9900), planned(10_100), planned(5, expected=None)], ids=["fewer", "more", "unknown"]
)
def test_a_sound_number_of_arrivals_is_not_doubted(arrivals):
    assert verdict("p95<500ms", arrivals=arrivals).word == "pass"


def test_arrivals_where_the_rate_asks_for_none_are_too_many():
    (reason,) = verdict(arrivals=planned(500, expected=0.0)).reasons
    assert reason == "500 arrivals are accounted for, where the rate asks for 0"


def test_arrivals_that_found_no_free_user_were_due_all_the_same():
    (reason,) = verdict(arrivals=planned(10_000, not_sent=2000)).reasons
    assert "raise --max-users" in reason


def test_a_window_without_an_arrival_says_nothing_about_requests():
    outcome = verdict("failures<=100", arrivals=ArrivalFacts(0, 0, 0, expected=1000.0, tolerance=10.0))
    assert (outcome.word, outcome.reasons) == ("inconclusive", ("no arrival was due in the window",))


def test_a_run_that_never_reached_its_load_is_not_told_of_its_arrivals_too():
    outcome = verdict(arrivals=planned(0), window=Window(100 * SECOND, 110 * SECOND, opened=False))
    assert outcome.reasons == ("the ramp-up never finished, so the run never reached its target load",)


def test_arrivals_that_were_not_sent_but_are_too_few_to_matter_are_a_notice():
    assert verdict(arrivals=planned(10_000, not_sent=10)).notices == (
        "10 of 10,000 planned arrivals were not sent (0.1 %)",
    )
    assert verdict(arrivals=planned(10_000, not_sent=11)).notices == (), "that is a reason"
    assert verdict(arrivals=planned(10_000)).notices == ()
