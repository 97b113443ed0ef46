"""Stalls and pauses of the generator: which of them matter to which objective."""

import pytest

from loadstone.domain.objective import parse_objectives
from loadstone.domain.request_name import RequestName
from loadstone.domain.stall import Span, Stall
from loadstone.domain.verdict import judge
from support.fact_maker import SECOND, facts, rollup_of, worker

PREDICT = RequestName("POST", "/predict")
QUICK = [10_000] * 95


def stall(end_s, length_s, suspended_s=0.0):
    """A stall that ends ``end_s`` into the window."""
    return Stall(round((100 + end_s) * SECOND), round(length_s * 1e6), round(suspended_s * 1e6))


def verdict(*texts, **changes):
    return judge(parse_objectives(texts), facts(**changes))


def stalled_run(slow_us, undisturbed_us, *texts, failed=0, **changes):
    """95 requests of 10 ms, and five that were in flight while worker 1 stood still for 3 s."""
    return verdict(
        *texts,
        durations_us=[slow_us] * 5 + QUICK,
        failed=failed,
        undisturbed={PREDICT: rollup_of([undisturbed_us] * 5 + QUICK)},
        workers=(worker(0), worker(1, stalls=(stall(4, 3),), **changes)),
    )


@pytest.mark.parametrize(
    ("text", "undisturbed_us", "expected"),
    [
        ("max<500ms", 20_000, "inconclusive"),
        ("p99<500ms", 20_000, "inconclusive"),
        ("mean<100ms", 20_000, "inconclusive"),
        ("max<500ms", 600_000, "fail"),  # even without the stall they are too slow
        ("p95<500ms", 20_000, "pass"),  # it holds with them, so they do not matter
        ("failures==0", 20_000, "pass"),
        ("cpu(target)<10%", 20_000, "fail"),
    ],
)
def test_an_objective_that_fails_because_of_a_stall_is_inconclusive(text, undisturbed_us, expected):
    outcome = stalled_run(3_010_000, undisturbed_us, text)
    assert outcome.word == expected, outcome.reasons
    assert any("worker 1's event loop stood still for 3 s at 00:01:44 UTC" in notice for notice in outcome.notices)


def test_the_reason_names_the_stall_and_the_objectives_that_could_have_held():
    outcome = stalled_run(3_010_000, 20_000, "max<500ms", "p99<500ms", "p50<5ms")
    assert outcome.word == "fail", "the median fails whatever the stall did"
    assert outcome.reasons[-1] == (
        "worker 1's event loop stood still for 3 s at 00:01:44 UTC: without that, max<500ms, p99<500ms could have held"
    )


def test_failures_of_requests_that_a_long_stall_interrupted_may_be_its_own():
    assert stalled_run(10_000, 10_000, "failures==0", failed=5).word == "inconclusive"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rps>=11", "inconclusive"),  # 10 a second; one of two workers stood still for 3.05 of 10 s: up to 11.8
        ("rps>=12", "fail"),
        ("count>=118", "inconclusive"),
        ("count>=119", "fail"),
        ("rps<=9", "fail"),
        ("rps>=10", "pass"),
    ],
)
def test_a_rate_that_was_missed_may_have_been_missed_while_a_worker_stood_still(text, expected):
    assert stalled_run(10_000, 10_000, text).word == expected


def test_lag_is_weighed_by_time_beside_the_percentile():
    late = {"lag_p99_ms": 1.0, "late_pct": 31.0}
    for texts in ((), ("p95<500ms",)):
        outcome = verdict(*texts, workers=(worker(stalls=(stall(4, 3),), **late),))
        assert outcome.word == "inconclusive"
        assert "for 31 % of the window (at most 5 % are allowed)" in outcome.reasons[0]
        assert "stood still for 3 s at 00:01:44 UTC" in outcome.reasons[0]
    assert verdict("p95<500ms", workers=(worker(late_pct=5.0),)).word == "pass"
    assert verdict("failures<1%", failed=50, workers=(worker(**late),)).word == "fail"


def test_a_pause_of_everything_doubts_all_that_was_measured_about_requests():
    changes = {
        "workers": (worker(0, stalls=(stall(4, 3),)), worker(1, stalls=(stall(1, 0.2), stall(4.1, 3)))),
        "master_gaps": (Span(round(100.5 * SECOND), round(104.2 * SECOND)),),
        "usage_gaps": (Span(101 * SECOND, 105 * SECOND),),
    }
    for texts in ((), ("p95<500ms",), ("failures<1%",)):
        outcome = verdict(*texts, **changes)
        assert outcome.word == "inconclusive"
        assert outcome.reasons[0].startswith(
            "every worker, the master and the usage sampler stood still together for 2.95 s until 00:01:44 UTC"
        )
    assert verdict("cpu(target)<10%", **changes).word == "fail"


@pytest.mark.parametrize(("last_sent_s", "expected"), [(0.5, "inconclusive"), (2.5, "pass"), (9, "pass")])
def test_a_worker_that_had_left_need_not_have_stood_still(last_sent_s, expected):
    left = worker(1, last_sent_ns=round((100 + last_sent_s) * SECOND))
    standing = worker(0, stalls=(stall(4, 3),), last_sent_ns=109 * SECOND)
    gaps = (Span(0, 109 * SECOND),)
    assert verdict("p95<500ms", workers=(standing, left), master_gaps=gaps).word == expected
    assert verdict("p95<500ms", workers=(worker(0, last_sent_ns=0), left), master_gaps=gaps).word == "pass"


@pytest.mark.parametrize(
    "changes",
    [
        {"workers": (worker(0, stalls=(stall(4, 3),)), worker(1))},
        {"workers": (worker(0, stalls=(stall(4, 3),)), worker(1, stalls=(stall(8, 3),)))},
        {"master_gaps": ()},
        {"workers": (worker(0, stalls=(stall(4, 1.5),)), worker(1, stalls=(stall(4, 1.5),)))},
    ],
)
def test_stalls_of_single_workers_or_short_ones_are_no_pause(changes):
    paused = {
        "workers": (worker(0, stalls=(stall(4, 3),)), worker(1, stalls=(stall(4, 3),))),
        "master_gaps": (Span(100 * SECOND, 109 * SECOND),),
    }
    assert verdict("p95<500ms", **paused).word == "inconclusive"
    assert verdict("p95<500ms", **(paused | changes)).word == "pass"


def test_a_suspended_machine_doubts_every_request():
    outcome = verdict("failures<1%", workers=(worker(1, stalls=(stall(4, 8.1, suspended_s=8),)),))
    assert outcome.word == "inconclusive"
    assert outcome.reasons == ("worker 1's machine was suspended for 8 s",)


def test_short_stalls_that_change_nothing_are_not_worth_a_notice():
    outcome = verdict("p95<500ms", workers=(worker(stalls=(stall(4, 0.4), stall(6, 0.9))),))
    assert (outcome.word, outcome.notices) == ("pass", ())
